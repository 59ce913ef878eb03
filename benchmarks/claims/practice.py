"""The Practitioner's Guide's findings: how much to imitate first, and rewards on the way.

A stand-in for its TextWorld games: the houses of `households.py`. The budget is 1,600 episodes, of
imitation (16 a step) or of reinforcement by GRPO (32 a step). Then GRPO and PPO from the same start
with the reward at the end only, and with rewards for every command that brings the goal nearer.

    python benchmarks/claims/practice.py --seeds 5
"""

from collections.abc import Sequence
from dataclasses import replace

import households
from common import Run, options, picture, publish, published, study, table

from ludus.trainer.config import TrainConfig

BUDGET = 1600
SHARES = (100, 75, 50)
"""Steps of imitation."""
NO_REINFORCEMENT = 4
"""Steps that only play, to see what imitation alone gives."""


def ratios() -> dict[str, TrainConfig]:
    """From all imitation to half of it."""
    grpo = households.in_world("grpo")
    found = {}
    for imitated in SHARES:
        rest = (BUDGET - 16 * imitated) // 32
        found[f"{imitated} + {rest} steps"] = replace(
            grpo, warmstart_steps=imitated, steps=rest or NO_REINFORCEMENT
        )
    return found


def rewards() -> dict[str, TrainConfig]:
    """GRPO and PPO, each with sparse and dense rewards."""
    found = {}
    for name, recipe in (("GRPO", "grpo"), ("PPO", "ppo")):
        sparse = households.in_world(recipe)
        found[f"{name}, sparse"] = sparse
        found[f"{name}, dense"] = replace(sparse, env="worlds:claims/DenseHouses-v1")
    return found


def ends(run: Run) -> float:
    """Success in the last 4 steps, 128 episodes."""
    return run.late("rollout/success", 4 / run.steps)


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    given = options(__doc__, args)
    runs = published("practice")[0] if given.report else []
    for what in () if given.report else (rewards, ratios):
        arms = what()
        if given.steps:
            arms = {name: replace(arm, steps=given.steps) for name, arm in arms.items()}
        for name, arm in arms.items():
            imitates_only = arm.steps == NO_REINFORCEMENT
            runs += study(
                {name: arm},
                seeds=given.seeds,
                lrs=(1e-12,) if imitates_only else households.RATES,
                tune_seeds=given.tune_seeds,
                watch=households.WATCH,
                score=lambda run: run.late("rollout/success"),
            )
    shaped = [run for run in runs if "," in run.arm]
    shares = [run for run in runs if "," not in run.arm]
    late = {"success, last quarter": lambda run: run.late("rollout/success")}
    text = "\n".join([
        "Rewards:", "", table(shaped, households.COLUMNS, against="GRPO, sparse"), "",
        "Steps of imitation + steps of reinforcement, 1,600 episodes in all:", "",
        table(shares, {"success, last 4 steps": ends, **late}),
    ])  # fmt: skip
    print(text)
    if given.publish or given.report:
        chart = picture(shaped, "rollout/success", "success, mean of 3", smooth=3, low=0)
        publish("practice", runs, text, {"practice": chart})


if __name__ == "__main__":
    main()
