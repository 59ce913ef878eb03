"""Arenas: an environment as a run plays it, with its settings and who sits where.

A run has one or several: every environment that `env` names, at every level that `env_args` lists.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ludus.agents.base import Agent, Prepares, make_agent
from ludus.agents.solvers.game_tree import GameTree, build_tree
from ludus.envs import registry
from ludus.envs.base import TextEnv
from ludus.envs.task import TaskSet, derive_seed
from ludus.envs.text import Message
from ludus.trainer.config import TrainConfig
from ludus.trainer.warmstart import imitations


@dataclass(frozen=True)
class Arena:
    """One environment of a run."""

    name: str
    """What sets it apart from the run's other arenas; "" if there are none."""
    env_id: str
    level: str
    """What sets it apart from other arenas of its environment; "" if there are none."""
    kwargs: Mapping[str, Any]
    """Its constructor's arguments."""
    env: TextEnv
    """One to look at; games are played in others."""
    tree: GameTree | None
    """The game tree, where it is small enough to query a model for at every evaluation."""
    own: tuple[str, ...]
    """The seats the policy takes in turn; ("",) is all at once."""
    opponent: Agent | None
    """Who plays the others, where it is the same all the time."""

    def make_env(self, **kwargs: Any) -> TextEnv:
        """A new one."""
        return registry.make(self.env_id, **{**self.kwargs, **kwargs})

    def tasks(self, split: str) -> TaskSet:
        """Its tasks, with its parameters."""
        return self.env.tasks(split, **self.env.params)

    def imitations(self, episodes: int, *, agent: str, seed: int) -> list[tuple[Message, ...]]:
        """See `warmstart.imitations`."""
        return imitations(self.env_id, episodes, agent=agent, seed=seed, **self.kwargs)

    def openings(self, episodes: int, *, seed: int) -> list[tuple[Message, ...]]:
        """What seats are told before anything is said: for environments nobody can imitate in."""
        found = []
        for number in range(episodes):
            self.env.reset(seed=derive_seed(seed, "opening", number))
            found += [self.env.observe(seat).messages for seat in self.env.acting]
        return found

    def others(self, own: str, agent: Agent | None) -> dict[str, Agent]:
        """Who plays the seats beside one of `own`."""
        if not own or agent is None:
            return {}
        return {role: agent for role in self.env.ROLES if role != own}


def make_arenas(config: TrainConfig) -> tuple[Arena, ...]:
    """What a config names.

    Raises:
        ValueError: If there is no such environment or opponent, or they do not fit.
    """
    found = [_arena(config, *place) for place in places(config.env, config.env_args)]
    names = [arena.name for arena in found]
    if len(set(names)) < len(names):
        raise ValueError(f"env and env_args name the same twice: {', '.join(names)}")
    return tuple(found)


def places(env: str, env_args: str) -> list[tuple[str, str, str, dict[str, Any]]]:
    """(name, id, level, own arguments) of every environment and level.

    >>> for place in places("ludus/Nim-v1", '[{"heaps": 2}, {"heaps": 3}]'):
    ...     print(place)
    ('heaps=2', 'ludus/Nim-v1', 'heaps=2', {'heaps': 2})
    ('heaps=3', 'ludus/Nim-v1', 'heaps=3', {'heaps': 3})
    """
    suites = registry.suites()
    ids = list(suites[env]) if env in suites else [id.strip() for id in env.split(",")]
    given = json.loads(env_args)
    levels = given if isinstance(given, list) else [given]
    found = []
    for id in ids:
        for level in levels:
            own = level.get(id, {}) if level.keys() & set(ids) else level
            game = id.partition("/")[2] or id if len(ids) > 1 else ""
            said = ",".join(f"{key}={value}" for key, value in own.items())
            mark = said if len(levels) > 1 else ""
            found.append(("/".join(filter(None, (game, mark))), id, mark, dict(own)))
    return found


def _arena(config: TrainConfig, name: str, env_id: str, level: str, args: dict[str, Any]) -> Arena:
    kwargs = {
        **args,
        "format": config.format,
        "on_invalid": config.on_invalid,
        "forfeit": config.forfeit,
    }
    try:
        env = registry.make(env_id, **kwargs)
    except TypeError as error:
        if args:
            raise ValueError(f"{error}; env_args are {json.dumps(args)}") from error
        raise
    if env_id != env.ENV_ID:  # several ids of one class
        level = f"{env_id} {level}".strip()
    if config.opponent == "self":
        return Arena(name, env_id, level, kwargs, env, small_tree(env), ("",), None)
    if len(env.ROLES) < 2:
        raise ValueError(f"{env.ENV_ID} has one seat: opponent must be 'self'")
    agent = None
    if config.opponent.partition(":")[0] != "pool":
        agent = make_agent(config.opponent)
        if isinstance(agent, Prepares):
            agent.prepare(env)
    return Arena(name, env_id, level, kwargs, env, small_tree(env), tuple(env.ROLES), agent)


def tokenizer_texts(config: TrainConfig, arenas: Sequence[Arena]) -> list[str]:
    """What a tokenizer made from nothing learns its merges from."""
    found: list[tuple[Message, ...]] = []
    for arena in arenas:
        try:
            found += arena.imitations(
                64 // len(arenas), agent=config.warmstart_agent, seed=config.seed
            )
        except ValueError:  # it is only there that nobody can be imitated
            found += arena.openings(16, seed=config.seed)
    return [said.content for conversation in found for said in conversation]


def all_imitations(
    config: TrainConfig, arenas: Sequence[Arena], say: Callable[[str], None]
) -> list[tuple[Message, ...]]:
    """The warm start's conversations, of all arenas where somebody can be imitated; none if there
    is to be no warm start.

    Raises:
        ValueError: If there is no such arena.
    """
    found: list[tuple[Message, ...]] = []
    problem: ValueError | None = None
    if not (config.warmstart_episodes and config.warmstart_steps):
        return found
    for i, arena in enumerate(arenas):
        share = len(range(i, config.warmstart_episodes, len(arenas)))
        try:
            found += arena.imitations(share, agent=config.warmstart_agent, seed=config.seed)
        except ValueError as error:
            problem = error
            say(f"warm start: nothing to imitate in {arena.env_id}")
    if problem is not None and not found:
        raise problem
    return found


def small_tree(env: TextEnv, max_nodes: int = 2_000) -> GameTree | None:
    """The game tree, if the environment enumerates its worlds and it is no larger than that."""
    if env.worlds(**env.params) is None:
        return None
    try:
        return build_tree(env, max_nodes=max_nodes)
    except ValueError:
        return None
