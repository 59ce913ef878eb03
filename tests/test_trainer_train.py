"""The loop: what a step trains on, and what a run needs before it begins."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ludus.envs import Task
from ludus.trainer.arena import Arena, small_tree
from ludus.trainer.config import TrainConfig
from ludus.trainer.metrics import MetricsLog, read_metrics
from ludus.trainer.models import build_model
from ludus.trainer.train import Trainer
from ludus.trainer.trajectory import Episode
from ludus.trainer.warmstart import imitations, warm_start

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import chat, tiny

BASE = TrainConfig(
    model="small:hidden=32,layers=1,heads=2,kv_heads=1",
    episodes=8,
    steps=2,
    eval_episodes=2,
    warmstart_steps=0,
)


Build = Callable[..., Trainer]


@pytest.fixture
def trainer(tmp_path: Path) -> Build:
    """Builds trainers in the test's folder."""

    def build(**changes: Any) -> Trainer:
        return Trainer(dataclasses.replace(BASE, out=str(tmp_path / "run"), **changes))

    return build


def test_a_step_against_an_opponent_trains_every_seat(trainer: Build) -> None:
    own = trainer(opponent="nash", episodes=12, group_size=3, advantage="group_mean").sampler
    episodes = own.rollout(own.tasks(0), seed=1)
    groups: dict[tuple[str, str], int] = {}
    for episode in episodes:
        assert len({t.role for t in episode.trajectories}) <= 1
    assert [player.own for player in own.players] == ["player_0", "player_1"]
    assert [list(player.rollout.opponents) for player in own.players] == [
        ["player_1"], ["player_0"],
    ]  # fmt: skip
    for episode in episodes:
        for t in episode.trajectories:
            groups[t.task_key, t.role] = groups.get((t.task_key, t.role), 0) + 1
    assert {role for _, role in groups} >= {"player_0"}
    # A group is one task and one seat: its members can be compared.
    assert all(count == 3 for (_, role), count in groups.items() if role == "player_0")


def test_group_mean_in_self_play(trainer: Build) -> None:
    own = trainer(group_size=4, advantage="group_mean")
    tasks = own.sampler.tasks(0)
    assert [tasks[0]] * 4 + [tasks[4]] * 4 == tasks
    assert own.sampler.tasks(1) != tasks
    assert own.train_step()["rollout/errors"] == 0


