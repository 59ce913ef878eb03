"""What a run logs: one JSON line a step, and TensorBoard events."""

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ludus.trainer.trajectory import Episode, Stop, TokenNode, usable

TURNS = 8
"""So many have curves of their own; where episodes are long, few reach much further alike."""


def rollout_metrics(episodes: Sequence[Episode], seconds: float) -> dict[str, float]:
    """Figures of one rollout.

    Args:
        episodes: All of it, broken episodes included.
        seconds: How long it took.

    Returns:
        Returns per role (the policy's, not an opponent's in that seat) and lengths, entropy (nats a
        sampled token), rates of bad replies, truncations and errors, sampled tokens per second, and
        the longest run of one token in a reply (collapse to "!!!!" shows there first); of the first
        turns, one by one, entropy and mean length; of tasks for one seat, the share solved, without
        a hint.
    """
    good = usable(episodes)
    trajectories = [t for e in good for t in e.trajectories]
    # Branches share replies: each was sampled once.
    actions = list({id(n): n for t in trajectories for n in t.leaf.path() if n.is_action}.values())
    turns = [turn for t in trajectories for turn in t.turns]
    tokens = sum(len(node.ids) for node in actions)
    metrics = {
        "rollout/tokens": float(tokens),
        "rollout/tokens_per_s": tokens / max(seconds, 1e-9),
        "rollout/entropy": sum(sum(n.entropies) for n in actions) / max(tokens, 1),
        "rollout/longest_repeat": float(
            max((sum(1 for _ in run) for n in actions for _, run in groupby(n.ids)), default=0)
        ),
        "rollout/replies": float(len(actions)),
        "rollout/turns_mean": len(turns) / max(len(trajectories), 1),
        "rollout/invalid_rate": sum(bool(t.invalid) for t in turns) / max(len(turns), 1),
        "rollout/errors": float(len(episodes) - len(good)),
    }
    by_turn: dict[int, list[TokenNode]] = {}
    for node in actions:
        by_turn.setdefault(node.turn, []).append(node)
    for turn in range(min(len(by_turn), TURNS) if len(by_turn) > 1 else 0):
        sampled = sum(len(node.ids) for node in by_turn[turn])
        metrics[f"turn/{turn}/entropy"] = sum(sum(n.entropies) for n in by_turn[turn]) / sampled
        metrics[f"turn/{turn}/tokens"] = sampled / len(by_turn[turn])
    for stop in Stop:
        metrics[f"stop/{stop}"] = sum(e.stop is stop for e in episodes) / max(len(episodes), 1)
    judged = [e.success and not e.hinted for e in good if e.success is not None]
    if judged and all(len(e.returns) == 1 for e in good):
        metrics["rollout/success"] = sum(judged) / len(good)
    metrics |= {f"env/{name}": value for name, value in env_metrics(good).items()}
    games: dict[str, list[Episode]] = {}
    for episode in good:
        games.setdefault(episode.env_id, []).append(episode)
    for env_id, own in games.items():
        where = f"{env_id.partition('/')[2]}/" if len(games) > 1 else ""
        for role in own[0].returns:
            if got := [e.own_returns[role] for e in own if role in e.own_returns]:
                metrics[f"return/{where}{role}"] = sum(got) / len(got)
    return metrics


def env_metrics(episodes: Sequence[Episode]) -> dict[str, float]:
    """What the environment measured, such as the calls of tools: means over the episodes that have
    a number of that name."""
    found: dict[str, list[float]] = {}
    for episode in episodes:
        for name, value in episode.metrics.items():
            found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


class MetricsLog:
    """Appends to `metrics.jsonl` and to TensorBoard events under `tensorboard/`.

    Args:
        folder: Of the run.
        step: Lines after this step are from a part of the run that is done again: removed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / "metrics.jsonl"
        kept = [line for line in read_metrics(folder) if line["step"] <= step]
        if step == 0:
            kept = []
        part = self.path.with_suffix(".part")
        part.write_text("".join(json.dumps(line) + "\n" for line in kept))
        part.rename(self.path)
        self._file = self.path.open("a")
        self._writer = SummaryWriter(
            str(folder / "tensorboard"), purge_step=step + 1 if step else None
        )

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line; on disk when this returns."""
        rounded = {name: float(f"{value:.6g}") for name, value in sorted(metrics.items())}
        self._file.write(json.dumps({"step": step, **rounded}) + "\n")
        self._file.flush()
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close both."""
        self._file.close()
        self._writer.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics; a last line that was cut short is left out."""
    path = folder / "metrics.jsonl"
    lines = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def provenance() -> dict[str, Any]:
    """What made a result: versions of what computes, and the git revision where there is one."""
    packages = ("ludus", "torch", "transformers", "trl", "gymnasium")
    return {
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "revision": _revision(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _revision() -> str | None:
    command = ["git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "--short", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git here
        return None
    return found.stdout.strip() or None
