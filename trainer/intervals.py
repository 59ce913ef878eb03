"""95 % confidence intervals of means and rates."""

from collections.abc import Sequence
from math import sqrt

from scipy.stats import t as student_t


def mean_ci(values: Sequence[float], confidence: float = 0.95) -> float:
    """Half width of Student's t interval of a mean; infinite below two values.

    >>> round(mean_ci([0.0, 1.0, 0.0, 1.0]), 3)
    0.919
    """
    n = len(values)
    if n < 2:
        return float("inf")
    mean = sum(values) / n
    variance = sum((v - mean) ** 2 for v in values) / (n - 1)
    return float(student_t.ppf(0.5 + confidence / 2, n - 1)) * sqrt(variance / n)


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate: inside [0, 1] and right also near its ends.

    >>> [round(x, 3) for x in wilson(0, 10)]
    [0.0, 0.278]
    """
    if n == 0:
        return 0.0, 1.0
    rate = successes / n
    centre = rate + z * z / (2 * n)
    half = z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n))
