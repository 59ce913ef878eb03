"""The fallback engine: any Transformers causal language model, computed by its own forward.

Sessions submitted together form a cohort: one left-padded prefill, then one token at a time with
Transformers' cache. The cache ends with the replies, so every turn prefills its whole stream.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ludus.agents.engines.base import Completion, SamplingParams
from ludus.agents.engines.replies import Stream
from ludus.agents.engines.sampling import Ints
from ludus.agents.engines.streams import StreamEngine

BATCH_TOKENS = 8192  # of one scoring pass, padding included
NO_LIMIT = 1 << 30  # positions of a model that states none


@dataclass(slots=True)
class Cohort:
    """Replies that share one cache; row i of it belongs to lanes[i]."""

    lanes: Ints
    cache: Any
    attention_mask: Tensor
    """(B, L) 1 on tokens, 0 on the padding before them."""


class HFEngine(StreamEngine[Stream]):
    """Engine for any model that maps ids, mask and cache to logits.

    Args:
        model: A Transformers causal language model. Its weights and mode are left as they are;
            it computes in evaluation mode.
    """

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config()
        super().__init__(
            vocab_size=config.vocab_size,
            max_positions=getattr(config, "max_position_embeddings", None) or NO_LIMIT,
        )
        self._model = model
        self._accepts = frozenset(inspect.signature(model.forward).parameters)
        self._cohorts: dict[int, Cohort] = {}
        self._next_cohort = 0
        self._cohort: Ints = np.zeros(0, np.int64)  # by lane; -1 while it has none
        self._row: Ints = np.zeros(0, np.int64)  # by lane: its row there

    def score(self, requests: Sequence[tuple[Stream, Sequence[int]]]) -> list[tuple[float, ...]]:
        """See `Engine.score`.

        Raises:
            ValueError: If a session is empty, closed or replying, or a continuation does not fit.
        """
        self._check_scorable(requests)
        rows = [[*session.tokens, *ids] for session, ids in requests]
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        scores: list[tuple[float, ...]] = [()] * len(rows)
        start = 0
        while start < len(order):
            size = max(1, BATCH_TOKENS // len(rows[order[start]]))
            batch = order[start : start + size]
            counts = [len(requests[i][1]) for i in batch]
            for i, logps in zip(batch, self._score([rows[i] for i in batch], counts), strict=True):
                scores[i] = logps
            start += size
        return scores

    def _new(self, ids: Sequence[int], seed: int) -> Stream:
        return Stream(self, ids, seed)

    def _release(self, session: Stream) -> None:
        if session.lane >= 0:
            self._cohort[session.lane] = -1

    def _start(self, session: Stream, params: SamplingParams) -> int:
        lane = super()._start(session, params)
        if lane >= len(self._cohort):
            more = np.zeros(2 * lane + 16 - len(self._cohort), np.int64)
            self._cohort = np.concatenate([self._cohort, more])
            self._row = np.concatenate([self._row, more])
        self._cohort[lane] = -1
        return lane

    def _forget(self) -> None:
        self._cohorts.clear()
        self._cohort[:] = -1

    @torch.no_grad()
    def _advance(self) -> list[tuple[Stream, Completion]]:
        lanes = self._replies.active
        parts, row_of, size = [], np.zeros(len(self._cohort), np.int64), 0
        with _evaluating(self._model):
            for number in list(self._cohorts):
                self._shrink(number)
                if (cohort := self._cohorts.get(number)) is None:
                    continue
                parts.append(self._decode(cohort))
                mine = lanes[self._cohort[lanes] == number]
                row_of[mine] = size + self._row[mine]
                size += len(cohort.lanes)
            new = lanes[self._cohort[lanes] < 0]
            if len(new):
                parts.append(self._prefill(new))
                row_of[new] = size + np.arange(len(new))
        ended = self._replies.draw(torch.cat(parts), row_of[lanes])
        self._cohort[lanes[ended]] = -1
        return self._replies.finish(ended)

    def _prefill(self, lanes: Ints) -> Tensor:
        """Logits (B, V) after the whole streams of a new cohort."""
        rows = [self._replies.stream(lane).ids for lane in lanes.tolist()]
        ids, mask = self._padded(rows, left=True)
        out = self._call(ids, mask, (mask.cumsum(-1) - 1).clamp_min_(0), None)
        self._cohorts[self._next_cohort] = Cohort(lanes, out.past_key_values, mask)
        self._cohort[lanes] = self._next_cohort
        self._row[lanes] = np.arange(len(lanes))
        self._next_cohort += 1
        logits: Tensor = out.logits[:, -1]
        return logits

    def _decode(self, cohort: Cohort) -> Tensor:
        """Logits (B, V) after the latest tokens of a cohort; those of ended rows mean nothing."""
        mask = cohort.attention_mask
        mask = cohort.attention_mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        ids = torch.from_numpy(self._replies.last[cohort.lanes]).to(mask.device)[:, None]
        # A row that ended with the last position stays until the cohort shrinks.
        positions = (mask.sum(-1, keepdim=True) - 1).clamp_max_(self.max_positions - 1)
        out = self._call(ids, mask, positions, cohort.cache)
        cohort.cache = out.past_key_values
        logits: Tensor = out.logits[:, -1]
        return logits

    def _shrink(self, number: int) -> None:
        """Drop the rows of ended replies once they are half of the cohort."""
        cohort = self._cohorts[number]
        rows = np.flatnonzero(
            (self._cohort[cohort.lanes] == number)
            & (self._row[cohort.lanes] == np.arange(len(cohort.lanes)))
        )
        if len(rows) == 0:
            del self._cohorts[number]
        elif 2 * len(rows) <= len(cohort.lanes):
            index = torch.from_numpy(rows).to(cohort.attention_mask.device)
            cohort.cache.batch_select_indices(index)
            cohort.attention_mask = cohort.attention_mask[index]
            cohort.lanes = cohort.lanes[rows]
            self._row[cohort.lanes] = np.arange(len(rows))

    @torch.no_grad()
    def _score(
        self, rows: Sequence[Sequence[int]], counts: Sequence[int]
    ) -> list[tuple[float, ...]]:
        """Log-probabilities of the last `count` tokens of each row."""
        ids, mask = self._padded(rows, left=False)
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        with _evaluating(self._model):
            logits = self._call(ids, mask, positions, None, last=False, use_cache=False).logits
        scores: list[tuple[float, ...]] = []
        for row, ids_T, count in zip(logits, ids, counts, strict=True):
            end = len(rows[len(scores)])
            part = row[end - count - 1 : end - 1].double()
            target = ids_T[end - count : end, None]
            logps = part.gather(1, target)[:, 0] - part.logsumexp(-1)
            scores.append(tuple(logps.tolist()))
        return scores

    def _padded(self, rows: Sequence[Sequence[int]], *, left: bool) -> tuple[Tensor, Tensor]:
        width = max(map(len, rows))
        ids = np.zeros((len(rows), width), np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        for i, row in enumerate(rows):
            part = slice(width - len(row), width) if left else slice(len(row))
            ids[i, part] = row
            mask[i, part] = 1
        device = self._model.device
        return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)

    def _call(
        self,
        ids: Tensor,
        mask: Tensor,
        positions: Tensor,
        cache: Any,
        *,
        last: bool = True,
        use_cache: bool = True,
    ) -> Any:
        extra: dict[str, Any] = {}
        if "position_ids" in self._accepts:
            extra["position_ids"] = positions
        if last and "logits_to_keep" in self._accepts:
            extra["logits_to_keep"] = 1
        return self._model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=use_cache,
            **extra,
        )


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Dropout off inside; each module's mode as it was afterwards."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
