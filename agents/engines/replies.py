"""Token streams and the replies under way on them: what both in-process engines keep.

Everything per token and per session lives in arrays indexed by lane, one lane a reply, so that a
step costs a few array operations however many replies there are.
"""

from collections.abc import Sequence
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ludus.agents.engines.base import Completion, SamplingParams
from ludus.agents.engines.sampling import (
    Bools,
    Ints,
    Rule,
    draw,
    stream_key,
    sums_of_squares,
    uniforms,
)


class Stream:
    """One append-only token stream with its own random stream."""

    def __init__(self, owner: object, ids: Sequence[int], seed: int) -> None:
        self.owner = owner
        self.tokens = list(ids)
        """All tokens but those of a reply under way."""
        self.key = stream_key(seed)
        self.draws = 0
        """Position in the random stream: one draw a sampled token."""
        self.replies: Replies[Stream] | None = None
        """The table that its reply under way is in, at `lane`."""
        self.lane = -1
        self.closed = False

    @property
    def ids(self) -> Sequence[int]:
        """All tokens of the stream, in order: given and sampled."""
        if self.replies is None:
            return self.tokens
        return self.tokens + self.replies.partial(self.lane)


S = TypeVar("S", bound=Stream)


class Replies(Generic[S]):
    """The table of replies under way. A lane keeps its number until its reply ends."""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self.active: Ints = np.empty(0, np.int64)
        """Lanes with a reply under way, in the order of their start."""
        self.last: Ints = np.zeros(0, np.int64)
        """By lane: the token drawn last."""
        self._started: list[int] = []
        self._streams: list[S | None] = []
        self._free: list[int] = []
        self._versions: list[int] = []
        self._keys: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._draws: Ints = np.zeros(0, np.int64)
        self._counts: Ints = np.zeros(0, np.int64)
        self._limits: Ints = np.zeros(0, np.int64)
        self._rules: Ints = np.zeros(0, np.int64)
        self._tokens: Ints = np.zeros((0, 16), np.int64)
        self._logps: NDArray[np.float64] = np.zeros((0, 16))
        self._entropies: NDArray[np.float64] = np.zeros((0, 16))
        self._squares: NDArray[np.float64] = np.zeros((0, 16))
        self._known: dict[tuple[Rule, tuple[int, ...]], int] = {}
        self._known_rules: list[tuple[Rule, Bools]] = []
        self._latest: tuple[SamplingParams | None, int] = (None, -1)

    def start(self, stream: S, params: SamplingParams, *, room: int, version: int) -> int:
        """Begin a reply of at most `room` tokens and give its lane."""
        if not self._free:
            self._grow_lanes()
        lane = self._free.pop()
        self._streams[lane], self._versions[lane] = stream, version
        self._keys[lane], self._draws[lane] = stream.key, stream.draws
        self._counts[lane], self._limits[lane] = 0, min(params.max_tokens, room)
        self._rules[lane] = self._rule(params)
        stream.replies, stream.lane = self, lane  # type: ignore[assignment]
        self._started.append(lane)
        return lane

    def admit(self) -> Ints:
        """Let the replies started since the last call take part; all active lanes."""
        if self._started:
            self.active = np.concatenate([self.active, np.array(self._started, np.int64)])
            self._started.clear()
        return self.active

    def stream(self, lane: int) -> S:
        """The session whose reply a lane draws."""
        stream = self._streams[lane]
        assert stream is not None, f"lane {lane} is free"
        return stream

    def partial(self, lane: int) -> list[int]:
        """The tokens drawn so far."""
        tokens: list[int] = self._tokens[lane, : self._counts[lane]].tolist()
        return tokens

    def draw(self, logits_RV: Tensor, rows: Ints) -> Bools:
        """One token for every active lane; true where that ended the reply.

        Args:
            logits_RV: (R, V) one row for each distinct stream.
            rows: The row of each active lane, in the order of `active`.
        """
        lanes = self.active
        counts = self._counts[lanes]
        if counts.size and counts.max() >= self._tokens.shape[1]:
            self._grow_tokens()
        uniform = uniforms(self._keys[lanes], self._draws[lanes])
        rules = self._rules[lanes]
        stopped = np.zeros(len(lanes), np.bool_)
        for index in np.unique(rules):
            rule, is_stop = self._known_rules[index]
            mine = slice(None) if len(self._known_rules) == 1 else np.flatnonzero(rules == index)
            at, column = lanes[mine], counts[mine]
            tokens, logps, entropies = draw(logits_RV, rows[mine], uniform[mine], rule)
            self._tokens[at, column] = tokens
            self._logps[at, column] = logps
            self._entropies[at, column] = entropies
            if rule.sum_squares:
                self._squares[at, column] = sums_of_squares(logits_RV, rows[mine], rule)
            self.last[at] = tokens
            stopped[mine] = is_stop[tokens]
        self._counts[lanes] = counts + 1
        self._draws[lanes] += 1
        ended: Bools = stopped | (counts + 1 >= self._limits[lanes])
        return ended

    def finish(self, ended: Bools) -> list[tuple[S, Completion]]:
        """Close the ended ones among the active lanes and append their tokens to the streams."""
        lanes = self.active[ended]
        self.active = self.active[~ended]
        return [self._finish(lane) for lane in lanes.tolist()]

    def drop(self, lane: int) -> None:
        """Forget a reply under way; its tokens are lost."""
        self.admit()
        self.active = self.active[self.active != lane]
        self._release(lane)

    def _finish(self, lane: int) -> tuple[S, Completion]:
        count = int(self._counts[lane])
        ids: list[int] = self._tokens[lane, :count].tolist()
        rule, is_stop = self._known_rules[self._rules[lane]]
        finish: Literal["stop", "length"] = "stop" if is_stop[ids[-1]] else "length"
        completion = Completion(
            tuple(ids),
            tuple(self._logps[lane, :count].tolist()),
            tuple(self._entropies[lane, :count].tolist()),
            finish,
            self._versions[lane],
            tuple(self._squares[lane, :count].tolist()) if rule.sum_squares else (),
        )
        stream = self._release(lane)
        stream.tokens += ids
        stream.draws += count
        return stream, completion

    def _release(self, lane: int) -> S:
        stream = self.stream(lane)
        stream.replies, stream.lane = None, -1
        self._streams[lane] = None
        self._free.append(lane)
        return stream

    def _rule(self, params: SamplingParams) -> int:
        if params is self._latest[0]:
            return self._latest[1]
        # Not max_tokens: it may differ in every call, and the table would grow without end.
        key = (Rule.of(params), params.stop_ids)
        if key not in self._known:
            is_stop = np.zeros(self.vocab_size, np.bool_)
            for stop in params.stop_ids:
                if not 0 <= stop < self.vocab_size:
                    raise ValueError(f"stop id {stop} is not in a vocabulary of {self.vocab_size}")
                is_stop[stop] = True
            self._known[key] = len(self._known_rules)
            self._known_rules.append((key[0], is_stop))
        self._latest = (params, self._known[key])
        return self._known[key]

    def _grow_lanes(self) -> None:
        old, more = len(self._streams), max(16, len(self._streams))
        self._streams += [None] * more
        self._versions += [0] * more
        self._free += range(old + more - 1, old - 1, -1)
        for name in ("last", "_keys", "_draws", "_counts", "_limits", "_rules"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros(more, array.dtype)]))
        for name in ("_tokens", "_logps", "_entropies", "_squares"):
            array = getattr(self, name)
            rows = np.zeros((more, array.shape[1]), array.dtype)
            setattr(self, name, np.concatenate([array, rows]))

    def _grow_tokens(self) -> None:
        for name in ("_tokens", "_logps", "_entropies", "_squares"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros_like(array)], axis=1))
