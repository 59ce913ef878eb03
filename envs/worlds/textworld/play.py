"""One compiled game: an interpreter that all of its episodes share, and TextWorld's logic of it.

An episode's position is plain data, the machine's memory and the actions that happened. The
interpreter is put there before each command, which takes microseconds; so forks cost nothing more,
and hundreds of episodes of one game need one interpreter. What happened is read from the
interpreter's own trace, as TextWorld's `StateTracking` does, and followed in TextWorld's logic,
which knows the admissible commands.
"""

from __future__ import annotations

import functools
import re
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ludus.envs.registry import MissingExtra
from ludus.envs.worlds.textworld.plans import Planner

Machine = tuple[Any, ...]
"""Memory and stack as bytes, registers as numbers."""
WON, LOST = "*** The End ***", "*** You lost! ***"
_TRACE = re.compile(r"\[([^]]+)\]\n?")
_SUCCEEDED = " - succeeded"
_NODES, _FACTS = 64, 128  # positions, and sets of facts, whose logic is remembered
_lock = threading.Lock()


@functools.cache
def engine() -> tuple[Any, Any]:
    """The modules `textworld` and `jericho`.

    Raises:
        MissingExtra: If they are not installed.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = np.random.get_state()  # TextWorld draws from it when it is imported
        try:
            import jericho
            import textworld
        except ModuleNotFoundError as error:
            raise MissingExtra(
                "TextWorld's games need TextWorld: pip install 'ludus[textworld]'", name=error.name
            ) from None
        finally:
            np.random.set_state(before)
    return textworld, jericho


class Said(NamedTuple):
    """What a command led to."""

    machine: Machine
    happened: tuple[str, ...]
    """The actions since the start, as TextWorld writes them."""
    text: str
    won: bool
    lost: bool


class Choice(NamedTuple):
    """Something that can be done."""

    command: str
    action: Any
    """TextWorld's `Action`."""
    name: str
    """The action as TextWorld writes it, with all its conditions: unlike a command, unique."""


@dataclass(frozen=True, slots=True)
class Node:
    """The logic of a position."""

    state: Any
    """TextWorld's `State`; not to be changed."""
    done: frozenset[int]
    """Quests that are completed."""


