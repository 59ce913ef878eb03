"""Ground actions as bit masks over the facts that can change.

Fact number v is bit v of an int. The reference engine keeps two views of a game, and both are
needed to answer like it:

* the planner's state decides what is applicable and whether the goal holds; here `facts`;
* a set of propositions decides what is *said*; here `shown`, with bit v for "v was said to be
  true" and bit n + v for "v was said to be false". At the start only true facts are said. An action
  says all of its effects, also conditional ones that did not fire, deletions last.

For games without conditional effects the positive half of `shown` equals `facts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from ludus.envs.worlds.household.errors import GameError
from ludus.envs.worlds.household.formula import Literal
from ludus.envs.worlds.household.ground import Grounding
from ludus.envs.worlds.household.joins import Binding, Fact
from ludus.envs.worlds.household.normalize import FlatAction, FlatEffect, FlatTask
from ludus.envs.worlds.household.outcome import Condition, masks, outcome
from ludus.envs.worlds.household.pddl import Task


@dataclass(frozen=True, slots=True)
class Conditional:
    """Sets `add` and clears `delete` when all of `yes` and none of `no` is true."""

    yes: int
    no: int
    add: int
    delete: int


@dataclass(frozen=True, slots=True)
class Operator:
    """One ground action."""

    name: str
    mapping: tuple[tuple[str, str, str], ...]
    """(parameter without '?', its type, the object)."""
    yes: int
    """Facts that must be true."""
    no: int
    """Facts that must be false."""
    add: int
    keep: int
    """All facts except those it deletes (a mask to `and` with)."""
    conditional: tuple[Conditional, ...]
    say: int
    """What it adds to the propositions that are said."""
    unsay: int
    """Both bits of every fact it speaks of."""


@dataclass(frozen=True, slots=True)
class GroundRule:
    """Fact number `head` holds where all of `yes` and none of `no` is true."""

    head: int
    yes: int
    no: int


@dataclass(slots=True)
class Problem:
    """A game's mechanics, ready to run."""

    fluents: list[Fact]
    numbers: dict[Fact, int]
    static: set[Fact]
    objects: dict[str, str]
    operators: list[Operator]
    layers: list[list[GroundRule]]
    """Derived facts, in an order in which negations are decided before they are used."""
    rules: list[GroundRule]
    """The same, in one list."""
    initial: int
    """Facts true at the start, derived ones included."""
    goal: tuple[int, int]
    """Facts that must be true, and false."""
    derived: int
    """All derived facts."""


def compile_problem(task: Task, flat: FlatTask, grounding: Grounding) -> Problem:
    """Raises GameError when the goal is out of reach or true of any state (no game either way)."""
    numbers = {fact: v for v, fact in enumerate(grounding.fluents)}
    compiler = _Compiler(grounding, numbers)
    rows = [
        row
        for action, binding in grounding.actions
        if (row := compiler.operator(action, binding)) is not None
    ]
    rows.sort(key=lambda row: row[0])
    condition = compiler.goal(flat.goal)
    if not condition:
        raise GameError("the goal is true from the start, whatever happens")
    goal = masks(condition)
    if goal is None:
        raise GameError("the goal contradicts itself")
    rules = [
        GroundRule(numbers[rule.head, binding[: rule.arity]], *pair)
        for rule, binding in grounding.rules
        if (pair := compiler.masks(rule.condition, rule.params, binding)) is not None
    ]
    operators = [operator for _, operator in rows]
    used = goal[0] | goal[1]
    for op in operators:
        used |= op.yes | op.no
        for effect in op.conditional:
            used |= effect.yes | effect.no
    layers = _layers(_needed(list(dict.fromkeys(rules)), used))
    start = sum(
        1 << numbers[f.predicate, f.args] for f in task.init if (f.predicate, f.args) in numbers
    )
    return Problem(
        fluents=grounding.fluents,
        numbers=numbers,
        static=grounding.static,
        objects=task.objects,
        operators=operators,
        layers=layers,
        rules=[rule for layer in layers for rule in layer],
        initial=derive(start, layers),
        goal=goal,
        derived=sum({1 << rule.head for rule in rules}),
    )


def derive(facts: int, layers: Iterable[list[GroundRule]]) -> int:
    """`facts` with all derived facts that follow."""
    for layer in layers:
        before = -1
        while before != facts:
            before = facts
            for rule in layer:
                if facts & rule.yes == rule.yes and not facts & rule.no:
                    facts |= 1 << rule.head
    return facts


def bits_of(number: int) -> Iterator[int]:
    """The set bits, lowest first, each as a power of two."""
    while number:
        bit = number & -number
        number ^= bit
        yield bit


class _NeverError(Exception):
    """A condition that no state meets."""


