"""Rows of the key-value cache: shared by reference, appended to at the tip, copied on divergence.

A slot holds the keys and values of one token stream. A holder knows how many positions of it are
its own prefix. Positions below the tip never change, so any number of holders may read them, each
up to its own length; only a holder whose length is the tip may append. Whoever else wants to go on
copies its prefix to a slot of its own first. Beyond the tip is scratch space. When slots run out,
those that the present step does not need are taken away, the least recently used first.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ludus.agents.engines.sampling import Ints

FIRST_POSITIONS = 64


class Slots:
    """The cache and its book-keeping.

    Args:
        layers: Decoder layers.
        kv_heads: Key heads, and as many value heads.
        head_dim: Of each head.
        max_positions: Longest stream, in tokens.
        max_slots: Most slots there may ever be; without a bound if not given.
        dtype: Of keys and values.
        device: Of keys and values.
    """

    def __init__(
        self,
        *,
        layers: int,
        kv_heads: int,
        head_dim: int,
        max_positions: int,
        max_slots: int | None,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.max_positions, self.max_slots = max_positions, max_slots
        P = min(FIRST_POSITIONS, max_positions)
        # Zeros, here and when they grow: masked values are multiplied by 0, which nan survives.
        kind: dict[str, Any] = {"dtype": dtype, "device": device}
        self.keys: Tensor = torch.zeros((layers, 0, kv_heads, head_dim, P), **kind)
        """(layers, slots, kv_heads, head_dim, positions): transposed, as products of one query
        with many keys read them fastest."""
        self.values: Tensor = torch.zeros((layers, 0, kv_heads, P, head_dim), **kind)
        """(layers, slots, kv_heads, positions, head_dim)."""
        self.refs: Ints = np.zeros(0, np.int64)
        """By slot: how many streams hold it. A slot is free when none does."""
        self.tip: Ints = np.zeros(0, np.int64)
        """By slot: positions in use."""
        self.generation: Ints = np.zeros(0, np.int64)
        """By slot: how often its holders were told to forget it."""
        self.used: Ints = np.zeros(0, np.int64)
        """By slot: the step that last needed it."""
        self.now = 0
        """Steps begun."""

    def tick(self, holding: Ints) -> None:
        """Begin a step in which these slots must not be evicted; -1 stands for none."""
        self.now += 1
        self.used[holding[holding >= 0]] = self.now

    def at_tip(self, slots: Ints, cached: Ints) -> Ints:
        """Which of C holders of a prefix (slot -1: of nothing) may append in place, one a slot."""
        held = np.flatnonzero(slots >= 0)
        able = held[self.tip[slots[held]] == cached[held]]
        _, first = np.unique(slots[able], return_index=True)
        appending: Ints = able[first]
        return appending

    def claim(self, slots: Ints, cached: Ints, lengths: Ints, holders: Ints) -> Ints:
        """Where each of C groups of streams appends its new tokens: in place or in a copy.

        Args:
            slots: (C,) what each group holds now; -1 if nothing.
            cached: (C,) its prefix there.
            lengths: (C,) how many tokens it appends.
            holders: (C,) its streams; their references move along.

        Returns:
            (C,) distinct slots with the prefix in place and the tip moved to its new end.

        Raises:
            ValueError: If that needs more than max_slots.
        """
        self.used[slots[slots >= 0]] = self.now
        moves = np.ones(len(slots), np.bool_)
        moves[self.at_tip(slots, cached)] = False
        self.reserve(int((cached + lengths).max()))
        claimed = slots.copy()
        if moves.any():
            claimed[moves] = new = self.take(int(moves.sum()))
            self.refs[new] = holders[moves]
            copies = moves & (slots >= 0)
            self.copy(slots[copies], claimed[copies], cached[copies])
            np.subtract.at(self.refs, slots[copies], holders[copies])
        self.tip[claimed] = cached + lengths
        return claimed

    def take(self, count: int) -> Ints:
        """Free slots, each now held once, the lowest first so that they lie side by side.

        Raises:
            ValueError: If that needs more than max_slots.
        """
        free = np.flatnonzero(self.refs == 0)[:count]
        if len(free) < count:
            self._grow(count - len(free))
            free = np.flatnonzero(self.refs == 0)[:count]
        if len(free) < count:
            self._evict(count - len(free))
            free = np.flatnonzero(self.refs == 0)[:count]
        if len(free) < count:
            raise ValueError(
                f"{count} more cache slots are needed, {len(free)} of max_slots={self.max_slots} "
                "are free: close sessions, submit fewer at a time, or raise max_slots"
            )
        self.refs[free] = 1
        self.tip[free] = 0
        self.used[free] = self.now
        return free

    def copy(self, sources: Ints, targets: Ints, lengths: Ints) -> None:
        """Give each target the first `length` positions of its source."""
        if len(sources) == 0 or (longest := int(lengths.max())) == 0:
            return
        to = torch.from_numpy(targets).to(self.keys.device)
        rows = torch.from_numpy(sources).to(self.keys.device)
        self.keys[:, to, :, :, :longest] = self.keys[:, rows, :, :, :longest]
        self.values[:, to, :, :longest] = self.values[:, rows, :, :longest]

    def reserve(self, positions: int) -> None:
        """Make room for streams of that many tokens."""
        have = self.values.shape[3]
        if positions > have:
            more = min(max(positions, 2 * have), self.max_positions) - have
            self.keys = pad(self.keys, (0, more))
            self.values = pad(self.values, (0, 0, 0, more))

    def forget(self) -> None:
        """Free all slots; holders find out by the generation."""
        self.generation += 1
        self.refs[:] = 0

    def _evict(self, count: int) -> None:
        idle = np.flatnonzero((self.refs > 0) & (self.used < self.now))
        oldest = idle[np.argsort(self.used[idle], kind="stable")[:count]]
        self.generation[oldest] += 1
        self.refs[oldest] = 0

    def _grow(self, missing: int) -> None:
        have = len(self.refs)
        want = max(have + missing, 2 * have)
        if self.max_slots is not None:
            want = min(want, self.max_slots)
        if want <= have:
            return
        more = want - have
        self.keys = pad(self.keys, (0, 0, 0, 0, 0, 0, 0, more))
        self.values = pad(self.values, (0, 0, 0, 0, 0, 0, 0, more))
        for name in ("refs", "tip", "generation", "used"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros(more, np.int64)]))
