"""What the scripts here share: run a grid, remember it, summarise it, draw it.

A claim is a few arms (configs that differ in the method) trained from the same warm start with the
same budget. Every arm tries the same learning rates on the first seeds; the one with the best mean
score is then run on all seeds. What a run gave is kept in `runs/claims`, one file a run, so that a
stopped grid goes on where it was; the figures that tables and plots are made of are in
`docs/results/claims/NAME.json`.

Aggregates are those of Agarwal et al., "Deep RL at the edge of the statistical precipice"
(arXiv:2108.13264): the interquartile mean, and percentile intervals of a bootstrap stratified by
task. Written with scipy: `rliable` 1.2 needs `arch` below 8, which cannot be imported beside
pandas 3; the tests compare with what it gave elsewhere.
"""

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from scipy.stats import trim_mean

from ludus.trainer.config import TrainConfig
from ludus.trainer.credit import Credit, Credited
from ludus.trainer.train import Trainer
from ludus.trainer.trajectory import Episode

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "runs" / "claims"
RESULTS = ROOT / "docs" / "results"
COLOURS = ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#525252", "#0891b2")
NEVER = 10**6

T = TypeVar("T")
Array = np.ndarray[Any, np.dtype[np.float64]]


# ---- statistics --------------------------------------------------------------------------------


def iqm(scores: Array | Sequence[float]) -> float:
    """Mean of the middle half; with 5 numbers, of the middle 3.

    >>> iqm([0.0, 1.0, 2.0, 3.0, 100.0])
    2.0
    """
    return float(trim_mean(np.asarray(scores, float), 0.25, axis=None))


def interval(
    scores: Array | Sequence[float], *, confidence: float = 0.95, draws: int = 5000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the interquartile mean.

    Args:
        scores: (runs,) or (runs, tasks); runs are drawn anew within each task.
        confidence: Of the interval.
        draws: How many resamples.
        seed: Of them.
    """
    table = np.asarray(scores, float)
    table = table[:, None] if table.ndim == 1 else table
    low, high = np.percentile(
        _resampled(table, draws, seed), [50 * (1 - confidence), 50 * (1 + confidence)]
    )
    return float(low), float(high)


def difference(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Interquartile mean of ours minus that of theirs, and its 95 % bootstrap interval."""
    a, b = np.asarray(ours, float)[:, None], np.asarray(theirs, float)[:, None]
    drawn = _resampled(a, 5000, 0) - _resampled(b, 5000, 1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return iqm(a) - iqm(b), float(low), float(high)


def _resampled(table: Array, draws: int, seed: int) -> Array:
    """(draws,) interquartile means of resampled (runs, tasks)."""
    runs, tasks = table.shape
    rows = np.random.default_rng(seed).integers(runs, size=(draws, runs, tasks))
    drawn = table[rows, np.arange(tasks)]
    return np.asarray(trim_mean(drawn.reshape(draws, -1), 0.25, axis=1), float)


# ---- runs --------------------------------------------------------------------------------------


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
    """Metric -> value a step."""

    def late(self, name: str, part: float = 0.25) -> float:
        """Mean of a metric over the last part of the run."""
        values = self.curves[name]
        return float(np.mean(values[-max(1, round(part * len(values))) :]))


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
    arm: str, config: TrainConfig, watch: Sequence[str], start: TrainConfig | None = None
) -> Run:
    """Train and keep the curves of the metrics in `watch`; or what an earlier call kept.

    A metric that a step does not have is 0. Metrics of evaluations are repeated until the next one;
    `eval_every` says how far that is.
    The run begins with the warm start of `start`, by default that of its own config with seed 0:
    one model for all seeds, which then decide tasks, chance and sampling.
    """
    start = start or replace(config, seed=0)
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
        round(seconds, 1), curves,
    )  # fmt: skip
    _write(path, asdict(run))
    return run


class _Observed:
    """Credit; with it, the share of groups that it gives nothing to learn from, and how many
    replies before the last of their episode were sampled, each once however many branches share it:
    in tasks with tools, the calls that were made."""

    def __init__(self, credit: Credit) -> None:
        self.credit = credit

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


