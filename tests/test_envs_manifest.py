"""Manifests: the same worlds have the same hashes anywhere, and others are noticed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ludus.envs import registry
from ludus.envs.manifest import Manifest, drawn, held_out, world_of
from ludus.envs.worlds.household import env as household

HOUSES = Path(__file__).parent / "data" / "household"


def manifest(env_id: str, split: str = "", episodes: int = 5, **env_args: Any) -> Manifest:
    split = split or held_out(registry.spec(env_id).load())
    env = registry.make(env_id, **env_args, split=split)
    return Manifest.of(env_id, env_args, drawn(env, split, episodes, 0))


@pytest.fixture
def alfworld(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three of our houses where ALFWorld's would lie."""
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    for number in range(3):
        folder = tmp_path / "json_2.1.1" / "valid_unseen" / f"pick_and_place-{number}" / "trial"
        folder.mkdir(parents=True)
        shutil.copy(HOUSES / f"house-{number}.tw-pddl", folder / "game.tw-pddl")
    return tmp_path / "json_2.1.1" / "valid_unseen"


def elsewhere() -> None:
    """As in another process, which has no games in memory."""
    household._loaded.cache_clear()
    household.game_files.cache_clear()


def test_another_process_finds_the_same() -> None:
    program = (
        "import json; from ludus.envs import registry;"
        "from ludus.envs.manifest import Manifest, drawn;"
        "env = registry.make('ludus/Household-v1', receptacles=4);"
        "tasks = drawn(env, 'valid_unseen', 5, 0);"
        "print(json.dumps(Manifest.of('ludus/Household-v1', {'receptacles': 4}, tasks).to_json()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    own = manifest("ludus/Household-v1", "valid_unseen", receptacles=4)
    assert json.loads(done.stdout) == own.to_json()
    assert Manifest.from_json(json.loads(done.stdout)) == own
    own.check({})


def test_how_things_are_said_is_no_part_of_a_task() -> None:
    plain = manifest("ludus/KuhnPoker-v1")
    assert manifest("ludus/KuhnPoker-v1", format="boxed", show_legal=False) == plain
    assert len(set(plain.worlds)) > 1


def test_order_does_not_matter_to_the_digest_and_worlds_do() -> None:
    few = manifest("ludus/GuessNumber-v1")
    turned = Manifest(few.env, few.params, few.tasks[::-1], few.worlds[::-1])
    assert turned.digest == few.digest
    assert manifest("ludus/GuessNumber-v1", high=50).digest != few.digest
    env = registry.make("ludus/GuessNumber-v1")
    assert world_of(env, few.tasks[0]) == few.worlds[0]


def test_a_game_that_was_changed_or_is_not_there_is_noticed(alfworld: Path) -> None:
    whole = manifest("ludus/ALFWorld-v1")
    assert len(whole.tasks) == 3
    whole.check({})
    first = alfworld / "pick_and_place-0" / "trial" / "game.tw-pddl"
    shutil.copy(HOUSES / "house-4.tw-pddl", first)
    elsewhere()
    with pytest.raises(ValueError, match=r"of valid_unseen is not what the manifest says: its wor"):
        whole.check({})
    assert manifest("ludus/ALFWorld-v1").digest != whole.digest
    shutil.rmtree(first.parent.parent)
    elsewhere()
    assert len(manifest("ludus/ALFWorld-v1").tasks) == 2
    with pytest.raises(ValueError, match=r"game\.tw-pddl: No such file"):
        whole.check({})


@pytest.mark.parametrize(
    "record",
    [[], {}, {"kind": "ludus tasks 1"}, {"kind": "ludus tasks 1", "env": "x", "tasks": [3]}],
)
def test_what_is_no_manifest_is_refused(record: Any) -> None:
    with pytest.raises(ValueError, match="manifest of tasks") as told:
        Manifest.from_json(record)
    assert "\n" not in str(told.value)
