"""Token by token without a critic: a baseline for every place in a reply.

A turn's advantage is the mean over its tokens, as everywhere in the pipeline; what each token has
more or less than that travels beside it.
"""

from collections.abc import Sequence
from math import exp

from ludus.trainer.advantages.base import (
    GROUPS,
    Advantages,
    Memoryless,
    TokenCredit,
    mean,
    positions,
    returns_to_go,
    trajectories_of,
)
from ludus.trainer.advantages.values import optimal_token_baselines, score_norms
from ludus.trainer.trajectory import Episode, Trajectory


class OptimalTokenBaseline(Memoryless):
    """A_t = G_t - B_t at the t-th sampled token of a trajectory, whatever was said in between; G_t
    is the return from its turn on, B_t the mean of G_t over the group with weights W_t, the squared
    norm of the score up to t, which is taken with respect to the logits: see
    `optimal_token_baselines` and `score_norms`.

    Where only one trajectory of the group is still alive its baseline is 0, as in the authors'
    code. A group of one gets 0.

    Source: arXiv:2602.07078, with its logit-gradient proxy; several turns as in verl's
    `tir_optimal_token_baseline`.
    """

    group = "task+role"
    needs = frozenset({"sum_squares"})

    def __init__(self) -> None:
        self.token_credit: list[tuple[TokenCredit, ...]] = []
        """Of the last call: for every trajectory, turn by turn."""

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """In the unit of the returns.

        Raises:
            ValueError: If a turn has no sums of squares.
        """
        trajectories = trajectories_of(episodes)
        rows: list[list[list[float]]] = [_zeros(t) for t in trajectories]
        for members in positions([GROUPS[self.group](t) for t in trajectories]).values():
            if len(members) > 1:
                own = [trajectories[i] for i in members]
                for i, row in zip(members, _advantages(own), strict=True):
                    rows[i] = row
        means = [tuple(map(mean, row)) for row in rows]
        self.token_credit = [
            tuple(
                TokenCredit(tuple(a - middle for a in turn))
                for turn, middle in zip(row, middles, strict=True)
            )
            for row, middles in zip(rows, means, strict=True)
        ]
        return means


def _zeros(trajectory: Trajectory) -> list[list[float]]:
    return [[0.0] * len(node.ids) for node in trajectory.leaf.path() if node.is_action]


def _advantages(members: Sequence[Trajectory]) -> list[list[list[float]]]:
    """Of a group: by trajectory, turn and token."""
    returns = [returns_to_go([turn.reward for turn in t.turns]) for t in members]
    rows = [_zeros(t) for t in members]
    baselines = optimal_token_baselines(
        [
            [ahead for ahead, tokens in zip(own, row, strict=True) for _ in tokens]
            for own, row in zip(returns, rows, strict=True)
        ],
        [_norms(t) for t in members],
    )
    for own, row in zip(returns, rows, strict=True):
        rest = iter(baselines)
        for ahead, tokens in zip(own, row, strict=True):
            tokens[:] = [ahead - next(rest) for _ in tokens]
    return rows


def _norms(trajectory: Trajectory) -> list[float]:
    """W of every sampled token."""
    squares = [s for turn in trajectory.turns for s in turn.sum_squares]
    logps = [logp for node in trajectory.leaf.path() if node.is_action for logp in node.logps]
    if len(squares) != len(logps):
        raise ValueError("a turn has no sums of squares: this advantage needs them of the rollout")
    return score_norms([exp(logp) for logp in logps], squares)