def study(
    arms: Mapping[str, TrainConfig],
    *,
    seeds: int,
    lrs: Sequence[float],
    tune_seeds: int,
    watch: Sequence[str],
    score: Callable[[Run], float],
    starts: Callable[[int], TrainConfig] | None = None,
    tune: Sequence[str] = (),
) -> list[Run]:
    """Tune each arm's learning rate on the first seeds, then run all seeds at the best one.

    Args:
        arms: Configs; their `seed` and `lr` are replaced.
        seeds: How many, from 0.
        lrs: The grid, the same for all arms.
        tune_seeds: How many seeds choose.
        watch: Metrics to keep.
        score: Larger is better.
        starts: Seed -> whose warm start it begins with, see `train`.
        tune: The arms that are tuned, by default all; the others take the rate of the first.

    Returns:
        All runs, those of the rates that were not chosen included.
    """
    runs: list[Run] = []

    def go(arm: str, lr: float, seed: int) -> Run:
        config = replace(arms[arm], lr=lr, lr_end=lr, seed=seed)
        run = train(arm, config, watch, starts(seed) if starts else None)
        run = replace(run, arm=arm)  # equal configs of two studies share one file
        print(f"{arm:24} lr {lr:g} seed {seed}: {score(run):8.4f}  {run.seconds:.0f} s", flush=True)
        runs.append(run)
        return run

    tuned: dict[str, list[Run]] = {arm: [] for arm in tune or arms}
    for seed in range(min(tune_seeds, seeds) if len(lrs) > 1 else 0):
        for arm, tried in tuned.items():
            tried += [go(arm, lr, seed) for lr in lrs]

    def rate(arm: str) -> float:
        tried = tuned.get(arm, tuned[next(iter(arms))])
        totals = {lr: sum(score(run) for run in tried if run.lr == lr) for lr in lrs}
        return max(totals, key=totals.__getitem__)

    best = {arm: rate(arm) for arm in arms}
    done = {(run.arm, run.lr, run.seed) for run in runs}
    for seed in range(seeds):
        for arm in arms:
            if (arm, best[arm], seed) not in done:
                go(arm, best[arm], seed)
    return runs


