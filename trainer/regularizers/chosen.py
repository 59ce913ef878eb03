"""Terms on a few chosen tokens of a step: rare ones, and those where entropy is lost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ludus.trainer.regularizers.base import Counted

if TYPE_CHECKING:
    from ludus.trainer.batch import MicroBatch


class LpReg(Counted):
    """Protects rare tokens that are not noise: KL(proxy || policy) where one would be unlearned.

        proxy = policy without tokens below kappa max pi, renormalised; no gradient
        term = beta mean over tokens of KL(proxy || policy), where A < 0, the sampled token is among
        the rarest `rare` part of the step's tokens, and the proxy keeps it

    Args:
        beta: Weight.
        kappa: Threshold of the proxy, as a part of the largest probability (min-p).
        rare: Part of the step's tokens, by their probability at sampling.

    Source: Lp-Reg, arXiv:2510.03222.
    """

    def __init__(self, beta: float = 1.0, kappa: float = 0.02, rare: float = 0.01) -> None:
        if not (0 < kappa <= 1 and 0 < rare <= 1):
            raise ValueError(f"kappa and rare must be in (0, 1], got {kappa} and {rare}")
        self.beta, self.kappa, self.rare = beta, kappa, rare
        self._threshold = float("-inf")

    def begin(self, batches: Sequence["MicroBatch"]) -> None:
        """See `Regularizer`."""
        super().begin(batches)
        logps = torch.cat([batch.logp_sampled_N for batch in batches])
        rank = max(1, int(self.rare * logps.numel()))
        self._threshold = float(logps.kthvalue(rank).values)

    def __call__(self, logps_UV: Tensor, batch: "MicroBatch") -> tuple[Tensor, dict[str, Tensor]]:
        """See `Regularizer`."""
        candidate_N = (batch.advantage_N < 0) & (batch.logp_sampled_N <= self._threshold)
        at = candidate_N.nonzero().flatten()
        slot, token = batch.slot_N[at], batch.token_N[at]
        logps = logps_UV[slot]
        p = logps.detach().exp()
        kept = p > self.kappa * p.max(-1, keepdim=True).values
        chosen = kept.gather(1, token[:, None])[:, 0]
        proxy = torch.where(kept, p, 0.0)
        proxy = proxy / proxy.sum(-1, keepdim=True)
        kl = (proxy * (proxy.clamp(min=1e-30).log() - logps)).sum(-1)
        total = torch.where(chosen, kl, 0.0).sum() / self.tokens
        return self.beta * total, {
            "lp_reg/kl": total,
            "lp_reg/protected": chosen.float().sum() / self.tokens,
        }


class KLCov(Counted):
    """Holds the tokens back where entropy is lost fastest: those of the highest covariance of
    advantage and log-probability, see `covariances`.

        term = weight sum over chosen tokens of w_t |log rho_t|,  w_t the token's weight in the loss

    The choice is made once a rollout, by the probabilities at sampling and over the whole step. In
    the first of several epochs rho is 1 and the term does nothing.

    Args:
        weight: Of the term.
        part: Of the step's tokens; at least one.

    Source: KL-Cov, arXiv:2505.22617.
    """

    def __init__(self, weight: float = 1.0, part: float = 2e-4) -> None:
        if not 0 < part <= 1:
            raise ValueError(f"part must be in (0, 1], got {part}")
        self.weight, self.part = weight, part
        self._advantage, self._logp, self._threshold = 0.0, 0.0, float("inf")

    def begin(self, batches: Sequence["MicroBatch"]) -> None:
        """See `Regularizer`."""
        super().begin(batches)
        advantage = torch.cat([batch.advantage_N for batch in batches])
        logp = torch.cat([batch.logp_sampled_N for batch in batches])
        self._advantage, self._logp = float(advantage.mean()), float(logp.mean())
        count = max(1, int(self.part * self.tokens))
        self._threshold = float(self._covariances(advantage, logp).topk(count).values[-1])

    def _covariances(self, advantage_N: Tensor, logp_N: Tensor) -> Tensor:
        return (advantage_N - self._advantage) * (logp_N - self._logp)

    def __call__(self, logps_UV: Tensor, batch: "MicroBatch") -> tuple[Tensor, dict[str, Tensor]]:
        """See `Regularizer`."""
        chosen_N = (
            self._covariances(batch.advantage_N, batch.logp_sampled_N) >= self._threshold
        ).to(batch.weight_N)
        moved_N = (logps_UV[batch.slot_N, batch.token_N] - batch.logp_sampled_N).abs()
        total = (batch.weight_N * chosen_N * moved_N).sum()
        return self.weight * total, {
            "kl_cov/moved": total,
            "kl_cov/chosen": chosen_N.sum() / self.tokens,
        }
