"""Losses that TRL also has, equal to TRL's own code on random batches: values and gradients."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ludus.trainer.corrections import StepTokens, tis
from ludus.trainer.loss import (
    Aggregation,
    PolicyLoss,
    Segments,
    cispo,
    gspo,
    masked,
    ppo,
    sapo,
    token_weights,
)
from ludus.trainer.regularizers import kl_estimate

B, T = 5, 9


class Batch:
    """Rows of sampled tokens with what a tool said in between."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.mask_BT = (torch.rand(B, T, generator=generator) < 0.7).double()
        self.mask_BT[:, 0] = 1
        self.sampled_BT = -normal(B, T).abs()
        self.logp_BT = self.sampled_BT + 0.4 * normal(B, T)
        self.ref_BT = self.sampled_BT + 0.4 * normal(B, T)
        self.advantage_B = normal(B)
        self.row_N, self.column_N = self.mask_BT.nonzero(as_tuple=True)
        self.at = Segments(self.row_N, torch.zeros_like(self.row_N))

    def flat(self, x_BT: Tensor) -> Tensor:
        return x_BT[self.row_N, self.column_N]


def trl(batch: Batch, loss_type: str, **settings: Any) -> tuple[Tensor, Tensor]:
    """Loss and gradient by `GRPOTrainer._compute_loss`."""
    from trl.trainer.grpo_trainer import GRPOTrainer

    logp_BT = batch.logp_BT.clone().requires_grad_()
    args = {"delta": None, "steps_per_generation": 1, "use_bias_correction_kl": False}
    for name in ("delta", "sapo_temperature_pos", "sapo_temperature_neg"):
        if name in settings:
            args[name] = settings.pop(name)
    inputs = {
        "old_per_token_logps": batch.sampled_BT,
        "ref_per_token_logps": batch.ref_BT,
        "importance_sampling_ratio": settings.pop("importance_sampling_ratio", None),
        "advantages": batch.advantage_B,
        "prompt_ids": torch.zeros(B, 1, dtype=torch.int64),
        "prompt_mask": torch.ones(B, 1),
        "completion_ids": torch.zeros(B, T, dtype=torch.int64),
        "completion_mask": torch.ones(B, T, dtype=torch.float64),
        "tool_mask": batch.mask_BT,
        "num_items_in_batch": batch.mask_BT.sum(),
    }
    # All that the method needs of a trainer; what it logs goes nowhere.
    fields: dict[str, Any] = {
        "_get_per_token_logps_and_entropies": lambda *a, **k: (logp_BT, logp_BT.detach(), None),
        "get_off_policy_mask": GRPOTrainer.get_off_policy_mask,
        "aux_loss_enabled": False,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "importance_sampling_level": "token",
        "beta": 0.0,
        "loss_type": loss_type,
        "epsilon_low": 0.2,
        "epsilon_high": 0.28,
        "args": SimpleNamespace(**args),
        "use_vllm": False,
        "vllm_importance_sampling_correction": True,
        "model": SimpleNamespace(training=False),
        "current_gradient_accumulation_steps": 1,
        "max_completion_length": T,
        "accelerator": SimpleNamespace(
            num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x
        ),
        "_entropy_bonus_enabled": False,
        "_metrics": {"eval": defaultdict(list)},
    }
    trainer = SimpleNamespace(**{**fields, **settings})
    loss = GRPOTrainer._compute_loss(trainer, None, inputs)
    (gradient,) = torch.autograd.grad(loss, logp_BT)
    return loss.detach(), gradient


def ours(
    batch: Batch,
    loss: PolicyLoss,
    mode: Aggregation,
    *,
    factor_N: Tensor | None = None,
    kl: float = 0.0,
) -> tuple[Tensor, Tensor]:
    logp_BT = batch.logp_BT.clone().requires_grad_()
    logp_N, row_N = batch.flat(logp_BT), batch.row_N
    losses_N, _ = loss(logp_N, batch.flat(batch.sampled_BT), batch.advantage_B[row_N], batch.at)
    if factor_N is not None:
        losses_N = losses_N * factor_N
    if kl:
        losses_N = losses_N + kl * kl_estimate(logp_N - batch.flat(batch.ref_BT), "k3")
    weights_N = token_weights(row_N, mode, norm=float(B * T)).double()
    total = (weights_N * losses_N).sum()
    (gradient,) = torch.autograd.grad(total, logp_BT)
    return total.detach(), gradient


CASES: dict[str, tuple[str, PolicyLoss, Aggregation, dict[str, Any]]] = {
    "grpo": ("grpo", ppo(0.2, 0.28), "seq-mean-token-mean", {}),
    "bnpo": ("bnpo", ppo(0.2, 0.28), "token-mean", {}),
    "dapo": ("dapo", ppo(0.2, 0.28), "token-mean", {}),
    "dr_grpo": ("dr_grpo", ppo(0.2, 0.28), "seq-mean-token-sum-norm", {}),
    "luspo, by token": ("luspo", ppo(0.2, 0.28), "seq-mean-token-sum", {}),
    "two-sided clip": (
        "grpo",
        ppo(0.2, 0.28, dual_clip=1.4),
        "seq-mean-token-mean",
        {"delta": 1.4},
    ),
    # TRL's epsilon_high is the cap itself here.
    "cispo": ("cispo", cispo(clip_high=0.28), "token-mean", {"epsilon_high": 1.28}),
    "sapo": (
        "sapo",
        sapo(1.0, 1.05),
        "seq-mean-token-mean",
        {"sapo_temperature_pos": 1.0, "sapo_temperature_neg": 1.05},
    ),
    "gspo": (
        "grpo",
        gspo(0.03, 0.04),
        "seq-mean-token-mean",
        {"importance_sampling_level": "sequence", "epsilon_low": 0.03, "epsilon_high": 0.04},
    ),
    "sequence mask": (
        "grpo",
        masked(ppo(0.2, 0.28), 0.05),
        "seq-mean-token-mean",
        {"off_policy_mask_threshold": 0.05},
    ),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", CASES)
def test_losses_are_trls(name: str, seed: int) -> None:
    loss_type, loss, mode, settings = CASES[name]
    batch = Batch(seed)
    theirs, their_gradient = trl(batch, loss_type, **settings)
    total, gradient = ours(batch, loss, mode)
    torch.testing.assert_close(total, theirs, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(gradient, their_gradient, atol=1e-6, rtol=1e-6)
    assert not gradient[batch.mask_BT == 0].any()


@pytest.mark.parametrize("seed", range(3))
def test_kl_to_a_reference_is_trls(seed: int) -> None:
    batch = Batch(seed)
    theirs = trl(batch, "grpo", beta=0.04)
    found = ours(batch, ppo(0.2, 0.28), "seq-mean-token-mean", kl=0.04)
    torch.testing.assert_close(found, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_truncated_importance_weights_are_trls(seed: int) -> None:
    batch = Batch(seed)
    d_BT = batch.ref_BT - batch.sampled_BT  # any other policy that might have sampled
    row_N = batch.row_N
    tokens = StepTokens(batch.flat(d_BT), batch.flat(d_BT) * 0, row_N.double(), batch.at)
    factor_N, _ = tis(1.2)(tokens)
    ratio_BT = d_BT.exp().clamp(max=1.2)
    theirs = trl(batch, "dapo", use_vllm=True, importance_sampling_ratio=ratio_BT)
    found = ours(batch, ppo(0.2, 0.28), "token-mean", factor_N=factor_N)
    torch.testing.assert_close(found, theirs, atol=1e-6, rtol=1e-6)
