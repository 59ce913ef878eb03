"""The household engine against what the reference engine said, and its own promises."""

import gzip
import importlib.util
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ludus.envs.worlds.household import parity
from ludus.envs.worlds.household.engine import NOTHING, Game, Play
from ludus.envs.worlds.household.errors import GameError

DATA = Path(__file__).parent / "data" / "household"
RECORDED: dict[str, Any] = json.loads(gzip.decompress((DATA / "transcripts.json.gz").read_bytes()))
GAMES = sorted(RECORDED)
HAS_REFERENCE = all(importlib.util.find_spec(name) for name in ("textworld", "alfworld"))


@pytest.mark.parametrize("name", GAMES)
def test_says_what_the_reference_engine_said(name: str) -> None:
    game = Game.load(DATA / name)
    for lines in RECORDED[name]:
        for expected, actual in parity.replay(game, lines):
            assert actual == expected


def test_recordings_reach_goals_and_refusals() -> None:
    lines = [line for name in GAMES for episode in RECORDED[name] for line in episode]
    assert sum(won for *_, won in lines) > 20
    assert sum(text == NOTHING for _, text, *_ in lines) > 50


@pytest.mark.skipif(not HAS_REFERENCE, reason="the reference engine is not installed")
def test_parity_with_the_installed_reference() -> None:
    command = [sys.executable, "-m", "ludus.envs.worlds.household.parity"]
    command += [str(DATA / "house-0.tw-pddl"), "--episodes", "1", "--steps", "8", "--seed", "9"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class Stub(parity.Ours):
    """Stands in for the reference engine; wrong from a step on."""

    wrong_after = 10**9

    def step(self, command: str) -> parity.Answer:
        answer = super().step(command)
        self.wrong_after -= 1
        if self.wrong_after >= 0:
            return answer
        return parity.Answer("Something else.", ("fly",), False, 0, False)


def test_parity_tells_the_first_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parity, "Reference", Stub)
    args = parity.Args(folder=DATA, episodes=1, steps=5)
    assert parity.main(args) == 0
    monkeypatch.setattr(Stub, "wrong_after", 3)
    assert parity.main(args) == 1
    told = capsys.readouterr().out
    assert "crates" in told
    assert "'Something else.'" in told
    assert "only in the reference ['fly']" in told


