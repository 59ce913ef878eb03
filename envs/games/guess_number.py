"""Guess the number: the smallest task with several turns and informative answers."""

import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.outcome import Golden, InvalidMove, Outcome
from ludus.envs.task import Task

_INTEGER = re.compile(r"-?\d{1,9}")  # bounded: int() refuses texts of thousands of digits


class GuessNumber(TextEnv):
    """One seat. Reward 1 for the number, else 0; a wrong guess is told to be too low or high.

    Parameters:
        low, high: The number is one of low..high, both included.
        guesses: The episode ends, unsolved, after this many.
    """

    ENV_ID = "ludus/GuessNumber-v1"
    MAX_TURNS = 64
    SPLIT_BY = "none"
    PARAMS: ClassVar[Mapping[str, Any]] = {"low": 1, "high": 8, "guesses": 4}

    def _setup(self, task: Task, rng: random.Random) -> None:
        p = {**self.PARAMS, **task.params}
        self._low, self._high, self._left = p["low"], p["high"], p["guesses"]
        if self._low > self._high or self._left < 1:
            raise ValueError(f"need low <= high and guesses >= 1, got {p}")
        self._number = rng.randint(self._low, self._high)
        # What the answers so far leave possible.
        self._from, self._to = self._low, self._high

    def _rules(self, seat: str) -> str:
        return (
            f"Guess the number. I think of an integer from {self._low} to {self._high}. After a "
            f"wrong guess I say whether mine is higher or lower. You have {self._left} guesses."
        )

    def _parse(self, text: str, seat: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise InvalidMove("not an integer")
        return int(text)

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, guess),) = moves.items()
        self._left -= 1
        if guess == self._number:
            return Outcome({seat: 1.0}, terminated=True, success=True, reason="guessed")
        if guess < self._number:
            self._from, news = max(self._from, guess + 1), "Higher."
        else:
            self._to, news = min(self._to, guess - 1), "Lower."
        if self._left == 0:
            return Outcome(terminated=True, text=news, success=False, reason="out of guesses")
        return Outcome(text=news)

    def golden(self, seat: str | None = None) -> Golden:
        """The number. It cannot be secret: numbers also stand in the rules."""
        number = str(self._number)
        return Golden(
            action=self.format.write(number), answer=number, plan=(self.format.write(number),)
        )
