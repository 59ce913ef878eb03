"""Checkpoints: everything a run needs to go on as if it had never stopped.

A checkpoint is a folder. It is written beside its final name, its files are synced to disk, a
manifest with their sizes and hashes is written last, and one rename makes it visible. So whatever
moment a process is killed at, what can be seen is whole.

    checkpoints/step-000050/
        manifest.json   step, config, hashes of the files below
        model/          the policy in Transformers' own format, with its tokenizer
        trainer.pt      optimizer, magnet, credit, random states
"""

import errno
import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from ludus.trainer.quiet import quiet

FORMAT = 1
KEEP = 2
"""Older checkpoints than the last two are removed."""


class CheckpointError(ValueError):
    """A folder is no checkpoint, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was found whole."""

    path: Path
    step: int
    manifest: Mapping[str, Any]

    @property
    def model_path(self) -> Path:
        """Folder of the policy, for `from_pretrained`."""
        return self.path / "model"

    def load_trainer(self) -> dict[str, Any]:
        """What `save` was given as trainer state."""
        state: dict[str, Any] = torch.load(
            self.path / "trainer.pt", map_location="cpu", weights_only=False
        )
        return state


def random_state() -> dict[str, Any]:
    """The process-wide random states. Ludus draws from none of them; a user's plug-in may."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put them back."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])


def save(
    folder: Path,
    step: int,
    model: Any,
    tokenizer: Any,
    trainer: Mapping[str, Any],
    manifest: Mapping[str, Any],
) -> Path:
    """Write a checkpoint and remove those that are too old.

    Args:
        folder: The run's `checkpoints` folder.
        step: Steps done so far.
        model: A Transformers model.
        tokenizer: Its tokenizer.
        trainer: Any picklable state.
        manifest: JSON; what a reader wants to know without loading anything.

    Returns:
        Where it is.

    Raises:
        OSError: If it cannot be written; what was written of it is removed with the next one.
    """
    final = folder / f"step-{step:06d}"
    part = folder / f".part-step-{step:06d}"
    for leftover in folder.glob(".part-*"):
        shutil.rmtree(leftover)
    part.mkdir(parents=True)
    with _disk(folder):
        with quiet():
            model.save_pretrained(part / "model")
            tokenizer.save_pretrained(part / "model")
        torch.save(dict(trainer), part / "trainer.pt")
    files = sorted(path for path in part.rglob("*") if path.is_file())
    record = {
        "format": FORMAT,
        "step": step,
        **manifest,
        "files": {str(path.relative_to(part)): _digest(path) for path in files},
    }
    (part / "manifest.json").write_text(json.dumps(record, indent=1) + "\n")
    for path in (*files, part / "manifest.json", part / "model", part):
        _sync(path)
    if final.exists():  # the same step again, after a resume: replaced by renames, never half there
        final.rename(folder / f".part-old-{step:06d}")
    part.rename(final)
    _sync(folder)
    for old in (*sorted(folder.glob("step-*"))[:-KEEP], *folder.glob(".part-*")):
        shutil.rmtree(old)
    return final


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Torch and safetensors call a full disk by other names."""
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        if shutil.disk_usage(folder).free >= 2**20:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error


def find(path: Path) -> Checkpoint:
    """The newest whole checkpoint of a run, or the checkpoint that a folder is.

    Raises:
        CheckpointError: If there is none; the message says what is wrong with the newest.
    """
    if not path.is_dir():
        raise CheckpointError(f"no such folder: {path}")
    if (path / "manifest.json").exists():
        return _check(path)
    candidates = sorted((path / "checkpoints").glob("step-*"), reverse=True)
    if not candidates:
        raise CheckpointError(f"{path} is no run and no checkpoint: it has no checkpoints/step-*")
    problems = []
    for candidate in candidates:
        try:
            return _check(candidate)
        except CheckpointError as error:
            problems.append(str(error))
    raise CheckpointError(problems[0])


def _check(path: Path) -> Checkpoint:
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        version, files, step = manifest["format"], manifest["files"], manifest["step"]
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(
            f"{path} is no whole checkpoint: its manifest.json cannot be read"
        ) from None
    if version != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {version}, this version reads {FORMAT}"
        )
    for name, digest in files.items():
        file = path / name
        if not file.is_file() or _digest(file) != digest:
            raise CheckpointError(f"{path} is cut short: {name} is missing or not what was saved")
    return Checkpoint(path, step, manifest)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"{path.stat().st_size}:{hashlib.file_digest(file, 'sha256').hexdigest()[:32]}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
