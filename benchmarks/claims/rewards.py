"""The Practitioner's Guide's finding on rewards: at the end only, or on the way too.

Sparse is 1 at the goal. Dense gives every command the share by which it shortened the known way to
the goal; it adds up to 1 at the goal as well. In TextWorld, where the paper measured, with and
without a critic, since it finds that the method decides; and in the houses of `households.py`.

    python benchmarks/claims/rewards.py --seeds 5 --tune-seeds 2
    python benchmarks/claims/rewards.py --seeds 5 --claim rewards-houses
"""

from collections.abc import Sequence
from dataclasses import replace

from claim import Claim, measure
from report import picture, table
from settings import COIN_RATES, COINS, COLUMNS, HOUSES, RATES, WATCH, in_world, shown

DEMONSTRATED = replace(COINS, warmstart_episodes=8, steps=15)
DENSE = '{"level": 4, "reward": "dense"}'


def in_coins() -> Claim:
    """GRPO and PPO with either, from 8 demonstrations."""
    arms = {}
    for recipe in ("grpo", "ppo"):
        sparse = in_world(recipe, DEMONSTRATED)
        arms[f"{recipe.upper()}, sparse"] = sparse
        arms[f"{recipe.upper()}, dense"] = replace(sparse, env_args=DENSE)

    columns = {
        "solved, games trained on": lambda run: run.solved["train"],
        "solved, other games": lambda run: run.solved["valid"],
        **COLUMNS,
    }
    return Claim(
        name="rewards",
        arms=arms,
        lrs=COIN_RATES,
        watch=WATCH,
        score=lambda run: run.solved["train"],
        starts=shown,
        judge=("train", "valid"),
        report=lambda runs, extra: table(runs, columns, against="GRPO, sparse"),
        pictures=lambda runs: {
            "rewards": picture(runs, "rollout/success", "success, mean of 3", smooth=3, low=0)
        },
    )


def in_houses() -> Claim:
    """GRPO with either."""
    sparse = in_world("grpo", HOUSES)
    return Claim(
        name="rewards-houses",
        arms={
            "GRPO, sparse": sparse,
            "GRPO, dense": replace(sparse, env="worlds:claims/DenseHouses-v1"),
        },
        lrs=RATES,
        watch=WATCH,
        score=lambda run: run.late("rollout/success"),
        starts=lambda config: HOUSES,
        report=lambda runs, extra: table(runs, COLUMNS, against="GRPO, sparse"),
        pictures=lambda runs: {
            "rewards-houses": picture(
                runs, "rollout/success", "success, mean of 3", smooth=3, low=0
            )
        },
    )


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    measure([in_coins(), in_houses()], __doc__, args)


if __name__ == "__main__":
    main()
