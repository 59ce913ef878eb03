"""The page: everything that a run's files show, in one file that needs nothing else."""

import base64
import hashlib
import os
from pathlib import Path

from ludus.trainer.report import film, sections
from ludus.trainer.report.chart import draw
from ludus.trainer.report.curves import Curves, main_charts, other_charts
from ludus.trainer.report.html import Content, Markup, el, join
from ludus.trainer.report.run_files import RunFiles, read_run

_HERE = Path(__file__).parent


def write_report(folder: Path) -> Path:
    """Write `report.html` into the folder of a run, from the files that are there.

    Files that are missing (a run that has not ended has no result) leave a word in their place.
    The page replaces an older one at once: nobody sees half of it.

    Args:
        folder: Of a run: `run.json`, `metrics.jsonl`, `result.json`, `games.json`.

    Returns:
        Path of the page.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder of a run")
    page = render(read_run(folder))
    path = folder / "report.html"
    part = path.with_name(f"report.html.{os.getpid()}.part")
    part.write_text(page, encoding="utf-8")
    part.replace(path)
    return path


def render(run: RunFiles) -> str:
    """The page as text."""
    style = Markup((_HERE / "page.css").read_text(encoding="utf-8"))
    script = Markup((_HERE / "page.js").read_text(encoding="utf-8"))
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_only(script)),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{run.name} · Ludus training report"),
        el("link", rel="icon", href="data:,"),
        el("style", style),
    )
    body = el(
        "body",
        el("main", sections.header(run), *_parts(run)),
        el("script", script),
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en', data_x='step')}\n"


def _only(script: str) -> str:
    """The policy of the page: this script, styles, and nothing from anywhere else. Text of a model
    that found a way past the escaping would still not run."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _parts(run: RunFiles) -> list[Content]:
    return [
        _curves(run),
        sections.policy(run),
        sections.opponents(run),
        sections.tasks(run),
        _after(run, "Results"),
        _games(run),
        sections.settings(run),
    ]


def _after(run: RunFiles, what: str) -> Markup | None:
    return None if run.result else sections.missing(f"{what} come at the end of the run.")


def _curves(run: RunFiles) -> Markup:
    curves = Curves(run)
    charts = main_charts(curves) if curves.axes else []
    if not charts:
        word = "No curves: metrics.jsonl is missing or has fewer than two steps."
        return sections.section("How it went", "", sections.missing(word), id="curves")
    others = other_charts(curves)
    switch = el(
        "fieldset",
        el("legend", "Horizontal axis"),
        *(
            el(
                "label",
                el("input", type="radio", name="x", value=axis.key, checked=axis.key == "step"),
                el("span", axis.label),
            )
            for axis in curves.axes
        ),
        class_="switch",
        hidden=True,
    )
    return sections.section(
        "How it went",
        "Move over a curve for its values. Long curves show a moving mean over the single steps.",
        switch,
        el("div", *(draw(chart, curves.axes) for chart in charts), class_="charts"),
        el(
            "details",
            el("summary", f"{len(others)} more curves"),
            el("div", *(draw(chart, curves.axes) for chart in others), class_="charts"),
            class_="more",
        )
        if others
        else None,
        id="curves",
    )


def _games(run: RunFiles) -> Markup:
    shown = run.games[: film.MAX_GAMES]
    if not shown:
        word = sections.missing("No games were recorded: there is no games.json.")
        return sections.section("Games, move by move", "", word, id="games")
    left = len(run.games) - len(shown)
    return sections.section(
        "Games, move by move",
        "Replies as the policy wrote them, and the position after each. p is the probability it "
        "gave the reply.",
        join(*(film.game(run, g, i + 1, is_open=i == 0) for i, g in enumerate(shown))),
        sections.missing(f"{left} more games are in games.json.") if left else None,
        id="games",
    )
