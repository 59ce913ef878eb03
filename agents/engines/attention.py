"""Chunks of tokens to compute, and attention of a chunk over its slot of the cache."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ludus.agents.engines.sampling import Ints

MAX_SCORES = 1 << 24  # elements of one attention mask
PAD_RATIO = 1.5  # chunks are padded to the longest of their bucket, at most this much


@dataclass(frozen=True, slots=True)
class Chunks:
    """C runs of new tokens, each appended to one slot."""

    slots: Ints
    """(C,) distinct."""
    starts: Ints
    """(C,) position of the first token of each, which is the length of what is cached."""
    lengths: Ints
    """(C,) tokens in each, at least 1."""
    tokens: Ints
    """(T,) all of them, one chunk after the other."""

    def ordered(self) -> tuple["Chunks", Ints]:
        """Like chunks side by side: by length, single tokens by slot; and the order (C,)."""
        fresh = (self.starts == 0) & (self.lengths > 1)
        order = np.lexsort((self.slots, self.lengths, fresh))
        if (order[1:] > order[:-1]).all():
            return self, order
        return self.reordered(order), order

    def reordered(self, order: Ints) -> "Chunks":
        """The chunks in another order (C,)."""
        begins = self.lengths.cumsum() - self.lengths
        lengths = self.lengths[order]
        # Token t of a reordered chunk: where the chunk began, plus its place inside it.
        inside = np.arange(len(self.tokens)) - np.repeat(lengths.cumsum() - lengths, lengths)
        tokens = self.tokens[np.repeat(begins[order], lengths) + inside]
        return Chunks(self.slots[order], self.starts[order], lengths, tokens)

    def batches(self, max_tokens: int) -> Iterator["Chunks"]:
        """The chunks in as few batches as hold at most that many tokens, or one chunk."""
        if len(self.tokens) <= max_tokens:
            yield self
            return
        ends = self.lengths.cumsum()
        first = 0
        while first < len(ends):
            begin = int(ends[first] - self.lengths[first])
            last = max(first + 1, int(np.searchsorted(ends, begin + max_tokens, side="right")))
            part = slice(first, last)
            tokens = self.tokens[begin : ends[last - 1]]
            yield Chunks(self.slots[part], self.starts[part], self.lengths[part], tokens)
            first = last

    def places(self) -> tuple[Ints, Ints]:
        """(T,) slot and (T,) position of every token."""
        if len(self.tokens) == len(self.slots):
            return self.slots, self.starts
        shift = self.starts - (self.lengths.cumsum() - self.lengths)
        positions = np.arange(len(self.tokens)) + np.repeat(shift, self.lengths)
        return np.repeat(self.slots, self.lengths), positions


@dataclass(frozen=True, slots=True)
class Bucket:
    """Chunks of like length: attention is one call for R rows of up to Q queries."""

    begin: int
    """First of its tokens in the batch."""
    end: int
    rows: slice | Tensor
    """Slots to attend over: a range of the cache, or an index that copies them together."""
    num_rows: int
    """How many slots that is: R, or more when idle ones lie between."""
    scatter: Tensor | None
    """(R,) place of each row in the range, when idle slots lie between."""
    gather: Tensor | None
    """(R * Q,) token of each query, counted from `begin`, when chunks are padded."""
    ungather: Tensor | None
    """(end - begin,) query of each token, when chunks are padded."""
    queries: int
    """Q."""
    starts: Tensor
    """(rows,) position of the first query of each."""
    keys: int
    """Longest stream of the bucket, its new tokens included."""
    mask: Tensor | None
    """(rows, 1, 1, keys) additive, for single queries of unequal length."""
    fresh: bool
    """No chunk has anything cached before it."""


def buckets(chunks: Chunks, dtype: torch.dtype, device: torch.device) -> list[Bucket]:
    """Split ordered chunks so that few queries are padding."""
    lengths, fresh = chunks.lengths, (chunks.starts == 0) & (chunks.lengths > 1)
    edges, first = [0], 0
    if lengths[-1] > 1:
        for i in range(1, len(lengths)):
            limit = PAD_RATIO * lengths[first] if lengths[first] > 1 else 1
            if lengths[i] > limit or fresh[i] != fresh[first]:
                edges.append(i)
                first = i
    edges.append(len(lengths))
    ends = lengths.cumsum()
    found = []
    for a, b in pairwise(edges):
        part = slice(a, b)
        begin, end = int(ends[a] - lengths[a]), int(ends[b - 1])
        found.append(
            _bucket(
                chunks.slots[part],
                chunks.starts[part],
                lengths[part],
                begin,
                end,
                bool(fresh[a]),
                dtype,
                device,
            )
        )
    return found


def _bucket(
    slots: Ints,
    starts: Ints,
    lengths: Ints,
    begin: int,
    end: int,
    fresh: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> Bucket:
    R, Q = len(slots), int(lengths.max())
    keys = int((starts + lengths).max())
    low, span = int(slots[0]), int(slots[-1] - slots[0]) + 1
    rows: slice | Tensor
    scatter = mask = gather = ungather = None
    increasing = bool((slots[1:] > slots[:-1]).all())
    if increasing and span == R:
        rows = slice(low, low + R)
    elif increasing and Q == 1 and span <= 2 * R:
        # Reading the idle slots between costs less than copying the busy ones together.
        rows = slice(low, low + span)
        place = slots - low
        scatter = torch.from_numpy(place).to(device)
        padded = np.zeros(span, np.int64)
        padded[place] = starts
        starts = padded
    else:
        rows = torch.from_numpy(slots).to(device)
    if Q > 1 and end - begin != R * Q:
        column = np.arange(Q)
        first = lengths.cumsum() - lengths
        gather_RQ = first[:, None] + np.minimum(column, lengths[:, None] - 1)
        gather = torch.from_numpy(gather_RQ.reshape(-1)).to(device)
        ungather = torch.from_numpy(np.flatnonzero(column < lengths[:, None])).to(device)
    starts_dev = torch.from_numpy(starts).to(device)
    if Q == 1 and (starts + 1 < keys).any():
        hidden = torch.arange(keys, device=device) > starts_dev[:, None]
        mask = torch.zeros(hidden.shape, dtype=dtype, device=device)
        mask = mask.masked_fill_(hidden, -torch.inf)[:, None, None]
    return Bucket(
        begin=begin,
        end=end,
        rows=rows,
        num_rows=len(starts),
        scatter=scatter,
        gather=gather,
        ungather=ungather,
        queries=Q,
        starts=starts_dev,
        keys=keys,
        mask=mask,
        fresh=fresh,
    )


def attend(bucket: Bucket, q: Tensor, cache: Tensor, scale: float) -> Tensor:
    """Attention of one bucket in one layer.

    Args:
        bucket: Of N tokens.
        q: (N, heads, head_dim) its queries.
        cache: (slots, 2 * kv_heads, positions, head_dim) with the new keys and values in place.
        scale: Of the scores.

    Returns:
        (N, heads * head_dim).
    """
    kv = cache.shape[1] // 2
    if isinstance(bucket.rows, slice):
        held = cache[bucket.rows, :, : bucket.keys]
    else:
        held = cache[bucket.rows, :, : bucket.keys]
    k, v = held[:, :kv], held[:, kv:]
    if bucket.queries > 1:
        return _attend_many(bucket, q, k, v, scale)
    # The queries that share a key head stand where a sequence of queries would.
    q = q.view(len(q), kv, -1, q.shape[-1])
    if bucket.scatter is not None:
        spread = q.new_zeros((bucket.num_rows, *q.shape[1:]))
        spread[bucket.scatter] = q
        q = spread
    out = scaled_dot_product_attention(q, k, v, attn_mask=bucket.mask, scale=scale)
    if bucket.scatter is not None:
        out = out[bucket.scatter]
    return out.reshape(len(out), -1)


def _attend_many(bucket: Bucket, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    Q, kv = bucket.queries, k.shape[1]
    if bucket.gather is not None:
        q = q[bucket.gather]
    q = q.view(bucket.num_rows, Q, *q.shape[1:])
    if bucket.fresh:
        # Padding comes last, so being causal also hides the keys of longer neighbours.
        out = scaled_dot_product_attention(
            q.transpose(1, 2), k, v, is_causal=True, scale=scale, enable_gqa=q.shape[2] != kv
        ).transpose(1, 2)
    else:
        out = _attend_cached(bucket, q, k, v, scale)
    out = out.reshape(bucket.num_rows * Q, -1)
    return out if bucket.ungather is None else out[bucket.ungather]


def _attend_cached(bucket: Bucket, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    (R, Q, heads, D), kv = q.shape, k.shape[1]
    share = heads // kv
    block = max(1, MAX_SCORES // (R * share * bucket.keys))
    position = torch.arange(bucket.keys, device=q.device)
    parts = []
    for a in range(0, Q, block):
        part = q[:, a : a + block]
        last = bucket.starts[:, None] + torch.arange(a, a + part.shape[1], device=q.device)
        hidden = position > last[:, :, None]
        mask = torch.zeros(hidden.shape, dtype=q.dtype, device=q.device)
        mask = mask.masked_fill_(hidden, -torch.inf).repeat_interleave(share, dim=1)[:, None]
        folded = part.reshape(R, -1, kv, share, D).transpose(1, 2).reshape(R, kv, -1, D)
        out = scaled_dot_product_attention(folded, k, v, attn_mask=mask, scale=scale)
        parts.append(out.view(R, kv, -1, share, D).transpose(1, 2).reshape(R, -1, heads, D))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
