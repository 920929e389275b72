"""What Pulumi runs (`main: infra`); the program is `infra.program`."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[1])
# Pulumi put this folder first, where names like `settings` would hide other people's modules.
sys.path[:] = [ROOT, *(path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent)]

import pulumi  # noqa: E402

from infra.program import main  # noqa: E402

SHOWN = 32
"""Exit status by which a program tells Pulumi's language host that its user has been told what is wrong."""

try:
    main()
except pulumi.RunError as error:
    pulumi.log.error(str(error))
    sys.exit(SHOWN)
