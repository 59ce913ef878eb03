"""Ludus: a gym and a trainer for language agents.

Importing it costs little more than Gymnasium: what needs torch is imported when first used.
"""

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium

from ludus.agents.base import Agent, make_agent
from ludus.envs import (
    Golden,
    InvalidMove,
    Message,
    Obs,
    Outcome,
    Replay,
    Rows,
    Task,
    TaskSet,
    TextEnv,
    TextSpace,
    Verdict,
    make_vec,
    register,
    spec,
    specs,
    suite,
    suites,
)
from ludus.envs import registry as _registry
from ludus.envs.views import seat_view

if TYPE_CHECKING:
    from ludus.agents.small_model import small_model
    from ludus.envs.pettingzoo import to_aec, to_parallel

# MKL, which torch multiplies with on x86, otherwise rounds by where in memory a matrix happens to
# begin, on AMD's processors at least: equal runs would differ in their last bits. It reads this
# when it first computes, and loses no speed by it.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__version__ = "0.1.0"

__all__ = [
    "Agent", "Golden", "InvalidMove", "Message", "Obs", "Outcome", "Replay", "Rows", "Task",
    "TaskSet", "TextEnv", "TextSpace", "Verdict", "make", "make_agent", "make_vec", "register",
    "seat_view", "small_model", "spec", "specs", "suite", "suites", "to_aec", "to_parallel",
]  # fmt: skip


def make(
    env_id: str,
    *,
    opponents: str | Agent | Mapping[str, str | Agent] | None = None,
    seat: str | None = None,
    **kwargs: Any,
) -> Any:
    """Build an environment.

    Without opponents it is the `TextEnv` itself; one with several seats is then stepped seat by
    seat (self-play, hot seat). With opponents it is a single-agent Gymnasium environment in which
    they play the other seats.

    Args:
        env_id: A registered id, or "module:id".
        opponents: One agent (or its spec, such as "minimax") for all other seats, or one per seat.
        seat: The seat left to the caller; by default the first that no opponent is named for.
        **kwargs: The environment's own.

    Raises:
        ValueError: If the id, an opponent or a seat is unknown.
    """
    if opponents is None and seat is not None:
        raise ValueError(f"seat {seat!r} plays against opponents: name them too")
    env = _registry.make(env_id, **kwargs)
    if opponents is None:
        return env
    if not isinstance(opponents, Mapping):
        own = seat or env.ROLES[0]
        opponents = {role: opponents for role in env.ROLES if role != own}
    agents = {
        role: make_agent(agent) if isinstance(agent, str) else agent
        for role, agent in opponents.items()
    }
    view: gymnasium.Env[str, str] = seat_view(env, agents, seat=seat)
    return view


_LAZY = {
    "small_model": "ludus.agents.small_model",
    "to_aec": "ludus.envs.pettingzoo",
    "to_parallel": "ludus.envs.pettingzoo",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'ludus' has no attribute {name!r}")
