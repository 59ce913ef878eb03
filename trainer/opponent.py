"""Opponents by name: an agent, or a language model that lies in a folder."""

from pathlib import Path

from ludus.agents.base import Agent, Prepares, make_agent
from ludus.envs.base import TextEnv


def make_opponent(spec: str, env: TextEnv) -> Agent:
    """Who plays the other seats, ready to.

    Args:
        spec: An agent ("random", "mcts:200", ...), or a folder: a run, a checkpoint, a model.
        env: What will be played. A model answers in the format of this environment.

    Raises:
        ValueError: If there is none of that name, or it cannot play this.
    """
    if Path(spec).is_dir():
        from ludus.trainer.load import load_policy  # imports torch, which other opponents do not

        return load_policy(spec, env=env.ENV_ID).agent
    agent = make_agent(spec)
    if isinstance(agent, Prepares):
        agent.prepare(env)
    return agent
