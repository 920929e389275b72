"""What goes wrong with images, in a sentence that says what to do."""


class ImageError(RuntimeError):
    """No engine, no BuildKit, a failed build, a refused push."""
