"""From a parsed task to flat rules: conditions without quantifiers and without disjunctions.

Follows the order of Fast Downward's translator, because what it derives is visible in a game: a
universal condition becomes a derived predicate, a complicated goal becomes one, a disjunction
splits an action into several that share a name, and an existential variable becomes a parameter
that is not part of that name.
"""

from __future__ import annotations

from dataclasses import dataclass

from ludus.envs.worlds.household.formula import (
    And,
    Exists,
    Forall,
    Formula,
    Literal,
    Or,
    Param,
    dnf,
    free_variables,
    negate,
    rename,
)
from ludus.envs.worlds.household.pddl import Effect, Rule, Task


@dataclass(frozen=True, slots=True)
class FlatEffect:
    """`literal` holds afterwards for every value of `params` where all of `condition` holds."""

    params: tuple[Param, ...]
    condition: tuple[Literal, ...]
    literal: Literal


@dataclass(frozen=True, slots=True)
class FlatAction:
    """One disjunct of an action. The first `num_named` parameters are part of its name."""

    name: str
    params: tuple[Param, ...]
    num_named: int
    condition: tuple[Literal, ...]
    effects: tuple[FlatEffect, ...]


@dataclass(frozen=True, slots=True)
class FlatRule:
    """One disjunct of a derived predicate over the first `arity` parameters."""

    head: str
    params: tuple[Param, ...]
    arity: int
    condition: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class FlatTask:
    """A task without quantifiers and disjunctions, ready to be grounded."""

    actions: tuple[FlatAction, ...]
    rules: tuple[FlatRule, ...]
    goal: tuple[Literal, ...]
    """Ground literals that must all hold."""


def normalize(task: Task) -> FlatTask:
    """The flat form of a task; the names of new derived predicates begin with `new-axiom@`."""
    rules = list(task.rules)
    derive = _Derive(rules)
    actions = []
    for schema in task.actions:
        types = dict(schema.params)
        condition = derive(schema.condition, types)
        effects = [
            Effect(e.params, derive(e.condition, types | dict(e.params)), e.literal)
            for e in schema.effects
        ]
        actions.append((schema, condition, effects))
    for index, rule in enumerate(task.rules):
        rules[index] = Rule(rule.head, rule.params, derive(rule.condition, dict(rule.params)))
    goal = derive(task.goal, {})
    literals = goal.parts if isinstance(goal, And) else (goal,)
    if not all(isinstance(part, Literal) for part in literals):
        literals = (derive.name(goal, ()),)
    return FlatTask(
        actions=tuple(
            FlatAction(
                schema.name,
                schema.params + extra,
                len(schema.params),
                condition,
                tuple(flat for effect in effects for flat in _split(effect)),
            )
            for schema, whole, effects in actions
            for extra, condition in dnf(whole)
        ),
        rules=tuple(
            FlatRule(rule.head, rule.params + extra, len(rule.params), condition)
            for rule in rules
            for extra, condition in dnf(rule.condition)
        ),
        goal=tuple(part for part in literals if isinstance(part, Literal)),
    )


def _split(effect: Effect) -> list[FlatEffect]:
    """`when (exists x) phi` is `forall x when phi`; `when (or a b)` is two effects."""
    return [
        FlatEffect(effect.params + extra, condition, effect.literal)
        for extra, condition in dnf(effect.condition)
    ]


class _Derive:
    """Replaces each `forall` by the negation of a new derived predicate, appended to `rules`."""

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = rules
        self.known: dict[tuple[Formula, tuple[Param, ...]], Literal] = {}
        self.num_names = 0

    def __call__(self, formula: Formula, types: dict[str, str]) -> Formula:
        match formula:
            case Literal():
                return formula
            case And(parts) | Or(parts):
                return type(formula)(tuple(self(part, types) for part in parts))
            case Exists(params, part):
                return Exists(params, self(part, types | dict(params)))
            case Forall():
                counter = negate(formula)  # there is one for which it fails
                params = tuple((name, types[name]) for name in sorted(free_variables(counter)))
                key = (counter, params)
                if key not in self.known:
                    self.known[key] = self.name(self(counter, types), params)
                return negate(self.known[key])

    def name(self, formula: Formula, params: tuple[Param, ...]) -> Literal:
        """A new derived predicate that holds where the formula does."""
        head = f"new-axiom@{self.num_names}"
        self.num_names += 1
        self.rules.append(Rule(head, params, rename(formula, dict(params), {})))
        return Literal(head, tuple(name for name, _ in params))
