"""The image that every executor shares: Debian, Python, the released inference package, and the sandbox's own source.

It is defined on the deploying machine and only described to Modal; nothing here imports inference.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import modal

from modal_app.settings import PYTHON_VERSION, UV_VERSION, AppSettings

APT_LIBRARIES = ("libgl1", "libglib2.0-0")
"""What cv2 needs of the system: libGL, libgthread, libglib."""

ENVIRONMENT = {
    "DISABLE_VERSION_CHECK": "True",
    "TELEMETRY_OPT_OUT": "True",
    "WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE": "local",
    "ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS": "True",
    # A container serves one call: threads of its own would only compete with its siblings, and none may be alive
    # when a memory snapshot is taken.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
}

SOURCE_NOT_NEEDED = ("server", "smoke", "build.py", "warm.py", "settings_schema.py")
"""Parts of modal_app that belong to the caller's side and stay out of the container."""

GATEWAY_REQUIREMENTS = Path(__file__).parents[1] / "requirements" / "requirements.gateway.txt"
"""What the Gateway's image holds, beside Python and Modal's client; it is read when the image is built."""

PROBE_SECONDS = 20


def executor_image(settings: AppSettings) -> modal.Image:
    """The image that the settings ask for, a published one or one to build, with the source that runs in it."""
    image = modal.Image.from_name(settings.image_tag) if settings.image_tag else build_image(settings)
    return image.add_local_python_source("modal_app", ignore=_stays_here)


def build_image(settings: AppSettings) -> modal.Image:
    """The image without that source, described; Modal builds it at the first deploy and when a line of it changes.

    uv compiles bytecode (`uv_pip_install` passes the option), which halves the time of the import before the snapshot.
    Packages for blocks are a layer of their own. uv resolves them together with inference, so that one that doesn't
    agree with it fails the build, rather than replace what inference needs.
    """
    inference = f"inference-cpu=={settings.inference_version}"
    options = "--torch-backend=cpu" if modal.is_local() and torch_build(settings.torch) == "cpu" else ""
    image = (
        modal.Image.debian_slim(python_version=PYTHON_VERSION)
        .apt_install(*APT_LIBRARIES)
        .uv_pip_install(inference, uv_version=UV_VERSION, extra_options=options)
    )
    if settings.packages:
        image = image.uv_pip_install(inference, *settings.packages, uv_version=UV_VERSION, extra_options=options)
    return image.env(ENVIRONMENT)


def gateway_image() -> modal.Image:
    """The image of the Gateway, which has no inference: Debian, Python, a web framework."""
    image = modal.Image.debian_slim(python_version=PYTHON_VERSION).uv_pip_install(
        requirements=[str(GATEWAY_REQUIREMENTS)], uv_version=UV_VERSION
    )
    return image.add_local_python_source("modal_app", ignore=_stays_here)


@cache
def torch_build(choice: str) -> str:
    """Which build of torch the image installs, "cpu" or "default"; says so on stderr.

    `auto` means the CPU build where torch's own index answers this machine within seconds, else the build of the
    default index (several GB larger: it brings CUDA). uv knows where that index is; it is asked for a dry run.
    """
    if choice != "auto":
        build, reason = choice, "as CUSTOM_BLOCKS_TORCH says"
    elif (uv := _find_uv()) is None:
        build, reason = "default", "uv isn't installed here, so torch's own index can't be asked"
    elif _cpu_index_answers(uv):
        build, reason = "cpu", "torch's own index answers"
    else:
        build, reason = "default", "torch's own index can't be reached from here"
    name = "CPU build" if build == "cpu" else "build of the default package index"
    sys.stderr.write(f"image: torch is the {name} ({reason})\n")
    return build


def _find_uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")


def _cpu_index_answers(uv: str) -> bool:
    command = [uv, "pip", "compile", "--quiet", "--no-deps", "--no-cache", "--no-config", "--torch-backend=cpu"]
    command += [f"--python-version={PYTHON_VERSION}", "-"]
    environment = {**os.environ, "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "5"}
    try:
        probe = subprocess.run(  # noqa: S603 - uv itself, with fixed arguments
            command, input=b"torch\n", capture_output=True, env=environment, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def _stays_here(path: Path) -> bool:
    return path.suffix != ".py" or any(part in SOURCE_NOT_NEEDED for part in path.parts)
