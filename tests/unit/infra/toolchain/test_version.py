"""One version everywhere: of the CLI, its Go modules and the SDK."""

import importlib.metadata
import re

from infra.toolchain.version import MODULE, VERSION


def test_the_cli_is_of_the_version_of_the_installed_sdk() -> None:
    assert importlib.metadata.version("pulumi") == VERSION


def test_both_go_modules_are_of_that_version_and_have_a_checksum() -> None:
    named = re.findall(r"github\.com/pulumi/pulumi/(pkg|sdk)/v3 v(\S+)", (MODULE / "go.mod").read_text())
    assert named == [("pkg", VERSION), ("sdk", VERSION)]
    sums = (MODULE / "go.sum").read_text()
    for part in ("pkg", "sdk"):
        assert f"github.com/pulumi/pulumi/{part}/v3 v{VERSION} h1:" in sums
