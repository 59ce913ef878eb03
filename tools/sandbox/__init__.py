"""Where an agent's code runs: `open_sandbox()` picks the best that this machine has."""

from typing import Any

from ludus.tools.sandbox.base import Sandbox
from ludus.tools.sandbox.execution import Execution, Limits, SandboxError
from ludus.tools.sandbox.session import Session

__all__ = [
    "BACKENDS", "Execution", "Limits", "Sandbox", "SandboxError", "Session", "open_sandbox",
]  # fmt: skip

BACKENDS = ("bubblewrap", "docker", "subprocess")


def open_sandbox(backend: str = "bubblewrap", **options: Any) -> Sandbox:
    """Open a sandbox.

    Args:
        backend: "bubblewrap" or "docker", which keep hostile code in, or "subprocess", which is for
            trusted code only. There is no falling back to a weaker one.
        **options: As `Sandbox` takes them.

    Raises:
        SandboxError: If it does not work on this machine.
        ValueError: If there is no such backend.
    """
    if backend == "bubblewrap":
        from ludus.tools.sandbox.bubblewrap import BubblewrapSandbox

        return BubblewrapSandbox(**options)
    if backend == "subprocess":
        from ludus.tools.sandbox.plain import SubprocessSandbox

        return SubprocessSandbox(**options)
    if backend == "docker":
        from ludus.tools.sandbox.docker import DockerSandbox

        return DockerSandbox(**options)
    raise ValueError(f"unknown backend {backend!r}, allowed: {', '.join(BACKENDS)}")
