"""A game that is played: ALFWorld's `game.tw-pddl`, compiled once, stepped in microseconds.

A state is a pair of ints (`operators.py` says what their bits are), so copying, comparing and
hashing one is free. `Game` holds everything that does not change and may be shared between any
number of episodes; `Play` is one episode.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ludus.envs.worlds.household.choices import Choices, Chooser
from ludus.envs.worlds.household.errors import GameError, UnsayableError
from ludus.envs.worlds.household.grammar import Wording, parse_grammar
from ludus.envs.worlds.household.ground import ground
from ludus.envs.worlds.household.names import entities
from ludus.envs.worlds.household.normalize import normalize
from ludus.envs.worlds.household.operators import compile_problem, derive
from ludus.envs.worlds.household.pddl import Task, parse
from ludus.envs.worlds.household.propositions import Mapped, Propositions
from ludus.envs.worlds.household.speaker import Phrase, Speaker
from ludus.envs.worlds.household.symbols import parse_symbols

State = tuple[int, int]
"""What is the case, and what has been said."""

NOTHING = "Nothing happens."
"""The answer to everything that is no admissible command."""

MAX_GOALS = 65_536
"""Goal tests kept; then they start anew."""


class Game:
    """The rules and the words of one game file."""

    def __init__(self, data: Mapping[str, object]) -> None:
        """`data`: the file's JSON object.

        Raises:
            GameError: If it is not a game, in one line.
        """
        texts = {}
        for key in ("pddl_domain", "grammar", "pddl_problem"):
            value = data.get(key) if isinstance(data, Mapping) else None
            if not isinstance(value, str):
                raise GameError(f"not a game: it has no text under {key!r}")
            texts[key] = value
        self.task = parse(texts["pddl_domain"], texts["pddl_problem"])
        self.grammar = parse_grammar(texts["grammar"])
        flat = normalize(self.task)
        self.problem = compile_problem(self.task, flat, ground(self.task, flat))
        self.propositions = Propositions(self.problem, _types(self.task))
        self.entities = entities(self.propositions.objects)
        self.speaker = Speaker(self.grammar, self.propositions, self.entities)
        used = {operator.name for operator in self.problem.operators}
        fixed = all(self.speaker.is_fixed(self._wording(name).command) for name in used)
        self._feedback: dict[int, Phrase] = {}
        self._commands: dict[int, Phrase] = {}
        self._chooser = Chooser(self.problem, self.command, fixed)
        self._yes, self._no = self.problem.goal
        self._goal_mask = self._yes | self._no
        self._deriving = any(self.problem.layers)
        if self._deriving:
            for layer in self.problem.layers:
                for rule in layer:
                    self._goal_mask |= rule.yes | rule.no
        asked = 0
        for operator in self.problem.operators:
            asked |= operator.yes | operator.no
            for effect in operator.conditional:
                asked |= effect.yes | effect.no
        self._derives_choices = bool(self._deriving and asked & self.problem.derived)
        self._won: dict[int, bool] = {}
        self._basic = ~self.problem.derived
        self.initial: State = (self.problem.initial & self._basic, self.propositions.initial)
        """The state at the start."""
        self.intro = Phrase(self.speaker, parse_symbols("#intro#"), {}).say(self.initial[1])
        """What is said at the start."""

    @classmethod
    def load(cls, path: str | Path) -> Game:
        """Reads a `game.tw-pddl`.

        Raises:
            GameError: If the file cannot be read or is no game; the line names it.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(data)
        except OSError as error:
            raise GameError(f"{path}: {error.strerror}") from error
        except GameError as error:
            raise GameError(f"{path}: {error}") from error
        except (ValueError, RecursionError) as error:  # of json
            raise GameError(f"{path}: not a game file (truncated?): {error}") from error

    def choices(self, state: State) -> Choices:
        """The commands that a state admits, and their operators."""
        facts = derive(state[0], self.problem.layers) if self._derives_choices else state[0]
        return self._chooser.choices(facts, state[1])

    def admissible(self, state: State) -> tuple[str, ...]:
        """The commands that a state admits, sorted."""
        return self.choices(state).commands

    def won(self, state: State) -> bool:
        """Whether the goal holds."""
        key = state[0] & self._goal_mask
        won = self._won.get(key)
        if won is None:
            facts = derive(state[0], self.problem.layers)
            won = facts & self._yes == self._yes and not facts & self._no
            if len(self._won) >= MAX_GOALS:
                self._won.clear()
            self._won[key] = won
        return won

    def step(self, state: State, command: str) -> tuple[State, str]:
        """The next state and the answer. A command is exact but for blanks around it."""
        number = self.choices(state).operators.get(command.strip())
        if number is None:
            return state, NOTHING
        return self.apply(state, number)

    def apply(self, state: State, number: int) -> tuple[State, str]:
        """Carries an applicable operator out: the next state and the answer."""
        after = self.after(state, number)
        phrase = self._feedback.get(number)
        if phrase is None:
            wording = self._wording(self.problem.operators[number].name).feedback
            phrase = self._feedback[number] = Phrase(self.speaker, wording, self._mapping(number))
        try:
            return after, phrase.say(after[1])
        except UnsayableError:
            return after, NOTHING

    def after(self, state: State, number: int) -> State:
        """The state after an applicable operator."""
        operator = self.problem.operators[number]
        facts = state[0]
        new = facts & operator.keep | operator.add
        if operator.conditional:
            before = derive(facts, self.problem.layers) if self._derives_choices else facts
            for effect in operator.conditional:
                if before & effect.yes == effect.yes and not before & effect.no:
                    new = new & ~effect.delete | effect.add
        return new, state[1] & ~operator.unsay | operator.say

    def _wording(self, name: str) -> Wording:
        wording = self.grammar.actions.get(name)
        if wording is None:
            raise GameError(f"the grammar has no wording for action {name!r}")
        return wording

    def _mapping(self, number: int) -> Mapped:
        mapping = self.problem.operators[number].mapping
        return {(name, type_): (id_, type_) for name, type_, id_ in mapping}

    def command(self, number: int, shown: int) -> str:
        """What an operator is called where these bits were said."""
        phrase = self._commands.get(number)
        if phrase is None:
            wording = self._wording(self.problem.operators[number].name).command
            phrase = self._commands[number] = Phrase(self.speaker, wording, self._mapping(number))
        return phrase.say(shown)


