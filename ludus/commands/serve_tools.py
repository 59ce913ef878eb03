"""`ludus serve-tools`: tools to MCP clients."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tyro.conf import Positional

from ludus.cli import parse
from ludus.tools import find_tool


@dataclass(frozen=True)
class ServeToolsOptions:
    """Serve tools to an MCP client over standard input and output, or to many over HTTP."""

    tools: Positional[tuple[str, ...]]
    """Such as calculator, python, kernel, search:FILE, open:FILE."""
    port: int | None = None
    """To listen on at /mcp; 0 takes a free one. Without it: standard input and output."""
    host: str = "127.0.0.1"
    """To listen on. There is no password: others than loopback are open to whoever reaches them."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    options = parse(ServeToolsOptions, args, "serve-tools")
    if not options.tools:
        raise ValueError("name the tools to serve, such as calculator or search:FILE")
    tools = [find_tool(name) for name in options.tools]
    from ludus.tools.mcp_server import serve_http, serve_stdio

    if options.port is None:
        serve_stdio(tools)
        return 0
    names = ", ".join(tool.name for tool in tools)
    serve_http(
        tools,
        host=options.host,
        port=options.port,
        started=lambda at: print(f"{names} at {at}; Ctrl-C stops", file=sys.stderr, flush=True),
    )
    return 0
