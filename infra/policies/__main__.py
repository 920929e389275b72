"""What Pulumi runs: serves the pack to the engine."""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:] = [str(FOLDER.parents[1]), *(path for path in sys.path if Path(path).resolve() != FOLDER)]

from pulumi_policy import EnforcementLevel, PolicyPack  # noqa: E402

from infra.policies.pack import POLICIES  # noqa: E402

PolicyPack("inference-custom-blocks", POLICIES, EnforcementLevel.MANDATORY)
