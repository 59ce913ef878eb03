"""The Practitioner's Guide's finding on warm starts: how much of a fixed budget to imitate with.

In TextWorld, as in the paper: a demonstration costs as much as ten episodes of reinforcement, and
all arms spend the same, on either; reinforcement is by GRPO. They begin with a model that has seen
random play. Judged is what is solved of the games trained on, of which the demonstrations show
some, and of others.

    python benchmarks/claims/warmstart.py --seeds 5 --tune-seeds 2
"""

from collections.abc import Sequence
from dataclasses import replace

from claim import Claim, Extra, measure
from report import picture, table
from settings import COIN_RATES, COINS, WATCH, in_world, shown
from training import Run, remembered, solved, trainer_of, warm_started

from ludus.trainer.config import TrainConfig

DEMONSTRATIONS = (32, 16, 8, 0)
COST = 10
"""Of a demonstration, in episodes."""
NONE = 1e-12
"""A learning rate that learns nothing: for all imitation, a step that only plays."""


def arms() -> dict[str, TrainConfig]:
    """From all imitation to none."""
    grpo, budget = in_world("grpo", COINS), COST * DEMONSTRATIONS[0]
    found = {}
    for count in DEMONSTRATIONS:
        episodes = budget - COST * count
        found[f"{count} shown, {episodes} played"] = replace(
            grpo,
            warmstart_episodes=count,
            warmstart_steps=grpo.warmstart_steps if count else 0,
            steps=episodes // grpo.episodes or 1,
        )
    return found


def imitated(config: TrainConfig) -> float:
    """What is solved, of the games trained on, before there is any reinforcement."""
    model = warm_started(shown(config))
    return solved(trainer_of(replace(config, model=model, warmstart_steps=0)), "train")


def report(runs: Sequence[Run], before: Extra) -> str:
    """A table."""
    columns = {
        "solved, games trained on": lambda run: run.solved["train"],
        "solved, other games": lambda run: run.solved["valid"],
        "games trained on, before reinforcement": lambda run: before[run.arm][run.seed],
    }
    return table(runs, columns, against=next(iter(before)))


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    wanted = arms()
    measure(
        [
            Claim(
                name="warmstart",
                arms=wanted,
                lrs={n: COIN_RATES if arm.steps > 1 else (NONE,) for n, arm in wanted.items()},
                watch=WATCH,
                score=lambda run: run.solved["train"],
                starts=shown,
                judge=("train", "valid"),
                extra=lambda seeds: {
                    name: [remembered(imitated, replace(arm, seed=s)) for s in range(seeds)]
                    for name, arm in wanted.items()
                },
                report=report,
                pictures=lambda runs: {
                    "warmstart": picture(
                        [run for run in runs if run.steps > 1],
                        "rollout/success",
                        "success, mean of 5",
                        smooth=5,
                        low=0,
                    )
                },
            )
        ],
        __doc__,
        args,
    )


if __name__ == "__main__":
    main()
