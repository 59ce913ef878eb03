"""What must not change a gradient: how a step is split, the order of its rows, its bins, copies.
And what must: losses point where they say."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ludus.trainer.advantages.trees import shared_means
from ludus.trainer.batch import pack
from ludus.trainer.corrections import (
    CORRECTIONS,
    StepTokens,
    correct,
    mismatch,
    sequence_tis,
)
from ludus.trainer.learner import Coefficients, Learner, frozen_copy
from ludus.trainer.loss import (
    AGGREGATIONS,
    LOSSES,
    Aggregation,
    PolicyLoss,
    Segments,
    masked,
    ppo,
    sequence_mask,
    token_weights,
)
from ludus.trainer.loss.sequence import gspo
from ludus.trainer.parts import make_part
from ludus.trainer.regularizers import EPO, AdaptiveEntropy, KLCov, LpReg, Regularizer, kl_estimate
from ludus.trainer.trajectory import TokenNode, Trajectory, Turn

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import conversations, micro_batch, path, sampled, tiny, trajectory

MODEL, MAGNET = tiny()[0], frozen_copy(tiny(seed=5)[0])


def stale(t: Trajectory) -> Trajectory:
    """As sampled by other weights: other log-probabilities, so that ratios are away from 1."""
    leaf: TokenNode | None = None
    for node in t.leaf.path():
        if node.is_action:
            logps = tuple(x - 0.3 + 0.2 * ((i + x) % 4) for i, x in enumerate(node.logps))
            leaf = TokenNode(leaf, node.ids, node.turn, logps, node.entropies, 0)
        else:
            leaf = TokenNode(leaf, node.ids)
    assert leaf is not None
    return replace(t, leaf=leaf)


TRAJECTORIES = [stale(t) for t in sampled(MODEL, list(conversations(8, vocab=60)), tokens=4)]
ADVANTAGES = [
    torch.randn(len(t.turns), generator=torch.Generator().manual_seed(i)).tolist()
    for i, t in enumerate(TRAJECTORIES)
]


def gradient(
    trajectories: Sequence[Trajectory],
    advantages: Sequence[Sequence[float]],
    loss: PolicyLoss,
    *,
    aggregation: Aggregation = "seq-mean-token-mean",
    entropy: float = 0.0,
    correction: Sequence[str] = (),
    regularizer: Sequence[Callable[[], Regularizer]] = (),
    metrics: dict[str, float] | None = None,
    norm: float = 30.0,
    kl: str = "",
    **packing: Any,
) -> Tensor:
    """The gradient of one optimizer step, which is not made; and what it logs."""
    own = Learner(
        MODEL,
        loss,
        grad_clip=1e9,
        corrections=[CORRECTIONS[name](**SETTINGS.get(name, {})) for name in correction],
        regularizers=[make() for make in regularizer],
        magnet=MAGNET if kl else None,
        kl_estimate=kl or "exact",
    )
    found: list[Tensor] = []
    optimizer: Any = own.optimizer
    optimizer.step = lambda: found.append(
        torch.cat([p.grad.flatten() for p in own.parameters if p.grad is not None])
    )
    said = own.update(
        pack(trajectories, advantages, aggregation=aggregation, norm=norm, **packing),
        Coefficients(lr=0.0, entropy=entropy, kl=0.1 if kl else 0.0),
        version=1,
        weigh=partial(token_weights, aggregation=aggregation, norm=norm),
    )
    if metrics is not None:
        metrics |= said
    return found[0]


SETTINGS: dict[str, dict[str, float]] = {
    "tis": {"cap": 1.1},
    "sequence_tis": {"cap": 1.05},
    "geometric": {"low": 0.95, "high": 1.05},
    "k3": {"limit": 0.02},
    "token_bounds": {"low": 0.8, "high": 1.2},
    "clip_cov": {"part": 0.1, "low": 0.05, "high": 5.0},
}
"""Of corrections, so that each takes some of the tokens and leaves some."""


def epo() -> EPO:
    part = EPO(weight=0.1, low=0.9, high=1.01, steps=10)
    part.total, part.done = 4.0, 1
    return part


def epo_by_turn() -> EPO:
    part = EPO(weight=0.1, low=0.9, high=1.01, steps=10, reference="turn")
    part.total, part.done, part.turns = 4.0, 1, {0: (4.0, 1), 1: (12.0, 2)}
    return part


def adaptive() -> AdaptiveEntropy:
    return AdaptiveEntropy(target=9.0, start=0.3)


TERMS: dict[str, Callable[[], Regularizer]] = {
    "epo": epo,
    "epo by turn": epo_by_turn,
    "adaptive": adaptive,
    "lp_reg": lambda: LpReg(beta=5.0, rare=0.9, kappa=0.6),
    "kl_cov": lambda: KLCov(part=0.2),
}

METHODS: dict[str, dict[str, Any]] = {
    **{name: {"loss": make()} for name, make in LOSSES.items()},
    "gspo wide": {"loss": gspo(0.5, 0.5)},
    "gspo turn": {"loss": gspo(0.5, 0.5, "turn")},
    "masked": {"loss": masked(ppo(), 0.0)},
    **{f"with {name}": {"loss": ppo(), "correction": [name]} for name in CORRECTIONS},
    **{name: {"loss": ppo(), "regularizer": [make]} for name, make in TERMS.items()},
    "entropy": {"loss": ppo(), "entropy": 0.1},
    **{f"kl {kind}": {"loss": ppo(), "kl": kind} for kind in ("exact", "k2", "k3", "k3+")},
}


def of(name: str, trajectories: Any, advantages: Any, **packing: Any) -> Tensor:
    return gradient(trajectories, advantages, **METHODS[name], **packing)


def assert_equal(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_every_part_acts(name: str) -> None:
    """What would change nothing would change nothing however a step is laid out."""
    noted: dict[str, float] = {}
    found = of(name, TRAJECTORIES, ADVANTAGES, metrics=noted)
    assert found.abs().max() > 1e-2
    if name != "ppo":
        assert not torch.allclose(found, of("ppo", TRAJECTORIES, ADVANTAGES), atol=1e-4)
    if name in ("with geometric", "with k3", "with token_bounds", "with clip_cov"):
        assert 0 < noted["mismatch/rejected"] < 1


@pytest.mark.parametrize("name", METHODS)
def test_layout_does_not_matter(name: str) -> None:
    whole = of(name, TRAJECTORIES, ADVANTAGES)
    for packing in ({"micro_tokens": 1}, {"bin_tokens": 1}, {"bin_tokens": 30, "micro_tokens": 60}):
        assert_equal(of(name, TRAJECTORIES, ADVANTAGES, **packing), whole)
    assert_equal(of(name, TRAJECTORIES[::-1], ADVANTAGES[::-1], micro_tokens=40), whole)


FORMS: dict[str, PolicyLoss] = {
    name: method["loss"] for name, method in METHODS.items() if method.keys() == {"loss"}
}


@st.composite
def compositions(draw: st.DrawFn) -> dict[str, Any]:
    """Any loss under any aggregation, with any corrections and any terms."""
    return {
        "loss": FORMS[draw(st.sampled_from(sorted(FORMS)))],
        "aggregation": draw(st.sampled_from(AGGREGATIONS)),
        "correction": draw(st.lists(st.sampled_from(sorted(CORRECTIONS)), unique=True, max_size=2)),
        "regularizer": [
            TERMS[name]
            for name in draw(st.lists(st.sampled_from(sorted(TERMS)), unique=True, max_size=2))
        ],
        "entropy": draw(st.sampled_from((0.0, 0.1))),
        "kl": draw(st.sampled_from(("", "exact", "k2", "k3", "k3+"))),
    }


@settings(max_examples=80, deadline=None)
@given(
    method=compositions(),
    order=st.permutations(range(len(TRAJECTORIES))),
    bin_tokens=st.integers(1, 80),
    micro_tokens=st.integers(1, 200),
    trained=st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_whatever_is_composed_layout_and_untrained_turns_do_not_matter(
    method: dict[str, Any],
    order: list[int],
    bin_tokens: int,
    micro_tokens: int,
    trained: list[bool],
) -> None:
    """Neither the gradient nor a number of the log, and nothing that is not trained is read."""
    rest = iter(trained)
    keep = [(True, *(next(rest) for _ in t.turns[1:])) for t in TRAJECTORIES]
    said: dict[str, float] = {}
    other: dict[str, float] = {}
    whole = gradient(TRAJECTORIES, ADVANTAGES, keep=keep, metrics=said, **method)
    found = gradient(
        [unread(TRAJECTORIES[i], keep[i]) for i in order],
        [[a if k else 1e6 for a, k in zip(ADVANTAGES[i], keep[i], strict=True)] for i in order],
        keep=[keep[i] for i in order],
        metrics=other,
        bin_tokens=bin_tokens,
        micro_tokens=micro_tokens,
        **method,
    )
    assert_equal(found, whole)
    assert other == pytest.approx(said, rel=1e-3, abs=1e-5)


def unread(t: Trajectory, keep: Sequence[bool]) -> Trajectory:
    """The same with nonsense noted of turns that are not trained."""
    leaf: TokenNode | None = None
    for node in t.leaf.path():
        fields: dict[str, Any] = {"parent": leaf}
        if node.is_action and not keep[node.turn]:
            nonsense = {"logps": -50.0, "entropies": 50.0}
            fields |= {name: (value,) * len(node.ids) for name, value in nonsense.items()}
        leaf = replace(node, **fields)
    assert leaf is not None
    return replace(t, leaf=leaf)


@settings(max_examples=40, deadline=None)
@given(method=compositions().filter(lambda method: "clip_cov" not in method["correction"]))
def test_copies_do_not_matter(method: dict[str, Any]) -> None:
    """Of clip_cov's random choice one copy may be another's."""
    once = gradient(TRAJECTORIES, ADVANTAGES, **method)
    twice = gradient(TRAJECTORIES * 2, ADVANTAGES * 2, norm=60.0, **method)
    assert_equal(twice, once)


def test_turns_that_are_not_trained_do_not_matter() -> None:
    keep = [(True, *[i % 2 == 0] * (len(t.turns) - 1)) for i, t in enumerate(TRAJECTORIES)]
    noisy = [
        [a if k else 1e6 for a, k in zip(row, kept, strict=True)]
        for row, kept in zip(ADVANTAGES, keep, strict=True)
    ]
    assert any(False in kept for kept in keep)
    for name in ("ppo", "gspo wide", "gspo turn", "epo", "lp_reg", "entropy", "with tis"):
        expected = of(name, TRAJECTORIES, ADVANTAGES, keep=keep)
        assert_equal(of(name, TRAJECTORIES, noisy, keep=keep), expected)
        assert not torch.allclose(expected, of(name, TRAJECTORIES, ADVANTAGES))


def test_shared_turns_soft_and_hard() -> None:
    """At ratio 1, each copy's own advantage and the mean of all have one gradient."""
    (first,) = sampled(MODEL, [[[5, 6, 7]]], tokens=3)
    leaves = []
    for token in (8, 9, 10):
        context = TokenNode(first.leaf, (token,))
        logps, at = [], [i for node in context.path() for i in node.ids]
        for i in (11, 12):
            with torch.no_grad():
                logits = MODEL(input_ids=torch.tensor([at])).logits[0, -1]
            logps.append(float(logits.log_softmax(-1)[i]))
            at.append(i)
        leaves.append(TokenNode(context, (11, 12), 1, tuple(logps), (1.0, 1.0), 1))
    branches = [
        Trajectory("e", "t", "a", i, leaf, (Turn(0.0, ""), Turn(0.0, "")))
        for i, leaf in enumerate(leaves)
    ]
    soft = [[1.0, 1.0], [-0.5, -0.5], [0.25, 0.25]]
    nodes = [[id(n) for n in t.leaf.path() if n.is_action] for t in branches]
    hard = shared_means(soft, nodes)
    assert hard[0][0] == hard[1][0] == pytest.approx(0.25)
    for bin_tokens in (1024, 1):
        settings: dict[str, Any] = {"aggregation": "token-mean", "bin_tokens": bin_tokens}
        assert_equal(
            gradient(branches, hard, ppo(), **settings), gradient(branches, soft, ppo(), **settings)
        )


