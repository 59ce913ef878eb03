"""Schedules: how a coefficient moves over a run. Functions of the step, so nothing to save."""

import math
from collections.abc import Callable

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
    "inverse": lambda progress: 1.0 / (1.0 + 9.0 * progress),
    "sqrt": lambda progress: 1.0 / math.sqrt(1.0 + 99.0 * progress),
    "exponential": lambda progress: 0.01**progress,
}
"""Name -> factor in [0, 1] at a progress in [0, 1]; 1 at the start. "inverse" and "sqrt" end at
one tenth, the slow annealing under which magnetic mirror descent converges (arXiv:2206.05825);
"exponential" at one hundredth."""


def scheduled(start: float, end: float, schedule: str, step: int, steps: int) -> float:
    """The value at a step: from `start`, by the schedule's factor, towards `end`.

    >>> scheduled(1.0, 0.0, "linear", 5, 11)
    0.5
    """
    progress = step / max(steps - 1, 1)
    return end + (start - end) * SCHEDULES[schedule](progress)
