"""Nim: take stones from piles; whoever takes the last wins, or in misère play loses."""

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.outcome import Outcome
from ludus.envs.task import Task


class Nim(TextEnv):
    """Two seats, zero-sum; +1 for the winner, -1 for the loser.

    Parameters:
        piles: Stones in each pile at the start, such as [1, 3, 5, 7]. By default drawn: `heaps`
            piles of 1 to `largest` stones.
        heaps: How many piles are drawn.
        largest: Stones in a pile that is drawn, at most.
        misere: Whether whoever takes the last stone loses.
    """

    ENV_ID = "ludus/Nim-v1"
    ROLES = ("player_0", "player_1")
    ZERO_SUM = True
    MAX_TURNS = 200
    SPLIT_BY = "none"
    PARAMS: ClassVar[Mapping[str, Any]] = {
        "piles": None, "heaps": 3, "largest": 5, "misere": False,
    }  # fmt: skip
    VOCABULARY = ("Nim", "pile", "stone", "take")

    def _setup(self, task: Task, rng: random.Random) -> None:
        p = {**self.PARAMS, **task.params}
        if not 1 <= p["heaps"] <= 60 or p["largest"] < 1:
            raise ValueError(f"need 1 to 60 heaps, largest >= 1, got {p['heaps']}, {p['largest']}")
        drawn = [rng.randint(1, p["largest"]) for _ in range(p["heaps"])]
        self._piles: list[int] = drawn if p["piles"] is None else list(p["piles"])
        if not any(self._piles) or min(self._piles) < 0 or sum(self._piles) > 60:
            raise ValueError(f"piles need 1 to 60 stones in all, none negative, got {self._piles}")
        self._misere: bool = p["misere"]
        self._who = 0

    def _rules(self, seat: str) -> str:
        end = "loses" if self._misere else "wins"
        return (
            "Nim. Players move in turn and take any number of stones, at least one, from one "
            f"pile. Whoever takes the last stone of all {end}. A move is written as: take 2 from "
            f"1 (two stones of the first pile).\nYou are {seat}."
        )

    def _observe(self, seat: str) -> str:
        return "Piles: " + ", ".join(f"{i + 1} has {n}" for i, n in enumerate(self._piles)) + "."

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[self._who],)

    def _legal(self, seat: str) -> Sequence[str]:
        return [
            f"take {n} from {i + 1}"
            for i, stones in enumerate(self._piles)
            for n in range(1, stones + 1)
        ]

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, move),) = moves.items()
        _, taken, _, pile = move.split()
        self._piles[int(pile) - 1] -= int(taken)
        self._who = 1 - self._who
        other = self.ROLES[self._who]
        news = {other: f"{seat}: {move}"}
        if any(self._piles):
            return Outcome(text=news)
        gain = -1.0 if self._misere else 1.0
        return Outcome(
            {seat: gain, other: -gain},
            terminated=True,
            text=news,
            reason=f"{seat} took the last stone",
        )

    def _render(self) -> str:
        return "\n".join(f"{i + 1}: {'o' * n or '-'}" for i, n in enumerate(self._piles))

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]] | None:
        """All piles that may be drawn, if there are at most a thousand."""
        p = {**cls.PARAMS, **params}
        if p["piles"] is not None:
            starts: list[tuple[int, ...]] = [tuple(p["piles"])]
        elif p["largest"] ** p["heaps"] > 1000:
            return None
        else:
            starts = list(itertools.product(range(1, p["largest"] + 1), repeat=p["heaps"]))
        own = {"misere": True} if p["misere"] else {}
        return [
            (1 / len(starts), Task(cls.ENV_ID, "worlds", i, i, {"piles": list(piles), **own}))
            for i, piles in enumerate(starts)
        ]