# ---- losses that compare sequences -----------------------------------------------------------


def test_gspo_has_the_gradient_of_its_sequence_form() -> None:
    generator = torch.Generator().manual_seed(0)
    row = torch.tensor([0, 0, 0, 1, 1, 2])
    sampled_logp = torch.randn(6, generator=generator, dtype=torch.float64)
    start = sampled_logp + 0.3 * torch.randn(6, generator=generator, dtype=torch.float64)
    advantage = torch.tensor([1.0, 1, 1, -1, -1, 0.5], dtype=torch.float64)
    ours = start.clone().requires_grad_()
    at = Segments(row, torch.zeros(6, dtype=torch.int64))
    losses, _ = gspo(0.1, 0.2)(ours, sampled_logp, advantage, at)
    (token_weights(row, "seq-mean-token-mean").double() * losses).sum().backward()  # type: ignore[no-untyped-call]
    theirs = start.clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for r in range(3):
        s = (theirs - sampled_logp)[row == r].mean().exp()
        a = advantage[row == r][0]
        total = total - torch.minimum(s * a, s.clamp(0.9, 1.2) * a) / 3
    total.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-5)


def sequences(logp: Tensor, row: Tensor) -> list[Tensor]:
    return [logp[row == r] for r in range(int(row.max()) + 1)]


