"""KL to the magnet in the rewards: what is taken off, of whose tokens, and what a run pays."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ludus.trainer.credit import Credit
from ludus.trainer.learner import Learner, frozen_copy
from ludus.trainer.loss import ppo
from ludus.trainer.shaping import KLPenalty
from ludus.trainer.train import Trainer
from ludus.trainer.trajectory import Episode, Stop, Trajectory

sys.path.insert(0, str(Path(__file__).parent))
from test_trainer_needs import BASE
from trainer_parts import conversations, path, sampled, tiny, trajectory

ROWS: dict[str, Any] = {"bin_tokens": 1024, "micro_tokens": 16_384}


def alone(t: Trajectory, number: int, stop: Stop = Stop.TERMINATED) -> Episode:
    kept = () if stop is Stop.ERROR else (dataclasses.replace(t, episode=number),)
    return Episode(t.env_id, t.task_key, number, {t.role: t.ret}, kept, stop)


def test_the_magnet_is_asked_for_sampled_tokens_only() -> None:
    """Reported elsewhere (slime 1370): KL of what tools said was counted as well."""
    model, magnet = tiny()[0], frozen_copy(tiny(seed=5)[0])
    played = sampled(model, list(conversations(5, vocab=60)))
    broken = alone(played[0], 0, Stop.ERROR)
    episodes = [broken, *(alone(t, i + 1) for i, t in enumerate(played))]
    for rows in (ROWS, {"bin_tokens": 1, "micro_tokens": 1}):
        found = Learner(model, ppo(), magnet=magnet, temperature=0.7).beside_magnet(
            episodes, **rows
        )
        assert found[0] is broken
        for t, episode in zip(played, found[1:], strict=True):
            whole = [i for node in t.leaf.path() for i in node.ids]
            logits = magnet(input_ids=torch.tensor([whole]), use_cache=False).logits[0].detach()
            logps, at = (logits / 0.7).log_softmax(-1), 0
            expected = []
            for node in t.leaf.path():
                places = range(at, at + len(node.ids))
                at += len(node.ids)
                if node.is_action:
                    expected.append(sum(float(logps[p - 1, whole[p]]) for p in places))
            (own,) = episode.trajectories
            assert [turn.magnet_logp for turn in own.turns] == pytest.approx(expected, abs=1e-4)


def test_what_is_taken_off() -> None:
    # Replies of two tokens at -1 nat each; the magnet gives them -3 and -1.5 nats.
    t = trajectory(path([1], [2, 3], [4] * 9, [5, 6]), 0.5, 1.0)
    turns = [
        dataclasses.replace(turn, magnet_logp=logp)
        for turn, logp in zip(t.turns, (-3.0, -1.5), strict=True)
    ]
    episode = alone(dataclasses.replace(t, turns=tuple(turns)), 0)
    penalty = KLPenalty(weight=0.1)
    (shaped,) = penalty([episode])
    assert [turn.reward for turn in shaped.trajectories[0].turns] == pytest.approx([0.4, 1.05])
    assert shaped.returns == pytest.approx({"a": 1.45})
    assert penalty.metrics == pytest.approx({"kl": (1.0 - 0.5) / 4})
    with pytest.raises(ValueError, match="not shown to the magnet"):
        penalty([alone(t, 0)])
    with pytest.raises(ValueError, match="weight must be more than 0, got 0"):
        Credit.named("returns", shaping=["kl:weight=0"])


def test_groups_are_still_filtered_by_what_was_won() -> None:
    t = trajectory(path([1], [2, 3]), 1.0)
    told = [
        alone(dataclasses.replace(t, turns=(dataclasses.replace(t.turns[0], magnet_logp=-n),)), n)
        for n in range(3)
    ]
    credit = Credit.named("grpo", shaping=["kl"], filters=["dynamic"])
    assert not credit(told).trajectories


def test_a_run_pays_for_leaving_the_magnet(tmp_path: Path) -> None:
    config = dataclasses.replace(
        BASE, shaping=("kl:weight=0.1",), lr=3e-3, steps=4, out=str(tmp_path / "run")
    )
    own = Trainer(config)
    kls = []
    for _ in range(4):
        metrics = own.train_step()
        own.step += 1
        kls.append(metrics["credit/kl"])
        assert "loss/kl_magnet" not in metrics
    assert kls[0] == pytest.approx(0.0, abs=1e-4)  # engine and learner agree
    assert kls[-1] > 1e-3
