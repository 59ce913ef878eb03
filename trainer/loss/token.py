"""Losses of single tokens: rho_t = exp(logp_t - logp_sampled_t), A_t the advantage of its turn."""

import torch
from torch import Tensor

from ludus.trainer.loss.base import (
    PolicyLoss,
    Segments,
    approx_kl,
    check_clip,
    log_ratio,
    needs_segments,
    watched,
)

Result = tuple[Tensor, dict[str, Tensor]]


def ppo(clip_low: float = 0.2, clip_high: float = 0.2, dual_clip: float = 0.0) -> PolicyLoss:
    """Clipped surrogate.

        l_t = -min(rho_t A_t, clip(rho_t, 1 - clip_low, 1 + clip_high) A_t)
        rho_t = exp(logp_t - logp_sampled_t)

    Args:
        clip_low: The lower bound of the ratio is 1 - clip_low.
        clip_high: The upper bound is 1 + clip_high.
        dual_clip: Where A < 0, l_t is at most -dual_clip A, so that a token that became much more
            likely does not decide the step; more than 1, or 0 for none.

    Source: Schulman et al. 2017, eq. 7, arXiv:1707.06347; clip_high > clip_low is DAPO's
    "clip higher", arXiv:2503.14476; dual clip, arXiv:1912.09729.

    >>> one = lambda x: torch.tensor([x])
    >>> ppo()(one(-1.0), one(-1.0), one(2.0))[0]
    tensor([-2.])
    """
    check_clip(clip_low, clip_high)
    if dual_clip and dual_clip <= 1:
        raise ValueError(f"dual_clip must be more than 1, or 0 for none, got {dual_clip}")

    def loss(
        logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor, at: Segments | None = None
    ) -> Result:
        log_ratio_N = log_ratio(logp_N, logp_sampled_N)
        ratio_N = log_ratio_N.exp()
        clipped_N = ratio_N.clamp(1 - clip_low, 1 + clip_high)
        losses_N = -torch.minimum(ratio_N * advantage_N, clipped_N * advantage_N)
        if dual_clip:
            most_N = torch.where(advantage_N < 0, -dual_clip * advantage_N, torch.inf)
            losses_N = torch.minimum(losses_N, most_N)
        with torch.no_grad():
            # The clip acts where it is the smaller of the two, not wherever the ratio is outside.
            acts_N = clipped_N * advantage_N < ratio_N * advantage_N
        return losses_N, watched(acts_N, advantage_N, log_ratio_N)

    return loss


def reinforce() -> PolicyLoss:
    """l_t = -A_t logp_t (Williams 1992). For data sampled by the very weights that are trained.

    >>> reinforce()(torch.tensor([-0.5]), torch.tensor([-0.5]), torch.tensor([2.0]))[0]
    tensor([1.])
    """

    def loss(
        logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor, at: Segments | None = None
    ) -> Result:
        kl_N = approx_kl(log_ratio(logp_N, logp_sampled_N).detach())
        return -advantage_N * logp_N, {"approx_kl": kl_N}

    return loss


def cispo(clip_low: float = 1.0, clip_high: float = 0.28) -> PolicyLoss:
    """Every token keeps a gradient; its weight is clipped instead.

        l_t = -sg[clip(rho_t, 1 - clip_low, 1 + clip_high)] A_t logp_t

    Args:
        clip_low: 1 is no lower bound, as in the paper; verl has one.
        clip_high: The weight is at most 1 + clip_high.

    Source: MiniMax-M1, arXiv:2506.13585. In multi-turn use add the sequence mask.

    >>> one = lambda x: torch.tensor([x])
    >>> round(cispo()(one(-1.0), one(-2.0), one(1.0))[0].item(), 6)
    1.28
    """
    check_clip(clip_low, clip_high)

    def loss(
        logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor, at: Segments | None = None
    ) -> Result:
        log_ratio_N = log_ratio(logp_N, logp_sampled_N).detach()
        ratio_N = log_ratio_N.exp()
        clipped_N = ratio_N.clamp(1 - clip_low, 1 + clip_high)
        extra = watched(clipped_N != ratio_N, advantage_N, log_ratio_N)
        return -clipped_N * advantage_N * logp_N, extra

    return loss


