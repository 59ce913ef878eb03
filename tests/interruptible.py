"""Servers that tests start and stop with Ctrl-C."""

import signal
import subprocess
import sys
from typing import Any


def ludus_server(*args: str, **pipes: Any) -> "subprocess.Popen[str]":
    """`ludus ARGS`, as a process that takes Ctrl-C even where its parent ignores it, as a shell's
    background does."""
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from ludus.cli import main; main()"
    )
    return subprocess.Popen([sys.executable, "-c", code, *args], text=True, **pipes)


def interrupted(server: "subprocess.Popen[str]") -> int:
    """Ctrl-C; the exit status. One that does not end is killed, and that is an error."""
    server.send_signal(signal.SIGINT)
    try:
        return server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        raise
