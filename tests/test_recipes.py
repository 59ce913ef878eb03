"""Every recipe on an environment that fits: built, one step made, nothing written."""

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from ludus import cli
from ludus.trainer.config import RECIPES, TrainConfig
from ludus.trainer.dry_run import dry_run

SMALL = "small:hidden=32,layers=1,heads=2,kv_heads=1"


def small(recipe: str, out: Path, **changes: Any) -> TrainConfig:
    """The recipe with a tiny model, two groups a step, on an environment it is for."""
    config = RECIPES[recipe]
    env = "ludus/KuhnPoker-v1" if "seats" in config.needs else "ludus/GuessNumber-v1"
    env = "ludus/PythonMath-v1" if "otc" in config.shaping else env
    given = {
        "env": env, "env_args": "{}", "model": SMALL, "episodes": 2 * config.group_size,
        "warmstart_steps": 0, "out": str(out), **changes,
    }  # fmt: skip
    return dataclasses.replace(config, **given)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_has_a_dry_run(recipe: str, tmp_path: Path) -> None:
    found = dry_run(small(recipe, tmp_path / "run"))
    assert {"sample", "credit", "update"} <= set(found.phases)
    assert found.resident_mib > 50
    assert found.device_mib == 0
    assert found.tokens_per_s > 0
    assert found.episodes_per_s > 0
    assert found.parameters > 1000
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_beside_a_run_leaves_it_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text("{}")
    options = [
        "--model", SMALL, "--episodes", "8", "--out", str(out), "--warmstart-episodes", "8",
        "--warmstart-steps", "30",
    ]  # fmt: skip
    assert cli.run(["train", "spiral", *options, "--dry-run"]) == 0
    said = capsys.readouterr().out
    for word in (
        "environment",
        "build",
        "sample",
        "update",
        "sampled tokens/s",
        "MiB",
        "200 steps",
    ):
        assert word in said
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("run.json", "{}")]


def test_a_dry_run_that_trained_nothing_says_so(tmp_path: Path) -> None:
    config = small("dapo", tmp_path / "run", refill=0)
    assert "an update, its time and its memory are not in here" in dry_run(config).table()
    trained = dry_run(dataclasses.replace(config, filters=(), critic_warmup=0)).table()
    assert "note" not in trained
    warm = dry_run(small("ppo", tmp_path / "run", critic_warmup=3, episodes=4)).table()
    assert "note" not in warm  # a run's first steps would say little about the others


@pytest.mark.parametrize("recipe", [name for name in RECIPES if RECIPES[name].needs])
def test_a_recipe_for_several_seats_names_games(recipe: str, tmp_path: Path) -> None:
    config = small(recipe, tmp_path / "run", env="ludus/GuessNumber-v1")
    message = (
        r"GuessNumber-v1 will not do for the recipe: that takes two seats or more, as in .*"
        r"ludus/ConnectFour-v1, .*KuhnPoker-v1.* more$"
    )
    with pytest.raises(ValueError, match=message) as told:
        dry_run(config)
    assert "\n" not in str(told.value)


def test_needs_are_part_of_the_config() -> None:
    config = TrainConfig(needs=("fork",))
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_the_benchmark_trains_what_is_not_refused(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).resolve().parent.parent / "benchmarks" / "kuhn.py"
    spec = importlib.util.spec_from_file_location("kuhn_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    magnets = {}
    for name, options in benchmark.RECIPES.items():
        assert cli.run(["train", "kuhn-selfplay", *options, "--print-config"]) == 0
        magnets[name] = json.loads(capsys.readouterr().out)["kl"] > 0
    assert magnets == {"kuhn-selfplay": True, "without the magnet": False}
