"""The command line: what it prints, and that every mistake of a user is one line."""

import dataclasses
import errno
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ludus import __version__, cli
from ludus.commands.play import _verdict
from ludus.envs import Task, registry
from ludus.envs.registry import MissingExtra
from ludus.trainer.config import RECIPES

sys.path.insert(0, str(Path(__file__).parent))
import broken_envs as toys

TINY = (
    "--model", "small:hidden=32,layers=1,heads=2,kv_heads=1", "--episodes", "8", "--steps", "2",
    "--eval-episodes", "2", "--warmstart-steps", "0",
)  # fmt: skip

Ludus = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ludus(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ludus:
    """Runs the program: exit status, standard output, standard error."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")

    def call(*args: str, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ludus", *args])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return call


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run in Kuhn poker."""
    out = tmp_path_factory.mktemp("cli") / "kuhn"
    assert (
        cli.run(["train", "spiral", "--env", "ludus/KuhnPoker-v1", *TINY, "--out", str(out)]) == 0
    )
    return out


# ---- mistakes -------------------------------------------------------------------------------

MISTAKES = {
    "no such command": (["trian"], "unknown command 'trian', did you mean train? commands: list"),
    "no such environment": (
        ["check", "ludus/KuhnPokr-v1"],
        "'ludus/KuhnPokr-v1', nearest: ludus/KuhnPoker-v1",
    ),
    "nothing to check": (["check"], "name environments, or --all"),
    "check one and all": (["check", "ludus/Nim-v1", "--all"], "name environments, or --all"),
    "check a seed below 0": (["check", "ludus/Nim-v1", "--seed", "-1"], "seed must be at least 0"),
    "play a seed below 0": (["play", "ludus/Nim-v1", "--seed", "-1"], "from 0, got -1"),
    "no such module": (["check", "nowhere:x/Y-v0"], "no module 'nowhere'"),
    "no such tag": (
        ["list", "--tag", "two-seats"],
        "did you mean two-seat?",
    ),
    "no such option": (["list", "--jsn"], "Unrecognized options: --jsn, did you mean --json?"),
    "no such recipe": (
        ["train", "kuhn-selfply"],
        "unknown recipe 'kuhn-selfply', did you mean kuhn-selfplay?",
    ),
    "a recipe that is none yet": (["train", "--steps", "3"], "a recipe comes before --steps"),
    "play a task against somebody": (
        ["play", "ludus/GuessNumber-v1", "--opponent", "minimax"],
        "ludus/GuessNumber-v1 has one seat: nobody plays as opponent minimax",
    ),
    "serve a task against somebody": (
        ["serve", "ludus/GuessNumber-v1", "--opponent", "random"],
        "has one seat: nobody plays as opponent random",
    ),
    "eval at tasks against somebody": (
        ["eval", "--policy", "RUN", "--env", "ludus/GuessNumber-v1", "--opponent", "nash"],
        "has one seat: nobody plays as opponent nash",
    ),
    "two shapings one by one": (
        ["train", "grpo", "--shaping", "overlong", "--shaping", "format"],
        "--shaping is given twice, which drops the first: --shaping ONE TWO is both",
    ),
    "two opponents one by one": (
        ["eval", "--policy", "RUN", "--opponent=nash", "--opponent", "random"],
        "--opponent is given twice",
    ),
    "recipes that are added up": (
        ["train", "grpo+epo"],
        "unknown recipe 'grpo+epo': methods compose by options",
    ),
    "no such training option": (
        ["train", "spiral", "--grup-size", "3"],
        "--grup-size, 3, did you mean --group-size?",
    ),
    "not a number": (["train", "spiral", "--steps", "many"], "'many' (ludus train spiral --help)"),
    "group size 0": (
        ["train", "spiral", "--group-size", "0"],
        "ludus: group_size must be more than 0, got 0",
    ),
    "train in nothing": (
        ["train", "spiral", "--env", "ludus/Chess-v1", "--out", "OUT"],
        "unknown environment 'ludus/Chess-v1'",
    ),
    "train no model": (
        ["train", "spiral", "--model", "./nowhere", "--out", "OUT"],
        "model folder './nowhere' does not exist",
    ),
    "train a folder without a model": (
        ["train", "spiral", "--model", "EMPTY", "--out", "OUT"],
        "holds no config.json",
    ),
    "train against nobody": (
        ["train", "spiral", "--opponent", "nsh", "--out", "OUT"],
        "unknown agent 'nsh', nearest: nash",
    ),
    "not a folder": (["train", "spiral", *TINY, "--out", "FILE"], "FILE"),
    "play nothing": (["play", "ludus/TicTacTo-v1"], "nearest: ludus/TicTacToe-v1"),
    "play nobody": (
        ["play", "ludus/TicTacToe-v1", "--opponent", "minmax"],
        "unknown agent 'minmax', nearest: minimax",
    ),
    "play no seat": (
        ["play", "ludus/TicTacToe-v1", "--seat", "x"],
        "unknown seat 'x', seats: player_0, player_1",
    ),
    "play, hidden cards": (["play", "ludus/KuhnPoker-v1", "--opponent", "minimax"], "minimax"),
    "exploit nothing": (["exploit"], "Missing"),
    "exploit no folder": (["exploit", "runs/nowhere"], "runs/nowhere is no folder"),
    "exploit a folder that is none": (["exploit", "EMPTY"], "is no run and no checkpoint"),
    "exploit a large game": (["exploit", "RUN", "--env", "ludus/GuessNumber-v1"], "no game tree"),
    "eval nothing": (["eval"], "--policy"),
    "eval no folder": (
        ["eval", "--policy", "./nowhere", "--env", "ludus/KuhnPoker-v1"],
        "does not exist",
    ),
    "eval in nothing": (["eval", "--policy", "RUN", "--env", "ludus/Kuhn"], "unknown environment"),
    "eval against nobody": (
        ["eval", "--policy", "RUN", "--opponent", "nobody"],
        "unknown agent 'nobody'",
    ),
    "eval against a person": (
        ["eval", "--policy", "RUN", "--opponent", "random", "human"],
        "opponent cannot be human",
    ),
    "serve against a person": (
        ["serve", "ludus/KuhnPoker-v1", "--opponent", "human"],
        "opponent cannot be human",
    ),
    "eval zero episodes": (
        ["eval", "--policy", "RUN", "--episodes", "0"],
        "episodes must be at least 1, got 0",
    ),
    "eval to no folder": (
        ["eval", "--policy", "RUN", "--out", "OUT/eval.json"],
        "there is no folder",
    ),
    "eval to a folder": (["eval", "--policy", "RUN", "--out", "EMPTY"], "is a folder, name a file"),
    "eval against no name": (["eval", "--policy", "RUN", "--opponent"], "one or more names"),
    "eval at no temperature": (
        ["eval", "--policy", "RUN", "--temperature", "nan"],
        "temperature must be 0 or more, got nan",
    ),
    "eval a deal that is none": (
        ["eval", "--policy", "RUN", "--env-args", '{"deal": "ZZ"}'],
        "unknown deal 'ZZ', allowed: JQ,",
    ),
    "eval no suite": (
        ["eval", "--policy", "RUN", "--env", "spiral-heldut"],
        "did you mean the suite spiral-heldout?",
    ),
    "train at no rate": (["train", "spiral", "--lr", "nan"], "lr must be finite, got nan"),
    "train with no forfeit": (
        ["train", "spiral", "--forfeit", "inf", "0"],
        "forfeit must be finite, got inf",
    ),
    "train without a memory": (["train", "grpo", "--beta1", "1"], "beta1 must be in [0, 1), got 1"),
    "train from no seed": (["train", "grpo", "--seed", str(2**63)], "seed must be less than 2**63"),
    "train on all threads there are": (
        ["train", "grpo", "--threads", "9999"],
        "threads must be at most 1024, got 9999",
    ),
    "train against a person": (
        ["train", "spiral", "--opponent", "human"],
        "opponent cannot be human",
    ),
    "imitate a person": (
        ["train", "spiral", "--warmstart-agent", "human"],
        "warmstart_agent cannot be human",
    ),
    "train a model of nothing": (
        ["train", "spiral", "--model", "small:heads=0", "--out", "OUT"],
        "heads must be at least 1, got 0",
    ),
    "eval two to one file": (
        ["eval", "--policy", "RUN", "--env", "spiral-heldout", "--out", "FILE"],
        "--out is the file of one environment, 'spiral-heldout' is 4",
    ),
    "eval with no object": (
        ["eval", "--policy", "RUN", "--env-args", "[1]"],
        "--env-args must be a JSON object",
    ),
    "eval nowhere": (["eval", "--policy", "RUN", "--device", "nowhere"], "device 'nowhere'"),
    "train nowhere": (
        ["train", "spiral", "--device", "nowhere", "--out", "OUT"],
        "device 'nowhere'",
    ),
    "eval a misspelt folder": (
        ["eval", "--policy", "runs/nowhere", "--env", "ludus/KuhnPoker-v1"],
        "'runs/nowhere', which is no folder here",
    ),
    "a run is there": (
        ["train", "spiral", "--out", "RUN"],
        "already holds a run: --resume goes on with it",
    ),
    "resume another config": (
        [
            "train",
            "spiral",
            "--env",
            "ludus/KuhnPoker-v1",
            *TINY,
            "--lr",
            "0.5",
            "--out",
            "RUN",
            "--resume",
        ],
        "was started with lr=0.0003, not 0.5",
    ),
    "resume nothing": (["train", "--resume"], "goes on with the run in a folder: add --out"),
    "resume nowhere": (["train", "--resume", "--out"], "add --out"),
    "resume no folder": (["train", "--resume", "--out", "OUT"], "OUT holds no run: there is no"),
    "resume no run": (["train", "--out", "EMPTY", "--resume"], "EMPTY holds no run: there is no"),
    "resume a file": (["train", "--resume", "--out", "FILE"], "FILE holds no run: there is no"),
    "resume for longer": (
        ["train", "--resume", "--out", "RUN", "--steps", "9"],
        "was started with steps=2, not 9",
    ),
    "resume with no such option": (
        ["train", "--resume", "--out", "RUN", "--stps", "9"],
        "Unrecognized options: --stps",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(ludus: Ludus, run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FILE").touch()
    places = {"RUN": run} | {key: tmp_path / key for key in ("OUT", "EMPTY", "FILE")}
    args, message = MISTAKES[name]
    status, out, err = ludus(*(str(places.get(arg, arg)) for arg in args))
    assert status == 2
    assert err.startswith("ludus: ")
    assert err.count("\n") == 1
    assert message in err
    assert "Traceback" not in out + err
    assert not (tmp_path / "OUT").exists()


@pytest.mark.parametrize("command", ["exploit", "eval", "train"])
def test_a_checkpoint_cut_short(ludus: Ludus, run: Path, tmp_path: Path, command: str) -> None:
    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    for file in broken.rglob("model.safetensors"):
        os.truncate(file, file.stat().st_size // 2)
    options = {
        "exploit": [str(broken)],
        "eval": ["--policy", str(broken)],
        "train": ["spiral", "--env", "ludus/KuhnPoker-v1", *TINY, "--out", str(broken), "--resume"],
    }
    status, _, err = ludus(command, *options[command])
    assert status == 2
    assert err.count("\n") == 1
    assert "cut short: model/model.safetensors is missing or not what was saved" in err
    newest = max((broken / "checkpoints").iterdir())
    assert ludus("exploit", str(newest))[0] == 2


def test_our_own_faults_keep_their_traceback(ludus: Ludus, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(args: Any) -> int:
        return int("not a number of ours", base=int("1" * 2))

    monkeypatch.setattr("ludus.commands.list.main", broken)
    monkeypatch.setattr(sys, "argv", ["ludus", "list"])
    with pytest.raises(ValueError, match="invalid literal"):
        cli.main()


def test_a_missing_extra_is_named(ludus: Ludus, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(args: Any) -> int:
        raise ModuleNotFoundError("No module named 'pyspiel'", name="pyspiel")

    monkeypatch.setattr("ludus.commands.list.main", broken)
    status, _, err = ludus("list")
    assert (status, err) == (2, "ludus: this needs pyspiel: pip install 'ludus[games]'\n")


def test_a_missing_extra_that_explains_itself(
    ludus: Ludus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise MissingExtra("TextWorld's games need TextWorld: pip install 'ludus[textworld]'")

    monkeypatch.setattr("ludus.commands.list.main", fail)
    says = "ludus: TextWorld's games need TextWorld: pip install 'ludus[textworld]'\n"
    assert ludus("list") == (2, "", says)


# ---- what it prints -------------------------------------------------------------------------


def test_help(ludus: Ludus) -> None:
    for args in ((), ("--help",), ("help",)):
        status, out, err = ludus(*args)
        assert (status, err) == (0, "")
        assert all(f"  {command} " in out for command in cli.COMMANDS)
    assert ludus("--version")[1] == f"{__version__}\n"
    for command in cli.COMMANDS:
        status, out, err = ludus(command, "--help")
        assert (status, err) == (0, "")
        assert f"usage: ludus {command}" in out
    status, out, _ = ludus("train", "spiral", "--help")
    assert status == 0
    assert "--group-size INT" in out


def test_descriptions_are_wrapped_to_the_terminal(ludus: Ludus) -> None:
    code, out, _ = ludus("train", "spiral", "--help")
    assert code == 0
    # The docstring breaks this sentence in two lines.
    assert "Its own parameters, as a JSON object, of several environments by id" in out
    assert "--resume" in out
    assert "--no-" not in ludus("check", "--help")[1]


def test_every_training_option_is_explained() -> None:
    from docstring_parser import parse_from_object

    from ludus.trainer.config import TrainConfig

    said = {p.arg_name for p in parse_from_object(TrainConfig).params if p.description}
    assert {f.name for f in dataclasses.fields(TrainConfig)} <= said


def test_ones_own_module_is_found_from_the_folder_it_lies_in(tmp_path: Path) -> None:
    (tmp_path / "my_game.py").write_text(
        "import ludus\n"
        "from ludus.envs.games.tictactoe import TicTacToe\n"
        "ludus.register('me/Game-v1', TicTacToe)\n"
    )
    program = (
        "from ludus.cli import main; main()"  # -P: as a script, without the folder in the path
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "play", "my_game:me/Game-v1", "--seed", "0"],
        cwd=tmp_path, input="quit\n", capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "you are player_0" in done.stdout


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EADDRINUSE])
def test_a_full_disk_is_one_line(
    ludus: Ludus, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number), "runs/x")

    monkeypatch.setattr("ludus.commands.list.main", fail)
    assert ludus("list") == (2, "", f"ludus: {os.strerror(number)}: runs/x\n")


def test_list(ludus: Ludus) -> None:
    status, out, _ = ludus("list", "--json")
    assert status == 0
    rows = {row["id"]: row for row in json.loads(out)}
    assert rows["ludus/KuhnPoker-v1"]["seats"] == 2
    assert rows["ludus/KuhnPoker-v1"]["zero_sum"] is True
    assert set(rows["ludus/GuessNumber-v1"]["splits"]) == {"train", "valid", "test"}
    status, out, _ = ludus("list")
    assert status == 0
    assert all(id in out for id in rows)
    status, out, _ = ludus("list", "--tag", "two-seat", "board", "--json")
    assert status == 0
    assert {row["id"] for row in json.loads(out)} == {
        id for id, row in rows.items() if {"two-seat", "board"} <= set(row["tags"])
    }


def test_what_cannot_be_loaded_does_not_hide_the_others(
    ludus: Ludus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_SPECS", dict(registry._SPECS))
    registry.register("toys/Lost-v1", "nowhere:Env")
    status, out, err = ludus("list")
    assert status == 0
    assert "ludus/KuhnPoker-v1" in out
    assert "toys/Lost-v1" not in out
    assert err.startswith("ludus: toys/Lost-v1 left out: ")
    assert err.count("\n") == 1
    assert all(line == line.rstrip() for line in out.splitlines())


def test_check(ludus: Ludus) -> None:
    status, out, _ = ludus("check", "ludus/TicTacToe-v1", "--json")
    assert status == 0
    (report,) = json.loads(out)["reports"]
    assert report["env_id"] == "ludus/TicTacToe-v1"
    assert report["ok"] is True
    given = ("ludus/GuessNumber-v1", "--env-args", '{"high": 3}', "--episodes", "1", "--json")
    status, out, _ = ludus("check", *given)
    assert status == 0
    assert json.loads(out)["reports"][0]["settings"] == {"high": 3}


def test_check_all_tells_what_is_missing_from_what_is_broken(
    ludus: Ludus, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent(toys.Duel):
        def __init__(self, **kwargs: Any) -> None:
            raise MissingExtra("toys/Absent-v1 needs Toys: pip install toys")

    class Odd(toys.Duel):
        def __init__(self, **kwargs: Any) -> None:
            raise ImportError("cannot import name 'x'")

    monkeypatch.setattr(registry, "_SPECS", {})
    monkeypatch.setattr(registry, "_plugins_loaded", True)
    for env in (Absent, Odd, toys.Dice):
        registry.register(f"toys/{env.__name__}-v1", env)
    status, out, _ = ludus("check", "--all", "--episodes", "1")
    assert status == 1
    assert "toys/Absent-v1: skipped: toys/Absent-v1 needs Toys: pip install toys" in out
    assert "1 of 3 passed, 1 skipped, failed: toys/Odd-v1" in out
    assert "making it" in out


def test_print_config(ludus: Ludus) -> None:
    status, out, _ = ludus("train", "spiral", "--seed", "7", "--print-config")
    assert status == 0
    assert json.loads(out) == {**RECIPES["spiral"].to_json(), "seed": 7}
    status, out, _ = ludus("train")
    assert status == 0
    assert "recipes: " + ", ".join(RECIPES) in " ".join(out.split())


def test_a_folder_knows_its_config(ludus: Ludus, run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "a folder"
    shutil.copytree(run, moved)
    begun = json.loads((run / "run.json").read_text())["config"]
    for folder in ("--out", str(moved)), (f"--out={moved}",):
        status, out, err = ludus("train", "--resume", *folder, "--print-config")
        assert (status, err) == (0, "")
        assert json.loads(out) == {**begun, "out": str(moved)}
    status, out, err = ludus("train", "--resume", "--out", str(moved), "--steps", "2")
    assert (status, err) == (0, "")
    assert out.startswith(f"resumed from {moved}/checkpoints/step-000002 at step 2\n")
    for broken in ("{}", "[]", "{", '{"config": 3}', '{"config": {"stps": 3}}'):
        (moved / "run.json").write_text(broken)
        status, out, err = ludus("train", "--resume", "--out", str(moved))
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "run.json is not what a run writes" in err


def test_exploit_prints_one_line_of_json(ludus: Ludus, run: Path) -> None:
    checkpoint = max((run / "checkpoints").iterdir())
    before = json.loads((run / "result.json").read_text())["exploitability"]["after"]
    for args in (
        [str(run)],
        [str(checkpoint)],
        [str(checkpoint / "model"), "--env", "ludus/KuhnPoker-v1"],
    ):
        status, out, err = ludus("exploit", *args)
        assert (status, err) == (0, "")
        assert out.count("\n") == 1
        record = json.loads(out)
        assert record["exploitability"] == pytest.approx(before, abs=1e-6)
        assert record["information_sets"] == 12
        assert record["policy"] == args[0]
    table = json.loads(ludus("exploit", str(run), "--table")[1])["table"]
    assert len(table) == 12
    assert all(sum(probs.values()) == pytest.approx(1) for probs in table.values())


def test_eval_prints_a_table_and_writes_json(ludus: Ludus, run: Path, tmp_path: Path) -> None:
    out_file = tmp_path / "eval.json"
    args = (
        "eval", "--policy", str(run), "--env", "ludus/KuhnPoker-v1", "--opponent", "nash", "random",
        "--episodes", "5", "--seed", "0",
    )  # fmt: skip
    status, out, err = ludus(*args, "--out", str(out_file))
    assert (status, err) == (0, "")
    for word in ("opponent", "return", "won, %", "nash", "random", "player_0", "player_1"):
        assert word in out
    record = json.loads(out_file.read_text())
    assert [(r["opponent"], r["seat"]) for r in record["results"]] == [
        ("nash", "player_0"), ("nash", "player_1"), ("random", "player_0"), ("random", "player_1"),
    ]  # fmt: skip
    assert ludus(*args)[0] == 0
    beside = run / "eval-ludus-KuhnPoker-v1-nash-random.json"
    assert json.loads(beside.read_text()) == record
    beside.unlink()


class Flaky(toys.Dice):
    """Breaks in some worlds, as a server may."""

    ENV_ID = "toys/Flaky-v1"
    PARAMS: ClassVar[Mapping[str, Any]] = {"share": 0.5}

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        self._bad = rng.random() < {**self.PARAMS, **task.params}["share"]

    def _parse(self, text: str, seat: str) -> Any:
        if self._bad:
            raise RuntimeError("the server is gone")
        return super()._parse(text, seat)


def test_episodes_that_break_are_told(ludus: Ludus, run: Path, tmp_path: Path) -> None:
    registry.register("toys/Flaky-v1", Flaky)
    game = ("eval", "--policy", str(run), "--env", "toys/Flaky-v1", "--episodes", "16")
    out = tmp_path / "flaky.json"
    status, _, err = ludus(*game, "--out", str(out))
    (result,) = json.loads(out.read_text())["results"]
    assert status == 0
    assert 0 < result["errors"] == 16 - result["episodes"] < 16
    assert result["first_error"] == "RuntimeError: the server is gone"
    said = f"ludus: {result['errors']} episodes broke, the first with: {result['first_error']}\n"
    assert err == said
    status, _, err = ludus(*game, "--env-args", '{"share": 1.0}', "--out", str(out))
    assert (status, err.split(",")[0]) == (1, "ludus: 16 episodes broke")


def test_a_run_tells_of_episodes_that_broke(ludus: Ludus, run: Path, tmp_path: Path) -> None:
    registry.register("toys/Flaky-v1", Flaky)
    (model,) = run.glob("checkpoints/step-000002/model")
    few = ("--episodes", "16", "--group-size", "2", "--steps", "1", "--eval-episodes", "2")
    status, out, _ = ludus(
        "train", "grpo", "--env", "toys/Flaky-v1", "--model", str(model), *few,
        "--warmstart-steps", "0", "--out", str(tmp_path / "run"),
    )  # fmt: skip
    assert status == 0
    assert re.search(r"\d+ episodes of this step broke", out)


def test_what_was_found_with_other_settings_is_kept(
    ludus: Ludus, run: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("eval-*"))
    names = []
    for given in ((), ("--seed", "1"), (), ("--format", "boxed"), ("--seed", "1")):
        _, out, _ = ludus("eval", "--policy", str(own), "--episodes", "3", *given)
        names.append(Path(out.splitlines()[-1].removeprefix("written to ")).name)
    plain = "eval-ludus-KuhnPoker-v1-random"
    numbers = ("", "-2", "", "-3", "-2")
    assert names == [f"{plain}{number}.json" for number in numbers]


def test_a_model_is_an_opponent(
    ludus: Ludus, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    model, out = max((run / "checkpoints").iterdir()) / "model", tmp_path / "eval.json"
    status, said, err = ludus(
        "eval", "--policy", str(run), "--opponent", str(model), "random", "--episodes", "2",
        "--out", str(out),
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert max(map(len, said.splitlines()[:-1])) <= 80
    results = json.loads(out.read_text())["results"]
    assert [r["opponent"] for r in results] == [str(model)] * 2 + ["random"] * 2
    status, said, err = ludus(
        "play", "ludus/KuhnPoker-v1", "--opponent", str(run), "--seed", "1", typed="check\n"
    )
    assert (status, err) == (0, "")
    assert "player_1" in said


def test_any_model_is_evaluated_with_settings_of_its_own(
    ludus: Ludus, run: Path, tmp_path: Path
) -> None:
    model, out = max((run / "checkpoints").iterdir()) / "model", tmp_path / "eval.json"
    args = ("eval", "--policy", str(model), "--env", "ludus/GuessNumber-v1", "--episodes", "2")
    own = ("--env-args", '{"high": 3}', "--format", "boxed", "--max-reply-tokens", "2")
    assert ludus(*args, *own, "--out", str(out))[0] == 0
    assert json.loads(out.read_text())["env_args"] == {"high": 3, "format": "boxed"}
    shown = json.loads(out.read_text())["results"][0]
    assert (shown["episodes"], shown["invalid_rate"]) == (2, 1)


def test_the_tasks_of_a_file_are_played(ludus: Ludus, run: Path, tmp_path: Path) -> None:
    status, listed, err = ludus("tasks", "ludus/GuessNumber-v1", "--episodes", "3")
    assert (status, err, listed.count("\n")) == (0, "", 5)
    file, out = tmp_path / "tasks.json", tmp_path / "eval.json"
    own = ("--env-args", '{"high": 3}')
    file.write_text(ludus("tasks", "ludus/GuessNumber-v1", "--episodes", "3", *own, "--json")[1])
    digest = json.loads(file.read_text())["digest"]
    args = ("eval", "--policy", str(run), "--out", str(out))
    assert ludus(*args, "--tasks", str(file), "--format", "boxed")[0] == 0
    told = json.loads(out.read_text())
    assert (told["tasks"], told["results"][0]["episodes"]) == (digest, 3)
    assert told["env_args"] == {"high": 3, "format": "boxed"}
    # Drawn by eval itself, they are the same.
    assert ludus(*args, "--env", "ludus/GuessNumber-v1", *own, "--episodes", "3")[0] == 0
    assert json.loads(out.read_text())["tasks"] == digest
    for wrong, reason in (
        (("--tasks", str(tmp_path / "none.json")), "none.json: No such file"),
        (("--tasks", str(run / "run.json")), "no manifest of tasks"),
        (("--tasks", str(file), "--split", "valid"), "--tasks says which tasks are played"),
        (("--tasks", str(file), "--env", "ludus/KuhnPoker-v1"), "is of ludus/GuessNumber-v1"),
    ):
        status, _, err = ludus(*args, *wrong)
        assert status == 2
        assert reason in err
        assert err.count("\n") == 1


def test_a_suite_is_evaluated_game_by_game(
    ludus: Ludus, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    model = max((run / "checkpoints").iterdir()) / "model"
    before = sorted(model.iterdir())
    status, out, err = ludus(
        "eval", "--policy", str(model), "--env", "spiral-heldout", "--episodes", "1"
    )
    assert (status, err) == (0, "")
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == [f"eval-ludus-{name}-v1-random.json" for name in
                       ("ConnectFour", "LeducPoker", "LiarsDice", "Pig")]  # fmt: skip
    assert sorted(model.iterdir()) == before  # a model's folder is its owner's
    assert out.count("written to") == 4


def test_train_in_tic_tac_toe(ludus: Ludus, tmp_path: Path) -> None:
    out = tmp_path / "run"
    status, said, err = ludus(
        "train", "spiral", "--env", "ludus/TicTacToe-v1", *TINY, "--out", str(out)
    )
    assert (status, err) == (0, "")
    assert "step    2/2" in said
    assert f"report: {out / 'report.html'}" in said
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert "eval/win_rate/player_0" in lines[-1]
    assert list((out / "tensorboard").glob("events*"))


def test_a_run_that_drifts_is_one_line(
    ludus: Ludus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--env", "ludus/KuhnPoker-v1", *TINY, "--parity-tolerance", "1e-30")
    status, _, err = ludus("train", "spiral", *options, "--out", str(tmp_path / "run"))
    assert status == 1
    assert err.startswith("ludus: step 0: engine and learner differ by ")
    assert err.count("\n") == 1


def test_a_forfeit_is_won_and_lost_or_not_solved() -> None:
    for id, verdicts in (
        ("ludus/KuhnPoker-v1", {"player_0": "You lose", "player_1": "You win"}),
        ("ludus/GuessNumber-v1", {"player_0": "Not solved"}),
    ):
        env = registry.make(id, on_invalid="forfeit")
        env.reset(seed=0)
        outcome = env.step("nonsense")[-1]["outcome"]
        said = {seat: re.sub(r"\[.*?\]", "", _verdict(env, outcome, seat)) for seat in env.ROLES}
        assert said == verdicts


def test_play(ludus: Ludus) -> None:
    game = ("play", "ludus/TicTacToe-v1", "--opponent", "minimax", "--seed", "3")
    status, out, err = ludus(*game, typed="quit\n")
    assert (status, err) == (0, "")
    assert "you are player_0 against minimax, seed 3" in out
    status, out, _ = ludus(*game, "--seat", "player_1", typed="")
    assert status == 0
    assert "you are player_1" in out


def test_the_end_of_a_game_is_told_once(ludus: Ludus) -> None:
    sums = ("play", "ludus/PythonMath-v1", "--env-args", '{"digits": 1}', "--seed", "0")
    status, out, _ = ludus(*sums, typed="7\n")
    assert status == 0
    assert out.splitlines()[-1] == "Not solved: answered. Returns: player_0 +0"
    registry.register("toys/Dice-v1", toys.Dice)
    status, out, _ = ludus("play", "toys/Dice-v1", "--seed", "0", typed="stop\n")
    assert out.splitlines()[-1] == "Draw. Returns: player_0 +0"


def test_tasks_are_solved_by_split(ludus: Ludus, tmp_path: Path) -> None:
    out = tmp_path / "run"
    status, said, err = ludus(
        "train", "grpo", "--env", "ludus/GuessNumber-v1", *TINY, "--group-size", "2",
        "--out", str(out),
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert "solved 0.0%" in said
    assert "of 2 tasks of test" in said
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"eval/success", "eval/return", "eval/turns", "rollout/success"} <= last.keys()
    (row,) = json.loads((out / "result.json").read_text())["tasks"]
    assert (row["split"], row["episodes"]) == ("test", 2)
    assert "Held-out tasks" in (out / "report.html").read_text()
    args = ("eval", "--policy", str(out), "--episodes", "4")
    status, said, _ = ludus(*args, "--split", "valid")
    assert status == 0
    assert "solved" in said
    record = json.loads((out / "eval-ludus-GuessNumber-v1-valid.json").read_text())
    assert record["split"] == record["results"][0]["split"] == "valid"
    status, _, err = ludus(*args, "--split", "nosuch")
    assert (status, err.count("\n")) == (2, 1)
    assert "unknown split 'nosuch', allowed: train, valid, test" in err
