"""Items 1 and 8: the contracts of Gymnasium and PettingZoo, and what rewards and endings are."""

import contextlib
import io
import json
import math
import re
from typing import Any

from gymnasium.utils import env_checker

from ludus.envs.base import Info, TextEnv
from ludus.envs.check.subject import Subject, broken, choose
from ludus.envs.text import Obs

_INFO = (
    "seat", "acting", "actor", "rewards", "legal_actions", "task_key", "split", "turn", "invalid",
)  # fmt: skip
_ENOUGH = 1e-9  # rewards are sums of few floats


def standard_apis(subject: Subject) -> str:
    """Other libraries' own checkers pass, and every declared way to render gives text.

    PettingZoo's api_test crashes on plain strings, Gymnasium's passive checker looks at the first
    step only, and 25 of 95 TextArena games cannot even be started.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        env_checker.check_env(subject.make(), skip_render_check=True)
    for mode in subject.env_class.metadata["render_modes"]:
        env = subject.make(render_mode=mode)
        env.reset(seed=subject.seed)
        if not isinstance(env.render(), str):
            broken(f"render() in mode {mode!r} gives {type(env.render()).__name__}, not str")
    for role in subject.make().ROLES:
        if not re.fullmatch(r"[a-z]+_[0-9]+", role):
            broken(f"role {role!r} is not named <word>_<number>, as PettingZoo wants")
    env = subject.make()
    for seed in subject.seeds(3):
        obs, info = env.reset(seed=seed)
        _check_shown(env, obs, info)
        rng = subject.rng("info", seed)
        while env.acting:
            obs, *_, info = env.step(choose(env, env.acting[0], rng))
            _check_shown(env, obs, info)
    try:
        from pettingzoo import test as theirs

        from ludus.envs.pettingzoo import to_aec, to_parallel
    except ImportError:
        return "Gymnasium's check_env; PettingZoo is not installed"
    cycles = min(50, 2 * env.MAX_TURNS)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs.api_test(to_aec(subject.make()), num_cycles=cycles)
        theirs.parallel_api_test(to_parallel(subject.make()), num_cycles=cycles)
        if subject.deterministic:
            theirs.seed_test(lambda: to_aec(subject.make()), num_cycles=cycles)
            theirs.parallel_seed_test(lambda: to_parallel(subject.make()), num_cycles=cycles)
    return "Gymnasium's check_env; PettingZoo's api_test and seed_test, AEC and parallel"


def _check_shown(env: TextEnv, obs: Obs, info: Info) -> None:
    if obs not in env.observation_space:
        broken(f"an observation of {len(obs)} characters is not in {env.observation_space}")
    if missing := [key for key in _INFO if key not in info]:
        broken(f"info lacks {missing[0]!r}")
    try:
        json.dumps(info)
    except (TypeError, ValueError) as error:
        broken(f"info is not JSON: {error}")


def rewards_and_ends(subject: Subject) -> str:
    """Rewards are finite and add up, and an episode ends in exactly one way.

    GEM sets terminated and truncated at once, RAGEN derives one from the other; a game that is
    declared zero-sum and is not teaches two seats to collude. Where nobody says whether a task was
    solved, all that goes by success sees none.
    """
    env = subject.make()
    others = len(env.ROLES) - 1
    own, each_other = env.FORFEIT
    if env.ZERO_SUM and others and abs(own + others * each_other) > _ENOUGH:
        broken(f"declared zero-sum, but a forfeit pays {own} and {each_other} to each other seat")
    ends = {"terminated": 0, "truncated": 0}
    for seed in subject.seeds():
        env.reset(seed=seed)
        rng, total = subject.rng("ends", seed), dict.fromkeys(env.ROLES, 0.0)
        for _ in range(env.MAX_TURNS):
            seat = rng.choice(env.acting)
            _, reward, terminated, truncated, info = env.step(choose(env, seat, rng), seat=seat)
            _check_rewards(env, seat, reward, info)
            for role, gain in info["rewards"].items():
                total[role] += gain
            if terminated and truncated:
                broken("an episode is terminated and truncated at once")
            if terminated or truncated:
                ends["terminated" if terminated else "truncated"] += 1
                break
        else:
            broken(f"an episode has not ended after MAX_TURNS = {env.MAX_TURNS} turns")
        if env.acting:
            broken(f"the episode is over, but {env.acting[0]} is still to act")
        if terminated and env.solvable and info["outcome"]["success"] is None:
            broken("an episode ended by its rules without a success: give one, or SOLVABLE = False")
        returns = info["outcome"]["returns"]
        if any(abs(returns[role] - total[role]) > _ENOUGH for role in env.ROLES):
            broken(f"rewards add up to {total}, but outcome says {returns}")
    return f"{ends['terminated']} episodes terminated, {ends['truncated']} truncated"


def _check_rewards(env: TextEnv, seat: str, reward: Any, info: Info) -> None:
    rewards = info["rewards"]
    if set(rewards) != set(env.ROLES):
        broken(f"rewards name {sorted(rewards)}, the seats are {list(env.ROLES)}")
    for role, gain in rewards.items():
        if not (isinstance(gain, int | float) and math.isfinite(gain)):
            broken(f"the reward of {role} is {gain!r}, not a finite int or float")
    if reward != rewards[seat]:
        broken(f"step returned {reward!r}, but info says {seat} got {rewards[seat]!r}")
    if env.ZERO_SUM and abs(sum(rewards.values())) > _ENOUGH:
        broken(f"declared zero-sum, but rewards are {rewards}")
    for role, parts in info.get("reward_parts", {}).items():
        if abs(sum(parts.values()) - rewards[role]) > _ENOUGH:
            broken(f"parts of {role}'s reward are {parts}, its reward is {rewards[role]}")
