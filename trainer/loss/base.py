"""The form of a policy loss, and sums over the tokens that belong together."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

MAX_LOG_RATIO = 20.0  # e^20 is far past any clip range; without it exp overflows to inf


@dataclass(frozen=True, slots=True)
class Segments:
    """Which trained tokens belong together. A trajectory's tokens are all in one micro-batch, so
    means over trajectories and turns do not depend on how a step is split."""

    row_N: Tensor
    """(N,) int64: trajectory of each token; numbers need not be dense."""
    turn_N: Tensor
    """(N,) int64: turn of each token within its trajectory."""

    def ids_N(self, level: str) -> Tensor:
        """(N,) int64 from 0: which segment each token is in.

        Args:
            level: "sequence" (trajectory) or "turn".
        """
        if level == "sequence":
            return _dense(self.row_N)
        if level == "turn":
            width = int(self.turn_N.max()) + 1 if self.turn_N.numel() else 1
            return _dense(self.row_N * width + self.turn_N)
        raise ValueError(f"unknown level {level!r}, allowed: sequence, turn")

    def sum_N(self, x_N: Tensor, level: str = "sequence") -> Tensor:
        """(N,) each token gets the sum over its segment."""
        ids_N = self.ids_N(level)
        return _sums(x_N, ids_N)[ids_N]

    def mean_N(self, x_N: Tensor, level: str = "sequence") -> Tensor:
        """(N,) each token gets the mean over its segment.

        >>> at = Segments(torch.tensor([0, 0, 5]), torch.tensor([0, 1, 0]))
        >>> at.mean_N(torch.tensor([1.0, 3.0, 7.0]))
        tensor([2., 2., 7.])
        """
        ids_N = self.ids_N(level)
        return (_sums(x_N, ids_N) / _sums(torch.ones_like(x_N), ids_N))[ids_N]


def _dense(ids_N: Tensor) -> Tensor:
    inverse: Tensor = torch.unique(ids_N, return_inverse=True)[1]
    return inverse


def _sums(x_N: Tensor, ids_N: Tensor) -> Tensor:
    count = int(ids_N.max()) + 1 if ids_N.numel() else 0
    return x_N.new_zeros(count).index_add(0, ids_N, x_N)


class PolicyLoss(Protocol):
    """Per-token policy losses."""

    def __call__(
        self,
        logp_N: Tensor,
        logp_sampled_N: Tensor,
        advantage_N: Tensor,
        at: Segments | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(N,) losses with gradient, and (N,) quantities for the log.

        Args:
            logp_N: (N,) log-probability of each trained token under the policy, nats.
            logp_sampled_N: (N,) the same token's when it was sampled, nats, no gradient.
            advantage_N: (N,) advantage of its turn, in reward units.
            at: Which tokens belong together; losses of single tokens do not need it.
        """


def log_ratio(logp_N: Tensor, logp_sampled_N: Tensor) -> Tensor:
    """(N,) log rho, clamped to +-20."""
    return (logp_N - logp_sampled_N).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def approx_kl(log_ratio_N: Tensor) -> Tensor:
    """(N,) k3 estimate of KL(sampled || policy), nats: rho - 1 - log rho."""
    return (log_ratio_N.exp() - 1 - log_ratio_N).detach()


def watched(clipped_N: Tensor, advantage_N: Tensor, log_ratio_N: Tensor) -> dict[str, Tensor]:
    """(N,) for the log: where a clip acts, in all, where A > 0 and where A < 0; `approx_kl`."""
    acts_N = clipped_N.float()
    return {
        "clip_frac": acts_N,
        "clip_frac_up": acts_N * (advantage_N > 0),
        "clip_frac_down": acts_N * (advantage_N < 0),
        "approx_kl": approx_kl(log_ratio_N),
    }


def needs_segments(at: Segments | None, loss: str) -> Segments:
    """The segments.

    Raises:
        ValueError: If there are none.
    """
    if at is None:
        raise ValueError(f"loss {loss} compares sequences: it needs to know which tokens are one")
    return at


def check_clip(clip_low: float, clip_high: float) -> None:
    """Refuse bounds that are none.

    Raises:
        ValueError: If so.
    """
    if not (0 <= clip_low <= 1 and clip_high >= 0):
        raise ValueError(f"need 0 <= clip_low <= 1 and clip_high >= 0, got {clip_low}, {clip_high}")
