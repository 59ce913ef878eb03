"""Items 2 to 4: an episode depends on its seed, and on nothing else."""

import gc
import random
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ludus.envs.check.child import Job, run_children
from ludus.envs.check.subject import (
    Skipped,
    Subject,
    broken,
    choose,
    difference,
    episode,
    plain,
    record,
    right_at_first,
    shown,
)

_HASH_SEEDS = ("1", "2")  # two, because small sets come out in the same order by luck
_THREADS = 4
_GROWTH_LIMIT = 512  # bytes an episode may leave behind, on average
_ENOUGH = 10  # episodes for caches to fill
_MARK = "zebra-7f3a"


def repeatable(subject: Subject) -> str:
    """Same seed, same moves, same bytes.

    TextArena's Kuhn poker shuffles its deck in place: `reset(seed=7)` on one object deals three
    different hands in turn. GEM, tau2 and OpenEnv drop or share seeds between rollouts.
    """
    if not subject.deterministic:
        raise Skipped("declared not deterministic")
    seeds = subject.seeds(max(3, subject.episodes // 2))
    expected = {seed: episode(subject.make(), seed) for seed in seeds}

    def compare(how: str, seed: int, got: list[list[str]]) -> None:
        if fault := difference(expected[seed], got):
            broken(f"{how}, seed {seed}, {fault}")

    for seed in seeds:
        compare("a fresh object", seed, episode(subject.make(), seed))
    used = subject.make()
    for seed in [*seeds, *reversed(seeds)]:
        compare("one object again", seed, episode(used, seed))
    _continue_alike(subject)
    for seed, got in zip(seeds, _interleaved(subject, seeds), strict=True):
        compare("instances in turn", seed, got)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            for seed, got in zip(
                seeds, pool.map(lambda s: episode(subject.make(), s), seeds), strict=True
            ):
                compare("threads", seed, got)
    finally:
        sys.setswitchinterval(interval)
    few = seeds[:5]
    jobs = [Job("trace", subject, few, hash_seed=hash_seed) for hash_seed in _HASH_SEEDS]
    right = right_at_first(subject.make(), few[0])
    for hash_seed, (theirs, traces) in zip(_HASH_SEEDS, run_children(jobs), strict=True):
        process = f"a process with PYTHONHASHSEED={hash_seed}"
        for seed, got in zip(few, traces, strict=True):
            compare(process, seed, got)
        if fault := difference([right], [theirs]):
            broken(f"{process}, seed {few[0]}, {fault}")
    return f"{len(seeds)} seeds: fresh, again, in turn, threads, {len(_HASH_SEEDS)} processes"


def _continue_alike(subject: Subject) -> None:
    """`reset()` without a seed goes on from the last seed."""
    first, second = subject.make(), subject.make()
    for env in (first, second):
        env.reset(seed=subject.seed)
    for _ in range(3):
        ours, theirs = first.reset(), second.reset()
        if fault := difference([record(first, *ours)], [record(second, *theirs)]):
            broken(f"resets without a seed after reset(seed={subject.seed}), {fault}")


def _interleaved(subject: Subject, seeds: list[int]) -> list[list[list[str]]]:
    """Episodes stepped in turn, one turn of each at a time."""
    envs = [subject.make() for _ in seeds]
    rngs = [random.Random(seed) for seed in seeds]
    traces = []
    for env, seed in zip(envs, seeds, strict=True):
        traces.append([record(env, *env.reset(seed=seed))])
    for _ in range(max(env.MAX_TURNS for env in envs)):
        for env, rng, trace in zip(envs, rngs, traces, strict=True):
            if env.acting:
                seat = rng.choice(env.acting)
                action = choose(env, seat, rng)
                obs, reward, terminated, truncated, info = env.step(action, seat=seat)
                end = f"{seat} {action} {reward!r} {terminated} {truncated}"
                trace.append([end, *record(env, obs, info)])
    return traces


def global_rng(subject: Subject) -> str:
    """The process's random generators are neither seeded nor drawn from.

    TextArena, GEM's games and tau2 reseed Python's `random` at reset, so that concurrent rollouts
    change each other's tasks.
    """
    python, numpy = random.getstate(), np.random.get_state()
    try:
        # Seeds that no environment uses: a reseed to the very state we left would go unseen.
        random.seed("ludus check")
        np.random.seed(918273645)
        before = random.getstate(), repr(np.random.get_state(legacy=False))
        env = subject.make()
        for seed in subject.seeds(min(5, subject.episodes)):
            episode(env, seed)
        if random.getstate() != before[0]:
            broken("Python's global random state was changed by make, reset or step")
        if repr(np.random.get_state(legacy=False)) != before[1]:
            broken("numpy.random's global state was changed by make, reset or step")
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
    return "random and numpy.random untouched"


def no_leaks(subject: Subject) -> str:
    """Nothing of an episode is left in the next, and memory does not grow.

    TextArena's observation wrapper keeps its buffer over resets: the fourth episode starts with
    4,594 characters where the first had 514. AgentBench's ALFWorld server grows until it dies.
    """
    env, rng = subject.make(), subject.rng("leaks")
    for seed in subject.seeds(min(8, subject.episodes)):
        fresh = subject.make()
        fresh_start, start = fresh.reset(seed=seed), env.reset(seed=seed)
        if subject.deterministic and (
            fault := difference([record(fresh, *fresh_start)], [record(env, *start)])
        ):
            broken(f"an object that was played before starts differently: {fault}")
        said = " ".join(text for texts in shown(env) for text in texts)
        if _MARK in said + "".join(env.observe(role) for role in env.ROLES) + plain(start[1]):
            broken("what was said in an episode is shown in the next")
        for turn in range(env.MAX_TURNS):
            if not env.acting:
                break
            seat = rng.choice(env.acting)
            reply = _MARK if turn % 3 == 0 else choose(env, seat, rng)
            env.step(reply, seat=seat)
    growth = _growth(subject)
    if growth > _GROWTH_LIMIT:
        broken(f"memory grows by {growth:.0f} bytes an episode, at most {_GROWTH_LIMIT}")
    return f"memory grows by {max(0.0, growth):.0f} bytes an episode"


def _growth(subject: Subject) -> float:
    """Bytes left behind by an episode: the least of three windows, so that caches may fill. Where
    few episodes are played, all windows have the same ones, or they would not."""
    env, window = subject.make(), max(4, subject.episodes)
    shift = window if subject.episodes >= _ENOUGH else 0
    windows = []
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        for part in range(4):
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            for i in range(window):
                env.reset(seed=part * shift + i)
                rng = random.Random(i)
                while env.acting:
                    env.step(choose(env, env.acting[0], rng))
            env.reset(seed=0)
            gc.collect()
            windows.append((tracemalloc.get_traced_memory()[0] - before) / window)
    finally:
        if not was_tracing:
            tracemalloc.stop()
    return min(windows[1:])
