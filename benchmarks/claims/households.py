"""EPO's, GiGPO's and EMPG's claims: against GRPO and PPO, with and without an entropy bonus.

Eight small houses in which something is to be found and put somewhere; 24 commands, reward 1 at the
end or nothing. The arms of a seed begin with the same model, which imitated a planner that errs.
Compared are the share of episodes that reach the goal, in these houses, and for EPO how entropy
moves.

    python benchmarks/claims/households.py
"""

from collections.abc import Sequence
from dataclasses import replace

from claim import Claim, Extra, measure
from report import by_arm, figure, table
from settings import COLUMNS, HOUSE_RATES, HOUSES, WATCH, in_world, one_of_five, solved
from training import Run

from ludus.trainer.config import TrainConfig

WEIGHT = 0.01
"""Of all entropy terms, the bonus and EPO's."""


def arms() -> dict[str, TrainConfig]:
    """GRPO and PPO first: the others are compared with one of them."""
    # One pass over a rollout, as GRPO makes: as many optimizer steps in all arms.
    grpo, ppo = in_world("grpo", HOUSES), replace(in_world("ppo", HOUSES), epochs=1)
    corridor = f"epo:weight={WEIGHT},steps={HOUSES.steps}"
    published = f"{corridor},alpha=0.1,low=0,high=2"

    def bonus(arm: TrainConfig) -> TrainConfig:
        return replace(arm, entropy=WEIGHT, entropy_end=WEIGHT, entropy_schedule="constant")

    return {
        "GRPO": grpo,
        "GRPO + bonus": bonus(grpo),
        "GRPO + EPO": replace(grpo, regularizers=(corridor,)),
        "GRPO + EPO, published": replace(grpo, regularizers=(published,)),
        "PPO": ppo,
        "PPO + bonus": bonus(ppo),
        "PPO + EPO": replace(ppo, regularizers=(corridor,)),
        "GiGPO": in_world("gigpo", HOUSES),
        "EMPG": in_world("empg", HOUSES),
    }


AGAINST = [
    ("GRPO + bonus", "GRPO"),
    ("GRPO + EPO", "GRPO"),
    ("GRPO + EPO", "GRPO + bonus"),
    ("GRPO + EPO, published", "GRPO"),
    ("GRPO + EPO, published", "GRPO + EPO"),
    ("PPO", "GRPO"),
    ("PPO + bonus", "PPO"),
    ("PPO + EPO", "PPO"),
    ("PPO + EPO", "PPO + bonus"),
    ("GiGPO", "GRPO"),
    ("EMPG", "GRPO"),
]
SHOWN = {
    **COLUMNS,
    "solved at the end": solved("train"),
}
RECURS = {
    "states met again": lambda run: (
        1 - sum(run.curves["credit/state_singletons"]) / sum(run.curves["credit/state_groups"])
        if any(run.curves["credit/state_groups"])
        else 0.0
    ),
    "turns in a state met again": lambda run: (
        1 - sum(run.curves["credit/state_singletons"]) / sum(run.curves["rollout/replies"])
        if any(run.curves["credit/state_groups"])
        else 0.0
    ),
}
"""Of GiGPO: the share of states, within a task, that two turns or more of its group were in."""


def report(runs: Sequence[Run], extra: Extra) -> str:
    """The table, and how often GiGPO had something to compare."""
    heads = list(SHOWN)
    compared = [heads[0], heads[1], heads[3], heads[4], heads[5]]
    again = [
        f"{name} {figure([run.figures[name] for run in by_arm(runs)['GiGPO']])}" for name in RECURS
    ]
    return f"{table(runs, SHOWN, AGAINST, compared)}\n\nGiGPO: {', '.join(again)}."


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    measure(
        [
            Claim(
                name="households",
                arms=arms(),
                lrs={
                    arm: HOUSE_RATES if arm in ("GRPO", "PPO") else HOUSE_RATES[:2]
                    for arm in arms()
                },
                watch=(
                    *WATCH, "rollout/replies", "credit/state_groups", "credit/state_singletons",
                ),
                score=lambda run: run.late("rollout/success", 0.5),
                columns={**SHOWN, **RECURS},
                report=report,
                starts=one_of_five,
                judge=("train",),
                curves={
                    "households": ("rollout/success", "success"),
                    "households-entropy": ("rollout/entropy", "entropy, nats a token"),
                },
            )
        ],
        __doc__,
        args,
    )  # fmt: skip


if __name__ == "__main__":
    main()
