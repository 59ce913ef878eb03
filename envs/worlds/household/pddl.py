"""Reads a planning domain and problem (PDDL with ADL conditions) as Fast Downward reads them.

"As Fast Downward" matters: everything is lower-cased, types and predicates are not checked
against each other, and a type list is split at blanks only. ALFWorld's own domain writes
`(exists (?l - location, ?r - receptacle) ...)`; the first type is therefore called `location,`,
no object has it, and that branch can never hold. Games rely on it: an object can be examined only
while it is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ludus.envs.worlds.household.errors import GameError
from ludus.envs.worlds.household.formula import (
    TRUE,
    And,
    Exists,
    Forall,
    Formula,
    Literal,
    Or,
    Param,
    free_variables,
    negate,
    rename,
    simplify,
    unique,
)

Tree = str | list["Tree"]


@dataclass(frozen=True, slots=True)
class Effect:
    """`literal` becomes true for every value of `params` for which `condition` holds."""

    params: tuple[Param, ...]
    condition: Formula
    literal: Literal


@dataclass(frozen=True, slots=True)
class ActionSchema:
    """An action over parameters: possible where `condition` holds; then its effects happen."""

    name: str
    params: tuple[Param, ...]
    condition: Formula
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A derived predicate: `head(params)` holds where `condition` does."""

    head: str
    params: tuple[Param, ...]
    condition: Formula


@dataclass(slots=True)
class Task:
    """A domain and a problem, parsed."""

    types: list[tuple[str, str | None]] = field(default_factory=lambda: [("object", None)])
    """Type and its parent, in the order of declaration; a name may come twice."""
    objects: dict[str, str] = field(default_factory=dict)
    """Object -> name of its type. Constants come first."""
    predicates: dict[str, int] = field(default_factory=dict)
    """Predicate -> number of arguments."""
    actions: list[ActionSchema] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    init: list[Literal] = field(default_factory=list)
    """True at the start, in the order of the file, without repetitions."""
    goal: Formula = TRUE

    def supertypes(self) -> dict[str, list[str]]:
        """Type -> all types above it, sorted. A type declared under itself is above itself."""
        parents: dict[str, set[str]] = {}
        for name, parent in self.types:
            parents.setdefault(name, set()).update([parent] if parent else [])
        above: dict[str, list[str]] = {}
        for name in parents:
            seen: set[str] = set()
            todo = list(parents[name])
            while todo:
                if (parent := todo.pop()) not in seen:
                    seen.add(parent)
                    todo.extend(parents.get(parent, ()))
            above[name] = sorted(seen)
        return above


def parse(domain: str, problem: str) -> Task:
    """The task that a domain and a problem text describe.

    Raises:
        GameError: If either is not what it should be.
    """
    task = Task()
    try:
        _domain(_tree(domain, "domain"), task)
        _problem(_tree(problem, "problem"), task)
    except (IndexError, TypeError, AttributeError, RecursionError) as error:
        raise GameError(f"the planning text is malformed: {error}") from error
    return task


def _tree(text: str, what: str) -> list[Tree]:
    """The nested lists of one parenthesised text, lower-cased, comments dropped."""
    stack: list[list[Tree]] = [[]]
    for line in text.split("\n"):
        line = line.split(";", 1)[0]
        for token in line.replace("(", " ( ").replace(")", " ) ").replace("?", " ?").split():
            if token == "(":
                stack.append([])
            elif token == ")":
                if len(stack) == 1:
                    raise GameError(f"the PDDL {what} closes a parenthesis that was never opened")
                done = stack.pop()
                stack[-1].append(done)
            else:
                stack[-1].append(token.lower())
    if len(stack) > 1:
        raise GameError(f"the PDDL {what} is cut off: {len(stack) - 1} parentheses are open")
    if len(stack[0]) != 1 or not isinstance(stack[0][0], list) or stack[0][0][:1] != ["define"]:
        raise GameError(f"the PDDL {what} is not one (define ...) form")
    return stack[0][0]


