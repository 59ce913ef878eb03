"""`ludus/ScienceWorld-v1`: the 30 tasks of ScienceWorld (Wang et al. 2022, arXiv:2203.07540).

Needs the extra `scienceworld` and Java. An episode is its task and the commands so far; the Java
processes that know what they lead to are shared (`ludus.envs.worlds.jvm`), so a fork costs nothing
until it is stepped, and then at most the commands before it, once more.
"""

import random
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, ClassVar, NamedTuple

from ludus.envs.base import TextEnv
from ludus.envs.definition import one_of
from ludus.envs.outcome import Golden, InvalidMove, Outcome
from ludus.envs.task import Rows, Task, TaskSet
from ludus.envs.worlds.jvm import POOL, Answer, Simulator, Turn, World, needed

VARIATIONS = {
    "boil": 30, "change-the-state-of-matter-of": 30, "chemistry-mix": 32,
    "chemistry-mix-paint-secondary-color": 36, "chemistry-mix-paint-tertiary-color": 36,
    "find-animal": 300, "find-living-thing": 300, "find-non-living-thing": 300, "find-plant": 300,
    "freeze": 30, "grow-fruit": 126, "grow-plant": 126, "identify-life-stages-1": 14,
    "identify-life-stages-2": 10, "inclined-plane-determine-angle": 168,
    "inclined-plane-friction-named-surfaces": 1386,
    "inclined-plane-friction-unnamed-surfaces": 162, "lifespan-longest-lived": 125,
    "lifespan-longest-lived-then-shortest-lived": 125, "lifespan-shortest-lived": 125,
    "measure-melting-point-known-substance": 436,
    "measure-melting-point-unknown-substance": 300, "melt": 30,
    "mendelian-genetics-known-plant": 120, "mendelian-genetics-unknown-plant": 480,
    "power-component": 20, "power-component-renewable-vs-nonrenewable-energy": 20,
    "test-conductivity": 900, "test-conductivity-of-unknown-substances": 600,
    "use-thermometer": 540,
}  # fmt: skip
"""Tasks, and how many variations each has."""

SIMPLIFICATIONS = (
    "easy", "noElectricalAction", "openContainers", "openDoors", "selfWateringFlowerPots",
    "teleportAction",
)  # fmt: skip

LONGEST_COMMAND = 200
"""In characters; the longest that ScienceWorld offers has about 130."""


def variations(task: str, split: str) -> range:
    """The variations of a split, as ScienceWorld divides them: half of them, a quarter, the rest.

    >>> variations("boil", "train"), variations("boil", "valid"), variations("boil", "test")
    (range(0, 14), range(14, 21), range(21, 30))
    """
    count = VARIATIONS[task]
    quarter = count // 4
    ends = {"train": (0, 2), "valid": (2, 3), "test": (3, 0)}[split]
    return range(ends[0] * quarter, ends[1] * quarter or count)


class About(NamedTuple):
    """What is told of a world at its start."""

    task: str
    commands: tuple[str, ...]


