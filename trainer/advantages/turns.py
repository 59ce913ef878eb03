"""Credit per turn: what a turn itself was worth, beside what the episode came to."""

from collections.abc import Hashable, Sequence
from itertools import pairwise
from math import exp, sqrt
from typing import Literal

from ludus.trainer.advantages.base import (
    GROUPS,
    Advantages,
    Memoryless,
    center,
    choice,
    fractions,
    mean,
    normalize,
    positions,
    returns_to_go,
    std,
    trajectories_of,
    zscore,
)
from ludus.trainer.trajectory import Episode

Norm = Literal["std", "none"]


def gigpo(
    rewards_GT: Sequence[Sequence[float]],
    anchors_GT: Sequence[Sequence[Hashable]],
    *,
    gamma: float = 0.95,
    omega: float = 1.0,
    norm: Norm = "none",
    eps: float = 1e-6,
    per_row: bool = False,
) -> tuple[list[list[float]], dict[str, float]]:
    """Two levels of comparison, between episodes of one task and between visits of one state.

        A(i,t) = A_E(i) + omega A_S(i,t)
        A_E(i) = (R_i - mean R) / F            over the trajectories of the group
        A_S(i,t) = (G_it - mean G) / F         over all visits of the group to the same state
        G_it = sum_k gamma^(k-t) r_ik          from t on

    Args:
        rewards_GT: Of the trajectories of one task, turn by turn, reward units.
        anchors_GT: What identifies the state before each turn. States of different tasks are never
            compared, so one call is one task.
        gamma: Discount of step returns.
        omega: Weight of the state's comparison.
        norm: F is the unbiased standard deviation plus eps, or 1.
        eps: See `norm`.
        per_row: Mean and deviation of R over turns instead of trajectories, so that long ones
            weigh more: the default of the authors' code, not the paper's formula.

    Returns:
        Advantages turn by turn, and {"state_groups", "state_singletons"}, counts of visited states.
        A state that was visited once gets A_S = 0; a group of one gets 0 everywhere.

    Source: GiGPO, arXiv:2505.10978.

    >>> gigpo([[1.0], [0.0]], [["s"], ["s"]], omega=0.0)[0]
    [[0.5], [-0.5]]
    """
    totals = [sum(rewards) for rewards in rewards_GT]
    if per_row:
        rows = [total for total, r in zip(totals, rewards_GT, strict=True) for _ in r]
        scale = std(rows) + eps if norm == "std" else 1.0
        episode = [(total - mean(rows)) / scale for total in totals]
    else:
        episode = normalize(totals, norm, eps)
    ahead = [g for rewards in rewards_GT for g in returns_to_go(rewards, gamma)]
    states = positions([anchor for anchors in anchors_GT for anchor in anchors])
    step = [0.0] * len(ahead)
    for visits in states.values():
        for i, a in zip(visits, normalize([ahead[i] for i in visits], norm, eps), strict=True):
            step[i] = a
    flat = iter(step)
    out = [
        [own + omega * next(flat) for _ in rewards]
        for own, rewards in zip(episode, rewards_GT, strict=True)
    ]
    if len(totals) < 2:  # visits of one trajectory are not compared: that is no other attempt
        out = [[0.0] * len(rewards) for rewards in rewards_GT]
    alone = sum(len(visits) == 1 for visits in states.values())
    return out, {"state_groups": float(len(states)), "state_singletons": float(alone)}


def turn_and_outcome(
    turn_rewards_GT: Sequence[Sequence[float]],
    outcomes_G: Sequence[float],
    *,
    weight: float = 1.0,
    eps: float = 1e-4,
) -> list[list[float]]:
    """A(i,t) = z(outcome)_i + weight z(turn reward at index t)_i, the last turn z(outcome) alone.

    The turn reward is compared among the group's trajectories that have a turn at the same index
    before their last; an index that only one of them has gets no turn term.

    Args:
        turn_rewards_GT: Rewards of all turns but the last of each trajectory.
        outcomes_G: Reward of the last.
        weight: Of the turn term.
        eps: Added to the unbiased standard deviation.

    Returns:
        One advantage a turn, the last included.

    Source: MT-GRPO, arXiv:2505.11821, which has two turns; the rule for more is ours. Its code
    gives the combined value to a reply that never called the tool; here such a reply is a last
    turn.

    >>> turn_and_outcome([[1.0], [0.0]], [1.0, 1.0])[0][1]
    0.0
    """
    outcome = zscore(outcomes_G, eps=eps)
    out = [[z] * (len(r) + 1) for z, r in zip(outcome, turn_rewards_GT, strict=True)]
    for t in range(max(map(len, turn_rewards_GT), default=0)):
        have = [i for i, rewards in enumerate(turn_rewards_GT) if len(rewards) > t]
        for i, z in zip(have, zscore([turn_rewards_GT[i][t] for i in have], eps=eps), strict=True):
            out[i][t] += weight * z
    return out


