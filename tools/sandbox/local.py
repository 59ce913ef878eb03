"""Backends with a server process on this machine that forks a supervisor for each session."""

import os
import select
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ludus.tools.sandbox.base import Sandbox
from ludus.tools.sandbox.execution import SandboxError
from ludus.tools.sandbox.inside import frames
from ludus.tools.sandbox.session import Channel

INSIDE = Path(__file__).resolve().parent / "inside"
WHERE = "ludus/tools/sandbox/inside"
"""Where the interpreter finds `INSIDE`, under a folder of `sys.path`."""
_READY_S = 10.0


def program(root: str, walls: str) -> list[str]:
    """Arguments for an interpreter that serves sessions."""
    start = (
        f"import sys; sys.path.insert(0, {root!r}); "
        f"from ludus.tools.sandbox.inside.server import main; main({walls!r})"
    )
    return ["-S", "-s", "-P", "-B", "-c", start]


class SocketChannel(Channel):
    """A line over a socket."""

    def __init__(self, own: socket.socket) -> None:
        self._socket = own
        # A session that nobody holds any more, a kernel of a dropped episode say, ends as well.
        self._end = weakref.finalize(self, own.close)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message."""
        self._socket.sendall(frames.pack(dict(message)))

    def receive(self, timeout: float | None) -> dict[str, Any] | None:
        """The next message; None if there will be none, or not in time."""
        deadline = None if timeout is None else time.monotonic() + timeout
        data = bytearray()
        size = 4
        while len(data) < size:
            if deadline is not None:
                ready = select.poll()
                ready.register(self._socket, select.POLLIN)
                if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    return None
            part = self._socket.recv(min(2**20, size - len(data)))
            if not part:
                return None
            data += part
            if len(data) == 4 == size:
                size += int.from_bytes(data, "big")
                if size > frames.MAX_BYTES:
                    return None
        return frames.unpack(bytes(data[4:]))

    def close(self) -> None:
        """Close the line, which ends the session."""
        self._end()


class LocalSandbox(Sandbox):
    """A sandbox whose server is a child of this process."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._reopen()
        self._refill()

    @abstractmethod
    def _command(self, python: Sequence[str]) -> list[str]:
        """The command that starts the interpreter with these arguments."""

    @abstractmethod
    def _arguments(self) -> list[str]:
        """Of the interpreter."""

    def _reopen(self) -> None:
        """Start a server."""
        self._stop()
        try:
            python = os.path.realpath(sys.executable)
            self._start_server(self._command([python, *self._arguments()]))
        except BaseException:
            self._stop()
            raise

    def _start_server(self, command: Sequence[str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, tempfile.TemporaryFile() as said:
            try:
                self._server = subprocess.Popen(
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    cwd="/",
                    env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"},
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise SandboxError(f"{self.NAME}: {error}") from error
            self._control = ours
            theirs.close()
            ready = select.poll()
            ready.register(ours, select.POLLIN)
            if not ready.poll(_READY_S * 1000) or ours.recv(16) != b"ready":
                said.seek(0)
                lines = said.read(4000).decode(errors="replace").strip().splitlines()
                raise SandboxError(f"{self.NAME}: {lines[-1] if lines else 'does not start'}")

    def _connect(self) -> Channel:
        for attempt in (1, 2):
            ours, theirs = socket.socketpair()
            with theirs, self._lock:
                try:
                    if self._control is None:
                        raise BrokenPipeError
                    socket.send_fds(self._control, [b"+"], [theirs.fileno()])
                except OSError as error:
                    ours.close()
                    if attempt == 2:
                        raise SandboxError(f"{self.NAME}: the server has died") from error
                    self._reopen()  # somebody has killed it
                    continue
            return SocketChannel(ours)
        raise AssertionError

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()  # the server ends by itself
            self._control = None
        server, self._server = self._server, None
        if server is not None and self._pid == os.getpid():
            try:
                server.wait(1.0)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def close(self) -> None:
        """End every session and the server."""
        super().close()
        with self._lock:
            self._stop()
