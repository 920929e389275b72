"""`python -m local_modal`: the command line of local Modal."""

import sys

from local_modal.cli import main

if __name__ == "__main__":
    sys.exit(main())