class Recent:
    """The latest answers of simulators by what was asked, so that replays need none."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._answers: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any, ask: Callable[[], Answer]) -> Answer:
        """The answer, asked for where it is not known."""
        if key in self._answers:
            known: Answer = self._answers[key]
            return known
        answer = self._answers[key] = ask()
        while len(self._answers) > self.size:
            self._answers.popitem(last=False)
        return answer


_TURNS, _LISTS = Recent(1000), Recent(16)


class ScienceWorld(TextEnv):
    """Science experiments in a text world of ten rooms.

    Reward is the change of the score, which ends at 1 when the task is done and at -1 when it was
    failed. Every command is answered, also one that means nothing. Splits are ScienceWorld's own.

    Parameters:
        task: One of `VARIATIONS`; any if empty.
        simplifications: ScienceWorld's, e.g. "easy" or "teleportAction,openDoors".
        turns: Commands before the episode is cut; ScienceWorld's own limit by default.
        admissible: List what can be done as legal actions, several hundred a turn, and take
            nothing else.
    """

    ENV_ID = "ludus/ScienceWorld-v1"
    metadata: ClassVar[dict[str, Any]] = {**TextEnv.metadata, "blocking": True}  # type: ignore[misc]
    MAX_TURNS = 100
    SPLITS: ClassVar[Mapping[str, int]] = {
        split: sum(len(variations(task, split)) for task in VARIATIONS)
        for split in ("train", "valid", "test")
    }
    SPLIT_BY = "content"
    PARAMS: ClassVar[Mapping[str, Any]] = {
        "task": "", "simplifications": "", "turns": MAX_TURNS, "admissible": False,
    }  # fmt: skip
    # Of the tasks, the one whose solutions are found soonest: others take up to 20 s each.
    CHECK: ClassVar[Mapping[str, Any]] = {"task": "find-non-living-thing", "turns": 25}

    def __init__(self, **settings: Any) -> None:
        turns = settings.get("turns", self.MAX_TURNS)
        if not isinstance(turns, int) or turns < 1:
            raise ValueError(f"turns is at least 1, got {turns!r}")
        self.MAX_TURNS = turns
        super().__init__(**settings)
        one_of("task", self.params["task"], ("", *VARIATIONS))
        needed()
        for name in filter(None, self.params["simplifications"].split(",")):
            one_of("simplification", name, SIMPLIFICATIONS)

    @classmethod
    def tasks(cls, split: str = "train", **params: Any) -> TaskSet:
        """The variations of one task, or of all, in the split that ScienceWorld puts them in."""
        one_of("split", split, cls.SPLITS)
        kind = params.get("task", "")
        one_of("task", kind, ("", *VARIATIONS))
        own = (
            {"simplifications": params["simplifications"]} if params.get("simplifications") else {}
        )
        names = [kind] if kind else list(VARIATIONS)
        rows = [
            {"task": name, "variation": number, **own}
            for name in names
            for number in variations(name, split)
        ]
        return Rows(cls.ENV_ID, split, rows)

    # ---- the episode ------------------------------------------------------------------------

    def _setup(self, task: Task, rng: random.Random) -> None:
        p = task.params
        self._world = World(p["task"], p["variation"], p.get("simplifications", ""))
        self._commands: list[str] = []
        self._at = blake2b(repr(self._world).encode(), digest_size=16).digest()
        self._turn = self._led_to()

    def _ask(self, question: Callable[[Simulator], Answer]) -> Answer:
        POOL.enter(self)
        return POOL.ask(self._world, self._commands, question)

    def _led_to(self) -> Turn:
        """What the last command did."""
        return _TURNS.get(self._at, lambda: self._ask(lambda s: s.go(self._world, self._commands)))

    def _rules(self, seat: str) -> str:
        def question(simulator: Simulator) -> About:
            simulator.go(self._world, self._commands)
            java = simulator.java
            return About(java.getTaskDescription(), tuple(java.getPossibleActions()))

        about = _LISTS.get(("about", self._world), lambda: self._ask(question))
        return f"{about.task}\n\nCommands: {', '.join(about.commands)}.\n\n{self._turn.text}"

    def _parse(self, text: str, seat: str) -> str:
        if self.params["admissible"]:
            return str(super()._parse(text, seat))
        command = " ".join(text.encode("utf-8", "replace").decode().split())
        if len(command) > LONGEST_COMMAND:
            raise InvalidMove(f"a command has at most {LONGEST_COMMAND} characters")
        return command

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, command),) = moves.items()
        self._at = blake2b(self._at + command.encode(), digest_size=16).digest()
        self._commands.append(command)
        before, self._turn = self._turn.score, self._led_to()
        text, score, completed = self._turn
        failed = score < 0
        return Outcome(
            {seat: score - before},
            terminated=completed or failed,
            text=text,
            metrics={"score": score},
            success=score >= 1 if completed or failed else None,
            reason=f"score {100 * score:.0f}" if completed or failed else "",
        )

    def _legal(self, seat: str) -> Sequence[str] | None:
        if not self.params["admissible"]:
            return None

        def question(simulator: Simulator) -> tuple[str, ...]:
            simulator.go(self._world, self._commands)
            return tuple(simulator.java.getValidActionObjectCombinations())

        return _LISTS.get(("admissible", self._at), lambda: self._ask(question))

    def golden(self, seat: str | None = None) -> Golden | None:
        """The rest of ScienceWorld's own solution, as long as it was followed."""
        if not self._waiting:
            return None

        def question(simulator: Simulator) -> tuple[str, ...]:
            simulator.start(self._world, golden=True)
            path = tuple(simulator.java.getGoldActionSequence())
            for n in range(1, len(path) + 1):  # it goes on a little after the end
                turn = simulator.go(self._world, path[:n])
                if turn.completed:
                    return path[:n] if turn.score >= 1 else ()
            return ()

        path = _LISTS.get(("path", self._world), lambda: self._ask(question))
        done = len(self._commands)
        return self._known_way(path[done:]) if list(path[:done]) == self._commands else None

    def close(self) -> None:
        """Let go of the simulators."""
        POOL.leave(id(self))
        super().close()
