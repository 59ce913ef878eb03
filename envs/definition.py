"""What an environment is: the half of `TextEnv` that an author declares and writes."""

import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import gymnasium

from ludus.envs.outcome import Golden, InvalidMove, Outcome, Verdict
from ludus.envs.task import Task, TaskSet

OnInvalid = Literal["retry", "penalize", "forfeit", "noop"]


class Definition(gymnasium.Env[str, str]):
    """The facts an author declares and the hooks an author writes. Subclass `TextEnv`, not this."""

    # ---- declared ---------------------------------------------------------------------------

    metadata: dict[str, Any] = {  # noqa: RUF012  # Gymnasium's own name and type
        "render_modes": ["ansi", "transcript"],
        "render_fps": 1,
        "deterministic": True,
        "fork": "state",
        "blocking": False,
    }
    """`fork`: "state" copies, "replay" runs the episode again, "none" refuses. `blocking`: a step
    waits for something outside, so rollouts give it a thread."""
    ENV_ID: ClassVar[str] = ""
    # Not class variables: an environment whose parameters choose the game sets them in __init__,
    # before the base class's.
    ROLES: tuple[str, ...] = ("player_0",)
    ZERO_SUM: bool = False
    PERFECT_INFORMATION: bool | None = None
    """Whether every seat knows all. None lets `_secrets` and `worlds` say."""
    SOLVABLE: bool | None = None
    """Whether episodes are solved or not, and `Outcome.success` says which. None: those of one seat
    are."""
    FORFEIT: tuple[float, float] = (-1.0, 1.0)
    MAX_TURNS: int = 64
    """Replies, of all seats together, after which the episode is truncated."""
    SPLITS: ClassVar[Mapping[str, int]] = {"train": 2**31, "valid": 500, "test": 500}
    SPLIT_BY: ClassVar[Literal["content", "seed", "none"]] = "seed"
    """What keeps splits apart: the content of worlds, only their seeds, or nothing, because there
    are too few worlds."""
    ON_INVALID: ClassVar[OnInvalid] = "retry"
    MAX_INVALID: ClassVar[int] = 2
    PARAMS: ClassVar[Mapping[str, Any]] = {}
    """Names and defaults of the environment's own parameters; JSON."""
    CHECK: ClassVar[Mapping[str, Any]] = {}
    """Arguments that `ludus check` makes it with, where checking its defaults would take long."""
    VOCABULARY: tuple[str, ...] = ()
    """Words and phrases that a skin renames, see `ludus.envs.skin`: the game's name, its moves,
    cards and pieces. Not words that the rules are told with. "=3 by 3" keeps a phrase."""
    DERIVED: tuple[str, ...] = ()
    """Attributes that are made of the others when they are needed, and None until then. They are
    no part of the episode's state, and forks share them."""

    # ---- written; _setup, _rules and _apply by every author ---------------------------------

    def _setup(self, task: Task, rng: random.Random) -> None:
        """Build the world from `{**self.PARAMS, **task.params}` and `rng`, which is seeded by
        `task.seed`. State lives in attributes of plain Python data; any attribute set here or
        later is state."""
        raise NotImplementedError(f"{type(self).__name__} has no _setup")

    def _rules(self, seat: str) -> str:
        """The first thing a seat is told: the rules, and what only it may know. Short and fixed
        first, private and varying last, so that prompts share their beginning."""
        raise NotImplementedError(f"{type(self).__name__} has no _rules")

    def _observe(self, seat: str) -> str:
        """What a seat sees when it is to act, beyond the news (`Outcome.text`) since its last
        turn. Empty by default."""
        return ""

    def _legal(self, seat: str) -> Sequence[str] | None:
        """Moves a seat may make now; None where any text is a move."""
        return None

    def _acting(self) -> tuple[str, ...]:
        """Seats to act now: one if turns alternate, several if moves are simultaneous."""
        return self.ROLES[:1]

    def _parse(self, text: str, seat: str) -> Any:
        """The move a text means. By default one of `_legal`, in any case.

        Raises:
            InvalidMove: If it means none; the message goes to the agent.
        """
        legal = self._legal(seat)
        if legal is None or text in legal:
            return text
        folded = text.casefold()
        for move in legal:
            if move.casefold() == folded:
                return move
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise InvalidMove(f"{shown!r} is not a legal action")

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        """The transition: the move of every seat that was to act, all legal."""
        raise NotImplementedError(f"{type(self).__name__} has no _apply")

    def _secrets(self, seat: str) -> Sequence[str]:
        """Texts that no other seat may be shown before the end. For the checker."""
        return ()

    def _render(self) -> str:
        """The position, for people. By default what the seat to act sees."""
        return ""

    @property
    def solvable(self) -> bool:
        """What `SOLVABLE` says, or whether there is one seat."""
        return len(self.ROLES) == 1 if self.SOLVABLE is None else self.SOLVABLE

    @classmethod
    def tasks(cls, split: str = "train", **params: Any) -> TaskSet:
        """The tasks of a split, for given parameters. Tasks name only what differs from `PARAMS`,
        so that their keys stay when an environment gains a parameter."""
        one_of("split", split, cls.SPLITS)
        own = {name: value for name, value in params.items() if value != cls.PARAMS.get(name)}
        return TaskSet(cls.ENV_ID, split, cls.SPLITS[split], own)

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]] | None:
        """Every distinct world with its probability, where they are few: what exact solvers and
        exploitability are computed over. None where they are many."""
        return None

    def golden(self, seat: str | None = None) -> Golden | None:
        """What a perfect agent knows now; None where the environment does not say. Pure."""
        return None

    def verify(self, answer: str, seat: str | None = None) -> Verdict:
        """Judge an answer without sending it. Pure. By default: equals the golden answer or one
        of its aliases, in any case.

        Raises:
            ValueError: If the environment has no golden answer.
        """
        golden = self.golden(seat)
        if golden is None or golden.answer is None:
            raise ValueError(f"{self.ENV_ID} has no golden answer to verify against")
        accepted = {text.strip().casefold() for text in (golden.answer, *golden.aliases)}
        passed = answer.strip().casefold() in accepted
        return Verdict(float(passed), passed)


