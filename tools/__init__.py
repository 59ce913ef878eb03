"""What an agent may call."""

from functools import lru_cache

from ludus.tools.base import Tool, ToolError, ToolResult, tool
from ludus.tools.calculator import calculator
from ludus.tools.python import kernel_tool, python_tool

__all__ = ["TOOLS", "Tool", "ToolError", "ToolResult", "find_tool", "tool"]

TOOLS: dict[str, Tool] = {
    calculator.name: calculator,
    "python": python_tool(),
    "kernel": kernel_tool(name="kernel"),
}
"""By name, as configurations write them. `python` and `kernel` run in a bubblewrap sandbox that
is opened by their first call."""


def find_tool(name: str) -> Tool:
    """A tool by its name in `TOOLS`, as "search:FILE" or "open:FILE" over a corpus, or as
    "search:URL" by a server, see `ludus.tools.retriever`, or as
    "mcp:COMMAND#NAME" or "mcp:URL#NAME" of an MCP server, see `ludus.tools.mcp_client`.

    Raises:
        ValueError: If there is none.
    """
    kind, colon, path = name.partition(":")
    if kind == "search" and path.startswith(("http://", "https://")):
        from ludus.tools.retriever import retriever_tool

        return retriever_tool(path)
    if colon and kind == "mcp":
        from ludus.tools.mcp_client import tool_of

        return tool_of(path)
    if colon and kind in ("search", "open"):
        return _corpus_tools(path)[kind]
    if name not in TOOLS:
        raise ValueError(
            f"unknown tool {name!r}, known: {', '.join(TOOLS)}, search:FILE or URL, open:FILE, "
            "mcp:SERVER#NAME"
        )
    return TOOLS[name]


@lru_cache(maxsize=8)
def _corpus_tools(path: str) -> dict[str, Tool]:
    from ludus.tools.search import Index, search_tools

    return {found.name: found for found in search_tools(Index.open(path))}
