"""The config: what it refuses, how it is written, and the list of its options."""

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from docstring_parser import parse_from_object

from ludus.trainer.advantages import ADVANTAGES
from ludus.trainer.branching import BRANCHING
from ludus.trainer.budget import BUDGETS
from ludus.trainer.config import RECIPES, TrainConfig
from ludus.trainer.corrections import CORRECTIONS
from ludus.trainer.filters import FILTERS
from ludus.trainer.loss import AGGREGATIONS, LOSSES
from ludus.trainer.modulation import EDITS, MODULATIONS
from ludus.trainer.regularizers import REGULARIZERS
from ludus.trainer.schedule import SCHEDULES, scheduled
from ludus.trainer.shaping import SHAPING
from ludus.trainer.spread import CURRICULA

PARTS: dict[str, Collection[str]] = {
    "advantage": ADVANTAGES, "branching": BRANCHING, "shaping": SHAPING, "filters": FILTERS,
    "modulation": MODULATIONS, "edits": EDITS, "loss": LOSSES, "aggregation": AGGREGATIONS,
    "corrections": CORRECTIONS, "regularizers": REGULARIZERS, "curriculum": CURRICULA,
    "budget": BUDGETS, "lr_schedule": SCHEDULES,
}  # fmt: skip
"""By option."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group_size": 0}, "group_size must be more than 0, got 0"),
        ({"steps": -1}, "steps must be more than 0, got -1"),
        ({"lr": 0.0}, "lr must be more than 0"),
        ({"temperature": 0.0}, "temperature must be more than 0"),
        ({"kl": -0.1}, "kl must be 0 or more, got -0.1"),
        ({"threads": -1}, "threads must be 0 or more"),
        (
            {"advantage": "rea"},
            "unknown advantage 'rea', nearest: rae, allowed: rae, role_mean, group_m",
        ),
        ({"loss": "dpo"}, "unknown loss 'dpo', nearest: ppo, allowed: ppo, reinforce"),
        (
            {"loss": "ppo:clip=1"},
            "loss ppo has no setting 'clip', it has: clip_low, clip_high",
        ),
        ({"advantage": "grpo:eps=x"}, "setting eps of advantage grpo is a number, got 'x'"),
        ({"advantage": "gigpo:per_row=1"}, "per_row of advantage gigpo is true or false, got '1'"),
        ({"advantage": "gae:gamma=2"}, "gamma must be in \\[0, 1\\], got 2"),
        (
            {"advantage": "returns:std=none"},
            "advantage returns has no setting 'std', nor any other",
        ),
        ({"branching": "aepo:root=2"}, "no setting 'root', it has: penalty, balance, roots,"),
        ({"branching": "arpo:roots=2.5"}, "setting roots of branching arpo is a whole number"),
        ({"curriculum": "sec:arenas=x"}, "no setting 'arenas', it has: lr, temperature"),
        ({"loss": "gspo:level=word"}, "unknown level 'word', allowed: sequence, turn"),
        ({"loss": "gspo:level"}, "a setting of loss gspo is KEY=VALUE, got 'level'"),
        ({"filters": ("best",)}, "unknown filter 'best', .*allowed: dynamic"),
        ({"advantage": "no_module:Name"}, "no_module:Name cannot be imported"),
        ({"sequence_mask": -1.0}, "sequence_mask must be 0 or more"),
        ({"aggregation": "mean"}, "unknown aggregation 'mean', allowed: token-mean"),
        ({"format": "xml"}, "unknown format 'xml'"),
        ({"on_invalid": "ignore"}, "unknown on_invalid 'ignore'"),
        ({"lr_schedule": "steps"}, "unknown lr_schedule 'steps', .*allowed: constant, linear"),
        ({"episodes": 10, "group_size": 4}, "multiple of group_size, got 10 and 4"),
        ({"advantage": "group_mean"}, "group_mean needs group_size >= 2"),
        ({"loss": "reinforce", "epochs": 2}, "reinforce is for epochs 1, got 2"),
        (
            {"needs": ("seat",)},
            "unknown need 'seat', nearest: seats, allowed: seats, one seat, golden, plan, "
            "success, tools, fork",
        ),
        ({"env_args": "[1]"}, "env_args must be a JSON object"),
        ({"env_args": "{"}, "env_args must be a JSON object"),
    ],
)
def test_it_refuses(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as told:
        TrainConfig(**change)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_json_and_back(recipe: TrainConfig) -> None:
    record = json.loads(json.dumps(recipe.to_json()))
    assert TrainConfig.from_json(record) == recipe
    assert TrainConfig.from_json(record).digest() == recipe.digest()


def test_json_of_another_version() -> None:
    with pytest.raises(ValueError, match="unknown config field 'gamma'"):
        TrainConfig.from_json({**TrainConfig().to_json(), "gamma": 1})


def test_the_digest_is_of_what_decides_the_numbers() -> None:
    base = TrainConfig()
    assert dataclasses.replace(base, out="elsewhere").digest() == base.digest()
    others = {
        dataclasses.replace(base, seed=1).digest(), dataclasses.replace(base, lr=1.0).digest(),
    }  # fmt: skip
    assert len(others | {base.digest()}) == 3


def test_recipes_write_to_folders_of_their_own() -> None:
    folders = [recipe.out for recipe in RECIPES.values()]
    assert len(set(folders)) == len(folders)


def test_the_options() -> None:
    # Each is a promise to users. A change here is a change of the command line.
    assert [field.name for field in dataclasses.fields(TrainConfig)] == [
        "env", "env_args", "curriculum", "needs", "model", "out", "seed", "device", "threads",
        "steps", "episodes", "group_size", "branching", "opponent", "format", "on_invalid",
        "forfeit", "max_reply_tokens", "temperature",
        "shaping", "filters", "hints", "budget", "refill", "advantage", "modulation", "edits",
        "loss", "sequence_mask", "corrections", "regularizers", "clip_low", "clip_high",
        "aggregation", "norm", "epochs", "bin_tokens", "micro_tokens",
        "lr", "lr_end", "lr_schedule", "beta1", "beta2", "weight_decay", "grad_clip",
        "entropy", "entropy_end", "entropy_schedule", "kl", "kl_end", "kl_schedule",
        "kl_estimate", "magnet_every",
        "critic_lr", "critic_clip", "critic_warmup",
        "warmstart_agent", "warmstart_episodes", "warmstart_steps", "warmstart_lr",
        "warmstart_on",
        "parity_tolerance", "eval_every", "eval_episodes", "checkpoint_every",
    ]  # fmt: skip
    assert all(field.kw_only for field in dataclasses.fields(TrainConfig))


@pytest.mark.parametrize("option", PARTS)
def test_the_help_and_the_page_on_methods_name_all_parts(option: str) -> None:
    said = {p.arg_name: p.description or "" for p in parse_from_object(TrainConfig).params}
    page = (Path(__file__).resolve().parent.parent / "docs" / "methods.md").read_text()
    for name in PARTS[option]:
        assert re.search(rf"(?<![\w+-]){re.escape(name)}(?![\w+-])", said[option]), name
        assert option == "lr_schedule" or f"`{name}`" in page, name


def test_the_page_on_methods_names_all_recipes_and_no_option_that_is_none() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "methods.md").read_text()
    options = {field.name.replace("_", "-") for field in dataclasses.fields(TrainConfig)}
    flags = {"resume", "print-config", "dry-run"}
    assert set(re.findall(r"`--([a-z][\w-]+)", page)) <= options | flags
    assert all(f"`{name}`" in page for name in RECIPES)


def test_naming_the_recipes_imports_nothing_heavy() -> None:
    program = (
        "import sys; from ludus.commands import train; train.main(['--help']);"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in RECIPES)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_fall_from_start_to_end(name: str) -> None:
    values = [scheduled(2.0, 0.5, name, step, 11) for step in range(11)]
    assert values[0] == pytest.approx(2.0)
    assert values == sorted(values, reverse=True)
    ends = {"constant": 2.0, "linear": 0.5, "cosine": 0.5}  # the others come near it
    assert values[-1] == pytest.approx(ends.get(name, 0.575), abs=0 if name in ends else 0.076)
    assert scheduled(2.0, 0.5, name, 0, 1) == 2.0
