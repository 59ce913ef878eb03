"""Arenas: an environment as a run plays it, with its settings and who sits where."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ludus.agents.base import Agent, Prepares, make_agent
from ludus.agents.solvers.game_tree import GameTree, build_tree
from ludus.envs import registry
from ludus.envs.base import TextEnv
from ludus.envs.task import TaskSet
from ludus.envs.text import Message
from ludus.trainer.config import TrainConfig
from ludus.trainer.warmstart import imitations

Seating = Mapping[str, Agent]
"""Who plays the seats that are not the policy's."""


@dataclass(frozen=True)
class Arena:
    """One environment of a run."""

    env_id: str
    kwargs: Mapping[str, Any]
    """Its constructor's arguments."""
    env: TextEnv
    """One to look at; games are played in others."""
    tree: GameTree | None
    """The game tree, where it is small enough to query a model for at every evaluation."""
    seatings: tuple[Seating, ...]
    """One for each seat the policy takes in turn; a single empty one is self-play."""

    @classmethod
    def of(cls, config: TrainConfig) -> "Arena":
        """What a config names.

        Raises:
            ValueError: If there is no such environment or opponent, or they do not fit.
        """
        kwargs = {
            **json.loads(config.env_args),
            "format": config.format,
            "on_invalid": config.on_invalid,
            "forfeit": config.forfeit,
        }
        env = registry.make(config.env, **kwargs)
        tree = small_tree(env)
        return cls(config.env, kwargs, env, tree, _seatings(config.opponent, env))

    def make_env(self, **kwargs: Any) -> TextEnv:
        """A new one."""
        return registry.make(self.env_id, **{**self.kwargs, **kwargs})

    def tasks(self, split: str) -> TaskSet:
        """Its tasks, with its parameters."""
        return self.env.tasks(split, **self.env.params)

    def imitations(self, episodes: int, *, agent: str, seed: int) -> list[tuple[Message, ...]]:
        """See `warmstart.imitations`."""
        return imitations(self.env_id, episodes, agent=agent, seed=seed, **self.kwargs)


def small_tree(env: TextEnv, max_nodes: int = 2_000) -> GameTree | None:
    """The game tree, if the environment enumerates its worlds and it is no larger than that."""
    if env.worlds(**env.params) is None:
        return None
    try:
        return build_tree(env, max_nodes=max_nodes)
    except ValueError:
        return None


def _seatings(opponent: str, env: TextEnv) -> tuple[Seating, ...]:
    if opponent == "self":
        return ({},)
    if len(env.ROLES) < 2:
        raise ValueError(f"{env.ENV_ID} has one seat: opponent must be 'self'")
    agent = make_agent(opponent)
    if isinstance(agent, Prepares):
        agent.prepare(env)
    return tuple({role: agent for role in env.ROLES if role != own} for own in env.ROLES)