def information_gains(
    golden_logps: Sequence[float], kind: Literal["log_prob", "prob"] = "log_prob"
) -> list[float]:
    """How much each turn but the last raised the probability of the reference answer.

        g_t = l_{t+1} - l_t,  or  exp(l_{t+1}) - exp(l_t)

    Args:
        golden_logps: l_t: mean log-probability, nats a token, of the reference answer before each
            turn, so after the previous turn's result was read.
        kind: Nats, or probability.

    >>> information_gains([-3.0, -2.0, -0.5])
    [1.0, 1.5]
    """
    levels = [exp(logp) for logp in golden_logps] if kind == "prob" else golden_logps
    return [after - before for before, after in pairwise(levels)]


def igpo(
    gains_GT: Sequence[Sequence[float]],
    outcomes_G: Sequence[float],
    *,
    gamma: float = 1.0,
    norm: Literal["separate", "joint"] = "separate",
    eps: float = 1e-6,
) -> list[list[float]]:
    """Return-to-go of standardised information gains and, at the last turn, outcome.

        z_t = (g_t - mean g) / std g  for t < T,  z_T = (r - mean r) / std r,  A_t = sum gamma^k z

    Statistics pool all gains of the group (all its turns), and all its outcomes; "joint" pools
    both together. Population standard deviation, sqrt(var + 1e-8), and eps added.

    Args:
        gains_GT: See `information_gains`; T - 1 numbers for a trajectory of T turns. A gain of
            exactly 0 is a turn like any other.
        outcomes_G: Reward of the last turn.
        gamma: Discount from turn to turn.
        norm: What is pooled.
        eps: Added to the standard deviation.

    Returns:
        One advantage a turn. With gamma 1 those of first turns add up to 0 over the group. A group
        of one gets 0.

    Source: IGPO, arXiv:2510.14967 (camera-ready).

    >>> [[round(a, 3) for a in row] for row in igpo([[], []], [1.0, 0.0])]
    [[1.0], [-1.0]]
    """
    if len(outcomes_G) < 2:
        return [[0.0] * (len(row) + 1) for row in gains_GT]
    gains = [g for row in gains_GT for g in row]
    if norm == "joint":
        pool_g = pool_o = [*gains, *outcomes_G]
    else:
        pool_g, pool_o = gains, list(outcomes_G)

    def z(value: float, pool: Sequence[float]) -> float:
        if len(pool) < 2:
            return 0.0
        return (value - mean(pool)) / (sqrt(std(pool, unbiased=False) ** 2 + 1e-8) + eps)

    return [
        returns_to_go([*(z(g, pool_g) for g in row), z(outcome, pool_o)], gamma)
        for row, outcome in zip(gains_GT, outcomes_G, strict=True)
    ]


# ---- as estimators ------------------------------------------------------------------------------


class _PerTask(Memoryless):
    """Estimators whose groups are the siblings of a task, seat by seat."""

    def _groups(self, episodes: Sequence[Episode]) -> list[list[int]]:
        keys = [GROUPS[self.group](t) for t in trajectories_of(episodes)]
        return list(positions(keys).values())


