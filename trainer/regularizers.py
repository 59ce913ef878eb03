"""Regularizers: what is added to the policy loss, from whole distributions.

A regularizer sees a step's micro-batches first (`begin`), then the distributions of each with
gradient, and is told when the step is over (`end`). Denominators are counted in `begin`, over the
whole step, so the term does not depend on how the step is split. U counts predicting positions,
V the vocabulary, N trained tokens; token n is predicted at position slot_N[n].
"""

import warnings
from collections.abc import Callable, Sequence
from math import exp
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from ludus.trainer.advantages.base import choice

if TYPE_CHECKING:
    from ludus.trainer.batch import MicroBatch


class Regularizer(Protocol):
    """Adds a term to the loss."""

    def begin(self, batches: Sequence["MicroBatch"]) -> None:
        """An optimizer step on these micro-batches begins."""

    def __call__(self, logps_UV: Tensor, batch: "MicroBatch") -> tuple[Tensor, dict[str, Tensor]]:
        """The term of one micro-batch, (), with gradient, and () numbers for the log; both add up
        over the step."""

    def end(self) -> dict[str, float]:
        """The rollout has been trained on; numbers for the log."""

    def state_dict(self) -> dict[str, Any]:
        """What is remembered between steps; JSON types."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


def entropies(logps_UV: Tensor) -> Tensor:
    """(U,) nats."""
    return -(logps_UV.exp() * logps_UV).sum(-1)


def kl_estimate(log_ratio_N: Tensor, kind: str) -> Tensor:
    """(N,) estimate of KL(policy || ref), nats, from tokens the policy sampled.

    | kind | value of x = log policy - log ref | as a loss |
    |---|---|---|
    | k1 | x | no gradient in expectation: for rewards |
    | k2 | x^2 / 2 | the gradient of KL |
    | k3 | exp(-x) - 1 + x, in [-10, 10] | that of KL(ref || policy) |
    | k3+ | k3 | that of k2, straight through |

    Source: J. Schulman, "Approximating KL divergence" (2020).

    >>> kl_estimate(torch.tensor([1.0]), "k2")
    tensor([0.5000])
    """
    choice("KL estimate", kind, ("k1", "k2", "k3", "k3+"))
    x_N = log_ratio_N.clamp(-20, 20)
    if kind == "k1":
        return x_N
    k2_N = x_N**2 / 2
    if kind == "k2":
        return k2_N
    k3_N = ((-x_N).exp() - 1 + x_N).clamp(-10, 10)
    return k3_N if kind == "k3" else k2_N + (k3_N - k2_N).detach()


class _Counted:
    """Counts what denominators need."""

    tokens = 0
    rows = 0
    _seen = 0
    _sum = 0.0

    def begin(self, batches: Sequence["MicroBatch"]) -> None:
        """See `Regularizer`."""
        self._seen, self._sum = 0, 0.0
        self.tokens = sum(batch.slot_N.numel() for batch in batches)
        self.rows = sum(len(set(batch.row_N.tolist())) for batch in batches)

    def _count(self, batch: "MicroBatch", value: Tensor) -> None:
        """Add up a value over the first pass, whose distributions are those at sampling."""
        if self._seen < self.tokens:
            self._sum += float(value.detach())
        self._seen += batch.slot_N.numel()

    def end(self) -> dict[str, float]:
        """See `Regularizer`."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take over."""


