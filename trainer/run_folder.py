"""The folder of a run: what lies there already, and what is written first."""

import errno
import json
import os
from pathlib import Path

from ludus.trainer import checkpoint
from ludus.trainer.config import TrainConfig
from ludus.trainer.metrics import provenance


def find_run(config: TrainConfig, *, resume: bool) -> checkpoint.Checkpoint | None:
    """The newest checkpoint to go on from; None where a run begins.

    Raises:
        ValueError: If the folder holds a run that is not to be resumed, or another one.
    """
    out = Path(config.out)
    if not list((out / "checkpoints").glob("step-*")):
        return None  # none was begun, or it was stopped before its first checkpoint
    if not resume:
        raise ValueError(f"{out} already holds a run: --resume goes on with it, or choose --out")
    found = checkpoint.find(out)
    # A field that is newer than the run has its default there.
    saved = {**TrainConfig().to_json(), **found.manifest["config"]}
    for name, value in config.to_json().items():
        if name not in TrainConfig.NO_MATTER and saved[name] != value:
            raise ValueError(
                f"{out} was started with {name}={saved[name]!r}, not {value!r}: "
                "a run is resumed with the config it began with"
            )
    return found


def read_config(out: str) -> TrainConfig:
    """The config that the run in a folder was begun with; the folder may have been moved since.

    Raises:
        ValueError: If there is no run, or its `run.json` cannot be read.
    """
    path = Path(out) / "run.json"
    try:
        record = json.loads(path.read_text())
        return TrainConfig.from_json({**record["config"], "out": out})
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{out} holds no run: there is no {path}") from None
    except KeyError:
        raise ValueError(f"{path} is not what a run writes: it has no config") from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not what a run writes: {error}") from None


def begin_run(config: TrainConfig) -> None:
    """Write `run.json`: the config, and what computes."""
    out = Path(config.out)
    record = {"config": config.to_json(), **provenance()}
    (out / "run.json").write_text(json.dumps(record, indent=1) + "\n")


def hold(config: TrainConfig) -> int:
    """Make the folder, and keep other processes from training in it.

    Returns:
        A file descriptor; the folder is held until it is closed, or the process has ended.

    Raises:
        ValueError: If another process holds it.
    """
    import fcntl  # not at the top: Windows has none

    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out / ".lock", os.O_WRONLY | os.O_CREAT)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        raise ValueError(f"another process is training in {out}: choose another --out") from None
    return descriptor
