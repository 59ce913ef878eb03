"""The household environments: tasks, splits, golden plans, and what they say of bad arguments."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import ludus
from ludus.envs.check import check_env
from ludus.envs.worlds.household.engine import NOTHING, Game, Play
from ludus.envs.worlds.household.env import ALFWorld, Household, game_files
from ludus.envs.worlds.household.expert import Expert
from ludus.envs.worlds.household.houses import SPLITS, TASKS, House, draw

DATA = Path(__file__).parent / "data" / "household"
SMALL: dict[str, Any] = {"receptacles": 8, "objects": 6}


def test_promises_of_the_protocol() -> None:
    report = check_env(ludus.make("ludus/Household-v1", **SMALL), items=[1, 3, 5, 6, 7, 8, 9],
                       episodes=2)  # fmt: skip
    assert report.ok, [item for item in report.items if item.status == "failed"]


@pytest.mark.parametrize("kind", TASKS)
def test_golden_plans_reach_the_goal(kind: str) -> None:
    env = ludus.make("ludus/Household-v1", kind=kind, **SMALL)
    for index in range(3):
        env.reset(seed=index, options={"split": SPLITS[index], "index": index})
        rng = random.Random(index)
        for _ in range(4):
            env.step(rng.choice(env.legal_actions()))
        if not env.acting:
            continue
        golden = env.golden()
        assert golden is not None
        assert golden.action == golden.plan[0]
        for action in golden.plan:
            assert env.acting
            _, reward, terminated, _, info = env.step(action)
        assert (reward, terminated) == (1.0, True)
        assert info["outcome"]["success"]
        assert env.golden() is None


def test_a_command_that_is_not_possible_costs_a_turn_and_nothing_else() -> None:
    env = ludus.make("ludus/Household-v1", **SMALL)
    env.reset(seed=1)
    before = env.state_hash()
    obs, reward, terminated, truncated, info = env.step("fly away")
    assert obs.startswith(f"{NOTHING}\nLegal actions: ")
    assert (reward, terminated, truncated, info["invalid"]) == (0.0, False, False, NOTHING)
    assert env.state_hash() == before
    for _ in range(48):
        env.step("")
    *_, terminated, truncated, _ = env.step("")
    assert (terminated, truncated) == (False, True)


def houses(split: str, number: int) -> list[House]:
    return [draw(random.Random(f"{split}{i}"), split, {}) for i in range(number)]


def test_splits_share_no_content() -> None:
    found = {split: houses(split, 40) for split in SPLITS}
    for split, drawn in found.items():
        assert {house.split for house in drawn} == {split}
    layouts = {s: {(h.room, h.furniture) for h in drawn} for s, drawn in found.items()}
    assert not layouts["valid_unseen"] & (layouts["train"] | layouts["valid_seen"])
    assert not set(found["train"]) & set(found["valid_seen"])


@pytest.mark.parametrize("params", [{"receptacles": 2}, {"receptacles": 40, "objects": 60},
                                    {"objects": 0, "distractors": 0}])  # fmt: skip
def test_every_house_can_be_solved(params: dict[str, int]) -> None:
    for i in range(4):
        play = Play(Game(draw(random.Random(i), "train", params).to_game()))
        expert, rng = Expert(play.game), random.Random(i)
        assert not play.won
        for _ in range(30):
            play.step(rng.choice(play.admissible))
        plan = expert.plan(play.state)
        assert plan is not None
        for command in plan:
            play.step(command)
        assert play.won


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kind": "dance"}, "unknown kind"),
        ({"receptacles": 1}, "receptacles must be"),
        ({"objects": -1}, "objects must be"),
        ({"objects": "many"}, "objects must be"),
        ({"receptacles": 100, "kind": TASKS[5], "split": "valid_unseen"}, "there are few layouts"),
    ],
)
def test_bad_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ludus.make("ludus/Household-v1", **params)


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """A data folder laid out like ALFWorld's, with two games that can be played."""
    for number, split in enumerate(("train", "train", "valid_unseen")):
        folder = tmp_path / "json_2.1.1" / split / f"pick_{number}-Mug" / "trial_1"
        folder.mkdir(parents=True)
        shutil.copy(DATA / f"house-{number}.tw-pddl", folder / "game.tw-pddl")
    marks = {"pick_movable_recep-x": True, "unsolvable-y": False, "unsolvable-z": None}
    for name, mark in marks.items():
        folder = tmp_path / "json_2.1.1" / "train" / name / "trial_1"
        folder.mkdir(parents=True)
        game = {"solvable": mark, **json.loads((DATA / "house-0.tw-pddl").read_text())}
        game["solvable"] = mark
        spaced = (",", ":") if mark is None else None
        (folder / "game.tw-pddl").write_text(json.dumps(game, separators=spaced))
    (tmp_path / "json_2.1.1/train/a_folder/trial_1/game.tw-pddl").mkdir(parents=True)
    return tmp_path