class AdaptiveEntropy(_Counted):
    """An entropy bonus whose weight keeps the mean entropy at a target.

        term = -weight * mean H, where the last step's mean H was at or below the target, else 0
        weight += delta if mean H <= target, else -= delta; within [0, most]

    Args:
        target: Nats a token.
        delta: How fast the weight moves, per rollout.
        start, most: Of the weight.

    Source: Skywork-OR1, arXiv:2505.22312.
    """

    def __init__(
        self, target: float = 0.2, delta: float = 0.005, start: float = 0.0, most: float = 1.0
    ) -> None:
        if target <= 0 or delta <= 0:
            raise ValueError(f"target and delta must be more than 0, got {target} and {delta}")
        self.target, self.delta, self.most = target, delta, most
        self.weight, self.last = start, 0.0

    def __call__(self, logps_UV: Tensor, batch: "MicroBatch") -> tuple[Tensor, dict[str, Tensor]]:
        """See `Regularizer`."""
        mean = entropies(logps_UV)[batch.slot_N].sum() / self.tokens
        self._count(batch, mean)
        weight = self.weight if self.last <= self.target else 0.0
        return -weight * mean, {}

    def end(self) -> dict[str, float]:
        """See `Regularizer`."""
        self.last = self._sum
        step = self.delta if self.last <= self.target else -self.delta
        self.weight = min(max(self.weight + step, 0.0), self.most)
        return {"entropy/weight": self.weight, "entropy/mean": self.last}

    def state_dict(self) -> dict[str, Any]:
        """The weight, and the last entropy."""
        return {"weight": self.weight, "last": self.last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved ones."""
        self.weight, self.last = state["weight"], state["last"]


class EPO(_Counted):
    """An entropy bonus with a corridor around the mean entropy of all earlier steps.

        term = -weight (L_H - beta_k L_smooth)
        L_H = mean over trajectories of the mean over turns of the mean over tokens of H
        L_smooth = the same mean of alpha P;  0 in the first step
        P = [low Hbar - H]+ + [H - high Hbar]+        nats, a token
        Hbar = mean of L_H over all steps before this one, without gradient
        beta_k = 1 + exp(-gamma k / floor(steps / 2)), k steps done

    Entropies are those of the first pass over a rollout, which are those at sampling, so no extra
    pass is made. The smoother can turn the bonus around only where beta_k alpha > 1, and the lower
    bound acts only if low > 0: with the published values neither holds, and a warning says so.

    Args:
        weight: Of the whole term (lambda).
        alpha: Of the smoother.
        low, high: The corridor, as parts of Hbar (kappa).
        gamma: How fast beta falls from 2 to 1.
        steps: K, of the run.
        penalty: "hinge" as above, or "indicator": alpha outside the corridor, which has no gradient
            at all; for comparison with version 1 and the authors' code.
        mean: "nested" as above, or "token": over all tokens alike.

    Source: EPO, arXiv:2509.22576 v2.
    """

    def __init__(
        self,
        weight: float = 0.001,
        alpha: float = 1.0,
        low: float = 0.5,
        high: float = 2.0,
        gamma: float = 3.0,
        steps: int = 200,
        penalty: str = "hinge",
        mean: str = "nested",
    ) -> None:
        choice("penalty", penalty, ("hinge", "indicator"))
        choice("mean", mean, ("nested", "token"))
        if not 0 <= low < high:
            raise ValueError(f"need 0 <= low < high, got {low} and {high}")
        if steps < 2:
            raise ValueError(f"steps must be at least 2, got {steps}")
        self.weight, self.alpha, self.low, self.high = weight, alpha, low, high
        self.gamma, self.steps, self.penalty, self.mean = gamma, steps, penalty, mean
        self.total, self.done = 0.0, 0
        if reason := self.inert():
            warnings.warn(f"epo: {reason}", stacklevel=2)

    def inert(self) -> str:
        """Why the corridor cannot hold entropy, or nothing."""
        if self.penalty == "indicator":
            return "the indicator penalty has no gradient: this is a plain entropy bonus"
        if self.alpha * self.beta(1) <= 1:
            return (
                f"alpha {self.alpha:g} times beta {self.beta(1):.3g} is not above 1: outside the "
                "corridor the bonus only shrinks, it never turns around"
            )
        if self.low == 0:
            return "the lower bound is 0 and entropy is never below it: only the upper one acts"
        return ""

    def beta(self, k: int) -> float:
        """Weight of the smoother after k steps."""
        return 1 + exp(-self.gamma * k / (self.steps // 2))

    @property
    def history(self) -> float:
        """Hbar, nats; 0 before the first step."""
        return self.total / self.done if self.done else 0.0

    def weights(self, batch: "MicroBatch") -> Tensor:
        """(N,) of the tokens in L_H."""
        if self.mean == "token":
            return torch.full_like(batch.weight_N, 1 / self.tokens)
        per_token_N = 1 / batch.segments.sum_N(torch.ones_like(batch.weight_N), "turn")
        # The tokens of a turn add up to 1, so a row adds up to its number of turns.
        turns_N = batch.segments.sum_N(per_token_N)
        return per_token_N / turns_N / self.rows

    def __call__(self, logps_UV: Tensor, batch: "MicroBatch") -> tuple[Tensor, dict[str, Tensor]]:
        """See `Regularizer`."""
        entropy_N = entropies(logps_UV)[batch.slot_N]
        weight_N = self.weights(batch)
        l_h = (weight_N * entropy_N).sum()
        self._count(batch, l_h)
        if not self.done:
            return -self.weight * l_h, {"epo/entropy": l_h}
        below_N = (self.low * self.history - entropy_N).clamp(min=0)
        above_N = (entropy_N - self.high * self.history).clamp(min=0)
        penalty_N = below_N + above_N
        if self.penalty == "indicator":
            penalty_N = (penalty_N > 0).float()
        l_smooth = (weight_N * self.alpha * penalty_N).sum()
        outside = (weight_N * (penalty_N > 0)).sum()
        term = -self.weight * (l_h - self.beta(self.done) * l_smooth)
        return term, {"epo/entropy": l_h, "epo/smooth": l_smooth, "epo/outside": outside}

    def end(self) -> dict[str, float]:
        """See `Regularizer`: only now does this step join the history."""
        out = {"epo/history": self.history, "epo/beta": self.beta(self.done)}
        self.total += self._sum
        self.done += 1
        return out

    def state_dict(self) -> dict[str, Any]:
        """The history."""
        return {"total": self.total, "done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved one."""
        self.total, self.done = state["total"], state["done"]


class LpReg(_Counted):
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


class KLCov(_Counted):
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


REGULARIZERS: dict[str, Callable[..., Regularizer]] = {
    "epo": EPO,
    "adaptive_entropy": AdaptiveEntropy,
    "lp_reg": LpReg,
    "kl_cov": KLCov,
}
