"""Which actions and facts can ever occur: delete-free reachability.

Negative conditions and deletions are ignored, so what comes out is a superset of what a game can
show. It is the same superset as in the reference engine, which matters: deleting a fact outside of
it leaves no trace there, deleting one inside does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from ludus.envs.worlds.household.formula import Literal
from ludus.envs.worlds.household.joins import Binding, Fact, Joins
from ludus.envs.worlds.household.normalize import FlatAction, FlatRule, FlatTask
from ludus.envs.worlds.household.pddl import Task, type_predicate
from ludus.envs.worlds.household.split import EVERY


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
    joins = Joins(changing)
    for type_, names in objects_of.items():
        for name in names:
            joins.take(type_predicate(type_), (name,))
    for predicate, args in sorted(static):  # operators come in one order in every process
        joins.take(predicate, args)
    for name in task.objects:
        joins.take(EVERY, (name,))
    for action in flat.actions:
        _add_action(joins, action, out)
    for rule in flat.rules:
        _add_rule(joins, rule, out)
    out.fluents = sorted(fact for fact in joins.run(queue) if fact[0] in changing)
    return out


def _add_action(joins: Joins, action: FlatAction, out: Grounding) -> None:
    names = tuple(name for name, _ in action.params)
    simple: list[Literal] = []
    others: list[tuple[list[Literal], Literal]] = []
    for effect in action.effects:
        if not effect.literal.negated:
            when = [literal for literal in effect.condition if not literal.negated]
            # The types of an effect's own variables are not asked for, as in the reference.
            if when or effect.params:
                others.append((when, effect.literal))
            else:
                simple.append(effect.literal)
    done = Literal(next(joins.names), names)
    joins.changing.add(done.predicate)
    heads = [*simple, done] if others else simple
    _add(joins, action, names, heads, lambda binding: out.actions.append((action, binding)))
    for when, literal in others:
        joins.loose_rule([done, *when], literal)


def _add_rule(joins: Joins, rule: FlatRule, out: Grounding) -> None:
    names = tuple(name for name, _ in rule.params)
    head = Literal(rule.head, names[: rule.arity])
    _add(joins, rule, names, [head], lambda binding: out.rules.append((rule, binding)))


def _add(
    joins: Joins,
    made: FlatAction | FlatRule,
    names: tuple[str, ...],
    heads: list[Literal],
    found: Callable[[Binding], None],
) -> None:
    """The condition of an action or a rule; `found` gets the values of its parameters, `names`."""
    body = [Literal(type_predicate(type_), (name,)) for name, type_ in made.params]
    body += [literal for literal in made.condition if not literal.negated]
    if any(len(set(atom.args)) < len(atom.args) for atom in body):
        applicable = Literal(next(joins.names), names)
        joins.loose_rule(body, applicable)
        body = [applicable]
    joins.rule(body, heads, names, found)
