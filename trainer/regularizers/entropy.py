"""How unsure the policy stays: bonuses on the mean entropy.

What a bonus is steered by, the entropy of a step as it was sampled, is what the engine noted then.
"""

import warnings
from collections.abc import Sequence
from math import exp
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ludus.trainer.advantages.base import choice
from ludus.trainer.regularizers.base import Counted, entropies

if TYPE_CHECKING:
    from ludus.trainer.batch import MicroBatch


class AdaptiveEntropy(Counted):
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
        self._now = 0.0

    def begin(self, batches: Sequence["MicroBatch"]) -> None:
        """See `Regularizer`."""
        super().begin(batches)
        self._now = sum(float(batch.entropy_N.sum()) for batch in batches) / self.tokens

    def __call__(self, logps_UV: Tensor, batch: "MicroBatch") -> tuple[Tensor, dict[str, Tensor]]:
        """See `Regularizer`."""
        mean = entropies(logps_UV)[batch.slot_N].sum() / self.tokens
        weight = self.weight if self.last <= self.target else 0.0
        return -weight * mean, {}

    def end(self) -> dict[str, float]:
        """See `Regularizer`."""
        self.last = self._now
        step = self.delta if self.last <= self.target else -self.delta
        self.weight = min(max(self.weight + step, 0.0), self.most)
        return {"entropy/weight": self.weight, "entropy/mean": self.last}

    def state_dict(self) -> dict[str, Any]:
        """The weight, and the last entropy."""
        return {"weight": self.weight, "last": self.last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved ones."""
        self.weight, self.last = state["weight"], state["last"]


class EPO(Counted):
    """An entropy bonus with a corridor around the mean entropy of all earlier steps.

        term = -weight (L_H - beta_k L_smooth)
        L_H = mean over trajectories of the mean over turns of the mean over tokens of H
        L_smooth = the same mean of alpha P;  0 in the first step
        P = [low Hbar - H]+ + [H - high Hbar]+        nats, a token
        Hbar = mean of L_H over all steps before this one, as sampled, without gradient
        beta_k = 1 + exp(-gamma k / floor(steps / 2)), k steps done

    What steps had for an entropy is what the engine noted at sampling, so no extra pass is made.
    The smoother can turn the bonus around only where beta_k alpha > 1, and the lower bound acts
    only if low > 0: with the published values neither holds, and a warning says so.

    Args:
        weight: Of the whole term (lambda).
        alpha: Of the smoother.
        low, high: The corridor, as parts of Hbar (kappa).
        gamma: How fast beta falls from 2 to 1.
        steps: K, of the run.
        penalty: "hinge" as above, or "indicator": alpha outside the corridor, which has no gradient
            at all; for comparison with version 1 and the authors' code.
        mean: "nested" as above, or "token": over all tokens alike.
        reference: "run" as above, or "turn": Hbar of a token is the mean entropy of turns with its
            index over earlier steps that had one; no penalty where none had. The authors' code has
            such a reference, with zeros for turns that were not reached.

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
        reference: str = "run",
    ) -> None:
        choice("penalty", penalty, ("hinge", "indicator"))
        choice("mean", mean, ("nested", "token"))
        choice("reference", reference, ("run", "turn"))
        if not 0 <= low < high:
            raise ValueError(f"need 0 <= low < high, got {low} and {high}")
        if steps < 2:
            raise ValueError(f"steps must be at least 2, got {steps}")
        self.weight, self.alpha, self.low, self.high = weight, alpha, low, high
        self.gamma, self.steps, self.penalty, self.mean = gamma, steps, penalty, mean
        self.reference = reference
        self.total, self.done = 0.0, 0
        self.turns: dict[int, tuple[float, int]] = {}
        """Turn -> sum of its mean entropies, and of how many steps."""
        self._now, self._now_by_turn = 0.0, dict[int, float]()
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

    def begin(self, batches: Sequence["MicroBatch"]) -> None:
        """See `Regularizer`."""
        super().begin(batches)
        self._now = sum(float((self.weights(b) * b.entropy_N).sum()) for b in batches)
        if self.reference == "turn":
            turn_N = torch.cat([batch.turn_N for batch in batches])
            entropy_N = torch.cat([batch.entropy_N for batch in batches])
            self._now_by_turn = {
                turn: float(entropy_N[turn_N == turn].mean()) for turn in set(turn_N.tolist())
            }

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
        if not self.done:
            return -self.weight * l_h, {"epo/entropy": l_h}
        penalty_N = self._outside(entropy_N, batch)
        if self.penalty == "indicator":
            penalty_N = (penalty_N > 0).float()
        l_smooth = (weight_N * self.alpha * penalty_N).sum()
        outside = (weight_N * (penalty_N > 0)).sum()
        term = -self.weight * (l_h - self.beta(self.done) * l_smooth)
        return term, {"epo/entropy": l_h, "epo/smooth": l_smooth, "epo/outside": outside}

    def _outside(self, entropy_N: Tensor, batch: "MicroBatch") -> Tensor:
        """(N,) P."""
        history_N = torch.full_like(entropy_N, self.history)
        known_N = torch.ones_like(entropy_N, dtype=torch.bool)
        if self.reference == "turn":
            means = [self.turns.get(turn, (0.0, 0)) for turn in batch.turn_N.tolist()]
            history_N = entropy_N.new_tensor([total / max(done, 1) for total, done in means])
            known_N = batch.turn_N.new_tensor([done for _, done in means]) > 0
        below_N = (self.low * history_N - entropy_N).clamp(min=0)
        above_N = (entropy_N - self.high * history_N).clamp(min=0)
        return torch.where(known_N, below_N + above_N, 0.0)

    def end(self) -> dict[str, float]:
        """See `Regularizer`: only now does this step join the history."""
        out = {"epo/history": self.history, "epo/beta": self.beta(self.done)}
        self.total += self._now
        self.done += 1
        for turn, entropy in self._now_by_turn.items():
            total, done = self.turns.get(turn, (0.0, 0))
            self.turns[turn] = (total + entropy, done + 1)
        return out

    def state_dict(self) -> dict[str, Any]:
        """The history."""
        turns = [[turn, *sums] for turn, sums in self.turns.items()]
        return {"total": self.total, "done": self.done, "turns": turns}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved one."""
        self.total, self.done = state["total"], state["done"]
        self.turns = {turn: (total, done) for turn, total, done in state["turns"]}
