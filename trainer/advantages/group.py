"""Siblings: one return per trajectory, compared within a group. No critic, no memory.

The functions map the returns of one group to its advantages; the classes at the end apply one to
every group of a step. A group of one has nothing to compare with and gets 0.
"""

from collections.abc import Callable, Sequence
from math import exp, lgamma, log

from ludus.trainer.advantages.base import (
    GROUPS,
    Advantages,
    Memoryless,
    broadcast,
    center,
    choice,
    mean,
    positions,
    returns_to_go,
    std,
    trajectories_of,
    turn_entropies,
    turn_tokens,
    zscore,
)
from ludus.trainer.trajectory import Episode, Trajectory


def leave_one_out(returns_G: Sequence[float]) -> list[float]:
    """A_i = R_i - mean of the others = G / (G - 1) (R_i - mean): the baseline does not contain
    the sample, so it is unbiased.

    Source: RLOO, arXiv:2402.14740.

    >>> leave_one_out([1.0, 0.0, 0.0])
    [1.0, -0.5, -0.5]
    """
    G = len(returns_G)
    if G < 2:
        return [0.0] * G
    total = sum(returns_G)
    return [r - (total - r) / (G - 1) for r in returns_G]


def length_weighted(returns_G: Sequence[float], tokens_G: Sequence[int]) -> list[float]:
    """A_i = R_i - sum(tokens R) / sum(tokens): the baseline of least variance if the squared
    gradient of a trajectory grows with its length. For exact on-policy data.

    Source: OPO, arXiv:2505.23585.

    >>> length_weighted([1.0, 0.0], [3, 1])
    [0.25, -0.75]
    """
    if len(returns_G) < 2:
        return [0.0] * len(returns_G)
    total = sum(n * r for n, r in zip(tokens_G, returns_G, strict=True))
    baseline = total / sum(tokens_G)
    return [r - baseline for r in returns_G]


def pass_at_k(returns_G: Sequence[float]) -> list[float]:
    """Only the best trajectory learns, from its lead over the second: the leave-one-out gradient
    of E[max]. Where the best are equal, nobody does.

    Source: arXiv:2503.19595.

    >>> pass_at_k([0.0, 1.0, 0.25])
    [0.0, 0.75, 0.0]
    """
    out = [0.0] * len(returns_G)
    if len(returns_G) > 1:
        best = max(range(len(returns_G)), key=returns_G.__getitem__)
        second = max(r for i, r in enumerate(returns_G) if i != best)
        out[best] = returns_G[best] - second
    return out


def max_likelihood(returns_G: Sequence[float]) -> list[float]:
    """A_i = (R_i - mean) / mean: for rewards of 0 and 1 the gradient of log p(success), which
    weighs hard tasks by 1 / p where expected reward weighs all alike. 0 where the mean is not
    positive.

    Source: MaxRL, arXiv:2602.02710; formula recalled, not checked against its code.

    >>> max_likelihood([1.0, 0.0, 0.0, 0.0])
    [3.0, -1.0, -1.0, -1.0]
    """
    middle = mean(returns_G)
    if len(returns_G) < 2 or middle <= 0:
        return [0.0] * len(returns_G)
    return [(r - middle) / middle for r in returns_G]


