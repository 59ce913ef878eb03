"""The environment under test, and how it is played."""

import inspect
import json
import random
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ludus.envs.base import Info, TextEnv
from ludus.envs.state import hash_value
from ludus.envs.task import derive_seed

# What is said where any text is a move: something a parser of numbers, words or letters takes.
_WORDS = ("0", "1", "2", "3", "4", "6", "8", "yes", "no", "a", "e", "look", "left", "hello world")
_NONSENSE = "\x00"


class Broken(Exception):  # noqa: N818  # caught by the runner, never seen by users
    """A promise does not hold."""


class Skipped(Exception):  # noqa: N818  # as above
    """An item does not apply."""


def broken(message: str) -> NoReturn:
    """Fail the item."""
    raise Broken(message)


@dataclass(frozen=True, slots=True)
class Subject:
    """An environment class with the arguments it is made with."""

    env_class: type[TextEnv]
    kwargs: Mapping[str, Any]
    env_id: str
    episodes: int = 20
    """How many episodes an item plays, roughly."""
    seed: int = 0
    opened: list[TextEnv] = field(default_factory=list)
    """To be closed after the item."""

    def make(self, **changes: Any) -> TextEnv:
        """A fresh object."""
        env = self.env_class(**{**self.kwargs, **changes})
        self.opened.append(env)
        return env

    def rng(self, *name: object) -> random.Random:
        """A stream of its own for each purpose."""
        return random.Random(derive_seed("check", self.seed, *name))

    def seeds(self, n: int | None = None) -> list[int]:
        """Episode seeds."""
        return [derive_seed("check", self.seed, i) >> 32 for i in range(n or self.episodes)]

    def close(self) -> None:
        """Close what was made."""
        while self.opened:
            self.opened.pop().close()

    @property
    def deterministic(self) -> bool:
        """As declared."""
        return bool(self.env_class.metadata["deterministic"])


def said(error: BaseException, env_class: type[TextEnv]) -> str:
    """An exception, and where in the author's own files it came from."""
    text = f"{type(error).__name__}: {str(error)[:200]}"
    own = [kind for kind in env_class.__mro__ if kind not in TextEnv.__mro__]
    files = {inspect.getfile(kind) for kind in own if kind.__module__ in sys.modules}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename in files:
            return f"{text}, in {frame.name}, {Path(frame.filename).name} line {frame.lineno}"
    return text


def choose(env: TextEnv, seat: str, rng: random.Random) -> str:
    """A legal reply, drawn evenly; where any text may do, mostly a common word or number."""
    legal = env.legal_actions(seat)
    if legal is not None:
        if not legal:
            broken(f"{seat} is to act but has no legal action")
        return rng.choice(legal)
    if rng.random() < 0.15:  # first, because it may cost much to know
        golden = env.golden(seat)
        if golden is not None and golden.action is not None:
            return golden.action
    return env.format.write(rng.choice(_WORDS))


def advance(env: TextEnv, rng: random.Random, turns: int) -> None:
    """Play up to `turns` random turns, stopping before the episode's end if it comes."""
    for _ in range(turns):
        if not env.acting:
            return
        seat = rng.choice(env.acting)
        env.step(choose(env, seat, rng), seat=seat)


def reach(env: TextEnv, rng: random.Random, turns: int) -> None:
    """Reset to a random open position at most `turns` turns into an episode."""
    seed = rng.getrandbits(31)
    while True:
        env.reset(seed=seed)
        advance(env, rng, turns)
        if env.acting:
            return
        turns = max(0, turns - 1)


def plain(info: Info) -> str:
    """Info as one text; equal for equal infos."""
    return json.dumps(info, sort_keys=True, default=repr)


def shown(env: TextEnv) -> list[list[str]]:
    """All transcripts, flat."""
    return [[f"{m.role}: {m.content}" for m in env.transcript(role)] for role in env.ROLES]


def fingerprint(env: TextEnv) -> str:
    """Changes when anything about the episode does, chance to come included."""
    views = [str(env.observe(role)) for role in env.ROLES]
    # Not env.chance, which would make the stream: forks are also tested where there is none yet.
    chance = env._stream(env._chance_seed) if env._chance is None else env._chance
    return hash_value(
        (env.state_hash(), shown(env), views, env.acting, env.returns, chance.getstate())
    )


def record(env: TextEnv, obs: str, info: Info) -> list[str]:
    """All that a turn shows."""
    views = [str(env.observe(role)) for role in env.ROLES]
    return [str(obs), *views, plain(info), f"state_hash {env.state_hash()}"]


def play(env: TextEnv, rng: random.Random, *, mistakes: float = 0.0) -> list[list[str]]:
    """Play the open episode to its end by chance; what every turn showed.

    Args:
        env: Somewhere in an episode.
        rng: Chooses the moves.
        mistakes: Share of replies that no rules can use.
    """
    trace: list[list[str]] = []
    for _ in range(env.MAX_TURNS + 1):
        if not env.acting:
            return trace
        seat = rng.choice(env.acting)
        action = choose(env, seat, rng)
        if mistakes and rng.random() < mistakes:
            action = _NONSENSE
        obs, reward, terminated, truncated, info = env.step(action, seat=seat)
        end = f"{seat} {action} {reward!r} {terminated} {truncated}"
        trace.append([end, *record(env, obs, info)])
    broken(f"the episode has not ended after MAX_TURNS = {env.MAX_TURNS} turns")


def episode(env: TextEnv, seed: int) -> list[list[str]]:
    """One episode from its seed, moves included; what every turn showed."""
    obs, info = env.reset(seed=seed)
    return [record(env, obs, info), *play(env, random.Random(seed))]


def right_at_first(env: TextEnv, seed: int) -> list[str]:
    """What the environment knows to be right as an episode begins, for each seat to act."""
    env.reset(seed=seed)
    return [f"golden {env.golden(seat)}" for seat in env.acting]


def difference(expected: Sequence[Sequence[str]], got: Sequence[Sequence[str]]) -> str:
    """Where two traces part, in one line; "" if they are equal."""
    for turn, (a, b) in enumerate(zip(expected, got, strict=False)):
        for x, y in zip(a, b, strict=False):
            if x != y:
                at = next((i for i, (c, d) in enumerate(zip(x, y, strict=False)) if c != d), 0)
                start = max(0, at - 20)
                return f"turn {turn}: {x[start : at + 40]!r} became {y[start : at + 40]!r}"
    if len(expected) != len(got):
        return f"{len(expected) - 1} turns became {len(got) - 1}"
    return ""
