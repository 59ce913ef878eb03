"""Items 6 and 13: forks, pickles, records and vector environments all give the same episode."""

import inspect
import json
import pickle
import random
from collections.abc import Mapping, Sequence
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from ludus.envs.base import TextEnv
from ludus.envs.check.subject import (
    Skipped,
    Subject,
    broken,
    choose,
    difference,
    fingerprint,
    play,
    reach,
    record,
)
from ludus.envs.outcome import Replay

_DEPTH = 12  # turns
_PREFIXES = 20  # of a record; each is run from its start
_MISTAKES = 0.2  # of replies, so that forks share no count of them


def forks(subject: Subject) -> str:
    """A fork goes on as the original would have, and leaves it alone.

    Nobody promises this: GEM's `spawn` works for 2 of 172 ids, TextWorld's `copy` is slow and
    untested, ARPO's reference code branches tokens but no environment state.
    """
    env_class = subject.env_class
    how = env_class.metadata["fork"]
    if how == "none":
        raise Skipped('declared fork="none"')
    if not subject.deterministic:
        raise Skipped("declared not deterministic")
    env, rng = subject.make(), subject.rng("fork")
    for n in range(subject.episodes):
        reach(env, rng, rng.randrange(_DEPTH))
        policy = rng.getrandbits(32)
        before = fingerprint(env)
        first, second = env.fork(2)
        branches = {"a fork": first, "its sibling": second}
        branches["a replay"] = env_class.from_replay(env.replay())
        for name, twin in branches.items():
            if fingerprint(twin) != before:
                broken(f"{name} differs from the original before it goes on")
        futures = {}
        for name, twin in branches.items():
            futures[name] = play(twin, random.Random(policy), mistakes=_MISTAKES)
            if fingerprint(env) != before:
                broken(f"playing {name} changed the original")
        expected = play(env, random.Random(policy), mistakes=_MISTAKES)
        for name, future in futures.items():
            if fault := difference(expected, future):
                broken(f"{name} goes on otherwise than the original, {fault}{_shared(env)}")
        starts = [[record(twin, *twin.reset())] for twin in (env, first, second)]
        if starts[0] != starts[1] or starts[0] != starts[2]:
            broken("after a fork ends, its next episode is not the original's next")
        _check_reseed(subject, env, rng, n)
    return f"{subject.episodes} positions, by {how} and replay"


def _shared(env: TextEnv) -> str:
    """Which attributes hold one list, dict or set: forks get two."""
    seen: dict[int, str] = {}
    for name, value in vars(env).items():
        if isinstance(value, list | dict | set) and name not in env._base_names:
            first = seen.setdefault(id(value), name)
            if first != name:
                kind = type(value).__name__
                return f"; self.{first} and self.{name} are one {kind}, which a fork copies twice"
    return ""


def _check_reseed(subject: Subject, env: TextEnv, rng: random.Random, n: int) -> None:
    """Equal reseeds give equal chance, different ones different chance."""
    reach(env, rng, rng.randrange(_DEPTH))
    policy = rng.getrandbits(32)
    twins = [*env.fork(2, reseed=n), *env.fork(2, reseed=n)]
    draws = [twin.chance.random() for twin in [*env.fork(2, reseed=n), *env.fork(1)]]
    if len(set(draws)) != 3:
        broken("reseeded forks share a chance stream")
    again = [subject.env_class.from_replay(twin.replay()) for twin in twins[:2]]
    futures = [play(twin, random.Random(policy)) for twin in twins]
    if futures[:2] != futures[2:]:
        broken("fork(reseed=) gives another future each time")
    if [play(twin, random.Random(policy)) for twin in again] != futures[:2]:
        broken("the replay of a reseeded fork goes on differently")


def round_trips(subject: Subject) -> str:
    """Pickles, JSON records and vector environments give the episode back, turn by turn.

    Gymnasium's AsyncVectorEnv returns strings of zeros for `Text` spaces, and records of other
    gyms re-score texts but cannot run the transitions again.
    """
    if not subject.deterministic:
        raise Skipped("declared not deterministic")
    _check_arguments(subject)
    env, rng = subject.make(), subject.rng("round trips")
    ways = {"pickle": pickle, "cloudpickle": cloudpickle}
    if subject.env_class.metadata["fork"] == "none" or "<locals>" in subject.env_class.__qualname__:
        del ways["pickle"]
    for _ in range(min(10, subject.episodes)):
        reach(env, rng, rng.randrange(_DEPTH))
        policy = rng.getrandbits(32)
        twins = {name: way.loads(way.dumps(env)) for name, way in ways.items()}
        state = env.get_state()
        expected = play(env, random.Random(policy))
        for name, twin in twins.items():
            if fault := difference(expected, play(twin, random.Random(policy))):
                broken(f"after {name}, {fault}")
        record_text = json.dumps(env.replay().to_json())
        for _ in range(2):
            env.set_state(state)
            if fault := difference(expected, play(env, random.Random(policy))):
                broken(f"after set_state, {fault}")
        _check_record(subject, Replay.from_json(json.loads(record_text)), record_text)
    _check_vectors(subject)
    return f"{', '.join(ways)}, set_state, JSON records, sync and async vectors"


