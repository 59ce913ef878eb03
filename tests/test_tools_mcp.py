"""MCP, both ways, with the official package at the other end."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")

import mcp

from ludus.envs.toolenv import with_tools
from ludus.tools import find_tool
from ludus.tools.calls import ToolCall
from ludus.tools.mcp_client import MCPTools
from ludus.tools.mcp_server import serve_http, tools_server

sys.path.insert(0, str(Path(__file__).parent))
from interruptible import interrupted, ludus_server

SERVER = '''
import os, sys, time
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

server = MCPServer("theirs")

@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int = 1) -> int:
    """Add   two numbers."""
    return a + b

@server.tool()
def number(of: list[dict[str, int | None]]) -> str:
    """How many."""
    return str(len(of))

@server.tool()
def sleep(seconds: float) -> str:
    """Sleep."""
    time.sleep(seconds)
    return "slept"

@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("on purpose")

@server.tool()
def pid() -> str:
    """Process."""
    return str(os.getpid())

@server.tool()
def leave() -> str:
    """End."""
    os._exit(3)

server.run()
'''


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("mcp") / "server.py"
    path.write_text(SERVER)
    return f"{sys.executable} {path}"


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_their_tools_are_ours(command: str) -> None:
    with MCPTools(command, seconds=20) as server:
        add = server.tools["add"]
        assert add.description == "Add two numbers."
        assert add.state == "stateless"
        assert server.tools["pid"].state == "exclusive"
        result = add.call({"a": 2})
        assert (result.text, result.error) == ("3", False)
        assert add.call({"a": "x"}).text == 'add: a must be an integer, got "x"'
        assert add.call({}).text == "add: missing argument a"
        assert server.tools["number"].call({"of": [{"x": 1}, {"y": None}]}).text == "2"
        wrong = server.tools["number"].call({"of": [{"x": "no"}]})
        assert wrong.error  # their schema has what ours does not: the server itself judges
        failed = server.tools["fail"].call({})
        assert failed.error
        assert "fail" in failed.text  # their package tells no more
        pid = int(server.tools["pid"].call({}).text)
    assert gone(pid)


def test_slow_calls_are_given_up(command: str) -> None:
    with MCPTools(command, seconds=0.5) as server:
        pid = int(server.tools["pid"].call({}).text)
        start = time.monotonic()
        result = server.tools["sleep"].call({"seconds": 60.0})
        assert time.monotonic() - start < 3
        assert (result.text, result.error) == ("sleep: no answer in 0.5 s", True)
    assert gone(pid)


def test_a_server_that_ends_is_no_agents_mistake(command: str) -> None:
    with MCPTools(command, seconds=10) as server:
        with pytest.raises(ConnectionError):
            server.tools["leave"].call({})
        with pytest.raises(ConnectionError):
            server.tools["add"].call({"a": 1})
    with pytest.raises(ConnectionError, match="closed"):
        server.tools["add"].call({"a": 1})


def test_servers_that_are_none() -> None:
    for server in ("no-such-program-here", f"{sys.executable} -c 'pass'", "http://127.0.0.1:9/mcp"):
        with pytest.raises(ValueError, match="MCP server") as told:
            MCPTools(server)
        assert "\n" not in str(told.value)
    with pytest.raises(ValueError, match="mcp:SERVER#NAME"):
        find_tool("mcp:python")


def test_in_an_environment_by_name(command: str) -> None:
    env = with_tools("ludus/GuessNumber-v1", tools=[f"mcp:{command}#add"], call_format="json")
    env.reset(seed=0)
    obs, *_, info = env.step(env.call_format.write(ToolCall("add", {"a": 20, "b": 22})))
    assert "42" in obs
    assert info["tool_call"]["error"] is False
    (twin,) = env.fork()
    assert twin.state_hash() == env.state_hash()
    with pytest.raises(ValueError, match="has no tool 'sub': add, number"):
        find_tool(f"mcp:{command}#sub")
    bound = with_tools("ludus/GuessNumber-v1", tools=[f"mcp:{command}#pid"])
    with pytest.raises(ValueError, match="cannot be forked"):
        bound.fork()


# ---- our tools to their client ------------------------------------------------------------------


def asked(target: Any) -> list[Any]:
    """What their client gets of our calculator."""

    async def ask() -> list[Any]:
        async with mcp.Client(target, read_timeout_seconds=30) as client:
            listed = await client.list_tools()
            good = await client.call_tool("calculator", {"expression": "6 * 7"})
            bad = await client.call_tool("calculator", {"expression": "import os"})
            none = await client.call_tool("perl", {})
            return [listed.tools, good, bad, none]

    return asyncio.run(ask())


def check(answers: list[Any]) -> None:
    (tool,), good, bad, none = answers
    ours = find_tool("calculator")
    assert (tool.name, tool.description) == ("calculator", ours.description)
    assert tool.input_schema == ours.parameters
    assert tool.annotations.read_only_hint is True
    assert (good.content[0].text, bool(good.is_error)) == ("42", False)
    assert bad.is_error
    assert bad.content[0].text == ours.call({"expression": "import os"}).text
    assert none.is_error
    assert "calculator" in none.content[0].text


def test_their_client_in_the_process() -> None:
    check(asked(tools_server([find_tool("calculator")])))


def test_their_client_over_stdio() -> None:
    args = ["-m", "ludus.cli", "serve-tools", "calculator"]
    target = mcp.StdioServerParameters(
        command=sys.executable, args=args, env={"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    check(asked(target))


@pytest.fixture
def served() -> Iterator[str]:
    args = ("serve-tools", "calculator", "--port", "0")
    with ludus_server(*args, stderr=subprocess.PIPE) as server:
        try:
            assert server.stderr is not None
            line = server.stderr.readline()
            assert line.startswith("calculator at http://127.0.0.1:"), line
            yield line.split()[2].rstrip(";")
        finally:
            interrupted(server)


def test_both_clients_over_http(served: str) -> None:
    check(asked(served))
    with MCPTools(served, seconds=10) as server:
        assert server.tools["calculator"].call({"expression": "1 / 4"}).text == "0.25"


def test_memories_are_for_one_client() -> None:
    kernel = find_tool("kernel")
    with pytest.raises(ValueError, match="kernel remembers"):
        serve_http([kernel], host="127.0.0.1", port=0, started=print)
    with pytest.raises(ValueError, match="one name"):
        tools_server([kernel, kernel])


def test_the_command_names_what_it_takes(tmp_path: Path) -> None:
    from ludus.commands.serve_tools import main

    with pytest.raises(ValueError, match="name the tools"):
        main([])
    with pytest.raises(ValueError, match="unknown tool 'perl'"):
        main(["perl"])
