"""Rules over facts, run until nothing new follows.

Facts are taken from a queue one at a time; each is matched against every body atom it fits, and the
rest of that body is joined from the facts taken before, through hash indexes.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from ludus.envs.worlds.household.formula import Literal
from ludus.envs.worlds.household.split import split

Args = tuple[str, ...]
Fact = tuple[str, Args]
Binding = tuple[str, ...]


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


class Joins:
    """Rules, facts taken so far, and indexes over them."""

    def __init__(self, changing: set[str]) -> None:
        """`changing`: predicates that rules derive; the facts of others are taken before them."""
        self.changing = set(changing)
        self.names = (f"{n}@" for n in count())
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

    def loose_rule(self, body: Sequence[Literal], head: Literal) -> None:
        """Registers a rule that derives as much as the reference planner's, see `split`."""
        rules = split(body, head, self.names)
        self.changing.update(made.predicate for _, made in rules)
        for part, made in rules:
            self.rule(part, [made])

    def rule(
        self,
        body: list[Literal],
        heads: list[Literal],
        names: Sequence[str] = (),
        found: Callable[[Binding], None] = lambda binding: None,
    ) -> None:
        """Registers a rule; `found` gets the values of `names`."""
        slots = {n: i for i, n in enumerate(dict.fromkeys(_variables(body)))}
        seen: set[Binding] = set()
        chosen = [slots[name] for name in names]
        makers = [(h.predicate, _getters(h.args, slots)) for h in heads]

        def emit(values: list[str]) -> None:
            key = tuple(values)
            if key in seen:
                return
            seen.add(key)
            found(tuple(values[slot] for slot in chosen))
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
