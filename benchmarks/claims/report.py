"""Tables and plots of runs, and their place in `docs/results/claims.md`."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from aggregates import Array, difference, interval, iqm
from training import ROOT, Run

from ludus.trainer.report.figures import ticks

RESULTS = ROOT / "docs" / "results"
"""Where they are published."""
COLOURS = ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#525252", "#0891b2")


def chosen(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each arm at the learning rate that was run on the most seeds."""
    out: dict[str, list[Run]] = {}
    for arm in dict.fromkeys(run.arm for run in runs if not run.tuning):
        own = [run for run in runs if run.arm == arm and not run.tuning]
        rates = [run.lr for run in own]
        best = max(dict.fromkeys(rates), key=rates.count)
        out[arm] = [run for run in own if run.lr == best]
    return out


def figure(values: Sequence[float], digits: int = 3) -> str:
    """ "IQM [low, high]"."""
    low, high = interval(values)
    digits = 0 if iqm(values) >= 100 else digits
    return f"{iqm(values):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def table(
    runs: Sequence[Run], columns: Mapping[str, Callable[[Run], float]], *, against: str = ""
) -> str:
    """Markdown: a row an arm; with `against`, the first column's difference to that arm."""
    by_arm = chosen(runs)
    first = next(iter(columns.values()))
    heads = ["arm", "lr", "seeds", *columns, *([f"difference to {against}"] if against else [])]
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for arm, own in by_arm.items():
        cells = [arm, f"{own[0].lr:g}", str(len(own))]
        cells += [figure([value(run) for run in own]) for value in columns.values()]
        if against and arm != against:
            d, low, high = difference([first(r) for r in own], [first(r) for r in by_arm[against]])
            cells.append(f"{d:+.3f} [{low:+.3f}, {high:+.3f}]")
        elif against:
            cells.append("")
        rows.append("| " + " | ".join(cells) + " |")
    (steps, episodes), *others = {(run.steps, run.episodes) for run in runs}
    each = "" if others else f"{steps} steps and {episodes:,} episodes a run; "
    spent = sum(run.seconds for run in runs)
    rows += [
        "",
        f"Interquartile means over seeds with 95 % bootstrap intervals; "
        f"{each}{len(runs)} runs, tuning included, took "
        f"{spent / 60:.1f} minutes of processor time, one thread each.",
    ]
    return "\n".join(rows)


def picture(
    runs: Sequence[Run], metric: str, label: str, *, smooth: int = 1, low: float | None = None
) -> str:
    """SVG: interquartile mean over steps and its interval, a line an arm."""
    width, height, left, top, right = 760, 360, 56, 16, 190
    lines: dict[str, tuple[Array, Array, Array]] = {}
    for arm, own in chosen(runs).items():
        table_ST = np.array([run.curves[metric] for run in own])
        kernel = np.ones(smooth) / smooth
        table_ST = np.array([np.convolve(row, kernel, "valid") for row in table_ST])
        bounds = np.array([interval(column, draws=1000) for column in table_ST.T])
        middle = np.array([iqm(column) for column in table_ST.T])
        lines[arm] = (middle, bounds[:, 0], bounds[:, 1])
    bottom = min(float(line[1].min()) for line in lines.values()) if low is None else low
    peak = max(float(line[2].max()) for line in lines.values())
    peak = peak if peak > bottom else bottom + 1
    steps = max(len(line[0]) for line in lines.values())

    def x(step: int) -> float:
        return left + (width - left - right) * step / max(steps - 1, 1)

    def y(value: float) -> float:
        return top + (height - top - 40) * (peak - value) / (peak - bottom)

    def path(values: Sequence[float], order: Sequence[int]) -> str:
        return " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in zip(order, values, strict=True))

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
        forth, colour = list(range(len(middle))), COLOURS[i % len(COLOURS)]
        band = f"{path(highs.tolist(), forth)} {path(lows.tolist()[::-1], forth[::-1])}"
        parts += [
            f'<polygon points="{band}" fill="{colour}" opacity="0.12"/>',
            f'<polyline points="{path(middle.tolist(), forth)}" fill="none" stroke="{colour}" '
            'stroke-width="1.8" stroke-linejoin="round"/>',
            f'<text x="{width - right + 12}" y="{top + 14 + 18 * i}" fill="{colour}">{arm}</text>',
        ]
    parts += [
        f'<text x="{left}" y="{height - 10}">{label}; steps 1 to {steps + smooth - 1}</text>',
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
