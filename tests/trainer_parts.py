"""What the tests of the trainer share: tiny models, a scripted engine, trajectories by hand."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ludus.agents.chat import Chat
from ludus.agents.engines import make_engine
from ludus.agents.engines.base import Completion, SamplingParams
from ludus.agents.small_model import small_model
from ludus.trainer.batch import MicroBatch
from ludus.trainer.trajectory import TokenNode, Trajectory, Turn

TEXTS = (
    "Your card is K. Legal actions: check, bet\nfold call Guess the number. Higher. Lower.",
) * 2


@lru_cache
def _tiny(seed: int, max_positions: int) -> tuple[Any, Any]:
    return small_model(
        hidden=32, layers=2, heads=2, kv_heads=1, seed=seed, max_positions=max_positions,
        texts=TEXTS, vocab_size=300,
    )  # fmt: skip


def tiny(seed: int = 0, *, max_positions: int = 512) -> tuple[Any, Any]:
    """A model of two layers of 32, of one's own, and its tokenizer."""
    model, tokenizer = _tiny(seed, max_positions)
    return copy.deepcopy(model), tokenizer


@lru_cache
def chat() -> Chat:
    """For the tiny model."""
    return Chat(_tiny(0, 512)[1])


@dataclass(eq=False)
class ScriptedSession:
    """A stream of a scripted engine."""

    tokens: list[int]
    seed: int
    replies: int = 0
    closed: bool = False

    @property
    def ids(self) -> Sequence[int]:
        return self.tokens


@dataclass
class ScriptedEngine:
    """An engine whose replies come from a function of the session."""

    reply: Callable[[ScriptedSession], Sequence[int]]
    max_positions: int = 10_000
    version: int = 0
    newest_first: bool = False
    """The order in which replies that were asked for together are given."""
    sessions: list[ScriptedSession] = field(default_factory=list)
    _asked: list[ScriptedSession] = field(default_factory=list)

    def open(self, ids: Sequence[int], *, seed: int) -> ScriptedSession:
        assert len(ids) <= self.max_positions
        self.sessions.append(ScriptedSession(list(ids), seed))
        return self.sessions[-1]

    def extend(self, session: ScriptedSession, ids: Sequence[int]) -> None:
        assert not session.closed
        assert session not in self._asked
        session.tokens += ids
        assert len(session.tokens) <= self.max_positions

    def submit(self, session: ScriptedSession, params: SamplingParams) -> None:
        assert not session.closed
        assert len(session.tokens) < self.max_positions
        self._asked.append(session)

    def step(self) -> list[tuple[ScriptedSession, Completion]]:
        asked, self._asked = self._asked, []
        return [(s, self._complete(s)) for s in (asked[::-1] if self.newest_first else asked)]

    def _complete(self, session: ScriptedSession) -> Completion:
        ids = tuple(self.reply(session))[: self.max_positions - len(session.tokens)]
        session.replies += 1
        session.tokens += ids
        logps = tuple(-0.01 * i for i in range(1, len(ids) + 1))
        return Completion(ids, logps, (0.5,) * len(ids), "stop", self.version)

    def close(self, session: ScriptedSession) -> None:
        session.closed = True
        self._asked = [s for s in self._asked if s is not session]


def path(*parts: Sequence[int], version: int = 0, logp: float = -1.0) -> TokenNode:
    """A chain of nodes: context, action, context, action, ..."""
    leaf: TokenNode | None = None
    for i, part in enumerate(parts):
        ids = tuple(part)
        leaf = (
            TokenNode(leaf, ids, i // 2, (logp,) * len(ids), (1.0,) * len(ids), version)
            if i % 2
            else TokenNode(leaf, ids)
        )
    assert leaf is not None
    return leaf


def trajectory(
    leaf: TokenNode,
    *rewards: float,
    role: str = "a",
    env_id: str = "test/Env-v0",
    task_key: str = "task",
    episode: int = 0,
) -> Trajectory:
    """A trajectory with these rewards, one a turn; zeros if none are given."""
    turns = sum(node.is_action for node in leaf.path())
    given = rewards or (0.0,) * turns
    return Trajectory(env_id, task_key, role, episode, leaf, tuple(Turn(r, "") for r in given))


def sampled(
    model: Any, contexts: Sequence[Sequence[Sequence[int]]], *, tokens: int = 3, seed: int = 0
) -> list[Trajectory]:
    """Trajectories sampled from a model: for each list of contexts, a reply after each."""
    engine = make_engine(model)
    params = SamplingParams(max_tokens=tokens)
    found = []
    for number, (first, *others) in enumerate(contexts):
        session = engine.open(first, seed=seed * 1000 + number)
        leaf = TokenNode(None, tuple(first))
        for turn, context in enumerate([None, *others]):
            if context is not None:
                engine.extend(session, context)
                leaf = TokenNode(leaf, tuple(context))
            (c,) = engine.sample([session], params)
            leaf = TokenNode(leaf, c.ids, turn, c.logps, c.entropies, c.version)
        assert [i for node in leaf.path() for i in node.ids] == list(session.ids)
        engine.close(session)
        found.append(trajectory(leaf, episode=number))
    return found


def conversations(number: int, *, seed: int = 0, vocab: int = 250) -> Iterator[list[list[int]]]:
    """Contexts of conversations of one to three turns that share beginnings."""
    rng = np.random.default_rng(seed)
    openings = [rng.integers(vocab, size=n).tolist() for n in (5, 9, 14)]
    openings.append(openings[1] + rng.integers(vocab, size=4).tolist())
    for _ in range(number):
        bridges = [
            rng.integers(vocab, size=rng.integers(1, 5)).tolist() for _ in range(rng.integers(3))
        ]
        yield [openings[rng.integers(len(openings))], *bridges]


def micro_batch(*, rows: Sequence[int], turns: Sequence[int], **given: Any) -> MicroBatch:
    """A micro-batch of as many tokens, one position each; other fields are ones and zeros."""
    N = len(rows)
    fields: dict[str, Any] = {
        "ids_BT": torch.zeros(1, N, dtype=torch.int64),
        "position_BT": torch.arange(N)[None],
        "mask_BTT": None,
        "predict_U": torch.arange(N),
        "slot_N": torch.arange(N),
        "token_N": torch.zeros(N, dtype=torch.int64),
        "logp_sampled_N": torch.zeros(N),
        "entropy_N": torch.ones(N),
        "advantage_N": torch.ones(N),
        "weight_N": torch.full((N,), 1 / N),
        "version_N": torch.zeros(N, dtype=torch.int64),
        "row_N": torch.tensor(rows),
        "turn_N": torch.tensor(turns),
    }
    return MicroBatch(**{**fields, **given})
