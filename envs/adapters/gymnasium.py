"""Any Gymnasium environment that speaks text, or numbers for which there are words:
`make("ludus/Gymnasium-v1", env="FrozenLake-v1")`.

Observations and actions of `Text` spaces are passed on. Actions of a `Discrete` space, and
observations of any other, need `Words`: those of Gymnasium's toy texts are here, one's own are
named as `words="module:NAME"`.

The world is the task's, `reset(seed=)` with its seed; chance after that is the episode's: before
every step the environment's `np_random` is made anew from it. An environment that draws from
elsewhere fails the checker.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete, Text

from ludus.envs.adapters.hosted import Box, Hosted, Words, check_names, legal_names, words_of
from ludus.envs.outcome import InvalidMove, Outcome
from ludus.envs.task import Task

MOST_TURNS = 200
"""Where the environment has no limit of its own."""


def _frozen_lake(obs: Any, env: Any) -> str:
    row, column = divmod(int(obs), env.ncol)
    lines = [[cell.decode() for cell in line] for line in env.desc]
    lines[row][column] = "A"
    return "\n".join("".join(line) for line in lines)


def _cliff(obs: Any, env: Any) -> str:
    row, column = divmod(int(obs), 12)
    lines = [list("." * 12) for _ in range(3)] + [list("S" + "C" * 10 + "G")]
    lines[row][column] = "A"
    return "\n".join("".join(line) for line in lines)


def _blackjack(obs: Any, env: Any) -> str:
    total, card, ace = (int(part) for part in obs)
    with_ace = ", with an ace counted as 11" if ace else ""
    return f"You have {total}{with_ace}. The dealer shows {'an ace' if card == 1 else card}."


_STOPS = ("red", "green", "yellow", "blue")
_TAXI_MAP = """\
+---------+
|R: | : :G|
| : | : : |
| : : : : |
| | : | : |
|Y| : |B: |
+---------+"""


def _taxi(obs: Any, env: Any) -> str:
    row, column, passenger, goal = env.decode(int(obs))
    where = "in the taxi" if passenger == len(_STOPS) else f"at {_STOPS[passenger]}"
    return (
        f"The taxi is in row {row}, column {column}. The passenger is {where}, to {_STOPS[goal]}."
    )


_TABLES = ("P", "initial_state_distrib")
_LAKE = Words(
    "Cross the frozen lake: A is you, S the start, F ice, H a hole that ends it, G the goal, which "
    "pays 1. On slippery ice you may slide to either side of where you head.",
    _frozen_lake,
    ("left", "down", "right", "up"),
    copies=True,
    fixed=_TABLES,
)
_CLIFF = Words(
    "Walk to the goal: A is you, S the start, C the cliff, G the goal. A step costs 1, one "
    "into the cliff 100 and takes you back to the start.",
    _cliff,
    ("up", "right", "down", "left"),
    copies=True,
    fixed=_TABLES,
)
WORDS: Mapping[str, Words] = {
    "FrozenLake-v1": _LAKE,
    "FrozenLake8x8-v1": _LAKE,
    "CliffWalking-v1": _CLIFF,
    "CliffWalkingSlippery-v1": _CLIFF,
    "Blackjack-v1": Words(
        "Blackjack against a dealer who draws to 17, from an endless deck. Winning pays 1, losing "
        "-1; more than 21 loses at once.",
        _blackjack,
        ("stick", "hit"),
        copies=True,
    ),
    "Taxi-v4": Words(
        "Drive the taxi to the passenger, pick them up, and drop them off where they want to go. "
        "R, G, Y, B are the red, green, yellow and blue stops; | is a wall, : is none. Rows are "
        "counted from the top, columns from the left, both from 0. A turn costs 1, a pickup or "
        f"dropoff that cannot be done 10, and a delivery pays 20.\n{_TAXI_MAP}",
        _taxi,
        ("south", "north", "east", "west", "pickup", "dropoff"),
        copies=True,
        fixed=_TABLES,
    ),
}
"""Gymnasium's environments that are described here."""


