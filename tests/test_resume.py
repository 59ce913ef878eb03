"""A run that is killed and resumed ends with the bytes of one that never was."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ludus import cli
from ludus.trainer import checkpoint
from ludus.trainer.config import TrainConfig
from ludus.trainer.train import Trainer

BASE = TrainConfig(
    env="ludus/KuhnPoker-v1",
    model="small:hidden=32,layers=1,heads=2,kv_heads=1",
    steps=12,
    episodes=16,
    epochs=2,
    checkpoint_every=3,
    eval_every=4,
    eval_episodes=2,
    warmstart_episodes=16,
    warmstart_steps=8,
    kl=0.1,
    entropy=0.01,
    magnet_every=5,
    lr=3e-3,
    parity_tolerance=1e-3,
    threads=1,
)


def at(folder: Path) -> TrainConfig:
    return dataclasses.replace(BASE, out=str(folder))


def options(config: TrainConfig) -> list[str]:
    """The command line that says what a config says."""
    told = []
    for name, value in config.to_json().items():
        told += [
            f"--{name.replace('_', '-')}",
            *map(str, value if isinstance(value, list) else [value]),
        ]
    return told


@pytest.fixture(scope="module", autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert Trainer(at(out)).run()
    return out


def weights(run: Path) -> bytes:
    (newest,) = sorted((run / "checkpoints").glob("step-*"))[-1:]
    assert newest.name == f"step-{BASE.steps:06d}"
    return (newest / "model" / "model.safetensors").read_bytes()


def metrics(run: Path) -> list[dict[str, Any]]:
    """Without what depends on the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if not k.startswith("time") and not k.endswith("_per_s")}
        for line in lines
    ]


def result(run: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((run / "result.json").read_text())
    return {name: value for name, value in record.items() if name != "time_s"}


def state(run: Path) -> dict[str, Any]:
    """Of the trainer at the end, apart from tensors, which decide the weights."""
    found = checkpoint.find(run).load_trainer()
    return {name: found[name] for name in ("credit", "version", "episodes_done")}


def assert_same(run: Path, other: Path) -> None:
    assert weights(run) == weights(other)
    assert state(run) == state(other)
    assert metrics(run) == metrics(other)
    assert result(run) == result(other)
    assert (run / "games.json").read_text() == (other / "games.json").read_text()


def test_a_run_leaves_what_it_should(whole: Path) -> None:
    assert {"run.json", "metrics.jsonl", "result.json", "games.json", "report.html"} <= {
        path.name for path in whole.iterdir()
    }
    lines = metrics(whole)
    assert [line["step"] for line in lines] == list(range(BASE.steps + 1))
    assert [line["step"] for line in lines if "eval/exploitability" in line] == [0, 4, 8, 12]
    assert lines[-1]["episodes"] == BASE.steps * BASE.episodes
    assert max(line.get("parity/max", 0.0) for line in lines) < 1e-4
    assert any(line.get("loss/clip_frac", 0) > 0 for line in lines)  # something was learned
    assert {path.name for path in (whole / "checkpoints").iterdir()} == {
        "step-000009", "step-000012",
    }  # fmt: skip


def test_same_config_same_bytes(whole: Path, tmp_path: Path) -> None:
    assert Trainer(at(tmp_path / "again")).run()
    assert_same(tmp_path / "again", whole)


def in_child(act: Callable[[], object], said: Path | None = None) -> int:
    """Do it in a child process, which writes what it says to a file; its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        if said is not None:
            file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.stdout = sys.stderr = os.fdopen(file, "w", buffering=1)
        act()
        status = 0
    finally:
        os._exit(status)


def exit_code(child: int) -> int:
    """Of a child, when it has ended; minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wait_for(path: Path, running: Callable[[], bool] = lambda: True) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert running()
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_any_moment(whole: Path, tmp_path: Path, seed: int) -> None:
    rng, config = random.Random(seed), at(tmp_path / "run")

    def go_on() -> None:
        Trainer(config, resume=True).run()

    for _ in range(5):
        child = in_child(go_on)
        time.sleep(rng.uniform(0.02, 1.0))
        os.kill(child, signal.SIGKILL)
        if exit_code(child) == 0:
            break
    assert exit_code(in_child(go_on)) == 0
    assert_same(tmp_path / "run", whole)


def test_killed_and_resumed_from_the_command_line(whole: Path, tmp_path: Path) -> None:
    run, said = tmp_path / "run", tmp_path / "said"
    arguments = ["train", "spiral", *options(at(run)), "--resume"]
    first = subprocess.Popen(
        [sys.executable, "-m", "ludus.cli", *arguments], stdout=subprocess.DEVNULL
    )
    wait_for(run / "checkpoints" / "step-000003", lambda: first.poll() is None)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    assert exit_code(in_child(lambda: cli.run(arguments), said)) == 0
    lines = said.read_text().splitlines()
    assert lines[0].startswith("resumed from")
    assert all(line.startswith(("resumed", "step", "exploitability", "report")) for line in lines)
    assert_same(run, whole)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_stopped_politely(whole: Path, tmp_path: Path, stop: signal.Signals) -> None:
    run, said = tmp_path / "run", tmp_path / "said"
    child = in_child(lambda: cli.run(["train", "spiral", *options(at(run))]), said)
    wait_for(run / "checkpoints" / "step-000000")
    os.kill(child, stop)
    assert exit_code(child) == 0
    lines = said.read_text().splitlines()
    assert "stopping after this step; again to stop at once" in lines
    assert lines[-1].startswith("stopped at step ")
    assert lines[-1].endswith(f"; ludus train --resume --out {run} goes on from there")
    assert (run / "report.html").exists()
    again = ["train", "--resume", "--out", str(run)]
    assert exit_code(in_child(lambda: cli.run(again), said)) == 0
    assert_same(run, whole)


# ---- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [("lr", 1e-4), ("episodes", 32), ("seed", 1), ("forfeit", (-1.0, 1.0)), ("opponent", "random")],
)
def test_another_config_is_refused(whole: Path, field: str, value: Any) -> None:
    before = sorted(whole.rglob("*"))
    with pytest.raises(ValueError, match=f"was started with {field}=") as told:
        Trainer(dataclasses.replace(at(whole), **{field: value}), resume=True)
    assert "\n" not in str(told.value)
    assert sorted(whole.rglob("*")) == before


def test_a_run_is_not_overwritten(whole: Path) -> None:
    with pytest.raises(ValueError, match="already holds a run: --resume"):
        Trainer(at(whole))


def test_a_finished_run_stays_as_it_is(whole: Path, tmp_path: Path) -> None:
    before = (weights(whole), metrics(whole), result(whole))
    assert Trainer(at(whole), resume=True).run()
    assert (weights(whole), metrics(whole), result(whole)) == before


def test_another_folder_goes_on(whole: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    os.rename(whole, moved / "run")
    try:
        assert Trainer(at(moved / "run"), resume=True).run()
    finally:
        os.rename(moved / "run", whole)


def test_products_do_not_depend_on_where_matrices_begin() -> None:
    # Where an allocator puts things is nobody's decision: equal runs would differ by it.
    a, b = torch.randn(2, 64), torch.randn(350, 64)

    def put(matrix: torch.Tensor, offset: int) -> torch.Tensor:
        room = torch.empty(matrix.numel() + 16)[offset : offset + matrix.numel()]
        return room.view(matrix.shape).copy_(matrix)

    found = {(put(a, i) @ put(b, j).T).numpy().tobytes() for i in range(16) for j in range(16)}
    assert len(found) == 1
