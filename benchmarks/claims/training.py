"""Runs: train what a config says, once; what it gave is kept in `runs/claims`, one file a run."""

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from ludus.trainer.config import TrainConfig
from ludus.trainer.credit import Credit, Credited
from ludus.trainer.evaluate import solve
from ludus.trainer.train import Trainer
from ludus.trainer.trajectory import Episode

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "runs" / "claims"
"""Where runs and warm starts are kept."""
NEVER = 10**6
"""`eval_every` of a run that is not evaluated."""
POINTS = 20
"""Of a curve that is published."""

T = TypeVar("T")


def keep_in(folder: Path) -> None:
    """Keep runs and warm starts elsewhere."""
    global CACHE
    CACHE = folder


@dataclass(frozen=True)
class Run:
    """One training run, as it is kept."""

    arm: str
    lr: float
    seed: int
    steps: int
    episodes: int
    tokens: int
    """Sampled ones."""
    seconds: float
    """Of processor time, so that it does not depend on what else the machine does."""
    curves: dict[str, list[float]]
    """Metric -> value a step; where published, means over blocks of steps."""
    solved: dict[str, float] = field(default_factory=dict)
    """Split -> share of episodes that the trained policy solves, where that was asked for."""
    tuning: bool = False
    """Whether it only chose a learning rate: then it is in no table."""
    score: float = 0.0
    """What rates are chosen by."""
    figures: dict[str, float] = field(default_factory=dict)
    """What the tables show, by the heads of their columns."""

    def late(self, name: str, part: float = 0.25) -> float:
        """Mean of a metric over the last part of the run."""
        values = self.curves[name]
        return float(np.mean(values[-max(1, round(part * len(values))) :]))

    def thin(self, name: str) -> list[float]:
        """Means of a metric over blocks of steps, `POINTS` of them at most."""
        values = self.curves[name]
        size = -(-len(values) // POINTS)
        blocks = [values[i : i + size] for i in range(0, len(values), size)]
        return [float(f"{np.mean(block):.4g}") for block in blocks]


def key_of(config: TrainConfig) -> str:
    """Short hash of what a config sets, the place of its output aside."""
    default = TrainConfig()
    given = {
        f.name: getattr(config, f.name)
        for f in fields(TrainConfig)
        if f.name not in ("out", "needs") and getattr(config, f.name) != getattr(default, f.name)
    }
    return hashlib.blake2b(json.dumps(given, sort_keys=True).encode(), digest_size=6).hexdigest()


def trainer_of(config: TrainConfig) -> Trainer:
    """A trainer whose files nobody needs."""
    with tempfile.TemporaryDirectory() as out:
        return Trainer(replace(config, out=f"{out}/run"), say=print)


def remembered(measure: Callable[[TrainConfig], T], config: TrainConfig) -> T:
    """What a function of a config gives, JSON types, or gave before."""
    path = CACHE / f"{measure.__name__}-{key_of(config)}.json"
    if not path.exists():
        _write(path, measure(config))
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def _write(path: Path, record: Any) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record))
    part.rename(path)


def warm_started(config: TrainConfig) -> str:
    """A model that is warm started once as a config says, and kept: its folder."""
    start = replace(
        TrainConfig(),
        **{
            name: getattr(config, name)
            for name in (
                "env", "env_args", "model", "seed", "format", "on_invalid", "max_reply_tokens",
                "warmstart_agent", "warmstart_episodes", "warmstart_steps", "warmstart_lr",
                "warmstart_on",
            )
        },
    )  # fmt: skip
    folder = CACHE / "starts" / key_of(start)
    if not folder.exists():
        trainer = trainer_of(start)
        part = folder.with_suffix(".part")
        trainer.model.save_pretrained(part)
        trainer.tokenizer.save_pretrained(part)
        part.rename(folder)
    return str(folder)


def train(
    arm: str, config: TrainConfig, start: TrainConfig, watch: Sequence[str], judge: Sequence[str]
) -> Run:
    """Train and keep what came of it; or what an earlier call kept.

    Args:
        arm: Its name.
        config: Of the run. `eval_every` says how far evaluations are apart.
        start: The run begins with the warm start that this one says.
        watch: Metrics whose curves are kept. One that a step does not have is 0; those of
            evaluations are repeated until the next one.
        judge: Splits whose tasks are tried at the end, `eval_episodes` each.
    """
    path = CACHE / f"{key_of(config)}-{key_of(start)[:4]}.json"
    if path.exists():
        return Run(**json.loads(path.read_text()))
    torch.set_num_threads(1)
    begun = replace(config, model=warm_started(start), warmstart_steps=0)
    started = time.process_time()
    trainer = trainer_of(begun)
    trainer.credit = _Observed(trainer.credit)  # type: ignore[assignment]
    watches_play = config.eval_every < NEVER
    judged: dict[str, float] = trainer.evaluate() if watches_play else {}
    curves: dict[str, list[float]] = {name: [] for name in watch}
    tokens = 0.0
    for _ in range(config.steps):
        step = trainer.train_step()
        trainer.step += 1
        if watches_play and trainer.step % config.eval_every == 0:
            judged = trainer.evaluate()
        tokens += step["rollout/tokens"]
        now = {**judged, **step}
        for name in watch:
            curves[name].append(float(f"{now.get(name, 0.0):.5g}"))
    seconds = time.process_time() - started
    run = Run(
        arm, config.lr, config.seed, config.steps, trainer.episodes_done, int(tokens),
        round(seconds, 1), curves, {split: solved(trainer, split) for split in judge},
    )  # fmt: skip
    _write(path, asdict(run))
    return run


def solved(trainer: Trainer, split: str) -> float:
    """The share of a split's episodes that a policy solves."""
    (arena,) = trainer.arenas
    episodes, seed = trainer.config.eval_episodes, trainer.config.seed
    where: dict[str, Any] = {"split": split, "env_kwargs": arena.kwargs}
    found = solve(trainer.agent, arena.env_id, episodes=episodes, seed=seed, **where)
    return round(found.success_rate, 4)


class _Observed:
    """Credit; with it, the share of groups that it gives nothing to learn from, and how many
    replies before the last of their episode were sampled, each once however many branches share it:
    in tasks with tools, the calls that were made."""

    def __init__(self, credit: Credit) -> None:
        self.credit, self.needs = credit, credit.needs

    def __call__(self, episodes: Sequence[Episode]) -> Credited:
        credited = self.credit(episodes)
        loudest: dict[tuple[str, str], float] = {}
        for t, row in zip(credited.trajectories, credited.advantages, strict=True):
            key = (t.task_key, t.role)
            loudest[key] = max(loudest.get(key, 0.0), *map(abs, row))
        groups = len({(t.task_key, t.role) for e in episodes for t in e.trajectories})
        heard = sum(peak > 1e-6 for peak in loudest.values())
        credited.metrics["claims/silent"] = 1 - heard / max(groups, 1)
        calls = {
            id(node)
            for e in episodes
            for t in e.trajectories
            for node in t.leaf.path()
            if node.is_action and node.turn < len(t.turns) - 1
        }
        credited.metrics["claims/calls"] = float(len(calls))
        return credited
