"""Corrections for tokens that other weights sampled, or the same weights in another program.

Let d_t = logp_old - logp_sampled: what the learner's weights said at the start of the update, less
what was recorded at sampling. A weight multiplies a token's loss; a rejection takes the token out
of the loss and its denominators. Both are computed once per rollout, over all tokens of a step, so
they do not depend on how it is split; the policy loss then measures its ratio from logp_old.

Products over a sequence shrink or explode with its length: a weight of 17 at ratios that are all
near 1 was reported (NeMo-RL PR 2269). So sequences are judged by means here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ludus.trainer.loss import MAX_LOG_RATIO, Segments

if TYPE_CHECKING:
    from ludus.trainer.batch import MicroBatch


@dataclass(frozen=True, slots=True)
class StepTokens:
    """All trained tokens of an optimizer step."""

    logp_old_N: Tensor
    """(N,) log-probability under the learner's weights before the update, nats."""
    logp_sampled_N: Tensor
    """(N,) as recorded at sampling, nats."""
    advantage_N: Tensor
    at: Segments

    @property
    def log_ratio_N(self) -> Tensor:
        """(N,) d, clamped to +-20."""
        return (self.logp_old_N - self.logp_sampled_N).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


class Correction(Protocol):
    """Weighs and rejects tokens."""

    def __call__(self, tokens: StepTokens) -> tuple[Tensor, Tensor]:
        """(N,) factors of the losses, and (N,) bool: which tokens stay. No gradient."""


def _positive(**values: float) -> None:
    for name, value in values.items():
        if value <= 0:
            raise ValueError(f"{name} must be more than 0, got {value}")


def _bounds(low: float, high: float) -> None:
    if not 0 <= low <= 1 <= high:
        raise ValueError(f"a ratio of 1 must be inside the bounds, got {low} and {high}")


def _all(tokens: StepTokens) -> Tensor:
    return torch.ones_like(tokens.logp_old_N, dtype=torch.bool)


def tis(cap: float = 2.0, normalize: bool = False) -> Correction:
    """Truncated importance sampling by token: w = min(exp d, cap).

    Args:
        cap: Largest weight.
        normalize: Divide by the mean weight, after the cap.

    Source: verl, "rollout correction".
    """
    _positive(cap=cap)

    def apply(tokens: StepTokens) -> tuple[Tensor, Tensor]:
        weight_N = tokens.log_ratio_N.exp().clamp(max=cap)
        return weight_N / weight_N.mean() if normalize else weight_N, _all(tokens)

    return apply


def sequence_tis(cap: float = 2.0, mean: bool = True) -> Correction:
    """The same by sequence: w = min(exp(mean d), cap), or with mean=false the product min(exp(sum
    d), cap), which is exact and useless for long episodes."""
    _positive(cap=cap)

    def apply(tokens: StepTokens) -> tuple[Tensor, Tensor]:
        reduce = tokens.at.mean_N if mean else tokens.at.sum_N
        log_N = reduce(tokens.log_ratio_N).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
        return log_N.exp().clamp(max=cap), _all(tokens)

    return apply


def geometric(low: float = 0.999, high: float = 1.001) -> Correction:
    """Reject sequences whose geometric mean ratio exp(mean d) is outside [low, high]."""
    _bounds(low, high)

    def apply(tokens: StepTokens) -> tuple[Tensor, Tensor]:
        ratio_N = tokens.at.mean_N(tokens.log_ratio_N).exp()
        return torch.ones_like(ratio_N), (ratio_N >= low) & (ratio_N <= high)

    return apply


def k3(limit: float = 0.01) -> Correction:
    """Reject sequences whose mean of exp(d) - 1 - d is above a limit, nats."""
    _positive(limit=limit)

    def apply(tokens: StepTokens) -> tuple[Tensor, Tensor]:
        d_N = tokens.log_ratio_N
        return torch.ones_like(d_N), tokens.at.mean_N(d_N.exp() - 1 - d_N) <= limit

    return apply


def token_bounds(low: float = 0.6, high: float = 1.6) -> Correction:
    """Reject tokens whose ratio exp d is outside [low, high] (IcePop; verl's token_k1)."""
    _bounds(low, high)

    def apply(tokens: StepTokens) -> tuple[Tensor, Tensor]:
        ratio_N = tokens.log_ratio_N.exp()
        return torch.ones_like(ratio_N), (ratio_N >= low) & (ratio_N <= high)

    return apply


def covariances(advantage_N: Tensor, logp_N: Tensor) -> Tensor:
    """(N,) (A - mean A)(logp - mean logp): tokens of high covariance are where entropy is lost.

    Source: arXiv:2505.22617.
    """
    return (advantage_N - advantage_N.mean()) * (logp_N - logp_N.mean())