class _Compiler:
    def __init__(self, grounding: Grounding, numbers: dict[Fact, int]) -> None:
        self.numbers = numbers
        # Types are not among the static facts: written as a condition, `(a-type ?x)` never holds.
        self.static = grounding.static
        self.objects_of = grounding.objects_of
        self.all = (1 << len(numbers)) - 1

    def condition(self, literals: Iterable[Literal], values: dict[str, str]) -> Condition:
        """The part of a conjunction that depends on the state."""
        found = []
        for literal in literals:
            fact = literal.predicate, tuple([values.get(arg, arg) for arg in literal.args])
            number = self.numbers.get(fact)
            if number is not None:
                found.append((number, not literal.negated))
            elif (fact in self.static) == literal.negated:
                raise _NeverError
        return tuple(found)

    def goal(self, literals: Iterable[Literal]) -> Condition:
        """Like `condition`, but what must be false and is true for ever is not asked for.

        Reachability looks at what must be true only, and the planner relies on it for goals.
        """
        found = []
        for literal in literals:
            fact = literal.predicate, literal.args
            if fact in self.numbers:
                found.append((self.numbers[fact], not literal.negated))
            elif not literal.negated and fact not in self.static:
                raise GameError("the goal can never be reached")
        return tuple(found)

    def masks(
        self, literals: Iterable[Literal], params: Iterable[tuple[str, str]], binding: Binding
    ) -> tuple[int, int] | None:
        values = dict(zip((name for name, _ in params), binding, strict=True))
        try:
            return masks(self.condition(literals, values))
        except _NeverError:
            return None

    def operator(
        self, action: FlatAction, binding: Binding
    ) -> tuple[list[tuple[int, int]], Operator] | None:
        """The operator and its place in the order, or None where it cannot occur."""
        values = dict(zip((name for name, _ in action.params), binding, strict=True))
        try:
            condition = self.condition(action.condition, values)
        except _NeverError:
            return None
        asked = masks(condition)
        if asked is None:
            return None
        required = dict(condition)
        effects = [pair for effect in action.effects for pair in self._effects(effect, values)]
        found = outcome(effects, required)
        if not found:
            return None
        add = delete = say_yes = say_no = 0
        conditional = []
        for number, becomes, when in found:
            bit = 1 << number
            if becomes:
                say_yes |= bit
            else:
                say_no |= bit
            if when:
                pair = masks(when)
                assert pair is not None
                conditional.append(Conditional(*pair, bit * becomes, bit * (not becomes)))
            elif becomes:
                add |= bit
            else:
                delete |= bit
        say_yes &= ~say_no  # deletions are said last
        size = len(self.numbers)
        named = action.params[: action.num_named]
        order = sorted((number, 0 if positive else 1) for number, positive in required.items())
        return order, Operator(
            name=action.name,
            mapping=tuple((n.strip("?"), t, values[n]) for n, t in named),
            yes=asked[0],
            no=asked[1],
            add=add,
            keep=self.all & ~delete,
            conditional=tuple(conditional),
            say=say_yes | say_no << size,
            unsay=(say_yes | say_no) | (say_yes | say_no) << size,
        )

    def _effects(
        self, effect: FlatEffect, values: dict[str, str]
    ) -> Iterable[tuple[Condition, int, bool]]:
        literal = effect.literal
        if not effect.params and not effect.condition:
            number = self.numbers.get(
                (literal.predicate, tuple([values.get(arg, arg) for arg in literal.args]))
            )
            if number is not None:
                yield (), number, not literal.negated
            return
        ranges = [self.objects_of.get(type_, []) for _, type_ in effect.params]
        for chosen in product(*ranges):
            here = values | dict(zip((n for n, _ in effect.params), chosen, strict=True))
            try:
                condition = self.condition(effect.condition, here)
            except _NeverError:
                continue
            number = self.numbers.get(
                (literal.predicate, tuple([here.get(arg, arg) for arg in literal.args]))
            )
            if number is not None:  # deleting what can never be true leaves no trace
                yield condition, number, not literal.negated


def _needed(rules: list[GroundRule], used: int) -> list[GroundRule]:
    """The rules whose heads something depends on; the others are never evaluated."""
    needed, before = used, -1
    while before != needed:
        before = needed
        for rule in rules:
            if needed >> rule.head & 1:
                needed |= rule.yes | rule.no
    return [rule for rule in rules if needed >> rule.head & 1]


def _layers(rules: list[GroundRule]) -> list[list[GroundRule]]:
    heads = {rule.head for rule in rules}
    level = dict.fromkeys(heads, 0)
    for _ in range(len(heads) + 1):
        changed = False
        for rule in rules:
            need = max(
                (level[h] + (rule.no >> h & 1) for h in heads if (rule.yes | rule.no) >> h & 1),
                default=0,
            )
            if need > level[rule.head]:
                level[rule.head], changed = need, True
        if not changed:
            break
    else:
        raise GameError("a derived predicate depends on its own negation")
    layers: list[list[GroundRule]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for rule in rules:
        layers[level[rule.head]].append(rule)
    return layers
