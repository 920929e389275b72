"""`python -m infra.supply_chain`: lists what is in built images, asks for known vulnerabilities of what is pinned."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.server_images.build import built_from
from infra.server_images.catalog import IMAGES, REPOSITORY
from infra.server_images.command import run
from infra.server_images.engine import engine
from infra.server_images.errors import ImageError
from infra.supply_chain.audit import audit
from infra.supply_chain.sbom import write_sbom


def main(given: Sequence[str] | None = None) -> int:
    """Exit status of what was asked for; 1 with a line on stderr where it can't be done."""
    return run(_parser(), given)


def _sbom(options: argparse.Namespace) -> int:
    with engine() as client:
        built = [name for name in IMAGES if built_from(client, f"{REPOSITORY}:{name}")]
        if not (names := options.image or built):
            raise ImageError("no image is built: `make images` builds them")
        for name in names:
            sys.stdout.write(f"{write_sbom(client, f'{REPOSITORY}:{name}', options.folder)}\n")
    return 0


def _audit(options: argparse.Namespace) -> int:
    return audit(options.list, options.osv_url)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m infra.supply_chain", description=(__doc__ or "").partition(": ")[2])
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    sbom = verbs.add_parser("sbom", help="write an SBOM of built images (CycloneDX)")
    sbom.add_argument("image", nargs="*", help=f"of {', '.join(IMAGES)} (default: those that are built)")
    sbom.add_argument("--folder", type=Path, default=Path("build/sbom"), help="(default: %(default)s)")
    sbom.set_defaults(run=_sbom)
    check = verbs.add_parser("audit", help="look pinned requirements up in the database of known vulnerabilities")
    check.add_argument("list", nargs="+", type=Path, metavar="LIST", help="requirements.*.txt")
    check.add_argument("--osv-url", metavar="URL", help="an OSV service to ask in place of PyPI")
    check.set_defaults(run=_audit)
    return parser


if __name__ == "__main__":
    sys.exit(main())
