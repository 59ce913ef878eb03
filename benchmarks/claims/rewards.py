"""The Practitioner's Guide's finding on rewards: at the end only, or on the way too.

Sparse is 1 at the goal. Dense gives every command the share by which it shortened the known way to
the goal; it adds up to 1 at the goal as well. In TextWorld, where the paper measured, with and
without a critic, since it finds that the method decides; and in the houses of `households.py`.

    python benchmarks/claims/rewards.py
    python benchmarks/claims/rewards.py --claim rewards-houses
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from claim import Claim, measure
from settings import (
    COIN_RATES,
    COINS,
    COLUMNS,
    HOUSE_RATES,
    HOUSES,
    WATCH,
    in_world,
    one_of_five,
    shown,
    solved,
)

DEMONSTRATED = replace(COINS, warmstart_episodes=8, steps=15)
DENSE = '{"level": 4, "reward": "dense"}'
DENSE_HOUSES = json.dumps({**json.loads(HOUSES.env_args), "reward": "dense"})


def in_coins() -> Claim:
    """GRPO and PPO with either, from 8 demonstrations."""
    arms = {}
    for recipe in ("grpo", "ppo"):
        sparse = in_world(recipe, DEMONSTRATED)
        arms[f"{recipe.upper()}, sparse"] = sparse
        arms[f"{recipe.upper()}, dense"] = replace(sparse, env_args=DENSE)
    columns = {
        "solved, games trained on": solved("train"),
        "solved, other games": solved("valid"),
        **COLUMNS,
    }
    return Claim(
        name="rewards",
        arms=arms,
        lrs=COIN_RATES,
        watch=WATCH,
        score=columns["solved, games trained on"],
        columns=columns,
        against=[("GRPO, dense", "GRPO, sparse"), ("PPO, dense", "PPO, sparse")],
        compared=list(columns)[:4],
        starts=shown,
        judge=("train", "valid"),
        curves={"rewards": ("rollout/success", "success")},
    )


def in_houses() -> Claim:
    """GRPO with either."""
    sparse = in_world("grpo", HOUSES)
    columns = {
        **COLUMNS,
        "solved at the end": solved("train"),
    }
    return Claim(
        name="rewards-houses",
        arms={
            "GRPO, sparse": sparse,
            "GRPO, dense": replace(sparse, env_args=DENSE_HOUSES),
        },
        lrs={"GRPO, sparse": HOUSE_RATES, "GRPO, dense": HOUSE_RATES[:2]},
        watch=(*WATCH, "rollout/replies", "credit/state_groups", "credit/state_singletons"),
        score=lambda run: run.late("rollout/success", 0.5),
        columns=columns,
        against=[("GRPO, dense", "GRPO, sparse")],
        compared=[list(columns)[i] for i in (0, 1, 5)],
        starts=one_of_five,
        judge=("train",),
        curves={"rewards-houses": ("rollout/success", "success")},
    )


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    measure([in_coins(), in_houses()], __doc__, args)


if __name__ == "__main__":
    main()
