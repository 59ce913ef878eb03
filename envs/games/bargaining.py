"""How good an agreement was, exactly: against every way to share out goods between two.

Seats i = 0, 1 value a unit of good r at v_ir and hold q_ir at the start. An allocation gives seat 0
x_r of the T_r = q_0r + q_1r units, and gains are g_0 = sum over r of v_0r (x_r - q_0r) and
g_1 = sum over r of v_1r (q_0r - x_r). With B(s), the most that seat 0's goods can be worth to it
while seat 1's are worth exactly s to it,

    B_r(s) = max over y of B_{r-1}(s - y v_1r) + (T_r - y) v_0r,   y = 0 .. T_r

all three scores are maxima over s. Exact because values and units are integers; source of the
scores: Nash 1950, The Bargaining Problem.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Scores:
    """An agreement against all that were possible."""

    pareto: bool
    """No allocation is better for one seat and no worse for the other."""
    welfare: float
    """Sum of gains as a share of the largest sum; 1 where nothing can be gained."""
    nash: float
    """Product of gains as a share of the largest; 0 if a seat lost, 1 where nothing can be
    gained by both and nobody lost."""
    most_welfare: int
    """The largest sum of gains."""
    most_nash: int
    """The largest product of gains of which neither is negative."""


def scores(
    owned: Sequence[Sequence[int]], values: Sequence[Sequence[int]], gains: tuple[int, int]
) -> Scores:
    """Judge gains.

    Args:
        owned: Per seat, units of each good at the start.
        values: Per seat, value of a unit of each good; positive integers.
        gains: What each seat gained.

    >>> scores([[2, 0], [0, 2]], [[1, 3], [3, 1]], (4, 4))
    Scores(pareto=True, welfare=1.0, nash=1.0, most_welfare=8, most_nash=16)
    """
    start = [sum(n * v for n, v in zip(owned[i], values[i], strict=True)) for i in range(2)]
    totals = [a + b for a, b in zip(*owned, strict=True)]
    # most_S[s]: the most that seat 0 can have while seat 1 has exactly s; below 0: impossible.
    size = sum(n * v for n, v in zip(totals, values[1], strict=True)) + 1
    most_S = np.full(size, -1, dtype=np.int64)
    most_S[0], reach = 0, 1
    for units, mine, theirs in zip(totals, *values, strict=True):
        grown_S = np.full(size, -1, dtype=np.int64)
        for y in range(units + 1):
            part_S = most_S[:reach]
            here_S = grown_S[y * theirs : y * theirs + reach]
            better_S = np.where(part_S < 0, -1, part_S + (units - y) * mine)
            np.maximum(here_S, better_S, out=here_S)
        most_S, reach = grown_S, reach + units * theirs
    possible_S = most_S >= 0
    first_P = most_S[possible_S] - start[0]
    second_P = np.flatnonzero(possible_S) - start[1]
    most_welfare = int((first_P + second_P).max())
    fair_P = (first_P >= 0) & (second_P >= 0)  # never empty: nothing changes hands
    most_nash = int((first_P * second_P)[fair_P].max())
    a, b = gains
    beaten_P = (first_P >= a) & (second_P >= b) & ((first_P > a) | (second_P > b))
    lost = a < 0 or b < 0
    return Scores(
        pareto=not beaten_P.any(),
        welfare=(a + b) / most_welfare if most_welfare else 1.0,
        nash=0.0 if lost else a * b / most_nash if most_nash else 1.0,
        most_welfare=most_welfare,
        most_nash=most_nash,
    )
