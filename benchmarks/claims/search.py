"""IGPO's and ARPO's claims, against GRPO: turn rewards from information gain; branching.

Sixteen questions of two hops, each over a small corpus of its own, 4 calls of the search tool, and
reward 1 for the right answer. All arms begin with the same model, which imitated an expert that
errs. Compared are accuracy by episodes played; how many groups say nothing, since those in which
all outcomes are equal teach GRPO nothing; and how many calls were made, of which branches share
those before they part.

    python benchmarks/claims/search.py --seeds 5
"""

from collections.abc import Sequence
from dataclasses import replace

import worlds  # noqa: F401  # registers the questions
from claim import Claim, measure
from report import picture, table
from settings import in_world
from training import NEVER, Run

from ludus.trainer.config import TrainConfig

WATCH = (
    "rollout/success", "rollout/entropy", "rollout/turns_mean", "rollout/invalid_rate",
    "credit/zero_spread", "claims/silent", "claims/calls", "loss/grad_norm",
)  # fmt: skip
WORLD = TrainConfig(
    env="worlds:claims/FewQuestions-v1",
    env_args='{"hops": 2, "size": "tiny", "tools": ["search"], "max_calls": 4}',
    model="small:max_positions=768,vocab_size=768",
    max_reply_tokens=20,
    on_invalid="noop",
    steps=20,
    episodes=64,
    warmstart_agent="expert:0.3",
    warmstart_episodes=64,
    warmstart_steps=200,
    eval_every=NEVER,
)


def arms() -> dict[str, TrainConfig]:
    """GRPO first: it is what the others are compared with. Eight leaves a task in all of them."""
    arpo = replace(in_world("arpo", WORLD), group_size=8)
    return {"GRPO": in_world("grpo", WORLD), "IGPO": in_world("igpo", WORLD), "ARPO": arpo}


def calls_until(run: Run, accuracy: float = 0.5) -> float:
    """Calls made until the mean accuracy of 5 steps was reached, or in the whole run if never."""
    successes, calls = run.curves["rollout/success"], run.curves["claims/calls"]
    for step in range(5, len(calls) + 1):
        if sum(successes[step - 5 : step]) / 5 >= accuracy:
            return sum(calls[:step])
    return sum(calls)


COLUMNS = {
    "accuracy, last quarter": lambda run: run.late("rollout/success"),
    "accuracy, whole run": lambda run: run.late("rollout/success", 1.0),
    "groups of equal outcomes": lambda run: run.late("credit/zero_spread", 1.0),
    "groups without a signal": lambda run: run.late("claims/silent", 1.0),
    "turns, last quarter": lambda run: run.late("rollout/turns_mean"),
    "calls made": lambda run: sum(run.curves["claims/calls"]),
    "calls until accuracy was reached": calls_until,
    "entropy, last quarter": lambda run: run.late("rollout/entropy"),
}


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    measure(
        [
            Claim(
                name="search",
                arms=arms(),
                lrs=(3e-4, 1e-3),
                watch=WATCH,
                score=lambda run: run.late("rollout/success"),
                report=lambda runs, extra: table(runs, COLUMNS, against="GRPO"),
                pictures=lambda runs: {
                    "search": picture(runs, "rollout/success", "accuracy, mean of 5", smooth=5)
                },
            )
        ],
        __doc__,
        args,
    )


if __name__ == "__main__":
    main()
