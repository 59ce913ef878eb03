"""What estimators share: their form, the keys that say who is compared with whom, group statistics.

Everything here is a number a trajectory or a number a turn, in plain Python: an estimator is a few
lines of arithmetic, and what it is compared with is a key, never a position in a list.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from typing import Any, Literal, Protocol, TypeVar

from ludus.trainer.parts import Stateless, one_of
from ludus.trainer.trajectory import Episode, Trajectory

Advantages = list[tuple[float, ...]]
"""One tuple a trajectory, one number a turn."""


@dataclass(frozen=True, slots=True)
class TokenCredit:
    """What the sampled tokens of one turn have besides their turn's advantage."""

    deviation: tuple[float, ...]
    """A token's advantage less its turn's."""
    target: tuple[float, ...] = ()
    """What the critic is to say before the token, reward units; not a number where it is not asked.
    Empty where there is no critic."""


T = TypeVar("T")

GROUPS: dict[str, Callable[[Trajectory], Hashable]] = {
    "task": lambda t: (t.game, t.task_key),
    "task+role": lambda t: (t.game, t.task_key, t.role),
    "env+role": lambda t: (t.game, t.role),
    "batch": lambda t: (),
}
"""Keys under which trajectories may be compared. "task+role": the siblings of a prompt, seat by
seat, since two seats of a game are different problems. "env+role": what a running baseline is kept
for."""


class Estimator(Protocol):
    """Turns episodes into advantages."""

    group: str
    """Key of `GROUPS`: within it, returns are compared. Groups of one are counted by it."""
    needs: frozenset[str]
    """Fields of `Turn` that are filled only when asked: "state_key", "golden_logp" and
    "sum_squares" by the rollout, "values" by the critic."""

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """Advantages of every turn of every trajectory of every episode, in order."""

    def state_dict(self) -> dict[str, Any]:
        """What is remembered between steps; JSON types."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


class Memoryless(Stateless):
    """An estimator, or another part of the credit pipeline, that keeps nothing between steps."""

    group: str = "task+role"
    needs: frozenset[str] = frozenset()
    asks: tuple[str, ...] = ()
    """What it goes by and an environment must have, names of `ludus.trainer.needs.NEEDS`."""


def trajectories_of(episodes: Sequence[Episode]) -> list[Trajectory]:
    """All of them, in order."""
    return [t for episode in episodes for t in episode.trajectories]


def positions(keys: Sequence[T]) -> dict[T, list[int]]:
    """Where each key stands, keys in the order of their first place.

    >>> positions(["a", "b", "a"])
    {'a': [0, 2], 'b': [1]}
    """
    found: dict[T, list[int]] = {}
    for i, key in enumerate(keys):
        found.setdefault(key, []).append(i)
    return found


def broadcast(trajectory: Trajectory, advantage: float) -> tuple[float, ...]:
    """The same number for every turn."""
    return (advantage,) * len(trajectory.turns)


def turn_tokens(trajectory: Trajectory) -> list[int]:
    """Sampled tokens of each turn."""
    return [len(node.ids) for node in trajectory.leaf.path() if node.is_action]


def turn_entropies(trajectory: Trajectory) -> list[float]:
    """Mean entropy of each turn's tokens at sampling, nats."""
    return [mean(node.entropies) for node in trajectory.leaf.path() if node.is_action]


# ---- statistics of a group ------------------------------------------------------------------


def mean(values: Sequence[float]) -> float:
    """0 for nothing."""
    return sum(values) / len(values) if values else 0.0


def std(values: Sequence[float], *, unbiased: bool = True) -> float:
    """Standard deviation; 0 below two values, and exactly 0 where all are equal.

    >>> std([1.0, 0.0, 0.0, 0.0]), round(std([1.0, 0.0], unbiased=False), 3)
    (0.5, 0.5)
    """
    n = len(values)
    if n < 2 or max(values) == min(values):
        return 0.0
    centre = mean(values)
    return sqrt(fsum((v - centre) ** 2 for v in values) / (n - 1 if unbiased else n))


def zscore(values: Sequence[float], *, eps: float = 1e-6, unbiased: bool = True) -> list[float]:
    """(v - mean) / (std + eps). A group of one, or without spread, gets 0.

    The convention elsewhere, mean 0 and standard deviation 1 for a group of one, hands such a
    group its raw return: plain REINFORCE without a baseline, unannounced.

    >>> [round(z, 4) for z in zscore([1.0, 0.0, 0.0, 0.0])]
    [1.5, -0.5, -0.5, -0.5]
    >>> zscore([7.0])
    [0.0]
    """
    centre, spread = mean(values), std(values, unbiased=unbiased)
    return [(v - centre) / (spread + eps) if spread else 0.0 for v in values]


def center(values: Sequence[float]) -> list[float]:
    """v - mean; 0 for a group of one.

    >>> center([1.0, 0.0])
    [0.5, -0.5]
    """
    middle = mean(values)
    return [v - middle for v in values]


def normalize(values: Sequence[float], how: Literal["std", "none"], eps: float) -> list[float]:
    """`zscore` or `center`."""
    return zscore(values, eps=eps) if how == "std" else center(values)


def returns_to_go(rewards: Sequence[float], gamma: float = 1.0) -> list[float]:
    """G_t = r_t + gamma G_{t+1}.

    >>> returns_to_go([0.0, 0.0, 8.0], 0.5)
    [2.0, 4.0, 8.0]
    """
    out: list[float] = []
    ahead = 0.0
    for reward in reversed(rewards):
        ahead = reward + gamma * ahead
        out.append(ahead)
    return out[::-1]


def fractions(**values: float) -> None:
    """Refuse what is not in [0, 1].

    Raises:
        ValueError: Naming it.
    """
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {value}")


def choice(name: str, value: str, allowed: Sequence[str] | Mapping[str, Any]) -> None:
    """Refuse what is not allowed.

    Raises:
        ValueError: Naming the allowed values.
    """
    one_of(name, value, tuple(allowed))
