"""Checkpoints: whole or not there, whatever moment a process is killed at."""

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ludus.trainer import checkpoint
from ludus.trainer.checkpoint import CheckpointError, find, save


class Files:
    """Stands for a model and a tokenizer: writes files."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def save_pretrained(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for name in self.names:
            (folder / name).write_text(f"{name} " * 50)


MODEL, TOKENIZER = Files("model.safetensors", "config.json"), Files("tokenizer.json")


def write(run: Path, step: int, **trainer: Any) -> Path:
    return save(run / "checkpoints", step, MODEL, TOKENIZER, trainer or {"n": step}, {"config": {}})


def visible(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_what_is_saved_is_found(tmp_path: Path) -> None:
    made = write(tmp_path, 3, x=torch.arange(3), y={"a": (1, 2)})
    assert made.name == "step-000003"
    for name in (tmp_path, made):
        found = find(name)
        assert (found.path, found.step) == (made, 3)
        state = found.load_trainer()
        assert state["x"].tolist() == [0, 1, 2]
        assert state["y"] == {"a": (1, 2)}
        assert (found.model_path / "model.safetensors").is_file()
    record = json.loads((made / "manifest.json").read_text())
    assert set(record["files"]) == {
        "model/config.json", "model/model.safetensors", "model/tokenizer.json", "trainer.pt",
    }  # fmt: skip


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10, 11):
        write(tmp_path, step)
    assert visible(tmp_path) == ["step-000010", "step-000011"]
    assert find(tmp_path).step == 11


def test_the_same_step_again_replaces(tmp_path: Path) -> None:
    write(tmp_path, 4, n=1)
    write(tmp_path, 4, n=2)
    assert visible(tmp_path) == ["step-000004"]
    assert find(tmp_path).load_trainer() == {"n": 2}


def test_leftovers_are_ignored_and_removed(tmp_path: Path) -> None:
    write(tmp_path, 1)
    left = tmp_path / "checkpoints" / ".part-step-000009"
    shutil.copytree(tmp_path / "checkpoints" / "step-000001", left)
    assert find(tmp_path).step == 1
    write(tmp_path, 2)
    assert visible(tmp_path) == ["step-000001", "step-000002"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("spoil", [truncate, flip, Path.unlink])
@pytest.mark.parametrize("name", ["model/model.safetensors", "trainer.pt", "model/tokenizer.json"])
def test_a_spoilt_file_is_told(tmp_path: Path, spoil: Callable[[Path], None], name: str) -> None:
    made = write(tmp_path, 5)
    spoil(made / name)
    for asked in (made, tmp_path):
        with pytest.raises(CheckpointError) as told:
            find(asked)
        assert str(told.value).count("\n") == 0
        assert "cut short" in str(told.value)
        assert name in str(told.value)
    older = write(tmp_path, 4)  # an older one that is whole is gone back to
    assert find(tmp_path).path == older


def spoil_format(made: Path) -> None:
    record = json.loads((made / "manifest.json").read_text())
    (made / "manifest.json").write_text(json.dumps({**record, "format": 99}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda made: os.truncate(made / "manifest.json", 40),
            "whole",
        ),
        (lambda made: (made / "manifest.json").write_text("[]"), "whole"),
        (lambda made: (made / "manifest.json").write_text("{}"), "whole"),
        (lambda made: (made / "manifest.json").unlink(), "no whole checkpoint"),
        (spoil_format, "format 99"),
        (shutil.rmtree, "no run and no checkpoint"),
        (lambda made: shutil.rmtree(made.parents[1]), "no such folder"),
    ],
)
def test_what_is_no_checkpoint(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    run = tmp_path / "run"
    spoil(write(run, 5))
    with pytest.raises(CheckpointError, match=message) as told:
        find(run)
    assert isinstance(told.value, ValueError)
    assert "\n" not in str(told.value)


def test_random_states_go_back() -> None:
    state = checkpoint.random_state()
    try:
        drawn = (random.random(), np.random.rand(), float(torch.rand(())))
        checkpoint.set_random_state(state)
        assert (random.random(), np.random.rand(), float(torch.rand(()))) == drawn
    finally:
        checkpoint.set_random_state(state)


# ---- killed at every call to the file system ------------------------------------------------

CALLS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"}


def killed_at(n: int, act: Callable[[], object]) -> bool:
    """Do it in a child that is killed before its n-th call; whether it came that far."""
    child = os.fork()
    if child == 0:
        count = 0

        def watch(event: str, args: tuple[Any, ...]) -> None:
            nonlocal count
            if event in CALLS:
                count += 1
                if count == n:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(watch)
            act()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize(("before", "step"), [([1, 2], 3), ([3], 6), ([0], 0), ([], 0)])
def test_killed_at_any_call(
    tmp_path: Path, before: list[int], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # slow, and about power cuts only
    write(tmp_path / "warm", 0)  # imports and caches are there before the first child
    n, outcomes = 1, set()
    while True:
        run = tmp_path / str(n)
        for old in before:
            write(run, old)
        killed = killed_at(n, lambda run=run: write(run, step, n="new"))  # type: ignore[misc]
        there = list((run / "checkpoints").glob("step-*")) if run.exists() else []
        if there:
            found = find(run)
            assert found.step in (*before, step)
            outcomes.add((found.step, found.load_trainer()["n"]))
        else:  # nothing there: the run begins anew
            assert step == 0
            outcomes.add((-1, ""))
        write(run, step)  # what a resumed run does next
        write(run, step + 1)
        assert find(run).step == step + 1
        assert not list((run / "checkpoints").glob(".part-*"))
        if not killed:
            break
        n += 1
    assert n > 10
    assert (step, "new") in outcomes
    assert len(outcomes) > 1
