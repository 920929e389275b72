"""Local Modal for other projects' tests: as a process, as a container, and as fixtures of pytest (docs/testing.md).

Nothing is imported before it is asked for: pytest loads `plugin` at every start, wherever this package is installed.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local_modal.testing.connection import LocalModal
    from local_modal.testing.container import LocalModalContainer
    from local_modal.testing.process import LocalModalProcess

__all__ = ["LocalModal", "LocalModalContainer", "LocalModalProcess"]

_MODULES = {"LocalModal": "connection", "LocalModalContainer": "container", "LocalModalProcess": "process"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - not before it is asked for

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
