"""One session: starts a worker, shut in or not, hands it code, and tells how that went.

The supervisor is the part that limits: it lives outside the worker's namespaces, keeps the clock,
counts memory and output, and ends every process of the session when the session ends, which is
when the other side of its channel is closed.
"""

import os
import select
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, NoReturn

from ludus.tools.sandbox.inside import confine, frames, processes
from ludus.tools.sandbox.inside.worker import work

Walls = Literal["namespaces", "container", "none"]
"""How workers are shut in: by namespaces of their own; by the container that all of this is in;
not at all."""

_LOOK_S = 0.02  # how often memory and processes are counted
_DRAIN = 16 * 2**20  # bytes beyond the output limit that are read and forgotten before the end
_PAGE = os.sysconf("SC_PAGE_SIZE")


def supervise(channel: int, answers: int, walls: Walls, uid: int) -> NoReturn:
    """Serve a session until it ends.

    Args:
        channel: Where the configuration and the requests come from.
        answers: Where results go; the same descriptor for a socket.
        walls: See `Walls`.
        uid: User for workers, where this is root and walls are namespaces.
    """
    session = None
    try:
        if walls != "container":
            confine.die_with_parent()
        config = frames.receive(channel)
        if config is not None:
            session = _Session(config, walls, uid, channel)
            while (request := frames.receive(channel)) is not None:
                answer = session.answer(request)
                if answer is None:
                    break
                frames.send(answers, answer)
                if session.over or not config["kernel"]:
                    break
    except OSError as error:
        with suppress(OSError):  # nobody may be left to hear it
            frames.send(answers, {"failed": str(error)})
    finally:
        try:
            if session is not None:
                session.end()
        finally:
            os._exit(0)


