"""The Practitioner's Guide's finding on warm starts: how much of a fixed budget to imitate with.

In TextWorld, as in the paper: a demonstration costs as much as ten episodes of reinforcement, and
all arms spend the same, on either; reinforcement is by GRPO. They begin with a model that has seen
random play. Judged is what is solved of the games trained on, of which the demonstrations show
some, and of others.

    python benchmarks/claims/warmstart.py
"""

from collections.abc import Sequence
from dataclasses import replace

from claim import Claim, Extra, measure
from report import by_arm, gain, table
from settings import COIN_RATES, COINS, WATCH, in_world, shown, solved
from training import Run, remembered, trainer_of, warm_started
from training import solved as solve

from ludus.trainer.config import TrainConfig

DEMONSTRATIONS = (32, 16, 8, 0)
COST = 10
"""Of a demonstration, in episodes."""
NONE = 1e-12
"""A learning rate that learns nothing: for all imitation, a step that only plays."""
COLUMNS = {
    "solved, games trained on": solved("train"),
    "solved, other games": solved("valid"),
}


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
    """What is solved of the games trained on before there is any reinforcement."""
    model = warm_started(shown(config))
    return solve(trainer_of(replace(config, model=model, warmstart_steps=0)), "train")


def report(runs: Sequence[Run], before: Extra) -> str:
    """The table, and what reinforcement added to imitation."""
    names = list(by_arm(runs))
    rows = [table(runs, COLUMNS, [(name, names[0]) for name in names[1:]], COLUMNS), ""]
    head = next(iter(COLUMNS))
    for name in names[1:]:
        after = [run.figures[head] for run in by_arm(runs)[name]]
        added = gain(after, before[name])
        rows.append(f"- Reinforcement after {name.partition(',')[0]} added {added}, {head}.")
    return "\n".join(rows)


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    wanted = arms()
    rates = {name: COIN_RATES if arm.steps > 1 else (NONE,) for name, arm in wanted.items()}
    measure(
        [
            Claim(
                name="warmstart",
                arms=wanted,
                lrs=rates,
                watch=WATCH,
                score=COLUMNS["solved, games trained on"],
                columns=COLUMNS,
                starts=shown,
                judge=("train", "valid"),
                extra=lambda seeds: {
                    name: [remembered(imitated, replace(arm, seed=s)) for s in range(seeds)]
                    for name, arm in wanted.items()
                },
                report=report,
                curves={"warmstart": ("rollout/success", "success")},
            )
        ],
        __doc__,
        args,
    )


if __name__ == "__main__":
    main()