def test_every_step_plays_other_games(trainer: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    own = trainer()
    seen = []

    def watched(tasks: Sequence[tuple[Arena, Task]], *, seed: int) -> list[Episode]:
        seen.append((seed, tuple(task.key for _, task in tasks)))
        return rollout(tasks, seed=seed)

    rollout = own.sampler.rollout
    monkeypatch.setattr(own.sampler, "rollout", watched)
    for own.step in range(3):
        own.train_step()
    assert len({seed for seed, _ in seen}) == len({keys for _, keys in seen}) == 3


def test_a_step_without_an_episode_says_why(
    trainer: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = trainer()

    def broken(*args: Any, **kwargs: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(type(own.arenas[0].env), "reset", broken)
    with pytest.raises(ValueError, match=r"no episode of step 0 .* OSError: disk full"):
        own.train_step()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env": "ludus/Kuhn"}, "unknown environment"),
        ({"opponent": "nobody"}, "unknown agent"),
        ({"opponent": "minimax"}, "minimax"),
        ({"env": "ludus/GuessNumber-v1", "opponent": "random"}, "one seat: opponent must be"),
        ({"warmstart_agent": "nobody"}, "unknown agent"),
        (
            {"env": "ludus/SimpleNegotiation-v1", "warmstart_steps": 5, "warmstart_episodes": 2},
            "no play to imitate, start with --warmstart-steps 0",
        ),
        ({"model": "small:width=3"}, "unknown model setting 'width=3'"),
        ({"model": "small:hidden=x"}, "unknown model setting"),
        ({"model": "small:hidden=33"}, "multiple of"),
        ({"model": "/no/such/model"}, "does not exist"),
    ],
)
def test_nothing_is_written_for_a_config_that_does_not_fit(
    trainer: Build, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        trainer(**change)
    assert not (tmp_path / "run").exists()


def test_metrics_are_cut_to_where_a_run_goes_on(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0)
    for step in range(4):
        log.write(step, {"b": 1 / 3, "a": float(step)})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "a"')  # cut short by a kill
    assert [line["step"] for line in read_metrics(tmp_path)] == [0, 1, 2, 3]
    MetricsLog(tmp_path, 2).close()
    assert read_metrics(tmp_path) == [
        {"step": step, "a": step, "b": 0.333333} for step in (0, 1, 2)
    ]
    MetricsLog(tmp_path, 0).close()
    assert read_metrics(tmp_path) == []


def test_models_by_name(tmp_path: Path) -> None:
    model, tokenizer = build_model("small:hidden=32,layers=1", texts=lambda: ["a b"], seed=4)
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (32, 1)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, _ = build_model(str(tmp_path), texts=lambda: [], seed=0)
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)


def test_the_warm_start_sees_what_a_rollout_would() -> None:
    conversations = imitations("ludus/KuhnPoker-v1", 20, seed=0)
    assert conversations == imitations("ludus/KuhnPoker-v1", 20, seed=0)
    assert {len(c) for c in conversations} == {2, 4}
    for conversation in conversations:
        ids, mask = chat().conversation(conversation)
        assert len(ids) == len(mask)
        spoken = [i for i, m in zip(ids, mask, strict=True) if m]
        replies = [said.content for said in conversation if said.role == "assistant"]
        assert spoken == [i for text in replies for i in chat().reply(text)]
        assert mask[-1] == 1
    # Any text is legal: half of the replies are right, the others were right somewhere else.
    guesses = imitations("ludus/GuessNumber-v1", 20, seed=0)
    replies = [said.content for c in guesses for said in c if said.role == "assistant"]
    assert all(1 <= int(reply) <= 8 for reply in replies)
    assert 20 < len(replies) < 60


def test_the_warm_start_imitates_any_agent() -> None:
    house = {"receptacles": 8, "objects": 6}
    expert = imitations("ludus/Household-v1", 10, agent="expert", seed=0, **house)
    noisy = imitations("ludus/Household-v1", 10, agent="expert:0.3", seed=0, **house)
    assert sum(map(len, expert)) < sum(map(len, noisy))
    with pytest.raises(ValueError, match="KuhnPoker-v1 knows no right replies"):
        imitations("ludus/KuhnPoker-v1", 1, agent="expert", seed=0)


def test_the_warm_start_learns_what_is_shown_if_asked_to() -> None:
    conversations = imitations("ludus/KuhnPoker-v1", 20, seed=0)
    ids, mask = map(torch.tensor, chat().conversation(conversations[0]))

    def surprise(model: Any) -> float:
        with torch.no_grad():
            logps = model(ids[None]).logits[0, :-1].log_softmax(-1)
        own = logps.gather(1, ids[1:, None])[:, 0]
        return -float(own[mask[1:] == 0].mean())

    found = {}
    for context in (False, True):
        model, tokenizer = tiny()
        warm_start(
            model, tokenizer, chat(), conversations, steps=8, lr=1e-2, seed=0, context=context
        )
        found[context] = surprise(model)
    assert found[True] < surprise(tiny()[0]) - 1
    assert found[True] < found[False] - 1


def test_long_conversations_are_imitated_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many in memory as fit, and the same steps."""
    from ludus.trainer import warmstart

    conversations = imitations("ludus/KuhnPoker-v1", 12, seed=0)
    weights = []
    for most in (2**14, 1):
        monkeypatch.setattr(warmstart, "MOST_TOKENS", most)
        model, tokenizer = tiny()
        seen: list[int] = []
        model.register_forward_pre_hook(
            lambda model, args, kwargs, seen=seen: seen.append(len(kwargs["input_ids"])),
            with_kwargs=True,
        )
        warm_start(model, tokenizer, chat(), conversations, steps=3, lr=1e-2, seed=0)
        assert max(seen) == (16 if most > 1 else 1)
        weights.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert not torch.equal(weights[0], torch.cat([p.flatten() for p in tiny()[0].parameters()]))
    assert torch.allclose(weights[0], weights[1], atol=1e-5)


def test_small_trees_only() -> None:
    from ludus.envs.registry import make

    kuhn = small_tree(make("ludus/KuhnPoker-v1"))
    assert kuhn is not None
    assert len(kuhn.infosets) == 12
    assert small_tree(make("ludus/TicTacToe-v1")) is None