def _typed(items: Tree) -> Iterator[tuple[str, str | None]]:
    """`a b - t c` -> (a, t) (b, t) (c, None)."""
    pending: list[str] = []
    tokens = iter(_words(items))
    for token in tokens:
        if token == "-":
            type_ = next(tokens, None)
            if type_ is None:
                raise GameError("a type list ends with '-'")
            yield from ((name, type_) for name in pending)
            pending = []
        else:
            pending.append(token)
    yield from ((name, None) for name in pending)


def _words(items: Tree) -> list[str]:
    words = [item for item in items if isinstance(item, str)]
    if not isinstance(items, list) or len(words) != len(items):
        raise GameError(f"expected a flat list of names, got {str(items)[:80]}")
    return words


def _params(items: Tree) -> tuple[Param, ...]:
    params = tuple((name, type_ or "object") for name, type_ in _typed(items))
    for name, _ in params:
        if not name.startswith("?"):
            raise GameError(f"expected a variable, got {name[:80]!r}")
    return params


def _domain(tree: list[Tree], task: Task) -> None:
    sections = [part for part in tree[2:] if isinstance(part, list)]
    for section in sections:
        match section[0]:
            case ":types":
                task.types += [(name, type_ or "object") for name, type_ in _typed(section[1:])]
            case ":constants":
                _objects(section[1:], task)
            case ":predicates":
                for entry in section[1:]:
                    task.predicates[str(entry[0])] = len(_params(entry[1:]))
                task.predicates["="] = 2
            case ":requirements" | ":functions" | ":action" | ":derived":
                pass
            case other:
                raise GameError(f"the domain has an unknown section {str(other)[:80]}")
    for section in sections:
        if section[0] == ":action":
            _action(section, task)
        elif section[0] == ":derived":
            head = section[1]
            taken: dict[str, str] = {}
            params = unique(_params(head[1:]), taken, {})
            condition = rename(_condition(section[2], task), taken, {})
            _closed(free_variables(condition), params, f"the rule for {head[0]}")
            task.rules.append(Rule(str(head[0]), params, condition))


def _problem(tree: list[Tree], task: Task) -> None:
    for section in tree[2:]:
        if not isinstance(section, list):
            raise GameError(f"the problem has a stray {section[:80]!r}")
        match section[0]:
            case ":objects":
                _objects(section[1:], task)
            case ":init":
                seen: dict[Literal, None] = {}
                for fact in section[1:]:
                    # Numbers (distances, costs) and explicit falsehoods change nothing here.
                    if isinstance(fact, list) and fact[0] not in ("=", "not"):
                        words = _words(fact)
                        seen[Literal(words[0], tuple(words[1:]))] = None
                task.init = list(seen)
            case ":goal":
                task.goal = rename(_condition(section[1], task), {}, {})
                _closed(free_variables(task.goal), (), "the goal")
            case _:
                pass
    for atom in task.init:
        _known(atom.args, task, "the problem's initial state")
        if len(atom.args) < task.predicates.get(atom.predicate, 0):  # more do no harm
            said = " ".join([atom.predicate, *atom.args])
            raise GameError(f"the problem's initial state has too few arguments in ({said})")
    for action in task.actions:
        for effect in action.effects:
            named = [arg for arg in effect.literal.args if not arg.startswith("?")]
            _known(named, task, f"action {action.name!r}")


def _known(names: Iterable[str], task: Task, where: str) -> None:
    for name in names:
        if name not in task.objects:
            raise GameError(f"{where} names an undeclared object {name!r}")


def _closed(used: set[str], params: tuple[Param, ...], where: str) -> None:
    if loose := used - {name for name, _ in params}:
        raise GameError(f"{where} uses the variable {min(loose)!r} and does not declare it")


def _objects(items: Tree, task: Task) -> None:
    for name, type_ in _typed(items):
        if name in task.objects:
            raise GameError(f"object {name!r} is declared twice")
        task.objects[name] = type_ or "object"


def _condition(tree: Tree, task: Task) -> Formula:
    return simplify(_formula(tree, task))


