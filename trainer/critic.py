"""The critic: what return to expect from here on, before every sampled token.

A network of its own, which begins as a copy of the policy's decoder with a linear head of zeros, so
that the policy's weights and the probabilities it samples with are none of its business. Its loss
is PPO's: half the squared error, the larger of that of the value and that of the value clipped to
where it was at sampling time (arXiv:1707.06347; baselines' `vf_clip`).
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ludus.trainer.attention import model_inputs
from ludus.trainer.batch import MicroBatch
from ludus.trainer.tokens import noted
from ludus.trainer.trajectory import Episode, Turn


class Critic:
    """Values, and how they are learnt.

    Args:
        model: The policy, a Transformers causal language model; only copied.
        lr: Learning rate of AdamW; often above the policy's.
        clip: How far a value may move from that at sampling time within a step, reward units; 0
            for freely.
        betas, weight_decay: Of AdamW.
        grad_clip: Largest norm of the gradient.

    Raises:
        ValueError: If the model has no decoder to copy.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        lr: float,
        clip: float = 0.2,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
        grad_clip: float = 1.0,
    ) -> None:
        if not hasattr(model, "get_decoder"):
            raise ValueError(f"{type(model).__name__} has no decoder for a critic to begin as")
        trunk: nn.Module = copy.deepcopy(model.get_decoder())  # type: ignore[operator]
        self.trunk = trunk.eval().requires_grad_(True)
        width: int = model.config.hidden_size  # type: ignore[union-attr,assignment]
        self.head = nn.Linear(width, 1).to(next(model.parameters()).device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.clip, self.grad_clip = clip, grad_clip
        self.parameters = [*self.trunk.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=lr, betas=betas, weight_decay=weight_decay
        )

    def values_N(self, batch: MicroBatch) -> Tensor:
        """(N,) float32, reward units: before each sampled token."""
        hidden = self.trunk(**model_inputs(self.trunk, batch)).last_hidden_state
        values_U: Tensor = self.head(hidden.flatten(0, 1)[batch.predict_U].float()).squeeze(-1)
        return values_U[batch.slot_N]

    def judged(self, episodes: Sequence[Episode], **rows: int) -> list[Episode]:
        """The same episodes with the values of every turn; `rows` as `noted` takes them."""

        def note(turn: Turn, values: tuple[float, ...]) -> Turn:
            return replace(turn, values=values)

        return noted(episodes, self.values_N, note, device=self.head.weight.device, **rows)

    def update(self, batches: Sequence[MicroBatch], *, epochs: int = 1) -> dict[str, float]:
        """Learn the targets of one step.

        Args:
            batches: With `value_N` and `target_N`, see `with_tokens`.
            epochs: Optimizer steps.

        Returns:
            "critic/loss", of the last epoch; "critic/explained_variance" of the values at sampling
            time, 1 - Var(target - value) / Var(target); "critic/value" and "critic/target", means;
            "critic/grad_norm".
        """
        told = [(b.value_N, b.target_N) for b in batches]
        value_M = torch.cat([v[~t.isnan()] for v, t in told if v is not None and t is not None])
        target_M = torch.cat([t[~t.isnan()] for _, t in told if t is not None])
        loss = norm = 0.0
        for _ in range(epochs):
            losses = []
            for batch in batches:
                part = self._loss(batch) / max(len(target_M), 1)
                part.backward()  # type: ignore[no-untyped-call]
                losses.append(part.detach())
            norm = float(nn.utils.clip_grad_norm_(self.parameters, self.grad_clip))
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            loss = float(torch.stack(losses).sum())
        return {
            "critic/loss": loss,
            "critic/explained_variance": explained_variance(value_M, target_M),
            "critic/value": float(value_M.mean()),
            "critic/target": float(target_M.mean()),
            "critic/grad_norm": norm,
        }

    def _loss(self, batch: MicroBatch) -> Tensor:
        assert batch.value_N is not None
        assert batch.target_N is not None
        asked_N = ~batch.target_N.isnan()
        loss_M = value_loss(
            self.values_N(batch)[asked_N],
            batch.value_N[asked_N],
            batch.target_N[asked_N],
            clip=self.clip,
        )
        return loss_M.sum()

    def state_dict(self) -> dict[str, Any]:
        """Network and optimizer."""
        return {
            "trunk": self.trunk.state_dict(),
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.trunk.load_state_dict(state["trunk"])
        self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])


def value_loss(value_N: Tensor, before_N: Tensor, target_N: Tensor, *, clip: float) -> Tensor:
    """(N,) 1/2 max((V - G)^2, (V_before + clamp(V - V_before, -clip, clip) - G)^2); clip 0 is the
    first alone.

    >>> value_loss(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([1.0]), clip=0.2)
    tensor([0.3200])
    """
    error_N = (value_N - target_N) ** 2
    if clip:
        near_N = before_N + (value_N - before_N).clamp(-clip, clip)
        error_N = torch.maximum(error_N, (near_N - target_N) ** 2)
    return 0.5 * error_N


def explained_variance(value_N: Tensor, target_N: Tensor) -> float:
    """1 - Var(target - value) / Var(target): 1 is perfect, 0 no better than a constant; 0 where the
    targets do not vary.

    >>> explained_variance(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0]))
    1.0
    """
    spread = float(target_N.var(unbiased=False)) if len(target_N) else 0.0
    return 1 - float((target_N - value_N).var(unbiased=False)) / spread if spread > 0 else 0.0
