"""Environments on TextWorld's games: generated quests, coins, treasures, recipes."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, ClassVar

from ludus.envs.definition import one_of
from ludus.envs.outcome import Golden, InvalidMove, Outcome
from ludus.envs.task import Task, TaskSet
from ludus.envs.worlds.game_world import GameWorld
from ludus.envs.worlds.textworld.cache import compiled
from ludus.envs.worlds.textworld.maker import Order
from ludus.envs.worlds.textworld.play import Game, engine

KEPT_GAMES = 8
"""Loaded games kept for whoever asks next. An environment keeps its own."""
REWARDS = ("sparse", "score", "dense")
NOT_NOW = "You can't do that."
_TYPED = re.compile(r"[A-Za-z0-9' -]{1,100}")
_COMMON: Mapping[str, Any] = {"reward": "sparse", "admissible": True, "games": 50}


class World(GameWorld[Game]):
    """One seat, text commands. The last reward of a won game brings the return to 1.

    Parameters of all of them:
        reward: "sparse" is 1 when the quest is done; "score" the game's own points as a share of
            the most there are; "dense" how much shorter the known way to the end has become, as a
            share of the walkthrough (differences of one quantity, so detours earn nothing).
        admissible: Whether only the commands that TextWorld calls admissible are actions, and are
            legal actions. Without it the game's parser answers what is typed, as long as it begins
            with one of the game's verbs; each costs a turn.
        games: How many games a split has; 0 for all. Each takes seconds to compile, once.
    """

    CHECK: ClassVar[Mapping[str, Any]] = {"games": 3}
    KIND: ClassVar[str]
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {}
    """Least and most of every whole number among the parameters."""

    def __init__(self, **settings: Any) -> None:
        engine()
        chosen = {**self.PARAMS, **{k: v for k, v in settings.items() if k in self.PARAMS}}
        one_of("reward", chosen["reward"], REWARDS)
        for name, (least, most) in {**self.LIMITS, "games": (0, 2**31)}.items():
            value = chosen[name]
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise ValueError(f"{name} must be from {least} to {most}, got {value!r}")
        for name, default in self.PARAMS.items():
            if isinstance(default, bool) and not isinstance(chosen[name], bool):
                raise ValueError(f"{name} is true or false, got {chosen[name]!r}")
        self.MAX_TURNS = max(50, 5 * self._longest(chosen))
        super().__init__(**settings)

    @classmethod
    def _longest(cls, params: Mapping[str, Any]) -> int:
        """About how many commands a game takes. Raises ValueError for impossible settings."""
        raise NotImplementedError

    @classmethod
    def _settings(cls, params: Mapping[str, Any]) -> dict[str, Any]:
        """What TextWorld's maker is told."""
        return {name: value for name, value in params.items() if name not in _COMMON}

    @classmethod
    def tasks(cls, split: str = "train", **params: Any) -> TaskSet:
        """The games of a split. How they are rewarded and how many there are is not part of one."""
        one_of("split", split, cls.SPLITS)
        own = {
            k: v for k, v in params.items() if k not in _COMMON and v != cls.PARAMS.get(k)
        }  # fmt: skip
        size = params.get("games", cls.PARAMS["games"]) or cls.SPLITS[split]
        return TaskSet(cls.ENV_ID, split, min(size, cls.SPLITS[split]), own)

    # ---- the episode ------------------------------------------------------------------------

    def _setup(self, task: Task, rng: random.Random) -> None:
        params = {**self.params, **task.params}
        split = task.split if task.split in self.SPLITS else "train"
        self._order = (task.seed, split, tuple(sorted(self._settings(params).items())))
        self._made = None
        game = self._game()
        self._machine = game.start
        self._happened: tuple[str, ...] = ()
        self._left = len(game.plan(()) or ()) if self.params["reward"] == "dense" else 0
        self._most = self._left

    def _make(self) -> Game:
        seed, split, settings = self._order
        by_content = self.SPLIT_BY == "content" and self.KIND != "cooking"
        return _load(Order(self.KIND, dict(settings), seed, split, by_content).to_text())

    def state_hash(self) -> str:
        """Equal for equal memories of the machine."""
        digest = blake2b(digest_size=8)
        if self._log or self._waiting:
            digest.update(self._machine[0])
        digest.update(repr((self._waiting, self._moves)).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _rules(self, seat: str) -> str:
        return f"You play a text game by one command per reply.\n\n{self._game().intro}"

    def _legal(self, seat: str) -> Sequence[str] | None:
        return self._game().admissible(self._happened) if self.params["admissible"] else None

    def _parse(self, text: str, seat: str) -> str:
        legal = self._legal(seat)
        if legal is not None:
            if text in legal:
                return text
            raise InvalidMove(NOT_NOW)
        verb = text.lower().split(" ", 1)[0]
        if _TYPED.fullmatch(text) and verb in self._game().verbs:
            return text
        verbs = ", ".join(sorted(self._game().verbs))
        raise InvalidMove(f"a command begins with one of: {verbs}")

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, command),) = moves.items()
        game, before = self._game(), self._happened
        said = game.step(self._machine, before, command)
        self._machine, self._happened = said.machine, said.happened
        reward = self._reward(game, before, said.won, said.lost)
        reason = "the quest is done" if said.won else "the game is lost" if said.lost else ""
        return Outcome(
            {seat: reward},
            terminated=said.won or said.lost,
            text=said.text,
            metrics={"score": float(game.score(said.happened))},
            success=said.won if reason else None,
            reason=reason,
        )

    def _reward(self, game: Game, before: tuple[str, ...], won: bool, lost: bool) -> float:
        if self.params["reward"] == "sparse":
            return float(won)
        if self.params["reward"] == "score":
            return (game.score(self._happened) - game.score(before)) / max(1, game.max_score)
        left, plan = self._left, None if won or lost else game.plan(self._happened)
        self._left = 0 if won else left if plan is None else len(plan)
        return (left - self._left) / max(1, self._most)

    def golden(self, seat: str | None = None) -> Golden | None:
        """The next command of a known way to the end, and that way where turns are left.

        None where no way is known: in a dead end, or after a detour that neither the walkthrough
        nor TextWorld's own tracking of the quest recovers from.
        """
        if not self._waiting:
            return None
        return self._known_way(self._game().plan(self._happened) or ())