class _Session:
    def __init__(self, config: dict[str, Any], walls: Walls, uid: int, channel: int) -> None:
        self.limits: Mapping[str, Any] = config["limits"]
        self.walls, self.channel = walls, channel
        self.over = False
        self._ended = False
        ours_out, out = os.pipe()
        ours_err, err = os.pipe()
        requests, ours_requests = os.pipe()
        ours_replies, replies = os.pipe()
        self._uid = uid
        if walls == "namespaces":
            confine.new_namespaces()
        elif walls == "none":
            confine.adopt_orphans()
        confine.hide_from_children()
        started, say_started = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for fd in (ours_out, ours_err, ours_requests, ours_replies, started):
                os.close(fd)
            _child(config, walls, uid, (out, err, requests, replies), say_started)
        for fd in (out, err, requests, replies, say_started):
            os.close(fd)
        problem = os.read(started, 500)  # ends when the worker is shut in
        os.close(started)
        if walls == "namespaces" and os.geteuid() == 0:
            confine.become(uid)  # all that is left to do is to signal a process of this user
            confine.die_with_parent()  # a change of user has undone it
        if problem:
            raise OSError(problem.decode(errors="replace"))
        self.out, self.err = ours_out, ours_err
        self.requests, self.replies = ours_requests, ours_replies
        for fd in (self.out, self.err, self.requests, self.replies):
            os.set_blocking(fd, False)
        self.pidfd = os.pidfd_open(self.pid)

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Run code; what came of it, or None if nobody waits for it any more."""
        start = time.monotonic()
        deadline = start + float(request["seconds"])
        pending = memoryview(frames.pack({"code": request["code"]}))
        texts: dict[int, bytearray] = {self.out: bytearray(), self.err: bytearray()}
        room, drained, status, replied = int(self.limits["output_chars"]) * 4, 0, "", b""
        poller = select.poll()
        for fd in (self.out, self.err, self.replies, self.pidfd):
            poller.register(fd, select.POLLIN)
        poller.register(self.requests, select.POLLOUT)
        poller.register(self.channel, select.POLLIN)
        look = start + _LOOK_S
        while not status:
            now = time.monotonic()
            wait = max(0.0, min(deadline, look) - now)
            for fd, _ in poller.poll(wait * 1000 + 0.5):
                if fd in texts:
                    data = _read(fd)
                    if not data:
                        poller.unregister(fd)
                    texts[fd] += data[: max(0, room - len(texts[fd]))]
                    drained += len(data)
                elif fd == self.requests:
                    pending = pending[_write(fd, pending) :]
                    if not pending:
                        poller.unregister(fd)
                elif fd == self.replies:
                    replied = _read(fd, 1)
                    if replied:
                        status = "ok" if replied == b"0" else "error"
                    else:
                        poller.unregister(fd)
                elif fd == self.pidfd:
                    status = "ended"
                elif fd == self.channel:
                    return None  # the other side has gone
            now = time.monotonic()
            if not status and drained > room + _DRAIN:
                status = "output"
            if not status and now >= deadline:
                status = "timeout"
            if not status and now >= look:
                status, look = self._look(), now + _LOOK_S
        code = int(replied == b"1") if replied else self.end(wait=status == "ended")
        for fd, text in texts.items():
            while data := _read(fd):
                text += data[: max(0, room - len(text))]
                drained += len(data)
                if drained > room + 2 * _DRAIN:
                    break
        if status == "ended":
            status = _meaning(code)
        return {
            "status": status,
            "stdout": bytes(texts[self.out]).decode("utf-8", "replace"),
            "stderr": bytes(texts[self.err]).decode("utf-8", "replace"),
            "exit_code": code,
            "seconds": time.monotonic() - start,
        }

    def _look(self) -> str:
        """What the session has too much of; "" if nothing."""
        memory, count = 0, 0
        for pid in self._pids():
            try:
                with open(f"/proc/{pid}/statm") as file:
                    parts = file.read().split()
            except OSError:
                continue  # has ended since
            memory += (int(parts[1]) - int(parts[2])) * _PAGE
            count += 1
        if memory > self.limits["memory_mb"] * confine.MB:
            return "memory"
        return "processes" if count > self.limits["processes"] + 2 else ""

    def _pids(self) -> list[int]:
        """The worker's processes. Where it has a namespace, or is in a container, /proc has no
        others (and in a container this one)."""
        if self.walls == "none":
            return processes.descendants(os.getpid())
        own = os.getpid() if self.walls == "container" else 0
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != own]

    def end(self, *, wait: bool = False) -> int:
        """End every process of the session; the exit code of the worker, 128 + n for signal n."""
        self.over = True
        if self._ended:
            return 0
        self._ended = True
        if not wait:
            self._kill()
        _, status = os.waitpid(self.pid, 0)
        if self.walls == "container" and os.getpid() == 1:
            processes.kill_all_but_me()
        elif self.walls != "namespaces":  # there all have ended with the first
            processes.kill_descendants()
        return processes.exit_code(status)

    def _kill(self) -> None:
        if self.walls == "none":
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)  # all of a fork bomb at once
        with suppress(OSError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)


def _child(
    config: dict[str, Any], walls: Walls, uid: int, fds: tuple[int, ...], started: int
) -> NoReturn:
    """The first process of the worker's namespaces: shuts itself in, starts the worker, and
    reaps. Without namespaces it is the worker."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.setsid()
        fds = _arrange(fds, started)
        limits = config["limits"]
        if walls == "namespaces":
            confine.private_files(limits)
            os.chdir("/tmp")
            confine.set_limits(limits)
            confine.drop_rights(uid)
            confine.limit_processes(limits)
            confine.hide_from_children()
            confine.filter_calls(confine.FILTER)
        else:
            os.chdir(config["home"])
            confine.set_limits(limits)
            confine.no_new_rights()
            if walls == "container":
                confine.filter_calls(confine.FILTER)
        _, _, requests, replies = fds
        confine.die_with_parent()
        if walls == "namespaces":
            pid = os.fork()
            if pid:
                os.closerange(0, _STARTED + 1)
                processes.exit_with(pid)
        os.close(_STARTED)
        work(requests, replies, config)
    except BaseException as error:
        os.write(_STARTED, f"{type(error).__name__}: {error}".encode()[:500])
    finally:
        os._exit(1)


_STARTED = 5


def _arrange(fds: tuple[int, ...], started: int) -> tuple[int, ...]:
    """Descriptors 0 to 5: nothing, out, err, requests, replies, started. All others closed."""
    out, err, requests, replies = fds
    high = [os.dup2(fd, 200 + i) for i, fd in enumerate((out, err, requests, replies, started))]
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    for i, fd in enumerate(high):
        os.dup2(fd, i + 1, inheritable=i < 2)
    os.closerange(6, 4096)
    return (1, 2, 3, 4)


def _meaning(code: int) -> str:
    """Of a worker that has ended without a reply."""
    return "timeout" if code == 128 + signal.SIGXCPU else "killed" if code > 128 else "exited"


def _read(fd: int, size: int = 65536) -> bytes:
    try:
        return os.read(fd, size)
    except BlockingIOError:
        return b""


def _write(fd: int, data: memoryview) -> int:
    try:
        return os.write(fd, data[:65536])
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(data)