class GiGPO(_PerTask):
    """See `gigpo`.

    Args:
        gamma, omega, norm: See `gigpo`.
        per_row: See `gigpo`.
    """

    needs = frozenset({"state_key"})

    def __init__(
        self, gamma: float = 0.95, omega: float = 1.0, norm: str = "none", per_row: bool = False
    ) -> None:
        choice("norm", norm, ("std", "none"))
        fractions(gamma=gamma)
        self.gamma, self.omega, self.norm, self.per_row = gamma, omega, norm, per_row
        self.metrics: dict[str, float] = {}

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """With norm "none" in the unit of the returns."""
        trajectories = trajectories_of(episodes)
        out: Advantages = [()] * len(trajectories)
        self.metrics = {"state_groups": 0.0, "state_singletons": 0.0}
        for members in self._groups(episodes):
            turns = [trajectories[i].turns for i in members]
            values, counts = gigpo(
                [[turn.reward for turn in row] for row in turns],
                [[turn.state_key for turn in row] for row in turns],
                gamma=self.gamma,
                omega=self.omega,
                norm=self.norm,  # type: ignore[arg-type]
                per_row=self.per_row,
            )
            for i, row in zip(members, values, strict=True):
                out[i] = tuple(row)
            self.metrics = {name: n + counts[name] for name, n in self.metrics.items()}
        return out


class MTGRPO(_PerTask):
    """See `turn_and_outcome`: the last turn's reward is the outcome.

    Args:
        weight: Of the turn term.
    """

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """In standard deviations."""
        trajectories = trajectories_of(episodes)
        out: Advantages = [()] * len(trajectories)
        for members in self._groups(episodes):
            rewards = [[turn.reward for turn in trajectories[i].turns] for i in members]
            values = turn_and_outcome(
                [r[:-1] for r in rewards], [r[-1] for r in rewards], weight=self.weight
            )
            for i, row in zip(members, values, strict=True):
                out[i] = tuple(row)
        return out


class IGPO(_PerTask):
    """See `igpo`: information gains of the environment's golden answer, and the return as outcome.

    Args:
        gamma, norm: See `igpo`.
        kind: See `information_gains`.
        bad_format: Outcome of a trajectory whose last reply the rules could not use.
    """

    needs = frozenset({"golden_logp"})
    asks = ("golden",)

    def __init__(
        self,
        gamma: float = 1.0,
        norm: str = "separate",
        kind: str = "log_prob",
        bad_format: float = -2.0,
    ) -> None:
        choice("norm", norm, ("separate", "joint"))
        choice("kind", kind, ("log_prob", "prob"))
        fractions(gamma=gamma)
        self.gamma, self.norm, self.kind, self.bad_format = gamma, norm, kind, bad_format

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """In standard deviations.

        Raises:
            ValueError: If a turn has no `golden_logp`.
        """
        trajectories = trajectories_of(episodes)
        out: Advantages = [()] * len(trajectories)
        for members in self._groups(episodes):
            gains, outcomes = [], []
            for i in members:
                t = trajectories[i]
                logps = [turn.golden_logp for turn in t.turns if turn.golden_logp is not None]
                if len(logps) != len(t.turns):
                    raise ValueError(f"igpo needs a golden answer at every turn of {t.env_id}")
                gains.append(information_gains(logps, self.kind))  # type: ignore[arg-type]
                outcomes.append(self.bad_format if t.turns[-1].invalid else t.ret)
            values = igpo(gains, outcomes, gamma=self.gamma, norm=self.norm)  # type: ignore[arg-type]
            for i, row in zip(members, values, strict=True):
                out[i] = tuple(row)
        return out


class TurnReturns(_PerTask):
    """Return-to-go of every turn, centred among the group's turns at the same index.

    Args:
        gamma: Discount from turn to turn.

    Source: the per-index form of MT-GRPO's turn term with returns; our choice for dense rewards.
    """

    def __init__(self, gamma: float = 1.0) -> None:
        fractions(gamma=gamma)
        self.gamma = gamma

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """In the unit of the returns."""
        trajectories = trajectories_of(episodes)
        ahead = [returns_to_go([turn.reward for turn in t.turns], self.gamma) for t in trajectories]
        out = [[0.0] * len(t.turns) for t in trajectories]
        for members in self._groups(episodes):
            for index in range(max(len(ahead[i]) for i in members)):
                have = [i for i in members if len(ahead[i]) > index]
                for i, a in zip(have, center([ahead[i][index] for i in have]), strict=True):
                    out[i][index] = a
        return [tuple(row) for row in out]
