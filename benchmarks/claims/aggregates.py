"""Aggregates over seeds: the interquartile mean and its bootstrap intervals.

Those of Agarwal et al., "Deep RL at the edge of the statistical precipice" (arXiv:2108.13264): the
interquartile mean, and percentile intervals of a bootstrap stratified by task. Written with scipy:
`rliable` 1.2 needs `arch` below 8, which cannot be imported beside pandas 3; the tests compare with
what it gave elsewhere.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import trim_mean

Array = np.ndarray[Any, np.dtype[np.float64]]


def iqm(scores: Array | Sequence[float]) -> float:
    """Mean of the middle half; with 5 numbers, of the middle 3.

    >>> iqm([0.0, 1.0, 2.0, 3.0, 100.0])
    2.0
    """
    return float(trim_mean(np.asarray(scores, float), 0.25, axis=None))


def interval(
    scores: Array | Sequence[float], *, confidence: float = 0.95, draws: int = 5000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the interquartile mean.

    Args:
        scores: (runs,) or (runs, tasks); runs are drawn anew within each task.
        confidence: Of the interval.
        draws: How many resamples.
        seed: Of them.
    """
    table = np.asarray(scores, float)
    table = table[:, None] if table.ndim == 1 else table
    low, high = np.percentile(
        _resampled(table, draws, seed), [50 * (1 - confidence), 50 * (1 + confidence)]
    )
    return float(low), float(high)


def difference(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Interquartile mean of ours minus theirs, seed by seed, and its 95 % bootstrap interval.

    The two runs of a seed have the same start and the same tasks, so what a seed makes easy or hard
    for both cancels; pairs are resampled whole. If pairs had nothing in common, the interval would
    be that of two samples.

    Args:
        ours: By seed.
        theirs: By seed, in the same order.

    >>> difference([0.5, 0.6, 0.8], [0.4, 0.5, 0.7])[0]
    0.1
    """
    gains = np.asarray(ours, float) - np.asarray(theirs, float)
    low, high = interval(gains)
    return round(iqm(gains), 12), low, high


def _resampled(table: Array, draws: int, seed: int) -> Array:
    """(draws,) interquartile means of resampled (runs, tasks)."""
    runs, tasks = table.shape
    rows = np.random.default_rng(seed).integers(runs, size=(draws, runs, tasks))
    drawn = table[rows, np.arange(tasks)]
    return np.asarray(trim_mean(drawn.reshape(draws, -1), 0.25, axis=1), float)
