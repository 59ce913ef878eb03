"""Running an agent's Python code: one interface, whatever keeps the code in.

    with open_sandbox("bubblewrap") as sandbox:
        sandbox.run("print(2**100)").stdout        # '1267650600228229401496703205376\\n'
        with sandbox.session() as session:         # variables live from call to call
            session.run("x = 6")
            session.run("x * 7").stdout            # '42\\n'

What a program does wrong, or too much of, is a result. A `SandboxError` means that the sandbox
itself does not work here.
"""

import os
import threading
import weakref
from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ludus.tools.sandbox.execution import Execution, Limits, SandboxError
from ludus.tools.sandbox.session import Channel, Closing, Session


@dataclass(frozen=True, slots=True)
class Setup:
    """What is the same for every session of a sandbox."""

    limits: Limits = field(default_factory=Limits)
    paths: tuple[str, ...] = ()
    """Folders that programs may import from, read-only."""
    seed: int = 0
    """Of Python's global `random` at the start of a session, so that episodes repeat."""
    warm: int = 1
    """Sessions kept ready for the next stateless call."""


class Sandbox(Closing):
    """Runs code and starts sessions. Safe to use from many threads at once; closed, or
    collected, it leaves nothing behind.

    Args:
        limits: Of every session.
        paths: Folders that programs may import from, e.g. a `site-packages`; read-only.
        seed: Of Python's global `random` in every session.
        warm: Sessions kept ready, so that stateless calls need not wait for one to start.

    Raises:
        SandboxError: If it does not work on this machine, with the reason in one line.
    """

    NAME: str
    SHUTS_IN: bool
    """Whether code that means harm is kept in; if not, it is for trusted code only."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        paths: Sequence[str] = (),
        seed: int = 0,
        warm: int = 1,
    ) -> None:
        if warm < 0:
            raise ValueError(f"warm must be at least 0, got {warm}")
        self.setup = Setup(limits or Limits(), tuple(paths), seed, warm)
        self._spares: deque[Session] = deque()
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._starting = 0
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._closed = False

    @property
    def limits(self) -> Limits:
        """Of every session."""
        return self.setup.limits

    def run(self, code: str, *, seconds: float | None = None) -> Execution:
        """Run code in an interpreter of its own.

        Args:
            code: Python; the value of a last line that is an expression is printed.
            seconds: Another time limit than that of `limits`.

        Raises:
            SandboxError: If the sandbox broke.
        """
        with self._lock:
            self._after_fork()
            session = self._spares.popleft() if self._spares else None
        if session is None:
            session = self._start(kernel=False)
        try:
            return session.run(code, seconds=seconds)
        finally:
            session.close()
            self._refill()

    def session(self) -> Session:
        """Start an interpreter that keeps its variables from call to call."""
        with self._lock:
            self._after_fork()
        return self._start(kernel=True)

    def _start(self, *, kernel: bool) -> Session:
        if self._closed:
            raise SandboxError(f"the {self.NAME} sandbox is closed")
        channel = self._connect()
        channel.send(self._config(kernel))
        session = Session(channel, self.limits)
        with self._lock:
            self._sessions.add(session)
            if self._closed:  # meanwhile
                session.close()
        return session

    def _config(self, kernel: bool) -> dict[str, Any]:
        return {
            "kernel": kernel,
            "limits": asdict(self.limits),
            "paths": self._paths(),
            "seed": self.setup.seed,
            "home": self._home(),
            "environ": {"HOME": self._home(), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        }

    def _refill(self) -> None:
        """Start what is missing of warm sessions."""
        while True:
            with self._lock:
                if self._closed or len(self._spares) + self._starting >= self.setup.warm:
                    return
                self._starting += 1
            session = None
            try:
                session = self._start(kernel=False)
            except (SandboxError, OSError):
                return  # the next call will say it
            finally:
                with self._lock:
                    self._starting -= 1
                    if session is not None and not self._closed:
                        self._spares.append(session)

    def _after_fork(self) -> None:
        """In a fork of the process that made it, leave its sessions to that one."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._spares.clear()
            self._sessions.clear()
            self._reopen()

    @abstractmethod
    def _connect(self) -> Channel:
        """The line to a new supervisor, to which the configuration is sent first."""

    @abstractmethod
    def _reopen(self) -> None:
        """Start anew what serves sessions."""

    def _home(self) -> str:
        return "/tmp"

    def _paths(self) -> list[str]:
        """Where programs find the folders to import from."""
        return [os.path.realpath(path) for path in self.setup.paths]

    def close(self) -> None:
        """End every session and the server. More than once does no harm."""
        with self._lock:
            self._closed = True
            for session in list(self._sessions):
                session.close()
            self._spares.clear()
