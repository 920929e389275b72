"""What ends a command with one line for the user, and its exit statuses."""

FAILED = 1
HELD = 75
"""Another deployment holds the stack (EX_TEMPFAIL of sysexits.h): later, the same command may work."""
STACK_NOT_FOUND = 6
DRIFT = 7
"""As the Pulumi CLI exits: no such stack; changes where none were expected."""


class ConvergeError(Exception):
    """The message says what is wrong and what to do."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status
