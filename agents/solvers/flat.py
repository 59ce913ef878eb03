"""A game tree as arrays, swept level by level.

Letters: N nodes in breadth-first order, I information sets, S seats, Q slots. A *slot* is one move
at one information set; a policy is its probabilities over all slots, one after the other.
"""

# shape suffixes

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FlatTree:
    """The arrays. Made by `FlatTree.of`."""

    levels: tuple[slice, ...]
    """Nodes by depth, from the worlds' starts (depth 0)."""
    parent_N: Ints
    slot_N: Ints
    """The slot that leads to a node; at depth 0 unused."""
    mover_N: Ints
    """The seat that moves at a node's parent; at depth 0 unused."""
    returns_NS: Floats
    """At leaves; 0 elsewhere."""
    chance_N: Floats
    start_I: Ints
    """First slot of each information set."""
    size_I: Ints
    seat_I: Ints
    depth_I: Ints
    """How many decisions the seat has made before. Well-defined because seats forget nothing."""

    @classmethod
    def of(
        cls,
        *,
        parents: Sequence[int],
        infosets: Sequence[int],
        children: Sequence[range],
        returns: Sequence[Sequence[float]],
        chances: Sequence[float],
        seat_of: Sequence[int],
        sizes: Sequence[int],
    ) -> "FlatTree":
        """From one entry per node (the first five) and per information set (the others)."""
        start_I = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        slot_N, mover_N = np.full(len(parents), -1), np.full(len(parents), -1)
        depth_of = [-1] * len(sizes)
        before: list[tuple[int, ...]] = [()] * len(parents)  # decisions made so far, per seat
        level_of = [0] * len(parents)
        for node, (infoset, below) in enumerate(zip(infosets, children, strict=True)):
            counts = before[node] or (0,) * len(returns[0])
            if infoset < 0:
                continue
            seat = seat_of[infoset]
            if depth_of[infoset] not in (-1, counts[seat]):
                raise ValueError("a seat is not told of its own past moves")
            depth_of[infoset] = counts[seat]
            after = tuple(n + (s == seat) for s, n in enumerate(counts))
            for choice, child in enumerate(below):
                slot_N[child], mover_N[child] = start_I[infoset] + choice, seat
                before[child], level_of[child] = after, level_of[node] + 1
        bounds = np.searchsorted(level_of, range(level_of[-1] + 2))
        return cls(
            levels=tuple(slice(int(a), int(b)) for a, b in pairwise(bounds)),
            parent_N=np.asarray(parents),
            slot_N=slot_N,
            mover_N=mover_N,
            returns_NS=np.asarray(returns, dtype=np.float64),
            chance_N=np.asarray(chances, dtype=np.float64),
            start_I=start_I,
            size_I=np.asarray(sizes),
            seat_I=np.asarray(seat_of),
            depth_I=np.asarray(depth_of),
        )

    @cached_property
    def infoset_Q(self) -> Ints:
        """The information set of each slot."""
        return np.repeat(np.arange(len(self.size_I)), self.size_I)

    @cached_property
    def seat_Q(self) -> Ints:
        """The seat whose move each slot is."""
        return self.seat_I[self.infoset_Q]

    def values(self, policy_Q: Floats) -> Floats:
        """(N, S) expected return of every seat from every node on, when all play the policy."""
        values_NS = self.returns_NS.copy()
        for level in reversed(self.levels[1:]):
            weighted = policy_Q[self.slot_N[level], None] * values_NS[level]
            np.add.at(values_NS, self.parent_N[level], weighted)
        return values_NS

    def expected(self, policy_Q: Floats) -> Floats:
        """(S,) expected return of every seat over all worlds."""
        top = self.levels[0]
        total: Floats = self.chance_N[top] @ self.values(policy_Q)[top]
        return total

    def reach(self, policy_Q: Floats, *, of: int | None = None, but: int | None = None) -> Floats:
        """(N,) probability of reaching each node, counting only the moves of seat `of`, or only
        chance and the moves of all seats but `but`."""
        factor_N = policy_Q[self.slot_N]
        if of is not None:
            factor_N = np.where(self.mover_N == of, factor_N, 1.0)
        if but is not None:
            factor_N = np.where(self.mover_N == but, 1.0, factor_N)
        reach_N = np.ones_like(self.chance_N) if of is not None else self.chance_N.copy()
        for level in self.levels[1:]:
            reach_N[level] = reach_N[self.parent_N[level]] * factor_N[level]
        return reach_N

    def move_values(self, policy_Q: Floats, seat: int) -> Floats:
        """(Q,) counterfactual value of every slot to its seat, 0 at other seats' slots.

            v(I, a) = sum over h in I of pi_-i(h) * u_i(h a)

        pi_-i(h): probability that chance and the others bring about history h; u_i: expected
        return when all play the policy from there on.
        """
        below = slice(self.levels[0].stop, None)
        weights = (self.reach(policy_Q, but=seat) * self.values(policy_Q)[:, seat])[below]
        weights = np.where(self.mover_N[below] == seat, weights, 0.0)
        sums_Q = np.bincount(self.slot_N[below], weights, minlength=len(self.infoset_Q))
        return np.asarray(sums_Q, dtype=np.float64)

    def sum_per_infoset(self, amounts_Q: Floats) -> Floats:
        """(Q,) the sum over the slots of the same information set, at each of them."""
        sums: Floats = np.add.reduceat(amounts_Q, self.start_I)[self.infoset_Q]
        return sums

    def normalized(self, weights_Q: Floats) -> Floats:
        """(Q,) weights scaled to sum to 1 in each information set; uniform where all are 0."""
        sums_Q = self.sum_per_infoset(weights_Q)
        even_Q = 1.0 / self.size_I[self.infoset_Q]
        return np.divide(weights_Q, sums_Q, out=even_Q, where=sums_Q > 0)

    def split(self, amounts_Q: Floats) -> list[tuple[Any, ...]]:
        """Per information set, its slots' amounts as plain numbers."""
        plain = amounts_Q.tolist()
        starts = self.start_I.tolist()
        return [tuple(plain[a : a + n]) for a, n in zip(starts, self.size_I.tolist(), strict=True)]
