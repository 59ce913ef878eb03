"""Java processes that run ScienceWorld: a few of them, shared by any number of environments.

A process is a cache of one position. It is asked for the position after some commands; if it stands
at a beginning of them it goes on from there, else it starts again. That is only right because the
simulator is deterministic here. As shipped it is not: the order of things in a room follows Java's
identity hashes, which differ in every process. `-XX:hashCode=2` makes them constant.
"""

import atexit
import os
import shutil
import subprocess
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from ludus.envs.registry import MissingExtra

ENV_ID = "ludus/ScienceWorld-v1"
JAVA = shutil.which("java")
OPTIONS = ("-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2", "-XX:+UseSerialGC", "-Xmx1g",
           "-XX:TieredStopAtLevel=1")  # fmt: skip
ANSWER_S = 300.0
"""A process that takes longer to answer is ended. Golden paths of genetics take up to 20 s."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class World:
    """One variation of a task: where every position begins."""

    task: str
    variation: int
    simplifications: str = ""


def needed() -> Any:
    """ScienceWorld's constants.

    Raises:
        MissingExtra: If ScienceWorld or Java is not installed; the message has the command.
    """
    try:
        from scienceworld import constants
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"{ENV_ID} needs ScienceWorld: pip install 'ludus[scienceworld]'", name=error.name
        ) from None
    if JAVA is None:
        raise MissingExtra(
            f"{ENV_ID} needs Java: apt-get install default-jre-headless", name="java"
        )
    return constants


def _complaint() -> str:
    """What Java says when it is asked for nothing but to start."""
    assert JAVA is not None
    try:
        done = subprocess.run(
            [JAVA, *OPTIONS, "-version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = (done.stdout + done.stderr).strip().splitlines() or ["it says nothing"]
    return lines[0]


class Turn(NamedTuple):
    """What a command led to."""

    text: str
    score: float
    """In [0, 1]; -1 when the task was failed."""
    completed: bool


class Simulator:
    """One Java process, and where it stands."""

    def __init__(self) -> None:
        constants = needed()
        from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

        try:
            # It reads its standard input and ends with it, so that it outlives nobody.
            port, token, self.process = launch_gateway(
                classpath=constants.JAR_PATH, javaopts=list(OPTIONS), die_on_exit=True,
                java_path=JAVA, enable_auth=True, cwd=constants.BASEPATH, return_proc=True,
            )  # fmt: skip
        except (OSError, ValueError):  # no port was printed
            raise MissingExtra(
                f"{JAVA} does not start ScienceWorld, which needs Java 8 or newer "
                f"({_complaint()}): apt-get install default-jre-headless",
                name="java",
            ) from None
        self._gateway = JavaGateway(
            gateway_parameters=GatewayParameters(
                port=port, auth_token=token, auto_field=True, read_timeout=ANSWER_S
            )
        )
        self.java = self._gateway.jvm.scienceworld.runtime.pythonapi.PythonInterface()
        self.world: World | None = None
        self.commands: list[str] = []

    def stands_before(self, world: World, commands: Sequence[str]) -> bool:
        """Whether it gets to a position by going on."""
        done = len(self.commands)
        return self.world == world and self.commands == list(commands[:done])

    def go(self, world: World, commands: Sequence[str]) -> Turn:
        """Go to a position, and say what the last command led to."""
        if not self.stands_before(world, commands):
            self.start(world)
        for command in commands[len(self.commands) :]:
            text = self.java.step(command)
            self.commands.append(command)
            self._last = Turn(text, self.java.getScore(), self.java.getCompleted())
        return self._last

    def start(self, world: World, *, golden: bool = False) -> None:
        """Load a world, with or without its golden path."""
        self.world = None  # until it is there
        self.commands.clear()
        self.java.load(world.task, world.variation, world.simplifications, golden)
        self.java.reset()
        self.world = world
        # Not getScore(), which is that of the last episode until the first command.
        self._last = Turn(self.java.freeActionLook(), 0.0, False)

    def end(self) -> None:
        """End the process."""
        self._gateway.close()
        self._gateway._gateway_client.is_connected = False  # or py4j looks for it, and complains
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()


class Pool:
    """At most `limit` simulators, and never more than environments that use them.

    Safe to use from many threads. What was started is ended when the last environment is closed
    or collected, when a simulator fails, and at exit.
    """

    def __init__(self, limit: int = 4) -> None:
        self.limit = limit
        self._forget()
        atexit.register(self.end)
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """A forked process starts its own simulators, and holds nobody else's open."""
        for simulator in getattr(self, "_idle", ()):
            simulator.process.stdin.close()
        self._turn = threading.Condition(threading.RLock())
        self._idle: list[Simulator] = []  # least recently used first
        self._busy = 0
        self._users: set[int] = set()

    def enter(self, user: object) -> None:
        """Keep simulators for as long as a user lives."""
        with self._turn:
            if id(user) not in self._users:
                self._users.add(id(user))
                weakref.finalize(user, self.leave, id(user)).atexit = False

    def leave(self, user: int) -> None:
        """A user, by its `id`, is gone."""
        with self._turn:
            self._users.discard(user)
            if not self._users:
                self.end()

    def ask(
        self, world: World, commands: Sequence[str], question: Callable[[Simulator], Answer]
    ) -> Answer:
        """Put a question to a simulator, the nearest there is to a position."""
        with self._lent(world, commands) as simulator:
            return question(simulator)

    @contextmanager
    def _lent(self, world: World, commands: Sequence[str]) -> Iterator[Simulator]:
        with self._turn:
            while True:
                near = [s for s in self._idle if s.stands_before(world, commands)]
                spare = min(self.limit, len(self._users)) > len(self._idle) + self._busy
                if near or spare or self._idle:
                    break
                self._turn.wait()
            best = max(near, key=lambda s: len(s.commands), default=None)
            if best is None and not spare:
                best = self._idle[0]
            if best is not None:
                self._idle.remove(best)
            self._busy += 1
        try:
            if best is None:
                best = Simulator()
            yield best
        except BaseException:
            if best is not None:
                best.end()
                best = None
            raise
        finally:
            with self._turn:
                self._busy -= 1
                if best is not None and self._users:
                    self._idle.append(best)
                elif best is not None:
                    best.end()
                self._turn.notify()

    def end(self) -> None:
        """End all simulators that nobody is waiting for."""
        with self._turn:
            while self._idle:
                self._idle.pop().end()


POOL = Pool()
"""That of the process. `POOL.limit` may be set."""
