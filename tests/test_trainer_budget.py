"""Who gets how many rollouts, who is told a hint, and which rollouts are trained."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from statistics import pvariance
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ludus.envs import registry
from ludus.envs.games.guess_number import GuessNumber
from ludus.trainer.arena import Arena
from ludus.trainer.budget import Knapsack
from ludus.trainer.config import TrainConfig
from ludus.trainer.metrics import rollout_metrics
from ludus.trainer.modulation import widest
from ludus.trainer.train import Trainer


class FewNumbers(GuessNumber):
    """Guessing with tasks that come again."""

    ENV_ID = "test/FewNumbers-v0"
    SPLITS: ClassVar[Mapping[str, int]] = {"train": 1000, "valid": 5, "test": 5}


class EightNumbers(FewNumbers):
    """With very few."""

    ENV_ID = "test/EightNumbers-v0"
    SPLITS: ClassVar[Mapping[str, int]] = {"train": 8, "valid": 5, "test": 5}


for _class in (FewNumbers, EightNumbers):
    registry.register(_class.ENV_ID, _class)

BASE = TrainConfig(
    env="test/FewNumbers-v0",
    model="small:hidden=32,layers=1,heads=2,kv_heads=1",
    episodes=24,
    group_size=4,
    advantage="grpo",
    steps=2,
    eval_episodes=2,
    warmstart_episodes=12,
    warmstart_steps=0,
    threads=1,
)


def test_rollouts_go_where_they_tell_most() -> None:
    budget = Knapsack(low=2, high=20)
    assert budget.sizes(["a", "b", "c"], 24) == [8, 8, 8]  # nothing is known yet
    budget.learn({"a": [1.0] + [0.0] * 19, "b": [1.0] * 3 + [0.0] * 7, "c": [1.0] * 9 + [0.0]})
    assert budget.sizes(["a", "b", "c"], 24) == [12, 10, 2]  # the paper's example
    again = Knapsack(low=2, high=20)
    again.load_state_dict(budget.state_dict())
    assert again.sizes(["c", "new", "a"], 24) == budget.sizes(["c", "new", "a"], 24)


def test_a_step_has_its_episodes_whatever_the_budget(tmp_path: Path) -> None:
    own = Trainer(
        dataclasses.replace(BASE, budget="knapsack:high=12", steps=200, out=str(tmp_path / "run"))
    )
    tasks = own.sampler.tasks(0)
    assert len(tasks) == 24
    assert own.sampler.budget is not None
    solved = {task.key: [1.0] for _, task in tasks}
    hard = tasks[0][1].key
    own.sampler.budget.learn({**solved, hard: [1.0, 0.0, 0.0, 0.0]})
    sizes = [sum(task.key == key for _, task in own.sampler.tasks(0)) for key in solved]
    assert sum(sizes) == 24
    assert sizes[0] == max(sizes) == 12
    own.train_step()
    saved = own.sampler.state_dict()
    assert set(solved) <= set(saved["rates"])
    assert 0 < saved["overall"] < 1


def test_no_task_is_drawn_twice_in_a_step_while_there_are_others(tmp_path: Path) -> None:
    """Else two groups of one task are one larger one, and its budget is given twice."""
    config = dataclasses.replace(BASE, env="test/EightNumbers-v0")
    for episodes, distinct in ((24, {4: 6}), (32, {4: 8}), (40, {4: 6, 8: 2})):
        own = Trainer(
            dataclasses.replace(config, episodes=episodes, out=str(tmp_path / str(episodes)))
        )
        for step in range(5):
            times = Counter(task.key for _, task in own.sampler.tasks(step))
            assert Counter(times.values()) == distinct


def test_hints_cost_no_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    make_env = Arena.make_env

    def counted(self: Arena, **kwargs: Any) -> Any:
        made.append(make_env(self, **kwargs))
        return made[-1]

    monkeypatch.setattr(Arena, "make_env", counted)
    own = Trainer(dataclasses.replace(BASE, hints=1.0, out=str(tmp_path / "run")))
    own.sampler.sample(0)
    assert own.sampler.metrics["rollout/hinted"] > 0
    assert len(made) == 24  # one an episode, used again for those with a hint


def test_what_all_failed_is_tried_again_with_a_hint(tmp_path: Path) -> None:
    own = Trainer(dataclasses.replace(BASE, hints=1.0, out=str(tmp_path / "run")))
    episodes = own.sampler.sample(0)
    assert len(episodes) == 24
    share = own.sampler.metrics["rollout/hinted"]
    assert own.sampler.played == 24 + round(share * 24)
    assert 0 < share <= 1  # a model of random weights guesses no number
    told = 0
    for e in episodes:
        prompt = own.tokenizer.decode(e.trajectories[0].leaf.path()[0].ids)
        told += "Hint, begin with: " in prompt
    assert told == round(share * 24)
    plain = Trainer(dataclasses.replace(BASE, out=str(tmp_path / "plain"))).sampler.sample(0)
    assert not any(
        "Hint" in own.tokenizer.decode(e.trajectories[0].leaf.path()[0].ids) for e in plain
    )


def test_a_success_with_a_hint_is_none_without(tmp_path: Path) -> None:
    config = dataclasses.replace(BASE, hints=1.0, budget="knapsack", steps=200)
    own = Trainer(dataclasses.replace(config, out=str(tmp_path / "run")))
    assert own.sampler.budget is not None
    episodes = [dataclasses.replace(e, success=True) for e in own.sampler.sample(0)]
    hinted = {e.task_key for e in episodes if e.hinted}
    assert hinted
    own.sampler.learn(episodes, own.credit(episodes))
    rates = own.sampler.budget.state_dict()["rates"]
    assert rates == {e.task_key: float(e.task_key not in hinted) for e in episodes}
    share = sum(not e.hinted for e in episodes) / len(episodes)
    assert rollout_metrics(episodes, 1.0)["rollout/success"] == pytest.approx(share)


def test_what_budgets_hints_and_terms_remember_is_resumed_bit_by_bit(tmp_path: Path) -> None:
    config = dataclasses.replace(
        BASE, budget="knapsack", hints=0.5, steps=200, epochs=2,
        shaping=("otc:calls=turns",), regularizers=("adaptive_entropy:target=9.0,start=0.1", "epo"),
        out=str(tmp_path / "run"),
    )  # fmt: skip

    def steps(own: Trainer, number: int) -> Trainer:
        for _ in range(number):
            own.train_step()
            own.step += 1
        return own

    whole = steps(Trainer(config), 2)
    whole.save()
    steps(whole, 2)
    resumed = steps(Trainer(config, resume=True), 2)
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)
    for part in ("sampler", "credit", "curriculum"):
        assert getattr(whole, part).state_dict() == getattr(resumed, part).state_dict()
    assert whole.sampler.state_dict()["rates"]
    terms = [own.state_dict() for own in whole.learner.regularizers]
    assert terms == [own.state_dict() for own in resumed.learner.regularizers]
    assert terms[0]["weight"] > 0.1
    assert terms[1]["done"] > 0


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9), st.integers(2, 9))
def test_the_widest_choice_is_the_widest(values: list[float], keep: int) -> None:
    chosen = widest(values, keep)
    assert len(set(chosen)) == min(keep, len(values))
    best = max(pvariance(own) for own in combinations(values, len(chosen)))
    assert pvariance([values[i] for i in chosen]) == pytest.approx(best, abs=1e-9)


def test_rollouts_are_down_sampled(tmp_path: Path) -> None:
    edits = ("max_variance:keep=2",)
    own = Trainer(dataclasses.replace(BASE, edits=edits, out=str(tmp_path / "run")))
    credited = own.credit(own.sampler.sample(0))
    assert len(credited.trajectories) == 12


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"budget": "knapsack", "branching": "arpo"}, "no branching"),
        ({"budget": "knapsack:low=1"}, "low"),
        ({"hints": 1.5}, "hints"),
        ({"edits": ("max_variance:keep=1",)}, "keep"),
    ],
)
def test_it_refuses(changes: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(BASE, **changes)  # type: ignore[arg-type]
