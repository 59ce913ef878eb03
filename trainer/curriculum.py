"""Where to spend rollouts: budgets per task, bandits over kinds of tasks, opponents by strength.

Pure functions and small objects with state; a run's loop asks them what to play next.
"""

import random
from collections.abc import Hashable, Mapping, Sequence
from math import exp
from typing import Any, TypeVar

K = TypeVar("K", bound=Hashable)

# ---- budgets -----------------------------------------------------------------------------------


def rollout_value(count: int, rate: float) -> float:
    """Worth of `count` rollouts of a task solved with probability `rate`: the chance of seeing both
    outcomes, times what a success then moves.

        V = (1 - p^N - (1 - p)^N) p (1 - p)^2

    Source: Knapsack RL, arXiv:2509.25849.

    >>> round(rollout_value(8, 0.5), 6)
    0.124023
    """
    return (1 - rate**count - (1 - rate) ** count) * rate * (1 - rate) ** 2


def allocate(rates: Sequence[float], budget: int, *, low: int = 2, high: int = 128) -> list[int]:
    """Rollouts per task that maximise the sum of `rollout_value`. V is concave in N, so giving each
    next rollout to where it adds most is optimal.

    Args:
        rates: Success rate of each task, from earlier rollouts. A rate of 0 from few samples means
            unknown: such tasks get what is left when nothing more is gained elsewhere.
        budget: Rollouts in all.
        low: At least so many a task.
        high: At most so many.

    Returns:
        Counts that add up to the budget.

    Raises:
        ValueError: If the budget cannot be met within the bounds.

    >>> allocate([0.05, 0.3, 0.9], 24, high=20)
    [12, 10, 2]
    """
    if not 1 <= low <= high or not low * len(rates) <= budget <= high * len(rates):
        raise ValueError(
            f"{len(rates)} tasks of {low} to {high} rollouts cannot use a budget of {budget}"
        )
    counts = [low] * len(rates)

    def gain(i: int) -> tuple[float, bool, int]:
        more = rollout_value(counts[i] + 1, rates[i]) - rollout_value(counts[i], rates[i])
        return (more if 0 < rates[i] < 1 else 0.0, rates[i] == 0, -counts[i])

    for _ in range(budget - sum(counts)):
        counts[max((i for i in range(len(rates)) if counts[i] < high), key=gain)] += 1
    return counts


# ---- curricula -----------------------------------------------------------------------------------


def softmax(values: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Probabilities.

    >>> softmax([1000.0, 1000.0])
    [0.5, 0.5]
    """
    top = max(values)
    weights = [exp((v - top) / temperature) for v in values]
    return [w / sum(weights) for w in weights]


class Bandit:
    """Chooses among kinds of tasks by how much was learnt from each of late.

        Q <- (1 - lr) Q + lr score,  P = softmax(Q / temperature)

    The score of a kind in a step is the mean |advantage| of its tokens, which for binary returns is
    largest where half of the attempts succeed.

    Args:
        kinds: What there is to choose from.
        lr: How fast Q follows.
        temperature: Of the choice.
        decay_all: Let kinds that were not played fall towards 0 as well, as the authors' code does.

    Source: SEC, arXiv:2505.14970.

    >>> bandit = Bandit(["easy", "hard"])
    >>> bandit.learn({"hard": 1.0})
    >>> bandit.values
    {'easy': 0.0, 'hard': 0.5}
    """

    def __init__(
        self,
        kinds: Sequence[str],
        *,
        lr: float = 0.5,
        temperature: float = 1.0,
        decay_all: bool = False,
    ) -> None:
        if not kinds or not 0 < lr <= 1 or temperature <= 0:
            raise ValueError("a bandit needs kinds, 0 < lr <= 1 and temperature > 0")
        self.values = dict.fromkeys(kinds, 0.0)
        self.lr, self.temperature, self.decay_all = lr, temperature, decay_all

    def probs(self) -> dict[str, float]:
        """Chance of each kind."""
        return dict(
            zip(self.values, softmax(list(self.values.values()), self.temperature), strict=True)
        )

    def draw(self, rng: random.Random) -> str:
        """One kind."""
        probs = self.probs()
        return rng.choices(list(probs), list(probs.values()))[0]

    def learn(self, scores: Mapping[str, float]) -> None:
        """Take in the scores of the kinds that were played."""
        for kind in self.values:
            if kind in scores or self.decay_all:
                score = scores.get(kind, 0.0)
                self.values[kind] = (1 - self.lr) * self.values[kind] + self.lr * score

    def state_dict(self) -> dict[str, Any]:
        """The values."""
        return {"values": dict(self.values)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved ones."""
        self.values = dict(state["values"])


# ---- opponents ----------------------------------------------------------------------------------


def expected_score(rating: float, opponent: float) -> float:
    """Expected points, 1 for a win and 1/2 for a draw, of a rating against another.

    >>> expected_score(1000.0, 1000.0), round(expected_score(1400.0, 1000.0), 3)
    (0.5, 0.909)
    """
    return 1 / (1 + 10 ** ((opponent - rating) / 400))


class Elo:
    """Ratings of players that meet. Points are conserved: what one gains the other loses.

    Args:
        k: Points at stake in a game.
        start: Rating of a newcomer.

    >>> elo = Elo(k=32)
    >>> elo.record("new", "old", 1.0)
    >>> elo.ratings
    {'new': 1016.0, 'old': 984.0}
    """

    def __init__(self, *, k: float = 16.0, start: float = 1000.0) -> None:
        self.k, self.start = k, start
        self.ratings: dict[str, float] = {}

    def record(self, player: str, opponent: str, points: float) -> None:
        """A result: 1 for a win of `player`, 1/2 for a draw, 0 for a loss."""
        own = self.ratings.setdefault(player, self.start)
        other = self.ratings.setdefault(opponent, self.start)
        change = self.k * (points - expected_score(own, other))
        self.ratings[player] = own + change
        self.ratings[opponent] = other - change

    def state_dict(self) -> dict[str, Any]:
        """The ratings."""
        return {"ratings": dict(self.ratings)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved ones."""
        self.ratings = dict(state["ratings"])


def prioritized(win_rates: Mapping[K, float], power: float = 2.0) -> dict[K, float]:
    """Chance of meeting each opponent: proportional to (1 - win rate)^power, so that those who
    still win are met most. Uniform where all are beaten.

    Source: prioritised fictitious self-play, AlphaStar, doi:10.1038/s41586-019-1724-z.

    >>> prioritized({"a": 0.5, "b": 1.0})
    {'a': 1.0, 'b': 0.0}
    """
    weights = {who: (1 - rate) ** power for who, rate in win_rates.items()}
    total = sum(weights.values())
    if total <= 0:
        return {who: 1 / len(weights) for who in weights}
    return {who: weight / total for who, weight in weights.items()}
