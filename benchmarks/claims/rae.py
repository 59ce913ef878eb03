"""SPIRAL's claim: role-conditioned advantages (RAE) against one shared baseline and against none.

Kuhn poker, whose seats are worth -1/18 and 1/18 of a chip, and the same game with a fee of one chip
that the first seat pays the second, which makes the seats as unequal as one likes and changes
nothing about how to play. First the estimators at a fixed policy: how far the mean advantage of a
seat is from 0, and how much the gradient of a batch varies. Then short training runs of
the second.

    python benchmarks/claims/rae.py --seeds 5
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import worlds  # noqa: F401  # registers the game
from claim import Claim, Extra, measure
from report import figure, picture, table
from training import Run, remembered, trainer_of, warm_started

from ludus.trainer.advantages import ADVANTAGES
from ludus.trainer.batch import pack
from ludus.trainer.config import TrainConfig
from ludus.trainer.parts import make_part
from ludus.trainer.train import Trainer

ESTIMATORS = {"RAE": "rae", "shared": "baselines:SharedBaseline", "none": "returns"}
GAMES = {"Kuhn": '{"fee": 0.0}', "Kuhn, fee 1": '{"fee": 1.0}'}
WATCH = (
    "eval/exploitability", "rollout/entropy", "loss/grad_norm", "rollout/invalid_rate",
)  # fmt: skip
BASE = TrainConfig(
    env="worlds:claims/PaidKuhn-v1",
    steps=80,
    episodes=256,
    loss="reinforce",
    aggregation="seq-mean-token-sum",
    kl=0.5,
    kl_end=0.2,
    beta1=0.0,
    beta2=0.99,
    warmstart_steps=100,
    eval_every=5,
    eval_episodes=16,
)


def arms() -> dict[str, TrainConfig]:
    """Each estimator in the game whose seats differ the most."""
    return {
        name: replace(BASE, env_args=GAMES["Kuhn, fee 1"], advantage=spec)
        for name, spec in ESTIMATORS.items()
    }


def statistics(config: TrainConfig) -> dict[str, dict[str, float]]:
    """Every estimator on the same batches of games of one fixed policy, after 4 to settle."""
    batches = 16
    begun = warm_started(replace(config, env_args=GAMES["Kuhn"]))
    trainer = trainer_of(replace(config, model=begun, warmstart_steps=0, episodes=64))
    made: dict[str, Any] = {
        name: make_part("advantage", spec, ADVANTAGES) for name, spec in ESTIMATORS.items()
    }
    means: dict[str, list[tuple[float, float]]] = {name: [] for name in made}
    gradients: dict[str, list[torch.Tensor]] = {name: [] for name in made}
    for number in range(batches + 4):
        episodes = trainer.sampler.sample(number)
        trajectories = [t for e in episodes for t in e.trajectories]
        for name, estimator in made.items():
            advantages = estimator(episodes)
            if number < 4:
                continue
            by_seat = [
                [a[0] for a, t in zip(advantages, trajectories, strict=True) if t.role == role]
                for role in trainer.arenas[0].env.ROLES
            ]
            means[name].append((float(np.mean(by_seat[0])), float(np.mean(by_seat[1]))))
            gradients[name].append(_gradient(trainer, trajectories, advantages))
    out = {}
    for name in made:
        seat = np.array(means[name]).mean(axis=0)
        g = torch.stack(gradients[name])
        mean = g.mean(0)
        variance = float(((g - mean) ** 2).sum(1).mean() * batches / (batches - 1))
        # The mean of noisy gradients is longer than the gradient by its own variance.
        signal = max(float((mean**2).sum()) - variance / batches, 0.0)
        out[name] = {
            "bias": float(abs(seat[0] - seat[1]) / 2),
            "variance": variance,
            "signal": signal,
        }
    return out


def _gradient(trainer: Trainer, trajectories: Sequence[Any], advantages: Any) -> torch.Tensor:
    """The policy gradient of one batch, flat."""
    packed = pack(trajectories, advantages, aggregation="seq-mean-token-sum")
    for batch in packed:
        logps_UV = trainer.learner.logps_UV(trainer.model, batch)
        chosen_N = logps_UV[batch.slot_N, batch.token_N]
        (-(batch.weight_N * batch.advantage_N * chosen_N).sum()).backward()  # type: ignore[no-untyped-call]
    flat = torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])
    trainer.model.zero_grad(set_to_none=True)
    return flat


def start(config: TrainConfig) -> TrainConfig:
    """A warm start a seed, the same for both games, whose texts are the same."""
    return replace(BASE, env_args=GAMES["Kuhn"], seed=config.seed)


def fixed_policies(seeds: int) -> dict[str, list[dict[str, dict[str, float]]]]:
    """Game -> for each seed the statistics of its warm started policy."""
    begun = [start(replace(BASE, seed=seed)) for seed in range(seeds)]
    return {
        game: [remembered(statistics, replace(config, env_args=args)) for config in begun]
        for game, args in GAMES.items()
    }


def report(runs: Sequence[Run], fixed: Extra) -> str:
    """Both tables: at fixed policies, and trained."""
    rows = [
        "At a fixed policy (warm started, one a seed; 16 batches of 64 games):",
        "",
        "| estimator | game | seat bias, chips | variance of the gradient, RAE's = 1 |",
        "|---|---|---|---|",
    ]
    for game, by_seed in fixed.items():
        for name in ESTIMATORS:
            ratio = [s[name]["variance"] / s["RAE"]["variance"] for s in by_seed]
            bias = figure([s[name]["bias"] for s in by_seed])
            rows.append(f"| {name} | {game} | {bias} | {figure(ratio)} |")
    columns = {
        "exploitability, last quarter": lambda run: run.late("eval/exploitability"),
        "mean over the run": lambda run: run.late("eval/exploitability", 1.0),
        "entropy at the end": lambda run: run.late("rollout/entropy", 0.1),
    }
    return "\n".join([*rows, "", "Trained with the fee:", "", table(runs, columns)])


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    measure(
        [
            Claim(
                name="rae",
                arms=arms(),
                lrs=(5e-4, 1e-3),
                watch=WATCH,
                score=lambda run: -run.late("eval/exploitability"),
                starts=start,
                extra=fixed_policies,
                report=report,
                pictures=lambda runs: {
                    "rae": picture(runs, "eval/exploitability", "exploitability", low=0.0)
                },
            )
        ],
        __doc__,
        args,
    )


if __name__ == "__main__":
    main()
