"""A claim: a few arms trained from the same warm start with the same budget, and what is shown.

Every arm tries the same learning rates on the first seeds; the one with the best mean score is then
run on all seeds. Runs are kept, so that a stopped grid goes on where it was; the figures that
tables and plots are made of are in `docs/results/claims/NAME.json`.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from report import publish, published
from runs import Run, train

from ludus.trainer.config import TrainConfig

Extra = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a script here measures, and how it is shown."""

    name: str
    """Of its files, and of its place in `docs/results/claims.md`."""
    arms: Mapping[str, TrainConfig]
    """Configs; their `seed` and `lr` are replaced."""
    lrs: Sequence[float] | Mapping[str, Sequence[float]]
    """The grid, the same for all arms, or by arm."""
    watch: Sequence[str]
    """Metrics to keep."""
    score: Callable[[Run], float]
    """What a learning rate is chosen by; larger is better."""
    report: Callable[[Sequence[Run], Extra], str]
    """Markdown, of the runs and what else was measured."""
    pictures: Callable[[Sequence[Run]], Mapping[str, str]] = lambda runs: {}
    """SVGs by name."""
    starts: Callable[[int], TrainConfig] | None = None
    """Seed -> whose warm start it begins with, see `train`."""
    tune: Sequence[str] = ()
    """The arms that are tuned, by default all; the others take the rate of the first."""
    extra: Callable[[int], Extra] = lambda seeds: {}
    """How many seeds -> what else is measured."""


def study(claim: Claim, *, seeds: int, tune_seeds: int) -> list[Run]:
    """Tune each arm's learning rate on the first seeds, then run all seeds at the best one.

    Args:
        claim: What is run.
        seeds: How many, from 0.
        tune_seeds: How many seeds choose.

    Returns:
        All runs, those of the rates that were not chosen included.
    """
    runs: list[Run] = []

    def go(arm: str, lr: float, seed: int) -> Run:
        config = replace(claim.arms[arm], lr=lr, lr_end=lr, seed=seed)
        run = train(arm, config, claim.watch, claim.starts(seed) if claim.starts else None)
        run = replace(run, arm=arm)  # equal configs of two claims share one file
        score = claim.score(run)
        print(f"{arm:24} lr {lr:g} seed {seed}: {score:8.4f}  {run.seconds:.0f} s", flush=True)
        runs.append(run)
        return run

    first = next(iter(claim.arms))
    grid = {arm: claim.lrs[arm] if isinstance(claim.lrs, Mapping) else claim.lrs
            for arm in claim.arms}  # fmt: skip
    tuned: dict[str, list[Run]] = {arm: [] for arm in claim.tune or claim.arms}
    for seed in range(min(tune_seeds, seeds)):
        for arm, tried in tuned.items():
            tried += [go(arm, lr, seed) for lr in grid[arm] if len(grid[arm]) > 1]

    def rate(arm: str) -> float:
        arm = arm if arm in tuned else first
        totals = {lr: sum(claim.score(r) for r in tuned[arm] if r.lr == lr) for lr in grid[arm]}
        return max(totals, key=totals.__getitem__)

    best = {arm: rate(arm) for arm in claim.arms}
    done = {(run.arm, run.lr, run.seed) for run in runs}
    for seed in range(seeds):
        for arm in claim.arms:
            if (arm, best[arm], seed) not in done:
                go(arm, best[arm], seed)
    return runs


def measure(claim: Claim, doc: str | None, args: Sequence[str] | None) -> None:
    """The command line of every script here: measure, print, and with --publish keep.

    Args:
        claim: What is measured.
        doc: What --help begins with.
        args: Of the command line, by default the process's.
    """
    given = options(doc, args)
    if given.steps:
        arms = {name: replace(arm, steps=given.steps) for name, arm in claim.arms.items()}
        claim = replace(claim, arms=arms)
    extra: Extra
    if given.report:
        runs, extra = published(claim.name)
    else:
        extra = claim.extra(given.seeds)
        runs = study(claim, seeds=given.seeds, tune_seeds=given.tune_seeds)
    text = claim.report(runs, extra)
    print(text)
    if given.publish or given.report:
        publish(claim.name, runs, text, claim.pictures(runs), extra=extra)


def options(doc: str | None, args: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
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
