"""Which actions and facts can ever occur: delete-free reachability by joins.

Every rule is a list of body atoms and a head. Facts are taken from a queue one at a time; each is
matched against every body atom it fits and the rest of that body is joined from the facts taken
before, through hash indexes. Negative conditions and deletions are ignored, so what comes out is
a superset of what a game can show. It is the same superset as in the reference engine, which
matters: deleting a fact outside of it leaves no trace there, deleting one inside does.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from ludus.envs.worlds.household.formula import Literal, Param
from ludus.envs.worlds.household.normalize import FlatAction, FlatRule, FlatTask
from ludus.envs.worlds.household.pddl import Task, type_predicate

Args = tuple[str, ...]
Fact = tuple[str, Args]
Binding = tuple[str, ...]


@dataclass(slots=True)
class Grounding:
    """Everything that can occur."""

    actions: list[tuple[FlatAction, Binding]]
    """An action and the objects that its parameters stand for."""
    rules: list[tuple[FlatRule, Binding]]
    fluents: list[Fact]
    """Facts that may change or be derived and can be true at some time, sorted."""
    static: set[Fact]
    """True facts that never change."""
    objects_of: dict[str, list[str]]
    """Type -> its objects, those of subtypes included."""


def ground(task: Task, flat: FlatTask) -> Grounding:
    """What can occur when the actions and rules of `flat` run from the start of `task`."""
    above = task.supertypes()
    objects_of: dict[str, list[str]] = defaultdict(list)
    for name, type_ in task.objects.items():
        for each in dict.fromkeys([type_, *above.get(type_, ())]):
            objects_of[each].append(name)
    changing = {e.literal.predicate for a in flat.actions for e in a.effects}
    changing |= {rule.head for rule in flat.rules}

    static: set[Fact] = {("=", (name, name)) for name in task.objects}
    static.update((f.predicate, f.args) for f in task.init if f.predicate not in changing)
    queue = [(f.predicate, f.args) for f in task.init if f.predicate in changing]

    out = Grounding([], [], [], static, dict(objects_of))
    joins = _Joins(changing, list(task.objects))
    for type_, names in objects_of.items():
        for name in names:
            joins.take(type_predicate(type_), (name,))
    for predicate, args in static:
        joins.take(predicate, args)
    for action in flat.actions:
        _add_action(joins, action, out)
    for rule in flat.rules:
        _add_rule(joins, rule, out)
    out.fluents = sorted(joins.run(queue))
    return out


def _add_action(joins: _Joins, action: FlatAction, out: Grounding) -> None:
    simple = [
        e.literal
        for e in action.effects
        if not e.literal.negated and not e.params and not e.condition
    ]
    body = [*_type_atoms(action.params), *(x for x in action.condition if not x.negated)]
    names = [name for name, _ in action.params]

    def found(binding: Binding) -> None:
        out.actions.append((action, binding))

    joins.rule(body, names, simple, found)
    for effect in action.effects:
        if not effect.literal.negated and (effect.params or effect.condition):
            more = [literal for literal in effect.condition if not literal.negated]
            bound = {arg for atom in body + more for arg in atom.args}
            # The types of an effect's own variables are not asked for here, as in the reference.
            extra = [arg for arg in effect.literal.args if arg.startswith("?") and arg not in bound]
            joins.rule(body + more, [], [effect.literal], None, free=list(dict.fromkeys(extra)))


def _add_rule(joins: _Joins, rule: FlatRule, out: Grounding) -> None:
    names = [name for name, _ in rule.params]
    head = Literal(rule.head, tuple(names[: rule.arity]))
    body = [*_type_atoms(rule.params), *(x for x in rule.condition if not x.negated)]

    def found(binding: Binding) -> None:
        out.rules.append((rule, binding))

    joins.rule(body, names, [head], found)


def _type_atoms(params: tuple[Param, ...]) -> Iterator[Literal]:
    return (Literal(type_predicate(type_), (name,)) for name, type_ in params)


@dataclass(slots=True)
class _Step:
    """Extends a binding by one body atom, looked up by the arguments that are bound already."""

    index: dict[Args, list[Args]]
    key: tuple[int | str, ...]
    """Slots (int) and objects (str) that make the look-up key."""
    fresh: tuple[tuple[int, int], ...]
    """(position in the fact, slot to fill)."""
    equal: tuple[tuple[int, int], ...]
    """Positions that must agree, where one new variable comes twice."""


class _Joins:
    """Rules, facts taken so far, and indexes over them."""

    def __init__(self, changing: set[str], objects: list[str]) -> None:
        self.changing = changing
        self.objects = objects
        self.facts: dict[str, list[Args]] = defaultdict(list)
        self.indexes: dict[str, dict[tuple[int, ...], dict[Args, list[Args]]]] = defaultdict(dict)
        self.triggers: dict[str, list[Callable[[Args], None]]] = defaultdict(list)
        self.starts: list[Callable[[], None]] = []
        self.queue: deque[Fact] = deque()
        self.known: set[Fact] = set()

    def take(self, predicate: str, args: Args) -> None:
        self.facts[predicate].append(args)
        for positions, index in self.indexes[predicate].items():
            index.setdefault(tuple(args[p] for p in positions), []).append(args)

    def push(self, fact: Fact) -> None:
        if fact not in self.known:
            self.known.add(fact)
            self.queue.append(fact)

    def run(self, facts: Iterable[Fact]) -> set[Fact]:
        """All changing facts that can be reached from these."""
        for fact in facts:
            self.push(fact)
        for start in self.starts:
            start()
        while self.queue:
            predicate, args = self.queue.popleft()
            self.take(predicate, args)
            for trigger in self.triggers[predicate]:
                trigger(args)
        return self.known

    def rule(
        self,
        body: list[Literal],
        names: list[str],
        heads: list[Literal],
        found: Callable[[Binding], None] | None,
        free: list[str] | None = None,
    ) -> None:
        """Registers a rule; `found` gets the values of `names`, `free` ranges over all objects."""
        slots = {n: i for i, n in enumerate(dict.fromkeys(_variables(body) + (free or [])))}
        seen: set[Binding] = set()
        chosen = [slots[name] for name in names]
        makers = [(h.predicate, _getters(h.args, slots)) for h in heads]
        loose = [slots[name] for name in free or []]

        def emit(values: list[str]) -> None:
            key = tuple(values)
            if key in seen:
                return
            seen.add(key)
            if found is not None:
                found(tuple(values[slot] for slot in chosen))
            for combination in product(self.objects, repeat=len(loose)):
                for slot, value in zip(loose, combination, strict=True):
                    values[slot] = value
                for predicate, getters in makers:
                    args = tuple(values[g] if isinstance(g, int) else g for g in getters)
                    self.push((predicate, args))

        moving = [i for i, atom in enumerate(body) if atom.predicate in self.changing]
        if not moving:
            steps = self._plan(body, slots, set())
            self.starts.append(lambda: _extend(steps, 0, [""] * len(slots), emit))
        for i in moving:
            atom = body[i]
            first = self._step(atom, slots, set())
            rest = self._plan(body[:i] + body[i + 1 :], slots, set(_variables([atom])))

            given = [p for p in range(len(atom.args)) if not _is_filled(p, first)]
            constants = list(zip(given, first.key, strict=True))

            def trigger(
                args: Args,
                first: _Step = first,
                rest: list[_Step] = rest,
                constants: list[tuple[int, int | str]] = constants,
            ) -> None:
                for p, constant in constants:
                    if args[p] != constant:
                        return
                for p, q in first.equal:
                    if args[p] != args[q]:
                        return
                values = [""] * len(slots)
                for position, slot in first.fresh:
                    values[slot] = args[position]
                _extend(rest, 0, values, emit)

            self.triggers[atom.predicate].append(trigger)

    def _plan(self, body: list[Literal], slots: dict[str, int], bound: set[str]) -> list[_Step]:
        """The body in a good order: atoms that only filter first, then the fewest matches."""
        left, steps = list(body), []
        bound = set(bound)
        while left:

            def cost(atom: Literal) -> tuple[int, float]:
                new = [a for a in atom.args if a.startswith("?") and a not in bound]
                share = len(self.facts[atom.predicate]) / 4.0 ** (len(atom.args) - len(new))
                return (len(new) > 0, share + 1000.0 * (atom.predicate in self.changing))

            atom = min(left, key=cost)
            left.remove(atom)
            steps.append(self._step(atom, slots, bound))
            bound.update(_variables([atom]))
        return steps

    def _step(self, atom: Literal, slots: dict[str, int], bound: set[str]) -> _Step:
        positions: list[int] = []
        key: list[int | str] = []
        fresh: list[tuple[int, int]] = []
        equal: list[tuple[int, int]] = []
        first: dict[str, int] = {}
        for position, arg in enumerate(atom.args):
            if not arg.startswith("?"):
                positions.append(position)
                key.append(arg)
            elif arg in bound:
                positions.append(position)
                key.append(slots[arg])
            elif arg in first:
                equal.append((first[arg], position))
            else:
                first[arg] = position
                fresh.append((position, slots[arg]))
        index = self._index(atom.predicate, tuple(positions))
        return _Step(index, tuple(key), tuple(fresh), tuple(equal))

    def _index(self, predicate: str, positions: tuple[int, ...]) -> dict[Args, list[Args]]:
        indexes = self.indexes[predicate]
        if positions not in indexes:
            index: dict[Args, list[Args]] = {}
            for args in self.facts[predicate]:
                index.setdefault(tuple(args[p] for p in positions), []).append(args)
            indexes[positions] = index
        return indexes[positions]


def _is_filled(position: int, step: _Step) -> bool:
    return any(position == p for p, _ in step.fresh) or any(position == q for _, q in step.equal)


def _variables(atoms: list[Literal]) -> list[str]:
    return [arg for atom in atoms for arg in atom.args if arg.startswith("?")]


def _getters(args: Args, slots: dict[str, int]) -> list[int | str]:
    return [slots[arg] if arg.startswith("?") else arg for arg in args]


def _extend(
    steps: list[_Step], at: int, values: list[str], emit: Callable[[list[str]], None]
) -> None:
    if at == len(steps):
        emit(values)
        return
    step = steps[at]
    matches = step.index.get(tuple([values[k] if isinstance(k, int) else k for k in step.key]))
    if not matches:
        return
    if not step.fresh:  # a filter: matching once is enough
        _extend(steps, at + 1, values, emit)
        return
    for args in matches:
        if step.equal and any(args[p] != args[q] for p, q in step.equal):
            continue
        for position, slot in step.fresh:
            values[slot] = args[position]
        _extend(steps, at + 1, values, emit)
