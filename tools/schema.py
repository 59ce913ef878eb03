"""JSON schemas of the Python types that tools take, and the check of values against them."""

import json
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

JSONSchema = dict[str, Any]

_TYPES: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_NEEDED = {
    "string": "a string", "integer": "an integer", "number": "a number", "boolean": "true or false",
    "array": "an array", "object": "an object", "null": "null",
}  # fmt: skip


def schema_of(kind: Any) -> JSONSchema:
    """The schema of a type: str, int, float, bool, list[T], dict[str, T], Literal of strings, and
    any of these or None.

    Raises:
        TypeError: If it is none of them.

    >>> schema_of(list[int] | None)
    {'anyOf': [{'type': 'array', 'items': {'type': 'integer'}}, {'type': 'null'}]}
    """
    if kind in _TYPES:
        return {"type": _TYPES[kind]}
    origin, inner = get_origin(kind), get_args(kind)
    if origin is list:
        return {"type": "array", "items": schema_of(inner[0])}
    if origin is dict and inner[0] is str:
        return {"type": "object", "additionalProperties": schema_of(inner[1])}
    if origin is Literal and all(isinstance(choice, str) for choice in inner):
        return {"type": "string", "enum": list(inner)}
    if origin in (Union, types.UnionType):
        some = [one for one in inner if one is not types.NoneType]
        if len(some) == 1 and len(inner) == 2:
            return {"anyOf": [schema_of(some[0]), {"type": "null"}]}
    raise TypeError(f"no schema for the type {kind}")


def problem_with(schema: JSONSchema, value: Any, name: str) -> str:
    """What is wrong with a value, in words for an agent; "" if nothing is. What `schema_of` never
    writes, and schemas from elsewhere have, is left to whoever wrote it.

    >>> problem_with({"type": "array", "items": {"type": "integer"}}, [1, "2"], "numbers")
    'numbers[1] must be an integer, got "2"'
    """
    if "anyOf" in schema:
        problems = [problem_with(one, value, name) for one in schema["anyOf"]]
        return "" if "" in problems else problems[0]
    if not isinstance(kind := schema.get("type"), str) or kind not in _NEEDED:
        return ""
    if not _is(kind, value):
        return f"{name} must be {_NEEDED[kind]}, got {_shown(value)}"
    if value not in schema.get("enum", [value]):
        return f"{name} must be one of {', '.join(map(str, schema['enum']))}, got {_shown(value)}"
    if kind == "array":
        parts = [(schema.get("items", {}), one, f"{name}[{i}]") for i, one in enumerate(value)]
    elif kind == "object":
        parts, problem = _members(schema, value, name)
        if problem:
            return problem
    else:
        return ""
    return next((problem for part in parts if (problem := problem_with(*part))), "")


def _members(
    schema: JSONSchema, value: Mapping[str, Any], name: str
) -> tuple[list[tuple[JSONSchema, Any, str]], str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    parts = []
    for key, member in value.items():
        if key in known:
            parts.append((known[key], member, key))
        elif others is False:
            return [], f"unknown argument {_shown(key)}, known: {', '.join(known)}"
        elif others is not True:
            parts.append((others, member, f"{name}[{_shown(key)}]"))
    missing = [key for key in schema.get("required", []) if key not in value]
    return parts, f"missing argument {missing[0]}" if missing else ""


def _is(kind: str, value: Any) -> bool:
    match value:
        case None:
            return kind == "null"
        case bool():  # before int, whose subclass it is
            return kind == "boolean"
        case int():
            return kind in ("integer", "number")
        case float():
            return kind == "number"
        case str():
            return kind == "string"
        case list():
            return kind == "array"
        case Mapping():
            return kind == "object"
    return False


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else text[:60] + "..."
