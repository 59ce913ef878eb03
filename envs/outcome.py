"""The small records that pass between an environment's author, its base class and its users."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ludus.envs.task import Task


class InvalidMove(ValueError):  # noqa: N818  # it is data for the agent, not an error of the program
    """What a reply did wrong, in words the agent is told. Raised by `_parse`, never past `step`."""


@dataclass(slots=True)
class Outcome:
    """What a transition did; `_apply` returns one."""

    rewards: dict[str, float] = field(default_factory=dict)
    """Per seat, for this turn alone, in the unit the environment documents. Seats left out: 0."""
    parts: dict[str, dict[str, float]] = field(default_factory=dict)
    """Per seat, named parts that add up to its reward, where that says more."""
    terminated: bool = False
    """The rules ended the episode. Limits end it without the author's doing."""
    text: str | dict[str, str] = ""
    """News: to all seats, or to each seat its own."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Numbers for the log. No reward is computed from them."""
    success: bool | None = None
    """Whether the task was solved, where the task can be."""
    reason: str = ""
    """Why the episode ended, for people."""


@dataclass(frozen=True, slots=True)
class Golden:
    """What a perfect agent knows. Reached by trainers and checkers, never shown to agents."""

    action: str | None = None
    """Exact action text that submits the right answer now."""
    prefix: str = ""
    """Scaffold to teacher-force before the action when it is scored (IGPO), e.g. "<answer>"."""
    suffix: str = ""
    answer: str | None = None
    aliases: tuple[str, ...] = ()
    """Other spellings of the answer that count."""
    plan: tuple[str, ...] | None = None
    """Actions from the current state to success."""
    secret: bool = False
    """The answer must not occur in any observation before success."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement of an answer, by the same rules that reward it."""

    score: float
    """In [0, 1]."""
    passed: bool
    parts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Replay:
    """A whole episode as its causes: JSON, tiny, and enough to run it again."""

    config: Mapping[str, Any]
    """Constructor arguments of the environment."""
    task: Task
    chance_seed: int
    actions: tuple[tuple[str, str], ...]
    """(seat, action text), in the order they were sent."""
    reseeds: tuple[tuple[int, int], ...] = ()
    """(number of actions before it, seed), for forks whose chance was made their own."""

    def to_json(self) -> dict[str, Any]:
        """As JSON types; `from_json` reads it back."""
        return {**asdict(self), "task": self.task.to_json(), "config": dict(self.config)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Replay":
        """Read what `to_json` wrote, also after a trip through text."""
        return cls(
            config=record["config"],
            task=Task(**record["task"]),
            chance_seed=record["chance_seed"],
            actions=tuple((seat, action) for seat, action in record["actions"]),
            reseeds=tuple((at, seed) for at, seed in record["reseeds"]),
        )
