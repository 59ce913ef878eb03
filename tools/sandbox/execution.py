"""Running a program in a sandbox: what it may use, and what comes of it."""

from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal[
    "ok", "error", "exited", "killed", "closed", "timeout", "memory", "processes", "output"
]
"""`error`: an exception, or `sys.exit` of something. `exited`: the process ended itself, by
`os._exit`. `killed`: by a signal, its own or the kernel's. `closed`: the session had ended before.
The others: more than the limit."""


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
