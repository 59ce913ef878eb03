"""Liar's dice for two: bid on all dice while seeing only your own, or call the other a liar.

Rules as in OpenSpiel's `liars_dice`: the highest face is wild, a bid must raise the quantity, or
the face at the same quantity, and the bidder wins if the dice bear the last bid out.
"""

import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.outcome import Outcome
from ludus.envs.task import Task

_LIAR = "liar"


class LiarsDice(TextEnv):
    """Two seats, zero-sum; +1 for whoever is right about the last bid, -1 for the other.

    Parameters:
        dice: Of each seat.
        sides: Of a die. The standard game has six; with four, `nash` solves it.
        rolls: The dice of both seats, such as [[1], [3]]. By default rolled.
    """

    ENV_ID = "ludus/LiarsDice-v1"
    ROLES = ("player_0", "player_1")
    ZERO_SUM = True
    MAX_TURNS = 64
    SPLIT_BY = "none"
    PARAMS: ClassVar[Mapping[str, Any]] = {"dice": 1, "sides": 4, "rolls": None}
    VOCABULARY = ("liar's", "liar", "dice", "die", "bid")

    def _setup(self, task: Task, rng: random.Random) -> None:
        p = {**self.PARAMS, **task.params}
        self._dice, self._sides = p["dice"], p["sides"]
        if not (1 <= self._dice <= 5 and 2 <= self._sides <= 9):
            raise ValueError(f"need 1 to 5 dice and 2 to 9 sides, got {p}")
        drawn = [sorted(rng.randint(1, self._sides) for _ in range(self._dice)) for _ in range(2)]
        self._rolls: list[list[int]] = drawn if p["rolls"] is None else p["rolls"]
        if [len(roll) for roll in self._rolls] != [self._dice] * 2 or not all(
            1 <= face <= self._sides for roll in self._rolls for face in roll
        ):
            raise ValueError(f"rolls do not fit the dice: {self._rolls}")
        self._bids: list[int] = []  # places among all bids, rising

    def _rules(self, seat: str) -> str:
        have = "one die" if self._dice == 1 else f"{self._dice} dice"
        return (
            f"Liar's dice. Each has {have} with faces 1 to {self._sides}, seen by its owner only; "
            f"face {self._sides} is wild and counts as every face. Take turns: bid 2x3 says that "
            "at least two of all dice show 3. A bid must have a greater quantity than the last, or "
            "the same and a greater face. Or answer the last bid by liar: whoever bid wins if "
            f"it is true, else the other.\nYou are {seat}. You rolled {self._roll(seat)}."
        )

    def _roll(self, seat: str) -> str:
        return " ".join(map(str, self._rolls[self.ROLES.index(seat)]))

    def _bid(self, place: int) -> str:
        quantity, face = divmod(place, self._sides)
        return f"bid {quantity + 1}x{face + 1}"

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[len(self._bids) % 2],)

    def _legal(self, seat: str) -> Sequence[str]:
        least = self._bids[-1] + 1 if self._bids else 0
        bids = [self._bid(place) for place in range(least, 2 * self._dice * self._sides)]
        return [*bids, _LIAR] if self._bids else bids

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, move),) = moves.items()
        other = self.ROLES[1 - self.ROLES.index(seat)]
        news = {other: f"{seat}: {move}"}
        if move != _LIAR:
            quantity, _, face = move.removeprefix("bid ").partition("x")
            self._bids.append((int(quantity) - 1) * self._sides + int(face) - 1)
            return Outcome(text=news)
        quantity, face = divmod(self._bids[-1], self._sides)
        true = self._count(face + 1) >= quantity + 1
        gain = -1.0 if true else 1.0
        return Outcome(
            {seat: gain, other: -gain},
            terminated=True,
            text=news,
            reason=f"{self._bid(self._bids[-1])} was {'true' if true else 'a lie'}",
        )

    def _count(self, face: int) -> int:
        return sum(die in (face, self._sides) for roll in self._rolls for die in roll)

    def _secrets(self, seat: str) -> Sequence[str]:
        return (f"You are {seat}. You rolled {self._roll(seat)}.",)

    def _render(self) -> str:
        said = " ".join(self._bid(place).removeprefix("bid ") for place in self._bids) or "-"
        return f"player_0 {self._rolls[0]}   player_1 {self._rolls[1]}   bids: {said}"

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]] | None:
        """All rolls, if there are at most a thousand."""
        p = {**cls.PARAMS, **params}
        own = {name: p[name] for name in ("dice", "sides") if p[name] != cls.PARAMS[name]}
        if p["rolls"] is not None:
            return [(1.0, Task(cls.ENV_ID, "worlds", 0, 0, {**own, "rolls": p["rolls"]}))]
        if p["sides"] ** p["dice"] > 1000:
            return None
        faces = range(1, p["sides"] + 1)
        rolls = Counter(tuple(sorted(roll)) for roll in itertools.product(faces, repeat=p["dice"]))
        if len(rolls) ** 2 > 1000:
            return None
        total = p["sides"] ** (2 * p["dice"])
        return [
            (n * m / total, Task(cls.ENV_ID, "worlds", i, i, {**own, "rolls": [list(a), list(b)]}))
            for i, ((a, n), (b, m)) in enumerate(itertools.product(rolls.items(), repeat=2))
        ]
