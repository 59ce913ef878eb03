"""The end of a run: what came of it, in files a person opens."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ludus.envs.task import derive_seed
from ludus.trainer import evaluate
from ludus.trainer.games import record_games
from ludus.trainer.metrics import read_metrics
from ludus.trainer.report import write_report
from ludus.trainer.rollout import Rollout

if TYPE_CHECKING:
    from ludus.trainer.train import Trainer

OPPONENTS = ("random", "minimax", "nash")
GAMES = 6


def finish(trainer: "Trainer") -> dict[str, Any]:
    """Judge the policy as it stands; write `result.json`, `games.json` and `report.html`.

    Returns:
        The result, as it was written.
    """
    out, config = trainer.out, trainer.config
    result: dict[str, Any] = {
        "env": config.env,
        "step": trainer.step,
        "steps": config.steps,
        "episodes": trainer.episodes_done,
        "time_s": round(trainer.time_s, 2),
        "exploitability": None,
        "policy": None,
    }
    arena = trainer.arena
    if arena.tree is not None:
        now, table = evaluate.exploitability(trainer.agent, arena.tree)
        seen = [m["eval/exploitability"] for m in read_metrics(out) if "eval/exploitability" in m]
        result["exploitability"] = {
            "before": seen[0],
            "after": now.exploitability,
            "best": min(*seen, now.exploitability),
        }
        result |= {"value": now.value, "min_legal_mass": now.min_legal_mass, "policy": table}
        trainer.say(
            f"exploitability {seen[0]:.4f} before, {now.exploitability:.4f} after "
            f"{trainer.episodes_done:,} games and {trainer.time_s:.0f} s"
        )
    settings: dict[str, Any] = {
        "episodes": config.eval_episodes, "seed": config.seed, "env_kwargs": arena.kwargs,
    }  # fmt: skip
    if len(arena.env.ROLES) > 1:
        result["opponents"] = _against_all(trainer, settings)
    else:
        solved = evaluate.solve(trainer.agent, config.env, **settings)
        result["tasks"] = [solved.to_json()]
        trainer.say(
            f"solved {solved.success_rate:.1%} [{solved.success_low:.1%}, "
            f"{solved.success_high:.1%}] of {solved.episodes} tasks of {solved.split}"
        )
    _write_json(out / "result.json", result)
    player = Rollout(
        trainer.engine,
        trainer.chat,
        lambda: arena.make_env(render_mode="ansi"),
        trainer.agent.sampling,
        opponents=arena.seatings[0],
        keep_replays=GAMES,
    )
    tasks = arena.tasks(evaluate.held_out(arena.env)).shuffle(config.seed, GAMES)
    games = player.play(list(tasks), seed=derive_seed(config.seed, "shown"))
    _write_json(out / "games.json", record_games(games, arena.make_env))
    trainer.say(f"report: {write_report(out)}")
    return result


def _against_all(trainer: "Trainer", settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Results against every opponent that can play the environment."""
    rows = []
    for opponent in OPPONENTS:
        try:
            results = evaluate.against(trainer.agent, trainer.config.env, opponent, **settings)
        except ValueError:
            continue  # minimax on hidden information, nash on a game that is too large
        rows += [result.to_json() for result in results]
    return rows


def _write_json(path: Path, value: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(part, path)
