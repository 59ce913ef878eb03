"""Tools of MCP servers as ours, through the official client. Needs the extra `mcp`.

    with MCPTools("python my_server.py") as server:
        env = with_tools("ludus/GuessNumber-v1", tools=[...])  # or by name: "mcp:COMMAND#NAME"

A server is a command, which is started here and ended with the connection, or the address of one
that listens (streamable HTTP). Source: modelcontextprotocol.io.
"""

import asyncio
import atexit
import concurrent.futures
import shlex
import threading
from collections.abc import Coroutine, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, Self, TypeVar

from ludus.tools.base import State, Tool, ToolError, ToolResult

START_SECONDS, END_SECONDS = 30.0, 15.0
"""The client itself gives a server's process about 5 s to end before it kills it."""
Result = TypeVar("Result")


class MCPTools:
    """A connection to a server. Close it, or use it in a `with`; it is closed at exit as well.

    Args:
        server: A command with its arguments, or an address that begins with http.
        seconds: Time limit of a call.

    Raises:
        ValueError: If the server cannot be started or reached, in one line.
        ModuleNotFoundError: If `mcp` is not installed.
    """

    def __init__(self, server: str, *, seconds: float = 30.0) -> None:
        import mcp  # noqa: F401  # tell of a missing extra before anything is started

        self.server, self.seconds = server, seconds
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name=f"mcp {server}", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        try:
            self._client = self._ready.result(START_SECONDS)
            listed = self._ask(self._client.list_tools(), START_SECONDS)
        except Exception as error:  # a command, a network, somebody else's program
            self.close()
            reason = "no answer" if isinstance(error, TimeoutError) else _first(error)
            raise ValueError(f"MCP server {server!r}: {reason}") from None
        self.tools = {found.name: self._tool(found) for found in listed.tools}
        """By name. A tool that its server calls read-only is stateless; of others nobody knows what
        a call leaves behind, so they forbid forks."""

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # handed to whoever waits for the connection
            if not self._ready.done():
                self._ready.set_exception(error)
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self) -> None:
        from mcp import Client, StdioServerParameters

        target: Any = self.server
        if not self.server.startswith(("http://", "https://")):
            command, *args = shlex.split(self.server)
            target = StdioServerParameters(command=command, args=args)
        async with Client(target) as client:
            self._ready.set_result(client)
            await self._stop.wait()

    def _ask(self, what: Coroutine[Any, Any, Result], seconds: float) -> Result:
        if self._loop.is_closed() or not self._thread.is_alive():
            what.close()
            raise ConnectionError("the connection is closed")
        asked = asyncio.run_coroutine_threadsafe(asyncio.wait_for(what, seconds), self._loop)
        return asked.result(seconds + 5)

    def _tool(self, found: Any) -> Tool:
        def call(**args: Any) -> ToolResult:
            return self._call(found.name, args)

        readonly = found.annotations is not None and found.annotations.read_only_hint
        state: State = "stateless" if readonly else "exclusive"
        told = " ".join((found.description or found.title or found.name).split())
        return Tool(found.name, told, dict(found.input_schema), call, state)

    def _call(self, name: str, args: Mapping[str, Any]) -> ToolResult:
        from mcp import MCPError

        try:
            answer = self._ask(self._client.call_tool(name, dict(args)), self.seconds)
        except TimeoutError:
            raise ToolError(f"{name}: no answer in {self.seconds:g} s") from None
        except MCPError as error:
            if not self._answers():
                raise ConnectionError(f"MCP server {self.server!r} is gone: {error}") from None
            raise ToolError(f"{name}: {error}") from None
        text = "\n".join(getattr(part, "text", f"[{part.type}]") for part in answer.content)
        return ToolResult(text, error=bool(answer.is_error))

    def _answers(self) -> bool:
        """Whether the server is there; an error may be the agent's or the server's end."""
        try:
            self._ask(self._client.list_tools(), 5.0)
        except Exception:
            return False
        return True

    def close(self) -> None:
        """End the connection, and the server's process if it was started here."""
        atexit.unregister(self.close)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            if not self._ready.done():  # still starting: give up on it
                self._loop.call_soon_threadsafe(self._cancel)
            self._thread.join(END_SECONDS)

    def _cancel(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _first(error: BaseException) -> str:
    """What went wrong, out of the groups that it is wrapped in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(str(error).split()) or type(error).__name__


@lru_cache(maxsize=8)
def _connected(server: str) -> MCPTools:
    return MCPTools(server)


def tool_of(spec: str) -> Tool:
    """A tool by "COMMAND#NAME" or "URL#NAME"; a server is started once for all of its tools, and
    ends with the process.

    Raises:
        ValueError: If there is no such server, or it has no such tool.
    """
    server, mark, name = spec.rpartition("#")
    if not mark or not server or not name:
        raise ValueError(f"an MCP tool is mcp:SERVER#NAME, got 'mcp:{spec}'")
    tools = _connected(server).tools
    if name not in tools:
        raise ValueError(f"MCP server {server!r} has no tool {name!r}: {', '.join(tools)}")
    return tools[name]
