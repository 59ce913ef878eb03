"""IGPO's and ARPO's claims, against GRPO: turn rewards from information gain; branching.

Sixteen questions of two, three or four hops, each over a small corpus of its own, two calls of the
search tool more than hops, and reward 1 for the right answer. All arms of a seed begin with the
same model, which imitated an expert that errs. Compared are accuracy by episodes played; how many
groups say nothing, since those in which all outcomes are equal teach GRPO nothing; and how many
calls were made, of which branches share those before they part.

    python benchmarks/claims/search.py --claim search-3
"""

import json
from collections.abc import Sequence
from dataclasses import replace

import worlds  # noqa: F401  # registers the questions
from claim import Claim, measure
from settings import in_world
from training import NEVER, Run

from ludus.trainer.config import TrainConfig

WATCH = (
    "rollout/success", "rollout/entropy", "rollout/turns_mean", "rollout/invalid_rate",
    "credit/zero_spread", "claims/silent", "claims/calls", "loss/grad_norm",
)  # fmt: skip
ACCURACY = 0.5
"""Calls are counted until so much was held for five steps."""


def world(hops: int) -> TrainConfig:
    """Questions of so many hops."""
    asked = {"hops": hops, "max_calls": hops + 2}
    return TrainConfig(
        env="worlds:claims/Teachers-v1",
        env_args=json.dumps(asked),
        model="small:max_positions=768,vocab_size=768",
        max_reply_tokens=20,
        on_invalid="noop",
        steps=50,
        episodes=64,
        micro_tokens=4096,
        warmstart_agent="expert:0.3",
        warmstart_episodes=64,
        warmstart_steps=200,
        eval_every=NEVER,
    )


def arms(hops: int) -> dict[str, TrainConfig]:
    """GRPO first: it is what the others are compared with. Eight leaves a task in all of them."""
    asked = world(hops)
    return {
        "GRPO": in_world("grpo", asked),
        "IGPO": in_world("igpo", asked),
        "ARPO": replace(in_world("arpo", asked), group_size=8),
    }


def calls_until(run: Run) -> float:
    """Calls made until the mean accuracy of 5 steps was reached, or in the whole run if never."""
    successes, calls = run.curves["rollout/success"], run.curves["claims/calls"]
    for step in range(5, len(calls) + 1):
        if sum(successes[step - 5 : step]) / 5 >= ACCURACY:
            return sum(calls[:step])
    return sum(calls)


COLUMNS = {
    "accuracy, last quarter": lambda run: run.late("rollout/success"),
    "accuracy, whole run": lambda run: run.late("rollout/success", 1.0),
    "groups of equal outcomes": lambda run: run.late("credit/zero_spread", 1.0),
    "groups without a signal": lambda run: run.late("claims/silent", 1.0),
    "turns, last quarter": lambda run: run.late("rollout/turns_mean"),
    "calls made": lambda run: sum(run.curves["claims/calls"]),
    f"calls until {ACCURACY}": calls_until,
    "entropy, last quarter": lambda run: run.late("rollout/entropy"),
}


def claim(hops: int) -> Claim:
    """Of questions of so many hops."""
    heads = list(COLUMNS)
    return Claim(
        name=f"search-{hops}",
        arms=arms(hops),
        lrs=(3e-4, 1e-3, 3e-3),
        watch=WATCH,
        score=lambda run: run.late("rollout/success"),
        columns=COLUMNS,
        against=[("IGPO", "GRPO"), ("ARPO", "GRPO")],
        compared=[heads[0], heads[1], heads[5], heads[6]],
        curves={f"search-{hops}": ("rollout/success", "accuracy")},
    )


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    measure([claim(hops) for hops in (2, 3, 4)], __doc__, args)


if __name__ == "__main__":
    main()
