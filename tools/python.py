"""Python for agents: runs that know nothing of each other, and an interpreter that remembers.

Both run in a sandbox. The one that remembers is a "snapshot" tool: its memory is the code of the
calls so far, and interpreters are kept at hand by their memories. Whoever comes back to a memory
whose interpreter has moved on, a fork of an episode for one, gets a new one in which those calls
are run again. Python's `random` and its hashes start alike in each, so that this repeats them;
clocks and addresses do not repeat.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache

from ludus.tools.base import Tool, ToolResult, tool
from ludus.tools.sandbox import Execution, Limits, Sandbox, Session, open_sandbox

_KEPT = 64  # interpreters that wait for the next call of their episode

_STOPPED = {
    "timeout": "stopped: more than {seconds:g} s",
    "memory": "stopped: more than {memory_mb} MB of memory",
    "processes": "stopped: more than {processes} processes",
    "output": "stopped: far more than {output_chars} characters of output",
    "killed": "killed by signal {signal}",
    "exited": "the process ended itself with exit status {exit_code}",
    "closed": "the interpreter has ended",
}


def told(done: Execution, limits: Limits) -> str:
    """What an agent is told of an execution."""
    parts = [part.rstrip("\n") for part in (done.stdout, done.stderr) if part.strip()]
    if words := _STOPPED.get(done.status, ""):
        facts = {name: getattr(limits, name) for name in limits.__slots__}
        signal, code = max(0, done.exit_code - 128), done.exit_code
        parts.append(f"[{words.format(**facts, signal=signal, exit_code=code)}]")
    elif done.status == "error" and not done.stderr.strip():
        parts.append("[the program ended with an error]")
    return "\n".join(parts) or "[no output]"


def python_tool(sandbox: Sandbox | None = None, *, name: str = "python") -> Tool:
    """The stateless tool.

    Args:
        sandbox: Where code runs; by default one bubblewrap that all share, opened when first used.
        name: What agents call it.
    """

    @tool(name=name)
    def python(code: str) -> ToolResult:
        """Run a Python program and return what it prints, and the value of its last line if that
        is an expression. Each call starts afresh: nothing is kept between calls.

        Args:
            code: The program.
        """
        where = sandbox or shared_sandbox()
        done = where.run(code)
        return ToolResult(told(done, where.limits), error=not done.ok)

    return python


class _Kernels:
    """Interpreters by the calls they have run."""

    def __init__(self, sandbox: Sandbox | None) -> None:
        self._sandbox = sandbox
        self._live: OrderedDict[tuple[str, ...], Session] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, memory: Sequence[str], code: str) -> ToolResult:
        where = self._sandbox or shared_sandbox()
        past = tuple(memory)
        with self._lock:
            session = self._live.pop(past, None)
        if session is None or not session.alive:
            session = where.session()
            for cell in past:
                session.run(cell)
        done = session.run(code)
        text = told(done, where.limits)
        if not session.alive:
            if past:
                text += "\n[the interpreter starts anew: its variables are lost]"
            return ToolResult(text, error=True, memory=())
        now = (*past, code)
        with self._lock:
            ended = [self._live.pop(now, None)]
            self._live[now] = session
            while len(self._live) > _KEPT:
                ended.append(self._live.popitem(last=False)[1])
        for old in ended:
            if old is not None:
                old.close()
        return ToolResult(text, error=not done.ok, memory=now)


def kernel_tool(sandbox: Sandbox | None = None, *, name: str = "python") -> Tool:
    """The tool that remembers. Arguments as of `python_tool`."""
    kernels = _Kernels(sandbox)

    @tool(name=name, state="snapshot")
    def python(memory: Sequence[str] | None, code: str) -> ToolResult:
        """Run Python and return what it prints, and the value of its last line if that is an
        expression. Variables, functions and imports are kept between calls.

        Args:
            memory: The code of the calls so far.
            code: The program.
        """
        return kernels.run(memory or (), code)

    return python


@lru_cache(maxsize=1)
def shared_sandbox() -> Sandbox:
    """The bubblewrap that tools share when they are given none."""
    return open_sandbox("bubblewrap", warm=2)
