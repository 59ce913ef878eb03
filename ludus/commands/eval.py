"""`ludus eval`: a policy against opponents."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ludus.cli import parse


@dataclass(frozen=True)
class EvalOptions:
    """Play a policy in every seat against opponents that play the others."""

    policy: str
    """A run, a checkpoint, a model folder, or a hub id."""
    env: str = ""
    """Environment; by default the one the run was trained in."""
    opponent: tuple[str, ...] = ("random",)
    """One or more agents: random, minimax, mcts:200, nash, negotiator."""
    episodes: int = 200
    """Per opponent and seat."""
    seed: int = 0
    """Same seed, same episodes."""
    split: str = ""
    """Where tasks come from; by default the environment's test split, or its last."""
    temperature: float = 1.0
    """Of sampling; 0 takes the most likely token."""
    out: str = ""
    """JSON file to write; by default eval-ENV-OPPONENTS.json in the run, or in this folder."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    options = parse(EvalOptions, args, "eval")
    if options.episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {options.episodes}")
    from ludus.trainer.evaluate import against
    from ludus.trainer.load import load_policy

    policy = load_policy(options.policy, env=options.env, temperature=options.temperature)
    results = [
        result
        for opponent in options.opponent
        for result in against(
            policy.agent,
            policy.env,
            opponent,
            episodes=options.episodes,
            seed=options.seed,
            split=options.split,
            env_kwargs=policy.env_kwargs,
        )
    ]
    columns = (
        "opponent",
        "seat",
        "episodes",
        "mean return",
        "win rate",
        "draws",
        "invalid",
        "turns",
    )
    title = f"{options.policy} in {policy.env}"
    table = Table(*columns, title=title, box=None, header_style="bold")
    for r in results:
        table.add_row(
            r.opponent or "-",
            r.seat,
            str(r.episodes),
            f"{r.mean_return:+.3f} ± {r.mean_ci:.3f}",
            f"{r.win_rate:.1%} [{r.win_low:.1%}, {r.win_high:.1%}]",
            f"{r.draw_rate:.1%}",
            f"{r.invalid_rate:.2%}",
            f"{r.turns_mean:.2f}",
        )
    Console().print(table)
    name = (
        f"eval-{policy.env.replace('/', '-')}-{'-'.join(options.opponent).replace(':', '-')}.json"
    )
    run = Path(options.policy)
    out = Path(options.out) if options.out else (run if run.is_dir() else Path()) / name
    record = {
        "policy": options.policy,
        "env": policy.env,
        "split": options.split,
        "seed": options.seed,
        "temperature": options.temperature,
        "results": [r.to_json() for r in results],
    }
    out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {out}")
    return 0