def aepo(clip_low: float = 0.2, clip_high: float = 0.28) -> PolicyLoss:
    """PPO whose upper clip keeps the gradient: where A > 0 and rho > 1 + clip_high the objective is
    (1 + clip_high) rho / sg[rho] A.

    Source: AEPO, arXiv:2510.14545.

    >>> one = lambda x: torch.tensor([x])
    >>> round(aepo()(one(-1.0), one(-2.0), one(1.0))[0].item(), 6)
    -1.28
    """
    check_clip(clip_low, clip_high)

    def loss(
        logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor, at: Segments | None = None
    ) -> Result:
        log_ratio_N = log_ratio(logp_N, logp_sampled_N)
        ratio_N = log_ratio_N.exp()
        kept_N = (1 + clip_high) * ratio_N / ratio_N.detach()
        upper_N = torch.where(ratio_N > 1 + clip_high, kept_N, ratio_N.clamp(min=1 - clip_low))
        losses_N = -torch.minimum(ratio_N * advantage_N, upper_N * advantage_N)
        with torch.no_grad():
            acts_N = upper_N * advantage_N < ratio_N * advantage_N
        return losses_N, watched(acts_N, advantage_N, log_ratio_N)

    return loss


def sapo(tau_positive: float = 1.0, tau_negative: float = 1.05) -> PolicyLoss:
    """A soft gate in place of the clip: l_t = -(4 / tau) sigmoid(tau (rho_t - 1)) A_t.

    Its slope is 1 at ratio 1 and falls off on both sides.

    Args:
        tau_positive: Steepness where A > 0.
        tau_negative: Steepness elsewhere.

    Source: SAPO, arXiv:2511.20347. In multi-turn use add the sequence mask.

    >>> one = lambda x: torch.tensor([x])
    >>> sapo()(one(-1.0), one(-1.0), one(1.0))[0]
    tensor([-2.])
    """
    if tau_positive <= 0 or tau_negative <= 0:
        raise ValueError(f"tau must be more than 0, got {tau_positive} and {tau_negative}")

    def loss(
        logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor, at: Segments | None = None
    ) -> Result:
        log_ratio_N = log_ratio(logp_N, logp_sampled_N)
        tau_N = torch.where(advantage_N > 0, tau_positive, tau_negative)
        gate_N = torch.sigmoid(tau_N * (log_ratio_N.exp() - 1)) * 4 / tau_N
        return -gate_N * advantage_N, {"approx_kl": approx_kl(log_ratio_N)}

    return loss


def asymre(shift: float = 0.1) -> PolicyLoss:
    """l_t = -(A_t + shift) logp_t, without importance ratios: for data of other weights.

    A baseline below the mean leans on successes, which is what keeps training on stale data stable.

    Args:
        shift: How far below, reward units.

    Source: AsymRE, arXiv:2506.20520.

    >>> one = lambda x: torch.tensor([x])
    >>> asymre()(one(-2.0), one(-1.0), one(0.4))[0]
    tensor([1.])
    """

    def loss(
        logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor, at: Segments | None = None
    ) -> Result:
        kl_N = approx_kl(log_ratio(logp_N, logp_sampled_N).detach())
        return -(advantage_N + shift) * logp_N, {"approx_kl": kl_N}

    return loss


def opmd(tau: float = 1.0) -> PolicyLoss:
    """Online policy mirror descent: the gradient of (A - tau log rho(sequence))^2 / (2 tau).

        l_t = -(A - tau sg[sum of log rho over the sequence]) logp_t

    The value is a surrogate: its gradient is the objective's.

    Args:
        tau: Strength of the pull back to the policy that sampled, reward units a nat.

    Source: Kimi k1.5, arXiv:2501.12599, eq. 3.
    """
    if tau <= 0:
        raise ValueError(f"tau must be more than 0, got {tau}")

    def loss(
        logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor, at: Segments | None = None
    ) -> Result:
        log_ratio_N = log_ratio(logp_N, logp_sampled_N).detach()
        pull_N = needs_segments(at, "opmd").sum_N(log_ratio_N).clamp(-20, 20)
        return -(advantage_N - tau * pull_N) * logp_N, {"approx_kl": approx_kl(log_ratio_N)}

    return loss
