"""EPO's, GiGPO's and EMPG's claims: each against GRPO, with and without an entropy bonus.

Eight small houses in which something is to be found and put somewhere; 24 commands, reward 1 at the
end or nothing. All arms begin with the same model, which imitated a planner that errs. What is
compared is the share of episodes that reach the goal, on the tasks trained on, and for EPO how
entropy moves from step to step.

    python benchmarks/claims/households.py --seeds 5
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import worlds  # noqa: F401  # registers the houses
from claim import Claim, measure
from report import picture, table
from runs import NEVER, Run

from ludus.trainer.config import RECIPES, TrainConfig

WATCH = (
    "rollout/success", "rollout/entropy", "rollout/turns_mean", "rollout/invalid_rate",
    "credit/zero_spread", "loss/grad_norm",
)  # fmt: skip
WORLD = TrainConfig(
    env="worlds:claims/FewHouses-v1",
    env_args='{"kind": "put", "receptacles": 3, "objects": 0, "distractors": 0, '
    '"show_legal": false}',
    model="small:max_positions=1024,vocab_size=1024",
    on_invalid="noop",
    max_reply_tokens=16,
    steps=14,
    episodes=32,
    warmstart_agent="expert:0.3",
    warmstart_episodes=64,
    warmstart_steps=75,
    eval_every=NEVER,
)
ENTROPY = 0.01
RATES = (3e-4, 1e-3)


def in_world(recipe: str) -> TrainConfig:
    """What a recipe says of the method, in these houses."""
    names = ("advantage", "aggregation", "loss", "epochs", "modulation", "group_size")
    return replace(WORLD, **{name: getattr(RECIPES[recipe], name) for name in names})


def arms() -> dict[str, TrainConfig]:
    """GRPO first: all others are compared with it."""
    grpo = in_world("grpo")
    return {
        "GRPO": grpo,
        "GRPO + entropy bonus": replace(
            grpo, entropy=ENTROPY, entropy_end=ENTROPY, entropy_schedule="constant"
        ),
        "GRPO + EPO": replace(grpo, regularizers=(f"epo:weight={ENTROPY}",)),
        "PPO": in_world("ppo"),
        "GiGPO": in_world("gigpo"),
        "EMPG": in_world("empg"),
    }


def wobble(run: Run) -> float:
    """Standard deviation of entropy from step to step: of its differences, over the root of 2."""
    return float(np.std(np.diff(run.curves["rollout/entropy"]), ddof=1) / 2**0.5)


COLUMNS = {
    "success, last quarter": lambda run: run.late("rollout/success"),
    "success, whole run": lambda run: run.late("rollout/success", 1.0),
    "turns, last quarter": lambda run: run.late("rollout/turns_mean"),
    "entropy, last quarter": lambda run: run.late("rollout/entropy"),
    "entropy, step to step": wobble,
}


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    measure(
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
        ),
        __doc__,
        args,
    )


if __name__ == "__main__":
    main()
