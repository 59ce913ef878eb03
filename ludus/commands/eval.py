"""`ludus eval`: a policy against opponents, or at tasks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ludus.cli import parse

if TYPE_CHECKING:
    from ludus.trainer.evaluate import SeatResult, TaskResult


@dataclass(frozen=True)
class EvalOptions:
    """Play a policy in every seat against opponents that play the others; where there is one seat,
    at held-out tasks."""

    policy: str
    """A run, a checkpoint, a model folder, or a hub id."""
    env: str = ""
    """Environment; by default the one the run was trained in."""
    opponent: tuple[str, ...] = ("random",)
    """One or more agents: random, minimax, mcts:200, nash, negotiator, bargainer. Not for one
    seat."""
    episodes: int = 200
    """Per opponent and seat; or tasks."""
    seed: int = 0
    """Same seed, same episodes."""
    split: str = ""
    """Where tasks come from; by default the environment's test split, or its last."""
    temperature: float = 1.0
    """Of sampling; 0 takes the most likely token."""
    out: str = ""
    """JSON file to write; by default eval-ENV-OPPONENTS.json or eval-ENV-SPLIT.json, in the run or
    in this folder."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    options = parse(EvalOptions, args, "eval")
    if options.episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {options.episodes}")
    from ludus.trainer.evaluate import against, held_out, solve
    from ludus.trainer.load import load_policy

    policy = load_policy(options.policy, env=options.env, temperature=options.temperature)
    env = policy.make_env()
    settings: dict[str, Any] = {
        "episodes": options.episodes,
        "seed": options.seed,
        "split": options.split or held_out(env),
        "env_kwargs": policy.env_kwargs,
    }
    if len(env.ROLES) == 1:
        solved = solve(policy.agent, policy.env, **settings)
        rows, table, name = [solved.to_json()], _tasks([solved]), settings["split"]
    else:
        played = [
            result
            for opponent in options.opponent
            for result in against(policy.agent, policy.env, opponent, **settings)
        ]
        rows, table = [result.to_json() for result in played], _games(played)
        name = "-".join(options.opponent).replace(":", "-")
    table.title = f"{options.policy} in {policy.env}, {settings['split']}"
    Console().print(table)
    file = f"eval-{policy.env.replace('/', '-')}-{name}.json"
    run = Path(options.policy)
    out = Path(options.out) if options.out else (run if run.is_dir() else Path()) / file
    record = {
        "policy": options.policy,
        "env": policy.env,
        "split": settings["split"],
        "seed": options.seed,
        "temperature": options.temperature,
        "results": rows,
    }
    out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {out}")
    return 0


def _games(results: "Sequence[SeatResult]") -> Table:
    table = _table(
        "opponent", "seat", "episodes", "mean return", "win rate", "draws", "invalid", "turns"
    )
    for r in results:
        table.add_row(
            r.opponent,
            r.seat,
            str(r.episodes),
            f"{r.mean_return:+.3f} ± {r.mean_ci:.3f}",
            f"{r.win_rate:.1%} [{r.win_low:.1%}, {r.win_high:.1%}]",
            f"{r.draw_rate:.1%}",
            f"{r.invalid_rate:.2%}",
            f"{r.turns_mean:.2f}",
        )
    return table


def _tasks(results: "Sequence[TaskResult]") -> Table:
    table = _table("split", "episodes", "solved", "mean return", "invalid", "turns")
    for r in results:
        table.add_row(
            r.split,
            str(r.episodes),
            f"{r.success_rate:.1%} [{r.success_low:.1%}, {r.success_high:.1%}]",
            f"{r.mean_return:+.3f} ± {r.mean_ci:.3f}",
            f"{r.invalid_rate:.2%}",
            f"{r.turns_mean:.2f}",
        )
    return table


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, header_style="bold")
