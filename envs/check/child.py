"""A fresh process that plays an environment: with another hash seed, or under guard."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

import cloudpickle  # type: ignore[import-untyped]

from ludus.envs.check.subject import Broken, Subject, episode, right_at_first

_TIMEOUT_S = 600  # the machine may be busy


@dataclass(frozen=True, slots=True)
class Job:
    """What a process shall do."""

    kind: Literal["trace", "guard"]
    """"trace" returns what is right as the first episode begins and what all of them show, "guard"
    what they touch outside."""
    subject: Subject
    seeds: Sequence[int]
    hash_seed: str = "0"


def run_children(jobs: Sequence[Job]) -> list[Any]:
    """Run jobs side by side, each in a process of its own.

    Raises:
        Broken: If one dies; the message ends with its last line.
    """
    running = [_start(job) for job in jobs]
    results = []
    try:
        for process, order in running:
            out, err = process.communicate(order, timeout=_TIMEOUT_S)
            if process.returncode != 0:
                last = err.strip().splitlines()[-1:] or [f"exit status {process.returncode}"]
                raise Broken(f"a fresh process cannot play it: {last[0]}")
            results.append(json.loads(out.splitlines()[-1]))
    except subprocess.TimeoutExpired as error:
        raise Broken(f"a fresh process has not played it in {error.timeout:.0f} s") from error
    finally:
        for process, _ in running:
            if process.poll() is None:
                process.kill()
                process.communicate()  # which closes its pipes, too
    return results


def _start(job: Job) -> tuple["subprocess.Popen[str]", str]:
    subject = job.subject
    # By value where the class is defined in a script or a function, by name elsewhere.
    made = cloudpickle.dumps((subject.env_class, dict(subject.kwargs)))
    order = json.dumps(
        {
            "kind": job.kind,
            "path": sys.path,
            "module": subject.env_class.__module__,
            "made": base64.b64encode(made).decode(),
            "seeds": list(job.seeds),
        }
    )
    process = subprocess.Popen(
        [sys.executable, "-c", "from ludus.envs.check.child import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": job.hash_seed},
    )
    return process, order


def main() -> None:
    """The other process: reads its order from standard input, prints one line of JSON."""
    order = json.loads(sys.stdin.read())
    sys.path[:] = order["path"]
    env_class, kwargs = cloudpickle.loads(base64.b64decode(order["made"]))
    subject = Subject(env_class, kwargs, env_class.ENV_ID)
    if order["kind"] == "trace":
        seeds = order["seeds"]
        right = right_at_first(subject.make(), seeds[0])
        result: Any = [right, [episode(subject.make(), seed) for seed in seeds]]
    else:
        with guarded(loopback=bool(env_class.metadata["blocking"])) as touched:
            for seed in order["seeds"]:
                episode(subject.make(), seed)
        result = sorted(set(touched))
    print(json.dumps(result))


_HARMLESS = frozenset({"ALFWORLD_DATA", "GSM8K_DATA", "NUMBA_DISABLE_JIT"})
"""Variables that say where data lies, or how fast: bm25s asks whether numba may compile."""


@contextmanager
def guarded(loopback: bool = False) -> Iterator[list[str]]:
    """Record what code in the block touches outside: addresses and environment variables.

    Connections are refused as well. Only for a process that ends soon: audit hooks stay.

    Args:
        loopback: Whether it may talk to this machine, as environments do that have a process of
            their own and so declare that they block.
    """
    touched: list[str] = []
    active = True

    def audit(event: str, args: tuple[Any, ...]) -> None:
        if not active:
            return
        if event == "socket.bind" and _importing():
            return  # urllib3 asks so whether there is IPv6
        if event in ("socket.connect", "socket.sendto", "socket.bind"):
            address = args[1] if len(args) > 1 else None
            if not isinstance(address, tuple):
                return  # a local socket, as multiprocessing uses
        elif event not in ("socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
            return
        target = args[0] if event.startswith(("socket.get", "urllib")) else args[1]
        host = target[0] if isinstance(target, tuple) else target
        if loopback and str(host).startswith("127."):
            return
        touched.append(f"network: {event} {target}")
        raise PermissionError("no network under ludus check")

    class Watched(type(os.environ)):  # type: ignore[misc]  # a class, but typed as a variable
        def __getitem__(self, key: str) -> str:
            if active and key not in _HARMLESS and not _importing():
                touched.append(f"environment variable {key}")
            return str(super().__getitem__(key))

    sys.addaudithook(audit)
    plain_class = type(os.environ)
    os.environ.__class__ = Watched
    try:
        yield touched
    finally:
        active = False
        os.environ.__class__ = plain_class


def _importing() -> bool:
    """Whether a module is being imported: libraries read settings then, once."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def import_seconds(module: str) -> float:
    """Processor time that importing a module takes in a fresh process, over Gymnasium's."""
    code = (
        "import sys, json, time; sys.path[:] = json.loads(sys.argv[1]); import gymnasium, rich; "
        f"start = time.process_time(); import {module}; print(time.process_time() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(sys.path)],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise Broken(f"cannot import {module}: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout)
