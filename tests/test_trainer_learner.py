"""The learner: the gradient of the definition, however rows are laid out; and its safeguards."""

import copy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
)

from ludus.trainer.batch import MicroBatch, pack
from ludus.trainer.learner import Coefficients, Learner, ParityError, frozen_copy
from ludus.trainer.loss import ppo, reinforce, token_weights
from ludus.trainer.regularizers import kl_estimate
from ludus.trainer.trajectory import TokenNode, Trajectory

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import conversations, sampled, tiny

STILL = Coefficients(lr=0.0, entropy=0.0, kl=0.0)
V = 67


def scaled(kind: str) -> Any:
    """A model of a family that does something to its logits after the head."""
    sizes = {
        "vocab_size": V, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "granite":
            model: Any = GraniteForCausalLM(GraniteConfig(**sizes, logits_scaling=3.0))
        elif kind == "cohere":
            model = CohereForCausalLM(CohereConfig(**sizes, logit_scale=0.25))
        elif kind == "gemma2":
            own = {"head_dim": 8, "final_logit_softcapping": 0.5, "sliding_window": 128}
            model = Gemma2ForCausalLM(Gemma2Config(**sizes, **own))
        else:
            small = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
            ends = {"bos_token_id": 1, "eos_token_id": 2}
            model = GPT2LMHeadModel(GPT2Config(vocab_size=V, **small, **ends))
        for p in model.parameters():
            p.data.add_(torch.randn_like(p) * 0.1)
    return model.eval()


def learner(model: Any, **settings: Any) -> Learner:
    return Learner(model, settings.pop("loss", ppo()), **{"grad_clip": 1e9, **settings})


def gradient(
    own: Learner, batches: Sequence[MicroBatch], coefficients: Coefficients = STILL
) -> dict[str, Tensor]:
    """The gradient of one optimizer step, which is not made."""
    found: dict[str, Tensor] = {}

    def keep(*args: Any, **kwargs: Any) -> None:
        for name, p in own.model.named_parameters():
            if p.grad is not None:
                found[name] = p.grad.clone()

    optimizer: Any = own.optimizer
    step, optimizer.step = optimizer.step, keep
    own.update(batches, coefficients, version=0)
    optimizer.step = step
    return found


def drifted(trajectories: Sequence[Trajectory], *, version: int = -1) -> list[Trajectory]:
    """The same as sampled by an older policy: other log-probabilities, an older version."""
    found = []
    for t in trajectories:
        leaf: TokenNode | None = None
        for node in t.leaf.path():
            logps = tuple(x - 0.3 + 0.2 * (i % 4) for i, x in enumerate(node.logps, node.ids[0]))
            if node.is_action:
                leaf = TokenNode(leaf, node.ids, node.turn, logps, node.entropies, 0)
            else:
                leaf = TokenNode(leaf, node.ids)
        assert leaf is not None
        found.append(Trajectory(t.env_id, t.task_key, t.role, t.episode, leaf, t.turns))
    return found


def plain_logps(model: Any, ids: Sequence[int], temperature: float = 1.0) -> Tensor:
    """(T, V) by an ordinary forward pass over one row."""
    logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    return torch.log_softmax(logits.float() / temperature, -1)


def defined(
    model: Any,
    trajectories: Sequence[Trajectory],
    advantages: Sequence[Sequence[float]],
    *,
    mode: Any = "token-mean",
    magnet: Any = None,
    entropy: float = 0.0,
    kl: float = 0.0,
    kl_kind: str = "exact",
    temperature: float = 1.0,
    per_turn: bool = False,
) -> dict[str, Tensor]:
    """The gradient as it is defined: one row a trajectory, or one row a turn, all by itself."""
    lengths = [sum(len(n.ids) for n in t.leaf.path() if n.is_action) for t in trajectories]
    row_N = torch.tensor([i for i, n in enumerate(lengths) for _ in range(n)])
    weight_of = dict(zip(row_N.tolist(), token_weights(row_N, mode).tolist(), strict=True))
    total = torch.zeros(())
    for i, (t, own) in enumerate(zip(trajectories, advantages, strict=True)):
        ids: list[int] = []
        whole = [token for node in t.leaf.path() for token in node.ids]
        for node in t.leaf.path():
            start, ids = len(ids), ids + list(node.ids)
            if not node.is_action:
                continue
            row = ids if per_turn else whole
            at = slice(start - 1, len(ids) - 1)
            logps = plain_logps(model, row, temperature)[at]
            logp = logps.gather(1, torch.tensor(node.ids)[:, None])[:, 0]
            advantage = torch.full((len(node.ids),), own[node.turn])
            loss, _ = ppo()(logp, torch.tensor(node.logps), advantage)
            term = loss + entropy * (logps.exp() * logps).sum(-1)
            if magnet is not None:
                other = plain_logps(magnet, row, temperature)[at].detach()
                if kl_kind == "exact":
                    term = term + kl * (logps.exp() * (logps - other)).sum(-1)
                else:
                    chosen = other.gather(1, torch.tensor(node.ids)[:, None])[:, 0]
                    term = term + kl * kl_estimate(logp - chosen, kl_kind)
            total = total + weight_of[i] * term.sum()
    model.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def assert_equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> None:
    assert one.keys() == two.keys()
    scale = max(float(g.abs().max()) for g in one.values())
    assert scale > 1e-4  # something to compare
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5 * scale, msg=name)


