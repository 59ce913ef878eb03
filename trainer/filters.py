"""Group filters: which groups are worth a gradient. By raw returns, before any shaping.

A filter sees the returns of every group and names those to leave out, each with its reason. Filter
on the outcome only once the format is learnt: groups that fail alike carry the format's signal.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from math import sqrt
from typing import Protocol

from ludus.trainer.advantages.base import mean, std

Roots = Sequence[Sequence[float]]
"""Raw returns of a group: for each root those of the trajectories that grew from it, which share
its first reply. Without branches every root has one."""
Groups = Mapping[Hashable, Roots]


def spread(roots: Roots, *, unbiased: bool = True) -> float:
    """Standard deviation of the return from as many independent samples as there are roots: a root
    counts once, however many trajectories grew from it.

        Var = mean of the variances within roots + variance of the roots' means

    Args:
        roots: See `Roots`.
        unbiased: Of the second variance; the sum then is, too. Without branches this is `std`.

    >>> spread([[1.0], [0.0]]) == spread([[1.0], [0.0, 0.0, 0.0]]) == std([1.0, 0.0])
    True
    """
    within = mean([std(own, unbiased=False) ** 2 for own in roots])
    return sqrt(within + std([mean(own) for own in roots], unbiased=unbiased) ** 2)


class GroupFilter(Protocol):
    """Chooses groups to leave out."""

    def __call__(self, groups: Groups) -> dict[Hashable, str]:
        """Key -> why it is left out. Groups that are not named are kept."""


class Dynamic:
    """Leaves out groups whose returns are all equal: nothing in them is better than the rest.

    Source: DAPO's dynamic sampling, arXiv:2503.14476.

    >>> Dynamic()({"a": [[1.0], [0.0]], "b": [[1.0], [1.0]]})
    {'b': 'all equal'}
    """

    def __call__(self, groups: Groups) -> dict[Hashable, str]:
        """See the class."""
        returns = {key: [r for own in roots for r in own] for key, roots in groups.items()}
        return {key: "all equal" for key, r in returns.items() if max(r) == min(r)}


class TopSpread:
    """Keeps the part of the groups with the largest `spread` of the return; at least one.

    Args:
        keep: Part that is kept; int(keep * groups), as in the source.

    Source: StarPO-S, arXiv:2504.20073. Ties are kept in the order of the groups.

    >>> list(TopSpread(0.5)({"a": [[0.0], [0.0]], "b": [[1.0], [0.0]]}))
    ['a']
    """

    def __init__(self, keep: float = 0.25) -> None:
        if not 0 < keep <= 1:
            raise ValueError(f"keep must be in (0, 1], got {keep}")
        self.keep = keep

    def __call__(self, groups: Groups) -> dict[Hashable, str]:
        """See the class."""
        order = sorted(groups, key=lambda key: -spread(groups[key]))
        return dict.fromkeys(order[max(1, int(self.keep * len(groups))) :], "low spread")


class Nucleus:
    """Keeps the fewest groups whose variances reach p of the sum, less a tolerance of 0.01.

    Args:
        p: Part of the sum; 1 keeps nearly all.

    Source: RAGEN-2, arXiv:2604.06268.

    >>> list(Nucleus(0.9)({"a": [[1.0], [0.0]], "b": [[0.0], [0.0]]}))
    ['b']
    """

    def __init__(self, p: float = 0.9) -> None:
        if not 0 < p <= 1:
            raise ValueError(f"p must be in (0, 1], got {p}")
        self.p = p

    def __call__(self, groups: Groups) -> dict[Hashable, str]:
        """See the class."""
        variances = {key: spread(r, unbiased=False) ** 2 for key, r in groups.items()}
        order = sorted(groups, key=lambda key: -variances[key])
        kept = nucleus([variances[key] for key in order], self.p)
        return dict.fromkeys(order[kept:], "outside the nucleus")


def nucleus(scores: Sequence[float], p: float) -> int:
    """How many of the scores, given in descending order, reach p of their sum less 0.01; 1 or more.

    >>> nucleus([0.25, 0.19, 0.06, 0.0], 0.9)
    2
    """
    threshold = p * sum(scores) - 0.01
    total = 0.0
    for count, score in enumerate(scores, 1):
        total += score
        if total >= threshold - 1e-12:
            return count
    return len(scores)


FILTERS: dict[str, Callable[..., GroupFilter]] = {
    "dynamic": Dynamic,
    "starpo_s": TopSpread,
    "snr": Nucleus,
}
