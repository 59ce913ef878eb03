"""The optimal token baseline: what it needs is noted, and it is what it says it is."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ludus.agents.engines import make_engine
from ludus.agents.engines.base import SamplingParams
from ludus.agents.engines.hf import HFEngine
from ludus.trainer.advantages import ADVANTAGES, OptimalTokenBaseline
from ludus.trainer.advantages.values import optimal_token_baselines, score_norms
from ludus.trainer.batch import pack
from ludus.trainer.config import RECIPES
from ludus.trainer.learner import Learner
from ludus.trainer.loss import reinforce
from ludus.trainer.tokens import with_tokens
from ludus.trainer.train import Trainer
from ludus.trainer.trajectory import Episode, Stop, Trajectory

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import path, tiny, trajectory

CONFIG = dataclasses.replace(
    RECIPES["grpo"],
    env="ludus/GuessNumber-v1",
    on_invalid="retry",
    model="small:hidden=32,layers=1,heads=2,kv_heads=1",
    advantage="otb",
    episodes=8,
    group_size=4,
    steps=4,
    warmstart_steps=0,
    eval_episodes=2,
    threads=1,
)


def rows(*given: tuple[list[float], list[list[float]]]) -> list[Episode]:
    """A task's episodes: rewards of turns, and sums of squares of their tokens, which have
    probability 1/2 each."""
    found = []
    for number, (rewards, squares) in enumerate(given):
        leaf = path(*(part for own in squares for part in ([1], [2] * len(own))), logp=np.log(0.5))
        t = trajectory(leaf, *rewards, episode=number)
        turns = tuple(
            dataclasses.replace(turn, sum_squares=tuple(own))
            for turn, own in zip(t.turns, squares, strict=True)
        )
        t = dataclasses.replace(t, turns=turns)
        found.append(Episode(t.env_id, t.task_key, number, {"a": t.ret}, (t,), Stop.TERMINATED))
    return found


def by_token(episodes: list[Episode], estimator: OptimalTokenBaseline) -> list[list[float]]:
    means = estimator(episodes)
    return [
        [m + d for m, credit in zip(row, credits, strict=True) for d in credit.deviation]
        for row, credits in zip(means, estimator.token_credit, strict=True)
    ]


def test_the_vector() -> None:
    # W is (0.2, 0.5) and (0.6, 0.7), whether its two tokens are of one turn or of two.
    one = rows(([1.0], [[0.2, 0.3]]), ([0.0], [[0.6, 0.1]]))
    two = rows(([0.0, 1.0], [[0.2], [0.3]]), ([0.0], [[0.6, 0.1]]))
    for episodes in (one, two):
        first, second = by_token(episodes, OptimalTokenBaseline())
        assert first == pytest.approx([1 - 0.25, 1 - 0.416667], abs=1e-6)
        assert second == pytest.approx([-0.25, -0.416667], abs=1e-6)


def test_rewards_already_had_are_no_return() -> None:
    episodes = rows(([1.0, 0.0], [[0.2], [0.3]]), ([0.0, 1.0], [[0.6], [0.1]]))
    first, second = by_token(episodes, OptimalTokenBaseline())
    later = 0.7 / (0.5 + 0.7)  # only the second has something to come
    assert first == pytest.approx([1 - 1, 0 - later])
    assert second == pytest.approx([1 - 1, 1 - later])


def test_a_tail_and_a_group_of_one() -> None:
    episodes = rows(([1.0], [[0.2, 0.3, 0.4]]), ([0.0], [[0.6]]))
    first, second = by_token(episodes, OptimalTokenBaseline())
    assert first == pytest.approx([1 - 0.25, 1.0, 1.0])
    assert second == pytest.approx([-0.25])
    assert by_token(episodes[:1], OptimalTokenBaseline()) == [[0.0] * 3]
    bare = [dataclasses.replace(e, trajectories=(_without(e.trajectories[0]),)) for e in episodes]
    with pytest.raises(ValueError, match="no sums of squares"):
        OptimalTokenBaseline()(bare)


def _without(t: Trajectory) -> Trajectory:
    return dataclasses.replace(
        t, turns=tuple(dataclasses.replace(turn, sum_squares=()) for turn in t.turns)
    )


def test_the_norm_is_that_of_the_gradient() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    tokens = torch.tensor([0, 3, 6, 2, 2])
    logp_N = logits.log_softmax(-1)[torch.arange(5), tokens]
    logp_N.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    expected = logits.grad.square().sum(-1).cumsum(0)
    squares = logits.softmax(-1).square().sum(-1)
    assert score_norms(logp_N.exp().tolist(), squares.tolist()) == pytest.approx(expected.tolist())


def test_no_other_baseline_has_a_smaller_variance() -> None:
    """Of the gradient of trajectories whose score's norm is independent of their return's sign,
    the second moment is sum W (G - B)^2."""
    rng = np.random.default_rng(0)
    G, W = rng.normal(size=(6, 4)), rng.gamma(1.0, size=(6, 4)).cumsum(1)
    found = np.array(optimal_token_baselines(G.tolist(), W.tolist()))
    least = (W * (G - found) ** 2).sum(0)
    for other in (G.mean(0), found + 0.01, found - 0.01, np.zeros(4)):
        assert (least <= (W * (G - other) ** 2).sum(0)).all()


@pytest.mark.parametrize("engine", [make_engine, HFEngine])
@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(1.0, 0, 1.0), (0.7, 0, 1.0), (1.0, 5, 0.8), (0.0, 0, 1.0)]
)
def test_engines_note_squares_of_what_they_sample_from(
    engine: Any, temperature: float, top_k: int, top_p: float
) -> None:
    model, _ = tiny()
    params = SamplingParams(
        max_tokens=20, temperature=temperature, top_k=top_k, top_p=top_p, sum_squares=True
    )
    own = engine(model)
    prompts = [[1, 2, 3], [7, 8]]
    sessions = [own.open(ids, seed=i) for i, ids in enumerate(prompts)]
    noted = own.sample(sessions, params)
    again = engine(model)
    plain = again.sample(
        [again.open(ids, seed=i) for i, ids in enumerate(prompts)],
        dataclasses.replace(params, sum_squares=False),
    )
    for prompt, with_it, without in zip(prompts, noted, plain, strict=True):
        assert dataclasses.replace(with_it, sum_squares=()) == without
        ids = torch.tensor([[*prompt, *with_it.ids]])
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].double()
        p = (logits / (temperature or 1.0)).softmax(-1)
        if top_k:
            p = torch.where(p >= p.topk(top_k).values[:, -1:], p, 0.0)
            order = p.sort(descending=True)
            stays = order.values.cumsum(-1) - order.values < top_p * p.sum(-1, keepdim=True)
            p = torch.zeros_like(p).scatter(-1, order.indices, order.values * stays)
        p = p / p.sum(-1, keepdim=True)
        assert with_it.sum_squares == pytest.approx(p.square().sum(-1).tolist(), abs=1e-4)


def test_what_is_trained_is_the_definition(tmp_path: Path) -> None:
    """From a real rollout: W from the learner's own probabilities, one trajectory at a time."""
    own = Trainer(dataclasses.replace(CONFIG, out=str(tmp_path / "run")))
    credited = own.credit(own.sampler.sample(0))
    assert credited.tokens is not None
    ts = credited.trajectories
    learner = Learner(own.model, reinforce())
    G, W = [], []
    for t in ts:
        (batch,) = pack([t], [[0.0] * len(t.turns)])
        with torch.no_grad():
            logps_UV = learner.logps_UV(own.model, batch)
        p_NV = logps_UV[batch.slot_N].double().exp()
        p_N = p_NV.gather(1, batch.token_N[:, None])[:, 0]
        W.append((1 - 2 * p_N + p_NV.square().sum(-1)).cumsum(0).numpy())
        rewards = np.array([turn.reward for turn in t.turns])
        G.append(rewards[::-1].cumsum()[::-1][batch.turn_N.numpy()])
    expected = []
    for i, t in enumerate(ts):
        mates = [j for j, u in enumerate(ts) if u.task_key == t.task_key]
        for k in range(len(G[i])):
            alive = [j for j in mates if len(G[j]) > k]
            total = sum(W[j][k] for j in alive)
            baseline = sum(W[j][k] * G[j][k] for j in alive) / total if len(alive) > 1 else 0.0
            expected.append(G[i][k] - baseline)
    (batch,) = pack(ts, credited.advantages, bin_tokens=1, micro_tokens=1 << 30)
    (batch,) = with_tokens([batch], ts, credited.tokens)
    order = np.argsort(batch.row_N.numpy(), kind="stable")
    assert batch.advantage_N.numpy()[order] == pytest.approx(expected, abs=1e-4)
    assert batch.value_N is None
    assert max(map(abs, expected)) > 0


def test_a_run_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, modulation=("empg",), out=str(tmp_path / "run"))
    whole = Trainer(config)
    before = [p.detach().clone() for p in whole.model.parameters()]
    for step in range(4):
        metrics = whole.train_step()
        assert metrics["parity/max"] < 1e-4
        whole.step += 1
        if step == 1:
            whole.save()
    resumed = Trainer(config, resume=True)
    for _ in range(2):
        resumed.train_step()
        resumed.step += 1
    pairs = zip(whole.model.parameters(), resumed.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not all(torch.equal(a, b) for a, b in zip(before, whole.model.parameters(), strict=True))


def test_only_this_estimator_asks_for_squares(tmp_path: Path) -> None:
    asking = {name for name in ADVANTAGES if "sum_squares" in ADVANTAGES[name]().needs}
    assert asking == {"otb"}
    plain = Trainer(dataclasses.replace(CONFIG, advantage="grpo", out=str(tmp_path / "run")))
    turns = [t for e in plain.sampler.sample(0) for own in e.trajectories for t in own.turns]
    assert not any(turn.sum_squares for turn in turns)
