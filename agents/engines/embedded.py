"""The in-process engine: continuous batching over the learner's own weights.

Sessions with the same tokens are one row of the forward pass, each with draws of its own, and part
ways when their tokens do. So 2,000 games that stand at 12 positions cost 12 rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ludus.agents.engines.attention import Chunks
from ludus.agents.engines.base import Completion, SamplingParams
from ludus.agents.engines.decoder import Decoder
from ludus.agents.engines.replies import Stream
from ludus.agents.engines.sampling import Ints
from ludus.agents.engines.slots import Slots
from ludus.agents.engines.streams import StreamEngine

BATCH_TOKENS = 8192  # of one forward pass; bounds the memory that prompts need
LOGIT_ELEMENTS = 1 << 24  # of one slice of logits while scoring


class EmbeddedSession(Stream):
    """A stream and the slot that holds its first `cached` tokens, always fewer than all."""

    slot = -1
    """Its slot while idle, valid while `generation` is that of the slot; -1 if none."""
    generation = -1
    cached = 0


class EmbeddedEngine(StreamEngine[EmbeddedSession]):
    """Engine for the models of `weights.FAMILIES`, on the device they are on.

    Args:
        model: Its parameters are read in place and never changed; see `Weights.of`.
        max_slots: Most distinct streams whose keys and values are kept. Beyond it, idle sessions
            lose theirs and are computed anew when used. Without a bound if not given.

    Raises:
        ValueError: If the model is not supported.
    """

    def __init__(self, model: Any, *, max_slots: int | None = None) -> None:
        self._decoder = Decoder(model)
        super().__init__(
            vocab_size=self._decoder.vocab_size, max_positions=self._decoder.max_positions
        )
        self._slots = Slots(
            layers=self._decoder.layers,
            kv_heads=self._decoder.kv_heads,
            head_dim=self._decoder.head_dim,
            max_positions=self.max_positions,
            max_slots=max_slots,
            dtype=self._decoder.dtype,
            device=self._decoder.device,
        )
        self.rows_computed = 0
        """Rows of all forward passes so far: chunks of tokens appended to one slot."""
        self.tokens_computed = 0
        """Token positions of all forward passes so far."""
        # By lane, while a reply is under way: its slot (-1: none), how many of its tokens are
        # there, and whether it is more than one token behind.
        self._slot: Ints = np.zeros(0, np.int64)
        self._cached: Ints = np.zeros(0, np.int64)
        self._behind = np.zeros(0, np.bool_)

    def fork(self, session: EmbeddedSession, *, seed: int) -> EmbeddedSession:
        """See `Engine.fork`. Costs no copy until both streams have gone on."""
        child = super().fork(session, seed=seed)
        slot, child.cached = self._where(session)
        self._attach(child, slot)
        if slot >= 0:
            self._slots.refs[slot] += 1
        return child

    def score(
        self, requests: Sequence[tuple[EmbeddedSession, Sequence[int]]]
    ) -> list[tuple[float, ...]]:
        """See `Engine.score`.

        Raises:
            ValueError: If a session is empty, closed or replying, or a continuation does not fit.
        """
        self._check_scorable(requests)
        with torch.inference_mode():
            self._slots.tick(self._slot[self._replies.admit()])
            self._catch_up([session for session, ids in requests if ids])
            distinct: dict[tuple[int, ...], list[int]] = {}
            for i, (session, ids) in enumerate(requests):
                key = (*self._where(session), session.tokens[-1], *ids)
                distinct.setdefault(key, []).append(i)
            scores: list[tuple[float, ...]] = [()] * len(requests)
            keys = [key for key in distinct if len(key) > 3]
            for key, logps in zip(keys, self._score(keys), strict=True):
                for i in distinct[key]:
                    scores[i] = logps
        return scores

    def _new(self, ids: Sequence[int], seed: int) -> EmbeddedSession:
        return EmbeddedSession(self, ids, seed)

    def _start(self, session: EmbeddedSession, params: SamplingParams) -> int:
        lane = super()._start(session, params)
        if lane >= len(self._slot):
            more = np.zeros(2 * lane + 16 - len(self._slot), np.int64)
            self._slot = np.concatenate([self._slot, more])
            self._cached = np.concatenate([self._cached, more])
            self._behind = np.concatenate([self._behind, more.astype(np.bool_)])
        slot, cached = self._idle_where(session)
        self._slot[lane], self._cached[lane] = slot, cached
        self._behind[lane] = cached + 1 < len(session.tokens)
        self._replies.last[lane] = session.tokens[-1]
        return lane

    def _release(self, session: EmbeddedSession) -> None:
        slot, _ = self._where(session)
        if slot >= 0:
            self._slots.refs[slot] -= 1

    def _forget(self) -> None:
        self._slots.forget()
        self._slot[:] = -1
        self._cached[:] = 0
        self._behind[:] = True
        self._decoder.refresh()

    @torch.inference_mode()
    def _advance(self) -> list[tuple[EmbeddedSession, Completion]]:
        lanes = self._replies.active
        self._slots.tick(self._slot[lanes])
        group_of, chunks = self._plan(lanes)
        hidden, rank = self._forward(chunks)
        ends = chunks.starts + chunks.lengths
        self._cached[lanes] = ends[group_of]
        self._behind[lanes] = False
        ended = self._replies.draw(self._decoder.logits(hidden), rank[group_of])
        if not ended.any():
            return []
        over = lanes[ended]
        slots, cached = self._slot[over].tolist(), self._cached[over].tolist()
        finished = self._replies.finish(ended)
        for (session, _), slot, length in zip(finished, slots, cached, strict=True):
            session.cached = length
            self._attach(session, slot)
        return finished

    def _plan(self, lanes: Ints) -> tuple[Ints, Chunks]:
        """The group of each lane, and one chunk of new tokens for each group."""
        behind = self._behind[lanes]
        warm = np.flatnonzero(~behind)
        at = lanes[warm]
        # Lanes with equal slot, length and next token are one group.
        key = self._slot[at] * self.max_positions + self._cached[at]
        key = key * self.vocab_size + self._replies.last[at]
        _, first, group, holders = np.unique(
            key, return_index=True, return_inverse=True, return_counts=True
        )
        leader = at[first]
        slots, cached = self._slot[leader], self._cached[leader]
        lengths, tokens = np.ones(len(first), np.int64), self._replies.last[leader]
        group_of = np.zeros(len(lanes), np.int64)
        group_of[warm] = group
        if behind.any():
            groups: dict[tuple[int, int, tuple[int, ...]], list[int]] = {}
            for i in np.flatnonzero(behind).tolist():
                lane = lanes[i]
                slot, have = int(self._slot[lane]), int(self._cached[lane])
                ids = tuple(self._replies.stream(lane).ids[have:])
                groups.setdefault((slot, have, ids), []).append(i)
            for number, members in enumerate(groups.values(), start=len(first)):
                group_of[members] = number
            slots = np.concatenate([slots, [slot for slot, _, _ in groups]])
            cached = np.concatenate([cached, [have for _, have, _ in groups]])
            lengths = np.concatenate([lengths, [len(ids) for _, _, ids in groups]])
            holders = np.concatenate([holders, [len(members) for members in groups.values()]])
            tokens = np.concatenate([tokens, *(np.array(ids) for _, _, ids in groups)])
        slots = self._slots.claim(slots, cached, lengths, holders)
        self._slot[lanes] = slots[group_of]
        return group_of, Chunks(slots, cached, lengths, tokens)

    def _forward(self, chunks: Chunks, *, every: bool = False) -> tuple[Tensor, Ints]:
        """Compute chunks.

        Returns:
            Hidden states of each chunk's last token (of every token if `every`), chunks in an
            order of the engine's choice; and the place (C,) of each chunk in that order.
        """
        chunks, order = chunks.ordered()
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        self.rows_computed += len(order)
        self.tokens_computed += len(chunks.tokens)
        parts = []
        for part in chunks.batches(BATCH_TOKENS):
            hidden = self._decoder(part, self._slots.keys, self._slots.values)
            if not every and len(part.tokens) > len(part.slots):
                hidden = hidden[torch.from_numpy(part.lengths.cumsum() - 1).to(hidden.device)]
            parts.append(hidden)
        return (parts[0] if len(parts) == 1 else torch.cat(parts)), rank

    def _catch_up(self, sessions: Sequence[EmbeddedSession]) -> None:
        """Compute all tokens but the last of each session."""
        groups: dict[tuple[int, int, tuple[int, ...]], list[EmbeddedSession]] = {}
        for session in {id(session): session for session in sessions}.values():
            slot, have = self._idle_where(session)
            if slot >= 0:
                self._slots.used[slot] = self._slots.now
            if ids := tuple(session.tokens[have:-1]):
                groups.setdefault((slot, have, ids), []).append(session)
        if not groups:
            return
        cached = np.array([have for _, have, _ in groups])
        lengths = np.array([len(ids) for _, _, ids in groups])
        slots = self._slots.claim(
            np.array([slot for slot, _, _ in groups]),
            cached,
            lengths,
            np.array([len(members) for members in groups.values()]),
        )
        tokens = np.concatenate([np.array(ids) for _, _, ids in groups])
        self._forward(Chunks(slots, cached, lengths, tokens))
        for slot, members in zip(slots.tolist(), groups.values(), strict=True):
            for session in members:
                session.cached = len(session.tokens) - 1
                self._attach(session, slot)

    def _score(self, keys: Sequence[tuple[int, ...]]) -> list[tuple[float, ...]]:
        """Log-probabilities for (slot, cached, last token, continuation...) each.

        A slot lends the scratch space beyond its tip to one of them at a time; others work on
        copies of the prefix.
        """
        scores: list[tuple[float, ...]] = []
        start = 0
        while start < len(keys):
            stop, total = start, 0
            while stop < len(keys) and (stop == start or total + len(keys[stop]) <= BATCH_TOKENS):
                total += len(keys[stop])
                stop += 1
            scores += self._score_batch(keys[start:stop])
            start = stop
        return scores

    def _score_batch(self, keys: Sequence[tuple[int, ...]]) -> list[tuple[float, ...]]:
        slots = np.array([key[0] for key in keys])
        cached = np.array([key[1] for key in keys])
        lengths = np.array([len(key) - 3 for key in keys])
        own = np.zeros(len(keys), np.bool_)
        own[self._slots.at_tip(slots, cached)] = True
        borrowed = self._slots.take(int((~own).sum()))
        self._slots.reserve(int((cached + lengths).max()))
        places = slots.copy()
        places[~own] = borrowed
        copies = ~own & (slots >= 0)
        self._slots.copy(slots[copies], places[copies], cached[copies])
        tokens = np.concatenate([np.array(key[2:-1]) for key in keys])
        targets = np.concatenate([np.array(key[3:]) for key in keys])
        chunks = Chunks(places, cached, lengths, tokens)
        hidden, rank = self._forward(chunks, every=True)
        self._slots.refs[borrowed] = 0
        order = np.argsort(rank)
        wanted = Chunks(places, cached, lengths, targets).reordered(order)
        logps = self._logps(hidden, wanted.tokens)
        ends = wanted.lengths.cumsum()
        pieces = [logps[end - n : end] for end, n in zip(ends, wanted.lengths, strict=True)]
        return [tuple(pieces[r].tolist()) for r in rank]

    def _logps(self, hidden: Tensor, targets: Ints) -> Tensor:
        """(T,) float64 log-probability of one target after each hidden state."""
        parts = []
        size = max(1, LOGIT_ELEMENTS // self.vocab_size)
        for at in range(0, len(hidden), size):
            logits = self._decoder.logits(hidden[at : at + size]).double()
            index = torch.from_numpy(targets[at : at + size]).to(logits.device)[:, None]
            parts.append(logits.gather(1, index)[:, 0] - logits.logsumexp(-1))
        return torch.cat(parts).cpu()

    def _where(self, session: EmbeddedSession) -> tuple[int, int]:
        """Slot and how many tokens of the session are there; (-1, 0) if none."""
        if session.lane < 0:
            return self._idle_where(session)
        return int(self._slot[session.lane]), int(self._cached[session.lane])

    def _idle_where(self, session: EmbeddedSession) -> tuple[int, int]:
        slot = session.slot
        if slot >= 0 and self._slots.generation[slot] == session.generation:
            return slot, session.cached
        return -1, 0

    def _attach(self, session: EmbeddedSession, slot: int) -> None:
        session.slot = slot
        session.generation = int(self._slots.generation[slot]) if slot >= 0 else -1