def test_alfworld_reads_its_folder(data_folder: Path) -> None:
    train = ALFWorld.tasks("train", data=str(data_folder))
    assert len(train) == 2
    assert [task.params["game"].split("/")[2] for task in train] == ["pick_0-Mug", "pick_1-Mug"]
    assert len({task.key for task in train}) == 2
    assert len(train.shuffle(1, 1)) == len(train[1:]) == 1
    env = ludus.make("ludus/ALFWorld-v1", data=str(data_folder), split="valid_unseen")
    obs, _ = env.reset(seed=0)
    assert "Your task is to:" in obs
    golden = env.golden()
    for action in golden.plan:
        _, reward, *_ = env.step(action)
    assert reward == 1.0
    only = ALFWorld.tasks("train", data=str(data_folder), kind="pick_1")
    assert [task.params["game"].split("/")[2] for task in only] == ["pick_1-Mug"]


def test_the_order_of_tasks_is_not_the_file_systems(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reported elsewhere: ALFWorld's tasks came as the disk listed them."""
    rglob = Path.rglob

    def keys(*, backwards: bool) -> list[str]:
        def listed(self: Path, name: str) -> list[Path]:
            return sorted(rglob(self, name), reverse=backwards)

        monkeypatch.setattr(Path, "rglob", listed)
        game_files.cache_clear()
        return [task.key for task in ALFWorld.tasks("train", data=str(data_folder))]

    assert keys(backwards=True) == keys(backwards=False)


def test_alfworld_says_what_is_missing(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)
    with pytest.raises(ValueError, match="set ALFWORLD_DATA"):
        ludus.make("ludus/ALFWorld-v1")
    with pytest.raises(ValueError, match="does not exist"):
        ludus.make("ludus/ALFWorld-v1", data=str(data_folder / "nowhere"))
    with pytest.raises(ValueError, match="no games of split 'valid_seen': they lie at"):
        ludus.make("ludus/ALFWorld-v1", data=str(data_folder), split="valid_seen")
    with pytest.raises(ValueError, match="is not a folder"):
        ludus.make("ludus/ALFWorld-v1", data=__file__)
    with pytest.raises(ValueError, match="unknown split"):
        ludus.make("ludus/ALFWorld-v1", data=str(data_folder), split="test")
    game = data_folder / "json_2.1.1/valid_unseen/pick_2-Mug/trial_1/game.tw-pddl"
    game.write_text(game.read_text()[:5000])
    env = ludus.make("ludus/ALFWorld-v1", data=str(data_folder), split="valid_unseen")
    with pytest.raises(ValueError, match="truncated") as caught:
        env.reset()
    assert "\n" not in str(caught.value)


def test_names_of_splits_and_ids() -> None:
    assert tuple(Household.SPLITS) == tuple(ALFWorld.SPLITS) == SPLITS
    assert {"ludus/ALFWorld-v1", "ludus/Household-v1"} <= {spec.id for spec in ludus.specs()}
