"""Self-play: baselines per role. One policy sits in all seats, which are not worth the same."""

from collections.abc import Sequence
from typing import Any

from ludus.trainer.advantages.base import (
    GROUPS,
    Advantages,
    Memoryless,
    broadcast,
    choice,
    fractions,
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
    of them, so the result does not depend on how the rollout was spread. A level of a game is a
    game, and what an opponent got in a seat is not what the policy gets there.

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
        fractions(gamma=gamma)
        choice("order", order, ("read-first", "paper"))
        self.decay, self.gamma, self.order, self.debias = decay, gamma, order, debias
        self.baselines: dict[tuple[str, str], float] = {}
        self._games: dict[tuple[str, str], int] = {}

    def baseline(self, game: str, role: str) -> float:
        """What the role is expected to get, reward units; 0 before its first game."""
        value = self.baselines.get((game, role), 0.0)
        games = self._games.get((game, role), 0)
        return value / (1 - self.decay**games) if self.debias and games else value

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """Advantages in the unit of the returns; the baselines move."""
        advantages: Advantages = []
        for episode in episodes:
            if self.order == "paper":
                self._learn(episode)
            for trajectory in episode.trajectories:
                expected = self.baseline(episode.game, trajectory.role)
                gain = episode.returns[trajectory.role] - expected
                if self.gamma == 1:
                    advantages.append(broadcast(trajectory, gain))
                else:
                    left = range(len(trajectory.turns) - 1, -1, -1)
                    advantages.append(tuple(self.gamma**n * gain for n in left))
            if self.order != "paper":
                self._learn(episode)
        return advantages

    def _learn(self, episode: Episode) -> None:
        for role, ret in episode.own_returns.items():
            key = (episode.game, role)
            self.baselines[key] = self.decay * self.baselines.get(key, 0.0) + (1 - self.decay) * ret
            self._games[key] = self._games.get(key, 0) + 1

    @property
    def metrics(self) -> dict[str, float]:
        """The baselines, as they are subtracted next."""
        several = len({game for game, _ in self.baselines}) > 1
        found = {}
        for game, role in self.baselines:
            where = f"{game.partition('/')[2]}/" if several else ""
            found[f"baseline/{where}{role}"] = self.baseline(game, role)
        return found

    def state_dict(self) -> dict[str, Any]:
        """The baselines."""
        return {
            "baselines": [
                [game, role, b, self._games.get((game, role), 0)]
                for (game, role), b in self.baselines.items()
            ]
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved baselines."""
        self.baselines = {(game, role): b for game, role, b, *_ in state["baselines"]}
        self._games = {
            (game, role): n for game, role, _, *games in state["baselines"] for n in games
        }


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
        for members in positions([GROUPS[self.group](t) for t in trajectories]).values():
            middle = mean([g for i in members for g in ahead[i]])
            for i in members:
                own = tuple(g - middle for g in ahead[i])
                out[i] = own if self.turns else broadcast(trajectories[i], own[0])
        return out
