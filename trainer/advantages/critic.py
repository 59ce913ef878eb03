"""With a critic: advantages from its values, token by token or turn by turn.

A critic says what it expected before every sampled token; the reward of a turn comes with the last
token of its reply. A turn's advantage is the mean over its tokens, as everywhere in the pipeline;
what each token has more or less than that travels beside it, as does what the critic should have
said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from ludus.trainer.advantages.base import (
    Advantages,
    Memoryless,
    TokenCredit,
    fractions,
    mean,
    trajectories_of,
)
from ludus.trainer.advantages.compare import whiten
from ludus.trainer.advantages.values import bi_level_gae, gae
from ludus.trainer.trajectory import Episode, Trajectory, Turn


@dataclass(frozen=True, slots=True)
class _Row:
    """Of the sampled tokens of a trajectory, turn by turn."""

    advantages: list[list[float]]
    targets: list[list[float]]


class _WithCritic(Memoryless):
    """Estimators of the critic's values.

    Args:
        whiten: Subtract the mean over the batch's tokens and divide by their standard deviation.
    """

    group = "batch"
    needs = frozenset({"values"})

    def __init__(self, whiten: bool = True) -> None:
        self.whiten = whiten
        self.token_credit: list[tuple[TokenCredit, ...]] = []
        """Of the last call: for every trajectory, turn by turn."""

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """In standard deviations if whitened, else in the unit of the returns.

        Raises:
            ValueError: If a turn has no values.
        """
        trajectories = trajectories_of(episodes)
        if any(not turn.values for t in trajectories for turn in t.turns):
            raise ValueError("a turn has no values: this advantage needs a critic")
        rows = [self._row(t) for t in trajectories]
        flat = [a for row in rows for turn in row.advantages for a in turn]
        left = iter(whiten(flat, [1] * len(flat)) if self.whiten else flat)
        out: Advantages = []
        self.token_credit = []
        for row in rows:
            tokens = [[next(left) for _ in turn] for turn in row.advantages]
            means = tuple(map(mean, tokens))
            out.append(means)
            self.token_credit.append(
                tuple(
                    TokenCredit(tuple(a - middle for a in turn), tuple(targets))
                    for turn, middle, targets in zip(tokens, means, row.targets, strict=True)
                )
            )
        return out

    def _row(self, trajectory: Trajectory) -> _Row:
        raise NotImplementedError


class _ByToken(_WithCritic):
    """Rewards on the last tokens of turns, values before all of them."""

    def _row(self, trajectory: Trajectory) -> _Row:
        turns = trajectory.turns
        rewards = [r for t in turns for r in (*[0.0] * (len(t.values) - 1), t.reward)]
        values = [v for t in turns for v in t.values]
        index = [i for i, t in enumerate(turns) for _ in t.values]
        advantages = self._advantages(rewards, values, index)
        targets = [a + v for a, v in zip(advantages, values, strict=True)]
        return _Row(_cut(advantages, turns), _cut(targets, turns))

    def _advantages(
        self, rewards: Sequence[float], values: Sequence[float], turn_N: Sequence[int]
    ) -> list[float]:
        raise NotImplementedError


class GAE(_ByToken):
    """See `gae`, over the sampled tokens; what is said between them is no transition.

    Args:
        gamma, lam: See `gae`. With 1 and 1, as in StarPO (arXiv:2504.20073), the return less the
            value.
        whiten: See `_WithCritic`.
    """

    def __init__(self, gamma: float = 1.0, lam: float = 1.0, whiten: bool = True) -> None:
        super().__init__(whiten)
        fractions(gamma=gamma, lam=lam)
        self.gamma, self.lam = gamma, lam

    def _advantages(
        self, rewards: Sequence[float], values: Sequence[float], turn_N: Sequence[int]
    ) -> list[float]:
        return gae(rewards, values, gamma=self.gamma, lam=self.lam)


class BiLevelGAE(_ByToken):
    """See `bi_level_gae`.

    Args:
        gamma_turn, gamma, lam: See `bi_level_gae`.
        whiten: See `_WithCritic`.
    """

    def __init__(
        self, gamma_turn: float = 0.95, gamma: float = 1.0, lam: float = 1.0, whiten: bool = True
    ) -> None:
        super().__init__(whiten)
        fractions(gamma_turn=gamma_turn, gamma=gamma, lam=lam)
        self.gamma_turn, self.gamma, self.lam = gamma_turn, gamma, lam

    def _advantages(
        self, rewards: Sequence[float], values: Sequence[float], turn_N: Sequence[int]
    ) -> list[float]:
        return bi_level_gae(
            rewards, values, turn_N, gamma_turn=self.gamma_turn, gamma=self.gamma, lam=self.lam
        )


class TurnGAE(_WithCritic):
    """`gae` whose steps are turns: the value at a turn's start, one advantage for all its tokens.

    Args:
        gamma, lam: See `gae`.
        whiten: See `_WithCritic`.

    Source: Turn-PPO, arXiv:2512.17008.
    """

    def __init__(self, gamma: float = 0.99, lam: float = 0.9, whiten: bool = True) -> None:
        super().__init__(whiten)
        fractions(gamma=gamma, lam=lam)
        self.gamma, self.lam = gamma, lam

    def _row(self, trajectory: Trajectory) -> _Row:
        turns = trajectory.turns
        starts = [t.values[0] for t in turns]
        found = gae([t.reward for t in turns], starts, gamma=self.gamma, lam=self.lam)
        return _Row(
            [[a] * len(t.values) for a, t in zip(found, turns, strict=True)],
            [
                [a + v, *[nan] * (len(t.values) - 1)]
                for a, v, t in zip(found, starts, turns, strict=True)
            ],
        )


def _cut(numbers: Sequence[float], turns: Sequence[Turn]) -> list[list[float]]:
    """A flat list of tokens, turn by turn."""
    rest = iter(numbers)
    return [[next(rest) for _ in turn.values] for turn in turns]
