"""Baselines that a claim compares with and that nobody would train with."""

from collections.abc import Sequence
from typing import Any

from ludus.trainer.advantages.base import Advantages, broadcast
from ludus.trainer.trajectory import Episode


class SharedBaseline:
    """RAE with one baseline for all seats: A = R - b, then b <- decay b + (1 - decay) R.

    What self-play does that takes its seats for one agent.

    Args:
        decay: Weight of the past, a seat's return at a time.
    """

    group: str = "env+role"
    needs: frozenset[str] = frozenset()

    def __init__(self, decay: float = 0.95) -> None:
        self.decay, self.value = decay, 0.0

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """Advantages in the unit of the returns; the baseline moves."""
        advantages: Advantages = []
        for episode in episodes:
            for trajectory in episode.trajectories:
                gain = episode.returns[trajectory.role] - self.value
                advantages.append(broadcast(trajectory, gain))
            for ret in episode.returns.values():
                self.value = self.decay * self.value + (1 - self.decay) * ret
        return advantages

    def state_dict(self) -> dict[str, Any]:
        """The baseline."""
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved one."""
        self.value = state["value"]
