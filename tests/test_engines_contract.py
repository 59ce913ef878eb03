"""The promises of `engines.base`, for every in-process engine."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from ludus.agents.engines import make_engine
from ludus.agents.engines.base import Completion, SamplingParams
from ludus.agents.engines.embedded import EmbeddedEngine
from ludus.agents.engines.hf import HFEngine

V, POSITIONS = 61, 128


def sharpened(model: Any) -> Any:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.2 + ("norm" in key))
    return model.eval()


def qwen3() -> Any:
    config = Qwen3Config(
        vocab_size=V,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=False,
    )
    return sharpened(Qwen3ForCausalLM(config))


def gpt2() -> Any:
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    return sharpened(
        GPT2LMHeadModel(GPT2Config(vocab_size=V, n_positions=POSITIONS, **sizes, **ends))
    )


def gemma2() -> Any:
    config = Gemma2Config(
        vocab_size=V,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=POSITIONS,
        sliding_window=16,
    )
    return sharpened(Gemma2ForCausalLM(config))


ENGINES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "embedded": lambda: (model := qwen3(), EmbeddedEngine(model)),
    "hf": lambda: (model := qwen3(), HFEngine(model)),
    "hf_gpt2": lambda: (model := gpt2(), HFEngine(model)),
    "hf_gemma2": lambda: (model := gemma2(), HFEngine(model)),
}


@pytest.fixture(autouse=True)
def one_thread_fixture() -> Iterator[None]:
    # Models this small only lose by handing work to a second thread.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(name="pair", params=ENGINES)
def pair_fixture(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return ENGINES[request.param]()


@pytest.fixture(name="engine")
def engine_fixture(pair: tuple[Any, Any]) -> Any:
    return pair[1]


def prompt(length: int, seed: int = 0) -> list[int]:
    tokens: list[int] = np.random.default_rng([seed, length]).integers(0, V, length).tolist()
    return tokens


def recomputed(model: Any, ids: Sequence[int]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([list(ids)])).logits[0]
    return logits.double()


def test_the_right_engine_is_made() -> None:
    assert isinstance(make_engine(qwen3()), EmbeddedEngine)
    assert isinstance(make_engine(gpt2()), HFEngine)


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(max_tokens=20),
        SamplingParams(max_tokens=20, temperature=0),
        SamplingParams(max_tokens=20, temperature=0.7, top_k=6, top_p=0.8),
        SamplingParams(max_tokens=20, stop_ids=(1, 2, 3, 4, 5, 6)),
    ],
)
def test_both_engines_say_the_same(params: SamplingParams) -> None:
    said: list[list[Completion]] = []
    model = qwen3()
    for engine in (make_engine(model), HFEngine(model)):
        sessions = [engine.open(prompt(n), seed=n) for n in (4, 4, 9, 31)]
        replies = engine.sample(sessions, params)
        for session in sessions:
            engine.extend(session, prompt(3))
        said.append(replies + engine.sample(sessions, params))
    for a, b in zip(*said, strict=True):
        assert (a.ids, a.finish) == (b.ids, b.finish)
        assert a.logps == pytest.approx(b.logps, abs=2e-5)
        assert a.entropies == pytest.approx(b.entropies, abs=2e-5)


@pytest.mark.parametrize(
    "rule", [(1.0, 0, 1.0), (0.7, 0, 1.0), (1.3, 5, 1.0), (0.9, 9, 0.6), (0, 0, 1)]
)
def test_logps_are_of_the_sampled_distribution(
    pair: tuple[Any, Any], rule: tuple[float, int, float]
) -> None:
    model, engine = pair
    params = SamplingParams(max_tokens=6, temperature=rule[0], top_k=rule[1], top_p=rule[2])
    sessions = [engine.open(prompt(n), seed=n) for n in (3, 17)]
    for session, reply in zip(sessions, engine.sample(sessions, params), strict=True):
        logits = recomputed(model, session.ids) / (rule[0] or 1.0)
        for i, token in enumerate(reply.ids):
            p = logits[len(session.ids) - 7 + i].softmax(-1).numpy()
            entropy = -(p * np.log(p)).sum()
            assert reply.entropies[i] == pytest.approx(entropy, abs=2e-5)
            if rule[0] == 0:
                assert token == p.argmax()
            order = np.argsort(-p)[: rule[1] or None]
            mass = p[order].cumsum() / p[order].sum()
            kept = order[: int(np.searchsorted(mass, rule[2])) + 1]
            assert token in kept
            assert reply.logps[i] == pytest.approx(np.log(p[token] / p[kept].sum()), abs=2e-5)


def test_alone_or_among_others(engine: Any) -> None:
    params = SamplingParams(max_tokens=12)
    alone = engine.open(prompt(7), seed=5)
    first = engine.sample([alone], params)[0]
    engine.extend(alone, prompt(4))
    second = engine.sample([alone], params)[0]
    crowd = [engine.open(prompt(1 + 5 * i), seed=i) for i in range(6)]
    crowd += [engine.open(prompt(7), seed=50 + i) for i in range(6)]
    again = engine.open(prompt(7), seed=5)
    other = engine.sample([*crowd, again], SamplingParams(max_tokens=12))[-1]
    assert other.ids == first.ids
    assert other.logps == pytest.approx(first.logps, abs=2e-5)
    engine.extend(again, prompt(4))
    assert engine.sample([crowd[3], again], params)[1].ids == second.ids


def test_sessions_join_and_leave_midway(engine: Any) -> None:
    lengths = (3, 30, 12, 50, 1)
    whole: dict[int, Completion] = {}
    for i, n in enumerate(lengths):
        session = engine.open(prompt(n), seed=i)
        whole[i] = engine.sample([session], SamplingParams(max_tokens=2 + 3 * i))[0]
        engine.close(session)
    waiting = {i: engine.open(prompt(n), seed=i) for i, n in enumerate(lengths)}
    leaver = engine.open(prompt(20), seed=77)
    engine.submit(leaver, SamplingParams(max_tokens=40))
    names = {id(session): i for i, session in waiting.items()}
    done: dict[int, Completion] = {}
    for step in range(26):
        if step % 2 == 0 and step // 2 in waiting:
            engine.submit(waiting[step // 2], SamplingParams(max_tokens=2 + 3 * (step // 2)))
        if step == 9:
            engine.close(leaver)
        done |= {names[id(session)]: completion for session, completion in engine.step()}
    assert {i: c.ids for i, c in done.items()} == {i: c.ids for i, c in whole.items()}


def test_turns_equal_one_long_prompt(engine: Any) -> None:
    session = engine.open(prompt(6), seed=1)
    params = SamplingParams(max_tokens=4)
    for turn in range(4):
        engine.sample([session], params)
        engine.extend(session, prompt(5, seed=turn))
    fresh = engine.open(list(session.ids), seed=9)
    target = prompt(6, seed=8)
    a, b = engine.score([(session, target), (fresh, target)])
    assert a == pytest.approx(b, abs=2e-5)


def test_forks(engine: Any) -> None:
    params = SamplingParams(max_tokens=10)
    session = engine.open(prompt(6), seed=1)
    engine.sample([session], params)
    engine.extend(session, prompt(2))
    before = list(session.ids)
    forks = [engine.fork(session, seed=seed) for seed in (5, 5, 6)]
    fresh = engine.open(before, seed=5)
    replies = engine.sample([*forks, fresh], params)
    assert replies[0].ids == replies[1].ids == replies[3].ids != replies[2].ids
    assert list(session.ids) == before
    # The parent goes on as if nobody had forked it.
    alone = engine.open(prompt(6), seed=1)
    engine.sample([alone], params)
    engine.extend(alone, prompt(2))
    assert engine.sample([session], params)[0].ids == engine.sample([alone], params)[0].ids
    assert engine.score([(session, [1, 2])])[0] == pytest.approx(
        engine.score([(alone, [1, 2])])[0], abs=2e-5
    )


def test_fork_in_the_middle_of_a_reply(engine: Any) -> None:
    session = engine.open(prompt(6), seed=1)
    engine.submit(session, SamplingParams(max_tokens=8))
    for _ in range(3):
        engine.step()
    fork = engine.fork(session, seed=4)
    so_far = list(fork.ids)
    assert len(so_far) == 9
    reply = engine.sample([fork], SamplingParams(max_tokens=10))[0]
    fresh = engine.open(so_far, seed=4)
    assert engine.sample([fresh], SamplingParams(max_tokens=10))[0].ids == reply.ids
    # It ended while the others were sampled, and is handed out now.
    ((same, completion),) = engine.step()
    assert same is session
    assert list(session.ids)[:9] == so_far
    assert len(completion.ids) == 8


def test_scores(pair: tuple[Any, Any]) -> None:
    model, engine = pair
    session, other = engine.open(prompt(9), seed=1), engine.open(prompt(30), seed=2)
    reply = engine.sample([session], SamplingParams(max_tokens=5))[0]
    before = list(session.ids)
    requests: list[tuple[Any, list[int]]] = [
        (session, [1, 2, 3]),
        (session, [4]),
        (other, [1, 2, 3]),
        (session, []),
        (session, [1, 2, 3]),
        (session, [1, 2, 9, 9, 9, 9]),
    ]
    scores = engine.score(requests)
    for (one, ids), score in zip(requests, scores, strict=True):
        logps = recomputed(model, [*one.ids, *ids]).log_softmax(-1)
        n = len(one.ids)
        expected = [logps[n - 1 + i, token].item() for i, token in enumerate(ids)]
        assert score == pytest.approx(expected, abs=2e-5)
    assert list(session.ids) == before
    # Sampling goes on as if nothing had been scored, and a reply scores what it was sampled with.
    again = engine.open(prompt(9), seed=1)
    assert engine.sample([again], SamplingParams(max_tokens=5))[0].ids == reply.ids
    params = SamplingParams(max_tokens=5)
    assert engine.sample([session], params)[0].ids == engine.sample([again], params)[0].ids
    fresh = engine.open(prompt(9), seed=3)
    assert engine.score([(fresh, reply.ids)])[0] == pytest.approx(reply.logps, abs=2e-5)


def test_replies_end(engine: Any) -> None:
    session = engine.open(prompt(5), seed=1)
    ids = engine.sample([session], SamplingParams(max_tokens=10))[0].ids
    stop = ids[6]
    again = engine.open(prompt(5), seed=1)
    reply = engine.sample([again], SamplingParams(max_tokens=10, stop_ids=(stop,)))[0]
    assert reply.ids == ids[: ids.index(stop) + 1]
    assert reply.finish == "stop"
    full = engine.open(prompt(POSITIONS - 3), seed=1)
    reply = engine.sample([full], SamplingParams(max_tokens=10))[0]
    assert (len(reply.ids), reply.finish) == (3, "length")
    with pytest.raises(ValueError, match="no room for a reply"):
        engine.submit(full, SamplingParams())


def test_replies_go_on_beside_one_that_fills_the_model(engine: Any) -> None:
    lengths = (POSITIONS - 3, 5, 6)
    together = engine.sample(
        [engine.open(prompt(n), seed=n) for n in lengths], SamplingParams(max_tokens=40)
    )
    assert [(len(c.ids), c.finish) for c in together] == [(n, "length") for n in (3, 40, 40)]
    for n, completion in zip(lengths, together, strict=True):
        (alone,) = engine.sample([engine.open(prompt(n), seed=n)], SamplingParams(max_tokens=40))
        assert completion.ids == alone.ids


def test_weights_are_followed(pair: tuple[Any, Any]) -> None:
    model, engine = pair
    session = engine.open(prompt(5), seed=1)
    engine.sample([session], SamplingParams(max_tokens=3))
    old = engine.score([(session, [1, 2])])[0]
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.1)
    engine.weights_changed()
    new = engine.score([(session, [1, 2])])[0]
    logps = recomputed(model, [*session.ids, 1, 2]).log_softmax(-1)
    assert new == pytest.approx([logps[7, 1].item(), logps[8, 2].item()], abs=2e-5)
    assert new != pytest.approx(old, abs=1e-3)
    assert engine.sample([session], SamplingParams(max_tokens=3))[0].version == 1


def test_mistakes_are_one_line(engine: Any) -> None:
    session = engine.open(prompt(5), seed=1)
    empty = engine.open([], seed=1)
    params = SamplingParams(max_tokens=2)
    with pytest.raises(ValueError, match="empty session"):
        engine.submit(empty, params)
    with pytest.raises(ValueError, match="empty session"):
        engine.sample([session, empty], params)
    with pytest.raises(ValueError, match="empty session"):
        engine.score([(empty, [1])])
    with pytest.raises(ValueError, match=f"{POSITIONS + 1} tokens"):
        engine.open([1] * (POSITIONS + 1), seed=1)
    with pytest.raises(ValueError, match=f"{POSITIONS + 1} tokens"):
        engine.extend(session, [1] * (POSITIONS - 4))
    with pytest.raises(ValueError, match=f"token id {V} is not"):
        engine.extend(session, [1, V])
    with pytest.raises(ValueError, match="given twice"):
        engine.sample([session, session], params)
    with pytest.raises(ValueError, match="another engine"):
        HFEngine(qwen3()).extend(session, [1])
    engine.submit(session, params)
    with pytest.raises(ValueError, match="under way"):
        engine.extend(session, [1])
    engine.step()
    engine.step()
    engine.close(session)
    engine.close(session)
    with pytest.raises(ValueError, match="closed"):
        engine.submit(session, params)
    assert engine.step() == []


def test_a_model_in_training_is_left_so(engine: Any, pair: tuple[Any, Any]) -> None:
    model, _ = pair
    model.train()
    session = engine.open(prompt(5), seed=1)
    a = engine.sample([session], SamplingParams(max_tokens=4))[0]
    assert model.training
    model.eval()
    again = engine.open(prompt(5), seed=1)
    assert engine.sample([again], SamplingParams(max_tokens=4))[0] == a
