"""A claim: a few arms trained from the same warm start with the same budget, and what is shown.

Every arm tries the same learning rates on seeds of their own; the one with the best mean score is
then run on all others. Runs are kept, so that a stopped grid goes on where it was; the figures that
tables and plots are made of are in `docs/results/claims/NAME.json`.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from report import publish, published
from training import Run, train

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
    starts: Callable[[TrainConfig], TrainConfig] = lambda config: replace(config, seed=0)
    """A run's config -> the one whose warm start it begins with. By default one model for all
    seeds, which then decide tasks, chance and sampling."""
    judge: Sequence[str] = ()
    """Splits that are tried at the end of a run."""
    tune: Sequence[str] = ()
    """The arms that are tuned, by default all; the others take the rate of the first."""
    extra: Callable[[int], Extra] = lambda seeds: {}
    """How many seeds -> what else is measured."""


def study(claim: Claim, *, seeds: int, tune_seeds: int) -> list[Run]:
    """Choose each arm's learning rate on some seeds, then run it on others.

    Args:
        claim: What is run.
        seeds: How many, from 0.
        tune_seeds: How many choose, from `seeds` on.

    Returns:
        All runs, those that chose included.
    """
    runs: list[Run] = []

    def go(arm: str, lr: float, seed: int) -> Run:
        config = replace(claim.arms[arm], lr=lr, lr_end=lr, seed=seed)
        run = train(arm, config, claim.starts(config), claim.watch, claim.judge)
        run = replace(run, arm=arm, tuning=seed >= seeds)  # equal configs share one file
        score = claim.score(run)
        print(f"{arm:24} lr {lr:g} seed {seed}: {score:8.4f}  {run.seconds:.0f} s", flush=True)
        runs.append(run)
        return run

    first, lrs = next(iter(claim.arms)), claim.lrs
    grid = {arm: lrs[arm] if isinstance(lrs, Mapping) else lrs for arm in claim.arms}
    best = {arm: rates[0] for arm, rates in grid.items() if len(rates) == 1}
    for arm in claim.tune or claim.arms:
        if arm not in best:
            totals = {
                lr: sum(claim.score(go(arm, lr, seeds + i)) for i in range(tune_seeds))
                for lr in grid[arm]
            }
            best[arm] = max(totals, key=totals.__getitem__)
    for seed in range(seeds):
        for arm in claim.arms:
            go(arm, best.get(arm, best[first]), seed)
    return runs


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
        runs = study(claim, seeds=given.seeds, tune_seeds=given.tune_seeds)
    text = claim.report(runs, extra)
    print(text)
    if given.publish or given.report:
        publish(claim.name, runs, text, claim.pictures(runs), extra=extra)


def options(
    doc: str | None, names: Sequence[str], args: Sequence[str] | None
) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--claim", choices=names, default=names[0])
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
