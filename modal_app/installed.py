"""The version of inference that this process has, a server's or a container's, whatever it was meant to be."""

import importlib.metadata

DISTRIBUTIONS = ("inference-cpu", "inference-gpu", "inference", "inference-core")
"""The packages that bring inference; a server has one of them."""

UNKNOWN = "unknown"


def _find() -> str:
    for distribution in DISTRIBUTIONS:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return UNKNOWN


INFERENCE_VERSION = _find()
