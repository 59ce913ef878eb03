"""The end of a run: what came of it, in files a person opens."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ludus.envs.manifest import held_out
from ludus.envs.task import derive_seed
from ludus.trainer import evaluate
from ludus.trainer.arena import Arena
from ludus.trainer.games import GameRecord, record_games
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
    out, config, arenas = trainer.out, trainer.config, trainer.arenas
    result: dict[str, Any] = {
        "env": config.env,
        "step": trainer.step,
        "steps": config.steps,
        "episodes": trainer.episodes_done,
        "time_s": round(trainer.time_s, 2),
        "exploitability": None,
        "policy": None,
    }
    rows: dict[str, list[dict[str, Any]]] = {"opponents": [], "tasks": []}
    several: dict[str, Any] = {}
    for arena in arenas:
        solved = _solved(trainer, arena)
        if arena.name:
            several[arena.name] = solved
        else:
            result |= solved
        name = {"arena": arena.name} if arena.name else {}
        for kind, found in _played(trainer, arena).items():
            rows[kind] += [{**name, **row} for row in found]
    result |= {kind: found for kind, found in rows.items() if found}
    if several:
        result["arenas"] = several
    _write_json(out / "result.json", result)
    share = max(GAMES // len(arenas), 1)
    games = [game for arena in arenas for game in _shown(trainer, arena, share)]
    _write_json(out / "games.json", games)
    trainer.say(f"report: {write_report(out)}")
    return result


def _solved(trainer: "Trainer", arena: Arena) -> dict[str, Any]:
    """Exploitability and policy, where the game is small enough."""
    if arena.tree is None:
        return {}
    now, table = evaluate.exploitability(trainer.agent, arena.tree)
    metric = "/".join(filter(None, ("eval/exploitability", arena.name)))
    seen = [m[metric] for m in read_metrics(trainer.out) if metric in m]
    trainer.say(
        f"{arena.name} exploitability {seen[0]:.4f} before, {now.exploitability:.4f} after "
        f"{trainer.episodes_done:,} games and {trainer.time_s:.0f} s".strip()
    )
    before_after = {
        "before": seen[0],
        "after": now.exploitability,
        "best": min(*seen, now.exploitability),
    }
    return {
        "exploitability": before_after,
        "policy": table,
        "value": now.value,
        "min_legal_mass": now.min_legal_mass,
    }


def _played(trainer: "Trainer", arena: Arena) -> dict[str, list[dict[str, Any]]]:
    """Results against every opponent that can play, or at held-out tasks."""
    settings: dict[str, Any] = {
        "episodes": trainer.config.eval_episodes,
        "seed": trainer.config.seed,
        "env_kwargs": arena.kwargs,
    }
    if len(arena.env.ROLES) == 1:
        solved = evaluate.solve(trainer.agent, arena.env_id, **settings)
        trainer.say(
            f"{arena.name} solved {solved.success_rate:.1%} [{solved.success_low:.1%}, "
            f"{solved.success_high:.1%}] of {solved.episodes} tasks of {solved.split}".strip()
        )
        return {"tasks": [solved.to_json()]}
    rows = []
    for opponent in OPPONENTS:
        try:
            results = evaluate.against(trainer.agent, arena.env_id, opponent, **settings)
        except ValueError:
            continue  # minimax on hidden information, nash on a game that is too large
        rows += [result.to_json() for result in results]
    return {"opponents": rows}


def _shown(trainer: "Trainer", arena: Arena, number: int) -> list[GameRecord]:
    """Games on record."""
    player = Rollout(
        trainer.engine,
        trainer.chat,
        lambda: arena.make_env(render_mode="ansi"),
        trainer.agent.sampling,
        opponents=arena.others(arena.own[0], arena.opponent),
        keep_replays=number,
    )
    seed = trainer.config.seed
    tasks = arena.tasks(held_out(arena.env)).shuffle(seed, number)
    games = player.play(list(tasks), seed=derive_seed(seed, "shown"))
    return record_games(games, arena.make_env)


def _write_json(path: Path, value: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(part, path)
