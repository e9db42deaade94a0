"""What is wrong with an input, said in one line: what was found, what was expected, how to mend it."""


class InputError(ValueError):
    """A file or an option that cannot be used; the message is one line for the user."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
