"""What can be done in a state, found fast.

Every action needs the agent to be somewhere, so its operators fall apart by place. That is not
known from the domain's words but from its shape: a predicate of which never more facts are true
than at the start (each action that adds one deletes another it requires) partitions the operators
into *scenes*. Within a scene each operator waits under the required fact that the fewest others
share; only the facts that are true are looked at. Results are kept per scene by the facts that
matter in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ludus.envs.worlds.household.operators import Operator, Problem, bits_of
from ludus.envs.worlds.household.order import ranks

MAX_KEPT = 4096
"""Choices kept per scene; then its memory starts anew."""
MAX_PLACES = 3
"""A predicate makes scenes if at most this many of its facts are true at once."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The commands a state admits."""

    commands: tuple[str, ...]
    """Sorted, each once."""
    operators: dict[str, int]
    """Command -> operator."""


@dataclass(slots=True)
class _Scene:
    mask: int = 0
    """Facts that the scene's operators ask for."""
    waiting: dict[int, list[int]] = field(default_factory=dict)
    """A fact's bit -> operators that need it."""
    bits: int = 0
    """All keys of `waiting`."""
    others: list[int] = field(default_factory=list)
    """Operators that need no fact beyond the scene's own."""
    known: dict[int, list[int]] = field(default_factory=dict)
    choices: dict[int, Choices] = field(default_factory=dict)


class Chooser:
    """Looks up what a state admits, scene by scene, and remembers it."""

    def __init__(self, problem: Problem, command: Callable[[int, int], str], fixed: bool) -> None:
        """`command(operator, shown)` names an operator; `fixed`: never by `shown`."""
        self._problem = problem
        self._operators = problem.operators
        self._ranks: list[int] = []
        self._command = command
        self._fixed = fixed
        self._places = _places(problem)
        self._scenes: dict[int, _Scene] = {}

    def choices(self, facts: int, shown: int) -> Choices:
        """The commands of a state: bits of what is true and of what was said, see `operators`."""
        place = facts & self._places
        scene = self._scenes.get(place)
        if scene is None:
            scene = self._scenes[place] = self._scene(place)
        key = facts & scene.mask
        if self._fixed:
            choices = scene.choices.get(key)
            if choices is None:
                if len(scene.choices) >= MAX_KEPT:
                    scene.choices.clear()
                choices = scene.choices[key] = self._named(self._applicable(scene, facts), shown)
            return choices
        operators = scene.known.get(key)
        if operators is None:
            if len(scene.known) >= MAX_KEPT:
                scene.known.clear()
            operators = scene.known[key] = self._applicable(scene, facts)
        return self._named(operators, shown)

    def _named(self, operators: list[int], shown: int) -> Choices:
        named: dict[str, int] = {}
        rivals: dict[str, list[int]] = {}
        command = self._command
        for number in operators:
            first = named.setdefault(name := command(number, shown), number)
            if first != number:
                rivals.setdefault(name, [first]).append(number)
        for name, group in rivals.items():
            if any(self._differ(group[0], other) for other in group[1:]):
                if not self._ranks:
                    self._ranks = ranks(self._problem)
                named[name] = min(group, key=self._ranks.__getitem__)
        return Choices(tuple(sorted(named)), named)

    def _differ(self, first: int, second: int) -> bool:
        """Whether it matters which of two operators a command carries out."""
        a, b = self._operators[first], self._operators[second]
        return replace(a, yes=0, no=0) != replace(b, yes=0, no=0)

    def _applicable(self, scene: _Scene, facts: int) -> list[int]:
        operators = self._operators
        found = [n for n in scene.others if not facts & operators[n].no]
        bits = facts & scene.bits
        while bits:
            bit = bits & -bits
            bits ^= bit
            for number in scene.waiting[bit]:
                operator = operators[number]
                if facts & operator.yes == operator.yes and not facts & operator.no:
                    found.append(number)
        found.sort()
        return found

    def _scene(self, place: int) -> _Scene:
        scene = _Scene()
        members = []
        count: Counter[int] = Counter()
        elsewhere = self._places & ~place
        for number, operator in enumerate(self._operators):
            if operator.yes & elsewhere or operator.no & place:
                continue
            members.append(number)
            scene.mask |= operator.yes | operator.no
            count.update(bits_of(operator.yes & ~place))
        for number in members:
            needed = self._operators[number].yes & ~place
            if not needed:
                scene.others.append(number)
                continue
            bit = min(bits_of(needed), key=lambda b: (count[b], b))
            scene.waiting.setdefault(bit, []).append(number)
            scene.bits |= bit
        scene.mask &= ~self._places
        return scene


def _places(problem: Problem) -> int:
    """All facts of the predicates that make scenes."""
    masks: Counter[str] = Counter()
    for number, (predicate, _) in enumerate(problem.fluents):
        masks[predicate] |= 1 << number
    return sum(
        mask
        for mask in masks.values()
        if 1 <= (problem.initial & mask).bit_count() <= MAX_PLACES
        and not mask & problem.derived
        and all(_conserves(operator, mask) for operator in problem.operators)
    )


def _conserves(operator: Operator, mask: int) -> bool:
    if any((effect.add | effect.delete) & mask for effect in operator.conditional):
        return False
    added = operator.add & mask
    deleted = operator.yes & mask & ~operator.keep
    return not added or added.bit_count() <= deleted.bit_count()
