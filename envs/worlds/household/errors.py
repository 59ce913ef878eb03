"""The one error of this world: something is wrong with a game file."""


class GameError(ValueError):
    """A game file that is truncated, foreign, or outside what the engine understands. One line."""