class Gymnasium(Hosted):
    """Any environment of Gymnasium with text or discrete actions; rewards are its own.

    Parameters:
        env: Its id there.
        env_kwargs: Arguments to make it with; JSON.
        words: "module:NAME" of its `Words`, where `WORDS` has none and it does not speak text.
    """

    ENV_ID = "ludus/Gymnasium-v1"
    SOLVABLE: bool | None = False
    PARAMS: ClassVar[Mapping[str, Any]] = {"env": "FrozenLake-v1", "env_kwargs": {}, "words": ""}

    def __init__(self, **settings: Any) -> None:
        params = {**self.PARAMS, **settings}
        env = make_theirs(params["env"], params["env_kwargs"])
        what = f"Gymnasium's {params['env']}"
        if not isinstance(env.action_space, Discrete | Text):
            raise ValueError(f"{what} has actions of {env.action_space}, not Discrete or Text")
        self._theirs: Words | None = None
        if not (isinstance(env.action_space, Text) and isinstance(env.observation_space, Text)):
            self._theirs = words_of(self.ENV_ID, params["env"], params["words"], WORDS)
            if isinstance(env.action_space, Discrete):
                check_names(self._theirs, int(env.action_space.n), what)
        self._limit = (env.spec and env.spec.max_episode_steps) or MOST_TURNS
        env.close()
        self.MAX_TURNS = self._limit
        super().__init__(**settings)

    def _copies(self) -> bool:
        return self._theirs is not None and self._theirs.copies

    def _setup(self, task: Task, rng: random.Random) -> None:
        self.MAX_TURNS = self._limit
        env = make_theirs(self.params["env"], self.params["env_kwargs"])
        self._box = Box(env, () if self._theirs is None else self._theirs.fixed)
        obs, _ = self._env.reset(seed=rng.getrandbits(31))
        self._sight = self._told(obs)
        self._history = [self._sight]

    @property
    def _env(self) -> gymnasium.Env[Any, Any]:
        env: gymnasium.Env[Any, Any] = self._box.content
        return env

    def _told(self, obs: Any) -> str:
        if isinstance(self._env.observation_space, Text):
            return str(obs)
        assert self._theirs is not None
        return self._theirs.describe(obs, self._env.unwrapped)

    def _rules(self, seat: str) -> str:
        return f"{self.params['env']}." if self._theirs is None else self._theirs.rules

    def _observe(self, seat: str) -> str:
        return self._sight

    def _legal(self, seat: str) -> Sequence[str] | None:
        if isinstance(self._env.action_space, Text):
            return None
        assert self._theirs is not None
        return legal_names(self._theirs, None)

    def _parse(self, text: str, seat: str) -> Any:
        move = super()._parse(text, seat)
        space = self._env.action_space
        if isinstance(space, Text) and move not in space:
            raise InvalidMove(f"an action is {space}")
        return move

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, move),) = moves.items()
        action: Any = move
        if isinstance(self._env.action_space, Discrete):
            assert self._theirs is not None
            action = self._env.action_space.start + self._theirs.actions.index(move)
        seed = self.chance.getrandbits(64)
        self._env.unwrapped.np_random = np.random.Generator(np.random.PCG64(seed))
        obs, gain, terminated, truncated, _ = self._env.step(action)
        self._sight = self._told(obs)
        reward = float(gain)
        self._history.append((move, self._sight, reward, terminated, truncated))
        if truncated and not terminated:
            self.MAX_TURNS = len(self._log)  # its limit is reached, so ours is
        ended = terminated or truncated
        return Outcome({seat: reward}, terminated=terminated, text=self._sight if ended else "")

    def _render(self) -> str:
        return self._sight

    def close(self) -> None:
        """Close theirs."""
        if "_box" in self.__dict__:
            self._env.close()
        super().close()


def make_theirs(name: str, arguments: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    """Gymnasium's environment of a name, without its limit of turns, which becomes ours.

    Raises:
        ValueError: If there is none, or it cannot be made.
    """
    try:
        return gymnasium.make(
            name, max_episode_steps=-1, disable_env_checker=True, **dict(arguments)
        )
    except (gymnasium.error.Error, ImportError, KeyError, TypeError, ValueError) as error:
        told = " ".join(str(error).split())
        raise ValueError(f"Gymnasium cannot make {name!r}: {told}") from None