def by_sequence(name: str, d: Tensor, a: Tensor) -> Tensor:
    """The loss of one sequence from its log-ratios and its advantage."""
    if name == "opmd:tau=0.3":
        return (a - 0.3 * d.sum()) ** 2 / (2 * 0.3)
    clipped = d.clamp(-0.1, 0.2)  # gmpo: the more pessimistic of the two
    chosen = torch.minimum(d, clipped) if a > 0 else torch.maximum(d, clipped)
    return -chosen.mean().exp() * a


@pytest.mark.parametrize("name", ["gmpo:clip_low=0.1,clip_high=0.2", "opmd:tau=0.3"])
def test_losses_of_sequences_have_the_gradient_of_their_definition(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    row = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3])
    behind = torch.randn(10, generator=generator, dtype=torch.float64)
    start = behind + 0.3 * torch.randn(10, generator=generator, dtype=torch.float64)
    advantage = torch.tensor([1.0, -1.0, 0.5, -2.0], dtype=torch.float64)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    losses, _ = make_part("loss", name, LOSSES)(
        ours, behind, advantage[row], Segments(row, row * 0)
    )
    mode: Aggregation = "seq-mean-token-sum" if name.startswith("opmd") else "seq-mean-token-mean"
    (token_weights(row, mode).double() * losses).sum().backward()  # type: ignore[no-untyped-call]
    parts = zip(sequences(theirs - behind, row), advantage, strict=True)
    torch.stack([by_sequence(name, d, a) for d, a in parts]).mean().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-5)


