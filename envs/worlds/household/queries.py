"""Queries of the text grammar: `atlocation(a:agent, l:location) & not_opened(r:receptacle)`."""

from __future__ import annotations

import re
from functools import cache

from ludus.envs.worlds.household.errors import GameError, UnsayableError

Placeholder = tuple[str, str]
"""Name and type: `("r", "receptacle")`."""
Query = tuple[tuple[str, tuple[Placeholder, ...]], ...]
"""A conjunction of (predicate, placeholders)."""


BLANK = re.compile(r"(?:\s+|#.*?$|\(\*(?:.|\n)*?\*\))*", re.MULTILINE)
_PREDICATE = re.compile(r"!?[\w/]+")
_PLACEHOLDER = re.compile(r"[\w']+")
_TYPE = re.compile(r"[\w/-]+")


@cache
def parse_query(text: str) -> Query:
    """A conjunction such as `atlocation(a:agent, l:location) & not_opened(r:receptacle)`.

    Raises:
        UnsayableError: If a placeholder has two types. Without one, its type is its name.
        GameError: If the text is not a conjunction of predicates.
    """
    at = 0
    types: dict[str, str] = {}

    def take(pattern: re.Pattern[str] | str) -> str | None:
        nonlocal at
        blank = BLANK.match(text, at)
        start = blank.end() if blank else at
        if isinstance(pattern, str):
            found = pattern if text.startswith(pattern, start) else None
        else:
            match = pattern.match(text, start)
            found = match[0] if match else None
        if found is not None:
            at = start + len(found)
        return found

    def need(pattern: re.Pattern[str] | str) -> str:
        found = take(pattern)
        if found is None:
            raise GameError(f"the grammar has a query that cannot be read: {text!r}")
        return found

    def placeholder() -> Placeholder:
        name = need(_PLACEHOLDER)
        type_ = need(_TYPE) if take(":") else name.rstrip("'")
        if types.setdefault(name, type_) != type_:
            both = f"{types[name]!r} and {type_!r}"
            raise UnsayableError(f"the grammar's query {text!r} makes {name!r} both {both}")
        return name, type_

    query = []
    while True:
        name = need(_PREDICATE)
        if name.startswith("!"):
            name = name.lstrip("!")
            name = name.split("not_", 1)[1] if name.startswith("not_") else f"not_{name}"
        need("(")
        placeholders = []
        if not take(")"):
            placeholders.append(placeholder())
            while not take(")"):
                need(",")
                placeholders.append(placeholder())
        query.append((name, tuple(placeholders)))
        if not take("&"):
            break
    take("")
    if at != len(text):
        raise GameError(f"the grammar has a query that cannot be read: {text!r}")
    return tuple(query)
