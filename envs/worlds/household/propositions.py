"""The propositions a game speaks of, and how a query of the text grammar finds them.

A proposition is static (always there) or has a bit in a game's `shown` int. A query is a
conjunction of predicates over typed placeholders; its answers are listed predicate by predicate,
each in the sorted order of its propositions, first for the types asked for and then for their
subtypes. Two placeholders never stand for the same object.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from ludus.envs.worlds.household.errors import GameError
from ludus.envs.worlds.household.operators import Problem
from ludus.envs.worlds.household.queries import Placeholder, Query

Object = tuple[str, str]
"""Id and type. An action's argument has its parameter's type, so the pair may match nothing."""
Mapped = dict[Placeholder, Object]
Row = tuple[tuple[Object, ...], int]
"""Arguments and the bit that says whether the proposition is there (0: always)."""
Signature = tuple[str, tuple[str, ...]]


class Propositions:
    """All propositions of a game, indexed by what queries ask for."""

    def __init__(self, problem: Problem, types: list[tuple[str, tuple[str, ...]]]) -> None:
        """`types`: every type with all types above it, in the order of declaration."""
        self._children: dict[str, list[str]] = {name: [] for name, _ in types}
        for name, parents in types:
            for parent in parents:
                self._children.setdefault(parent, []).append(name)
        for children in self._children.values():
            children.sort()
        self._known_types = {name for name, _ in types}
        self._subtypes: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        self._rows: dict[Signature, list[Row]] = {}
        self._found: dict[tuple[Signature, tuple[Object | None, ...]], tuple[list[Row], int]] = {}
        self._indexes: dict[
            tuple[Signature, tuple[int, ...]], dict[tuple[Object, ...], list[Row]]
        ] = {}
        self.initial = 0
        """The bits of what is said to be true at the start."""
        self.objects: dict[str, str] = {}
        """Objects that a proposition of the start mentions, with their types."""
        size = len(problem.fluents)
        for number, (predicate, args) in enumerate(problem.fluents):
            yes, no = 1 << number, 1 << (size + number)
            spoken = tuple((_spoken(arg), problem.objects[arg]) for arg in args)
            self._add(predicate, spoken, yes)
            self._add(f"not_{predicate}", spoken, no)
            if problem.initial & yes:
                self.initial |= yes
                self.objects.update(spoken)
                written = tuple((arg, problem.objects[arg]) for arg in args)
                if written != spoken and not problem.derived & yes:
                    self._add(predicate, written, 0)
                    self.objects.update(written)
        for predicate, args in problem.static:
            if predicate != "=":
                written = tuple((arg, problem.objects[arg]) for arg in args)
                self._add(predicate, written, 0)
                self.objects.update(written)
        for rows in self._rows.values():
            rows.sort()
        self.changing = {predicate for predicate, _ in problem.fluents}
        self.changing |= {f"not_{predicate}" for predicate in self.changing}

    def _add(self, predicate: str, args: tuple[Object, ...], bit: int) -> None:
        signature = predicate, tuple(type_ for _, type_ in args)
        self._rows.setdefault(signature, []).append((args, bit))

    def answers(
        self, query: Query, mapping: Mapping[Placeholder, Object], shown: int, read: list[int]
    ) -> Iterator[Mapped]:
        """Every extension of `mapping` under which the query holds.

        `read[0]` collects the bits of all propositions that were looked at: as long as those do
        not change, neither does the answer.
        """
        return self._extend(query, 0, dict(mapping), set(mapping.values()), shown, read)

    def _extend(
        self, query: Query, at: int, mapping: Mapped, used: set[Object], shown: int, read: list[int]
    ) -> Iterator[Mapped]:
        if at == len(query):
            yield dict(mapping)
            return
        predicate, placeholders = query[at]
        fixed = tuple(mapping.get(placeholder) for placeholder in placeholders)
        for types in self.subtypes(tuple(type_ for _, type_ in placeholders)):
            rows, bits = self._find((predicate, types), fixed)
            read[0] |= bits
            for args, bit in rows:
                if bit and not shown & bit:
                    continue
                fresh: list[Placeholder] = []
                for placeholder, arg in zip(placeholders, args, strict=True):
                    known = mapping.get(placeholder)
                    if known is None:
                        if arg in used:
                            break
                        mapping[placeholder] = arg
                        used.add(arg)
                        fresh.append(placeholder)
                    elif known != arg:
                        break
                else:
                    yield from self._extend(query, at + 1, mapping, used, shown, read)
                for placeholder in fresh:
                    used.discard(mapping.pop(placeholder))

    def _find(
        self, signature: Signature, fixed: tuple[Object | None, ...]
    ) -> tuple[list[Row], int]:
        """The rows of a signature that agree with the arguments known so far, and their bits."""
        key = signature, fixed
        found = self._found.get(key)
        if found is None:
            positions = tuple([i for i, arg in enumerate(fixed) if arg is not None])
            index = self._indexes.get((signature, positions))
            if index is None:
                index = self._indexes[signature, positions] = {}
                for row in self._rows.get(signature, ()):
                    index.setdefault(tuple([row[0][i] for i in positions]), []).append(row)
            rows = index.get(tuple([arg for arg in fixed if arg is not None]), [])
            bits = 0
            for _, bit in rows:
                bits |= bit
            found = self._found[key] = rows, bits
        return found

    def subtypes(self, types: tuple[str, ...]) -> list[tuple[str, ...]]:
        """These types, then one narrowed at a time, breadth first.

        The first round is not remembered as seen, so under a type with grandchildren a combination
        can come twice, and an object be listed twice. The reference engine does the same.
        """
        found = self._subtypes.get(types)
        if found is None:
            for type_ in types:
                if type_ not in self._known_types:
                    raise GameError(f"the grammar speaks of a type {type_!r} that does not exist")
            found = [types]
            queue = deque(self._narrowed(types))
            seen: set[tuple[str, ...]] = set()
            while queue:
                item = queue.popleft()
                found.append(item)
                for narrower in self._narrowed(item):
                    if narrower not in seen:
                        seen.add(narrower)
                        queue.append(narrower)
            self._subtypes[types] = found
        return found

    def _narrowed(self, types: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for i, type_ in enumerate(types):
            for child in self._children.get(type_, ()):
                yield (*types[:i], child, *types[i + 1 :])


def _spoken(name: str) -> str:
    """The planner's names for `i` and `p` are capitals once they come back as propositions."""
    return name.upper() if name in ("i", "p") else name
