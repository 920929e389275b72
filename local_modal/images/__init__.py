"""Images: Dockerfile lines, as the unmodified client sends them, replayed into an environment that runs here.

An image is a Python environment made by uv, plus the files copied into it and the system packages unpacked for it.
A child image shares whatever of its parent's it doesn't change, and clones by hard links what it does.

Supported, by the names of the Python interface:

- `debian_slim(python_version=…)`, and `from_registry("python:3.x[-slim]")`: the Python of that minor version on this
  machine stands for the image's. The build log says which.
- `pip_install`, `uv_pip_install`, `pip_install_from_requirements`, and `run_commands` with pip or `uv pip` lines:
  always by this machine's uv, always with bytecode, with the options listed in `packages`. Private indexes, proxies and
  certificate authorities are taken from uv's or pip's variables and uv's configuration.
- `apt_install`: what the machine has is used; what it lacks is unpacked into the image (without recommended packages
  and without package scripts); libraries are found by LD_LIBRARY_PATH, programs by PATH.
- `env`, `workdir`, `cmd` (no effect on functions), build arguments, secrets (variables of the build's commands only).
- `add_local_file`, `add_local_dir`, `add_local_python_source` with `copy=True`, and COPY lines: not into system
  folders, and not to be seen in `/tmp`, which is empty when a container starts.
- `RUN --mount=type=cache` (uv's own cache serves), `mkdir`, `rm` of copied files, `apt-get update` and `clean`.
- A GPU asked for during a build is not there; functions are where GPUs are decided.

Everything else is an `ImageError` that names the line: other base images, several stages, shell constructs and other
programs in RUN, ADD, ENTRYPOINT, USER, SHELL, editable installs, uv sync, poetry, micromamba, `run_function`, volumes.

Packages without a wheel run their own build code as the user, as any `pip install` does: build only what you trust.
"""

from local_modal.images.environment import Environment
from local_modal.images.errors import ImageError
from local_modal.images.store import ImageStore

__all__ = ["Environment", "ImageError", "ImageStore"]
