"""Nothing that was asked for does nothing: where it could not act, the run is refused with one line
that says what is missing, before anything is written."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ludus import cli
from ludus.envs import registry
from ludus.envs.games.guess_number import GuessNumber
from ludus.envs.games.kuhn import KuhnPoker
from ludus.trainer import methods
from ludus.trainer.config import RECIPES, TrainConfig
from ludus.trainer.methods import requirements
from ludus.trainer.needs import NEEDS, check_needs, having
from ludus.trainer.train import Trainer


class NoFork(GuessNumber):
    """It cannot be copied."""

    ENV_ID = "test/NoFork-v1"
    metadata = {**GuessNumber.metadata, "fork": "none"}  # noqa: RUF012


class Unsaid(GuessNumber):
    """It never says whether a number was guessed."""

    ENV_ID = "test/Unsaid-v1"
    SOLVABLE = False


class FewCards(KuhnPoker):
    """Tasks come again, but nobody solves one."""

    ENV_ID = "test/FewCards-v1"
    SPLITS: ClassVar[Mapping[str, int]] = {"train": 2, "valid": 2, "test": 2}


for _class in (NoFork, Unsaid, FewCards):
    registry.register(_class.ENV_ID, _class)

BASE = TrainConfig(
    env="ludus/GuessNumber-v1",
    model="small:hidden=32,layers=1,heads=2,kv_heads=1",
    episodes=8,
    group_size=4,
    advantage="grpo",
    warmstart_steps=0,
    threads=1,
)
KUHN = {"env": "ludus/KuhnPoker-v1"}
UNSAID = {"env": "test/Unsaid-v1"}
LEVELS = json.dumps([{"high": 4}, {"high": 8}])


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        (
            {"budget": "knapsack", "env": "test/FewCards-v1"},
            "for budget knapsack: .* solved or not",
        ),
        ({"budget": "knapsack", **UNSAID}, "for budget knapsack: .* solved or not.*Guess"),
        ({"budget": "knapsack", "steps": 9}, "tasks that come again: .*2,147,483,648.* draws 18$"),
        (
            {"curriculum": "ladder", "env_args": LEVELS, **UNSAID},
            "for a ladder without an opponent: .* solved or not",
        ),
        (
            {"curriculum": "ladder", "env": "ludus/KuhnPoker-v1,ludus/Pig-v1"},
            "for a ladder without an opponent: .* solved or not",
        ),
        ({"curriculum": "sec"}, "a curriculum needs several environments"),
        ({"hints": 0.5, **UNSAID}, "for hints: .* solved or not"),
        ({"hints": 0.5, **KUHN}, "for hints: that takes plans"),
        ({"hints": 0.5, "env": "ludus/ProposeSolve-v1"}, "for hints: that takes plans"),
        ({"advantage": "igpo", **KUHN}, "for igpo: that takes golden answers, .*GuessNumber"),
        ({"advantage": "igpo", "env": "ludus/Household-v1"}, "for igpo: that takes golden answers"),
        (
            {"branching": "arpo", "env": "test/NoFork-v1"},
            "for branching arpo: that takes episodes that fork",
        ),
        ({"branching": "tree", **KUHN}, "for branching tree: that takes exactly one seat"),
        ({"shaping": ("otc",)}, "for otc: that takes tools to call.*PythonMath"),
        ({"modulation": ("style:metric=calls",)}, "for style: that takes tools to call"),
        ({"advantage": "canon:metric=calls"}, "for canon: that takes tools to call"),
        (
            {"shaping": ("otc",), "env": "ludus/PythonMath-v1", "env_args": '{"max_calls": 0}'},
            "for otc: that takes tools to call",
        ),
        ({"opponent": "pool"}, "has one seat: opponent must be 'self'"),
        ({"opponent": "random"}, "has one seat: opponent must be 'self'"),
        ({"needs": ("seats",)}, "for the recipe: that takes two seats or more"),
    ],
)
def test_an_environment_that_lacks_what_is_needed(
    changes: dict[str, Any], missing: str, tmp_path: Path
) -> None:
    config = dataclasses.replace(BASE, out=str(tmp_path / "run"), **changes)
    with pytest.raises(ValueError, match=missing) as told:
        Trainer(config)
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"group_size": 1}, "advantage grpo needs group_size >= 2, got 1"),
        (
            {"group_size": 1, "advantage": "rae", "filters": ("dynamic", "snr")},
            "filters dynamic, snr compare .* need group_size >= 2, got 1",
        ),
        ({"refill": 2}, "it needs filters"),
        ({"magnet_every": 5}, "it needs kl or kl_end > 0"),
        ({"kl_estimate": "k3"}, "kl_estimate k3 .* it needs kl or kl_end > 0"),
        ({"kl_estimate": "k1", "kl": 0.1}, "--shaping kl takes it off the rewards"),
        ({"shaping": ("kl",), "kl": 0.1}, "one of them"),
        ({"critic_warmup": 3}, "needs an advantage with a critic .*, got grpo"),
        ({"sequence_mask": 0.1}, "sequence_mask 0.1 needs epochs >= 2"),
        ({"regularizers": ("kl_cov",)}, "kl_cov needs epochs >= 2"),
        ({"edits": ("max_variance",)}, "keep=4 needs groups of more, got group_size 4"),
        ({"budget": "knapsack", "group_size": 1, "advantage": "rae"}, "8 tasks of 2 to 128"),
        ({"budget": "knapsack", "opponent": "random"}, "no branching and no opponent"),
        ({"branching": "tree:trees=3"}, "trees=3"),
        (
            {"branching": "arpo", "group_size": 1, "advantage": "gae"},
            "branching arpo grows .* it needs 2 or more, got 1",
        ),
    ],
)
def test_options_that_could_never_act(changes: dict[str, Any], missing: str) -> None:
    with pytest.raises(ValueError, match=missing) as told:
        dataclasses.replace(BASE, **changes)
    assert "\n" not in str(told.value)


def test_the_command_line_says_it_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--env", "ludus/KuhnPoker-v1", "--budget", "knapsack", "--out", str(tmp_path / "x")]
    monkeypatch.setattr("sys.argv", ["ludus", "train", "grpo", *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "that takes episodes that are solved or not" in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_has_it_is_let_in() -> None:
    check_needs(registry.make("ludus/PythonMath-v1"), dict.fromkeys(("tools", "success"), "test"))
    assert {"ludus/GuessNumber-v1", "ludus/Household-v1"} <= set(having("success"))
    assert not {"ludus/KuhnPoker-v1", "ludus/Gymnasium-v1", "ludus/ProposeSolve-v1"} & set(
        having("success")
    )
    assert "ludus/HopQA-v1" in having("tools") or "ludus/PythonMath-v1" in having("tools")


def test_the_environments_named_have_what_is_needed() -> None:
    golden = having("golden")
    assert "ludus/GuessNumber-v1" in golden
    assert "ludus/Household-v1" not in golden  # it knows right actions, no answer to score
    assert "ludus/KuhnPoker-v1" in having("seats")
    with pytest.raises(ValueError, match=r"for arpo: that takes episodes that fork, .*ConnectFour"):
        check_needs(NoFork(), {"fork": "arpo"})
    check_needs(registry.make("ludus/GuessNumber-v1"), dict.fromkeys(("fork", "golden"), "test"))


def test_a_ladder_against_an_opponent_needs_no_success() -> None:
    own = dataclasses.replace(BASE, curriculum="ladder", opponent="random")
    assert "success" not in requirements(own)


def test_every_need_a_recipe_has_is_known() -> None:
    for config in RECIPES.values():
        assert requirements(config).keys() <= NEEDS.keys()


def test_a_kl_that_only_comes_later_has_its_magnet(tmp_path: Path) -> None:
    config = dataclasses.replace(BASE, kl=0.0, kl_end=0.1, steps=3, out=str(tmp_path / "run"))
    own = Trainer(config)
    assert methods.coefficients(config, 2).kl > 0
    assert own.learner.magnet is not None
    own.step = 2
    assert "loss/kl_magnet" in own.train_step()