def halves(returns_G: Sequence[float], metric_G: Sequence[float], mu: float = 0.5) -> list[float]:
    """Compare with the other half of the group, sorted by a metric, and with one's own half.

        A = mu (R - mean of the other half) + (1 - mu) (R - mean of the own half)

    With halves of equal size and mu 1/2 this is R - mean exactly. In an odd group the middle
    trajectory belongs to the half of the higher metric.

    Source: CANON, arXiv:2509.23962.

    >>> halves([1.0, 0.0, 1.0, 1.0], [0.1, 0.2, 0.3, 0.4], mu=1.0)
    [0.0, -1.0, 0.5, 0.5]
    """
    if len(returns_G) < 2:
        return [0.0] * len(returns_G)
    order = sorted(range(len(returns_G)), key=metric_G.__getitem__)
    low = set(order[: len(order) // 2])
    means = {
        side: mean([r for i, r in enumerate(returns_G) if (i in low) == side])
        for side in (True, False)
    }
    return [
        r - mu * means[i not in low] - (1 - mu) * means[i in low] for i, r in enumerate(returns_G)
    ]


def beta_pdf(x: float, alpha: float, beta: float) -> float:
    """Density of the beta distribution; at the ends, of its nearest representable inside.

    >>> round(beta_pdf(0.25, 11 / 6, 11 / 6), 4)
    1.1238
    """
    x = min(max(x, 1e-12), 1 - 1e-12)
    log_b = lgamma(alpha) + lgamma(beta) - lgamma(alpha + beta)
    return exp((alpha - 1) * log(x) + (beta - 1) * log(1 - x) - log_b)


def beta_shape(rates_P: Sequence[float]) -> tuple[float, float]:
    """The beta distribution that normalises best, from the success rates of a batch's groups.

        mu, v of the rates;  a = (mu (1 - mu) / v - 1) mu;  b = (...)(1 - mu)
        alpha = max(1, 1 + a / 3), beta = max(1, 1 + b / 3)

    (1, 1), no normalisation, where there is no spread or too much.

    Source: BNPO, arXiv:2506.02864.

    >>> tuple(round(x, 4) for x in beta_shape([0.25, 0.5, 0.75, 0.5]))
    (1.8333, 1.8333)
    """
    mu, v = mean(rates_P), std(rates_P) ** 2
    if v <= 0 or v >= mu * (1 - mu):
        return 1.0, 1.0
    scale = mu * (1 - mu) / v - 1
    return max(1.0, 1 + scale * mu / 3), max(1.0, 1 + scale * (1 - mu) / 3)


def whiten(values: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """(v - mean) / sqrt(var + 1e-8) over a batch, each value counted `weights` times.

    >>> [round(v, 3) for v in whiten([1.0, -1.0, 1.0, -1.0])]
    [1.0, -1.0, 1.0, -1.0]
    """
    counts = [1.0] * len(values) if weights is None else list(weights)
    total = sum(counts)
    if total <= 0:
        return [0.0] * len(values)
    middle = sum(n * v for n, v in zip(counts, values, strict=True)) / total
    var = sum(n * (v - middle) ** 2 for n, v in zip(counts, values, strict=True)) / total
    return [(v - middle) / (var + 1e-8) ** 0.5 for v in values]


# ---- as estimators ------------------------------------------------------------------------------


class Siblings(Memoryless):
    """Applies a function of one group's trajectories to every group.

    Args:
        group: Key of `GROUPS`; by default the siblings of a task, seat by seat.
    """

    def __init__(self, group: str = "task+role") -> None:
        choice("group", group, GROUPS)
        self.group = group

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """One advantage a trajectory."""
        raise NotImplementedError

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """The same advantage for all turns of a trajectory."""
        trajectories = trajectories_of(episodes)
        out = [0.0] * len(trajectories)
        for members in positions([GROUPS[self.group](t) for t in trajectories]).values():
            for i, a in zip(
                members, self.of_group([trajectories[i] for i in members]), strict=True
            ):
                out[i] = a
        return [broadcast(t, a) for t, a in zip(trajectories, out, strict=True)]


def _returns(members: Sequence[Trajectory]) -> list[float]:
    return [t.ret for t in members]


class GRPO(Siblings):
    """A = (R - mean) / (std + eps), unbiased standard deviation.

    Args:
        std: "group"; "batch", one standard deviation for all groups, which keeps easy and hard
            tasks at their weight; "none", Dr. GRPO's R - mean.
        eps: Added to the standard deviation.
        group: Key of `GROUPS`.

    Source: arXiv:2402.03300; Dr. GRPO, arXiv:2503.20783.
    """

    def __init__(self, std: str = "group", eps: float = 1e-6, group: str = "task+role") -> None:
        super().__init__(group)
        choice("std", std, ("group", "batch", "none"))
        self.std, self.eps = std, eps

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """By the group's own statistics."""
        returns = _returns(members)
        return zscore(returns, eps=self.eps) if self.std == "group" else center(returns)

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """In standard deviations; with "none" in the unit of the returns."""
        out = super().__call__(episodes)
        if self.std == "batch":
            spread = std([a for trajectory in out for a in trajectory[:1]]) + self.eps
            out = [tuple(a / spread for a in trajectory) for trajectory in out]
        return out


class GroupMean(Siblings):
    """A = R - mean of the group, which is the trajectories of one task and role.

    A group of one gets 0: it says nothing about better or worse.

    Source: Dr. GRPO, arXiv:2503.20783.
    """

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """In the unit of the returns; they sum to zero."""
        return center(_returns(members))


class RLOO(Siblings):
    """Leave one out, see `leave_one_out`."""

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """In the unit of the returns; they sum to zero."""
        return leave_one_out(_returns(members))


class OPO(Siblings):
    """See `length_weighted`; lengths are sampled tokens."""

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """In the unit of the returns."""
        return length_weighted(_returns(members), [sum(turn_tokens(t)) for t in members])


class PassK(Siblings):
    """See `pass_at_k`."""

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """In the unit of the returns."""
        return pass_at_k(_returns(members))


class MaxRL(Siblings):
    """See `max_likelihood`. Returns in [0, 1]."""

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """Dimensionless."""
        return max_likelihood(_returns(members))


METRICS: dict[str, Callable[[Trajectory], float]] = {
    "entropy": lambda t: mean(turn_entropies(t)),
    "tokens": lambda t: float(sum(turn_tokens(t))),
    "turns": lambda t: float(len(t.turns)),
    "calls": lambda t: float(sum(bool(turn.called) for turn in t.turns)),
}
"""What trajectories may be told apart by."""
ASKS: dict[str, tuple[str, ...]] = {"calls": ("tools",)}
"""What an environment must have for a metric to say anything, see `Memoryless.asks`."""


class CANON(Siblings):
    """See `halves`.

    Args:
        metric: Key of `METRICS`.
        mu: Weight of the comparison with the other half.
        group: Key of `GROUPS`.
    """

    def __init__(self, metric: str = "entropy", mu: float = 0.5, group: str = "task+role") -> None:
        super().__init__(group)
        choice("metric", metric, METRICS)
        self.metric, self.mu = METRICS[metric], mu
        self.asks = ASKS.get(metric, ())

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """In the unit of the returns."""
        return halves(_returns(members), [self.metric(t) for t in members], self.mu)


class BNPO(Siblings):
    """A = (R - p) / Beta(p; alpha, beta) with p the group's mean return and the shape fitted to the
    batch, see `beta_shape`; the weight is at most 1e6. Returns in [0, 1].

    Source: arXiv:2506.02864.
    """

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """R - p."""
        return center(_returns(members))

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """Dimensionless.

        Raises:
            ValueError: If a return is outside [0, 1].
        """
        trajectories = trajectories_of(episodes)
        for t in trajectories:
            if not 0 <= t.ret <= 1:
                raise ValueError(f"bnpo needs returns in [0, 1], got {t.ret} in {t.env_id}")
        keys = [GROUPS[self.group](t) for t in trajectories]
        rates = {
            key: mean([trajectories[i].ret for i in members])
            for key, members in positions(keys).items()
        }
        shape = beta_shape(list(rates.values()))
        out = super().__call__(episodes)
        for i, key in enumerate(keys):
            weight = min(1 / max(beta_pdf(rates[key], *shape), 1e-12), 1e6)
            out[i] = tuple(weight * a for a in out[i])
        return out


class ReinforcePlusPlus(Memoryless):
    """Return-to-go of every turn, whitened over all sampled tokens of the batch.

    Args:
        gamma: Discount from turn to turn. What the environment says between two turns is no
            transition and costs nothing.
        baseline: Subtract the group's mean return first (REINFORCE++-baseline); then the return
            of the episode is used, and a group of one gets 0.

    Source: arXiv:2501.03262. verl's version resets the running return at every masked token, which
    in a conversation takes the outcome away from all turns but the last; here it is carried over.
    """

    def __init__(self, gamma: float = 1.0, baseline: bool = False) -> None:
        self.gamma, self.baseline = gamma, baseline
        self.group = "task+role" if baseline else "batch"

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """In standard deviations of the batch."""
        trajectories = trajectories_of(episodes)
        if self.baseline:
            raw = GroupMean()(episodes)
        else:
            raw = [
                tuple(returns_to_go([turn.reward for turn in t.turns], self.gamma))
                for t in trajectories
            ]
        counts = [n for t in trajectories for n in turn_tokens(t)]
        flat = iter(whiten([a for row in raw for a in row], counts))
        return [tuple(next(flat) for _ in row) for row in raw]


class Returns(Memoryless):
    """A = R: plain REINFORCE without a baseline, for comparison."""

    group: str = "batch"

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """The returns themselves."""
        return [broadcast(t, t.ret) for t in trajectories_of(episodes)]
