"""Losses: the corners by hand, the weights by plain loops, and agreement with TRL."""

import math
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ludus.trainer.loss import (
    AGGREGATIONS,
    LOSSES,
    Aggregation,
    PolicyLoss,
    Segments,
    ppo,
    reinforce,
    token_weights,
)


def factor(loss: PolicyLoss, ratio: float, advantage: float) -> tuple[float, float]:
    """The loss of one token and the factor of its score in the gradient, -dl/dlogp."""
    logp = torch.tensor([math.log(ratio) - 2.0], dtype=torch.float64, requires_grad=True)
    losses, _ = loss(logp, torch.tensor([-2.0]).double(), torch.tensor([advantage]).double())
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert logp.grad is not None
    return losses.item(), -logp.grad.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.5, 1.0, -1.28, 0.0),  # above the clip, and better: no further
        (1.5, -1.0, 1.5, -1.5),
        (0.5, 1.0, -0.5, 0.5),
        (0.5, -1.0, 0.8, 0.0),  # below the clip, and worse: no further
        (1.0, 2.0, -2.0, 2.0),
        (1.25, 1.0, -1.25, 1.25),  # inside, only because the bounds differ
        (0.75, -1.0, 0.8, 0.0),
    ],
)
def test_ppo_corners(ratio: float, advantage: float, loss: float, gradient: float) -> None:
    found = factor(ppo(0.2, 0.28), ratio, advantage)
    assert found == pytest.approx((loss, gradient), abs=1e-7)


def test_clip_fraction_counts_where_the_clip_acts() -> None:
    logp = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.0]).log()
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0])
    _, extra = ppo(0.2, 0.28)(logp, torch.zeros(5), advantage)
    assert extra["clip_frac"].tolist() == [1, 0, 0, 1, 0]
    assert (extra["clip_frac_up"] + extra["clip_frac_down"]).tolist() == [1, 0, 0, 1, 0]
    assert extra["clip_frac_up"].tolist() == [1, 0, 0, 0, 0]
    ratio = logp.exp()
    torch.testing.assert_close(extra["approx_kl"], ratio - 1 - logp)


def test_reinforce_is_the_score() -> None:
    assert factor(reinforce(), 1.0, 3.0) == pytest.approx((6.0, 3.0))
    assert factor(reinforce(), 1.5, 3.0)[1] == 3.0


ALONE = Segments(torch.tensor([0]), torch.tensor([0]))  # a sequence of one token
SHIFTED = {"asymre"}  # leans on successes, on purpose


@pytest.mark.parametrize("name", LOSSES)
def test_the_first_gradient_is_the_policy_gradient(name: str) -> None:
    for advantage in (-2.0, 0.0, 0.5):
        logp = torch.tensor([-1.0], requires_grad=True)
        losses, _ = LOSSES[name]()(logp, logp.detach(), torch.tensor([advantage]), ALONE)
        (gradient,) = torch.autograd.grad(-losses.sum(), logp)
        shift = 0.1 if name in SHIFTED else 0.0
        assert float(gradient) == pytest.approx(advantage + shift)


@pytest.mark.parametrize("name", LOSSES)
def test_far_ratios_stay_finite(name: str) -> None:
    for gap in (-1e4, 1e4):
        logp = torch.tensor([gap], requires_grad=True)
        losses, extra = LOSSES[name]()(logp, torch.zeros(1), torch.tensor([-1.0]), ALONE)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        assert logp.grad is not None
        assert torch.isfinite(torch.cat([losses.detach(), logp.grad, *extra.values()])).all()


@pytest.mark.parametrize("bounds", [(-0.1, 0.2), (1.1, 0.2), (0.2, -0.1)])
def test_ppo_refuses_bounds(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="clip_low"):
        ppo(*bounds)


# ---- aggregation ----------------------------------------------------------------------------


def literal(losses: list[list[float]], mode: Aggregation, norm: float) -> float:
    """The aggregated loss as the table says it, row by row."""
    rows = [np.array(row) for row in losses if row]  # a row without tokens is no sequence
    match mode:
        case "token-mean":
            return float(np.concatenate(rows).mean())
        case "seq-mean-token-sum":
            return float(np.mean([row.sum() for row in rows]))
        case "seq-mean-token-mean":
            return float(np.mean([row.mean() for row in rows]))
        case "seq-mean-token-sum-norm":
            return float(np.concatenate(rows).sum() / norm)


