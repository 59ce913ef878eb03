"""The processes of a session: found, ended and reaped."""

import os
import signal
from contextlib import suppress
from typing import NoReturn


def descendants(pid: int) -> list[int]:
    """All that a process has started, and what these have started. Orphans are its own where it
    adopts them."""
    found, queue = [], [pid]
    while queue:
        try:
            with open(f"/proc/{queue[0]}/task/{queue[0]}/children") as file:
                children = [int(word) for word in file.read().split()]
        except OSError:
            children = []
        queue = queue[1:] + children
        found += children
    return found


def kill_descendants() -> None:
    """Kill and collect all that this process has started, and what comes meanwhile."""
    while pids := descendants(os.getpid()):
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        _reap()


def kill_all_but_me() -> None:
    """As process 1: everything else there is."""
    while True:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return
        _reap()


def _reap() -> None:
    """Collect what has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def exit_with(pid: int) -> NoReturn:
    """Reap until the worker ends, then end with its exit code, and all others with this."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            os._exit(exit_code(status))


def exit_code(status: int) -> int:
    """Of what `os.wait` says of a process; 128 + n for signal n."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