def one_of(name: str, value: object, allowed: Iterable[object]) -> None:
    """Raise the ValueError that names a bad value and the allowed ones."""
    if value not in allowed:
        known = ", ".join(str(a) or "''" for a in allowed)
        raise ValueError(f"unknown {name} {value!r}, allowed: {known}")


_KINDS: dict[type, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    str: ("a text", (str,)),
    list: ("a list", (list, tuple)),
    dict: ("an object", (dict,)),
}


def like(name: str, value: object, default: object) -> None:
    """Raise the ValueError that names a value whose JSON type is not its default's; None may be
    anything."""
    said, kinds = _KINDS.get(type(default), ("", (object,)))
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in (*kinds, object)):
        raise ValueError(f"{name} must be {said}, such as {default!r}, got {value!r}")


def blame(error: Exception, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """If an error may come from a parameter of another type than its default's, say so.

    Args:
        error: What building an environment or its world raised.
        given: The parameters it was built with; those without a default are left out.
        defaults: `Definition.PARAMS`.

    Raises:
        ValueError: That names the parameter, from the error.
    """
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    module = "" if place is None else str(place.tb_frame.f_globals.get("__name__"))
    if isinstance(error, ValueError) and module not in sys.stdlib_module_names:
        return  # the author's own check
    known = sorted(given.keys() & defaults.keys())
    for name in known:
        try:
            like(name, given[name], defaults[name])
        except ValueError as reason:
            raise reason from error
    if isinstance(error, TypeError):  # a default of None has no type to compare with
        free = [name for name in known if defaults[name] is None]
        if said := ", ".join(f"{n} {given[n]!r}" for n in free if given[n] is not None):
            raise ValueError(f"{error}, with {said}") from error