class TextWorld(World):
    """Quests in a house: find, carry, open, unlock, put.

    Parameters:
        difficulty: `w2-o3-q4` is a world of 2 rooms with at least 3 objects and a quest of 4
            commands.
    """

    ENV_ID = "ludus/TextWorld-v1"
    KIND = "textworld"
    SPLIT_BY = "content"
    PARAMS: ClassVar[Mapping[str, Any]] = {"difficulty": "w2-o3-q4", **_COMMON}

    @classmethod
    def _settings(cls, params: Mapping[str, Any]) -> dict[str, Any]:
        name = params["difficulty"]
        found = re.fullmatch(r"w([0-9]{1,3})-o([0-9]{1,3})-q([0-9]{1,3})", str(name))
        if found is not None:
            rooms, objects, quest = map(int, found.groups())
            if 1 <= rooms <= 20 and 1 <= objects <= 40 and 1 <= quest <= 20:
                return {"rooms": rooms, "objects": objects, "quest": quest}
        raise ValueError(
            f"difficulty is like w2-o3-q4: 1 to 20 rooms, 1 to 40 objects, a quest of 1 to 20 "
            f"commands, got {name!r}"
        )

    @classmethod
    def _longest(cls, params: Mapping[str, Any]) -> int:
        return int(cls._settings(params)["quest"])


class CoinCollector(World):
    """Find the coin: a chain of rooms, with dead ends beside it at higher levels.

    Parameters:
        level: 1 to 300. The coin is `(level - 1) % 100 + 1` commands away; from 101 on there are
            twice, from 201 on three times as many rooms, at most 100.
    """

    ENV_ID = "ludus/CoinCollector-v1"
    KIND = "coin_collector"
    SPLIT_BY = "content"
    PARAMS: ClassVar[Mapping[str, Any]] = {"level": 5, **_COMMON}
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {"level": (1, 300)}

    @classmethod
    def _longest(cls, params: Mapping[str, Any]) -> int:
        level = params["level"]
        longest = (int(level) - 1) % 100 + 1
        if (rooms := ((int(level) - 1) // 100 + 1) * longest) > 100:
            raise ValueError(f"level {level} has {rooms} rooms, TextWorld compiles at most 100")
        return longest


class TreasureHunter(World):
    """Take the thing that is asked for, not the other one: taking that loses.

    Parameters:
        level: 1 to 30. 5 rooms; from 11 on 10 rooms with doors and containers; from 21 on 20 rooms
            with locks, which take TextWorld long to make.
    """

    ENV_ID = "ludus/TreasureHunter-v1"
    KIND = "treasure_hunter"
    PARAMS: ClassVar[Mapping[str, Any]] = {"level": 5, **_COMMON}
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {"level": (1, 30)}

    @classmethod
    def _longest(cls, params: Mapping[str, Any]) -> int:
        return 20 if params["level"] > 20 else 10


class Cooking(World):
    """Read the cookbook, fetch and prepare the ingredients, cook and eat the meal.

    Splits are TextWorld's own: `valid` and `test` have foods, or preparations of foods, that do
    not occur in the others.

    Parameters:
        recipe: Ingredients, 1 to 5.
        take: How many of them have to be fetched, at least 1.
        go: Rooms: 1, 6, 9 or 12.
        open: Whether doors and containers are closed at the start.
        cook: Whether ingredients have to be cooked.
        cut: Whether ingredients have to be cut.
        drop: Whether the player can carry only a few things.
    """

    ENV_ID = "ludus/Cooking-v1"
    KIND = "cooking"
    SPLIT_BY = "content"
    PARAMS: ClassVar[Mapping[str, Any]] = {
        "recipe": 1, "take": 1, "go": 6, "open": True, "cook": True, "cut": False, "drop": False,
        **_COMMON,
    }  # fmt: skip
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {"recipe": (1, 5), "take": (1, 5)}

    @classmethod
    def _longest(cls, params: Mapping[str, Any]) -> int:
        one_of("go", params["go"], (1, 6, 9, 12))
        if params["take"] > params["recipe"]:
            raise ValueError(
                f"take is at most recipe ({params['recipe']}), got {params['take']}"
            )  # fmt: skip
        return 10 + 10 * int(params["recipe"])


@lru_cache(maxsize=KEPT_GAMES)
def _load(order: str) -> Game:
    what = Order(**json.loads(order))
    try:
        return Game(compiled(what))
    except FileNotFoundError:  # another process has just made room in the cache
        return Game(compiled(what))