class Play:
    """One episode of a game.

    >>> play = Play(game)                                             # doctest: +SKIP
    >>> play.step("go to cabinet 1")                                  # doctest: +SKIP
    'You arrive at loc 12. The cabinet 1 is closed.'
    """

    __slots__ = ("game", "state", "text")

    def __init__(self, game: Game) -> None:
        self.game = game
        self.state = game.initial
        self.text = game.intro

    def reset(self) -> str:
        """Back to the start."""
        self.state, self.text = self.game.initial, self.game.intro
        return self.text

    def step(self, command: str) -> str:
        """Carries a command out and returns the answer."""
        self.state, self.text = self.game.step(self.state, command)
        return self.text

    @property
    def admissible(self) -> tuple[str, ...]:
        """What can be done now, sorted."""
        return self.game.admissible(self.state)

    @property
    def won(self) -> bool:
        """Whether the goal holds now."""
        return self.game.won(self.state)

    def fork(self) -> Play:
        """An independent copy."""
        copy = Play.__new__(Play)
        copy.game, copy.state, copy.text = self.game, self.state, self.text
        return copy


def _types(task: Task) -> list[tuple[str, tuple[str, ...]]]:
    """Types as the text side has them: the first declaration of a name counts.

    What stands above a type is recorded with its last declaration. One that is declared twice (as
    `object` is in ALFWorld's domain, once by the language) is therefore a root.
    """
    above = task.supertypes()
    names = [name for name, _ in task.types]
    return [
        (name, tuple(above[name]) if names.count(name) == 1 else ())
        for name in dict.fromkeys(names)
    ]
