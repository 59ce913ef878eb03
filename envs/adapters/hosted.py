"""What adapters to other libraries share: a game that is another library's object, and the words
for environments that speak in numbers."""

import copy
import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ludus.envs.base import TextEnv
from ludus.envs.definition import like
from ludus.envs.episode import Episode
from ludus.envs.state import hash_value


class Hosted(TextEnv):
    """A game played by another library's object, which `_setup` puts into an attribute.

    A fork copies the object where `_copies` says that `copy.deepcopy` is right for it, and plays
    the episode again where not. Pickles and `get_state` are always the episode's causes.
    """

    metadata: ClassVar[dict[str, Any]] = {**TextEnv.metadata, "fork": "replay"}  # type: ignore[misc]
    _history: list[Any]
    """What was done and what came of it, by which positions are told apart."""

    def _copies(self) -> bool:
        """Whether `copy.deepcopy` of the object is another game at the same position."""
        return False

    def _copy(self) -> Self:
        if not self._copies():
            return super()._copy()
        twin = object.__new__(type(self))
        twin.__dict__.update(Episode.get_state(self))
        return twin

    def state_hash(self) -> str:
        """Equal for equal histories of the same task."""
        return hash_value((self._task_key, self._history, self._waiting, self._moves))


@dataclass(frozen=True, slots=True)
class Words:
    """How an environment that speaks in numbers is told in text."""

    rules: str
    """What a seat is told first."""
    describe: Callable[[Any, Any], str]
    """(observation, the environment without wrappers) -> what a seat sees."""
    actions: tuple[str, ...]
    """Names of the actions, in their order."""
    copies: bool = False
    """Whether `copy.deepcopy` of the environment is a correct fork; if not, forks are replays."""
    fixed: tuple[str, ...] = ()
    """Attributes of the environment that never change, so that copies share them."""


class Box:
    """Another library's object, copied without what never changes in it."""

    def __init__(self, content: Any, fixed: tuple[str, ...] = ()) -> None:
        self.content, self.fixed = content, fixed

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        inner = self.content.unwrapped
        kept = [getattr(inner, name) for name in self.fixed]
        memo.update({id(value): value for value in kept})
        return type(self)(copy.deepcopy(self.content, memo), self.fixed)


def words_of(env_id: str, name: str, where: str, known: Mapping[str, Words]) -> Words:
    """The words for a library's environment: those at "module:NAME", or else the known ones.

    Raises:
        ValueError: If there are none.
    """
    like("words", where, "module:NAME")
    if not where:
        if name not in known:
            raise ValueError(
                f"{env_id} has no words for {name!r}: give words='module:NAME' of a "
                f"ludus.envs.adapters.hosted.Words, or use one of {', '.join(known)}"
            )
        return known[name]
    module, _, attribute = where.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"words={where!r} is not the 'module:NAME' of Words: {error}") from None
    if not isinstance(found, Words):
        raise ValueError(f"words={where!r} is {type(found).__name__}, not Words")
    return found


def unknown(library: str, kind: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for what a library does not have; it names the nearest that it has."""
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
    hint = f", nearest: {', '.join(near)}" if near else ""
    return ValueError(f"{library} has no {kind} {name!r}{hint}")


def check_names(words: Words, count: int, what: str) -> None:
    """Raise ValueError unless every action has a name of its own."""
    if len(words.actions) != count or len({name.casefold() for name in words.actions}) != count:
        raise ValueError(f"{what} has {count} actions, its words name {list(words.actions)}")


def legal_names(words: Words, mask: Sequence[int] | None) -> list[str]:
    """Names of the actions that a mask allows; of all without one."""
    if mask is None:
        return list(words.actions)
    return [name for name, allowed in zip(words.actions, mask, strict=True) if allowed]
