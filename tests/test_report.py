"""The page of a run. The runs here are made up: smooth curves and hand-written games."""

import html
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from ludus.trainer.report import write_report

HOSTILE = '</script><img src=x onerror="document.documentElement.dataset.error=1">\x00\u202e\ud800'


def metrics(steps: int, *, solved: bool = True) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for step in range(steps + 1):
        past = step / steps
        row: dict[str, Any] = {"step": step, "time_s": 12 + 0.6 * step, "episodes": 2048 * step}
        if step:
            wave = math.sin(step * 2.4) * 0.04
            row |= {
                "rollout/entropy": 0.66 - 0.3 * past + wave / 2,
                "rollout/invalid_rate": 0.02 * math.exp(-9 * past),
                "rollout/tokens_per_s": 8100 + 9000 * wave,
                "return/player_0": -0.055 + wave,
                "return/player_1": 0.055 - wave,
                "loss/policy": wave * 0.1,
                "loss/grad_norm": 0.3 + wave,
                "parity/max": 2e-6 * (1 + abs(wave) * 20),
                "time/sample_s": 0.4,
                "time/pack_s": 0.05,
                "time/update_s": 0.15 + wave / 10,
            }
        if step % max(steps // 20, 1) == 0:
            if solved:
                row |= {
                    "eval/exploitability": 0.43 * math.exp(-3.2 * past) + 0.021,
                    "eval/value": -0.125 + 0.07 * past,
                }
            else:
                row |= {
                    "eval/win_rate/player_0": 0.5 + 0.4 * past,
                    "eval/win_rate/player_1": 0.3 + 0.4 * past,
                }
        rows.append(row)
    return rows


def kuhn_games() -> list[dict[str, Any]]:
    def move(seat: str, reply: str, board: str, **more: Any) -> dict[str, Any]:
        shown = "You are player_0. Your card is K.\nLegal actions: check, bet"
        return {"seat": seat, "shown": shown, "reply": reply, "invalid": "", "board": board, **more}

    board = "player_0 [K]   pot {}   player_1 [Q]   moves: {}"
    return [
        {
            "env": "ludus/KuhnPoker-v1", "task_key": "k1", "seats": ["player_0", "player_1"],
            "returns": {"player_0": 2.0, "player_1": -2.0}, "stop": "terminated",
            "reason": "player_0 wins 2 at showdown", "start": board.format(2, "-"),
            "moves": [
                move("player_0", "bet", board.format(3, "bet/call"),
                     logps=[-0.223, -0.01], entropy=0.31),
                move("player_1", "call", board.format(4, "bet/call bet/call"),
                     logps=[-1.1, -0.01], entropy=0.4),
            ],
        },
        {
            "env": "ludus/KuhnPoker-v1", "task_key": "k2", "seats": ["player_0", "player_1"],
            "returns": {"player_0": -1.5, "player_1": 0.5}, "stop": "forfeit",
            "reason": "player_0 forfeits", "start": board.format(2, "-"),
            "moves": [move("player_0", HOSTILE, board.format(2, "-"),
                           invalid=f"{HOSTILE[:40]!r} is not a legal action")],
        },
    ]  # fmt: skip


def policy() -> dict[str, dict[str, float]]:
    table = {}
    for seat, histories in (("player_0", ("-", "check bet")), ("player_1", ("check", "bet"))):
        for card, p in zip("JQK", (0.22, 0.04, 0.91), strict=True):
            for history in histories:
                actions = ("fold", "call") if history.endswith("bet") else ("check", "bet")
                table[f"{seat} Your card is {card}. {history}"] = dict(
                    zip(actions, (1 - p, p), strict=True)
                )
    return table


def result(**more: Any) -> dict[str, Any]:
    seats = [
        {
            "opponent": "nash", "seat": seat, "episodes": 500, "mean_return": mean,
            "mean_ci": 0.118, "win_rate": 0.47, "win_low": 0.427, "win_high": 0.514,
            "draw_rate": 0.0, "invalid_rate": 0.0, "turns_mean": 1.32, "errors": 0,
        }
        for seat, mean in (("player_0", -0.07), ("player_1", 0.05))
    ]  # fmt: skip
    return {
        "env": "ludus/KuhnPoker-v1", "steps": 400, "episodes": 819_200, "time_s": 272.0,
        "exploitability": {"before": 0.451, "after": 0.0385, "best": 0.0381}, "value": -0.056,
        "policy": policy(), "opponents": seats, **more,
    }  # fmt: skip


def make_run(
    folder: Path,
    rows: list[dict[str, Any]],
    *,
    result: dict[str, Any] | None = None,
    games: list[dict[str, Any]] | None = None,
) -> Path:
    """A folder with the files of a run; those that are None are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"env": "ludus/KuhnPoker-v1", "model": "small", "seed": 0, "steps": 400,
              "forfeit": [-1.5, 0.5], "parity_tolerance": 1e-3}  # fmt: skip
    files: dict[str, Any] = {
        "config.json": {"config": config, "python": "3.11.2", "versions": {"torch": "2.13.0"},
                        "revision": "abc1234"},
        "result.json": result,
        "games.json": games,
    }  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, content in files.items():
        if content is not None:
            (folder / name).write_text(json.dumps(content))
    return folder


def page_of(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def words(page: str) -> str:
    """What a reader sees: no tags, scripts or styles."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", bare)).split())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "kuhn-selfplay"
    return make_run(folder, metrics(400), result=result(), games=kuhn_games())


def test_says_what_the_run_reached(run: Path) -> None:
    seen = words(page_of(run))
    assert "0.451 → 0.0385" in seen
    assert "819,200" in seen
    assert "4 min 32 s" in seen
    assert "not finished" not in seen
    for title in ("Exploitability", "Entropy", "Return per role", "Invalid replies",
                  "Sampling speed", "Parity of engine and learner"):  # fmt: skip
        assert title in seen
