"""Policies by name: a run, a checkpoint, a model folder, a hub id."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ludus.agents.chat import Chat
from ludus.agents.engines import make_engine
from ludus.agents.engines.base import SamplingParams
from ludus.agents.policy import ModelAgent
from ludus.agents.small_model import load_model
from ludus.agents.solvers.game_tree import GameTree, build_tree
from ludus.envs import registry
from ludus.envs.base import TextEnv
from ludus.trainer import checkpoint
from ludus.trainer.arena import places
from ludus.trainer.models import check_device


@dataclass(frozen=True, slots=True)
class Policy:
    """A language model and the environment it is to be judged in."""

    agent: ModelAgent
    env: str
    env_kwargs: Mapping[str, Any]

    def make_env(self) -> TextEnv:
        """The environment as the policy was trained to see it."""
        return registry.make(self.env, **self.env_kwargs)


def load_policy(
    name: str,
    *,
    env: str = "",
    env_kwargs: Mapping[str, Any] | None = None,
    temperature: float = 1.0,
    max_reply_tokens: int = 0,
    device: str = "cpu",
) -> Policy:
    """Load a policy.

    Args:
        name: A run or a checkpoint (which know their environment), a model folder, or a hub id.
        env: Environment; needed where the name does not say. Where the run had levels, the last.
        env_kwargs: Its constructor arguments, beside or instead of the run's.
        temperature: Of sampling.
        max_reply_tokens: Of sampling; 0 is what the run had, or else 64.
        device: Where the model goes, as torch names it.

    Raises:
        ValueError: If there is no such policy or device, it is not whole, or no environment is
            known.
    """
    check_device(device)
    folder, settings, kwargs = name, {}, {}
    path = Path(name)
    if path.is_dir() and not (path / "config.json").is_file():  # a model folder has one
        found = checkpoint.find(path)
        folder, settings = str(found.model_path), dict(found.manifest["config"])
    if env:
        registry.spec(env)
    if settings:
        max_reply_tokens = max_reply_tokens or settings["max_reply_tokens"]
        trained = {id: args for _, id, _, args in places(settings["env"], settings["env_args"])}
        if not env and len(trained) > 1:
            raise ValueError(
                f"{name} was trained in several: name one with --env, of {', '.join(trained)}"
            )
        env = env or next(iter(trained))
        kwargs = {"format": settings["format"], **trained.get(env, {})}
    if not env:
        known = "does not say what it was trained in" if path.exists() else "is no folder here"
        raise ValueError(f"{name} {known}: name a run, or an environment with --env")
    model, tokenizer = load_model(folder, device=device)
    chat = Chat(tokenizer)
    sampling = SamplingParams(max_tokens=max_reply_tokens or 64, temperature=temperature)
    agent = ModelAgent(make_engine(model), chat, sampling)
    return Policy(agent, env, {**kwargs, **(env_kwargs or {})})


def tree_of(env: TextEnv) -> GameTree:
    """The tree of a game small enough to query a model at every information set.

    Raises:
        ValueError: If the game is too large or cannot be enumerated.
    """
    return build_tree(env, max_nodes=20_000)
