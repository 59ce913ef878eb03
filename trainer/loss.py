"""Policy losses over flat tokens: one entry per trained token, in any order.

N counts the trained tokens of a micro-batch. Every loss is a weighted sum over tokens; the
weights come from `token_weights`, whose denominators are counted over the whole optimizer step,
so that micro-batches add up to exactly one big batch.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor

Aggregation = Literal[
    "token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"
]
AGGREGATIONS: tuple[Aggregation, ...] = (
    "token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm",
)  # fmt: skip

MAX_LOG_RATIO = 20.0  # e^20 is far past any clip range; without it exp overflows to inf


def token_weights(row_N: Tensor, aggregation: Aggregation, *, norm: float = 1.0) -> Tensor:
    """Weight of every trained token such that the aggregated loss is the sum of w * loss.

    | mode | weight of a token in a row of n tokens, R rows, N tokens |
    |---|---|
    | token-mean | 1 / N (DAPO, arXiv:2503.14476) |
    | seq-mean-token-sum | 1 / R |
    | seq-mean-token-mean | 1 / (R n) (GRPO, arXiv:2402.03300) |
    | seq-mean-token-sum-norm | 1 / norm (Dr. GRPO, arXiv:2503.20783; SPIRAL) |

    Args:
        row_N: (N,) which trajectory each trained token of the optimizer step belongs to, as
            integers from 0. Rows without trained tokens do not count.
        aggregation: One of `AGGREGATIONS`.
        norm: The constant of the last mode; the same for the whole run.

    Returns:
        (N,) float32.

    Raises:
        ValueError: If there is no such mode or no token.

    >>> row = torch.tensor([0, 0, 0, 1])
    >>> token_weights(row, "seq-mean-token-mean")
    tensor([0.1667, 0.1667, 0.1667, 0.5000])
    """
    N = row_N.numel()
    if N < 1:
        raise ValueError("no trained token in the batch")
    lengths = torch.bincount(row_N)
    rows = int((lengths > 0).sum())
    match aggregation:
        case "token-mean":
            return torch.full((N,), 1.0 / N)
        case "seq-mean-token-sum":
            return torch.full((N,), 1.0 / rows)
        case "seq-mean-token-mean":
            return 1.0 / (rows * lengths[row_N].float())
        case "seq-mean-token-sum-norm":
            return torch.full((N,), 1.0 / norm)
    raise ValueError(f"unknown aggregation {aggregation!r}, allowed: {', '.join(AGGREGATIONS)}")


class PolicyLoss(Protocol):
    """Per-token policy losses."""

    def __call__(
        self, logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(N,) losses with gradient, and (N,) quantities for the log.

        Args:
            logp_N: (N,) log-probability of each trained token under the policy, nats.
            logp_sampled_N: (N,) the same token's when it was sampled, nats, no gradient.
            advantage_N: (N,) advantage of its turn, in reward units.
        """


def ppo(clip_low: float = 0.2, clip_high: float = 0.2) -> PolicyLoss:
    """Clipped surrogate.

        l_t = -min(rho_t A_t, clip(rho_t, 1 - clip_low, 1 + clip_high) A_t)
        rho_t = exp(logp_t - logp_sampled_t)

    Source: Schulman et al. 2017, eq. 7, arXiv:1707.06347; clip_high > clip_low is DAPO's
    "clip higher", arXiv:2503.14476.

    >>> one = lambda x: torch.tensor([x])
    >>> ppo()(one(-1.0), one(-1.0), one(2.0))[0]
    tensor([-2.])
    """
    if not (0 <= clip_low <= 1 and clip_high >= 0):
        raise ValueError(f"need 0 <= clip_low <= 1 and clip_high >= 0, got {clip_low}, {clip_high}")

    def loss(
        logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        log_ratio_N = (logp_N - logp_sampled_N).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
        ratio_N = log_ratio_N.exp()
        clipped_N = ratio_N.clamp(1 - clip_low, 1 + clip_high)
        losses_N = -torch.minimum(ratio_N * advantage_N, clipped_N * advantage_N)
        with torch.no_grad():
            # The clip acts where it is the smaller of the two, not wherever the ratio is outside.
            acts_N = (clipped_N * advantage_N < ratio_N * advantage_N).float()
        return losses_N, {
            "clip_frac": acts_N,
            "approx_kl": ratio_N.detach() - 1 - log_ratio_N.detach(),
        }

    return loss


def reinforce() -> PolicyLoss:
    """l_t = -A_t logp_t (Williams 1992). For data sampled by the very weights that are trained.

    >>> reinforce()(torch.tensor([-0.5]), torch.tensor([-0.5]), torch.tensor([2.0]))[0]
    tensor([1.])
    """

    def loss(
        logp_N: Tensor, logp_sampled_N: Tensor, advantage_N: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        log_ratio_N = (logp_N - logp_sampled_N).detach().clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
        return -advantage_N * logp_N, {"approx_kl": log_ratio_N.exp() - 1 - log_ratio_N}

    return loss


LOSSES: dict[str, Callable[..., PolicyLoss]] = {"ppo": ppo, "reinforce": reinforce}