def batch_of(model: Any, n: int = 7, **settings: Any) -> tuple[list[Trajectory], list[list[float]]]:
    trajectories = sampled(model, list(conversations(n, vocab=60, **settings)))
    generator = torch.Generator().manual_seed(1)
    return trajectories, [
        torch.randn(len(t.turns), generator=generator).tolist() for t in trajectories
    ]


# ---- log-probabilities ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["small", "granite", "cohere", "gemma2", "gpt2"])
@pytest.mark.parametrize("bin_tokens", [1, 1024])
def test_log_probabilities_are_those_of_a_plain_forward_pass(kind: str, bin_tokens: int) -> None:
    model = tiny()[0] if kind == "small" else scaled(kind)
    trajectories, advantages = batch_of(model)
    own = learner(model, temperature=0.7)
    assert own._head_is_last == (kind in ("small", "gpt2"))
    batches = pack(trajectories, advantages, bin_tokens=bin_tokens)
    assert any(batch.mask_BTT is not None for batch in batches) == (bin_tokens > 1)
    found = []
    for batch in batches:
        logps_UV = own.logps_UV(model, batch)
        assert logps_UV.dtype == torch.float32
        torch.testing.assert_close(logps_UV.exp().sum(-1), torch.ones(len(logps_UV)))
        found += logps_UV[batch.slot_N, batch.token_N].tolist()
    expected = []
    for t in trajectories:
        ids = [i for node in t.leaf.path() for i in node.ids]
        logps, at = plain_logps(model, ids, 0.7).detach(), 0
        for node in t.leaf.path():
            at += len(node.ids)
            if node.is_action:
                places = range(at - len(node.ids), at)
                expected += [float(logps[p - 1, ids[p]]) for p in places]
    assert sorted(found) == pytest.approx(sorted(expected), abs=2e-5)


@pytest.mark.parametrize("kind", ["small", "granite", "cohere", "gemma2", "gpt2"])
def test_what_was_just_sampled_passes_the_canary(kind: str) -> None:
    model = tiny()[0] if kind == "small" else scaled(kind)
    trajectories, advantages = batch_of(model)
    metrics = learner(model).update(pack(trajectories, advantages), STILL, version=0)
    assert metrics["parity/max"] < 5e-5
    assert metrics["loss/approx_kl"] == pytest.approx(0, abs=1e-6)
    assert metrics["loss/clip_frac"] == 0


# ---- gradients ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-mean"])
def test_trees_rows_and_turns_have_one_gradient(mode: Any) -> None:
    model = tiny()[0]
    trajectories, advantages = batch_of(model)
    old = drifted(trajectories)  # ratios away from 1, some clipped
    magnet = frozen_copy(tiny(seed=5)[0])
    terms = Coefficients(lr=0.0, entropy=0.02, kl=0.1)
    own = learner(model, magnet=magnet, temperature=0.8, parity_tolerance=9.0)
    settings = {"mode": mode, "magnet": magnet, "entropy": 0.02, "kl": 0.1, "temperature": 0.8}
    rows = defined(model, old, advantages, **settings)
    turns = defined(model, old, advantages, **settings, per_turn=True)
    assert_equal(rows, turns)
    for bin_tokens, micro_tokens in ((1024, 16_384), (1, 16_384), (1, 1), (30, 40), (1024, 1)):
        batches = pack(
            old, advantages, aggregation=mode, bin_tokens=bin_tokens, micro_tokens=micro_tokens
        )
        assert_equal(rows, gradient(own, batches, terms))
    back = list(reversed(range(len(old))))
    mixed = pack([old[i] for i in back], [advantages[i] for i in back], aggregation=mode)
    assert_equal(rows, gradient(own, mixed, terms))


