"""Advantages: how much better a turn was than expected. One number a turn, broadcast to its
tokens last.

An estimator takes the episodes of one step and returns, for every trajectory in order, one
advantage a turn. One with memory keeps it in `state_dict`, which is checkpointed.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ludus.trainer.trajectory import Episode, Trajectory

Advantages = list[tuple[float, ...]]


class Estimator(Protocol):
    """Turns episodes into advantages."""

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """Advantages of every turn of every trajectory of every episode, in order."""

    def state_dict(self) -> dict[str, Any]:
        """What is remembered between steps; JSON types."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


def _broadcast(trajectory: Trajectory, advantage: float) -> tuple[float, ...]:
    return (advantage,) * len(trajectory.turns)


class RAE:
    """Role-conditioned advantage estimation: a running mean return per game and role.

        A = R - b[game, role];  then  b <- decay b + (1 - decay) R

    Read before update, so the sample is not inside its own baseline; no division by a standard
    deviation. Games are taken in the order of the rollout, and the baselines are one store for all
    of them, so the result does not depend on how the rollout was spread.

    Args:
        decay: Weight of the past; 0.95 in the paper.

    Source: SPIRAL, arXiv:2506.24119. The paper's Algorithm 1 updates first, which scales every
    advantage by `decay`; the authors' code reads first, and so do we.
    """

    def __init__(self, decay: float = 0.95) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay}")
        self.decay = decay
        self.baselines: dict[tuple[str, str], float] = {}

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """Advantages in the unit of the returns; the baselines move."""
        advantages: Advantages = []
        for episode in episodes:
            for trajectory in episode.trajectories:
                baseline = self.baselines.get((episode.env_id, trajectory.role), 0.0)
                gain = episode.returns[trajectory.role] - baseline
                advantages.append(_broadcast(trajectory, gain))
            for role, ret in episode.returns.items():
                key = (episode.env_id, role)
                self.baselines[key] = (
                    self.decay * self.baselines.get(key, 0.0) + (1 - self.decay) * ret
                )
        return advantages

    def state_dict(self) -> dict[str, Any]:
        """The baselines."""
        return {"baselines": [[env, role, b] for (env, role), b in self.baselines.items()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved baselines."""
        self.baselines = {(env, role): b for env, role, b in state["baselines"]}


class GroupMean:
    """A = R - mean of the group, which is the trajectories of one task and role.

    A group of one gets 0: it says nothing about better or worse.

    Source: Dr. GRPO, arXiv:2503.20783.
    """

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """Advantages in the unit of the returns; they sum to zero in every group."""
        groups: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        trajectories = [t for episode in episodes for t in episode.trajectories]
        for t in trajectories:
            groups[t.task_key, t.role].append(t.ret)
        means = {key: sum(returns) / len(returns) for key, returns in groups.items()}
        return [_broadcast(t, t.ret - means[t.task_key, t.role]) for t in trajectories]

    def state_dict(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take over."""


class Returns:
    """A = R: plain REINFORCE without a baseline, for comparison."""

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """The returns themselves."""
        return [_broadcast(t, t.ret) for episode in episodes for t in episode.trajectories]

    def state_dict(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take over."""


ADVANTAGES: dict[str, Callable[[], Estimator]] = {
    "rae": RAE,
    "group_mean": GroupMean,
    "returns": Returns,
}
