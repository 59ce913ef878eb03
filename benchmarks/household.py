"""The household world against its reference engine, on one game file, in one run.

    python benchmarks/household.py FILE.tw-pddl

Both engines get random admissible commands, episodes of 50, and give the list of admissible
commands and the goal test after each. Ours is timed twice: on a fresh process's first steps, when
nothing has been remembered yet, and after 50,000 steps. Without the reference engine only ours is
measured.
"""

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from ludus.envs.worlds.household.engine import Game, Play
from ludus.envs.worlds.household.errors import GameError
from ludus.envs.worlds.household.parity import Ours, Reference

EPISODE = 50


@dataclass(frozen=True)
class Args:
    """Measure both engines on one game."""

    game: Annotated[Path, tyro.conf.Positional]
    """A game.tw-pddl file."""
    reference_steps: int = 100
    """Steps of the reference engine, at about 10 a second."""
    steps: int = 100_000
    """Steps of ours."""
    seed: int = 0
    """Decides the commands."""


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def rate(engine: Ours | Reference, steps: int, rng: random.Random) -> float:
    """Steps per second, resets not counted."""
    spent, done = 0.0, 0
    while done < steps:
        answer = engine.reset()
        start = time.perf_counter()
        for _ in range(min(EPISODE, steps - done)):
            answer = engine.step(rng.choice(answer.admissible))
            done += 1
        spent += time.perf_counter() - start
    return done / spent


def main(args: Args) -> int:
    rows: list[tuple[str, float | None, float, str]] = []
    try:
        compiling = seconds(lambda: Game.load(args.game))
        ours = Ours(args.game)
    except GameError as error:
        print(error, file=sys.stderr)
        return 2
    cold = rate(ours, 2_000, random.Random(args.seed))
    rate(ours, 50_000, random.Random(args.seed + 1))
    warm = rate(ours, args.steps, random.Random(args.seed + 2))
    resetting = seconds(lambda: [ours.reset() for _ in range(1000)]) / 1000
    play = Play(ours.play.game)
    forking = seconds(lambda: [play.fork() for _ in range(100_000)]) / 100_000
    starting = again = speed = None
    try:
        reference: list[Reference] = []
        starting = seconds(lambda: reference.append(Reference(args.game)))
        starting += seconds(reference[0].reset)
        again = seconds(reference[0].reset)
        speed = rate(reference[0], args.reference_steps, random.Random(args.seed))
    except ImportError:
        print("the reference engine is not installed: ours alone", file=sys.stderr)
    rows.append(("load and first reset, ms", scaled(starting), compiling * 1e3, "lower"))
    rows.append(("later reset, ms", scaled(again), resetting * 1e3, "lower"))
    rows.append(("steps/s, first 2,000", speed, cold, "higher"))
    rows.append(("steps/s, later", speed, warm, "higher"))
    rows.append(("fork, us", None, forking * 1e6, "lower"))
    table = Table("", "reference", "ours", "ratio", title=args.game.parent.parent.name)
    for name, theirs, mine, better in rows:
        ratio = None if theirs is None else theirs / mine if better == "lower" else mine / theirs
        table.add_row(name, shown(theirs), shown(mine), "-" if ratio is None else f"{ratio:,.0f}x")
    Console().print(table)
    return 0


def scaled(value: float | None) -> float | None:
    return None if value is None else value * 1e3


def shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))
