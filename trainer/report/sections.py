"""The parts of the page beside the curves: headline, policy, opponents, settings."""

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from ludus.trainer.report.figures import duration, estimate, number, percent
from ludus.trainer.report.html import Content, Markup, el, join
from ludus.trainer.report.run_files import RunFiles


def section(title: str, about: str, *content: Content, id: str) -> Markup:
    """A titled part of the page."""
    return el(
        "section",
        el("h2", title, id=id),
        el("p", about, class_="about") if about else None,
        *content,
        aria_labelledby=id,
    )


def missing(what: str) -> Markup:
    """The word that stands where a part would be."""
    return el("p", what, class_="missing")


def seat_chip(run: RunFiles, seat: str) -> Markup:
    """The name of a seat in its colour."""
    seats = run.seats
    colour = f"s{seats.index(seat) % 6}" if seat in seats else "accent"
    return el("span", seat, class_=f"seat {colour}")


def header(run: RunFiles) -> Markup:
    """Name, state and headline figures."""
    steps, planned = run.result.get("step", run.last("step")), run.config.get("steps")
    short_of = steps is not None and planned is not None and steps < planned
    done = bool(run.result) and not short_of
    state = "finished" if done else "not finished"
    if short_of:
        state += f": step {steps:,.0f} of {planned:,}"
    model = run.config.get("model")
    told = [run.env, f"model {model}" if model else "", f"seed {run.config['seed']}"
            if "seed" in run.config else ""]  # fmt: skip
    return el(
        "header",
        el("p", "Ludus training report", class_="eyebrow"),
        el(
            "h1", run.name, " ",
            el("span", state, class_="state done" if done else "state open"),
        ),
        el("p", " · ".join(filter(None, told)), class_="about"),
        el("dl", *_headline(run), class_="headline"),
        *(el("p", f"{name} could not be read and is left out.", class_="missing")
          for name in run.unread),
    )  # fmt: skip


