"""The household engine beside the reference engine: the same commands, the same answers."""

import importlib.util
import json
import os
import random
from pathlib import Path

import pytest

from ludus.envs.worlds.household import parity
from ludus.envs.worlds.household.engine import Play
from ludus.envs.worlds.household.expert import Expert
from ludus.envs.worlds.household.houses import draw

pytestmark = [
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in ("textworld", "alfworld")),
        reason="the reference engine is not installed: pip install alfworld",
    ),
    pytest.mark.filterwarnings("ignore"),  # the reference's own
]

TASKS = (
    "look_at_obj_in_light", "pick_and_place_simple", "pick_clean_then_place_in_recep",
    "pick_cool_then_place_in_recep", "pick_heat_then_place_in_recep", "pick_two_obj_and_place",
)  # fmt: skip
HOSTILE = 6  # commands before the expert begins


def play_both(path: Path) -> None:
    """Hostile commands, then the expert's way to the goal, on both engines."""
    ours, reference = parity.Ours(path), parity.Reference(path)
    play: Play = ours.play
    history: list[str] = []
    parity.check(path, history, reference.reset(), ours.reset())
    sender = parity.Sender(play, "hostile", random.Random(0))
    for _ in range(HOSTILE):
        history.append(sender.command())
        parity.check(path, history, reference.step(history[-1]), ours.step(history[-1]))
    plan = Expert(play.game).plan(play.state)
    assert plan
    for command in plan:
        history.append(command)
        answer = reference.step(command)
        parity.check(path, history, answer, ours.step(command))
    assert answer.won


@pytest.mark.skipif("ALFWORLD_DATA" not in os.environ, reason="ALFWORLD_DATA is not set")
@pytest.mark.parametrize("task", TASKS)
def test_a_game_of_each_type(task: str) -> None:
    paths = parity.games(Path(os.environ["ALFWORLD_DATA"]))
    of_task = [path for path in paths if path.parent.parent.name.startswith(task)]
    assert of_task
    play_both(min(of_task, key=lambda path: (path.stat().st_size, path)))


@pytest.mark.parametrize(
    ("kind", "split"), [("heat and put", "valid_unseen"), ("put two", "train")]
)
def test_the_reference_accepts_and_solves_generated_houses(
    kind: str, split: str, tmp_path: Path
) -> None:
    house = draw(random.Random(3), split, {"kind": kind, "receptacles": 8, "objects": 6})
    path = tmp_path / "game.tw-pddl"
    path.write_text(json.dumps(house.to_game()))
    play_both(path)
