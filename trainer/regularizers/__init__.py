"""Regularizers: what is added to the policy loss, from whole distributions.

A regularizer sees a step's micro-batches first (`begin`), then the distributions of each with
gradient, and is told when the step is over (`end`). Denominators are counted in `begin`, over the
whole step, so the term does not depend on how the step is split. U counts predicting positions,
V the vocabulary, N trained tokens; token n is predicted at position slot_N[n].
"""

from collections.abc import Callable

from ludus.trainer.regularizers.base import Regularizer, kl_estimate
from ludus.trainer.regularizers.chosen import KLCov, LpReg
from ludus.trainer.regularizers.entropy import EPO, AdaptiveEntropy

__all__ = ["EPO", "REGULARIZERS", "AdaptiveEntropy", "KLCov", "LpReg", "Regularizer", "kl_estimate"]

REGULARIZERS: dict[str, Callable[..., Regularizer]] = {
    "epo": EPO,
    "adaptive_entropy": AdaptiveEntropy,
    "lp_reg": LpReg,
    "kl_cov": KLCov,
}
