"""What tests have of a local Modal, whichever way it runs."""

from typing import Protocol


class LocalModal(Protocol):
    """A local Modal that runs."""

    def get_url(self) -> str:
        """Where clients on this machine reach it."""
        ...

    def client_env(self) -> dict[str, str]:
        """The variables that connect a modal client: address, token (a secret) and environment."""
        ...
