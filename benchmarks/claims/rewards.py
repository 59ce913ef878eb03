"""The Practitioner's Guide's finding on rewards: at the end only, or on the way too.

A stand-in for its TextWorld games: the houses of `households.py`. Sparse is 1 at the goal. Dense
gives every command the share by which it shortened the planner's plan; it adds up to 1 at the goal
as well.

    python benchmarks/claims/rewards.py --seeds 5
"""

from collections.abc import Sequence
from dataclasses import replace

import households
from claim import Claim, measure
from report import picture, table

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
    measure(
        Claim(
            name="rewards",
            arms=arms(),
            lrs=households.RATES,
            watch=households.WATCH,
            score=lambda run: run.late("rollout/success"),
            # Rewards are not in the text: dense begins with the very same model.
            starts=lambda seed: households.WORLD,
            report=lambda runs, extra: table(runs, households.COLUMNS, against="GRPO, sparse"),
            pictures=lambda runs: {
                "rewards": picture(runs, "rollout/success", "success, mean of 3", smooth=3, low=0)
            },
        ),
        __doc__,
        args,
    )


if __name__ == "__main__":
    main()
