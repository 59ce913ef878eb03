"""What is wrong with a game file."""


class GameError(ValueError):
    """A game file that is truncated, foreign, or outside what the engine understands. One line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


class UnsayableError(GameError):
    """A sentence that cannot be said. In an action's answer the reference engine then says "Nothing
    happens.", though the action was carried out; anywhere else it fails."""
