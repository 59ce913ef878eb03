"""The returns of one group to its advantages: pure functions on plain sequences.

A group of one has nothing to compare with and gets 0.
"""

from collections.abc import Sequence
from math import exp, lgamma, log

from ludus.trainer.advantages.base import mean, std


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

    (1, 1), no normalisation, where there is too much spread, or none but rounding's.

    Source: BNPO, arXiv:2506.02864.

    >>> tuple(round(x, 4) for x in beta_shape([0.25, 0.5, 0.75, 0.5]))
    (1.8333, 1.8333)
    """
    mu, v = mean(rates_P), std(rates_P) ** 2
    if v <= 1e-9 or v >= mu * (1 - mu):
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
