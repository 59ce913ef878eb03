"""A first-price sealed-bid auction: the higher bid wins and pays itself.

Values, bids and payments as in OpenSpiel's `first_sealed_auction`; a tie is broken by a coin that
is thrown with the values.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.outcome import Outcome
from ludus.envs.task import Task


class FirstPriceAuction(TextEnv):
    """Two seats that bid at once; the winner gets the value to it less its bid, the other 0.

    Parameters:
        highest: Values are 1 to this, equally likely.
        values: Of both seats. By default drawn.
        tie: The seat, 0 or 1, that wins a tie. By default drawn.
    """

    ENV_ID = "ludus/FirstPriceAuction-v1"
    ROLES = ("player_0", "player_1")
    MAX_TURNS = 16
    SPLIT_BY = "none"
    FORFEIT = (-1.0, 0.0)
    PARAMS: ClassVar[Mapping[str, Any]] = {"highest": 10, "values": None, "tie": None}
    VOCABULARY = ("auction", "bid", "item")

    def _setup(self, task: Task, rng: random.Random) -> None:
        p = {**self.PARAMS, **task.params}
        highest = p["highest"]
        if not 1 <= highest <= 100:
            raise ValueError(f"need highest from 1 to 100, got {highest}")
        drawn, coin = [rng.randint(1, highest) for _ in self.ROLES], rng.randrange(2)
        self._highest = highest
        self._values: list[int] = drawn if p["values"] is None else p["values"]
        self._tie: int = coin if p["tie"] is None else p["tie"]
        if (
            len(self._values) != 2
            or not all(1 <= v <= highest for v in self._values)
            or self._tie not in (0, 1)
        ):
            raise ValueError(f"need values from 1 to {highest} and tie 0 or 1, got {p}")

    def _rules(self, seat: str) -> str:
        value = self._values[self.ROLES.index(seat)]
        return (
            "An auction of one item for two. Both write a bid at the same time; the higher bid "
            "gets the item and pays what it bid, the other pays nothing. A coin decides ties. You "
            "score what the item is worth to you less what you pay. The other's value is hidden, "
            f"each of 1 to {self._highest} as likely.\nYou are {seat}. The item is worth {value} "
            "to you."
        )

    def _acting(self) -> tuple[str, ...]:
        return self.ROLES

    def _legal(self, seat: str) -> Sequence[str]:
        return [str(bid) for bid in range(self._values[self.ROLES.index(seat)])]

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        bids = [int(moves[role]) for role in self.ROLES]
        winner = self._tie if bids[0] == bids[1] else bids.index(max(bids))
        seat, gain = self.ROLES[winner], float(self._values[winner] - bids[winner])
        said = ", ".join(f"{role} bid {moves[role]}" for role in self.ROLES)
        return Outcome(
            {seat: gain, self.ROLES[1 - winner]: 0.0},
            terminated=True,
            text=f"{said}; {seat} wins.",
            metrics={"auction/efficient": float(self._values[winner] == max(self._values))},
            reason=f"{seat} wins for {bids[winner]}",
        )

    def _secrets(self, seat: str) -> Sequence[str]:
        value = self._values[self.ROLES.index(seat)]
        return (f"You are {seat}. The item is worth {value} to you.",)

    def _render(self) -> str:
        return f"worth: player_0 {self._values[0]}   player_1 {self._values[1]}"

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]] | None:
        """All values and coins, if there are at most a thousand."""
        p = {**cls.PARAMS, **params}
        either = range(1, p["highest"] + 1)
        values = itertools.product(either, either) if p["values"] is None else [p["values"]]
        ties = (0, 1) if p["tie"] is None else (p["tie"],)
        found = list(itertools.product(values, ties))
        if len(found) > 1000:
            return None
        own = {} if p["highest"] == cls.PARAMS["highest"] else {"highest": p["highest"]}
        return [
            (
                1 / len(found),
                Task(cls.ENV_ID, "worlds", i, i, {**own, "values": list(pair), "tie": tie}),
            )
            for i, (pair, tie) in enumerate(found)
        ]
