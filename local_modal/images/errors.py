"""What stops an image from being built, said to the deployer in one message."""

from local_modal.errors import LocalModalError


class ImageError(LocalModalError):
    """A line that can't be replayed, or a command that failed; the text says what to do."""
