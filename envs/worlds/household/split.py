"""Takes a rule apart as the reference planner does, with what it loses on the way.

Fast Downward joins two atoms of a rule at a time (Helmert 2009, "Concise finite-domain
representations for PDDL planning tasks", section 6). A variable that is in both of them and is not
wanted afterwards is not compared by its implementation, so that more facts seem possible than are:
`p(?x) and q(?x, ?y)` makes `r(?y)` possible for the `?y` of any `q` as soon as there is any `p`.
It does no harm to planning, but facts that seem possible leave traces in a game.

>>> p, q, r = Literal("p", ("?x",)), Literal("q", ("?x", "?y")), Literal("r", ("?y",))
>>> [([atom.args for atom in body], head.args) for body, head in split([p, q], r, iter("abc"))]
[([('?x', '?y'), ("?x'",)], ('?y',))]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ludus.envs.worlds.household.formula import Literal

EVERY = "every@"
"""A predicate that is true of every object; no declared one can be called like it."""
Rule = tuple[list[Literal], Literal]
"""Body and head."""


def split(body: Sequence[Literal], head: Literal, names: Iterator[str]) -> list[Rule]:
    """Rules that derive `head` where the reference planner derives it from the positive `body`.

    `names` are for the predicates in between. Where it is undecided itself which two atoms are
    joined first (that depends on the hash seed), it is those that were written first.
    """
    conditions = [*body, *(Literal(EVERY, (v,)) for v in sorted(_all([head]) - _all(body)))]
    equal: list[Literal] = []
    head = _apart(head, equal)
    conditions = [_apart(atom, equal) for atom in conditions] + equal
    ground = [atom for atom in conditions if not _variables(atom)]
    parts = _connected([atom for atom in conditions if _variables(atom)])
    if len(parts) == 1 and not ground:
        return _pairs(conditions, head, names)
    rules: list[Rule] = []
    tops = []
    for part in parts:
        tops.append(Literal(next(names), tuple(sorted(_variables(head) & _all(part)))))
        rules += _pairs(part, tops[-1], names)
    return [*rules, ([*tops, *ground], head)]


def _apart(atom: Literal, equal: list[Literal]) -> Literal:
    """The atom with every variable once; `equal` collects which are to be the same."""
    args: list[str] = []
    for arg in atom.args:
        if arg.startswith("?") and arg in args:
            equal.append(Literal("=", (arg, f"{arg}@{len(equal)}")))
            arg = equal[-1].args[1]
        args.append(arg)
    return Literal(atom.predicate, tuple(args))


def _connected(atoms: list[Literal]) -> list[list[Literal]]:
    """Groups of atoms that share variables, directly or through others."""
    groups: list[list[Literal]] = []
    for atom in atoms:
        near = [group for group in groups if _all(group) & _variables(atom)]
        merged = [other for group in near for other in group]
        groups = [group for group in groups if group not in near]
        groups.append(sorted([*merged, atom], key=atoms.index))
    return groups


def _pairs(conditions: list[Literal], head: Literal, names: Iterator[str]) -> list[Rule]:
    if len(conditions) <= 1:
        return [(conditions, head)]
    rules: list[Rule] = []
    left = Counter(v for atom in [*conditions, head] for v in _variables(atom))
    atoms = list(conditions)
    while len(atoms) > 1:
        pairs = ((i, j) for i in range(len(atoms)) for j in range(i))
        i, j = min(pairs, key=lambda pair: _cost(atoms[pair[0]], atoms[pair[1]]))
        joined = [atoms.pop(i), atoms.pop(j)]
        left.subtract(v for atom in joined for v in _variables(atom))
        common = _variables(joined[0]) & _variables(joined[1])
        kept = {v for v in _all(joined) if left[v]}
        for k, atom in enumerate(joined):
            wanted = _variables(atom) & (kept | common)
            if wanted != _variables(atom):
                joined[k] = Literal(next(names), tuple(sorted(wanted)))
                rules.append(([atom], joined[k]))
        first, second = joined
        apart = tuple(f"{arg}'" if arg in common - kept else arg for arg in second.args)
        done = Literal(next(names), tuple(sorted(kept))) if atoms else head
        rules.append(([first, Literal(second.predicate, apart)], done))
        atoms.append(done)
        left.update(_variables(done))
    return rules


def _cost(a: Literal, b: Literal) -> tuple[int, int, int]:
    """How many variables two atoms do not share, the fewer first, and how many they do."""
    common = len(_variables(a) & _variables(b))
    few, many = sorted([len(_variables(a)), len(_variables(b))])
    return few - common, many - common, -common


def _variables(atom: Literal) -> set[str]:
    return {arg for arg in atom.args if arg.startswith("?")}


def _all(atoms: Iterable[Literal]) -> set[str]:
    return {arg for atom in atoms for arg in _variables(atom)}
