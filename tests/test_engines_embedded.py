"""The embedded engine computes what Transformers does, whatever is shared and whoever is beside."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from ludus.agents.engines.base import Completion, SamplingParams
from ludus.agents.engines.embedded import EmbeddedEngine, EmbeddedSession
from ludus.agents.engines.weights import refusal, supports

V = 61
SIZES: dict[str, Any] = {
    "vocab_size": V,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
}
LINEAR = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 2.0}
MODELS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "llama_biases_tied": (
        LlamaForCausalLM,
        LlamaConfig,
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "llama_rope3_head_dim": (
        LlamaForCausalLM,
        LlamaConfig,
        {"rope_parameters": LLAMA3, "head_dim": 16},
    ),
    "llama_no_gqa_linear": (
        LlamaForCausalLM,
        LlamaConfig,
        {"num_key_value_heads": 4, "rope_parameters": LINEAR},
    ),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {"tie_word_embeddings": True}),
    "qwen2_one_kv_yarn": (
        Qwen2ForCausalLM,
        Qwen2Config,
        {"num_key_value_heads": 1, "rope_parameters": YARN, "tie_word_embeddings": False},
    ),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 8, "tie_word_embeddings": False}),
    "qwen3_wide_heads_tied_bias": (
        Qwen3ForCausalLM,
        Qwen3Config,
        {"head_dim": 24, "attention_bias": True, "tie_word_embeddings": True},
    ),
}


def random_model(name: str, **changes: Any) -> Any:
    """Random everywhere, biases and norms too, and sharp enough that mistakes show."""
    family, config, extra = MODELS[name]
    model = family(config(**SIZES | extra | changes)).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for key, p in model.named_parameters():
            spread = 0.3 if p.ndim == 2 else 0.2
            p.copy_(torch.randn(p.shape, generator=generator) * spread + ("norm" in key))
    return model


@pytest.fixture(autouse=True)
def one_thread_fixture() -> Iterator[None]:
    # Models this small only lose by handing work to a second thread.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(name="model")
def model_fixture() -> Any:
    return random_model("qwen3")


def prompt(length: int, seed: int = 0) -> list[int]:
    tokens: list[int] = np.random.default_rng([seed, length]).integers(0, V, length).tolist()
    return tokens


def recomputed(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """(T, V) log-probabilities of Transformers' own forward."""
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([list(ids)])).logits[0]
    return logits.double().log_softmax(-1)


def check(model: Any, session: EmbeddedSession, completion: Completion) -> None:
    """The completion's numbers are those of a fresh forward over the whole stream."""
    count, total = len(completion.ids), len(session.ids)
    assert tuple(session.ids[total - count :]) == completion.ids
    logps = recomputed(model, session.ids)[total - count - 1 : total - 1]
    chosen = logps.gather(1, torch.tensor(completion.ids)[:, None])[:, 0]
    assert completion.logps == pytest.approx(chosen.tolist(), abs=2e-5)
    entropies = -(logps.exp() * logps).sum(-1)
    assert completion.entropies == pytest.approx(entropies.tolist(), abs=2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_numbers_are_those_of_transformers(name: str) -> None:
    model = random_model(name)
    assert supports(model), refusal(model)
    engine = EmbeddedEngine(model)
    sessions = [engine.open(prompt(n), seed=n) for n in (1, 2, 9, 9, 40, 70)]
    for more in (0, 5, 30):
        for i, session in enumerate(sessions):
            engine.extend(session, prompt(more + i * (more > 0), seed=3))
        for session, reply in zip(
            sessions, engine.sample(sessions, SamplingParams(max_tokens=8)), strict=True
        ):
            check(model, session, reply)


def test_fused_parameters_stay_ordinary(tmp_path: Path) -> None:
    model, plain = random_model("qwen2"), random_model("qwen2")
    before = list(model.parameters())
    engine = EmbeddedEngine(model)
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    for (name, a), b in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b), name
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt")
    copied = copy.deepcopy(model)
    for (name, a), b, c in zip(
        model.named_parameters(), loaded.parameters(), copied.parameters(), strict=True
    ):
        assert torch.equal(a, b), name
        assert torch.equal(a, c), name
        assert torch.equal(a, state[name]), name
    ids = torch.tensor([prompt(12)])
    for each in (model, plain):
        each(ids, labels=ids).loss.backward()
    for (name, a), b in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert a.grad is not None, name
        assert torch.allclose(a.grad, b.grad, atol=1e-6), name
    # Loading other weights in place reaches the engine, and so does giving the module new memory.
    for assign in (False, True):
        state = {key: value.clone() * 1.1 for key, value in plain.state_dict().items()}
        model.load_state_dict(state, assign=assign)
        engine.weights_changed()
        session = engine.open(prompt(10), seed=1)
        check(model, session, engine.sample([session], SamplingParams(max_tokens=5))[0])


def test_a_second_engine_uses_the_same_memory(model: Any) -> None:
    first, second = EmbeddedEngine(model), EmbeddedEngine(model)
    a, b = first.open(prompt(5), seed=1), second.open(prompt(5), seed=1)
    params = SamplingParams(max_tokens=5)
    layer = model.model.layers[0].self_attn
    assert first._decoder.weights.layers[0].qkv.data_ptr() == layer.q_proj.weight.data_ptr()
    assert second._decoder.weights.layers[0].qkv.data_ptr() == layer.q_proj.weight.data_ptr()
    assert first.sample([a], params)[0].ids == second.sample([b], params)[0].ids


