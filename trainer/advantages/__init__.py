"""Advantages: how much better a turn was than expected. One number a turn, broadcast to its
tokens last.

An estimator takes the episodes of one step and returns, for every trajectory in order, one
advantage a turn. One with memory keeps it in `state_dict`, which is checkpointed. Families:
`selfplay` (a baseline per role), `group` (siblings, by the functions of `compare`), `turns` (credit
per turn), `trees` (branches), `critic` (with a critic), `tokens` (token by token without one),
`values` (the pure functions behind these two).
"""

from collections.abc import Callable

from ludus.trainer.advantages.base import GROUPS, Advantages, Estimator, Memoryless, TokenCredit
from ludus.trainer.advantages.critic import GAE, BiLevelGAE, TurnGAE
from ludus.trainer.advantages.group import (
    BNPO,
    CANON,
    GRPO,
    OPO,
    RLOO,
    GroupMean,
    MaxRL,
    PassK,
    ReinforcePlusPlus,
    Returns,
)
from ludus.trainer.advantages.selfplay import RAE, RoleMean
from ludus.trainer.advantages.tokens import OptimalTokenBaseline
from ludus.trainer.advantages.trees import ARPO, SPO, TreeGRPO, TreeRL
from ludus.trainer.advantages.turns import IGPO, MTGRPO, GiGPO, TurnReturns

__all__ = [
    "ADVANTAGES", "ARPO", "BNPO", "CANON", "GAE", "GROUPS", "GRPO", "IGPO", "MTGRPO", "OPO", "RAE",
    "RLOO", "SPO", "Advantages", "BiLevelGAE", "Estimator", "GiGPO", "GroupMean", "MaxRL",
    "Memoryless", "OptimalTokenBaseline", "PassK", "ReinforcePlusPlus", "Returns", "RoleMean",
    "TokenCredit", "TreeGRPO", "TreeRL", "TurnGAE", "TurnReturns",
]  # fmt: skip

ADVANTAGES: dict[str, Callable[..., Estimator]] = {
    "rae": RAE,
    "role_mean": RoleMean,
    "group_mean": GroupMean,
    "grpo": GRPO,
    "rloo": RLOO,
    "opo": OPO,
    "otb": OptimalTokenBaseline,
    "pass_k": PassK,
    "max_rl": MaxRL,
    "canon": CANON,
    "bnpo": BNPO,
    "reinforce++": ReinforcePlusPlus,
    "gigpo": GiGPO,
    "mt_grpo": MTGRPO,
    "igpo": IGPO,
    "turn_returns": TurnReturns,
    "tree_grpo": TreeGRPO,
    "tree_rl": TreeRL,
    "spo": SPO,
    "arpo": ARPO,
    "gae": GAE,
    "bi_level_gae": BiLevelGAE,
    "turn_gae": TurnGAE,
    "returns": Returns,
}
