"""The one exception that means: the user's input is wrong."""


class UserError(Exception):
    """A mistake of the user: one sentence that names the setting, its value, and what would be accepted.

    The command line prints the sentence alone and exits with code 2; every other exception is a bug and keeps its traceback.
    """


class Stopped(Exception):
    """The run was asked to stop, has saved, and leaves with `code`: 130 (Ctrl-C) or 75 (preempted: run the same command again)."""

    def __init__(self, message: str, *, code: int):
        super().__init__(message)
        self.code = code
