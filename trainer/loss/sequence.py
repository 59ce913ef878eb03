"""Losses of sequences: the ratio is a mean over a trajectory's, or a turn's, sampled tokens."""

import torch
from torch import Tensor

from ludus.trainer.loss.base import (
    PolicyLoss,
    Segments,
    check_clip,
    log_ratio,
    needs_segments,
    watched,
)

Result = tuple[Tensor, dict[str, Tensor]]


def gspo(clip_low: float = 3e-4, clip_high: float = 4e-4, level: str = "sequence") -> PolicyLoss:
    """PPO's clip on the geometric mean ratio of a sequence.

        s = exp(mean of log rho over the sequence),  s_t = sg[s] pi_t / sg[pi_t]
        l_t = -min(s_t A_t, clip(s_t, 1 - clip_low, 1 + clip_high) A_t)

    The token form has the gradient of the sequence form where A is one number a sequence, and
    allows one number a turn. Only sampled tokens count for the length. The source averages with
    "seq-mean-token-mean".

    Args:
        clip_low: The lower bound of s is 1 - clip_low; agents use 3e-3 to 3e-2.
        clip_high: The upper bound is 1 + clip_high; agents use 4e-3 to 4e-2.
        level: "sequence" or "turn".

    Source: GSPO, arXiv:2507.18071; turns, arXiv:2601.04767.
    """
    check_clip(clip_low, clip_high)
    if level not in ("sequence", "turn"):
        raise ValueError(f"unknown level {level!r}, allowed: sequence, turn")

    def loss(
        logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor, at: Segments | None = None
    ) -> Result:
        log_ratio_N = log_ratio(logp_N, logp_sampled_N)
        mean_N = needs_segments(at, "gspo").mean_N(log_ratio_N.detach(), level)
        # sg[s] pi / sg[pi]: the value of s, the gradient of this token.
        ratio_N = (mean_N + logp_N - logp_N.detach()).clamp(max=10.0).exp()
        clipped_N = ratio_N.clamp(1 - clip_low, 1 + clip_high)
        losses_N = -torch.minimum(ratio_N * advantage_N, clipped_N * advantage_N)
        with torch.no_grad():
            acts_N = clipped_N * advantage_N < ratio_N * advantage_N
        return losses_N, watched(acts_N, advantage_N, log_ratio_N)

    return loss


def gmpo(clip_low: float = 0.4, clip_high: float = 0.4) -> PolicyLoss:
    """The geometric mean of the clipped ratios of a sequence, times its advantage.

        c_t = the more pessimistic, by the sign of A, of log rho_t and
              clip(log rho_t, -clip_low, clip_high)
        l = -exp(mean of c_t over the sequence) A

    Every token of the sequence gets l, so weigh with "seq-mean-token-mean". A is the mean of the
    sequence's.

    Args:
        clip_low: Lower bound of the log-ratio is -clip_low, nats.
        clip_high: Upper bound of the log-ratio, nats.

    Source: GMPO, arXiv:2507.20673.
    """
    if clip_low < 0 or clip_high < 0:
        raise ValueError(f"clip bounds must be 0 or more, got {clip_low}, {clip_high}")

    def loss(
        logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor, at: Segments | None = None
    ) -> Result:
        segments = needs_segments(at, "gmpo")
        log_ratio_N = log_ratio(logp_N, logp_sampled_N)
        advantage_N = segments.mean_N(advantage_N)
        sign_N = advantage_N.sign()
        clipped_N = log_ratio_N.clamp(-clip_low, clip_high)
        chosen_N = sign_N * torch.minimum(sign_N * log_ratio_N, sign_N * clipped_N)
        ratio_N = segments.mean_N(chosen_N).exp()
        extra = watched((chosen_N != log_ratio_N).detach(), advantage_N, log_ratio_N)
        return -ratio_N * advantage_N, extra

    return loss


def sequence_mask(
    logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor, at: Segments, limit: float
) -> Tensor:
    """(N,) bool: false on the tokens of a sequence that went wrong and became much less likely.

        A < 0 and mean over the sequence of (logp_sampled - logp) > limit

    Such sequences carry the collapse of soft clips. A is the mean of the sequence's; the
    denominators of the loss stay as they are.

    Source: ARLArena, arXiv:2602.21534, Table 1; DeepSeek-V3.2's off-policy sequence mask.

    >>> at = Segments(torch.tensor([0, 1]), torch.tensor([0, 0]))
    >>> two = torch.tensor
    >>> sequence_mask(two([-3.0, -3.0]), two([-1.0, -1.0]), two([-1.0, 1.0]), at, 0.5)
    tensor([False,  True])
    """
    drift_N = at.mean_N((logp_sampled_N - logp_N).detach())
    return ~((at.mean_N(advantage_N) < 0) & (drift_N > limit))


def masked(loss: PolicyLoss, limit: float) -> PolicyLoss:
    """A loss with `sequence_mask`."""

    def with_mask(
        logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor, at: Segments | None = None
    ) -> Result:
        losses_N, extra = loss(logp_N, logp_sampled_N, advantage_N, at)
        keep_N = sequence_mask(
            logp_N, logp_sampled_N, advantage_N, needs_segments(at, "with a sequence mask"), limit
        )
        return torch.where(keep_N, losses_N, 0.0), {**extra, "masked_frac": (~keep_N).float()}

    return with_mask
