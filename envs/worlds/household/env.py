"""`ludus/ALFWorld-v1`, the games of ALFWorld, and `ludus/Household-v1`, houses without end."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from ludus.envs.data import data_folder
from ludus.envs.definition import one_of
from ludus.envs.outcome import Golden, InvalidMove, Outcome
from ludus.envs.task import Rows, Task, TaskSet
from ludus.envs.worlds.game_world import GameWorld
from ludus.envs.worlds.household.engine import NOTHING, Game
from ludus.envs.worlds.household.expert import Expert
from ludus.envs.worlds.household.houses import DEFAULTS, SPLITS, draw

KEPT_GAMES = 16
"""Compiled games kept for whoever asks next, a megabyte each. An environment keeps its own."""

Compiled = tuple[Game, Expert]


class World(GameWorld[Compiled]):
    """One seat, text commands, reward 1 when the goal is reached; at most 50 commands.

    A command that is not admissible is answered "Nothing happens.", costs a turn, and changes
    nothing: `on_invalid="noop"`. With `show_legal=False` an agent has to find out what it can do.
    """

    MAX_TURNS = 50
    SPLIT_BY = "content"

    def _open(self) -> None:
        """To the start of the game."""
        self._made = None
        self._facts, self._shown = self._game()[0].initial

    def _rules(self, seat: str) -> str:
        return (
            "You live in a text world and act by one command per reply. What cannot be done now is "
            f'answered "{NOTHING}"\n\n{self._game()[0].intro}'
        )

    def _legal(self, seat: str) -> Sequence[str]:
        return self._game()[0].admissible((self._facts, self._shown))

    def _parse(self, text: str, seat: str) -> int:
        choices = self._game()[0].choices((self._facts, self._shown))
        number = choices.operators.get(text)
        if number is None:
            raise InvalidMove(NOTHING)
        return number

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, number),) = moves.items()
        game, _ = self._game()
        (self._facts, self._shown), text = game.apply((self._facts, self._shown), number)
        if not game.won((self._facts, self._shown)):
            return Outcome(text=text)
        return Outcome(
            {seat: 1.0}, terminated=True, text=text, success=True, reason="the goal is reached"
        )

    def golden(self, seat: str | None = None) -> Golden | None:
        """The expert's next command, and its plan where turns are left; None in a dead end."""
        if not self._waiting:
            return None
        return self._known_way(self._game()[1].plan((self._facts, self._shown)) or ())


class ALFWorld(World):
    """ALFWorld's games, from their own files.

    Parameters:
        data: The folder that holds `json_2.1.1`; by default the variable ALFWORLD_DATA.
        kind: Only tasks whose folder begins like this, e.g. "pick_two_obj"; all if empty.
    """

    ENV_ID = "ludus/ALFWorld-v1"
    SPLITS: ClassVar[Mapping[str, int]] = {"train": 3553, "valid_seen": 140, "valid_unseen": 134}
    PARAMS: ClassVar[Mapping[str, Any]] = {"data": "", "kind": ""}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.tasks(self.split, **self.params)  # tell of missing data now

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._file = str(task.params["game"])
        self._open()

    def _make(self) -> Compiled:
        return _loaded(str(_folder(self.params["data"]) / self._file))

    @classmethod
    def tasks(cls, split: str = "train", **params: Any) -> TaskSet:
        """The games of a split, as many as there are. Where the data lies is not part of a task."""
        one_of("split", split, cls.SPLITS)
        kind = params.get("kind", "")
        root = _folder(params.get("data", ""))
        names = [name for name in game_files(str(root), split) if f"/{kind}" in name]
        if not names:
            about = f" of kind {kind!r}" if kind else ""
            raise ValueError(
                f"{root} has no games{about} of split {split!r}: they lie at "
                f"json_2.1.1/{split}/TASK/TRIAL/game.tw-pddl below the data folder"
            )
        return Rows(cls.ENV_ID, split, [{"game": name} for name in names])


class Household(World):
    """Houses drawn from a seed, with ALFWorld's six tasks.

    Parameters:
        kind: One of `houses.TASKS`; any if empty.
        receptacles: Pieces of furniture, as far as the room takes them.
        objects: Things that have nothing to do with the task.
        distractors: Things of other kinds that the task could have been about.
    """

    ENV_ID = "ludus/Household-v1"
    SPLITS: ClassVar[Mapping[str, int]] = {
        "train": 2**31, "valid_seen": 500, "valid_unseen": 500,
    }  # fmt: skip
    PARAMS: ClassVar[Mapping[str, Any]] = DEFAULTS

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        draw(random.Random(0), _split(self.split), self.params)  # tell of bad parameters now

    def _setup(self, task: Task, rng: random.Random) -> None:
        p = {**self.PARAMS, **task.params}
        # All that decides the house, as something that can be copied, hashed and looked up.
        self._house = (task.seed, _split(task.split), tuple(sorted(p.items())))
        self._open()

    def _make(self) -> Compiled:
        return _drawn(*self._house)


def _split(name: str) -> str:
    return name if name in SPLITS else "train"


def _folder(data: str) -> Path:
    return data_folder(
        data, ALFWorld.ENV_ID, "ALFWorld", content="games", holds="json_2.1.1",
        without=Household.ENV_ID,
    )  # fmt: skip


@lru_cache(maxsize=16)
def game_files(root: str, split: str) -> tuple[str, ...]:
    """The games of a split under a data folder, sorted, as paths relative to it.

    As in ALFWorld, games with movable receptacles or sliced things and games marked as not
    solvable are left out.
    """
    top = Path(root)
    base = next((top / d / split for d in ("json_2.1.1", ".") if (top / d / split).is_dir()), None)
    if base is None:
        return ()
    found = []
    for path in sorted(base.rglob("*.tw-pddl")):
        name = path.relative_to(top).as_posix()
        if "movable" not in name and "Sliced" not in name and path.is_file() and _solvable(path):
            found.append(name)
    return tuple(found)


def _solvable(path: Path) -> bool:
    """Reads the end of a file, where the mark stands in the games that ALFWorld gives out, and all
    of it where it does not. What cannot be read is told of when it is played."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64))
            text = file.read()
            if b'"solvable"' not in text:
                file.seek(0)
                text = file.read()
    except OSError:
        return True
    marks = re.findall(rb'"solvable"\s*:\s*(\w+)', text)
    return not marks or bool(marks[-1] == b"true")


@lru_cache(maxsize=KEPT_GAMES)
def _loaded(path: str) -> Compiled:
    game = Game.load(path)
    return game, Expert(game)


@lru_cache(maxsize=KEPT_GAMES)
def _drawn(seed: int, split: str, params: tuple[tuple[str, Any], ...]) -> Compiled:
    game = Game(draw(random.Random(seed), split, dict(params)).to_game())
    return game, Expert(game)
