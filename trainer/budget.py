"""How many rollouts each task of a step gets."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ludus.trainer.curriculum import allocate

REMEMBERED = 100_000
"""Tasks whose success rate is kept; the oldest are forgotten first."""


class Budget(Protocol):
    """Shares out a step's episodes."""

    def sizes(self, tasks: Sequence[str], episodes: int) -> list[int]:
        """Episodes of each task, by key; they add up."""

    def learn(self, solved: Mapping[str, Sequence[float]]) -> None:
        """Take in a step: by task, 1 for every episode that was solved or won, else less."""

    def state_dict(self) -> dict[str, Any]:
        """What is remembered between steps; JSON types."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


class Knapsack:
    """More rollouts for tasks that are sometimes solved, see `allocate`; a task's success rate is
    that of the last time it was played, of a task never played that of all tasks lately.

    Args:
        low: A task has at least so many episodes.
        high: At most.

    Source: Knapsack RL, arXiv:2509.25849. Its rates are of the last epoch over a fixed set; where
    tasks hardly ever come again all are alike, and so are their shares.
    """

    def __init__(self, low: int = 2, high: int = 128) -> None:
        if not 2 <= low <= high:
            raise ValueError(f"a budget needs 2 <= low <= high, got {low} and {high}")
        self.low, self.high = low, high
        self.rates: dict[str, float] = {}
        self.overall = 0.5

    def sizes(self, tasks: Sequence[str], episodes: int) -> list[int]:
        """What gains most by `rollout_value`."""
        rates = [self.rates.get(key, self.overall) for key in tasks]
        return allocate(rates, episodes, low=self.low, high=self.high)

    def learn(self, solved: Mapping[str, Sequence[float]]) -> None:
        """Rates of what was played."""
        for key, points in solved.items():
            self.rates.pop(key, None)  # the newest last
            self.rates[key] = sum(points) / len(points)
        while len(self.rates) > REMEMBERED:
            del self.rates[next(iter(self.rates))]
        if everything := [p for points in solved.values() for p in points]:
            self.overall = 0.9 * self.overall + 0.1 * sum(everything) / len(everything)

    def state_dict(self) -> dict[str, Any]:
        """The rates."""
        return {"rates": dict(self.rates), "overall": self.overall}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over rates."""
        self.rates, self.overall = dict(state["rates"]), float(state["overall"])


BUDGETS = {"knapsack": Knapsack}
"""Budgets by name."""