def _headline(run: RunFiles) -> list[Markup]:
    result = run.result
    figures = _exploitability(run)
    if not figures or result.get("arenas"):
        rates = [row for row in result.get("opponents") or () if row.get("win_rate") is not None]
        for row in rates[:2]:
            versus = _place(row, row.get("opponent") or "nobody")
            won = el("b", percent(row["win_rate"]))
            figures.append(_figure("Games won", won, f"as {row.get('seat')} against {versus}"))
    for row in (result.get("tasks") or ())[:2]:
        share, split = el("b", percent(row.get("success_rate"))), _place(row, str(row.get("split")))
        figures.append(_figure("Tasks solved", share, f"of the split {split}"))
    episodes = result.get("episodes", run.last("episodes"))
    seconds = result.get("time_s", run.last("time_s"))
    steps = result.get("step", run.last("step"))
    if episodes is not None:
        figures.append(_figure("Games played", f"{episodes:,.0f}", f"in {steps or 0:,.0f} steps"))
    if seconds is not None:
        figures.append(_figure("Training time", duration(seconds), "sampling and updates"))
    speeds = run.values("rollout/tokens_per_s")
    if speeds:
        middle = sorted(speeds)[len(speeds) // 2]
        figures.append(_figure("Tokens a second", f"{middle:,.0f}", "sampled, median of the steps"))
    return figures


def _exploitability(run: RunFiles) -> list[Markup]:
    """Before and after, for every game that is small enough."""
    curve = run.values("eval/exploitability")
    found = {"": run.result.get("exploitability") or {}}
    found |= {name: arena.get("exploitability") or {} for name, arena in _arenas(run).items()}
    figures = []
    for arena, solved in found.items():
        known = [] if arena else curve
        before = solved.get("before", known[0] if known else None)
        after = solved.get("after", known[-1] if known else None)
        if before is None and after is None:
            continue
        best = f"before and after; best {number(solved.get('best', min(known, default=None)))}"
        figures.append(
            _figure(
                "Exploitability",
                join(number(before), el("span", " → ", class_="arrow"), el("b", number(after))),
                f"{best}, in {arena}" if arena else best,
                class_="main",
            )
        )
    return figures


def _arenas(run: RunFiles) -> Mapping[str, Mapping[str, Any]]:
    """What a run of several environments reached in each."""
    arenas = run.result.get("arenas")
    return arenas if isinstance(arenas, dict) else {}


def _figure(name: str, value: str, note: str, class_: str = "") -> Markup:
    return el(
        "div", el("dt", name), el("dd", value), el("dd", note, class_="note"), class_=class_ or None
    )


_INFOSET = re.compile(r"(?P<seat>\S+) (?P<knows>.+[.!]) (?P<moves>[^.]+)", re.DOTALL)


def policy(run: RunFiles) -> Markup | None:
    """The policy at every information set: one table a seat, what it knows by what happened."""
    table: Mapping[str, Mapping[str, float]] = run.result.get("policy") or {}
    if not table:
        return None
    placed: dict[str, dict[str, dict[str, Mapping[str, float]]]] = {}
    for key, probs in table.items():
        match = _INFOSET.fullmatch(key)
        if match is None:
            seat, _, situation = key.partition(" ")
            knows, moves = situation, ""
        else:
            seat, knows, moves = match["seat"], match["knows"], match["moves"]
        moves = "to open" if moves == "-" else f"after {moves}" if moves else "chooses"
        placed.setdefault(seat, {}).setdefault(knows, {})[moves] = probs
    tables = []
    known = list(dict.fromkeys(knows for rows in placed.values() for knows in rows))
    for seat, rows in placed.items():
        columns = list(dict.fromkeys(moves for row in rows.values() for moves in row))
        head = el("tr", el("td"), *(el("th", moves, scope="col") for moves in columns))
        body = [
            el("tr", el("th", knows, scope="row"),
               *(el("td", _bar(row[moves]) if moves in row else None) for moves in columns))
            for knows, row in sorted(rows.items(), key=lambda item: known.index(item[0]))
        ]  # fmt: skip
        tables.append(
            el(
                "div",
                el(
                    "table",
                    el("caption", seat_chip(run, seat)),
                    el("thead", head),
                    el("tbody", *body),
                    class_="policy",
                ),
                class_="scroll",
            )
        )
    return section(
        "The policy it learned",
        "Probability of each legal action, at every information set of the game.",
        el("div", *tables, class_="tables"),
        id="policy",
    )


def _bar(probs: Mapping[str, float]) -> Markup:
    """Shares of the actions side by side, and in words below."""
    shares = [
        el("i", class_=f"a{k % 4}", style=f"width:{100 * _share(p):.1f}%")
        for k, p in enumerate(probs.values())
    ]
    words = [
        el("span", action, " ", el("b", percent(p)), class_=f"a{k % 4}")
        for k, (action, p) in enumerate(probs.items())
    ]
    return join(
        el("div", *shares, class_="bar", aria_hidden="true"), el("div", *words, class_="actions")
    )


def _share(value: Any) -> float:
    fine = isinstance(value, int | float) and isfinite(value)
    return min(1.0, max(0.0, float(value))) if fine else 0.0


def opponents(run: RunFiles) -> Markup | None:
    """Results against opponents, a row a seat, with 95 % intervals."""
    rows: Sequence[Mapping[str, Any]] = run.result.get("opponents") or ()
    if not rows:
        return None
    names = ("Opponent", "Policy plays", "Games", "Mean return", "Won", "0 to 100 %", "Drawn",
             "Invalid", "Turns")  # fmt: skip
    body = [
        el(
            "tr",
            el("th", _place(row, str(row.get("opponent") or "none")), scope="row"),
            el("td", seat_chip(run, str(row.get("seat")))),
            el(
                "td",
                f"{row.get('episodes', 0):,}",
                el("small", f" {row['errors']} broken") if row.get("errors") else None,
                class_="num",
            ),
            _mean(row),
            el(
                "td",
                el("b", percent(row.get("win_rate"))),
                el("small", f" {percent(row.get('win_low'))} to {percent(row.get('win_high'))}"),
                class_="num",
            ),
            el("td", _interval(row), class_="wide"),
            el("td", percent(row.get("draw_rate")), class_="num"),
            el("td", percent(row.get("invalid_rate")), class_="num"),
            el("td", number(row.get("turns_mean")), class_="num"),
        )
        for row in rows
    ]
    return section(
        "Against opponents",
        "Played after training, every seat on its own. Intervals hold 95 %: Student's t for the "
        "mean return, Wilson's for the share of games won.",
        _table(names, body),
        id="opponents",
    )


def _table(names: Sequence[str], body: Sequence[Markup]) -> Markup:
    """Results, as wide as they are."""
    head = el("tr", *(el("th", name, scope="col") for name in names))
    table = el("table", el("thead", head), el("tbody", *body), class_="results")
    return el("div", table, class_="scroll")


def _mean(row: Mapping[str, Any]) -> Markup:
    value, half = estimate(row.get("mean_return"), row.get("mean_ci"))
    return el("td", value, el("small", f" ± {half}"), class_="num")


def _place(row: Mapping[str, Any], what: str) -> str:
    return f"{what} in {row['arena']}" if row.get("arena") else what


def tasks(run: RunFiles) -> Markup | None:
    """What was solved of held-out tasks, with a 95 % interval."""
    rows: Sequence[Mapping[str, Any]] = run.result.get("tasks") or ()
    if not rows:
        return None
    names = ("Split", "Tasks", "Solved", "0 to 100 %", "Mean return", "Invalid", "Turns")
    body = [
        el(
            "tr",
            el("th", _place(row, str(row.get("split"))), scope="row"),
            el("td", f"{row.get('episodes', 0):,}", class_="num"),
            el("td", el("b", percent(row.get("success_rate"))), class_="num"),
            el("td", _interval(row, "success"), class_="wide"),
            _mean(row),
            el("td", percent(row.get("invalid_rate")), class_="num"),
            el("td", number(row.get("turns_mean")), class_="num"),
        )
        for row in rows
    ]
    return section(
        "Held-out tasks",
        "Played after training. Intervals hold 95 %: Wilson's for the share solved, "
        "Student's t for the mean return.",
        _table(names, body),
        id="tasks",
    )


def _interval(row: Mapping[str, Any], what: str = "win") -> Markup:
    names = (f"{what}_low", f"{what}_rate", f"{what}_high")
    low, rate, high = (100 * _share(row.get(name)) for name in names)
    return el(
        "div",
        el("i", class_="band", style=f"left:{low:.1f}%;width:{max(high - low, 0.5):.1f}%"),
        el("i", class_="at", style=f"left:{rate:.1f}%"),
        class_="interval",
        aria_hidden="true",
    )


def settings(run: RunFiles) -> Markup:
    """The config, and what it ran with."""
    if not run.config and not run.provenance:
        return missing("There is no run.json in this folder.")
    made: dict[str, object] = {
        name: value for name, value in run.provenance.items() if name != "versions"
    }
    made |= run.provenance.get("versions") or {}
    tables = [
        el("table", el("caption", caption),
           el("tbody", *(el("tr", el("th", name, scope="row"), el("td", _plain(value)))
                         for name, value in facts.items())), class_="facts")
        for caption, facts in (("Config", run.config), ("Made with", made))
        if facts
    ]  # fmt: skip
    return el(
        "details",
        el("summary", "Config and versions"),
        el("div", *tables, class_="tables"),
        class_="settings",
    )


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)
