"""Policy losses over flat tokens: one entry per trained token, in any order.

N counts the trained tokens of a micro-batch. Every loss is a weighted sum over tokens; the
weights come from `token_weights`, whose denominators are counted over the whole optimizer step,
so that micro-batches add up to exactly one big batch.
"""

from collections.abc import Callable

from ludus.trainer.loss.base import MAX_LOG_RATIO, PolicyLoss, Segments
from ludus.trainer.loss.sequence import gmpo, gspo, masked, sequence_mask
from ludus.trainer.loss.token import aepo, asymre, cispo, opmd, ppo, reinforce, sapo
from ludus.trainer.loss.weights import AGGREGATIONS, Aggregation, token_weights

__all__ = [
    "AGGREGATIONS", "LOSSES", "MAX_LOG_RATIO", "Aggregation", "PolicyLoss", "Segments", "aepo",
    "asymre", "cispo", "gmpo", "gspo", "masked", "opmd", "ppo", "reinforce", "sapo",
    "sequence_mask", "token_weights",
]  # fmt: skip

LOSSES: dict[str, Callable[..., PolicyLoss]] = {
    "ppo": ppo,
    "reinforce": reinforce,
    "cispo": cispo,
    "aepo": aepo,
    "sapo": sapo,
    "gspo": gspo,
    "gmpo": gmpo,
    "asymre": asymre,
    "opmd": opmd,
}
