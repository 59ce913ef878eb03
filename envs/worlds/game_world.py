"""What worlds of text commands share: a game that is made once and kept beside the episode, and
its own words for what cannot be done."""

from typing import Generic, TypeVar

from ludus.envs.base import TextEnv
from ludus.envs.outcome import Outcome

Made = TypeVar("Made")


class GameWorld(TextEnv, Generic[Made]):
    """A world whose rules are a game that takes time to make.

    With `on_invalid="noop"` a command that is no action costs a turn and changes nothing, and is
    answered in the game's words alone.
    """

    ON_INVALID = "noop"
    DERIVED = ("_made",)
    _made: Made | None

    def _make(self) -> Made:
        """The game of the episode, from attributes that are state."""
        raise NotImplementedError

    def _game(self) -> Made:
        if self._made is None:
            self._made = self._make()
        return self._made

    def _answer_invalid(self, actor: str, problem: str) -> Outcome:
        if self.on_invalid != "noop":
            return super()._answer_invalid(actor, problem)
        self._mistakes[actor] = self._mistakes.get(actor, 0) + 1
        self._inbox[actor].append(problem)
        return Outcome()
