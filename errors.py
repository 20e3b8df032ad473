"""The one exception that means: the user's input is wrong."""


class UserError(Exception):
    """A mistake of the user: one sentence that names the setting, its value, and what would be accepted.

    The command line prints the sentence alone and exits with code 2; every other exception is a bug and keeps its traceback.
    """