@pytest.mark.parametrize("kind", ["k2", "k3", "k3+"])
def test_kl_from_sampled_tokens_has_the_gradient_of_its_definition(kind: str) -> None:
    model = tiny()[0]
    trajectories, advantages = batch_of(model)
    magnet = frozen_copy(tiny(seed=5)[0])
    own = learner(model, magnet=magnet, kl_estimate=kind)
    expected = defined(model, trajectories, advantages, magnet=magnet, kl=0.5, kl_kind=kind)
    terms = Coefficients(lr=0.0, entropy=0.0, kl=0.5)
    for bin_tokens, micro_tokens in ((1024, 16_384), (1, 1)):
        batches = pack(trajectories, advantages, bin_tokens=bin_tokens, micro_tokens=micro_tokens)
        assert_equal(expected, gradient(own, batches, terms))


def test_trees_have_the_gradient_of_rows_where_the_head_is_not_last() -> None:
    model = scaled("granite")
    trajectories, advantages = batch_of(model)
    expected = defined(model, trajectories, advantages)
    assert_equal(expected, gradient(learner(model), pack(trajectories, advantages)))


def test_padding_is_never_read() -> None:
    model = tiny()[0]
    trajectories, advantages = batch_of(model)
    for bin_tokens in (1, 30):
        for batch in pack(trajectories, advantages, bin_tokens=bin_tokens):
            real = torch.zeros(batch.ids_BT.shape, dtype=torch.bool)
            for b in range(len(real)):
                size = int((batch.position_BT[b] > 0).nonzero().max()) + 1
                real[b, :size] = True
            garbage = batch.ids_BT.masked_fill(~real, 99)
            fields = {name: getattr(batch, name) for name in MicroBatch.__slots__}
            other = MicroBatch(**{**fields, "ids_BT": garbage})
            own = learner(model)
            torch.testing.assert_close(own.logps_UV(model, other), own.logps_UV(model, batch))


def test_context_is_not_trained() -> None:
    # The only action follows the first token: what comes after is read by nobody.
    model = tiny()[0]
    (one,) = sampled(model, [[[5, 6, 7]]], tokens=2)
    chain = TokenNode(one.leaf, (9, 10, 11))
    last = TokenNode(chain, (12,), 1, (-1.0,), (1.0,), 0)
    two = Trajectory("e", "t", "a", 0, last, one.turns * 2)
    own = learner(model, parity_tolerance=99.0)
    short = gradient(own, pack([one], [[1.0]], aggregation="seq-mean-token-sum"))
    long = gradient(own, pack([two], [[1.0, 0.0]], aggregation="seq-mean-token-sum"))
    assert_equal(short, long)
    embedding = long["model.embed_tokens.weight"]
    assert float(embedding[[9, 10, 11, 12]].abs().max()) < 1e-9
    assert float(embedding[[5, 6, 7]].abs().min(0).values.max()) > 0


def test_the_gradient_is_a_finite_difference() -> None:
    model = tiny()[0].double()
    trajectories, advantages = batch_of(tiny()[0], 3)
    batches = pack(drifted(trajectories), advantages)
    magnet = frozen_copy(tiny(seed=5)[0].double())
    own = learner(model, magnet=magnet, parity_tolerance=9.0, loss=reinforce())
    terms = Coefficients(lr=0.0, entropy=0.3, kl=0.5)
    name, weight = "lm_head.weight", model.lm_head.weight
    slope = gradient(own, batches, terms)[name]
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)).double()

    def loss(size: float) -> float:
        weight.data.add_(direction, alpha=size)
        m = own.update(batches, terms, version=0)
        weight.data.sub_(direction, alpha=size)
        return m["loss/policy"] - 0.3 * m["loss/entropy"] + 0.5 * m["loss/kl_magnet"]

    h = 1e-2
    assert (loss(h) - loss(-h)) / (2 * h) == pytest.approx(
        float((slope * direction).sum()), rel=1e-2
    )


# ---- what is added to the loss --------------------------------------------------------------


def moved(entropy: float, kl: float, magnet: Any, steps: int = 6) -> list[dict[str, float]]:
    """Metrics of steps at which nothing but these terms acts."""
    model = tiny()[0]
    trajectories, _ = batch_of(model)
    batches = pack(trajectories, [[0.0] * len(t.turns) for t in trajectories])
    own = learner(model, magnet=magnet, parity_tolerance=9.0)
    terms = Coefficients(lr=3e-3, entropy=entropy, kl=kl)
    return [own.update(batches, terms, version=0) for _ in range(steps)]


def test_the_magnet_draws() -> None:
    kls = [m["loss/kl_magnet"] for m in moved(0.0, 1.0, frozen_copy(tiny(seed=5)[0]))]
    assert all(kl >= 0 for kl in kls)
    assert kls == sorted(kls, reverse=True)
    assert kls[-1] < 0.9 * kls[0]


def test_a_magnet_where_the_policy_is_does_nothing() -> None:
    model = tiny()[0]
    trajectories, advantages = batch_of(model)
    batches = pack(trajectories, advantages)
    own = learner(model, magnet=frozen_copy(model))
    without = gradient(learner(model), batches)
    assert_equal(without, gradient(own, batches, Coefficients(lr=0.0, entropy=0.0, kl=3.0)))


