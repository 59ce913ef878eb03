"""What a run left in its folder, read with patience: any file may be missing or cut short."""

import json
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from ludus.trainer.metrics import read_metrics


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of a run, as far as they can be read."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    """What `run.json` says beside the config: versions, revision."""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    """Empty while the run has not ended."""
    games: list[dict[str, Any]] = field(default_factory=list)
    unread: tuple[str, ...] = ()
    """Files that are there but are not what they should be."""

    @property
    def env(self) -> str:
        """Id of the environment; "" if no file says."""
        return str(self.result.get("env") or self.config.get("env") or "")

    @property
    def seats(self) -> list[str]:
        """Names of the seats, in the order in which they get their colours."""
        found = {str(seat): None for game in self.games for seat in game.get("seats", ())}
        for name in sorted({name for row in self.metrics for name in row}):
            if name.startswith("return/"):
                found.setdefault(name.removeprefix("return/"))
        for row in self.result.get("opponents") or ():
            found.setdefault(str(row.get("seat")))
        return list(found)

    def values(self, name: str) -> list[float]:
        """The finite values of a metric, in order."""
        given = (row.get(name) for row in self.metrics)
        return [float(v) for v in given if isinstance(v, int | float) and isfinite(v)]

    def last(self, name: str) -> float | None:
        """The latest of them."""
        values = self.values(name)
        return values[-1] if values else None


def read_run(folder: Path) -> RunFiles:
    """Read a run's folder."""
    unread: list[str] = []
    config = _read(folder / "run.json", dict, unread)
    return RunFiles(
        name=folder.resolve().name,
        config=config.get("config") or {},
        provenance={name: value for name, value in config.items() if name != "config"},
        metrics=sorted(
            (row for row in read_metrics(folder) if isinstance(row, dict) and "step" in row),
            key=lambda row: float(row["step"]),
        ),
        result=_read(folder / "result.json", dict, unread),
        games=[game for game in _read(folder / "games.json", list, unread) if game],
        unread=tuple(unread),
    )


def _read(path: Path, kind: type, unread: list[str]) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return kind()
    except ValueError:  # cut short, or not text
        found = None
    if isinstance(found, kind):
        return found
    unread.append(path.name)
    return kind()
