"""Starts sessions by forking: `main` is what a backend runs.

Standard input is a socket on which every message brings one descriptor, the session's channel. A
fork is ready in a millisecond; an interpreter takes twenty.
"""

import importlib
import os
import secrets
import signal
import socket
import sys

from ludus.tools.sandbox.inside.supervisor import Walls, supervise

_FIRST_UID, _UIDS = 0x40000000, 0x3FFFFFFF
"""Users that no system has: each session as root gets one, so that limits on a user's processes
are the session's own."""
_PRELOADED = (
    "collections", "datetime", "decimal", "fractions", "functools", "itertools", "json", "math",
    "re", "statistics", "string",
)  # fmt: skip


def main(walls: Walls) -> None:
    """Serve until the socket is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is the client's
    control = socket.socket(fileno=0)
    for name in _PRELOADED:
        importlib.import_module(name)
    uid = _FIRST_UID + secrets.randbelow(_UIDS)
    control.send(b"ready")
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(control, 1, 1)
        except ConnectionError:
            return
        if not data:
            return
        if not fds:
            continue
        uid = _FIRST_UID + (uid + 1 - _FIRST_UID) % _UIDS
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            supervise(fds[0], fds[0], walls, uid)
        os.close(fds[0])


def serve_standard_streams() -> None:
    """One session over standard input and output: what a container runs."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open("/dev/null", os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    supervise(requests, answers, "container", os.getuid())


if __name__ == "__main__":
    main(sys.argv[1])  # type: ignore[arg-type]