def test_losses_do_not_mix_sequences() -> None:
    at = Segments(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]))
    logp, zero = torch.tensor([0.2, 0.4, 3.0]), torch.zeros(3)
    for make in (LOSSES["gspo"], LOSSES["gmpo"], LOSSES["opmd"]):
        full, _ = make()(logp, zero, torch.ones(3), at)
        part, _ = make()(logp[:2], zero[:2], torch.ones(2), Segments(at.row_N[:2], at.turn_N[:2]))
        torch.testing.assert_close(full[:2], part)
    with pytest.raises(ValueError, match="which tokens are one"):
        LOSSES["gspo"]()(logp, zero, torch.ones(3))


# ---- corrections ------------------------------------------------------------------------------


def step_tokens(d: Tensor, rows: Tensor) -> StepTokens:
    return StepTokens(d, torch.zeros_like(d), torch.ones_like(d), Segments(rows, rows * 0))


def test_long_episodes_keep_their_weight() -> None:
    """A random walk of 8,000 ratios near 1: the mean stays near 1, the product does not."""
    d = 0.05 * torch.randn(8_000, generator=torch.Generator().manual_seed(3)) - 0.001
    tokens = step_tokens(d, torch.zeros(8_000, dtype=torch.int64))
    assert float(sequence_tis()(tokens)[0].mean()) == pytest.approx(1.0, abs=0.01)
    product = float(sequence_tis(mean=False)(tokens)[0].mean())
    assert product < 0.1 or product == 2.0
    assert mismatch(tokens)["mismatch/ratio_mean"] == pytest.approx(1.0, abs=0.01)


