"""What regularizers share: their form, entropies, estimates of KL, and the counting of tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from ludus.trainer.advantages.base import choice
from ludus.trainer.parts import Stateless

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
    | k1 | x | no gradient in expectation: for rewards, see `shaping.KLPenalty` |
    | k2 | x^2 / 2 | the gradient of KL |
    | k3 | exp(-x) - 1 + x, in [-10, 10] | that of KL(ref || policy) |
    | k3+ | k3 | that of k2, straight through |

    Source: J. Schulman, "Approximating KL divergence" (2020).

    >>> kl_estimate(Tensor([1.0]), "k2")
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


class Counted(Stateless):
    """Counts what denominators need: the base of regularizers that are means."""

    tokens = 0
    """Trained tokens of the step."""
    rows = 0
    """Its trajectories."""

    def begin(self, batches: Sequence["MicroBatch"]) -> None:
        """See `Regularizer`."""
        self.tokens = sum(batch.slot_N.numel() for batch in batches)
        self.rows = sum(len(set(batch.row_N.tolist())) for batch in batches)

    def end(self) -> dict[str, float]:
        """See `Regularizer`."""
        return {}
