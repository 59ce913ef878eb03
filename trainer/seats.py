"""An episode under way: its seats, their conversations, and what is noted of them."""

import random
from dataclasses import dataclass, field, replace

from ludus.agents.engines.base import Session
from ludus.agents.policy import ModelAgent
from ludus.envs.base import TextEnv
from ludus.trainer.trajectory import TokenNode, Turn


@dataclass(slots=True)
class Seat:
    """A conversation under way."""

    agent: ModelAgent
    session: Session
    leaf: TokenNode
    texts: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    golden: list[float | None] = field(default_factory=list)
    answer: int | None = None
    """Which of the reference answers is scored, chosen at the first prompt."""
    squares: list[tuple[float, ...]] = field(default_factory=list)

    def turns(self) -> tuple[Turn, ...]:
        """Its replies so far."""
        # What was noted before a reply that never came is left over: `map` ends with the shortest.
        noted = (self.invalid, self.states, self.golden, self.called, self.squares)
        return tuple(map(Turn, self.rewards, self.texts, *noted))

    def last_action(self) -> TokenNode:
        """Its latest reply: what was shown after it is never trained."""
        node = self.leaf
        while not node.is_action and node.parent is not None:
            node = node.parent
        return node

    def twin(self, session: Session) -> "Seat":
        """The same past, to go on in another session."""
        return replace(
            self,
            session=session,
            texts=list(self.texts),
            invalid=list(self.invalid),
            called=list(self.called),
            rewards=list(self.rewards),
            states=list(self.states),
            golden=list(self.golden),
            squares=list(self.squares),
        )


@dataclass(slots=True)
class Play:
    """An episode under way."""

    number: int
    env: TextEnv
    seed: int
    rng: random.Random | None = None
    """Of the opponents."""
    seats: dict[str, Seat] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is noted of a position before a reply, where an estimator needs it."""

    state_key: str = ""
    golden: tuple[tuple[int, ...], ...] = ()
    """The reference answer and its aliases in tokens, each after its scaffold."""
    scaffold: int = 0
    """How many of the tokens of each are scaffold."""