class Game:
    """A compiled game, shared by all of its episodes."""

    def __init__(self, folder: Path) -> None:
        textworld, jericho = engine()
        self.game = textworld.Game.load(str(folder / "game.json"))
        self.inform = textworld.generator.inform7.Inform7Game(self.game)
        with _lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "not fully supported": it has no table for the game
            self._frotz = jericho.FrotzEnv(str(folder / "game.z8"), 1)
        self._using = threading.RLock()
        self.max_score = int(self.game.max_score)
        self.verbs = frozenset(self.game.verbs)
        self.quests: Sequence[Any] = self.game.quests
        self.node = functools.lru_cache(_NODES)(self._node)
        self._choices = functools.lru_cache(_FACTS)(self._find_choices)
        self._known: dict[str, Choice] = {}
        self._planner = Planner(self)
        text, _ = self._frotz.reset()
        self._frotz.step("tw-trace-actions")
        self.start = self._look()
        self._at = self.start
        room = text[text.index("-= ") :] if "-= " in text else text
        self.intro = f"{self.game.objective}\n\n{clean(room)}".strip()

    # ---- the interpreter --------------------------------------------------------------------

    def _look(self) -> Machine:
        memory, stack, *registers = self._frotz.get_state()
        return (memory.tobytes(), stack.tobytes(), *(_plain(value) for value in registers))

    def _put(self, machine: Machine) -> None:
        memory, stack, *registers = machine
        arrays = (np.frombuffer(bytearray(part), np.uint8) for part in (memory, stack))
        self._frotz.set_state((*arrays, *registers))

    def step(self, machine: Machine, happened: tuple[str, ...], command: str) -> Said:
        """Send a command at a position."""
        with self._using:
            if self._at is not machine:
                self._put(machine)
            raw, *_ = self._frotz.step(command)
            self._at = self._look()
            for mark in _TRACE.findall(raw):
                if mark.endswith(_SUCCEEDED):
                    happened = self._follow(happened, mark.removesuffix(_SUCCEEDED))
            return Said(self._at, happened, clean(raw), WON in raw, LOST in raw)

    # ---- the logic --------------------------------------------------------------------------

    def _follow(self, happened: tuple[str, ...], event: str) -> tuple[str, ...]:
        # A part in parentheses is a sub-rule's, not an event of its own.
        if "(" in event or ")" in event:
            return happened
        names = {choice.action: choice.name for choice in self.choices(happened)}
        action = self.inform.detect_action(event, names)
        return happened if action is None else (*happened, names[action])

    def last(self, happened: tuple[str, ...]) -> Any:
        """The last action that happened."""
        return next(c.action for c in self.choices(happened[:-1]) if c.name == happened[-1])

    def _node(self, happened: tuple[str, ...]) -> Node:
        if not happened:
            state = self.game.world.state.copy()
            return Node(state, self.completed(state, frozenset()))
        before = self.node(happened[:-1])
        state = before.state.copy()
        state.apply(self.last(happened))
        return Node(state, self.completed(state, before.done))

    def completed(self, state: Any, done: frozenset[int]) -> frozenset[int]:
        """Quests completed by a state, with those completed before."""
        now = {
            i for i, quest in enumerate(self.quests) if i not in done and quest.is_winning(state)
        }
        return done | now if now else done

    def failed(self, state: Any) -> bool:
        """Whether a state loses the game."""
        return any(quest.is_failing(state) for quest in self.quests if not quest.optional)

    def is_won(self, done: frozenset[int]) -> bool:
        """Whether all quests that count are completed."""
        return all(
            i in done or quest.optional or not quest.win_events
            for i, quest in enumerate(self.quests)
        )

    def score(self, happened: tuple[str, ...]) -> int:
        """The game's own points."""
        return sum(int(self.quests[i].reward) for i in self.node(happened).done)

    def choices(self, happened: tuple[str, ...]) -> tuple[Choice, ...]:
        """What can be done at a position, sorted by commands."""
        return self.choices_of(self.node(happened).state)

    def choices_of(self, state: Any) -> tuple[Choice, ...]:
        """As `choices`, for a state of the logic."""
        return self._choices(frozenset(state.facts))

    def _find_choices(self, facts: frozenset[Any]) -> tuple[Choice, ...]:
        state = type(self.game.world.state)(self.game.kb.logic, sorted(facts))
        actions = state.all_applicable_actions(
            self.game.kb.rules.values(), self.game.kb.types.constants_mapping
        )
        return tuple(sorted(map(self._choice, actions), key=lambda c: (c.command, c.name)))

    def _choice(self, action: Any) -> Choice:
        # One object for each: a game has few actions, but they are possible in many states.
        name = str(action)
        if name not in self._known:
            self._known[name] = Choice(self.commands([action])[0], action, name)
        return self._known[name]

    def admissible(self, happened: tuple[str, ...]) -> list[str]:
        """The admissible commands, sorted."""
        return sorted({choice.command for choice in self.choices(happened)})

    def commands(self, actions: Sequence[Any]) -> list[str]:
        """Actions as the player types them."""
        return list(self.inform.gen_commands_from_actions(actions))

    def plan(self, happened: tuple[str, ...]) -> tuple[str, ...] | None:
        """Commands from a position to the end of the quest; None where none is known."""
        with self._using:
            return self._planner.plan(happened)


def _plain(value: Any) -> Any:
    """Registers without numpy's numbers."""
    if isinstance(value, tuple):
        return tuple(int(v) for v in value)
    return value if isinstance(value, bytes | int) else int(value)


def clean(text: str) -> str:
    """What a player reads: without trace, status line, prompt and the menu after the end.

    >>> clean("[taking x]\\nTaken.\\n\\n[taking x - succeeded]\\n\\n>      -= Attic =-0/3")
    'Taken.'
    """
    text = _TRACE.sub("", text)
    text = re.split(r"\n>[^\n]*$|\n+Would you like to RESTART", text.rstrip(), maxsplit=1)[0]
    return re.sub(r"\n{3,}", "\n\n", text).strip()
