"""Why a request gets no result of a block, as either door says it."""


class Problem(Exception):
    """What the client is told in place of a result.

    Args:
        error_type: what kind of problem it is, a name of the wire's where it has one.
        message: one line for whoever reads the workflow's error.
        status: of HTTP. The client reads an answer with 200 as the block's own failure, any other as one of the
            infrastructure, with the body shown to the user.
        server_error: whether the door rather than the block is why; over WebSocket it decides what the user is told.
        fields: more that the answer has.
    """

    def __init__(
        self, error_type: str, message: str, status: int = 400, *, server_error: bool = True, **fields: str
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.status = status
        self.server_error = server_error
        self.fields = fields


def bad_request(message: str, status: int = 400) -> Problem:
    """A request that the wire doesn't have."""
    return Problem("InvalidRequest", message, status)


def busy(message: str) -> Problem:
    """More than this container takes at once."""
    return Problem("ServerBusy", message, 503)
