"""EPO's, GiGPO's and EMPG's claims: each against GRPO, with and without an entropy bonus.

Eight small houses in which something is to be found and put somewhere; 24 commands, reward 1 at the
end or nothing. All arms begin with the same model, which imitated a planner that errs. What is
compared is the share of episodes that reach the goal, on the tasks trained on, and for EPO how
entropy moves from step to step.

    python benchmarks/claims/households.py --seeds 5
"""

from collections.abc import Sequence
from dataclasses import replace

from claim import Claim, measure
from report import picture, table
from settings import COLUMNS, HOUSES, RATES, WATCH, in_world

from ludus.trainer.config import TrainConfig

ENTROPY = 0.01


def arms() -> dict[str, TrainConfig]:
    """GRPO first: all others are compared with it."""
    grpo = in_world("grpo", HOUSES)
    return {
        "GRPO": grpo,
        "GRPO + entropy bonus": replace(
            grpo, entropy=ENTROPY, entropy_end=ENTROPY, entropy_schedule="constant"
        ),
        "GRPO + EPO": replace(grpo, regularizers=(f"epo:weight={ENTROPY}",)),
        "PPO": in_world("ppo", HOUSES),
        "GiGPO": in_world("gigpo", HOUSES),
        "EMPG": in_world("empg", HOUSES),
    }


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    measure(
        [
            Claim(
                name="households",
                arms=arms(),
                lrs=RATES,
                watch=WATCH,
                score=lambda run: run.late("rollout/success"),
                tune=("GRPO", "PPO"),
                report=lambda runs, extra: table(runs, COLUMNS, against="GRPO"),
                pictures=lambda runs: {
                    "households": picture(
                        runs, "rollout/success", "success, mean of 3", smooth=3, low=0
                    ),
                    "households-entropy": picture(runs, "rollout/entropy", "nats a token", low=0),
                },
            )
        ],
        __doc__,
        args,
    )


if __name__ == "__main__":
    main()