def clip_cov(part: float = 2e-4, low: float = 1.0, high: float = 5.0, seed: int = 0) -> Correction:
    """Reject a random part of the tokens whose covariance is in (low, high).

    The source does this at every inner step; here once, with the weights before the update.

    Args:
        part: Of all tokens; at least one, if there are any.
        low: Of the covariance, nats times reward units.
        high: The same.
        seed: Of the choice; the number of tokens is mixed in.

    Source: Clip-Cov, arXiv:2505.22617.
    """
    if not (0 < part <= 1 and low < high):
        raise ValueError(f"need 0 < part <= 1 and low < high, got {part}, {low} and {high}")

    def apply(tokens: StepTokens) -> tuple[Tensor, Tensor]:
        cov_N = covariances(tokens.advantage_N, tokens.logp_old_N)
        found = ((cov_N > low) & (cov_N < high)).nonzero().flatten().cpu()
        keep_N = _all(tokens)
        if found.numel():
            count = min(max(1, int(part * cov_N.numel())), found.numel())
            generator = torch.Generator().manual_seed(seed + cov_N.numel())
            # By value, so that the choice does not depend on how the step was laid out.
            found = found[cov_N.cpu()[found].argsort()]
            chosen = found[torch.randperm(found.numel(), generator=generator)[:count]]
            keep_N[chosen.to(keep_N.device)] = False
        return torch.ones_like(cov_N), keep_N

    return apply


CORRECTIONS: dict[str, Callable[..., Correction]] = {
    "tis": tis,
    "sequence_tis": sequence_tis,
    "geometric": geometric,
    "k3": k3,
    "token_bounds": token_bounds,
    "clip_cov": clip_cov,
}


def mismatch(tokens: StepTokens) -> dict[str, float]:
    """How far the learner is from what sampled, over all tokens, rejected ones included.

    Returns:
        k1 and k3 estimates of KL(sampled || learner), nats a token; chi2, mean of rho^2 - 1; the
        largest and mean ratio before any cap; the effective sample size as a part of N.
    """
    d_N = tokens.log_ratio_N
    ratio_N = d_N.exp()
    return {
        "mismatch/k1": float(-d_N.mean()),
        "mismatch/k3": float((ratio_N - 1 - d_N).mean()),
        "mismatch/chi2": float((ratio_N**2).mean() - 1),
        "mismatch/ratio_mean": float(ratio_N.mean()),
        "mismatch/ratio_max": float(ratio_N.max()),
        "mismatch/ess": float(ratio_N.mean() ** 2 / (ratio_N**2).mean()),
    }


def correct(
    corrections: Sequence[Correction],
    batches: Sequence["MicroBatch"],
    logps_old: Sequence[Tensor],
    weigh: Callable[[Tensor], Tensor],
) -> tuple[list["MicroBatch"], dict[str, float]]:
    """Apply corrections to a whole optimizer step.

    Args:
        corrections: Factors multiply, rejections add up.
        batches: The step's micro-batches.
        logps_old: Of each, (N,) the learner's log-probabilities before the update.
        weigh: From the trajectories of the remaining tokens to their weights, see `token_weights`.

    Returns:
        Micro-batches with new weights, 0 where a token was rejected, and numbers for the log, those
        of `mismatch` before any rejection.
    """
    tokens = StepTokens(
        torch.cat(list(logps_old)),
        torch.cat([batch.logp_sampled_N for batch in batches]),
        torch.cat([batch.advantage_N for batch in batches]),
        Segments(
            torch.cat([batch.row_N for batch in batches]),
            torch.cat([batch.turn_N for batch in batches]),
        ),
    )
    factor_N = torch.ones_like(tokens.logp_old_N)
    keep_N = _all(tokens)
    for correction in corrections:
        factor, keep = correction(tokens)
        factor_N, keep_N = factor_N * factor, keep_N & keep
    weight_N = torch.zeros_like(factor_N)
    if bool(keep_N.any()):
        weight_N[keep_N] = weigh(tokens.at.row_N[keep_N].cpu()).to(weight_N) * factor_N[keep_N]
    parts = torch.split(weight_N, [batch.weight_N.numel() for batch in batches])
    metrics = mismatch(tokens) | {
        "mismatch/weight_mean": float(factor_N.mean()),
        "mismatch/rejected": 1 - float(keep_N.float().mean()),
    }
    return [replace(b, weight_N=w) for b, w in zip(batches, parts, strict=True)], metrics
