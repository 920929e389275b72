"""`python -m infra.toolchain` prints the path of the Pulumi CLI, after getting one where there is none."""

import sys

from infra.toolchain.cli import ToolchainError, pulumi


def main() -> int:
    """Exit status 1 when there is no CLI to be had; the reason is one line."""
    try:
        path = pulumi()
    except ToolchainError as error:
        sys.stderr.write(f"toolchain: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
