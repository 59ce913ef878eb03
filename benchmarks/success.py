"""How often scripted agents solve the tasks of an environment with one seat, split by split.

    python benchmarks/success.py ludus/Household-v1 --agents random expert --episodes 200

Plays the first tasks of every split and prints a table in Markdown. Exit status 1 if the expert
fails a task.
"""

import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import tyro

from ludus.agents.base import Agent, Prepares, make_agent
from ludus.envs.base import TextEnv
from ludus.envs.registry import make
from ludus.envs.task import derive_seed
from ludus.trainer.intervals import wilson


@dataclass(frozen=True)
class Args:
    """Count successes."""

    env: Annotated[str, tyro.conf.Positional] = "ludus/Household-v1"
    """An environment with one seat whose outcome says whether the task was solved."""
    agents: tuple[str, ...] = ("random", "expert")
    """Scripted agents."""
    episodes: int = 200
    """Tasks per split."""
    seed: int = 0
    """Decides the agents' draws."""


def play(env: TextEnv, agent: Agent, seed: int) -> tuple[bool, int]:
    """Finish the episode: whether it was solved, and how many replies it took."""
    rng, turns, solved = random.Random(seed), 0, False
    while env.acting:
        seat = env.acting[0]
        _, _, terminated, truncated, info = env.step(agent.act(env, seat, rng), seat=seat)
        turns += 1
        if terminated or truncated:
            solved = bool(info["outcome"]["success"])
    return solved, turns


def rows(args: Args) -> Iterator[tuple[str, str, list[tuple[bool, int]], float]]:
    """Split, agent, what happened in every task, seconds."""
    env = make(args.env)
    if len(env.ROLES) > 1:
        raise ValueError(f"{args.env} has {len(env.ROLES)} seats, this counts tasks of one")
    for split in env.SPLITS:
        tasks = env.tasks(split, **env.params).head(args.episodes)
        for name in args.agents:
            agent = make_agent(name)
            if isinstance(agent, Prepares):
                agent.prepare(env)
            start, played = time.perf_counter(), []
            for index, task in enumerate(tasks):
                env.start(task, derive_seed(args.seed, split, index))
                played.append(play(env, agent, derive_seed(args.seed, name, split, index)))
            yield split, name, played, time.perf_counter() - start


def main() -> int:
    """Print the table."""
    args = tyro.cli(Args)
    failed = 0
    print("| split | agent | tasks | solved | 95 % | mean turns | turns where solved | ms a task |")
    print("|---|---|---|---|---|---|---|---|")
    for split, name, played, seconds in rows(args):
        wins = [turns for solved, turns in played if solved]
        low, high = wilson(len(wins), len(played))
        turns = statistics.fmean(turns for _, turns in played)
        needed = f"{statistics.fmean(wins):.1f}" if wins else "-"
        solved = f"{len(wins)} ({len(wins) / len(played):.1%})"
        cells = (
            split, name, len(played), solved, f"{low:.1%} to {high:.1%}", f"{turns:.1f}", needed,
            f"{1e3 * seconds / len(played):.0f}",
        )  # fmt: skip
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
        failed += (len(played) - len(wins)) * (name == "expert")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
