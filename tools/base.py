"""What an agent may call: a typed function with a docstring, its JSON schema, and its results.

A mistake of the agent (no such argument, a wrong type, a `ToolError`) is data: a result it can
read and learn from. Any other exception means that the tool is broken, and is not caught here.
"""

import inspect
import re
import threading
import time
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, overload

from ludus.tools.schema import JSONSchema, problem_with, schema_of

State = Literal["stateless", "snapshot", "exclusive"]
"""What a call leaves behind: nothing; a memory that is plain data, so that episodes can be forked;
or something that cannot be copied, which forbids forks."""

MAX_CHARS = 8_000


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
    memory: Any = None
    """Of a "snapshot" tool: what to give the next call of the same episode."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that agents may call. Made by `@tool`."""

    name: str
    description: str
    parameters: JSONSchema
    """JSON schema of the arguments, an object."""
    function: Callable[..., object]
    state: State = "stateless"
    """A "snapshot" function takes its memory as first argument, None at first, and returns a
    `ToolResult` with the next."""
    max_chars: int = MAX_CHARS
    """Of the result; the rest is cut off."""
    seconds: float | None = None
    """Time limit of a call, kept by a thread. A function that keeps its own needs none."""

    def problem(self, args: Mapping[str, Any]) -> str:
        """What is wrong with arguments as they come out of JSON; "" if nothing is."""
        wrong = problem_with(self.parameters, args, "arguments")
        return f"{self.name}: {wrong}" if wrong else ""

    def call(self, args: Mapping[str, Any], memory: Any = None) -> ToolResult:
        """Call the function with arguments as they come out of JSON.

        Args:
            args: By name.
            memory: Of a "snapshot" tool: what the episode's last result has as `memory`.

        Returns:
            `str` of what it returned; with `error`, what was wrong with the arguments.
        """
        start = time.perf_counter()
        given = (memory,) if self.state == "snapshot" else ()
        try:
            if wrong := self.problem(args):
                raise ToolError(wrong)
            value = self._in_time(given, args)
            result = value if isinstance(value, ToolResult) else ToolResult(str(value))
        except ToolError as mistake:
            result = ToolResult(str(mistake), error=True, memory=memory)
        text = result.text
        if len(text) > self.max_chars:
            text = f"{text[: self.max_chars]}\n[cut off after {self.max_chars} characters]"
        return replace(result, text=text, seconds=time.perf_counter() - start)

    def _in_time(self, given: tuple[Any, ...], args: Mapping[str, Any]) -> object:
        if self.seconds is None:
            return self.function(*given, **args)
        got: list[object] = []
        raised: list[BaseException] = []

        def work() -> None:
            try:
                got.append(self.function(*given, **args))
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(self.seconds)
        if raised:
            raise raised[0]
        if not got:
            raise ToolError(f"{self.name}: no answer in {self.seconds:g} s")
        return got[0]


@overload
def tool(function: Callable[..., object], /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    state: State = "stateless",
    max_chars: int = MAX_CHARS,
    seconds: float | None = None,
) -> Callable[[Callable[..., object]], Tool]: ...


def tool(
    function: Callable[..., object] | None = None, /, **options: Any
) -> Tool | Callable[[Callable[..., object]], Tool]:
    """Make a tool of a function: the signature becomes the schema, the docstring the description.

    Arguments may be str, int, float, bool, list[T], dict[str, T], Literal of strings, and any of
    these or None. Lines of a Google "Args:" section describe them one by one. The first argument
    of a "snapshot" tool is its memory, which agents know nothing of.

    Args:
        function: What to call.
        **options: As fields of `Tool`: name, state, max_chars, seconds.

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
    if function is None:
        return lambda function: _tool(function, **options)
    return _tool(function)


def _tool(
    function: Callable[..., object],
    *,
    name: str | None = None,
    state: State = "stateless",
    max_chars: int = MAX_CHARS,
    seconds: float | None = None,
) -> Tool:
    name = name or function.__name__
    summary, described = _read_docstring(inspect.getdoc(function) or "")
    if not summary:
        raise TypeError(f"tool {name} has no docstring, which is what agents are told of it")
    hints = typing.get_type_hints(function)
    properties: dict[str, JSONSchema] = {}
    required = []
    arguments = list(inspect.signature(function).parameters.items())
    for argument, parameter in arguments[1:] if state == "snapshot" else arguments:
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
    return Tool(name, summary, parameters, function, state, max_chars, seconds)


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The text before the first section or doctest, and the description of each argument."""
    summary, *sections = re.split(r"^(Args:|Returns:|Raises:|Source:|>>> )", text, flags=re.M)
    described: dict[str, str] = {}
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title == "Args:":
            for name, words in re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", body, flags=re.M):
                described[name] = " ".join(words.split())
    return " ".join(summary.split()), described