batch = st.lists(st.lists(st.floats(-5, 5), max_size=6), min_size=1, max_size=8).filter(any)


@pytest.mark.parametrize("mode", AGGREGATIONS)
@settings(max_examples=60)
@given(losses=batch, data=st.data())
def test_weights_are_the_table(
    mode: Aggregation, losses: list[list[float]], data: st.DataObject
) -> None:
    rows = torch.tensor([i for i, row in enumerate(losses) for _ in row])
    flat = torch.tensor([loss for row in losses for loss in row], dtype=torch.float64)
    weights = token_weights(rows, mode, norm=7.0)
    assert weights.dtype == torch.float32
    expected = literal(losses, mode, 7.0)
    assert float((weights * flat).sum()) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    # Any split into micro-batches adds up to the same.
    order = data.draw(st.permutations(range(len(flat))))
    cut = data.draw(st.integers(0, len(order)))
    parts = [(weights[part] * flat[part]).sum() for part in (order[:cut], order[cut:])]
    assert float(sum(parts)) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_weights_refuse() -> None:
    with pytest.raises(ValueError, match="no trained token"):
        token_weights(torch.zeros(0, dtype=torch.long), "token-mean")
    with pytest.raises(ValueError, match="unknown aggregation"):
        token_weights(torch.zeros(1, dtype=torch.long), "token-median")  # type: ignore[arg-type]


# ---- TRL ------------------------------------------------------------------------------------

LONGEST = 6


def trl_loss(
    loss_type: str, logps: torch.Tensor, sampled: torch.Tensor, advantages: torch.Tensor, mask: Any
) -> torch.Tensor:
    """What TRL's `GRPOTrainer` computes from these log-probabilities, by its own code."""
    from trl.trainer.grpo_trainer import GRPOTrainer

    # All that the method needs of a trainer; what it logs goes nowhere.
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *a, **k: (logps, torch.zeros_like(logps), None),
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        beta=0.0,
        loss_type=loss_type,
        epsilon_low=0.2,
        epsilon_high=0.28,
        args=SimpleNamespace(delta=None, steps_per_generation=1),
        use_vllm=False,
        model=SimpleNamespace(training=False),
        current_gradient_accumulation_steps=1,
        max_completion_length=LONGEST,
        accelerator=SimpleNamespace(
            num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x
        ),
        _entropy_bonus_enabled=False,
        _metrics={"eval": defaultdict(list)},
    )
    ids = torch.zeros(mask.shape, dtype=torch.long)
    inputs = {
        "prompt_ids": ids[:, :1], "prompt_mask": mask[:, :1], "completion_ids": ids,
        "completion_mask": mask, "advantages": advantages, "old_per_token_logps": sampled,
        "num_items_in_batch": mask.sum(),
    }  # fmt: skip
    loss: torch.Tensor = GRPOTrainer._compute_loss(trainer, None, inputs)
    return loss


@pytest.mark.parametrize(
    ("loss_type", "mode"),
    [
        ("grpo", "seq-mean-token-mean"),
        ("bnpo", "token-mean"),
        ("dapo", "token-mean"),
        ("dr_grpo", "seq-mean-token-sum-norm"),
    ],
)
def test_ppo_and_weights_are_trls(loss_type: str, mode: Aggregation) -> None:
    generator = torch.Generator().manual_seed(0)
    mask = (torch.arange(LONGEST) < torch.tensor([6, 1, 4, 3])[:, None]).float()
    sampled = -torch.rand(mask.shape, generator=generator)
    logps = sampled + 0.6 * torch.randn(mask.shape, generator=generator)
    advantages = torch.tensor([1.0, -0.5, 2.0, -1.0])

    theirs = logps.clone().requires_grad_()
    loss = trl_loss(loss_type, theirs, sampled, advantages, mask)
    loss.backward()  # type: ignore[no-untyped-call]

    ours = logps.clone().requires_grad_()
    row, column = mask.nonzero(as_tuple=True)
    losses, _ = ppo(0.2, 0.28)(ours[row, column], sampled[row, column], advantages[row])
    weights = token_weights(row, mode, norm=float(len(mask) * LONGEST))
    total = (weights * losses).sum()
    total.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(total, loss)
    torch.testing.assert_close(ours.grad, theirs.grad)
