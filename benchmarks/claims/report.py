"""Tables and plots of runs, and their place in `docs/results/claims.md`."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from aggregates import Array, difference, interval, iqm
from training import ROOT, Run

from ludus.trainer.report.figures import ticks

RESULTS = ROOT / "docs" / "results"
"""Where they are published."""
COLOURS = ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#525252", "#0891b2")


def by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs that count, by arm, in the order of their seeds."""
    counted = sorted((run for run in runs if not run.tuning), key=lambda run: run.seed)
    arms = dict.fromkeys(run.arm for run in counted)
    return {arm: [run for run in counted if run.arm == arm] for arm in arms}


def figure(values: Sequence[float], digits: int = 3) -> str:
    """ "IQM [low, high]"."""
    low, high = interval(values)
    digits = 0 if abs(iqm(values)) >= 100 else digits
    return f"{iqm(values):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def gain(ours: Sequence[float], theirs: Sequence[float], digits: int = 3) -> str:
    """ "IQM [low, high]" of the paired differences; bold if the interval does not contain 0."""
    d, low, high = difference(ours, theirs)
    digits = 0 if abs(d) >= 100 else digits
    text = f"{d:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def table(
    runs: Sequence[Run],
    columns: Iterable[str],
    against: Sequence[tuple[str, str]] = (),
    compared: Iterable[str] = (),
) -> str:
    """Markdown: a row an arm, then a row a pair of arms with their differences.

    Args:
        runs: All, those that chose rates included.
        columns: What is shown, by its name in `Run.figures`.
        against: Pairs of arms.
        compared: The columns in which they are compared, by default the first.
    """
    arms, columns = by_arm(runs), list(columns)
    rows = grid(["arm", "lr", "rates tried", "seeds", *columns])
    for arm, own in arms.items():
        tried = sorted({run.lr for run in runs if run.arm == arm and run.tuning})
        rates = ", ".join(f"{lr:g}" for lr in tried)
        cells = [figure([run.figures[name] for run in own]) for name in columns]
        rows.append(line([arm, f"{own[0].lr:g}", rates, str(len(own)), *cells]))
    if against:
        compared = list(compared) or columns[:1]
        rows += ["", *grid(["difference", *compared])]
        for ours, theirs in against:
            cells = []
            for name in compared:
                left, right = ([run.figures[name] for run in arms[a]] for a in (ours, theirs))
                cells.append(gain(left, right))
            rows.append(line([f"{ours} − {theirs}", *cells]))
    return "\n".join([*rows, "", spent(runs)])


def grid(heads: Sequence[str]) -> list[str]:
    """The first two lines of a table."""
    return [line(heads), "|---" * len(heads) + "|"]


def line(cells: Sequence[str]) -> str:
    """One of its rows."""
    return "| " + " | ".join(cells) + " |"


def spent(runs: Sequence[Run]) -> str:
    """What runs cost."""
    (steps, episodes), *others = {(run.steps, run.episodes) for run in runs}
    each = "" if others else f"{steps} steps and {episodes:,} episodes a run; "
    seconds = sum(run.seconds for run in runs)
    return (
        f"Interquartile means over seeds with 95 % bootstrap intervals; {each}{len(runs)} runs, "
        f"tuning included, took {seconds / 60:.0f} minutes of processor time, one thread each."
    )


def picture(runs: Sequence[Run], metric: str, label: str) -> str:
    """SVG: interquartile mean over steps and its interval, a line an arm."""
    width, height, left, top, right = 760, 360, 56, 16, 210
    lines: dict[str, tuple[Array, Array, Array]] = {}
    arms = by_arm(runs)
    for arm, own in arms.items():
        columns = np.array([run.curves[metric] for run in own]).T
        bounds = np.array([interval(column, draws=1000) for column in columns])
        lines[arm] = (np.array([iqm(c) for c in columns]), bounds[:, 0], bounds[:, 1])
    bottom = min(0.0, *(float(line[1].min()) for line in lines.values()))
    peak = max(float(line[2].max()) for line in lines.values())
    peak = peak if peak > bottom else bottom + 1
    steps = max(run.steps for run in runs)

    def x(step: float) -> float:
        return left + (width - left - right) * step / steps

    def y(value: float) -> float:
        return top + (height - top - 40) * (peak - value) / (peak - bottom)

    def path(places: Sequence[float], values: Sequence[float]) -> str:
        return " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in zip(places, values, strict=True))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#555">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for value in ticks(bottom, peak):
        parts.append(
            f'<line x1="{left}" x2="{width - right}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'stroke="#e5e5e5"/><text x="{left - 6}" y="{y(value) + 4:.1f}" '
            f'text-anchor="end">{value:g}</text>'
        )
    for i, (arm, (middle, lows, highs)) in enumerate(lines.items()):
        size = -(-arms[arm][0].steps // len(middle))
        forth = [min((j + 0.5) * size, arms[arm][0].steps) for j in range(len(middle))]
        colour, dashes = COLOURS[i % len(COLOURS)], ' stroke-dasharray="5 3"' * (i // len(COLOURS))
        band = f"{path(forth, highs.tolist())} {path(forth[::-1], lows.tolist()[::-1])}"
        parts += [
            f'<polygon points="{band}" fill="{colour}" opacity="0.12"/>',
            f'<polyline points="{path(forth, middle.tolist())}" fill="none" stroke="{colour}" '
            f'stroke-width="1.8" stroke-linejoin="round"{dashes}/>',
            f'<text x="{width - right + 12}" y="{top + 14 + 18 * i}" fill="{colour}">{arm}</text>',
        ]
    parts += [
        f'<text x="{left}" y="{height - 10}">{label}; steps 1 to {steps}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def publish(
    name: str,
    runs: Sequence[Run],
    text: str,
    pictures: Mapping[str, str],
    *,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the figures, the plots, and the table into its place in `docs/results/claims.md`."""
    folder = RESULTS / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps(asdict(run)) for run in runs]
    body = '{"extra": ' + json.dumps(extra or {}) + ',\n"runs": [\n' + ",\n".join(rows) + "\n]}\n"
    (folder / f"{name}.json").write_text(body)
    for title, svg in pictures.items():
        (folder / f"{title}.svg").write_text(svg)
    page = RESULTS / "claims.md"
    begin = re.compile(rf"<!-- {name}: made by .* -->\n")
    end = f"<!-- end of {name} -->"
    written = page.read_text()
    found = begin.search(written)
    if not found or end not in written[found.end() :]:
        raise ValueError(f"{page} has no place for {name}: it is before {end!r}")
    rest = written[found.end() :].partition(end)[2]
    page.write_text(f"{written[: found.end()]}{text}\n{end}{rest}")


def published(name: str) -> tuple[list[Run], dict[str, Any]]:
    """The runs and what else `publish` wrote."""
    record = json.loads((RESULTS / "claims" / f"{name}.json").read_text())
    return [Run(**run) for run in record["runs"]], record["extra"]
