"""The compiled lists: pinned, hashed, of one mind, at the versions that modal_app/settings.py states."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from modal_app import settings
from tests.unit.test_import_boundaries import imports

ROOT = Path(__file__).parents[3]
LISTS = sorted((ROOT / "requirements").glob("requirements.*.txt"))
SOURCES = sorted((ROOT / "requirements").glob("requirements.*.in"))
IMAGES = {"requirements.gateway", "requirements.server-cpu", "requirements.server-gpu"}
"""Lists of the servers' images only, which take overrides that no package's metadata can state."""


def pins(path: Path) -> dict[str, str]:
    """Name to version; fails where a line is anything but a pin, a hash or a comment."""
    found = {}
    entry = re.compile(
        r"(?P<name>[a-z0-9-]+)(\[[a-z0-9,-]+\])?==(?P<version>[^ ;]+)( ; [^\\]+)?( --hash=sha256:[0-9a-f]{64})+"
    )
    for line in re.sub(r" \\\n +", " ", path.read_text()).splitlines():
        if line.lstrip().startswith("#"):
            continue
        match = entry.fullmatch(line)
        assert match, f"{path.name}: not pinned with hashes: {line[:80]}"
        found[match["name"]] = match["version"]
    return found


def test_every_source_has_a_compiled_list_and_every_list_a_source() -> None:
    assert [path.stem for path in LISTS] == [path.stem for path in SOURCES]
    assert LISTS


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.name)
def test_a_list_holds_pinned_and_hashed_packages_only(path: Path) -> None:
    assert pins(path)


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.name)
def test_a_list_names_no_host_and_no_folder_of_the_machine_that_compiled_it(path: Path) -> None:
    assert re.findall(r"https?://|--(?:extra-)?index-url|--find-links|/(?:home|root|tmp|opt)/", path.read_text()) == []


@pytest.mark.parametrize(
    ("name", "package", "version"),
    [
        ("server", "inference-cpu", settings.INFERENCE_VERSION),
        ("server", "modal", settings.MODAL_VERSION),
        ("server-cpu", "inference-cpu", settings.INFERENCE_VERSION),
        ("server-cpu", "modal", settings.MODAL_VERSION),
        ("server-gpu", "inference-gpu", settings.INFERENCE_VERSION),
        ("server-gpu", "modal", settings.MODAL_VERSION),
        ("modal", "modal", settings.MODAL_VERSION),
        ("local-modal", "modal", settings.MODAL_VERSION),
        ("local-modal", "uv", settings.UV_VERSION),
        ("uv", "uv", settings.UV_VERSION),
    ],
)
def test_a_list_has_the_version_that_the_settings_state(name: str, package: str, version: str) -> None:
    assert pins(ROOT / "requirements" / f"requirements.{name}.txt")[package] == version


def test_no_two_lists_pin_different_versions() -> None:
    """But for the GPU server's, whose torch is of another CUDA, and which is installed with Modal's client only."""
    versions: dict[str, set[str]] = {}
    for path in LISTS:
        if path.stem == "requirements.server-gpu":
            continue
        for name, version in pins(path).items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_the_gpu_servers_list_goes_with_modals_client() -> None:
    gpu, modal = (pins(ROOT / "requirements" / f"requirements.{name}.txt") for name in ("server-gpu", "modal"))
    assert modal.items() <= gpu.items()


@pytest.mark.parametrize("name", ["server", "server-cpu", "server-gpu"])
def test_one_opencv_is_installed(name: str) -> None:
    server = pins(ROOT / "requirements" / f"requirements.{name}.txt")
    assert [name for name in server if name.startswith("opencv-")] == ["opencv-contrib-python-headless"]


def test_the_cpu_servers_list_is_the_servers_with_another_torch_and_without_cuda() -> None:
    server, cpu = (pins(ROOT / "requirements" / f"requirements.{name}.txt") for name in ("server", "server-cpu"))
    torch = pins(ROOT / "requirements" / "torch-cpu.txt")
    left_out = server.keys() - cpu.keys()
    assert cpu.items() <= server.items()
    assert {name for name in left_out if not re.match("cuda-|nvidia-", name)} == {"torch", "torchvision", "triton"}
    assert torch.keys() == {"torch", "torchvision"}
    assert all(version.endswith("+cpu") for version in torch.values())


def test_the_gpu_servers_torch_and_onnx_runtime_are_of_one_cuda() -> None:
    gpu = pins(ROOT / "requirements" / "requirements.server-gpu.txt")
    assert gpu["torch"] == "2.6.0"  # of CUDA 12
    assert "nvidia-cudnn-cu12" in gpu
    assert tuple(map(int, gpu["onnxruntime-gpu"].split(".")[:2])) <= (1, 22)


def test_the_sources_leave_these_versions_to_the_settings() -> None:
    text = "\n".join(path.read_text() for path in SOURCES)
    assert re.findall(r"^(?:inference\S*|modal|uv)\s*[=<>~!].*", text, re.MULTILINE) == []


def test_the_package_metadata_reads_the_sources() -> None:
    dynamic = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
    groups = [dynamic["dependencies"], *dynamic["optional-dependencies"].values()]
    named = sorted(file for group in groups for file in group["file"])
    assert named == sorted(str(path.relative_to(ROOT)) for path in SOURCES if path.stem not in IMAGES)


PACKAGES = {
    "infra": ["infra"],
    "infra/supply_chain": ["infra", "dev"],
    "local_modal": ["local-modal"],
    "local_modal/testing": ["local-modal", "testing"],
    "modal_app": ["server"],
}


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_imports_is_in_its_lists(package: str) -> None:
    listed = {name for list_ in PACKAGES[package] for name in pins(ROOT / "requirements" / f"requirements.{list_}.txt")}
    others = [ROOT / other for other in PACKAGES if other.startswith(f"{package}/")]
    paths = (path for path in (ROOT / package).rglob("*.py") if not any(path.is_relative_to(other) for other in others))
    modules = {module.split(".")[0] for path in paths for _, module in imports(ast.parse(path.read_text("utf-8")))}
    foreign = modules - {package.partition("/")[0]} - sys.stdlib_module_names
    brought_by = packages_distributions()
    assert foreign
    unlisted = [module for module in foreign if not {distribution_id(d) for d in brought_by.get(module, [])} & listed]
    assert sorted(unlisted) == []


def distribution_id(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