def test_weights_of_tokens_have_the_shape_of_the_losses() -> None:
    tokens = step_tokens(torch.randn(5), torch.tensor([0, 0, 1, 1, 1]))
    for name, make in CORRECTIONS.items():
        factor, keep = make()(tokens)
        assert factor.shape == keep.shape == (5,), name
        assert keep.dtype == torch.bool
        assert not factor.requires_grad


def test_mismatch_is_measured_from_what_sampled() -> None:
    # Two tokens; the policy that sampled (mu) and the learner (pi) are known in full, so that every
    # estimate is exact in expectation: here the tokens are drawn as often as mu says.
    mu, pi = torch.tensor([0.75, 0.25]), torch.tensor([0.5, 0.5])
    drawn = torch.tensor([0, 0, 0, 1])
    tokens = step_tokens((pi / mu).log()[drawn], drawn * 0)
    found = mismatch(tokens)
    kl = float((mu * (mu / pi).log()).sum())
    chi2 = float(((pi - mu) ** 2 / mu).sum())
    expected = {"k1": kl, "k3": kl, "chi2": chi2, "ratio_mean": 1.0, "ratio_max": 2.0,
                "ess": 1 / (1 + chi2)}  # fmt: skip
    assert found == pytest.approx({f"mismatch/{k}": v for k, v in expected.items()}, rel=1e-5)


def test_without_mismatch_nothing_is_corrected() -> None:
    tokens = step_tokens(torch.zeros(4), torch.tensor([0, 0, 1, 1]))
    for name, make in CORRECTIONS.items():
        factor, keep = make()(tokens)
        assert factor.tolist() == [1.0] * 4, name
        assert keep.tolist() == [True] * 4, name
    numbers = mismatch(tokens)
    assert numbers["mismatch/ess"] == 1.0
    assert numbers["mismatch/k3"] == numbers["mismatch/chi2"] == 0.0


def test_factors_multiply_and_rejections_leave_the_denominators() -> None:
    batch = micro_batch(rows=(0, 0, 1, 1, 1), turns=(0,) * 5)
    d = torch.tensor([0.5, 0.0, 0.1, 2.0, -0.1])  # the first and the fourth are rejected
    names = ("token_bounds", "tis:cap=1.09", "tis:cap=1.05")
    corrections = [make_part("correction", name, CORRECTIONS) for name in names]
    own = exp(-0.1)
    expected = {
        "seq-mean-token-mean": [0, 0.5, 0.25 * 1.09 * 1.05, 0, 0.25 * own**2],
        "token-mean": [0, 1 / 3, 1.09 * 1.05 / 3, 0, own**2 / 3],
    }
    mode: Aggregation
    for mode in ("seq-mean-token-mean", "token-mean"):
        (found,), noted = correct(
            corrections, [batch], [d], partial(token_weights, aggregation=mode)
        )
        assert found.weight_N.tolist() == pytest.approx(expected[mode], rel=1e-6)
        assert noted["mismatch/rejected"] == pytest.approx(0.4)
        assert noted["mismatch/ratio_max"] == pytest.approx(exp(2.0))  # before any cap


