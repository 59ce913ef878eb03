"""IGPO's and ARPO's claims, against GRPO: turn rewards from information gain; branching.

Questions of two, three or four hops, each over a small corpus of its own, two calls of the search
tool more than hops, and reward 1 for the right answer. All arms of a seed begin with the same
model, which can search and read; in `search-2` to `search-4` it then learned to guess instead.
Compared are accuracy by episodes played; how many groups say nothing, since those in which all
outcomes are equal teach GRPO nothing; and how many calls were made, of which branches share those
before they part.

    python benchmarks/claims/search.py --claim search-4-readers
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import worlds  # noqa: F401  # registers the questions
from claim import Claim, Extra, measure
from report import by_arm, table
from settings import in_world, solved
from training import NEVER, Run, warm_started

from ludus.trainer.config import TrainConfig

WATCH = (
    "rollout/success", "rollout/entropy", "rollout/turns_mean", "rollout/invalid_rate",
    "credit/zero_spread", "claims/silent", "claims/calls", "loss/grad_norm",
)  # fmt: skip
ACCURACY = 0.5
"""Calls are counted until so much was held for five steps."""


def world(hops: int | list[int]) -> TrainConfig:
    """Questions of so many hops."""
    return TrainConfig(
        env="worlds:claims/Teachers-v1",
        env_args=json.dumps({"hops": hops, "max_calls": max(np.ravel(hops).tolist()) + 2}),
        model="small:max_positions=768,vocab_size=768",
        max_reply_tokens=20,
        on_invalid="noop",
        steps=40,
        episodes=32,
        micro_tokens=4096,
        warmstart_agent="hasty:0.2",
        warmstart_episodes=6000,
        warmstart_steps=1000,
        warmstart_lr=6e-3,
        warmstart_on="all",
        eval_every=NEVER,
        eval_episodes=128,
    )


def readers(config: TrainConfig) -> TrainConfig:
    """The warm start of all runs alike: a model that has learned to search and to read."""
    return world([2, 3, 4])


def hasty(config: TrainConfig) -> TrainConfig:
    """The warm start of a run: such a model, which then imitates for a little an agent that guesses
    with seven replies of ten."""
    return replace(
        readers(config),
        model=warm_started(readers(config)),
        seed=config.seed % 5,
        warmstart_agent="hasty:0.7",
        warmstart_episodes=512,
        warmstart_steps=60,
        warmstart_lr=1e-3,
        warmstart_on="replies",
    )


def arms(hops: int) -> dict[str, TrainConfig]:
    """GRPO first: it is what the others are compared with. Eight leaves a task in all of them."""
    asked = world(hops)
    return {
        "GRPO": in_world("grpo", asked),
        "IGPO": in_world("igpo", asked),
        # Gains and outcomes on one scale: the paper's ablation.
        "IGPO, joint": replace(in_world("igpo", asked), advantage="igpo:norm=joint"),
        "ARPO": replace(in_world("arpo", asked), group_size=8),
    }


def calls_until(run: Run) -> float:
    """Calls made until the mean accuracy of 5 steps was reached, or in the whole run if never."""
    successes, calls = run.curves["rollout/success"], run.curves["claims/calls"]
    for step in range(5, len(calls) + 1):
        if sum(successes[step - 5 : step]) / 5 >= ACCURACY:
            return sum(calls[:step])
    return sum(calls)


def took_off(runs: Sequence[Run], extra: Extra) -> str:
    """The table, and how many runs did not end at guessing."""
    told = []
    for arm, own in by_arm(runs).items():
        count = sum(run.figures["accuracy, last quarter"] > ACCURACY for run in own)
        told.append(f"{arm} {count} of {len(own)}")
    heads = list(COLUMNS)
    compared = [heads[0], heads[1], heads[5], heads[6]]
    ended = f"Above {ACCURACY} in the last quarter: {', '.join(told)}."
    return f"{table(runs, COLUMNS, AGAINST, compared)}\n\n{ended}"


AGAINST = [("IGPO", "GRPO"), ("IGPO, joint", "GRPO"), ("ARPO", "GRPO")]
COLUMNS = {
    "accuracy, whole run": lambda run: run.late("rollout/success", 1.0),
    "accuracy, last quarter": lambda run: run.late("rollout/success"),
    "groups of equal outcomes": lambda run: run.late("credit/zero_spread", 1.0),
    "groups without a signal": lambda run: run.late("claims/silent", 1.0),
    "turns, last quarter": lambda run: run.late("rollout/turns_mean"),
    "calls made": lambda run: sum(run.curves["claims/calls"]),
    f"calls until {ACCURACY}": calls_until,
    "entropy, last quarter": lambda run: run.late("rollout/entropy"),
    "accuracy at the end, other questions": solved("test"),
}


def claim(hops: int, starts: Callable[[TrainConfig], TrainConfig] = hasty) -> Claim:
    """Of questions of so many hops."""
    name = f"search-{hops}" if starts is hasty else f"search-{hops}-{starts.__name__}"
    return Claim(
        name=name,
        arms=arms(hops),
        lrs=(3e-4, 1e-3, 3e-3),
        watch=WATCH,
        score=COLUMNS["accuracy, whole run"],
        columns=COLUMNS,
        starts=starts,
        judge=("test",),
        report=took_off,
        curves={name: ("rollout/success", "accuracy")},
    )


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    measure([claim(4, readers), *map(claim, (2, 3, 4))], __doc__, args)


if __name__ == "__main__":
    main()
