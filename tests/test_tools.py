"""Tools: schemas from signatures, agents' mistakes as results, the calculator."""

import dataclasses
import json
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ludus.tools import TOOLS, Tool, ToolError, ToolResult, tool
from ludus.tools.calculator import calculator


@tool
def search(
    query: str, k: int = 3, order: Literal["new", "best"] = "best", tags: list[str] | None = None
) -> str:
    """Look something up.

    Args:
        query: What to look for,
            in words.
        k: How many results.
        order: Which come first.
        tags: Only results with these.

    Returns:
        The results.
    """
    return json.dumps([query, k, order, tags])


def test_the_signature_is_the_schema() -> None:
    assert search.name == "search"
    assert search.description == "Look something up."
    assert search.parameters == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to look for, in words."},
            "k": {"type": "integer", "description": "How many results.", "default": 3},
            "order": {
                "type": "string",
                "enum": ["new", "best"],
                "description": "Which come first.",
                "default": "best",
            },
            "tags": {
                "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
                "description": "Only results with these.",
                "default": None,
            },
        },
        "required": ["query"],
        "additionalProperties": False,
    }
    json.dumps(search.parameters)


def test_a_tool_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        search.name = "find"  # type: ignore[misc]


def test_good_arguments_reach_the_function() -> None:
    result = search.call({"query": "cats", "tags": ["a"], "order": "new"})
    assert json.loads(result.text) == ["cats", 3, "new", ["a"]]
    assert not result.error
    assert 0 <= result.seconds < 5


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({}, "missing argument query"),
        ({"query": 3}, "query must be a string, got 3"),
        ({"query": "x", "k": "3"}, 'k must be an integer, got "3"'),
        ({"query": "x", "k": True}, "k must be an integer, got true"),
        ({"query": "x", "k": 1.0}, "k must be an integer, got 1.0"),
        ({"query": "x", "order": "old"}, 'order must be one of new, best, got "old"'),
        ({"query": "x", "tags": [1]}, "tags[0] must be a string, got 1"),
        ({"query": "x", "n": 1}, 'unknown argument "n", known: query, k, order, tags'),
        (["x"], 'arguments must be an object, got ["x"]'),
    ],
)
def test_bad_arguments_are_told(args: Any, words: str) -> None:
    result = search.call(args)
    assert (result.text, result.error) == (f"search: {words}", True)


def test_a_mistake_is_told_and_a_fault_is_raised() -> None:
    @tool
    def divide(a: float, b: float) -> float:
        """Divide."""
        if b == 0:
            raise ToolError("b is zero")
        if b < 0:
            raise RuntimeError("broken")
        return a / b

    assert divide.call({"a": 1, "b": 4}).text == "0.25"  # an integer is a number
    result = divide.call({"a": 1, "b": 0})
    assert (result.text, result.error) == ("b is zero", True)
    with pytest.raises(RuntimeError, match="broken"):
        divide.call({"a": 1, "b": -1})


def _no_annotation(x) -> str:  # type: ignore[no-untyped-def]
    """Say."""
    return str(x)


def _no_return(x: int):  # type: ignore[no-untyped-def]
    """Say."""
    return str(x)


def _no_docstring(x: int) -> str:
    return str(x)


def _no_schema(x: complex) -> str:
    """Say."""
    return str(x)


def _no_names(*x: int) -> str:
    """Say."""
    return str(x)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_no_annotation, "'x' has no annotation"),
        (_no_return, "the return type has no annotation"),
        (_no_docstring, "no docstring"),
        (_no_schema, "'x': no schema for the type <class 'complex'>"),
        (_no_names, "cannot be passed by name"),
    ],
)
def test_what_cannot_be_a_tool_fails_at_once(function: Callable[..., str], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        tool(function)


@pytest.mark.parametrize("name", TOOLS)
def test_the_table_names_tools_by_their_names(name: str) -> None:
    assert isinstance(TOOLS[name], Tool)
    assert TOOLS[name].name == name


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("1 + 2 * 3", "7"),
        ("-(4 - 6)", "2"),
        ("7 / 2", "3.5"),
        ("2 ** 9", "calculator: only numbers, + - * / and parentheses, not '2 ** 9'"),
        ("True + 1", "calculator: only numbers, + - * / and parentheses, not 'True + 1'"),
        ("__import__('os')", "calculator: only numbers, + - * / and parentheses"),
        ("1 / 0", "calculator: division by zero"),
        ("", "calculator: invalid syntax"),
        ("(1", "calculator: '(' was never closed: '(1'"),
        ("1" * 201, "calculator: 201 characters, at most 200"),
        ("1e200 * 1e200", "calculator: the result is too large"),
        ("(" * 100 + ")" * 100, "calculator: "),
    ],
)
def test_calculator(expression: str, text: str) -> None:
    result = calculator.call({"expression": expression})
    assert result.text.startswith(text)
    assert result.error == text.startswith("calculator:")


@given(st.text(max_size=220))
def test_calculator_survives_any_text(expression: str) -> None:
    assert isinstance(calculator.call({"expression": expression}), ToolResult)


@given(st.text(alphabet="0123456789.eE+-*/() \n", max_size=200))
def test_calculator_survives_any_readable_text(expression: str) -> None:
    assert isinstance(calculator.call({"expression": expression}), ToolResult)


@given(st.integers(0, 2**32))
def test_calculator_agrees_with_fractions(seed: int) -> None:
    rng = random.Random(seed)

    def grow(depth: int) -> tuple[str, Fraction]:
        if depth == 0:
            number = rng.randint(-9, 9)
            return str(number), Fraction(number)
        (a, x), (b, y), op = grow(depth - 1), grow(depth - 1), rng.choice("+-*")
        value = {"+": x + y, "-": x - y, "*": x * y}[op]
        return f"({a} {op} {b})", value

    text, value = grow(3)
    assert calculator.call({"expression": text}).text == str(value)
