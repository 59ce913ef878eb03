"""`ludus new`: a working environment, and its test, to start from."""

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ludus.cli import parse
from ludus.envs import specs

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")

ENVIRONMENT = '''"""{title}: two seats count on; whoever reaches the goal wins. Make it your own."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import ludus


class {name}(ludus.TextEnv):
    """Two seats, zero-sum; +1 for whoever says the goal, -1 for the other.

    Parameters:
        goal: The number that wins.
    """

    ROLES = ("player_0", "player_1")
    ZERO_SUM = True
    MAX_TURNS = 100
    SPLIT_BY = "none"  # there is one world; drawn worlds are kept apart by "seed" or "content"
    PARAMS: ClassVar[Mapping[str, Any]] = {{"goal": 10}}

    def _setup(self, task: ludus.Task, rng: random.Random) -> None:
        self._goal: int = {{**self.PARAMS, **task.params}}["goal"]
        if not 1 <= self._goal <= 50:
            raise ValueError(f"need a goal from 1 to 50, got {{self._goal}}")
        self._count = 0
        self._who = 0

    def _rules(self, seat: str) -> str:
        return (
            "Count on. Take turns adding 1, 2 or 3 to a count that starts at 0. Whoever brings "
            f"it to {{self._goal}} wins.\\nYou are {{seat}}."
        )

    def _observe(self, seat: str) -> str:
        return f"The count is {{self._count}}."

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[self._who],)

    def _legal(self, seat: str) -> Sequence[str]:
        return [str(n) for n in (1, 2, 3) if self._count + n <= self._goal]

    def _apply(self, moves: Mapping[str, Any]) -> ludus.Outcome:
        ((seat, move),) = moves.items()
        self._count += int(move)
        self._who = 1 - self._who
        other = self.ROLES[self._who]
        news = {{other: f"{{seat}} adds {{move}}."}}
        if self._count < self._goal:
            return ludus.Outcome(text=news)
        return ludus.Outcome(
            {{seat: 1.0, other: -1.0}}, terminated=True, text=news, reason=f"{{seat}} wins"
        )

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, ludus.Task]]:
        """One world, so that exact opponents and exploitability work."""
        return [(1.0, ludus.Task(cls.ENV_ID, "worlds", 0, 0, dict(params)))]


ludus.register("{id}", {name}, tags=("two-seat", "zero-sum"))
'''

TEST = '''"""{name} keeps the protocol's promises, and its rules are what they should be."""

import ludus
from ludus.testing import check_env

import {module}


def test_passes_the_checker() -> None:
    check_env({module}.{name}).raise_for_failures()


def test_a_game() -> None:
    env = ludus.make("{id}", goal=5)
    env.reset(seed=0)
    for move in ("3", "2"):
        env.step(move)
    assert env.returns == {{"player_0": -1.0, "player_1": 1.0}}


def test_best_play_leaves_a_multiple_of_four() -> None:
    env = ludus.make("{id}", opponents="minimax", goal=8)  # a Gymnasium environment
    for first in ("1", "2", "3"):
        _, info = env.reset(seed=0)
        _, reward, done, _, info = env.step(first)
        while not done:
            _, reward, done, _, info = env.step(info["legal_actions"][0])
        assert reward == -1.0
'''


@dataclass(frozen=True)
class NewOptions:
    """Write a working environment and its test: NAME.py and test_NAME.py, in snake case."""

    name: Positional[Annotated[str, arg(metavar="NAME")]]
    """In CamelCase or snake_case."""
    folder: str = "."
    """Where; made if it does not exist."""
    namespace: str = "me"
    """The environment's id is namespace/Name-v1."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    options = parse(NewOptions, args, "new")
    paths = write(options.name, Path(options.folder), options.namespace)
    env, test = (str(path) for path in paths)
    module = paths[0].stem
    print(f"written: {env}, {test}")
    print(f"in that folder: pytest {paths[1].name}; ludus check {module}:{_id(options)}")
    return 0


def _id(options: NewOptions) -> str:
    return f"{options.namespace}/{_camel(options.name)}-v1"


def write(name: str, folder: Path, namespace: str = "me") -> tuple[Path, Path]:
    """Write both files.

    Returns:
        The environment's file and its test's.

    Raises:
        ValueError: If the name is no identifier, or taken, or a file exists.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(_snake(name)):
        raise ValueError(f"a name is letters, digits and _, such as CountOn, not {name!r}")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", namespace):
        raise ValueError(f"a namespace is letters, digits, _ and -, not {namespace!r}")
    camel, module = _camel(name), _snake(name)
    id = f"{namespace}/{camel}-v1"
    if id in {spec.id for spec in specs()}:
        raise ValueError(f"{id} is registered already, take another name")
    env, test = folder / f"{module}.py", folder / f"test_{module}.py"
    for path in (env, test):
        if path.exists():
            raise ValueError(f"{path} exists already, nothing written")
    words = {
        "name": camel, "module": module, "id": id, "title": module.replace("_", " ").capitalize()
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    env.write_text(ENVIRONMENT.format(**words))
    test.write_text(TEST.format(**words))
    return env, test


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_") if part)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_")