def chosen(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each arm at the learning rate that was run on the most seeds."""
    out: dict[str, list[Run]] = {}
    for arm in dict.fromkeys(run.arm for run in runs):
        own = [run for run in runs if run.arm == arm]
        rates = [run.lr for run in own]
        best = max(dict.fromkeys(rates), key=rates.count)
        out[arm] = [run for run in own if run.lr == best]
    return out


# ---- reports -----------------------------------------------------------------------------------


def figure(values: Sequence[float], digits: int = 3) -> str:
    """ "IQM [low, high]"."""
    low, high = interval(values)
    digits = 0 if iqm(values) >= 100 else digits
    return f"{iqm(values):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def table(
    runs: Sequence[Run], columns: Mapping[str, Callable[[Run], float]], *, against: str = ""
) -> str:
    """Markdown: a row an arm; with `against`, the first column's difference to that arm."""
    by_arm = chosen(runs)
    first = next(iter(columns.values()))
    heads = ["arm", "lr", "seeds", *columns, *([f"difference to {against}"] if against else [])]
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for arm, own in by_arm.items():
        cells = [arm, f"{own[0].lr:g}", str(len(own))]
        cells += [figure([value(run) for run in own]) for value in columns.values()]
        if against and arm != against:
            d, low, high = difference([first(r) for r in own], [first(r) for r in by_arm[against]])
            cells.append(f"{d:+.3f} [{low:+.3f}, {high:+.3f}]")
        elif against:
            cells.append("")
        rows.append("| " + " | ".join(cells) + " |")
    one = next(iter(by_arm.values()))[0]
    spent = sum(run.seconds for run in runs)
    rows += [
        "",
        f"Interquartile means over seeds with 95 % bootstrap intervals; {one.steps} steps and "
        f"{one.episodes:,} episodes a run; {len(runs)} runs, tuning included, took "
        f"{spent / 60:.1f} minutes of processor time, one thread each.",
    ]
    return "\n".join(rows)


def picture(
    runs: Sequence[Run], metric: str, label: str, *, smooth: int = 1, low: float | None = None
) -> str:
    """SVG: interquartile mean over steps and its interval, a line an arm."""
    width, height, left, top, right = 760, 360, 56, 16, 190
    lines: dict[str, tuple[Array, Array, Array]] = {}
    for arm, own in chosen(runs).items():
        table_ST = np.array([run.curves[metric] for run in own])
        kernel = np.ones(smooth) / smooth
        table_ST = np.array([np.convolve(row, kernel, "valid") for row in table_ST])
        bounds = np.array([interval(column, draws=1000) for column in table_ST.T])
        middle = np.array([iqm(column) for column in table_ST.T])
        lines[arm] = (middle, bounds[:, 0], bounds[:, 1])
    bottom = min(float(line[1].min()) for line in lines.values()) if low is None else low
    peak = max(float(line[2].max()) for line in lines.values())
    peak = peak if peak > bottom else bottom + 1
    steps = max(len(line[0]) for line in lines.values())

    def x(step: int) -> float:
        return left + (width - left - right) * step / max(steps - 1, 1)

    def y(value: float) -> float:
        return top + (height - top - 40) * (peak - value) / (peak - bottom)

    def path(values: Sequence[float], order: Sequence[int]) -> str:
        return " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in zip(order, values, strict=True))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#555">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for k in range(5):
        value = bottom + (peak - bottom) * k / 4
        parts.append(
            f'<line x1="{left}" x2="{width - right}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'stroke="#e5e5e5"/><text x="{left - 6}" y="{y(value) + 4:.1f}" '
            f'text-anchor="end">{value:.2g}</text>'
        )
    for i, (arm, (middle, lows, highs)) in enumerate(lines.items()):
        forth, colour = list(range(len(middle))), COLOURS[i % len(COLOURS)]
        band = f"{path(highs.tolist(), forth)} {path(lows.tolist()[::-1], forth[::-1])}"
        parts += [
            f'<polygon points="{band}" fill="{colour}" opacity="0.12"/>',
            f'<polyline points="{path(middle.tolist(), forth)}" fill="none" stroke="{colour}" '
            'stroke-width="1.8" stroke-linejoin="round"/>',
            f'<text x="{width - right + 12}" y="{top + 14 + 18 * i}" fill="{colour}">{arm}</text>',
        ]
    parts += [
        f'<text x="{left}" y="{height - 10}">{label}; steps 1 to {steps + smooth - 1}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def publish(
    name: str,
    runs: Sequence[Run],
    text: str,
    pictures: Mapping[str, str],
    *,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the figures, the plots, and the table into its place in `docs/results/claims.md`."""
    folder = RESULTS / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps(asdict(run)) for run in runs]
    body = '{"extra": ' + json.dumps(extra or {}) + ',\n"runs": [\n' + ",\n".join(rows) + "\n]}\n"
    (folder / f"{name}.json").write_text(body)
    for title, svg in pictures.items():
        (folder / f"{title}.svg").write_text(svg)
    page = RESULTS / "claims.md"
    begin, end = f"<!-- {name}: made by benchmarks/claims/{name}.py -->", f"<!-- end of {name} -->"
    before, found, rest = page.read_text().partition(begin)
    if not found or end not in rest:
        raise ValueError(f"{page} has no place for {name}: it is between {begin!r} and {end!r}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")


def published(name: str) -> tuple[list[Run], dict[str, Any]]:
    """The runs and what else `publish` wrote."""
    record = json.loads((RESULTS / "claims" / f"{name}.json").read_text())
    return [Run(**run) for run in record["runs"]], record["extra"]


def options(doc: str | None, args: Sequence[str] | None) -> argparse.Namespace:
    """The command line of every script here."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tune-seeds", type=int, default=1, help="seeds that choose the rate")
    parser.add_argument("--steps", type=int, default=0, help="steps a run, if not the claim's own")
    parser.add_argument(
        "--publish", action="store_true", help="write docs/results/claims.md, its figures and plots"
    )
    parser.add_argument(
        "--report", action="store_true", help="train nothing: tables and plots of what is published"
    )
    return parser.parse_args(args)
