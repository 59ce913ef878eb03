"""The critic: its values are those of plain rows, its advantages those of the definitions."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ludus.trainer.advantages import ADVANTAGES
from ludus.trainer.batch import pack
from ludus.trainer.config import RECIPES
from ludus.trainer.critic import Critic, explained_variance, value_loss
from ludus.trainer.tokens import turns_of, with_tokens
from ludus.trainer.train import Trainer
from ludus.trainer.trajectory import Episode, Stop, Trajectory

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import conversations, sampled, tiny

ROWS = {"bin_tokens": 256, "micro_tokens": 512}


def played(seed: int = 0, number: int = 10) -> list[Episode]:
    """Episodes of one seat with random rewards a turn."""
    rng = np.random.default_rng(seed)
    found = []
    for i, t in enumerate(sampled(tiny()[0], list(conversations(number, seed=seed)), seed=seed)):
        turns = tuple(dataclasses.replace(turn, reward=rng.normal()) for turn in t.turns)
        own = dataclasses.replace(t, turns=turns, episode=i)
        found.append(Episode(t.env_id, t.task_key, i, {t.role: own.ret}, (own,), Stop.TERMINATED))
    return found


def critic(**settings: Any) -> Critic:
    """One that already thinks something."""
    own = Critic(tiny(seed=3)[0], **{"lr": 1e-2, **settings})
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        own.head.weight.normal_(std=0.3)
    return own


def only(episodes: list[Episode]) -> list[Trajectory]:
    return [t for e in episodes for t in e.trajectories]


def test_values_are_those_before_each_token_in_a_row_of_its_own() -> None:
    own = critic()
    broken = Episode("test/Env-v0", "task", 99, {"a": 0.0}, (), Stop.ERROR)
    episodes = own.judged([broken, *played()], **ROWS)
    assert episodes[0] is broken
    for t in only(episodes):
        before: list[int] = []
        for node in t.leaf.path():
            if node.is_action:
                ids = torch.tensor([[*before, *node.ids]])
                with torch.no_grad():
                    hidden = own.trunk(input_ids=ids, use_cache=False).last_hidden_state[0]
                    expected = own.head(hidden).squeeze(-1)[len(before) - 1 : -1]
                assert t.turns[node.turn].values == pytest.approx(expected.tolist(), abs=1e-5)
            before += node.ids


def brute_gae(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """The mean of n-step advantages with weights (1 - lam) lam^n, what is left on the longest."""
    T = len(rewards)
    out = []
    for t in range(T):
        steps = []
        for n in range(1, T - t + 1):
            ahead = sum(gamma**k * rewards[t + k] for k in range(n))
            later = gamma**n * values[t + n] if t + n < T else 0.0
            steps.append(ahead + later - values[t])
        weights = [(1 - lam) * lam**n for n in range(len(steps) - 1)]
        weights.append(1 - sum(weights))
        out.append(sum(w * s for w, s in zip(weights, steps, strict=True)))
    return out


def by_token(t: Trajectory, estimator: Any, row: int) -> tuple[list[float], list[float]]:
    """Advantages and targets token by token of the last call."""
    return (
        [d for c in estimator.token_credit[row] for d in c.deviation],
        [g for c in estimator.token_credit[row] for g in c.target],
    )


def test_gae_over_sampled_tokens() -> None:
    episodes = critic().judged(played(), **ROWS)
    estimator = ADVANTAGES["gae"](gamma=0.9, lam=0.7, whiten=False)
    means = estimator(episodes)
    for row, t in enumerate(only(episodes)):
        rewards = [r for turn in t.turns for r in [0.0] * (len(turn.values) - 1) + [turn.reward]]
        values = [v for turn in t.turns for v in turn.values]
        expected = brute_gae(rewards, values, 0.9, 0.7)
        deviations, targets = by_token(t, estimator, row)
        own = [m for m, turn in zip(means[row], t.turns, strict=True) for _ in turn.values]
        assert np.add(own, deviations) == pytest.approx(expected)
        assert targets == pytest.approx(np.add(expected, values))


def test_gae_of_turns_asks_the_critic_at_their_starts() -> None:
    episodes = critic().judged(played(), **ROWS)
    estimator: Any = ADVANTAGES["turn_gae"](whiten=False)
    means = estimator(episodes)
    for row, t in enumerate(only(episodes)):
        starts = [turn.values[0] for turn in t.turns]
        expected = brute_gae([turn.reward for turn in t.turns], starts, 0.99, 0.9)
        assert means[row] == pytest.approx(expected)
        for credit, a, v in zip(estimator.token_credit[row], expected, starts, strict=True):
            assert credit.deviation == pytest.approx([0.0] * len(credit.deviation))
            assert credit.target[0] == pytest.approx(a + v)
            assert np.isnan(credit.target[1:]).all()


def test_bi_level_gae_is_the_function() -> None:
    from ludus.trainer.advantages.values import bi_level_gae

    episodes = critic().judged(played(), **ROWS)
    estimator = ADVANTAGES["bi_level_gae"](gamma_turn=0.8, gamma=0.9, lam=0.7, whiten=False)
    means = estimator(episodes)
    for row, t in enumerate(only(episodes)):
        rewards = [r for turn in t.turns for r in [0.0] * (len(turn.values) - 1) + [turn.reward]]
        values = [v for turn in t.turns for v in turn.values]
        turns = [i for i, turn in enumerate(t.turns) for _ in turn.values]
        expected = bi_level_gae(rewards, values, turns, gamma_turn=0.8, gamma=0.9, lam=0.7)
        own = [m for m, turn in zip(means[row], t.turns, strict=True) for _ in turn.values]
        assert np.add(own, by_token(t, estimator, row)[0]) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["gae", "bi_level_gae", "turn_gae"])
def test_whitened_over_the_tokens_of_the_batch(name: str) -> None:
    episodes = critic().judged(played(), **ROWS)
    estimator: Any = ADVANTAGES[name]()
    means = estimator(episodes)
    flat = [
        m + d
        for row, credits in zip(means, estimator.token_credit, strict=True)
        for m, credit in zip(row, credits, strict=True)
        for d in credit.deviation
    ]
    assert np.mean(flat) == pytest.approx(0, abs=1e-6)
    assert np.std(flat) == pytest.approx(1, abs=1e-4)


def test_without_a_critic_it_says_so() -> None:
    with pytest.raises(ValueError, match="no values: this advantage needs a critic"):
        ADVANTAGES["gae"]()(played())


def batches(own: Critic, order: Callable[[list[Episode]], list[Episode]], **rows: int) -> Any:
    episodes = order(own.judged(played(), **ROWS))
    estimator: Any = ADVANTAGES["gae"](whiten=False)
    advantages = estimator(episodes)
    trajectories = only(episodes)
    packed = pack(trajectories, advantages, **rows)  # type: ignore[arg-type]
    return with_tokens(packed, trajectories, estimator.token_credit)


@pytest.mark.parametrize("bin_tokens", [1, 1024])
def test_every_token_is_trained_with_its_own_advantage(bin_tokens: int) -> None:
    episodes = critic().judged(played(), **ROWS)
    estimator: Any = ADVANTAGES["gae"](gamma=0.9, lam=0.7, whiten=False)
    advantages, ts = estimator(episodes), only(episodes)
    packed = pack(ts, advantages, bin_tokens=bin_tokens)
    seen = 0
    for batch in with_tokens(packed, ts, estimator.token_credit):
        for (row, turn), start, end in turns_of(batch):
            own = ts[row].turns
            rewards = [r for u in own for r in [0.0] * (len(u.values) - 1) + [u.reward]]
            expected = brute_gae(rewards, [v for u in own for v in u.values], 0.9, 0.7)
            first = sum(len(u.values) for u in own[:turn])
            assert batch.advantage_N[start:end].tolist() == pytest.approx(
                expected[first : first + end - start], abs=1e-5
            )
            seen += end - start
    assert seen == sum(len(u.values) for t in ts for u in t.turns)


def test_the_update_does_not_depend_on_how_the_step_is_cut_or_ordered() -> None:
    results = []
    for order, rows in (
        (list, {"bin_tokens": 1024, "micro_tokens": 100_000}),
        (lambda e: e[::-1], {"bin_tokens": 1, "micro_tokens": 1}),
        (lambda e: e[3:] + e[:3], {"bin_tokens": 64, "micro_tokens": 128}),
    ):
        own = critic(lr=1e-3)
        metrics = own.update(batches(own, order, **rows))
        results.append((metrics, [p.detach().clone() for p in own.parameters]))
    first, weights = results[0]
    for metrics, other in results[1:]:
        assert metrics == pytest.approx(first, abs=1e-5)
        for a, b in zip(weights, other, strict=True):
            assert torch.allclose(a, b, atol=1e-4)


def test_the_critic_learns_what_it_is_told() -> None:
    own = critic(clip=0.0)
    told = batches(own, list, bin_tokens=256, micro_tokens=512)
    first = own.update(told)
    for _ in range(60):
        last = own.update(told)
    assert last["critic/loss"] < 0.1 * first["critic/loss"]
    values = torch.cat([own.values_N(b).detach() for b in told])
    targets = torch.cat([b.target_N for b in told])
    assert explained_variance(values, targets) > 0.8


def test_the_clipped_loss_is_the_larger_of_the_two() -> None:
    rng = np.random.default_rng(0)
    value, before, target = (torch.tensor(rng.normal(size=50)) for _ in range(3))
    for v, b, g, found in zip(
        value, before, target, value_loss(value, before, target, clip=0.2), strict=True
    ):
        near = min(max(v, b - 0.2), b + 0.2)
        assert found == pytest.approx(float(max((v - g) ** 2, (near - g) ** 2) / 2))
    assert torch.equal(value_loss(value, before, target, clip=0), 0.5 * (value - target) ** 2)


# ---- in a run -----------------------------------------------------------------------------------

CONFIG = dataclasses.replace(
    RECIPES["ppo"],
    env="ludus/GuessNumber-v1",
    model="small:hidden=32,layers=1,heads=2,kv_heads=1",
    episodes=8,
    steps=4,
    warmstart_steps=0,
    eval_episodes=2,
    eval_every=9,
    threads=1,
)


def steps(trainer: Trainer, number: int) -> list[dict[str, float]]:
    found = []
    for _ in range(number):
        found.append(trainer.train_step())
        trainer.step += 1
    return found


def weights(trainer: Trainer) -> list[torch.Tensor]:
    assert trainer.critic is not None
    return [*trainer.model.parameters(), *trainer.critic.parameters]


@pytest.mark.parametrize("advantage", ["gae", "bi_level_gae", "turn_gae:lam=0.8"])
def test_a_run_with_a_critic_resumes_to_the_same_bytes(advantage: str, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, advantage=advantage, out=str(tmp_path / "run"))
    whole = Trainer(config)
    first = steps(whole, 2)
    assert first[0]["critic/explained_variance"] == 0  # it began with nothing to say
    whole.save()
    steps(whole, 2)
    resumed = Trainer(config, resume=True)
    steps(resumed, 2)
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(a, b)


def test_a_warm_up_trains_the_critic_alone(tmp_path: Path) -> None:
    own = Trainer(dataclasses.replace(CONFIG, critic_warmup=1, out=str(tmp_path / "run")))
    before = [p.detach().clone() for p in own.model.parameters()]
    head = own.critic.head.weight.detach().clone()  # type: ignore[union-attr]
    (first,) = steps(own, 1)
    assert "loss/policy" not in first
    assert all(torch.equal(a, b) for a, b in zip(before, own.model.parameters(), strict=True))
    assert not torch.equal(head, own.critic.head.weight)  # type: ignore[union-attr]
    (second,) = steps(own, 1)
    assert second["parity/max"] < 1e-4
    assert not all(torch.equal(a, b) for a, b in zip(before, own.model.parameters(), strict=True))
