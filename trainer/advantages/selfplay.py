"""Self-play: baselines per role. One policy sits in all seats, which are not worth the same."""

from collections.abc import Sequence
from typing import Any

from ludus.trainer.advantages.base import (
    Advantages,
    Memoryless,
    broadcast,
    choice,
    mean,
    positions,
    returns_to_go,
    trajectories_of,
)
from ludus.trainer.trajectory import Episode


class RAE:
    """Role-conditioned advantage estimation: a running mean return per game and role.

        A = R - b[game, role];  then  b <- decay b + (1 - decay) R

    Read before update, so the sample is not inside its own baseline; no division by a standard
    deviation. Games are taken in the order of the rollout, and the baselines are one store for all
    of them, so the result does not depend on how the rollout was spread.

    Args:
        decay: Weight of the past; 0.95 in the paper.
        gamma: A turn with n turns of its seat still to come gets gamma^n A. 1 in the paper.
        order: "read-first", or "paper": the baseline moves first, so A = decay (R - b).
        debias: Divide b by 1 - decay^n after n games, so that it is a mean from the first game on.

    Source: SPIRAL, arXiv:2506.24119. The paper's Algorithm 1 updates first, which scales every
    advantage by `decay`; the authors' code reads first, and so do we.
    """

    group: str = "env+role"
    needs: frozenset[str] = frozenset()

    def __init__(
        self,
        decay: float = 0.95,
        gamma: float = 1.0,
        order: str = "read-first",
        debias: bool = False,
    ) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay}")
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma must be in [0, 1], got {gamma}")
        choice("order", order, ("read-first", "paper"))
        self.decay, self.gamma, self.order, self.debias = decay, gamma, order, debias
        self.baselines: dict[tuple[str, str], float] = {}
        self._games: dict[tuple[str, str], int] = {}

    def baseline(self, env_id: str, role: str) -> float:
        """What the role is expected to get, reward units; 0 before its first game."""
        value = self.baselines.get((env_id, role), 0.0)
        games = self._games.get((env_id, role), 0)
        return value / (1 - self.decay**games) if self.debias and games else value

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """Advantages in the unit of the returns; the baselines move."""
        advantages: Advantages = []
        for episode in episodes:
            if self.order == "paper":
                self._learn(episode)
            for trajectory in episode.trajectories:
                gain = episode.returns[trajectory.role] - self.baseline(
                    episode.env_id, trajectory.role
                )
                if self.gamma == 1:
                    advantages.append(broadcast(trajectory, gain))
                else:
                    left = range(len(trajectory.turns) - 1, -1, -1)
                    advantages.append(tuple(self.gamma**n * gain for n in left))
            if self.order != "paper":
                self._learn(episode)
        return advantages

    def _learn(self, episode: Episode) -> None:
        for role, ret in episode.returns.items():
            key = (episode.env_id, role)
            self.baselines[key] = self.decay * self.baselines.get(key, 0.0) + (1 - self.decay) * ret
            self._games[key] = self._games.get(key, 0) + 1

    def state_dict(self) -> dict[str, Any]:
        """The baselines."""
        return {
            "baselines": [
                [env, role, b, self._games.get((env, role), 0)]
                for (env, role), b in self.baselines.items()
            ]
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved baselines."""
        self.baselines = {(env, role): b for env, role, b, *_ in state["baselines"]}
        self._games = {(env, role): n for env, role, _, *games in state["baselines"] for n in games}


class RoleMean(Memoryless):
    """Centre on the mean of the role over the batch: A = R - mean(R of that env and role).

    Args:
        turns: Return-to-go of every turn instead of the return of the episode, centred on the mean
            over all turns of the role ("sum, then normalise").

    Source: MARSHAL, arXiv:2510.15414, without its code's mean over distinct values.
    """

    group: str = "env+role"

    def __init__(self, turns: bool = False) -> None:
        self.turns = turns

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """Advantages in the unit of the returns; they sum to zero for every role."""
        trajectories = trajectories_of(episodes)
        ahead = [
            returns_to_go([turn.reward for turn in t.turns]) if self.turns else [t.ret]
            for t in trajectories
        ]
        out: Advantages = [()] * len(trajectories)
        for members in positions([(t.env_id, t.role) for t in trajectories]).values():
            middle = mean([g for i in members for g in ahead[i]])
            for i in members:
                own = tuple(g - middle for g in ahead[i])
                out[i] = own if self.turns else broadcast(trajectories[i], own[0])
        return out
