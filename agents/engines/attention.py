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
    """(rows * kv_heads, 1, keys) additive, for single queries of unequal length."""
    fresh: bool
    """No chunk has anything cached before it."""


def buckets(
    chunks: Chunks, kv_heads: int, dtype: torch.dtype, device: torch.device
) -> list[Bucket]:
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
                kv_heads,
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
    kv_heads: int,
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
        mask = mask.masked_fill_(hidden, -torch.inf).repeat_interleave(kv_heads, 0)[:, None]
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


def attend(
    bucket: Bucket, q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, scale: float
) -> Tensor:
    """Attention of one bucket in one layer.

    Args:
        bucket: Of N among the T tokens of the batch.
        q: (T, heads, head_dim) queries.
        k: (T, kv_heads, head_dim) new keys.
        v: (T, kv_heads, head_dim) new values.
        keys: (slots, kv_heads, head_dim, positions) of the cache, the new ones in place.
        values: (slots, kv_heads, positions, head_dim) likewise.
        scale: Of the scores.

    Returns:
        (N, heads * head_dim).
    """
    mine = slice(bucket.begin, bucket.end)
    if bucket.queries == 1:
        return _attend_one(bucket, q[mine], keys, values, scale)
    if bucket.fresh:
        out = _attend_fresh(bucket, q[mine], k[mine], v[mine], scale)
    else:
        out = _attend_cached(bucket, _rows(bucket, q[mine]), keys, values, scale)
    out = out.reshape(bucket.num_rows * bucket.queries, -1)
    return out if bucket.ungather is None else out[bucket.ungather]


def _rows(bucket: Bucket, x: Tensor) -> Tensor:
    """(N, ...) tokens to (R, Q, ...), padded with copies."""
    if bucket.gather is not None:
        x = x[bucket.gather]
    return x.reshape(bucket.num_rows, bucket.queries, *x.shape[1:])


def _held(bucket: Bucket, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """(rows * kv_heads, ...) the bucket's part of the cache; no copy if the slots are a range."""
    if isinstance(bucket.rows, slice):
        kv = keys.shape[1]
        part = slice(bucket.rows.start * kv, bucket.rows.stop * kv)
        keys, values = keys.flatten(0, 1)[part], values.flatten(0, 1)[part]
        return keys[:, :, : bucket.keys], values[:, : bucket.keys]
    keys, values = keys[..., : bucket.keys], values[:, :, : bucket.keys]
    return keys[bucket.rows].flatten(0, 1), values[bucket.rows].flatten(0, 1)


def _softmax(scores: Tensor) -> Tensor:
    return scores.softmax(-1, dtype=torch.float32).to(scores.dtype)


def _attend_one(bucket: Bucket, q: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    # Plain products beat scaled_dot_product_attention here: it is made for many queries.
    R, D, kv = q.shape[0], q.shape[2], keys.shape[1]
    held_k, held_v = _held(bucket, keys, values)
    if bucket.scatter is not None:
        spread = q.new_zeros((bucket.num_rows, *q.shape[1:]))
        spread[bucket.scatter] = q
        q = spread
    # The queries that share a key head are the rows of one product.
    q = q.reshape(bucket.num_rows * kv, -1, D)
    if bucket.mask is None:
        scores = torch.bmm(q * scale, held_k)
    else:
        scores = torch.baddbmm(bucket.mask, q, held_k, alpha=scale)
    out = torch.bmm(_softmax(scores), held_v).view(bucket.num_rows, -1)
    return out if bucket.scatter is None else out[bucket.scatter].view(R, -1)


def _attend_fresh(bucket: Bucket, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    # Padding comes last, so being causal also hides it from every real query.
    q, k, v = (_rows(bucket, x).transpose(1, 2) for x in (q, k, v))
    grouped = q.shape[1] != k.shape[1]
    out = scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=grouped)
    return out.transpose(1, 2)


def _attend_cached(bucket: Bucket, q: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    (R, Q, heads, D), kv = q.shape, keys.shape[1]
    share = heads // kv
    held_k, held_v = _held(bucket, keys, values)
    block = max(1, MAX_SCORES // (R * heads * bucket.keys))
    position = torch.arange(bucket.keys, device=q.device)
    parts = []
    for a in range(0, Q, block):
        part = q[:, a : a + block].reshape(R, -1, kv, share, D).transpose(1, 2)
        n = part.shape[2]
        last = bucket.starts[:, None] + torch.arange(a, a + n, device=q.device)
        hidden = (position > last[:, :, None])[:, None, :, None]
        scores = torch.bmm(part.reshape(R * kv, n * share, D) * scale, held_k)
        scores.view(R, kv, n, share, -1).masked_fill_(hidden, -torch.inf)
        out = torch.bmm(_softmax(scores), held_v).view(R, kv, n, share, D)
        parts.append(out.transpose(1, 2).reshape(R, n, heads, D))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
