"""What an agent may call: a typed function with a docstring, its JSON schema, and its results.

A mistake of the agent (no such argument, a wrong type, a `ToolError`) is data: a result it can
read and learn from. Any other exception means that the tool is broken, and is not caught here.
"""

import inspect
import re
import time
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ludus.tools.schema import JSONSchema, problem_with, schema_of


class ToolError(ValueError):
    """What the agent did wrong, in words it is told."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call gave."""

    text: str
    """Shown to the agent; of an error, what was wrong."""
    error: bool = False
    """Whether the call was the agent's mistake."""
    seconds: float = 0.0
    """Wall-clock time of the call."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that agents may call. Made by `@tool`."""

    name: str
    description: str
    parameters: JSONSchema
    """JSON schema of the arguments, an object."""
    function: Callable[..., object]

    def call(self, args: Mapping[str, Any]) -> ToolResult:
        """Call the function with arguments as they come out of JSON.

        Returns:
            `str` of what it returned; with `error`, what was wrong with the arguments.
        """
        start = time.perf_counter()
        try:
            if wrong := problem_with(self.parameters, args, "arguments"):
                raise ToolError(f"{self.name}: {wrong}")
            text, error = str(self.function(**args)), False
        except ToolError as mistake:
            text, error = str(mistake), True
        return ToolResult(text, error, time.perf_counter() - start)


def tool(function: Callable[..., object]) -> Tool:
    """Make a tool of a function: the signature becomes the schema, the docstring the description.

    Arguments may be str, int, float, bool, list[T], dict[str, T], Literal of strings, and any of
    these or None. Lines of a Google "Args:" section describe them one by one.

    Raises:
        TypeError: If an annotation or the docstring is missing, or there is no schema for a type.

    >>> @tool
    ... def repeat(word: str, times: int = 2) -> str:
    ...     '''Say a word several times.'''
    ...     return " ".join([word] * times)
    >>> repeat.call({"word": "hey"}).text
    'hey hey'
    >>> repeat.call({"word": "hey", "times": "2"}).text
    'repeat: times must be an integer, got "2"'
    """
    name = function.__name__
    summary, described = _read_docstring(inspect.getdoc(function) or "")
    if not summary:
        raise TypeError(f"tool {name} has no docstring, which is what agents are told of it")
    hints = typing.get_type_hints(function)
    properties: dict[str, JSONSchema] = {}
    required = []
    for argument, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"tool {name}: argument {argument!r} cannot be passed by name")
        if argument not in hints:
            raise TypeError(f"tool {name}: argument {argument!r} has no annotation")
        try:
            schema = schema_of(hints[argument])
        except TypeError as error:
            raise TypeError(f"tool {name}: argument {argument!r}: {error}") from None
        if argument in described:
            schema["description"] = described[argument]
        if parameter.default is parameter.empty:
            required.append(argument)
        else:
            schema["default"] = parameter.default
        properties[argument] = schema
    if "return" not in hints:
        raise TypeError(f"tool {name}: the return type has no annotation")
    parameters: JSONSchema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return Tool(name, summary, parameters, function)


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The text before the first section or doctest, and the description of each argument."""
    summary, *sections = re.split(r"^(Args:|Returns:|Raises:|Source:|>>> )", text, flags=re.M)
    described: dict[str, str] = {}
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title == "Args:":
            for name, words in re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", body, flags=re.M):
                described[name] = " ".join(words.split())
    return " ".join(summary.split()), described
