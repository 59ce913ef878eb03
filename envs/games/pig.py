"""Pig: roll a die as long as you dare; a one loses the turn's points."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.outcome import Outcome
from ludus.envs.task import Task


class Pig(TextEnv):
    """Two seats, zero-sum; +1 for who first has enough points, -1 for the other.

    The die is thrown during the episode, from `chance`: forks with a seed of their own see other
    throws.

    Parameters:
        goal: Points that win. The board game has 100.
        sides: Of the die.
    """

    ENV_ID = "ludus/Pig-v1"
    ROLES = ("player_0", "player_1")
    ZERO_SUM = True
    MAX_TURNS = 300
    SPLIT_BY = "none"
    PARAMS: ClassVar[Mapping[str, Any]] = {"goal": 30, "sides": 6}
    VOCABULARY = ("pig", "die", "roll", "hold", "point")

    def _setup(self, task: Task, rng: random.Random) -> None:
        p = {**self.PARAMS, **task.params}
        self._goal, self._sides = p["goal"], p["sides"]
        if self._goal < 1 or self._sides < 2:
            raise ValueError(f"need goal >= 1 and sides >= 2, got {p}")
        self._scores = [0, 0]
        self._total = 0  # of this turn
        self._who = 0

    def _rules(self, seat: str) -> str:
        return (
            f"Pig. In your turn roll a die with sides 1 to {self._sides} as often as you like. A 1 "
            "ends the turn and its points are lost; any other number is added to the turn's "
            "points. Hold to keep them and end the turn. With "
            f"{self._goal} points in all you must hold, and win.\nYou are {seat}."
        )

    def _observe(self, seat: str) -> str:
        me = self.ROLES.index(seat)
        return (
            f"You have {self._scores[me]} points, the other {self._scores[1 - me]}; this turn "
            f"{self._total}."
        )

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[self._who],)

    def _legal(self, seat: str) -> Sequence[str]:
        enough = self._scores[self._who] + self._total >= self._goal
        return ("hold",) if enough else ("roll", "hold")

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, move),) = moves.items()
        other = self.ROLES[1 - self._who]
        if move == "roll":
            thrown = self.chance.randint(1, self._sides)
            if thrown == 1:
                self._total, self._who = 0, 1 - self._who
            else:
                self._total += thrown
            return Outcome(text=f"{seat} rolls {thrown}.")
        self._scores[self._who] += self._total
        news = {other: f"{seat} holds {self._total} points."}
        if self._scores[self._who] >= self._goal:
            return Outcome(
                {seat: 1.0, other: -1.0},
                terminated=True,
                text=news,
                reason=f"{seat} has {self._scores[self._who]} points",
            )
        self._total, self._who = 0, 1 - self._who
        return Outcome(text=news)

    def _render(self) -> str:
        a, b = self._scores
        return f"player_0 {a}   player_1 {b}   goal {self._goal}   turn {self._total}"
