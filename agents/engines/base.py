"""What every engine can do: append-only token sessions that are sampled, scored and forked.

A session is a stream of token ids that only grows. Nothing else about it is promised: the
key-value cache behind it is an optimisation that an engine may share, drop and rebuild. So token
ids are never re-derived from text, and a conversation of many turns is never prefilled twice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How one reply is drawn."""

    max_tokens: int = 64
    """The reply ends after this many tokens, stop token included."""
    temperature: float = 1.0
    """Divides the logits. 0 takes the most likely token."""
    top_k: int = 0
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set of tokens whose probabilities reach top_p; 1 keeps all."""
    stop_ids: tuple[int, ...] = ()
    """The reply ends with the first of these that is drawn; it is part of the reply."""
    sum_squares: bool = False
    """Whether `Completion.sum_squares` is noted, which costs another pass over the vocabulary."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {self.max_tokens}")
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be 0 or more, got {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (off) or more, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}")


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled reply, recorded where it was sampled."""

    ids: tuple[int, ...]
    """The sampled tokens, the stop token included when one was drawn."""
    logps: tuple[float, ...]
    """Nats, one a token, of the distribution that was really sampled from: after temperature,
    top-k and top-p. At temperature 0 that distribution is a point, so the model's own
    log-probability (temperature 1) is given instead."""
    entropies: tuple[float, ...]
    """Nats, one a token: entropy over the full vocabulary after temperature (1 if it is 0) and
    before top-k and top-p."""
    finish: Literal["stop", "length"]
    version: int
    """Version of the weights that sampled it: how many updates the engine had been told of."""
    sum_squares: tuple[float, ...] = ()
    """One a token, where asked for: sum of the squared probabilities over the vocabulary, of the
    distribution that `logps` is of."""


class Session(Protocol):
    """A handle on one append-only token stream. Only the engine that opened it can use it."""

    @property
    def ids(self) -> Sequence[int]:
        """All tokens of the stream, in order: given and sampled."""


S = TypeVar("S", bound=Session)


class Engine(Protocol[S]):
    """Draws and scores tokens. One thread at a time."""

    version: int
    """How many weight updates the engine has been told of."""
    max_positions: int
    """Longest stream, in tokens. `open` and `extend` refuse more, a full session gets no reply, and
    a reply that fills its session ends with finish "length"."""

    def open(self, ids: Sequence[int], *, seed: int) -> S:
        """Start a stream with its own random stream: same seed and ids, same draws, whatever
        else the engine is doing."""

    def extend(self, session: S, ids: Sequence[int]) -> None:
        """Append given tokens. Cheap: they are computed together with the next batch."""

    def fork(self, session: S, *, seed: int) -> S:
        """A second stream with the same tokens and, until they differ, the same cache."""

    def close(self, session: S) -> None:
        """Free the stream; a reply under way is dropped. Closing twice is harmless."""

    def submit(self, session: S, params: SamplingParams) -> None:
        """Ask for a reply. It is drawn by the following calls of `step`."""

    def step(self) -> list[tuple[S, Completion]]:
        """Advance every reply under way by at least one token; return those that ended."""

    def sample(self, sessions: Sequence[S], params: SamplingParams) -> list[Completion]:
        """Submit all, step until all have ended; completions in the order of `sessions`."""

    def score(self, requests: Sequence[tuple[S, Sequence[int]]]) -> list[tuple[float, ...]]:
        """Teacher-forced log-probability (nats, temperature 1) of each continuation's tokens after
        its session. The sessions stay as they are."""

    def weights_changed(self) -> None:
        """Tell that the weights were updated: caches are dropped, `version` goes up by one."""
