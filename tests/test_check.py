"""The checker: passes healthy environments, and catches each fault with the item made for it."""

import io
import json
import random
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console

from ludus.envs import Task, TaskSet, TextEnv
from ludus.testing import CheckFailed, Item, Report, check_env

sys.path.insert(0, str(Path(__file__).parent))
import broken_envs as toys

ALL = tuple(range(1, 16))
SLOW = {2, 12, 14}  # start processes or take their time: for broken toys run only where they count


@pytest.mark.parametrize("env_class", [*toys.HEALTHY, toys.Coins])
def test_healthy_environments_pass_every_item(env_class: type[TextEnv]) -> None:
    report = check_env(env_class, episodes=8)
    report.raise_for_failures()
    assert tuple(item.number for item in report.items) == ALL


@pytest.mark.parametrize(
    ("number", "env_class"), [(n, toy) for n, all_toys in toys.BROKEN.items() for toy in all_toys]
)
def test_each_fault_is_caught_by_its_item_alone(number: int, env_class: type[TextEnv]) -> None:
    items = [n for n in ALL if n == number or n not in SLOW]
    report = check_env(env_class, items=items, episodes=6)
    assert [(item.number, item.detail) for item in report.failed] == [
        (number, report[number].detail)
    ]


@pytest.mark.parametrize(
    ("number", "env_class"),
    [(n, toy) for n, all_toys in toys.BROKEN_IN_MANY_WAYS.items() for toy in all_toys],
)
def test_faults_that_several_items_catch(number: int, env_class: type[TextEnv]) -> None:
    assert check_env(env_class, items=[number])[number].status == "failed"


@pytest.mark.parametrize(("pattern", "env_class"), toys.UNPLAYABLE.items())
def test_what_cannot_be_played_is_said_once(pattern: str, env_class: type[TextEnv]) -> None:
    report = check_env(env_class)
    assert [(item.number, item.status) for item in report.items] == [(0, "failed")]
    assert re.search(pattern, report[0].detail), report[0].detail


def test_a_secret_that_another_seat_has_as_well_may_be_known_to_it() -> None:
    class Equal(toys.Duel):
        def _setup(self, task: Task, rng: random.Random) -> None:
            super()._setup(task, rng)
            self._numbers = dict.fromkeys(self.ROLES, rng.choice((1, 12)))

    class Longer(toys.Duel):
        def _setup(self, task: Task, rng: random.Random) -> None:
            super()._setup(task, rng)
            self._numbers = {"player_0": 1, "player_1": 12}

        def _secrets(self, seat: str) -> list[str]:
            return [f"number is {self._numbers[seat]}"]

    assert check_env(Equal, items=[10], episodes=4)[10].status == "skipped"
    check_env(Longer, items=[10], episodes=4).raise_for_failures()


def test_details_name_what_was_seen() -> None:
    def detail(number: int, env_class: type[TextEnv]) -> str:
        return check_env(env_class, items=[number])[number].detail

    assert "PYTHONHASHSEED" in detail(2, toys.HashOrder)
    assert "bytes an episode" in detail(4, toys.Hoarder)
    assert "int() " in detail(7, toys.DigitCrash) or "ValueError" in detail(7, toys.DigitCrash)
    assert "TOY_HINT" in detail(12, toys.Configured)
    assert "socket.connect" in detail(12, toys.Caller)
    assert "player_1" in detail(10, toys.OpenHand)
    assert "_observe('player_" in detail(5, toys.Counting)
    assert "self._gains and self._same are one list" in detail(6, toys.Twins)
    assert "self.format.write" in detail(9, toys.Unformatted)
    assert "'size'" in detail(13, toys.OwnArgument)


def test_classes_defined_in_a_function_are_checked_in_other_processes_too() -> None:
    class Local(toys.Duel):
        pass

    check_env(Local, items=[2, 12, 13], episodes=4).raise_for_failures()


def test_ids_and_objects_are_checked_with_their_arguments() -> None:
    from ludus.envs import registry

    assert check_env("ludus/KuhnPoker-v1", items=[8]).env_id == "ludus/KuhnPoker-v1"
    env = registry.make("ludus/GuessNumber-v1", low=5, high=5)
    env.reset(seed=1)
    before = env.state_hash()
    report = check_env(env, items=[5, 9], episodes=3)
    assert report.ok
    assert env.state_hash() == before


def test_report() -> None:
    passed = Item(number=1, name="a", status="passed", detail="[/b]", seconds=0.5)
    failed = Item(number=2, name="b", status="failed", detail="no", seconds=0.1, figures={"x": 1.0})
    report = Report(env_id="toys/X-v1", items=(passed, failed))
    assert not report.ok
    assert report.summary() == "1 passed, 1 failed, 0 skipped"
    with pytest.raises(CheckFailed, match=r"2\. b: no"):
        report.raise_for_failures()
    assert json.loads(report.json())["items"][1]["figures"] == {"x": 1.0}
    with pytest.raises(KeyError):
        report[3]
    console = Console(record=True, width=100, file=io.StringIO())
    report.print(console)
    assert "[/b]" in console.export_text()


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="unknown item 99"):
        check_env(toys.Duel, items=[99])
    with pytest.raises(ValueError, match="at least 1"):
        check_env(toys.Duel, episodes=0)
    with pytest.raises(ValueError, match="KuhnPoker"):
        check_env("ludus/KuhnPokr-v1")


def test_progress_is_reported_item_by_item() -> None:
    seen: list[int] = []
    check_env(toys.Dice, items=[3, 8], on_item=lambda item: seen.append(item.number))
    assert seen == [3, 8]


def test_where_defaults_take_long_a_class_says_what_is_checked() -> None:
    class Long(toys.Duel):
        PARAMS: ClassVar[Mapping[str, Any]] = {**toys.Duel.PARAMS, "size": 1000}
        CHECK: ClassVar[Mapping[str, Any]] = {"size": 2}

    report = check_env(Long, items=[8], episodes=2)
    assert report.settings == {"size": 2}
    console = Console(record=True, width=100, file=io.StringIO())
    report.print(console)
    assert "(size=2)" in console.export_text()
    assert check_env(Long(size=3), items=[8], episodes=2).settings["size"] == 3


def test_splits_whose_data_are_not_here_are_not_compared() -> None:
    class Partly(toys.Duel):
        @classmethod
        def tasks(cls, split: str = "train", **params: Any) -> TaskSet:
            if split != "train":
                raise ValueError(f"no data of split {split}")
            return super().tasks(split, **params)

    report = check_env(Partly, items=[11], episodes=2)
    assert report[11].status == "skipped"
    assert "train, valid, test" in report[11].detail


def test_a_process_that_hangs_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from ludus.envs.check import child

    monkeypatch.setattr(child, "_TIMEOUT_S", 0.05)
    detail = check_env(toys.Duel, items=[2])[2].detail
    assert detail == "a fresh process has not played it in 0 s"