def test_a_sequence_is_masked_by_its_mean_advantage() -> None:
    at = Segments(torch.zeros(2, dtype=torch.int64), torch.tensor([0, 1]))
    less, before = torch.full((2,), -2.0), torch.full((2,), -1.0)
    for advantage, stays in (([1.0, -3.0], False), ([3.0, -1.0], True)):
        found = sequence_mask(less, before, torch.tensor(advantage), at, 0.5)
        assert found.tolist() == [stays] * 2


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("tis:cap=0", "cap must be more than 0"),
        ("sequence_tis:cap=-1", "cap must be more than 0"),
        ("geometric:low=1.1,high=1.2", "a ratio of 1 must be inside"),
        ("token_bounds:low=-1", "a ratio of 1 must be inside"),
        ("k3:limit=0", "limit must be more than 0"),
        ("clip_cov:part=2", "0 < part <= 1"),
    ],
)
def test_corrections_refuse_what_makes_no_sense(spec: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make_part("correction", spec, CORRECTIONS)


# ---- regularizers -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["k2", "k3", "k3+"])
def test_kl_falls_when_it_is_minimised_alone(kind: str) -> None:
    logits = torch.tensor([2.0, 0.0, -1.0], requires_grad=True)
    ref = torch.zeros(3).log_softmax(-1)

    def exact() -> float:
        logp = logits.detach().log_softmax(-1)
        return float((logp.exp() * (logp - ref)).sum())

    before = exact()
    for _ in range(50):
        logp = logits.log_softmax(-1)
        # Its expectation under the policy, as sampling would give it.
        loss = (logp.detach().exp() * kl_estimate(logp - ref, kind)).sum()
        (g,) = torch.autograd.grad(loss, logits)
        logits = (logits - 0.3 * g).detach().requires_grad_()
    assert exact() < before / 4


def test_kl_values_agree_in_expectation() -> None:
    # Ratios far below the clamp of k3.
    raw = 0.5 * torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    logp, ref = raw.log_softmax(-1)
    exact = float((logp.exp() * (logp - ref)).sum())
    for kind in ("k1", "k3", "k3+"):
        assert float((logp.exp() * kl_estimate(logp - ref, kind)).sum()) == pytest.approx(
            exact, abs=1e-4
        )
    k2_gradient_is_kls = []
    for value in ("k2", "exact"):
        logits = logp.clone().requires_grad_()
        own = logits.log_softmax(-1)
        if value == "k2":
            total = (own.detach().exp() * kl_estimate(own - ref, "k2")).sum()
        else:
            total = (own.exp() * (own - ref)).sum()
        k2_gradient_is_kls.append(torch.autograd.grad(total, logits)[0])
    torch.testing.assert_close(*k2_gradient_is_kls, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"alpha": 0.05}, "never turns around"),
        ({"low": 0.0}, "only the upper one acts"),
        ({"penalty": "indicator"}, "no gradient"),
    ],
)
def test_epo_says_when_its_corridor_cannot_act(settings: dict[str, Any], reason: str) -> None:
    with pytest.warns(UserWarning, match=reason):
        EPO(**settings)


def test_epo_weighs_turns_alike() -> None:
    part = epo()
    batch = micro_batch(rows=(0, 0, 0, 1), turns=(0, 0, 1, 0))
    part.begin([batch])
    assert part.weights(batch).tolist() == [0.125, 0.125, 0.25, 0.5]


def test_epo_turns_entropy_back_into_the_corridor() -> None:
    batch = micro_batch(rows=(0, 1), turns=(0, 0))
    for scale, sign in ((0.05, 1.0), (9.0, -1.0)):  # nearly uniform, nearly certain
        logits = (scale * torch.eye(2, 5)).requires_grad_()
        part = EPO(low=0.8, high=1.0, steps=10)
        part.total, part.done = 1.0, 1
        part.begin([batch])
        logps = logits.log_softmax(-1)
        term, _ = part(logps, batch)
        (g,) = torch.autograd.grad(term, logits)
        # Descending makes the likeliest token likelier where entropy was high, and less else.
        assert float(-g[0, 0] * sign) > 0


