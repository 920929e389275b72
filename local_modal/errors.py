"""The one error that reaches a user of local Modal: a sentence that says what is wrong and what to do."""


class LocalModalError(Exception):
    """A mistake or a lack that the user can mend; its text is the whole message, never a traceback."""
