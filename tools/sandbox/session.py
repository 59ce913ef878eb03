"""An interpreter in a sandbox, and the line to the supervisor that runs it."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from ludus.tools.sandbox.execution import Execution, Limits, SandboxError

_GRACE_S = 0.7  # beyond a call's time, until a supervisor that does not answer is given up


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


class Closing(ABC):
    """What is closed at the end of a `with`, or when it is collected."""

    @abstractmethod
    def close(self) -> None:
        """Close it. More than once does no harm."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


class Session(Closing):
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
