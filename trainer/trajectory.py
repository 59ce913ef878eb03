"""Trajectories: what happened, in tokens, with whose probability and for what reward.

Tokens form a tree. A node holds tokens that were appended together, and points to what came
before; a trajectory is the path from the root to one leaf. Forks of an episode share the nodes
of their past, so a token is stored, and can be trained, once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class TokenNode:
    """Tokens appended together: context that was given, or an action that was sampled.

    A two-turn conversation is a chain: prompt (context), reply (action, turn 0), what the
    environment answered (context), reply (action, turn 1). Only actions are ever trained.
    """

    parent: "TokenNode | None"
    ids: tuple[int, ...]
    turn: int = -1
    """Index of the seat's turn if these tokens were sampled in it; -1 for context."""
    logps: tuple[float, ...] = ()
    """Of an action: nats, of the distribution each token was sampled from."""
    entropies: tuple[float, ...] = ()
    """Of an action: nats, of the full-vocabulary distribution at each token."""
    version: int = -1
    """Of an action: version of the weights that sampled it."""

    def __post_init__(self) -> None:
        if not self.ids:
            raise ValueError("a token node holds at least one token")
        if self.turn < 0:
            if self.logps or self.entropies or self.version >= 0:
                raise ValueError("context has no log-probabilities, entropies or version")
            return
        if not len(self.ids) == len(self.logps) == len(self.entropies):
            raise ValueError(
                f"an action has as many log-probabilities and entropies as tokens, got "
                f"{len(self.ids)}, {len(self.logps)}, {len(self.entropies)}"
            )
        if self.parent is None:
            raise ValueError("an action follows a prompt")
        if self.version < 0:
            raise ValueError("an action knows the version of the weights that sampled it")
        if not all(map(isfinite, self.logps)):
            raise ValueError(f"log-probabilities of sampled tokens are finite, got {self.logps}")

    @property
    def is_action(self) -> bool:
        """Whether the policy sampled these tokens."""
        return self.turn >= 0

    def path(self) -> list["TokenNode"]:
        """The nodes from the root to this one."""
        nodes = list(self._upwards())
        nodes.reverse()
        return nodes

    def _upwards(self) -> Iterator["TokenNode"]:
        node: TokenNode | None = self
        while node is not None:
            yield node
            node = node.parent


class Stop(StrEnum):
    """Why an episode ended."""

    TERMINATED = "terminated"
    """By its rules."""
    TRUNCATED = "truncated"
    """By a limit on turns or tokens."""
    FORFEIT = "forfeit"
    """By a reply the rules could not use."""
    ERROR = "error"
    """By a fault of the environment or of something behind it; left out of training."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One reply of one seat and what came of it."""

    reward: float
    """What the seat got from this reply on, until its next."""
    text: str
    invalid: str = ""
    """What was wrong with the reply, if anything."""
    state_key: str = ""
    """Before the reply: equal for equal positions. Filled where asked for."""
    golden_logp: float | None = None
    """Before the reply: mean log-probability, nats a token, of the reference answer. Filled where
    asked for, and where the environment has one."""
    called: str = ""
    """The tool that the reply called, if it was run."""
    sum_squares: tuple[float, ...] = ()
    """At each sampled token: sum over the vocabulary of the squared probabilities. Filled where
    asked for."""
    values: tuple[float, ...] = ()
    """What the critic expected before each sampled token, reward units. Filled where asked for."""
    magnet_logp: float | None = None
    """Log-probability of the reply under the magnet, nats. Filled where asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """One seat's episode in tokens."""

    env_id: str
    task_key: str
    role: str
    episode: int
    """Number of the episode within its rollout; seats of one episode share it."""
    leaf: TokenNode
    turns: tuple[Turn, ...]
    level: str = ""
    """Which of the run's levels of this environment, if it has several."""

    def __post_init__(self) -> None:
        turns = [node.turn for node in self.leaf.path() if node.is_action]
        if turns != list(range(len(self.turns))):
            raise ValueError(
                f"a trajectory of {len(self.turns)} turns has one action node a turn, in order, "
                f"got turns {turns}"
            )
        if not turns:
            raise ValueError("a trajectory has at least one turn")

    @property
    def game(self) -> str:
        """What is played: environment and level."""
        return _game(self.env_id, self.level)

    @property
    def ret(self) -> float:
        """Return: the undiscounted sum of the rewards."""
        return sum(turn.reward for turn in self.turns)


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """One run of an environment: all its seats, trained or not."""

    env_id: str
    task_key: str
    number: int
    returns: Mapping[str, float]
    """Per seat. Seats that never acted, or were played by an opponent, have one as well."""
    trajectories: tuple[Trajectory, ...]
    """Of the seats that the policy played and that acted."""
    stop: Stop
    reason: str = ""
    replay: Mapping[str, Any] = field(default_factory=dict)
    """`Replay.to_json()`, where it was kept."""
    success: bool | None = None
    """Whether the task was solved, where the environment says."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What the environment measured: the last number of each name."""
    opponents: tuple[str, ...] = ()
    """Seats that somebody else than the policy played."""
    level: str = ""
    """Which of the run's levels of this environment, if it has several."""
    hinted: bool = False
    """Whether it was told how to begin: because all that were not told had failed."""

    def __post_init__(self) -> None:
        for trajectory in self.trajectories:
            if trajectory.role not in self.returns or trajectory.episode != self.number:
                raise ValueError(f"trajectory of {trajectory.role} does not belong to this episode")

    @property
    def game(self) -> str:
        """What is played: environment and level."""
        return _game(self.env_id, self.level)

    @property
    def own_returns(self) -> dict[str, float]:
        """Of the policy's seats, those that never acted among them."""
        return {role: ret for role, ret in self.returns.items() if role not in self.opponents}


def _game(env_id: str, level: str) -> str:
    return f"{env_id} {level}" if level else env_id


def usable(episodes: Sequence[Episode]) -> list[Episode]:
    """The episodes that may be learned from: an error is data for the log, not a return of 0."""
    return [episode for episode in episodes if episode.stop is not Stop.ERROR]
