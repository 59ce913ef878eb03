"""A claim: a few arms trained from the same warm starts with the same budget, and what is shown.

Every arm tries its learning rates on seeds that are not counted; the one with the best mean score
is then run on the seeds that are. Runs are kept, so that a stopped grid goes on where it was; the
figures that tables and plots are made of are in `docs/results/claims/NAME.json`.
"""

import argparse
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import training
from report import picture, publish, published, table
from training import Run, train, warm_started

from ludus.trainer.config import TrainConfig

Extra = Mapping[str, Any]
Figure = Callable[[Run], float]
TUNING = 1000
"""The seeds that choose rates begin here."""


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
    score: Figure
    """What a learning rate is chosen by; larger is better."""
    columns: Mapping[str, Figure]
    """Of the table, by their heads."""
    against: Sequence[tuple[str, str]] = ()
    """Pairs of arms whose differences are shown."""
    compared: Sequence[str] = ()
    """The columns in which; by default the first."""
    curves: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Plots: name -> metric and what it is called."""
    report: Callable[[Sequence[Run], Extra], str] | None = None
    """Markdown, if it is not the table of all arms."""
    starts: Callable[[TrainConfig], TrainConfig] = lambda config: config
    """A run's config -> the one whose warm start it begins with; by default one a seed, the same
    for all arms."""
    judge: Sequence[str] = ()
    """Splits that are tried at the end of a run."""
    extra: Callable[[int], Extra] = lambda seeds: {}
    """How many seeds -> what else is measured."""

    def shown(self, runs: Sequence[Run], extra: Extra) -> str:
        """Markdown of runs."""
        if self.report is not None:
            return self.report(runs, extra)
        return table(runs, self.columns, self.against, self.compared)


Order = tuple[str, TrainConfig, TrainConfig, Sequence[str], Sequence[str]]
"""What `train` is called with."""


def study(claim: Claim, *, seeds: int, tune_seeds: int, jobs: int = 1) -> list[Run]:
    """Choose each arm's learning rate on some seeds, then run it on others.

    Args:
        claim: What is run.
        seeds: How many are counted, from 0.
        tune_seeds: How many choose, from `TUNING` on.
        jobs: Runs at a time.

    Returns:
        All runs with their figures, those that chose included.
    """

    def order(arm: str, lr: float, seed: int) -> Order:
        config = replace(claim.arms[arm], lr=lr, lr_end=lr, seed=seed)
        return arm, config, claim.starts(config), claim.watch, claim.judge

    def go(orders: Iterable[tuple[str, float, int]]) -> Iterator[Run]:
        todo = [order(*one) for one in orders]
        for (arm, *_), run in zip(todo, trained(todo, jobs), strict=True):
            run = replace(run, arm=arm, tuning=run.seed >= TUNING)  # equal configs share one file
            score = claim.score(run)
            told = f"{arm:24} lr {run.lr:g} seed {run.seed}: {score:8.4f}  {run.seconds:.0f} s"
            print(told, flush=True)
            figures = {name: float(f"{of(run):.5g}") for name, of in claim.columns.items()}
            drawn = {metric: run.thin(metric) for metric, _ in claim.curves.values()}
            yield replace(run, score=round(score, 5), figures=figures, curves=drawn)

    grid = {a: claim.lrs[a] if isinstance(claim.lrs, Mapping) else claim.lrs for a in claim.arms}
    best = {arm: rates[0] for arm, rates in grid.items() if len(rates) == 1}
    tried = [
        (arm, lr, TUNING + i)
        for i in range(tune_seeds)
        for arm, rates in grid.items()
        if arm not in best
        for lr in rates
    ]
    tuning = [replace(run, curves={}) for run in go(tried)]
    for arm, rates in grid.items():
        totals = {lr: sum(r.score for r in tuning if (r.arm, r.lr) == (arm, lr)) for lr in rates}
        best[arm] = max(totals, key=totals.__getitem__)
    return tuning + list(go((arm, best[arm], s) for s in range(seeds) for arm in claim.arms))


def trained(orders: Sequence[Order], jobs: int) -> Iterator[Run]:
    """What `train` gives for each, so many at a time."""
    if jobs == 1:
        yield from (train(*order) for order in orders)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        jobs, context, initializer=training.keep_in, initargs=(training.CACHE,)
    ) as pool:
        # Starts are shared by runs: all of them are made first, each once.
        starts = {str(start): start for _, _, start, _, _ in orders}
        list(pool.map(warm_started, starts.values()))
        yield from pool.map(train, *zip(*orders, strict=True))


def measure(claims: Sequence[Claim], doc: str | None, args: Sequence[str] | None) -> None:
    """The command line of every script here: measure, print, and with --publish keep.

    Args:
        claims: What can be measured; --claim chooses, by default the first.
        doc: What --help begins with.
        args: Of the command line, by default the process's.
    """
    by_name = {claim.name: claim for claim in claims}
    given = options(doc, list(by_name), args)
    claim = by_name[given.claim]
    if given.steps:
        arms = {name: replace(arm, steps=given.steps) for name, arm in claim.arms.items()}
        claim = replace(claim, arms=arms)
    extra: Extra
    if given.report:
        runs, extra = published(claim.name)
    else:
        extra = claim.extra(given.seeds)
        runs = study(claim, seeds=given.seeds, tune_seeds=given.tune_seeds, jobs=given.jobs)
    text = claim.shown(runs, extra)
    print(text)
    if given.publish or given.report:
        drawn = {title: picture(runs, *what) for title, what in claim.curves.items()}
        publish(claim.name, runs, text, drawn, extra=extra)


def options(
    doc: str | None, names: Sequence[str], args: Sequence[str] | None
) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--claim", choices=names, default=names[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tune-seeds", type=int, default=2, help="seeds that choose the rate")
    parser.add_argument("--steps", type=int, default=0, help="steps a run, if not the claim's own")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument(
        "--publish", action="store_true", help="write docs/results/claims.md, its figures and plots"
    )
    parser.add_argument(
        "--report", action="store_true", help="train nothing: tables and plots of what is published"
    )
    return parser.parse_args(args)