def _check_arguments(subject: Subject) -> None:
    """A record holds the arguments that `TextEnv` was given: the parameters, as JSON."""
    env_class = subject.env_class
    known = {*inspect.signature(TextEnv.__init__).parameters, *env_class.PARAMS}
    for name, argument in inspect.signature(env_class.__init__).parameters.items():
        if name not in known and argument.kind is not argument.VAR_KEYWORD:
            broken(f"records do not keep __init__'s argument {name!r}: name it in PARAMS")
    try:
        json.dumps(dict(env_class.PARAMS))
    except TypeError as error:
        broken(f"PARAMS is not JSON: {error}")


def _check_record(subject: Subject, replay: Replay, text: str) -> None:
    """Run a record and a second time turn by turn: position hashes agree."""
    env = subject.env_class(**replay.config)
    env.start(replay.task, replay.chance_seed)
    hashes = [env.state_hash()]
    for seat, action in replay.actions:
        env.step(action, seat=seat)
        hashes.append(env.state_hash())
    turns = len(replay.actions)
    for turn in sorted({0, turns, *range(0, turns, max(1, turns // _PREFIXES))}):
        cut = Replay(replay.config, replay.task, replay.chance_seed, replay.actions[:turn])
        if subject.env_class.from_replay(cut).state_hash() != hashes[turn]:
            broken(f"a record run again is at another position after turn {turn}")
    if json.dumps(env.replay().to_json()) != text:
        broken("a record run again gives another record")


def _check_vectors(subject: Subject) -> None:
    env_class, kwargs = subject.env_class, dict(subject.kwargs)
    count, rounds, seed = 2, min(24, 2 * subject.make().MAX_TURNS), subject.seed
    expected = _sequential(subject, count, rounds)

    def build() -> TextEnv:
        return env_class(**kwargs)

    for name, vector_class in (("sync", SyncVectorEnv), ("async", AsyncVectorEnv)):
        vector: VectorEnv[Any, Any, Any] = vector_class(
            [build] * count, autoreset_mode=AutoresetMode.DISABLED
        )
        try:
            got = _vectorised(vector, expected, count, seed)
        finally:
            vector.close()
        for turn, (a, b) in enumerate(zip(expected, got, strict=True)):
            if a["shown"] != b:
                broken(f"{name} vector environment, turn {turn}: {a['shown']} became {b}")


def _sequential(subject: Subject, count: int, rounds: int) -> list[dict[str, Any]]:
    """The environments one after the other: actions, which were reset, and what was shown."""
    envs = [subject.make() for _ in range(count)]
    rng = subject.rng("vector")
    shown: list[Any] = [str(env.reset(seed=subject.seed + i)[0]) for i, env in enumerate(envs)]
    turns: list[dict[str, Any]] = [{"actions": None, "reset": [], "shown": shown}]
    for _ in range(rounds):
        over = [not env.acting for env in envs]
        if any(over):
            shown = [str(env.reset()[0]) for env in envs if not env.acting]
            turns.append({"actions": None, "reset": over, "shown": shown})
        actions = [choose(env, env.acting[0], rng) for env in envs]
        results = [env.step(action)[:4] for env, action in zip(envs, actions, strict=True)]
        shown = [(str(o), float(r), bool(t), bool(u)) for o, r, t, u in results]
        turns.append({"actions": actions, "reset": [], "shown": shown})
    return turns


def _vectorised(
    vector: VectorEnv[Any, Any, Any],
    turns: Sequence[Mapping[str, Any]],
    count: int,
    seed: int,
) -> list[list[Any]]:
    got: list[list[Any]] = [list(map(str, vector.reset(seed=seed)[0]))]
    for turn in turns[1:]:
        if turn["reset"]:
            mask = np.array(turn["reset"])
            texts, _ = vector.reset(options={"reset_mask": mask})
            got.append([str(texts[i]) for i in range(count) if mask[i]])
        else:
            texts, rewards, ended, cut, _ = vector.step(tuple(turn["actions"]))
            got.append(
                [
                    (str(texts[i]), float(rewards[i]), bool(ended[i]), bool(cut[i]))
                    for i in range(count)
                ]
            )
    return got
