"""The Practitioner's Guide's finding on warm starts: how much of a fixed budget to imitate with.

A stand-in for its TextWorld games: the houses of `households.py`. The budget is 1,600 episodes, of
imitation (16 a step) or of reinforcement by GRPO (32 a step).

    python benchmarks/claims/warmstart.py --seeds 5
"""

from collections.abc import Sequence
from dataclasses import replace

import households
from claim import Claim, measure
from report import table
from runs import Run

from ludus.trainer.config import TrainConfig

BUDGET = 1600
SHARES = (100, 75, 50)
"""Steps of imitation."""
LOOK = 4
"""Steps that only play, to see what imitation alone gives."""


def arms() -> dict[str, TrainConfig]:
    """From all imitation to half of it."""
    grpo = households.in_world("grpo")
    found = {}
    for imitated in SHARES:
        rest = (BUDGET - 16 * imitated) // 32
        found[f"{imitated} + {rest} steps"] = replace(
            grpo, warmstart_steps=imitated, steps=rest or LOOK
        )
    return found


def ends(run: Run) -> float:
    """Success in the last 4 steps, 128 episodes."""
    return run.late("rollout/success", LOOK / run.steps)


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    wanted = arms()
    measure(
        Claim(
            name="warmstart",
            arms=wanted,
            lrs={
                name: (1e-12,) if arm.steps == LOOK else households.RATES
                for name, arm in wanted.items()
            },
            watch=households.WATCH,
            score=ends,
            report=lambda runs, extra: table(runs, {"success, last 4 steps": ends}),
        ),
        __doc__,
        args,
    )


if __name__ == "__main__":
    main()
