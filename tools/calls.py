"""How a call is written in a reply, and a result in the answer: four ways that models know.

`read(write(call)) == call`, whatever the arguments. What looks like a call but cannot be read is a
`BadCall`, with words for the agent. Only the first call of a reply counts, and none that a
`<think>` block contains: one call is one turn.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ludus.tools.base import Tool

_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as an agent meant it; the arguments are not checked yet."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)


class BadCall(ValueError):  # noqa: N818  # it is data for the agent, not an error of the program
    """What is wrong with what looks like a call, in words for the agent."""


@dataclass(frozen=True, slots=True)
class CallFormat:
    """One way to write calls."""

    explain: Callable[[Sequence[Tool]], str]
    """For the rules: which tools there are and how to call them."""
    find: Callable[[str, Sequence[Tool]], ToolCall | None]
    write: Callable[[ToolCall], str]
    show: Callable[[str], str]
    """A result's text, as the answer shows it."""
    stop: tuple[str, ...]
    """Where a model's reply ends if it calls."""

    def read(self, reply: str, tools: Sequence[Tool]) -> ToolCall | None:
        """The first call in a reply, outside its thoughts; None if there is none.

        Raises:
            BadCall: If what looks like one cannot be read.
        """
        return self.find(_THOUGHT.sub("", reply), tools)


def _between(opening: str, closing: str, reply: str) -> str | None:
    _, found, rest = reply.partition(opening)
    if not found:
        return None
    inside, found, _ = rest.partition(closing)
    if not found:
        raise BadCall(f"{opening} without {closing}")
    return inside


def _json_call(opening: str, closing: str, key: str) -> Callable[..., ToolCall | None]:
    def find(reply: str, tools: Sequence[Tool]) -> ToolCall | None:
        inside = _between(opening, closing, reply)
        if inside is None:
            return None
        try:
            said = json.loads(inside)
        except (ValueError, RecursionError) as error:
            raise BadCall(f"{opening} must hold JSON: {error}") from None
        if not isinstance(said, dict) or not isinstance(said.get("name"), str):
            raise BadCall(f'{opening} must hold {{"name": ..., "{key}": {{...}}}}')
        args = said.get(key, {})
        if isinstance(args, str):  # some models write the arguments as JSON in a string
            try:
                args = json.loads(args)
            except (ValueError, RecursionError):
                args = None
        if not isinstance(args, dict):
            raise BadCall(f'"{key}" must be an object of arguments by name')
        return ToolCall(said["name"], args)

    return find


def _write_json(opening: str, closing: str, key: str) -> Callable[[ToolCall], str]:
    def write(call: ToolCall) -> str:
        # A closing tag inside a text would end the call early.
        said = json.dumps({"name": call.name, key: dict(call.args)}).replace("</", "<\\/")
        return f"{opening}{said}{closing}"

    return write


def _signatures(tools: Sequence[Tool]) -> str:
    return "\n".join(
        json.dumps(
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
        )
        for tool in tools
    )


def _explain_hermes(tools: Sequence[Tool]) -> str:
    return (
        "# Tools\n\nYou may call one function a turn. You are provided with function signatures "
        f"within <tools></tools> XML tags:\n<tools>\n{_signatures(tools)}\n</tools>\n\n"
        "For a function call, return a json object with function name and arguments within "
        '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": '
        "<args-json-object>}\n</tool_call>"
    )


def _explain_json(tools: Sequence[Tool]) -> str:
    return (
        'You may call a tool, one a turn, by <tool>{"name": ..., "args": {...}}</tool>:\n'
        + _described(tools)
    )


def _described(tools: Sequence[Tool]) -> str:
    lines = []
    for tool in tools:
        args = ", ".join(tool.parameters["properties"])
        lines.append(f"- {tool.name}({args}): {tool.description}")
    return "\n".join(lines)


_FENCE = re.compile(r"```(\w+)[ \t]*\n(.*?)(?:\n)?```", re.DOTALL)


def text_argument(tool: Tool) -> str:
    """The argument that stands for itself where a format writes only one: the first text."""
    for name, schema in tool.parameters["properties"].items():
        if schema.get("type") == "string":
            return str(name)
    raise ValueError(f"tool {tool.name} has no text argument to be called with")


def _explain_fence(tools: Sequence[Tool]) -> str:
    names = " or ".join(f"```{tool.name}" for tool in tools)
    return f"You may call a tool, one a turn, by a fenced block {names}:\n{_described(tools)}"


def _find_fence(reply: str, tools: Sequence[Tool]) -> ToolCall | None:
    known = {tool.name: tool for tool in tools}
    for name, text in _FENCE.findall(reply):
        if name in known:
            return ToolCall(name, {text_argument(known[name]): text})
    if any(f"```{name}\n" in reply for name in known):
        raise BadCall("``` without an end ```")
    return None


def _only_text(call: ToolCall) -> str:
    if len(call.args) != 1 or not isinstance(text := next(iter(call.args.values())), str):
        raise ValueError(f"this call format writes one text argument, not {dict(call.args)}")
    return text


def _explain_tags(tools: Sequence[Tool]) -> str:
    tags = " or ".join(f"<{tool.name}>...</{tool.name}>" for tool in tools)
    return f"You may call a tool, one a turn, by {tags}:\n{_described(tools)}"


def _find_tags(reply: str, tools: Sequence[Tool]) -> ToolCall | None:
    places = [(reply.find(f"<{tool.name}>"), tool) for tool in tools]
    found = [place for place in places if place[0] >= 0]
    if not found:
        return None
    start, tool = min(found, key=lambda place: place[0])
    text = _between(f"<{tool.name}>", f"</{tool.name}>", reply[start:]) or ""
    return ToolCall(tool.name, {text_argument(tool): text.strip("\n")})


def _result(text: str) -> str:
    return f"<result>\n{_harmless(text, 'result')}\n</result>"


def _harmless(text: str, tag: str) -> str:
    """No result can end its own frame."""
    return text.replace(f"</{tag}>", f"<\\/{tag}>")


CALL_FORMATS: dict[str, CallFormat] = {
    "hermes": CallFormat(
        _explain_hermes,
        _json_call("<tool_call>", "</tool_call>", "arguments"),
        _write_json("<tool_call>\n", "\n</tool_call>", "arguments"),
        lambda text: f"<tool_response>\n{_harmless(text, 'tool_response')}\n</tool_response>",
        ("</tool_call>",),
    ),
    "json": CallFormat(
        _explain_json,
        _json_call("<tool>", "</tool>", "args"),
        _write_json("<tool>", "</tool>", "args"),
        _result,
        ("</tool>",),
    ),
    "fence": CallFormat(
        _explain_fence,
        _find_fence,
        lambda call: f"```{call.name}\n{_only_text(call)}\n```",
        lambda text: f"```output\n{text.replace('```', chr(96) * 2)}\n```",
        (),
    ),
    "tags": CallFormat(
        _explain_tags,
        _find_tags,
        lambda call: f"<{call.name}>{_only_text(call)}</{call.name}>",
        _result,
        ("</python>", "</search>"),
    ),
}
"""`hermes` is the function call of Qwen's and Hermes' chat templates, and shows results as those
do; `tags` is ARPO's and Search-R1's, with the tool's name for a tag."""