def test_an_optimizer_step_is_seen_and_old_caches_are_not(model: Any) -> None:
    engine = EmbeddedEngine(model)
    session, other = engine.open(prompt(20), seed=1), engine.open(prompt(3), seed=2)
    params = SamplingParams(max_tokens=6)
    assert engine.sample([session], params)[0].version == 0
    engine.submit(other, params)
    engine.step()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    ids = torch.tensor([prompt(30, seed=5)])
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    engine.weights_changed()
    engine.extend(session, prompt(4))
    reply = engine.sample([session], params)[0]
    assert reply.version == engine.version == 1
    check(model, session, reply)
    # The reply that was under way went on with the new weights from where it was.
    while not (ended := engine.step()):
        pass
    assert ended[0][0] is other
    assert ended[0][1].version == 0
    assert len(other.ids) == 9
    fresh = recomputed(model, other.ids)[7, other.ids[8]].item()
    assert ended[0][1].logps[-1] == pytest.approx(fresh, abs=2e-5)


def test_identical_streams_are_one_row_until_they_differ(model: Any) -> None:
    engine = EmbeddedEngine(model)
    sessions = [engine.open(prompt(10, seed=i % 3), seed=i) for i in range(300)]
    for session in sessions:
        engine.submit(session, SamplingParams(max_tokens=2))
    engine.step()
    assert engine.rows_computed == 3
    assert engine.tokens_computed == 30
    drawn = {tuple(session.ids) for session in sessions}
    assert 3 < len(drawn) < 150
    engine.step()
    assert engine.rows_computed == 3 + len(drawn)
    for session in sessions:
        engine.extend(session, [1, 2, 3])
    distinct = {tuple(session.ids) for session in sessions}
    rows = engine.rows_computed
    for session, reply in zip(
        sessions, engine.sample(sessions, SamplingParams(max_tokens=1)), strict=True
    ):
        if session.key % 7 == 0:
            check(model, session, reply)
    assert engine.rows_computed == rows + len(distinct)
    # All is given back: no slot is held once everybody has left.
    for session in sessions:
        engine.close(session)
    assert not engine._slots.refs.any()


def test_what_is_cached_is_not_computed_again(model: Any) -> None:
    engine = EmbeddedEngine(model)
    session = engine.open(prompt(100), seed=1)
    engine.sample([session], SamplingParams(max_tokens=5))
    assert engine.tokens_computed == 104
    engine.extend(session, prompt(7))
    fork = engine.fork(session, seed=2)
    engine.sample([session, fork], SamplingParams(max_tokens=1))
    assert engine.tokens_computed == 112
    assert engine.score([(session, [1, 2]), (fork, [3])]) != [(), ()]
    assert engine.tokens_computed == 112 + 2 + 1


def test_slots_run_out(model: Any) -> None:
    engine = EmbeddedEngine(model, max_slots=4)
    params = SamplingParams(max_tokens=3)
    sessions = [engine.open(prompt(5, seed=i), seed=i) for i in range(12)]
    free = EmbeddedEngine(model)
    others = [free.open(prompt(5, seed=i), seed=i) for i in range(12)]
    for _ in range(2):  # idle sessions lose their slots and are computed anew
        for at in range(0, 12, 3):
            part = slice(at, at + 3)
            given = engine.sample(sessions[part], params)
            assert [c.ids for c in given] == [c.ids for c in free.sample(others[part], params)]
    for session in sessions[:5]:
        engine.submit(session, params)
    with pytest.raises(ValueError, match=r"max_slots=4"):
        engine.step()
    engine.close(sessions[0])
    for _ in range(3):
        ended = engine.step()
    assert len(ended) == 4
    for session, reply in ended:
        check(model, session, reply)


def test_long_ragged_prompts_in_several_passes(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ludus.agents.engines.embedded.BATCH_TOKENS", 100)
    monkeypatch.setattr("ludus.agents.engines.attention.MAX_SCORES", 2000)
    engine = EmbeddedEngine(model)
    sessions = [engine.open(prompt(n), seed=n) for n in (130, 3, 60, 70, 8, 1, 33)]
    for _ in range(2):
        replies = engine.sample(sessions, SamplingParams(max_tokens=3))
        for session, reply in zip(sessions, replies, strict=True):
            check(model, session, reply)
        for session in sessions:
            engine.extend(session, prompt(40 + len(session.ids) % 11))
    scores = engine.score([(session, prompt(12, seed=2)) for session in sessions])
    for session, score in zip(sessions, scores, strict=True):
        logps = recomputed(model, [*session.ids, *prompt(12, seed=2)])[-13:-1]
        expected = logps.gather(1, torch.tensor(prompt(12, seed=2))[:, None])[:, 0]
        assert score == pytest.approx(expected.tolist(), abs=2e-5)


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("llama", {"rope_parameters": {**LINEAR, "rope_type": "dynamic"}}, "rope type 'dynamic'"),
        (
            "qwen2",
            {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0},
            "sliding_attention",
        ),
    ],
)
def test_unknown_computations_are_refused(name: str, changes: dict[str, Any], why: str) -> None:
    model = random_model(name, **changes)
    assert why in (refusal(model) or "")
    with pytest.raises(ValueError, match="cannot run this model"):
        EmbeddedEngine(model)


def test_replaced_projections_are_refused(model: Any) -> None:
    class Adapter(torch.nn.Linear):
        pass

    model.model.layers[1].mlp.down_proj = Adapter(48, 32)
    assert "Adapter" in (refusal(model) or "")


def test_bfloat16(model: Any) -> None:
    engine = EmbeddedEngine(model.to(torch.bfloat16))
    session = engine.open(prompt(20), seed=1)
    reply = engine.sample([session], SamplingParams(max_tokens=8))[0]
    logps = recomputed(model, session.ids)[19:27]
    chosen = logps.gather(1, torch.tensor(reply.ids)[:, None])[:, 0]
    assert reply.logps == pytest.approx(chosen.tolist(), abs=0.3)
