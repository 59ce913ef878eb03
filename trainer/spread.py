"""How a step's groups are spread over several environments or levels.

A run asks its curriculum which arena each group plays in, and tells it what came of the step.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ludus.trainer.curriculum import Bandit
from ludus.trainer.parts import Stateless

Results = Mapping[str, Sequence[float]]
"""By arena, one number a trajectory or episode."""


class Curriculum(Protocol):
    """Chooses arenas."""

    def draw(self, step: int, count: int, rng: random.Random) -> list[int]:
        """The arena of each of a step's groups, by number."""

    def learn(self, gains: Results, solved: Results) -> None:
        """Take in a step.

        Args:
            gains: Mean |advantage| of the tokens of every trajectory.
            solved: 1 for every episode that was solved or won, 1/2 for a draw, else 0.
        """

    def metrics(self) -> dict[str, float]:
        """What to log of it."""

    def state_dict(self) -> dict[str, Any]:
        """What is remembered between steps; JSON types."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


class Even(Stateless):
    """All in turn."""

    def __init__(self, arenas: Sequence[str]) -> None:
        self.arenas = tuple(arenas)

    def draw(self, step: int, count: int, rng: random.Random) -> list[int]:
        """Goes on where the last step ended."""
        return [(step * count + i) % len(self.arenas) for i in range(count)]

    def learn(self, gains: Results, solved: Results) -> None:
        """Nothing to learn."""

    def metrics(self) -> dict[str, float]:
        """Nothing to log."""
        return {}


class SEC(Bandit):
    """A bandit over the arenas, see `Bandit`: each group is drawn by how much was learnt of late.

    Args:
        arenas: Names.
        lr: See `Bandit`.
        temperature: See `Bandit`.
        decay_all: See `Bandit`.

    Source: SEC, arXiv:2505.14970.
    """

    def __init__(
        self,
        arenas: Sequence[str],
        lr: float = 0.5,
        temperature: float = 1.0,
        decay_all: bool = False,
    ) -> None:
        super().__init__(arenas, lr=lr, temperature=temperature, decay_all=decay_all)

    def draw(self, step: int, count: int, rng: random.Random) -> list[int]:  # type: ignore[override]
        """Each on its own."""
        probs = self.probs()
        return rng.choices(range(len(probs)), list(probs.values()), k=count)

    def learn(self, gains: Results, solved: Results) -> None:  # type: ignore[override]
        """The mean gain of every arena that was played is its score."""
        super().learn({name: sum(g) / len(g) for name, g in gains.items() if g})

    def metrics(self) -> dict[str, float]:
        """The chance of each."""
        return {f"curriculum/{name}": p for name, p in self.probs().items()}


class Ladder:
    """One level after the other, up when enough of it is solved, never down.

    Args:
        arenas: Names, the easiest first.
        up: Success rate that lets the run move on.
        over: Episodes of a level that are looked at together; after as many the count begins anew.
    """

    def __init__(self, arenas: Sequence[str], up: float = 0.7, over: int = 256) -> None:
        if not 0 < up <= 1 or over < 1:
            raise ValueError(f"a ladder needs 0 < up <= 1 and over >= 1, got {up} and {over}")
        self.arenas, self.up, self.over = tuple(arenas), up, over
        self.rung, self.solved, self.seen = 0, 0.0, 0

    def draw(self, step: int, count: int, rng: random.Random) -> list[int]:
        """The present rung."""
        return [self.rung] * count

    def learn(self, gains: Results, solved: Results) -> None:
        """Move up, or not."""
        own = solved.get(self.arenas[self.rung], ())
        self.solved, self.seen = self.solved + sum(own), self.seen + len(own)
        if self.seen < self.over:
            return
        if self.solved / self.seen >= self.up and self.rung + 1 < len(self.arenas):
            self.rung += 1
        self.solved, self.seen = 0.0, 0

    def metrics(self) -> dict[str, float]:
        """The rung, from 0."""
        return {"curriculum/rung": float(self.rung)}

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"rung": self.rung, "solved": self.solved, "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved place."""
        self.rung, self.solved, self.seen = state["rung"], state["solved"], state["seen"]


CURRICULA: dict[str, Callable[..., Curriculum]] = {"even": Even, "sec": SEC, "ladder": Ladder}
