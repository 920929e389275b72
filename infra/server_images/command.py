"""How a command about images ends: with its own status, or a line that says what is wrong."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from docker.errors import DockerException

from infra.server_images.errors import ImageError

INTERRUPTED = 130


def run(parser: ArgumentParser, given: Sequence[str] | None) -> int:
    """Runs what the parser's `run` says with the options; 1 with a line on stderr where it can't be done."""
    options = parser.parse_args(given)
    try:
        status: int = options.run(options)
    except ImageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except DockerException as error:
        sys.stderr.write(f"the engine says: {' '.join(str(error).split())}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return status
