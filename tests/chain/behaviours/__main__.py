"""`python -m tests.chain.behaviours` prints docs/DIFFERENCES.md as the table has it; `--write` writes the page."""

import argparse
import sys

from tests.chain.behaviours import FAMILIES
from tests.chain.behaviours.page import PAGE, page

parser = argparse.ArgumentParser(prog="python -m tests.chain.behaviours", description=__doc__)
parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")
if parser.parse_args().write:
    PAGE.write_text(page(FAMILIES))
else:
    sys.stdout.write(page(FAMILIES))
