"""SPIRAL's claim: role-conditioned advantages (RAE) against one shared baseline and against none.

Kuhn poker, whose seats are worth -1/18 and 1/18 of a chip, and the same game with a fee that the
first seat pays the second whatever happens, which makes the seats as unequal as one likes and
changes nothing about how to play. First the estimators at a fixed policy: how far the mean
advantage of a seat is from 0, and how much the gradient of a batch varies. Then training, by
SPIRAL's PPO with two epochs: with a weak magnet, without which so small a model is deterministic
before it has learned to read its card, and without any.

    python benchmarks/claims/rae.py
    python benchmarks/claims/rae.py --claim rae-plain
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import worlds  # noqa: F401  # registers the game
from claim import Claim, Extra, measure
from report import figure, grid, line, table
from training import Run, remembered, trainer_of, warm_started

from ludus.trainer.advantages import ADVANTAGES
from ludus.trainer.batch import pack
from ludus.trainer.config import RECIPES, TrainConfig
from ludus.trainer.parts import make_part
from ludus.trainer.train import Trainer

ESTIMATORS = {"RAE": "rae", "shared": "baselines:SharedBaseline", "none": "returns"}
GAMES = {f"fee {fee}": f'{{"fee": {fee}.0}}' for fee in (0, 1, 4)}
WATCH = (
    "eval/exploitability", "rollout/entropy", "loss/grad_norm", "rollout/invalid_rate",
)  # fmt: skip
PLAIN = replace(
    RECIPES["spiral"],
    env="worlds:claims/PaidKuhn-v1",
    steps=150,
    episodes=128,
    micro_tokens=4096,
    warmstart_steps=100,
    eval_every=5,
    eval_episodes=16,
)
"""SPIRAL as it is."""
BASE = replace(PLAIN, kl=0.25, kl_end=0.25, kl_schedule="constant", beta1=0.0, beta2=0.99)
"""And with a magnet, and no momentum, which in self-play circles around an equilibrium."""


def arms(base: TrainConfig, games: Sequence[str]) -> dict[str, TrainConfig]:
    """Each estimator in each game."""
    return {
        f"{name}, {game}": replace(base, env_args=GAMES[game], advantage=spec)
        for game in games
        for name, spec in ESTIMATORS.items()
    }


def statistics(config: TrainConfig) -> dict[str, dict[str, float]]:
    """Every estimator on the same batches of games of one fixed policy, after 4 to settle."""
    batches = 16
    begun = warm_started(replace(config, env_args=GAMES["fee 0"]))
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
    return replace(PLAIN, env_args=GAMES["fee 0"], seed=config.seed)


def fixed_policies(seeds: int) -> dict[str, list[dict[str, dict[str, float]]]]:
    """Game -> for each seed the statistics of its warm started policy."""
    begun = [start(replace(PLAIN, seed=seed)) for seed in range(seeds)]
    return {
        game: [remembered(statistics, replace(config, env_args=args)) for config in begun]
        for game, args in GAMES.items()
    }


COLUMNS = {
    "exploitability, last quarter": lambda run: run.late("eval/exploitability"),
    "exploitability, whole run": lambda run: run.late("eval/exploitability", 1.0),
    "invalid replies, last quarter": lambda run: run.late("rollout/invalid_rate"),
    "entropy, last quarter": lambda run: run.late("rollout/entropy"),
    "length of the gradient, whole run": lambda run: run.late("loss/grad_norm", 1.0),
}


def against(games: Sequence[str]) -> list[tuple[str, str]]:
    """RAE is compared with either of the others."""
    return [(f"RAE, {game}", f"{other}, {game}") for game in games for other in ("shared", "none")]


def compared(runs: Sequence[Run], games: Sequence[str]) -> str:
    """The table of trained runs."""
    return table(runs, COLUMNS, against(games), list(COLUMNS)[:4])


def report(runs: Sequence[Run], fixed: Extra) -> str:
    """Both tables: at fixed policies, and trained."""
    rows = [
        "At a fixed policy (warm started, one a seed; 16 batches of 64 games):",
        "",
        *grid(["estimator", "game", "seat bias, chips", "variance of the gradient, RAE's = 1"]),
    ]
    for game, by_seed in fixed.items():
        for name in ESTIMATORS:
            ratio = [s[name]["variance"] / s["RAE"]["variance"] for s in by_seed]
            bias = figure([s[name]["bias"] for s in by_seed])
            rows.append(line([name, game, bias, figure(ratio)]))
    return "\n".join([*rows, "", "Trained:", "", compared(runs, TRAINED)])


TRAINED = ("fee 0", "fee 4")


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    shared: dict[str, Any] = {
        "watch": WATCH,
        # Exploitability is that of the legal moves' probabilities, so what is not legal counts too.
        "score": lambda run: -run.late("eval/exploitability") - run.late("rollout/invalid_rate"),
        "starts": start,
        "columns": COLUMNS,
    }
    with_magnet = Claim(
        name="rae",
        arms=arms(BASE, TRAINED),
        lrs=(3e-4, 1e-3, 3e-3),
        extra=fixed_policies,
        report=report,
        curves={
            "rae": ("eval/exploitability", "exploitability"),
            "rae-invalid": ("rollout/invalid_rate", "share of invalid replies"),
        },
        **shared,
    )
    without = Claim(
        name="rae-plain",
        arms=arms(PLAIN, ("fee 4",)),
        lrs=(1e-3,),
        report=lambda runs, extra: compared(runs, ("fee 4",)),
        curves={"rae-plain": ("rollout/invalid_rate", "share of invalid replies")},
        **shared,
    )
    measure([with_magnet, without], __doc__, args)


if __name__ == "__main__":
    main()