def test_the_entropy_bonus_raises_entropy() -> None:
    up = [m["loss/entropy"] for m in moved(1.0, 0.0, None)]
    down = [m["loss/entropy"] for m in moved(-1.0, 0.0, None)]
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert up[0] == down[0]
    assert up[-1] > up[0] > down[-1]


def test_good_replies_become_likelier() -> None:
    model = tiny()[0]
    trajectories, _ = batch_of(model, 2)
    batches = pack(trajectories, [[1.0] * len(t.turns) for t in trajectories])
    for loss, start in ((ppo(), -1.0), (reinforce(), None)):
        own = learner(model, parity_tolerance=9.0, loss=loss)
        step = Coefficients(1e-4, 0.0, 0.0)
        values = [own.update(batches, step, version=0)["loss/policy"] for _ in range(3)]
        assert values == sorted(values, reverse=True)
        assert values[2] < values[0]
        assert start is None or values[0] == pytest.approx(start, abs=1e-4)


def test_two_epochs_are_two_steps() -> None:
    results = []
    for epochs in ([2], [1, 1]):
        model = tiny()[0]
        trajectories, advantages = batch_of(model)
        own = learner(model, parity_tolerance=9.0)
        batches = pack(trajectories, advantages)
        for n in epochs:
            own.update(batches, Coefficients(1e-3, 0.0, 0.0), version=0, epochs=n)
        results.append(model.lm_head.weight)
    assert torch.equal(*results)


# ---- safeguards -----------------------------------------------------------------------------


def test_the_canary_stops_a_run_that_drifts() -> None:
    model = tiny()[0]
    trajectories, advantages = batch_of(model)
    batches = pack(trajectories, advantages)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3] += 0.5
    before = copy.deepcopy(model.state_dict())
    own = learner(model)
    with pytest.raises(ParityError, match="nats on tokens just sampled"):
        own.update(batches, Coefficients(1.0, 0.0, 0.0), version=0)
    assert all(torch.equal(a, before[name]) for name, a in model.state_dict().items())
    # Of tokens sampled by older weights nothing of the kind is expected.
    metrics = own.update(batches, STILL, version=2)
    assert metrics["parity/max"] == 0
    assert metrics["staleness/max"] == 2
    assert metrics["loss/approx_kl"] > 0


def test_the_canary_sees_what_is_not_a_number() -> None:
    model = tiny()[0]
    trajectories, advantages = batch_of(model)
    with torch.no_grad():
        model.lm_head.weight[0, 0] = float("nan")
    with pytest.raises(ParityError):
        learner(model).update(pack(trajectories, advantages), STILL, version=0)


def test_an_infinite_gradient_is_not_applied() -> None:
    model = tiny()[0]
    trajectories, _ = batch_of(model)
    batches = pack(trajectories, [[float("inf")] * len(t.turns) for t in trajectories])
    weight = model.lm_head.weight.clone()
    with pytest.raises(FloatingPointError, match="no update"):
        learner(model).update(batches, Coefficients(1e-3, 0.0, 0.0), version=0)
    assert torch.equal(model.lm_head.weight, weight)


def test_the_gradient_is_clipped() -> None:
    model = tiny()[0]
    trajectories, advantages = batch_of(model)
    batches = pack(trajectories, advantages)
    whole = gradient(learner(model), batches)
    norm = float(torch.stack([g.norm() for g in whole.values()]).norm())
    clipped = gradient(learner(model, grad_clip=norm / 4), batches)
    assert_equal({name: g / 4 for name, g in whole.items()}, clipped)


@pytest.mark.parametrize("moves", [False, True])
def test_state_round_trip_and_moving_the_magnet(moves: bool) -> None:
    def trained(*stages: int) -> Any:
        model = tiny()[0]
        trajectories, advantages = batch_of(model)
        batches = pack(trajectories, advantages)
        state: Any = None
        for steps in stages:
            # After the first stage the magnet is the state's, whatever it was made with.
            magnet: Any = frozen_copy(tiny(seed=7 if state is None else 8)[0])
            own = learner(model, magnet=magnet, parity_tolerance=9.0)
            if state is not None:
                own.load_state_dict(state)
            for _ in range(steps):
                own.update(batches, Coefficients(1e-3, 0.0, 0.1), version=0)
                if moves:
                    own.refresh_magnet()
            state = copy.deepcopy(own.state_dict())
        assert all(not p.requires_grad for p in magnet.parameters())
        assert torch.equal(magnet.lm_head.weight, model.lm_head.weight) == moves
        return model.lm_head.weight

    assert torch.equal(trained(4), trained(1, 3))
