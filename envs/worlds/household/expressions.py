"""Expressions of the text grammar, `{r.name or r.id}`, without handing a file the interpreter.

The reference engine calls `eval`. Here an expression is checked against a short list of harmless
constructs first: names, attributes of entities, strings, comparisons, `and`/`or`/`not`, `if`
and a few methods of `str`. (Brackets and braces cannot stand in one: the grammar ends it there.)

>>> evaluate("r.name or r.id", {"r": Entity("cabinet_bar_1", "receptacle", "cabinet 1")})
'cabinet 1'
>>> evaluate("r.__class__", {})
Traceback (most recent call last):
    ...
ludus.envs.worlds.household.errors.GameError: the grammar's expression 'r.__class__' is not allowed
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import CodeType
from typing import Any

from ludus.envs.worlds.household.errors import GameError, UnsayableError


@dataclass(frozen=True, slots=True)
class Entity:
    """An object as sentences see it."""

    id: str
    type: str
    name: str
    noun: str | None = None
    adj: str | None = None
    desc: str | None = None
    room_type: str | None = None
    definite: str = "the"
    indefinite: str = "a"
    synonyms: None = None

    def __str__(self) -> str:
        return self.name


_SHAPES = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare,
    ast.cmpop, ast.IfExp, ast.Name, ast.Load, ast.Attribute, ast.Constant, ast.BinOp, ast.Add,
    ast.Call, ast.Tuple,
)  # fmt: skip
_METHODS = frozenset(
    {
        "capitalize", "casefold", "count", "endswith", "find", "isdigit", "join", "lower", "lstrip",
        "partition", "removeprefix", "removesuffix", "replace", "rpartition", "rsplit", "rstrip",
        "split", "startswith", "strip", "swapcase", "title", "upper",
    }
)  # fmt: skip
_FUNCTIONS: dict[str, Any] = {"str": str, "len": len, "int": int, "bool": bool}


@cache
def _compiled(source: str) -> CodeType:
    try:
        tree = ast.parse(source.lstrip(" \t"), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise GameError(f"the grammar's expression {source[:80]!r} is not one") from error
    for node in ast.walk(tree):
        allowed = isinstance(node, _SHAPES)
        if isinstance(node, ast.Attribute):
            allowed = not node.attr.startswith("_")
        elif isinstance(node, ast.Call):
            function = node.func
            allowed = (isinstance(function, ast.Attribute) and function.attr in _METHODS) or (
                isinstance(function, ast.Name) and function.id in _FUNCTIONS
            )
        if not allowed:
            raise GameError(f"the grammar's expression {source[:80]!r} is not allowed")
    return compile(tree, "<grammar>", "eval")


def evaluate(source: str, variables: Mapping[str, Entity]) -> str:
    """The value of an expression as text.

    Raises:
        UnsayableError: If it fails with a ValueError.
        GameError: If it is not allowed, or fails otherwise.
    """
    code = _compiled(source)
    try:
        return str(eval(code, {"__builtins__": {}, **_FUNCTIONS}, variables))
    except Exception as error:
        kind = UnsayableError if isinstance(error, ValueError) else GameError
        raise kind(f"the grammar's expression {source[:80]!r} fails: {error}") from error
