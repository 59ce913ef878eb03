"""Where several claims are measured: eight houses, and TextWorld's coins."""

from dataclasses import replace

import numpy as np
import worlds  # noqa: F401  # registers them
from training import NEVER, Run, warm_started

from ludus.trainer.config import RECIPES, TrainConfig

WATCH = (
    "rollout/success", "rollout/entropy", "rollout/turns_mean", "rollout/invalid_rate",
    "credit/zero_spread", "loss/grad_norm",
)  # fmt: skip
HOUSES = TrainConfig(
    env="worlds:claims/FewHouses-v1",
    env_args='{"kind": "put", "receptacles": 3, "objects": 0, "distractors": 0, '
    '"show_legal": false}',
    model="small:max_positions=1024,vocab_size=1024",
    on_invalid="noop",
    max_reply_tokens=16,
    steps=24,
    episodes=32,
    micro_tokens=2048,
    warmstart_agent="expert:0.3",
    warmstart_episodes=64,
    warmstart_steps=75,
    eval_every=NEVER,
    eval_episodes=64,
)
HOUSE_RATES = (2e-4, 6e-4, 2e-3)
COINS = TrainConfig(
    env="worlds:claims/FewCoins-v1",
    env_args='{"level": 4}',
    model="small:max_positions=1024,vocab_size=1024",
    on_invalid="noop",
    max_reply_tokens=8,
    episodes=16,
    micro_tokens=4096,
    warmstart_agent="expert",
    warmstart_steps=20,
    eval_every=NEVER,
    eval_episodes=64,
)
BEGINNER = replace(COINS, warmstart_agent="random", warmstart_episodes=64, warmstart_steps=60)
"""What all arms among the coins begin with: it has seen random play, and knows what commands look
like. It takes the place of the paper's instruction-tuned model."""
COIN_RATES = (1e-4, 3e-4, 1e-3)
METHOD = (
    "advantage", "aggregation", "loss", "epochs", "modulation", "branching", "group_size",
)  # fmt: skip


def in_world(recipe: str, world: TrainConfig) -> TrainConfig:
    """What a recipe says of the method, in a world."""
    return replace(world, **{name: getattr(RECIPES[recipe], name) for name in METHOD})


def one_of_five(config: TrainConfig) -> TrainConfig:
    """The warm start of a run in the houses: there are five, so two seeds of ten have the same."""
    return replace(HOUSES, seed=config.seed % 5)


def shown(config: TrainConfig) -> TrainConfig:
    """The warm start of a run among the coins, one a seed: demonstrations for the beginner. How
    the run is rewarded is not in them."""
    return replace(config, env_args=COINS.env_args, model=warm_started(BEGINNER))


def wobble(run: Run) -> float:
    """Standard deviation of entropy from step to step: of its differences, over the root of 2."""
    return float(np.std(np.diff(run.curves["rollout/entropy"]), ddof=1) / 2**0.5)


def solved(split: str):  # type: ignore[no-untyped-def]
    """The column of what is solved of a split after training."""
    return lambda run: run.solved[split]


COLUMNS = {
    "success, last quarter": lambda run: run.late("rollout/success"),
    "success, whole run": lambda run: run.late("rollout/success", 1.0),
    "turns, last quarter": lambda run: run.late("rollout/turns_mean"),
    "entropy, last quarter": lambda run: run.late("rollout/entropy"),
    "entropy, step to step": wobble,
}
