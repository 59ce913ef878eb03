"""Conditions of the planning language: five shapes, always in negation normal form.

A condition is a `Literal`, an `And`, an `Or`, an `Exists` or a `Forall`; negation lives in the
literals only. `TRUE` is the empty `And`, `FALSE` the empty `Or`.

>>> a, b = Literal("a", ()), Literal("b", ("?x",))
>>> dnf(And((a, Or((b, TRUE)))))
[((), (Literal(predicate='a', args=(), negated=False),))]
>>> negate(Exists((("?x", "thing"),), b))
Forall(params=(('?x', 'thing'),), part=Literal(predicate='b', args=('?x',), negated=True))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

Param = tuple[str, str]
"""A variable and the name of its type: `("?r", "receptacle")`."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A predicate over variables (`?x`) and objects, or its negation."""

    predicate: str
    args: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold; of no parts, always."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part holds; of no parts, never."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """The part holds for some objects of the types of `params`."""

    params: tuple[Param, ...]
    part: Formula


@dataclass(frozen=True, slots=True)
class Forall:
    """The part holds for all objects of the types of `params`."""

    params: tuple[Param, ...]
    part: Formula


Formula = Literal | And | Or | Exists | Forall
Conjunction = tuple[tuple[Param, ...], tuple[Literal, ...]]
"""One disjunct of a normal form: variables bound existentially, and literals that must all hold."""

TRUE = And(())
FALSE = Or(())


def negate(formula: Formula) -> Formula:
    """The negation, pushed down to the literals."""
    match formula:
        case Literal(predicate, args, negated):
            return Literal(predicate, args, not negated)
        case And(parts):
            return Or(tuple(negate(part) for part in parts))
        case Or(parts):
            return And(tuple(negate(part) for part in parts))
        case Exists(params, part):
            return Forall(params, negate(part))
        case Forall(params, part):
            return Exists(params, negate(part))


def simplify(formula: Formula) -> Formula:
    """The same condition with nested junctions flattened and constants folded."""
    match formula:
        case And(parts) | Or(parts):
            junction = type(formula)
            absorbing = FALSE if junction is And else TRUE
            flat: list[Formula] = []
            for part in map(simplify, parts):
                if part == absorbing:
                    return absorbing
                flat.extend(part.parts if isinstance(part, junction) else (part,))
            return flat[0] if len(flat) == 1 else junction(tuple(flat))
        case Exists(params, part) | Forall(params, part):
            inner = simplify(part)
            # A quantifier over a constant is that constant, whether or not objects exist.
            return inner if inner in (TRUE, FALSE) else type(formula)(params, inner)
        case Literal():
            return formula


def rename(formula: Formula, taken: dict[str, str], names: Mapping[str, str]) -> Formula:
    """The same condition with every quantified variable unique; `taken` collects name -> type."""
    match formula:
        case Literal(predicate, args, negated):
            return Literal(predicate, tuple(names.get(arg, arg) for arg in args), negated)
        case And(parts) | Or(parts):
            return type(formula)(tuple(rename(part, taken, names) for part in parts))
        case Exists(params, part) | Forall(params, part):
            names = dict(names)
            return type(formula)(unique(params, taken, names), rename(part, taken, names))


def unique(
    params: tuple[Param, ...], taken: dict[str, str], names: dict[str, str]
) -> tuple[Param, ...]:
    """Parameters under names that are not in `taken` yet; `names` collects old -> new."""
    result = []
    for name, type_ in params:
        fresh = name
        if name in taken:
            fresh = next(f"{name}{n}" for n in count(1) if f"{name}{n}" not in taken)
            names[name] = fresh
        taken[fresh] = type_
        result.append((fresh, type_))
    return tuple(result)


def free_variables(formula: Formula) -> set[str]:
    """The variables that no quantifier around them binds."""
    match formula:
        case Literal(_, args, _):
            return {arg for arg in args if arg.startswith("?")}
        case And(parts) | Or(parts):
            return set().union(*map(free_variables, parts))
        case Exists(params, part) | Forall(params, part):
            return free_variables(part) - {name for name, _ in params}


def dnf(formula: Formula) -> list[Conjunction]:
    """The disjuncts of a condition without `Forall`, existential variables pulled to the front."""
    match simplify(formula):
        case Literal() as literal:
            return [((), (literal,))]
        case Or(parts):
            return [disjunct for part in parts for disjunct in dnf(part)]
        case And(parts):
            rows: list[Conjunction] = [((), ())]
            for part in parts:
                rows = [(p + q, a + b) for p, a in rows for q, b in dnf(part)]
            return rows
        case Exists(params, part):
            return [(params + inner, literals) for inner, literals in dnf(part)]
        case Forall():
            raise AssertionError("universal quantifiers become derived predicates before this")