def test_parity_goes_on_where_neither_engine_takes_a_game(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(parity, "Reference", Stub)  # which refuses what ours does
    (tmp_path / "a.tw-pddl").write_text(json.dumps(with_goal("(busy middle)")))
    args = parity.Args(folder=tmp_path, episodes=1, steps=2)
    assert parity.main(args) == 2
    assert "the goal can never be reached (the reference: GameError" in capsys.readouterr().err
    (tmp_path / "b.tw-pddl").write_text(json.dumps(data()))
    assert parity.main(args) == 0
    assert "identical: 1 games" in capsys.readouterr().out
    monkeypatch.setattr(parity, "refusal", lambda path: "")
    assert parity.main(args) == 1
    assert "this engine refuses a game" in capsys.readouterr().err


def test_parity_without_reference_or_games(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def missing(path: Path) -> None:
        raise ImportError("No module named 'textworld'")

    monkeypatch.setattr(parity, "Reference", missing)
    assert parity.main(parity.Args(folder=DATA)) == 2
    assert parity.main(parity.Args(folder=tmp_path)) == 2
    assert parity.main(parity.Args(folder=DATA, episodes=0)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3
    assert "pip install" in lines[0]


@pytest.fixture(scope="module")
def game() -> Game:
    return Game.load(DATA / "house-2.tw-pddl")


@pytest.mark.parametrize(
    "command",
    ["", " ", "LOOK", "look around", "go to", "go  to fridge 1", "look\x00", "ｌｏｏｋ", 
     "x" * 10**5, "go to fridge 99", "{f}", "#intro#", "look;", "\ud800"],
)  # fmt: skip
def test_anything_else_changes_nothing(game: Game, command: str) -> None:
    assert game.step(game.initial, command) == (game.initial, NOTHING)


@pytest.mark.parametrize("command", [" look", "look\n", "\t look \u3000"])
def test_blanks_around_a_command_are_taken_off(game: Game, command: str) -> None:
    assert game.step(game.initial, command) == game.step(game.initial, "look")


def test_admissible_commands_are_sorted_and_carried_out(game: Game) -> None:
    play, rng = Play(game), random.Random(3)
    for _ in range(200):
        commands = play.admissible
        assert list(commands) == sorted(set(commands))
        for command in rng.sample(commands, 3):
            assert play.fork().step(command) != NOTHING
        play.step(rng.choice(commands))


def test_forks_and_fresh_games_agree(game: Game) -> None:
    again = Game.load(DATA / "house-2.tw-pddl")
    play, rng = Play(game), random.Random(5)
    for _ in range(60):
        play.step(rng.choice(play.admissible))
    twin, other = play.fork(), Play(again)
    other.state = play.state
    for _ in range(60):
        command = rng.choice(play.admissible)
        before = twin.state
        text = play.step(command)
        assert twin.state == before
        assert twin.step(command) == other.step(command) == text
        assert twin.state == other.state == play.state
        assert twin.admissible == other.admissible == play.admissible


PLANS = """
import sys
from ludus.envs.worlds.household.engine import Game
from ludus.envs.worlds.household.expert import Expert
game = Game.load(sys.argv[1])
print(Expert(game).plan(game.initial), [op.mapping for op in game.problem.operators])
"""


def test_operators_and_plans_are_the_same_in_every_process(tmp_path: Path) -> None:
    """Also of furniture in one place, whose operators ask for the same."""
    game, path = data(), tmp_path / "game.tw-pddl"
    game["pddl_problem"] = re.sub(r"(\(stands \w+) \w+\)", r"\1 middle)", game["pddl_problem"])
    path.write_text(json.dumps(game))
    said = {
        subprocess.run(
            [sys.executable, "-c", PLANS, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip
    assert len(said) == 1


def data() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DATA / "house-0.tw-pddl").read_text())
    return loaded


def without(key: str) -> dict[str, Any]:
    return {k: v for k, v in data().items() if k != key}


def changed(key: str, old: str, new: str) -> dict[str, Any]:
    game = data()
    assert old in game[key]
    return {**game, key: game[key].replace(old, new, 1)}


def with_goal(goal: str) -> dict[str, Any]:
    game = data()
    return {**game, "pddl_problem": f"{game['pddl_problem'].split('(:goal')[0]}(:goal {goal}))"}


DOUBLING = "".join(f'"twice{i}": [{{"rhs": "#twice{i + 1}##twice{i + 1}#"}}], ' for i in range(50))
DOUBLING += '"twice50": [{"rhs": "."}], '
BROKEN = {
    "no domain": without("pddl_domain"),
    "no grammar": without("grammar"),
    "a list": [],
    "a number for text": {**data(), "pddl_problem": 3},
    "cut domain": {**data(), "pddl_domain": data()["pddl_domain"][:-40]},
    "cut problem": {**data(), "pddl_problem": data()["pddl_problem"][:-4]},
    "too many )": {**data(), "pddl_problem": data()["pddl_problem"] + ")"},
    "not PDDL": {**data(), "pddl_domain": "hello"},
    "cut grammar": {**data(), "grammar": data()["grammar"][:-20]},
    "grammar not JSON": changed("grammar", '"intro":', '"intro"'),
    "no intro": changed("grammar", '"intro"', '"outro"'),
    "unknown predicate": changed("pddl_domain", "(busy ?a))", "(lazy ?a))"),
    "wrong arity": changed("pddl_domain", "(busy ?a))", "(busy ?a ?t))"),
    "too few arguments": changed("pddl_problem", "(at agent1 middle)", "(at agent1)"),
    "a variable at the start": changed("pddl_problem", "(at agent1 middle)", "(at ?a middle)"),
    "undeclared object in an effect": changed("pddl_domain", "(clean ?t))", "(clean t))"),
    "undeclared variable in an effect": changed("pddl_domain", "(clean ?t))", "(clean ?x))"),
    "undeclared variable": changed("pddl_domain", "(washable ?t))", "(washable ?x))"),
    "an effect that is a word": changed("pddl_domain", ":effect (clean ?t)", ":effect clean"),
    "an effect that is not a word": changed("pddl_domain", "(not (cold ?t))", "(not cold)"),
    "unknown part of an action": changed("pddl_domain", ":effect (clean", ":effects (clean"),
    "undeclared object": changed("pddl_problem", "(at agent1 middle)", "(at agent2 middle)"),
    "unreachable goal": with_goal("(busy middle)"),
    "empty goal": with_goal("(and)"),
    "contradictory goal": with_goal("(and (busy agent1) (not (busy agent1)))"),
    "no variable": changed("pddl_domain", "(?a - agent ?p - place)", "(?a - agent p - place)"),
    "intro with two types": changed("grammar", "You are in the", "{x | at(x:agent, x:place)}"),
    "command with two types": changed("grammar", "go to {f}", "go to {x | at(x:agent, x:kind)}"),
    "calls itself": changed("grammar", "#room#", "#intro#"),
    "endless": changed("grammar", '"intro": [', f'{DOUBLING} "intro": [\n{{"rhs": "#twice0#"}},'),
    "deep block": changed("grammar", '"intro": ', '"deep": ' + "[" * 10**5),
    "unsafe expression": changed("grammar", "{f.name}", "{f.__class__}"),
    "a symbol of two lines": changed("grammar", "#room#", "#ro\\nom#"),
    "unknown type in a query": changed("grammar", "f:furniture, p:place", "f:couch, p:place"),
}  # fmt: skip


def say_everything(path: Path) -> None:
    game = Game.load(path)
    for command in game.admissible(game.initial):
        game.step(game.initial, command)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_game_is_one_clear_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "game.tw-pddl"
    path.write_text(json.dumps(BROKEN[name]))
    with pytest.raises(GameError) as caught:
        say_everything(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"pddl_domain": "(de', "\x89PNG", "null", "[1, 2]", "[" * 10**5, "9" * 9999],
    ids=lambda text: text[:10],
)
def test_a_file_that_is_no_game_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "game.tw-pddl"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(GameError, match="not a game") as caught:
        Game.load(path)
    assert str(path) in str(caught.value)
    with pytest.raises(GameError, match="No such file"):
        Game.load(tmp_path / "none")


@pytest.mark.skipif("ALFWORLD_DATA" not in os.environ, reason="ALFWORLD_DATA is not set")
def test_real_games_play_and_can_be_won() -> None:
    from ludus.envs.worlds.household.expert import Expert

    paths = parity.games(Path(os.environ["ALFWORLD_DATA"]))
    kinds = {path.parent.parent.name.split("-")[0]: path for path in paths}
    assert paths
    for path in kinds.values():
        play = Play(Game.load(path))
        assert "Your task is to:" in play.text
        plan = Expert(play.game).plan(play.state)
        assert plan
        for command in plan:
            assert not play.won
            play.step(command)
        assert play.won
