"""The GPU server's image on a machine without a GPU; whether CUDA executes is untested until a machine has one."""

import ast
from collections.abc import Iterator

import pytest
from docker.models.images import Image

from modal_app.settings import INFERENCE_VERSION, MODAL_VERSION
from tests.docker.inference_server import InferenceServer

CUDA_LINKS = """
import ctypes, pathlib, re, torch, onnxruntime
onnxruntime.preload_dlls()
provider = pathlib.Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
names = set(re.findall(rb"lib(?:cu|nv)[a-zA-Z]*[.]so[.][0-9]+", provider.read_bytes())) - {b"libcuda.so.1"}
print(sorted(name.decode() for name in names if ctypes.CDLL(name.decode())))
"""
"""Loads what the provider links to of CUDA, but for the driver, which comes with a GPU."""


@pytest.fixture(scope="module")
def server(gpu_image: Image) -> Iterator[InferenceServer]:
    """A server without a network, a setting or a GPU."""
    with InferenceServer(gpu_image).on("none") as server:
        yield server


def test_without_a_gpu_it_becomes_healthy_and_says_what_it_falls_back_to(server: InferenceServer) -> None:
    assert server.attributes["State"]["Health"]["Status"] == "healthy"
    said = [line for line in server.log.splitlines() if line.startswith("start: ")]
    assert len(said) == 1
    assert "no GPU answers, so models fall back to the CPU" in said[0]


def test_it_holds_what_its_list_pins(server: InferenceServer) -> None:
    script = "from importlib.metadata import version as v; print(v('inference-gpu'), v('modal'), v('onnxruntime-gpu'))"
    assert server.run(["python", "-c", script])[1].split()[:2] == [INFERENCE_VERSION, MODAL_VERSION]


def test_onnx_runtimes_cuda_provider_finds_every_library_that_it_links_to(server: InferenceServer) -> None:
    status, said = server.run(["python", "-c", CUDA_LINKS])
    assert status == 0, said
    assert {"libcublas.so.12", "libcudart.so.12", "libcudnn.so.9"} <= set(ast.literal_eval(said.splitlines()[-1]))
