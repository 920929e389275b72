"""Which versions of modal's client are served: those that the contract tests run with, and no other."""

from grpclib import GRPCError, Status

from local_modal.settings import CLIENT_VERSION, CLIENT_VERSIONS


def ensure_served(version: str) -> None:
    """Refuse a client of another version by what to install; what names no version is no client of modal's, and passes.

    Raises:
        GRPCError: FAILED_PRECONDITION, `modal.exception.ConflictError` at the caller.
    """
    release = version.partition(".dev")[0].partition("+")[0]
    if version and release not in CLIENT_VERSIONS:
        raise GRPCError(
            Status.FAILED_PRECONDITION,
            f"local Modal doesn't serve modal {version[:32]}: it speaks with {CLIENT_VERSIONS[0]} to "
            f"{CLIENT_VERSIONS[-1]}; `pip install modal=={CLIENT_VERSION}`",
        )
