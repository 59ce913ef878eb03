"""Our tools as an MCP server, through the official package. Needs the extra `mcp`."""

import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import anyio
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from ludus import __version__
from ludus.tools.base import Tool


def tools_server(tools: Sequence[Tool]) -> Server[Any]:
    """A server of tools. Calls run in threads; an agent's mistake is a result with `is_error`.

    A "snapshot" tool keeps its memory from call to call, so its server is for one client.

    Raises:
        ValueError: If two tools have one name.
    """
    by_name = {tool.name: tool for tool in tools}
    if len(by_name) != len(tools):
        raise ValueError(f"two tools have one name: {', '.join(tool.name for tool in tools)}")
    memories: dict[str, Any] = {}

    async def list_tools(context: Any, asked: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(tool) for tool in tools])

    async def call_tool(context: Any, asked: types.CallToolRequestParams) -> types.CallToolResult:
        tool = by_name.get(asked.name)
        if tool is None:
            return _result(f"no tool {asked.name!r}, there are: {', '.join(by_name)}", error=True)
        call = partial(tool.call, asked.arguments or {}, memories.get(tool.name))
        result = await anyio.to_thread.run_sync(call)
        if tool.state == "snapshot":
            memories[tool.name] = result.memory
        return _result(result.text, error=result.error)

    return Server("ludus", version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


def _described(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.parameters,
        annotations=types.ToolAnnotations(read_only_hint=tool.state == "stateless"),
    )


def _result(text: str, *, error: bool) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=error)


def serve_stdio(tools: Sequence[Tool]) -> None:
    """Serve one client over standard input and output, until it closes them."""
    server = tools_server(tools)

    async def run() -> None:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(run)


def serve_http(
    tools: Sequence[Tool], *, host: str, port: int, started: Callable[[str], None]
) -> None:
    """Serve any number of clients at /mcp (streamable HTTP), until interrupted.

    Args:
        tools: None of them "snapshot": clients would share its memory.
        host: Where it listens.
        port: The same; 0 takes a free one.
        started: Is told the address.

    Raises:
        ValueError: If a tool is "snapshot", or the address cannot be had.
    """
    import uvicorn

    if kept := [tool.name for tool in tools if tool.state == "snapshot"]:
        raise ValueError(f"{kept[0]} remembers: serve it to one client, without --port")
    app = tools_server(tools).streamable_http_app(host=host)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(128)  # who is told the address may come at once
        except OSError as error:
            raise ValueError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        started(f"http://{host}:{listening.getsockname()[1]}/mcp")
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
