"""Recipes: what each sets differently from the defaults of `TrainConfig`.

`ludus.trainer.config.RECIPES` has them as configs.
"""

from typing import Any

FIELDS: dict[str, dict[str, Any]] = {
    "spiral": {
        "needs": ("seats",),
        "out": "runs/spiral",
        "loss": "ppo",
        "advantage": "rae",
        "aggregation": "seq-mean-token-sum-norm",
        "epochs": 2,
    },
    # A regularised game is nearly solved, then the magnet moves there and the next one begins: the
    # fixed point of that is the equilibrium. No momentum, which circles around it.
    "kuhn-selfplay": {
        "needs": ("seats",),
        "out": "runs/kuhn-selfplay",
        "steps": 800,
        "episodes": 1024,
        "loss": "reinforce",
        "aggregation": "seq-mean-token-sum",
        "kl": 0.5,
        "kl_end": 0.1,
        "kl_schedule": "linear",
        "magnet_every": 100,
        "lr": 5e-4,
        "lr_end": 1e-5,
        "beta1": 0.0,
        "beta2": 0.99,
        "warmstart_steps": 150,
        "threads": 1,
    },
    "spiral+epo": {
        "needs": ("seats",),
        "out": "runs/spiral-epo",
        "aggregation": "seq-mean-token-sum-norm",
        "epochs": 2,
        "regularizers": ("epo",),
    },
    "marshal": {
        "needs": ("seats",),
        "out": "runs/marshal",
        "advantage": "role_mean:turns=true",
        "loss": "ppo:dual_clip=3",
    },
    "ppo": {
        "out": "runs/ppo",
        "advantage": "gae",
        "epochs": 2,
    },
    "grpo": {
        "out": "runs/grpo",
        "group_size": 8,
        "advantage": "grpo",
        "aggregation": "seq-mean-token-mean",
    },
    "dr-grpo": {
        "out": "runs/dr-grpo",
        "group_size": 8,
        "advantage": "group_mean",
        "aggregation": "seq-mean-token-sum-norm",
    },
    "rloo": {
        "out": "runs/rloo",
        "group_size": 8,
        "advantage": "rloo",
        "loss": "reinforce",
        "aggregation": "seq-mean-token-sum",
    },
    "reinforce++": {
        "out": "runs/reinforce++",
        "advantage": "reinforce++",
    },
    "dapo": {
        "out": "runs/dapo",
        "group_size": 8,
        "shaping": ("overlong",),
        "filters": ("dynamic",),
        "refill": 2,
        "advantage": "grpo",
        "clip_high": 0.28,
    },
    "gspo": {
        "out": "runs/gspo",
        "group_size": 8,
        "advantage": "grpo",
        "loss": "gspo:clip_low=3e-3,clip_high=4e-3",
        "aggregation": "seq-mean-token-mean",
        "epochs": 2,
    },
    "cispo": {
        "out": "runs/cispo",
        "group_size": 8,
        "advantage": "grpo",
        "loss": "cispo",
        "sequence_mask": 0.1,
        "epochs": 2,
    },
    "gigpo": {
        "out": "runs/gigpo",
        "group_size": 8,
        "advantage": "gigpo",
        "aggregation": "seq-mean-token-mean",
    },
    # Ratios by turn, steps compared where states recur, only groups that say something.
    "sampo": {
        "out": "runs/sampo",
        "group_size": 8,
        "filters": ("dynamic",),
        "refill": 2,
        "advantage": "gigpo",
        "loss": "gspo:clip_low=3e-3,clip_high=4e-3,level=turn",
        "kl": 0.01,
        "kl_end": 0.01,
        "kl_schedule": "constant",
        "epochs": 2,
    },
    "empg": {
        "out": "runs/empg",
        "group_size": 8,
        "advantage": "grpo",
        "modulation": ("empg",),
        "aggregation": "seq-mean-token-mean",
    },
    "starpo-s": {
        "out": "runs/starpo-s",
        "group_size": 16,
        "filters": ("starpo_s:keep=0.25",),
        "advantage": "grpo",
        "clip_high": 0.28,
    },
    "epo": {
        "out": "runs/epo",
        "group_size": 8,
        "advantage": "grpo",
        "aggregation": "seq-mean-token-mean",
        "regularizers": ("epo",),
    },
    "igpo": {
        "out": "runs/igpo",
        "group_size": 8,
        "advantage": "igpo",
        "aggregation": "seq-mean-token-mean",
    },
    "otc": {
        "out": "runs/otc",
        "group_size": 8,
        "shaping": ("otc",),
        "advantage": "grpo",
        "aggregation": "seq-mean-token-mean",
    },
}