def _formula(tree: Tree, task: Task) -> Formula:
    if not isinstance(tree, list) or not tree:
        raise GameError(f"expected a condition, got {tree!r}")
    match tree[0]:
        case "and":
            return And(tuple(_formula(part, task) for part in tree[1:]))
        case "or":
            return Or(tuple(_formula(part, task) for part in tree[1:]))
        case "not":
            return negate(_formula(tree[1], task))
        case "imply":
            return Or((negate(_formula(tree[1], task)), _formula(tree[2], task)))
        case "exists":
            return Exists(_params(tree[1]), _formula(tree[2], task))
        case "forall":
            return Forall(_params(tree[1]), _formula(tree[2], task))
        case _:
            return _literal(tree, task)


def _literal(tree: list[Tree], task: Task) -> Literal:
    if tree[0] == "not":
        inner = tree[1]
        if not isinstance(inner, list):
            raise GameError(f"expected a fact, got {inner[:80]!r}")
        positive = _literal(inner, task)
        return Literal(positive.predicate, positive.args, not positive.negated)
    words = _words(tree)
    name, args = words[0], tuple(words[1:])
    if name in task.predicates:
        arity = task.predicates[name]
    elif any(name == type_ for type_, _ in task.types):
        name, arity = type_predicate(name), 1
    else:
        raise GameError(f"predicate {name!r} is not declared")
    if arity != len(args):
        raise GameError(f"predicate {name!r} takes {arity} arguments, got ({' '.join(words)})")
    return Literal(name, args)


def type_predicate(type_: str) -> str:
    """The predicate that is true of a type's objects; no declared one can be called like it."""
    return f"type@{type_}"


def _action(section: list[Tree], task: Task) -> None:
    name = str(section[1])
    parts = dict(zip(map(str, section[2::2]), section[3::2], strict=False))
    for part in parts.keys() - {":parameters", ":precondition", ":effect"}:
        raise GameError(f"action {name!r} has an unknown part {part[:80]!r}")
    taken: dict[str, str] = {}
    params = unique(_params(parts.get(":parameters", [])), taken, {})
    tree = parts.get(":precondition", [])
    condition = rename(_condition(tree, task), taken, {}) if tree else TRUE
    effects: list[Effect] = []
    if parts.get(":effect"):
        _effects(parts[":effect"], (), TRUE, task, effects)
    if effects:  # an action that changes nothing (costs aside) does not exist for the planner
        bound = tuple(_unique_effect(effect, taken) for effect in effects)
        _closed(free_variables(condition), params, f"action {name!r}")
        for effect in bound:
            used = free_variables(effect.condition) | free_variables(effect.literal)
            _closed(used, params + effect.params, f"action {name!r}")
        task.actions.append(ActionSchema(name, params, condition, bound))


def _unique_effect(effect: Effect, taken: dict[str, str]) -> Effect:
    names: dict[str, str] = {}
    params = unique(effect.params, taken, names)
    what = effect.literal
    literal = Literal(what.predicate, tuple(names.get(a, a) for a in what.args), what.negated)
    return Effect(params, rename(effect.condition, taken, names), literal)


def _effects(
    tree: Tree, params: tuple[Param, ...], condition: Formula, task: Task, found: list[Effect]
) -> None:
    """Appends the simple effects of a nested one. An addition beats the equal deletion."""
    if not isinstance(tree, list):
        raise GameError(f"expected an effect, got {tree[:80]!r}")
    match tree[0]:
        case "and":
            for part in tree[1:]:
                _effects(part, params, condition, task, found)
        case "forall":
            _effects(tree[2], params + _params(tree[1]), condition, task, found)
        case "when":
            both = And((condition, _condition(tree[1], task)))
            _effects(tree[2], params, simplify(both), task, found)
        case "increase":
            pass
        case _:
            literal = _literal(tree, task)
            opposite = Effect(
                params, condition, Literal(literal.predicate, literal.args, not literal.negated)
            )
            if opposite in found:
                if literal.negated:
                    return
                found.remove(opposite)
            found.append(Effect(params, condition, literal))
