"""The page of a run. The runs here are made up: smooth curves and hand-written games."""

import html
import json
import math
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ludus.trainer.report import write_report
from ludus.trainer.report.chart import Axis, Chart, Series, draw

TITLES = (
    "Exploitability", "Entropy", "Return per role", "Invalid replies", "Sampling speed",
    "Parity of engine and learner",
)  # fmt: skip
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
                move("player_0", "bet", board.format(3, "bet"),
                     logps=[-0.223, -0.01], entropy=0.31),
                move("player_1", "call", board.format(4, "bet call"),
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
        "env": "ludus/KuhnPoker-v1", "step": 400, "steps": 400, "episodes": 819_200,
        "time_s": 272.0,
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
        "run.json": {"config": config, "python": "3.11.2", "versions": {"torch": "2.13.0"},
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
    for title in TITLES:
        assert title in seen


def test_the_last_step_is_marked(run: Path) -> None:
    assert '<span class="last" style="left:100.00%">400</span>' in page_of(run)


def test_seats_list_what_they_know_in_one_order(tmp_path: Path) -> None:
    second = ("K", "Q", "J")  # as a game tree comes to them
    table = {f"player_0 Your card is {card}. -": {"bet": 1.0} for card in "JQK"}
    table |= {f"player_1 Your card is {card}. bet": {"call": 1.0} for card in second}
    out = make_run(tmp_path / "run", metrics(10), result=result(policy=table))
    write_report(out)
    assert re.findall(r"Your card is (.)\.</th>", (out / "report.html").read_text()) == [*"JQKJQK"]


def test_shows_policy_opponents_games_and_config(run: Path) -> None:
    seen = words(page_of(run))
    assert "Your card is K. check 9.0 % bet 91.0 % fold 9.0 % call 91.0 %" in seen
    assert "nash player_0 500 −0.07 ± 0.12 47.0 % 42.7 % to 51.4 %" in seen
    assert "player_0 wins 2 at showdown" in seen
    assert "p 79.2 %" in seen  # exp(-0.223 - 0.01)
    assert "moves: bet call" in seen
    assert "parity_tolerance 0.001" in seen
    assert "torch 2.13.0" in seen


def test_needs_nothing_from_outside(run: Path) -> None:
    page = page_of(run)
    assert not re.search(r"https?://|@import|url\(", page)
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == ["data:,"]
    assert sorted(path.name for path in run.iterdir() if "part" in path.name) == []


def test_escapes_what_a_model_wrote(tmp_path: Path) -> None:
    games = kuhn_games()
    games[0]["reason"] = games[0]["moves"][0]["board"] = HOSTILE
    hostile_policy = {f"player_0 {HOSTILE}. -": {HOSTILE: 0.5}}
    rows = [{**row, f"loss/{HOSTILE[:40]}": 1.0} for row in metrics(3)]
    page = page_of(
        make_run(tmp_path / "<b>run", rows, result=result(policy=hostile_policy), games=games)
    )
    assert "<img" not in page
    assert "<b>run" not in page
    assert "\x00" not in page
    assert "&lt;/script&gt;&lt;img src=x onerror=" in page


@pytest.mark.parametrize("kept", ["run.json", "metrics.jsonl", "result.json", "games.json", ""])
def test_leaves_out_what_is_missing(tmp_path: Path, kept: str) -> None:
    make_run(tmp_path, metrics(10), result=result(), games=kuhn_games())
    for path in tmp_path.iterdir():
        if path.name != kept:
            path.unlink()
    seen = words(page_of(tmp_path))
    assert ("No curves" in seen) == (kept != "metrics.jsonl")
    assert ("No games were recorded" in seen) == (kept != "games.json")
    assert ("The policy it learned" in seen) == (kept == "result.json")
    assert ("There is no run.json" in seen) == (kept != "run.json")


def test_says_that_a_run_was_interrupted(tmp_path: Path) -> None:
    make_run(tmp_path, metrics(400)[:231])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 231, "rollout/ent')  # killed while writing
    seen = words(page_of(tmp_path))
    assert "not finished: step 230 of 400" in seen
    assert "Exploitability 0.451 → 0.0" in seen


def test_names_files_that_cannot_be_read(tmp_path: Path) -> None:
    make_run(tmp_path, metrics(10), result=result())
    (tmp_path / "games.json").write_text('[{"env": "ludus/Ku')
    (tmp_path / "run.json").write_text("[]")
    seen = words(page_of(tmp_path))
    assert "games.json could not be read" in seen
    assert "run.json could not be read" in seen


def test_draws_win_rates_where_nothing_can_be_solved(tmp_path: Path) -> None:
    alone = result(exploitability=None, policy=None, value=None)
    seen = words(page_of(make_run(tmp_path, metrics(40, solved=False), result=alone)))
    assert "Win rate" in seen
    assert "Games won 47.0 % as player_0 against nash" in seen
    assert "Exploitability" not in seen


def test_tasks_solved_are_the_first_curve_of_a_run_with_one_seat(tmp_path: Path) -> None:
    rows = [{**row, "eval/success": 0.2 + 0.01 * row["step"]} for row in metrics(40, solved=False)]
    for row in rows:
        for seat in (0, 1):
            row.pop(f"eval/win_rate/player_{seat}", None)
    page = page_of(make_run(tmp_path, rows))
    seen = words(page)
    assert "Tasks solved Share of held-out tasks. solved 60.0 %" in seen
    assert seen.index("Tasks solved") < seen.index("Return per role") < seen.index("more curves")


def test_of_several_environments_each_is_named(tmp_path: Path) -> None:
    rows = metrics(40)
    for row in rows:
        if "eval/exploitability" in row:
            row["eval/exploitability/KuhnPoker-v1"] = row.pop("eval/exploitability")
            row["eval/exploitability/LeducPoker-v1"] = 2.0
    of_all = result(exploitability=None, policy=None, value=None)
    of_all["opponents"] = [{**row, "arena": "TicTacToe-v1"} for row in of_all["opponents"]]
    of_all["arenas"] = {
        "TicTacToe-v1": {},
        "KuhnPoker-v1": {"exploitability": {"before": 0.4, "after": 0.1, "best": 0.05}},
    }
    seen = words(page_of(make_run(tmp_path, rows, result=of_all)))
    assert "0.400 → 0.100 before and after; best 0.0500, in KuhnPoker-v1" in seen
    assert "Games won 47.0 % as player_0 against nash in TicTacToe-v1" in seen
    assert re.search(r"KuhnPoker-v1 0\.03\d+ LeducPoker-v1 2\.00", seen)


def test_copes_with_values_that_are_not_finite(tmp_path: Path) -> None:
    rows = metrics(80)
    rows[30]["rollout/entropy"] = math.nan
    rows[31]["rollout/entropy"] = math.inf
    for row in rows:
        row["loss/policy"] = math.nan
    rows[0]["eval/exploitability"] = 0.0  # has no place on a logarithmic axis
    broken = result(exploitability={"before": math.nan, "after": math.inf, "best": None})
    broken["opponents"][0] |= {"mean_ci": math.inf, "win_rate": math.nan}
    seen = words(page_of(make_run(tmp_path, rows, result=broken)))
    assert "2 not finite" in seen
    assert "not a number → ∞" in seen
    assert "loss/policy" not in seen


def test_long_runs_stay_small_and_keep_their_peaks(tmp_path: Path) -> None:
    rows = metrics(20_000)
    rows[7_777]["rollout/entropy"] = 5.4321
    page = page_of(make_run(tmp_path, rows))
    assert len(page) < 2_000_000
    assert '"5.43"' in page


def test_refuses_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no folder of a run"):
        write_report(tmp_path / "nowhere")


def test_a_gap_lifts_the_pen() -> None:
    points = [((float(x),), y) for x, y in enumerate([0.0, 1.0, math.nan, 1.0, 0.0])]
    chart = Chart("A", "", [Series("a", points)], include=(0.0, 1.0))
    (line, _) = re.findall(r'<path d="([^"]*)"', draw(chart, [Axis("step", "steps", 0, 4)]))
    assert line == "M0.00 100.00L25.00 0.00M75.00 0.00L100.00 100.00"


# ---- in a browser ---------------------------------------------------------------------------

BROWSER = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-sync", "--disable-background-networking", "--disable-component-update",
    "--enable-logging=stderr",
)  # fmt: skip


def dom(page: Path, profile: Path, *, fragment: str = "") -> str:
    """The page as Chromium has it after running its script; no word on the console."""
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs chromium on PATH (Debian package chromium)")
        pytest.skip("no chromium on PATH (Debian package chromium)")
    done = subprocess.run(
        [chromium, *BROWSER, f"--user-data-dir={profile}", "--dump-dom", page.as_uri() + fragment],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    assert 'data-ready="yes"' in done.stdout
    assert "data-error" not in done.stdout.split(">", 2)[1]
    return done.stdout


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chromium")


def test_opens_in_a_browser(run: Path, profile: Path) -> None:
    page = dom(write_report(run), profile)
    seen = words(page)
    assert "0.451 → 0.0385" in seen
    for title in TITLES:
        assert f"<h3>{title}</h3>" in page
    assert re.search(r"player_0 −0\.\d+ player_1 0\.\d+", seen)  # the legend of the returns
    assert "Game 1 player_0 +2 player_1 −2 player_0 wins 2 at showdown" in seen
    assert '<q class="reply">bet</q>' in page
    assert "<img" not in page


def test_switches_the_axis_and_follows_the_pointer(
    run: Path, profile: Path, tmp_path: Path
) -> None:
    page = page_of(run)
    by_step = dom(write_report(run), profile)
    by_time = dom(write_report(run), profile, fragment="#x=time")
    assert '<html lang="en" data-x="time"' in by_time
    paths = [re.findall(r'<path d="([^"]*)"', each) for each in (by_step, by_time)]
    assert paths[0][0].startswith("M0.00")
    assert not paths[1][0].startswith("M0.00")  # the warm start takes time before step 0
    assert len(paths[0]) == len(paths[1])

    moves = """<script>
      const area = document.querySelector(".chart .area");
      area.dispatchEvent(new KeyboardEvent("keydown", {key: "Home"}));
      document.title = area.getAttribute("aria-valuetext");
      document.querySelector("button.scale").click();
      document.querySelector(".switch input[value=episodes]").click();
      const box = area.getBoundingClientRect();
      area.dispatchEvent(new PointerEvent("pointermove", {clientX: box.right, clientY: box.top}));
    </script></body>"""
    copy = tmp_path / "moved.html"
    copy.write_text(re.sub(r"<meta http-equiv[^>]*>", "", page).replace("</body>", moves))
    moved = dom(copy, profile)
    assert "<title>0 steps: 0.451</title>" in moved
    assert 'data-at="819,200 games played"' in moved
    assert 'data-scale="linear"' in moved


def test_text_of_a_model_does_not_run_in_a_browser(profile: Path, tmp_path: Path) -> None:
    games = kuhn_games()
    games[0]["moves"][0] |= {"reply": HOSTILE, "board": HOSTILE, "shown": HOSTILE}
    page = dom(write_report(make_run(tmp_path, metrics(10), games=games)), profile)
    assert "<img" not in page
    assert "onerror=" in words(page)
