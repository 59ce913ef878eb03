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
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

Status = Literal[
    "ok", "error", "exited", "killed", "closed", "timeout", "memory", "processes", "output"
]
"""`error`: an exception, or `sys.exit` of something. `exited`: the process ended itself, by
`os._exit`. `killed`: by a signal, its own or the kernel's. `closed`: the session had ended before.
The others: more than the limit."""

_GRACE_S = 0.7  # beyond a call's time, until a supervisor that does not answer is given up


class SandboxError(RuntimeError):
    """The sandbox cannot be had, or broke; not the agent's doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a program may use. Of one session, which is one call where calls are stateless."""

    seconds: float = 5.0
    """Wall-clock time of a call."""
    cpu_seconds: int = 60
    """Processor time of a process, all calls of a session together."""
    memory_mb: int = 512
    """Address space of a process over the interpreter's own, and memory of all together."""
    processes: int = 16
    """Processes and threads at a time."""
    disk_mb: int = 64
    """All files together, and each."""
    files: int = 1024
    """Files and folders."""
    open_files: int = 128
    """Of a process."""
    output_chars: int = 20_000
    """Of standard output, and of standard error; the rest is cut off."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ValueError(f"limit {name} must be positive, got {value}")


@dataclass(frozen=True, slots=True)
class Execution:
    """What running a piece of code came to."""

    status: Status
    stdout: str
    stderr: str
    """With the traceback, if there is one."""
    seconds: float
    exit_code: int = 0
    """128 + n for signal n."""

    @property
    def ok(self) -> bool:
        """Whether the code ran to its end without an exception."""
        return self.status == "ok"


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


class Channel(ABC):
    """The line to one supervisor."""

    @abstractmethod
    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message."""

    @abstractmethod
    def receive(self, timeout: float | None) -> dict[str, Any] | None:
        """The next message; None if there will be none, or not in time."""

    @abstractmethod
    def close(self) -> None:
        """Close the line, which ends the session. More than once does no harm."""


class Session:
    """An interpreter that keeps its variables from call to call. Made by `Sandbox.session`."""

    def __init__(self, channel: Channel, limits: Limits) -> None:
        self._channel, self._limits = channel, limits
        self._lock = threading.Lock()
        self.alive = True
        """False once a call has ended the interpreter, or `close` has."""

    def run(self, code: str, *, seconds: float | None = None) -> Execution:
        """Run code where the last call left off.

        Args:
            code: Python; the value of a last line that is an expression is printed.
            seconds: Another time limit than that of `Limits`.

        Raises:
            SandboxError: If the sandbox broke.
        """
        allowed = self._limits.seconds if seconds is None else seconds
        with self._lock:
            if not self.alive:
                return Execution("closed", "", "the session has ended", 0.0)
            start = time.monotonic()
            try:
                self._channel.send({"code": code, "seconds": allowed})
                answer = self._channel.receive(allowed + _GRACE_S)
            except OSError:
                answer = None
            if answer is None:
                self.close()
                took = time.monotonic() - start
                if took >= allowed:
                    return Execution("timeout", "", "", took)
                return Execution("killed", "", "the interpreter was killed", took)
            if "failed" in answer:
                self.close()
                raise SandboxError(f"no session could be started: {answer['failed']}")
            done = self._read(answer)
            if done.status not in ("ok", "error"):
                self.close()
            return done

    def _read(self, answer: Mapping[str, Any]) -> Execution:
        return Execution(
            answer["status"],
            self._cut(str(answer["stdout"])),
            self._cut(str(answer["stderr"])),
            float(answer["seconds"]),
            int(answer["exit_code"]),
        )

    def _cut(self, text: str) -> str:
        most = self._limits.output_chars
        return text if len(text) <= most else f"{text[:most]}\n[cut off after {most} characters]"

    def close(self) -> None:
        """End the interpreter and all it has started. More than once does no harm."""
        self.alive = False
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


class Sandbox(ABC):
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()
