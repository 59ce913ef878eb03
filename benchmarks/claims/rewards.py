"""The Practitioner's Guide's finding on rewards: at the end only, or on the way too.

A stand-in for its TextWorld games: the houses of `households.py`. Sparse is 1 at the goal. Dense
gives every command the share by which it shortened the planner's plan; it adds up to 1 at the goal
as well.

    python benchmarks/claims/rewards.py --seeds 5
"""

from collections.abc import Sequence
from dataclasses import replace

import households
from common import options, picture, publish, published, study, table

from ludus.trainer.config import TrainConfig


def arms() -> dict[str, TrainConfig]:
    """GRPO with either."""
    sparse = households.in_world("grpo")
    return {
        "GRPO, sparse": sparse,
        "GRPO, dense": replace(sparse, env="worlds:claims/DenseHouses-v1"),
    }


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    given = options(__doc__, args)
    wanted = arms()
    if given.steps:
        wanted = {name: replace(arm, steps=given.steps) for name, arm in wanted.items()}
    runs = published("rewards")[0] if given.report else []
    for name, arm in {} if given.report else wanted.items():
        runs += study(
            {name: arm},
            seeds=given.seeds,
            lrs=households.RATES,
            tune_seeds=given.tune_seeds,
            watch=households.WATCH,
            score=lambda run: run.late("rollout/success"),
            # Rewards are not in the text: dense begins with the very same model.
            starts=None if arm.env == households.WORLD.env else lambda seed: households.WORLD,
        )
    text = table(runs, households.COLUMNS, against="GRPO, sparse")
    print(text)
    if given.publish or given.report:
        chart = picture(runs, "rollout/success", "success, mean of 3", smooth=3, low=0)
        publish("rewards", runs, text, {"rewards": chart})


if __name__ == "__main__":
    main()
