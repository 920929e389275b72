"""Has a container ready at any time for each workspace that the settings name: `python -m modal_app.warm`.

To be run after each deploy, which sets every workspace back to none (Modal's documentation of `autoscaler.update`).
Workspaces given as arguments stand in for those of CUSTOM_BLOCKS_WARM_WORKSPACES; `--off` ends it for them.
"""

import argparse
import sys
from collections.abc import Sequence

import modal
from modal import exception as modal_errors

from modal_app.settings import APP_NAME, EXECUTOR_CLASS, AppSettings, SettingsError, WorkspaceId, parse_value


def main(arguments: Sequence[str] | None = None) -> int:
    """Says on stdout what is done, and on stderr where the control plane doesn't serve it, which is no failure."""
    parser = argparse.ArgumentParser("python -m modal_app.warm", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workspaces", nargs="*", metavar="WORKSPACE", help="instead of those that the settings name")
    parser.add_argument("--off", action="store_true", help="no longer have one ready")
    options = parser.parse_args(arguments)
    try:
        workspaces = options.workspaces or AppSettings.from_environment().warm_workspaces
        for workspace in options.workspaces:
            parse_value("WORKSPACE", workspace, WorkspaceId)
        count, words = (0, "no container") if options.off else (1, "one container")
        for workspace in workspaces:
            set_ready(workspace, count)
            sys.stdout.write(f"workspace {workspace}: {words} kept ready\n")
    except modal_errors.UnimplementedError as error:
        sys.stderr.write(f"warm: this control plane keeps no containers ready, calls start theirs: {_line(error)}\n")
    except (SettingsError, modal_errors.Error, OSError) as error:
        sys.stderr.write(f"warm: {type(error).__name__}: {_line(error)}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def set_ready(workspace_id: str, containers: int) -> None:
    """Has Modal keep `containers` ready for the workspace, at least, till the next deploy.

    A method's handle stands for the whole class of one workspace: they share one function, which is what is scaled.
    """
    executor = modal.Cls.from_name(APP_NAME, EXECUTOR_CLASS)(workspace_id=workspace_id)
    executor.execute.autoscaler.update(min_containers=containers)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
