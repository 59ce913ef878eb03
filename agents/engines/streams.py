"""What the in-process engines have in common: sessions, their rules, and the order of replies."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from ludus.agents.engines.base import Completion, SamplingParams
from ludus.agents.engines.replies import Replies, Stream

S = TypeVar("S", bound=Stream)


class StreamEngine(ABC, Generic[S]):
    """Keeps the contract of `base.Engine`; subclasses compute.

    Args:
        vocab_size: Token ids are below it.
        max_positions: Longest stream, in tokens.
    """

    def __init__(self, *, vocab_size: int, max_positions: int) -> None:
        self.version = 0
        self.vocab_size, self.max_positions = vocab_size, max_positions
        self._replies: Replies[S] = Replies(vocab_size)
        self._held: list[tuple[S, Completion]] = []

    def open(self, ids: Sequence[int], *, seed: int) -> S:
        """See `Engine.open`.

        Raises:
            ValueError: If an id is not in the vocabulary or there are more than max_positions.
        """
        self._check_ids(0, ids)
        return self._new(ids, seed)

    def extend(self, session: S, ids: Sequence[int]) -> None:
        """See `Engine.extend`.

        Raises:
            ValueError: As `open`, and if the session is closed or replying.
        """
        self._check_idle(session)
        self._check_ids(len(session.tokens), ids)
        session.tokens += ids

    def fork(self, session: S, *, seed: int) -> S:
        """See `Engine.fork`. A session that is replying is forked after its latest token.

        Raises:
            ValueError: If the session is closed.
        """
        self._check_open(session)
        return self._new(session.ids, seed)

    def close(self, session: S) -> None:
        """See `Engine.close`."""
        if session.closed:
            return
        self._check_open(session)
        self._release(session)
        if session.lane >= 0:
            self._replies.drop(session.lane)
        self._held = [pair for pair in self._held if pair[0] is not session]
        session.closed = True

    def submit(self, session: S, params: SamplingParams) -> None:
        """See `Engine.submit`. At max_positions the reply ends with finish "length".

        Raises:
            ValueError: If the session is empty, full, closed or already replying.
        """
        self._check_ready(session)
        self._start(session, params)

    def step(self) -> list[tuple[S, Completion]]:
        """See `Engine.step`."""
        held, self._held = self._held, []
        if len(self._replies.admit()):
            held += self._advance()
        return held

    def sample(self, sessions: Sequence[S], params: SamplingParams) -> list[Completion]:
        """See `Engine.sample`. Other replies that end meanwhile come from the next `step`.

        Raises:
            ValueError: As `submit`; then none has been submitted.
        """
        order = {id(session): i for i, session in enumerate(sessions)}
        if len(order) < len(sessions):
            raise ValueError("the same session was given twice")
        for session in sessions:
            self._check_ready(session)
        for session in sessions:
            self._start(session, params)
        done: dict[int, Completion] = {}
        others = self._held
        self._held = []
        try:
            while len(done) < len(sessions):
                for session, completion in self.step():
                    index = order.get(id(session))
                    if index is None:
                        others.append((session, completion))
                    else:
                        done[index] = completion
        finally:
            self._held = others
        return [done[i] for i in range(len(sessions))]

    def weights_changed(self) -> None:
        """See `Engine.weights_changed`. A reply under way goes on with the new weights; its
        completion keeps the version that it began with."""
        self.version += 1
        self._forget()

    def _start(self, session: S, params: SamplingParams) -> int:
        room = self.max_positions - len(session.tokens)
        return self._replies.start(session, params, room=room, version=self.version)

    @abstractmethod
    def _new(self, ids: Sequence[int], seed: int) -> S:
        """An idle session."""

    @abstractmethod
    def _release(self, session: S) -> None:
        """Give back what an open session holds."""

    @abstractmethod
    def _advance(self) -> list[tuple[S, Completion]]:
        """Draw one token for all active lanes, of which there is at least one."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop everything computed from the weights."""

    def _check_open(self, session: S) -> None:
        if session.closed:
            raise ValueError("the session is closed")
        if session.owner is not self:
            raise ValueError("the session belongs to another engine")

    def _check_idle(self, session: S) -> None:
        self._check_open(session)
        if session.lane >= 0:
            raise ValueError("the session has a reply under way")

    def _check_ready(self, session: S) -> None:
        self._check_idle(session)
        if not session.tokens:
            raise ValueError("an empty session has nothing to reply to")
        if len(session.tokens) >= self.max_positions:
            raise ValueError(
                f"no room for a reply: the session fills all {self.max_positions} positions"
            )

    def _check_scorable(self, requests: Sequence[tuple[S, Sequence[int]]]) -> None:
        for session, ids in requests:
            self._check_idle(session)
            self._check_ids(len(session.tokens), ids)
            if not session.tokens:
                raise ValueError("an empty session gives no distribution to score with")

    def _check_ids(self, have: int, ids: Sequence[int]) -> None:
        if have + len(ids) > self.max_positions:
            raise ValueError(
                f"a stream of {have + len(ids)} tokens, but the model has "
                f"{self.max_positions} positions"
            )
        if len(ids) and not (min(ids) >= 0 and max(ids) < self.vocab_size):
            bad = next(i for i in ids if not 0 <= i < self.vocab_size)
            raise ValueError(f"token id {bad} is not in a vocabulary of {self.vocab_size}")
