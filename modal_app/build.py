"""Builds the image of the executors ahead of a deploy: `python -m modal_app.build`. The deploy then finds it built.

With `--publish TAG` the image gets a name, by which other deploys use it (CUSTOM_BLOCKS_IMAGE_TAG), those of other
environments too: what was tested is what is promoted. The source that runs in it comes with each deploy.
"""

import argparse
import sys
import time

import modal
from modal import exception as modal_errors
from modal._utils.async_utils import synchronizer

from modal_app.image import build_image
from modal_app.settings import APP_NAME, AppSettings, ImageTag, SettingsError, parse_value


def main() -> int:
    """Builds, with the log on the terminal; a failure is one line more and exit status 1."""
    parser = argparse.ArgumentParser("python -m modal_app.build", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--publish", metavar="TAG", help="name the image so, such as custom-blocks:v1")
    tag = parser.parse_args().publish
    try:
        if tag is not None:
            parse_value("--publish", tag, ImageTag)
        image = build_image(AppSettings.from_environment())
        begin = time.monotonic()
        with modal.enable_output():
            image.build(modal.App.lookup(APP_NAME, create_if_missing=True))
        seconds = time.monotonic() - begin
        if tag is not None:
            image.publish(tag)
    except (SettingsError, modal_errors.Error, OSError) as error:
        print(f"build: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if was_built(image):
        print(f"image {image.object_id}: was built already, nothing to do")
    else:
        print(f"image {image.object_id}: built in {seconds:.1f} s")
    if tag is not None:
        print(f"image {image.object_id}: published as {tag}")
    return 0


def was_built(image: modal.Image) -> bool:
    """Whether a finished build found `image` there already.

    The client notes that for the last layer that it asked for, under a private name (modal/_image.py); local files
    are a layer of its own that isn't built, on top of that one.
    """
    layer = synchronizer._translate_in(image)  # type: ignore[no-untyped-call]
    while layer._cache_hit is None:
        layer = layer._deps()[0]
    return bool(layer._cache_hit)


if __name__ == "__main__":
    sys.exit(main())