def test_adaptive_entropy_moves_its_weight() -> None:
    part = AdaptiveEntropy(target=1.0, delta=0.1, start=0.2)
    uniform = torch.zeros(2, 5).log_softmax(-1)
    # What was noted at sampling decides, not what the distributions are by now.
    low, high = (
        micro_batch(rows=(0, 0), turns=(0, 0), entropy_N=torch.full((2,), nats))
        for nats in (0.1, log(5))
    )
    part.begin([low])
    assert float(part(uniform, low)[0]) == pytest.approx(-0.2 * log(5))
    assert part.end()["entropy/weight"] == pytest.approx(0.3)
    part.begin([high])
    part(uniform, high)
    assert part.end()["entropy/weight"] == pytest.approx(0.2)  # ln 5 is above the target
    part.begin([high])
    assert float(part(uniform, high)[0]) == 0.0  # off until entropy is back
    twin = AdaptiveEntropy(target=1.0, delta=0.1)
    twin.load_state_dict(part.state_dict())
    assert (twin.weight, twin.last) == (part.weight, part.last)


def test_lp_reg_protects_rare_tokens_that_are_not_noise() -> None:
    logps = torch.tensor([[0.6, 0.3, 0.09, 0.0095, 0.0005]]).log().repeat(3, 1).requires_grad_()
    batch = micro_batch(
        rows=(0, 1, 2),
        turns=(0, 0, 0),
        token_N=torch.tensor([2, 4, 0]),
        logp_sampled_N=logps.detach()[0, [2, 4, 0]],
        advantage_N=torch.tensor([-1.0, -1.0, -1.0]),
    )
    part = LpReg(kappa=0.02, rare=0.7)
    part.begin([batch])
    term, values = part(logps, batch)
    # Token 2 is rare and kept by the proxy; token 4 is noise; token 0 is not rare.
    assert float(values["lp_reg/protected"]) == pytest.approx(1 / 3)
    (g,) = torch.autograd.grad(term, logps)
    assert g[0, 2] < 0  # descending raises it
    assert not g[1:].any()
    # KL(proxy || policy) of the proxy without tokens of less than 0.012, which has no gradient.
    proxy = torch.tensor([0.6, 0.3, 0.09, 0.0, 0.0]) / 0.99
    assert float(term.detach()) == pytest.approx(-log(0.99) / 3, rel=1e-4)
    torch.testing.assert_close(g[0], -proxy / 3)


def test_kl_cov_holds_the_tokens_where_entropy_is_lost() -> None:
    logps = torch.tensor([[0.9, 0.1]] * 4).log().requires_grad_()
    batch = micro_batch(
        rows=(0, 1, 2, 3),
        turns=(0, 0, 0, 0),
        token_N=torch.tensor([0, 1, 0, 1]),
        logp_sampled_N=torch.tensor([0.8, 0.2, 0.8, 0.2]).log(),
        advantage_N=torch.tensor([3.0, 1.0, -1.0, -1.0]),
    )
    part = KLCov(part=0.25)
    part.begin([batch])
    term, values = part(logps, batch)
    assert float(values["kl_cov/chosen"]) == 0.25
    (g,) = torch.autograd.grad(term, logps)
    # Likely and praised: descending takes back what was gained, by the token's weight in the loss.
    assert g.nonzero().tolist() == [[0, 0]]
    assert float(g[0, 0]) == 0.25
    half = KLCov(part=0.5)
    half.begin([batch])
    assert float(half(logps, batch)[1]["kl_cov/chosen"]) == 0.5


def test_epo_state_goes_on_bit_by_bit() -> None:
    whole, resumed = epo(), epo()
    batch = micro_batch(rows=(0, 0), turns=(0, 1))
    logps = torch.randn(2, 5, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    for part in (whole, resumed):
        part.begin([batch])
        part(logps, batch)
        part.end()
    twin = EPO(weight=0.1, low=0.9, high=1.01, steps=10)
    twin.load_state_dict(resumed.state_dict())
    for part in (whole, twin):
        part.begin([batch])
    assert torch.equal(whole(logps, batch)[0], twin(logps, batch)[0])


def test_paths_of_tests_are_what_they_say() -> None:
    t = trajectory(path([1], [2], [3], [4]))
    (batch,) = pack([t], [[1.0, 2.0]])
    assert batch.row_N.tolist() == [0, 0]
    assert batch.turn_N.tolist() == [0, 1]
