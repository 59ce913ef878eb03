"""Curves as inline SVG. The drawing is stretched to the width of the page, lines and dots are not;
all text is HTML beside it, so it keeps its size and can be selected, found and read aloud.

The script of the page reads the numbers that are embedded with each chart: it shows the values
under the pointer, and redraws the lines when the horizontal axis is switched.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite, log10

from ludus.trainer.report.figures import log_ticks, number, short, ticks
from ludus.trainer.report.html import Markup, data, el

MAX_POINTS = 400
SMOOTH_FROM = 60
"""Curves of at least this many points are drawn as a moving mean over the values themselves."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What can lie along the horizontal: steps, episodes or time."""

    key: str
    label: str
    low: float
    high: float

    def share(self, x: float) -> float:
        """Where a value lies, in percent of the width."""
        return 100 * (x - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Series:
    """One curve."""

    name: str
    points: Sequence[tuple[Sequence[float], float]]
    """(position on every axis, value). A value that is not finite leaves a gap."""
    colour: str = "accent"
    """A class of the style sheet: accent, or s0 to s5 for seats and other things that differ."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves that share one vertical axis."""

    title: str
    about: str
    """One sentence: what it measures, in which unit, and what is good."""
    series: Sequence[Series]
    references: Sequence[tuple[str, float]] = ()
    """Horizontal lines: what they mean, and where."""
    include: Sequence[float] = ()
    """Values that the axis reaches even if no curve does."""
    write: Callable[[float], str] = number
    """Writes a value."""
    tick: Callable[[float], str] = short
    """Writes a value at the axis."""
    wide: bool = False
    logarithmic: bool = False
    """Drawn on a logarithmic axis, if all values are above zero. The page can switch."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """The vertical axis."""

    low: float
    high: float
    log: bool

    def share(self, y: float) -> float | None:
        """Distance from the top in percent of the height; None where there is no place."""
        if not isfinite(y) or (self.log and y <= 0):
            return None
        low, high = self.low, self.high
        if self.log:
            low, high, y = log10(low), log10(high), log10(y)
        return round(100 * (high - y) / (high - low), 2)

    def ticks(self) -> list[float]:
        return log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high)


def draw(chart: Chart, axes: Sequence[Axis]) -> Markup:
    """The chart with its title, legend and axes. The first axis is the one that is drawn."""
    scales = _scales(chart)
    default = next(iter(scales))
    embedded, paths = [], []
    for series in chart.series:
        kept = _thin(series.points, MAX_POINTS)
        smooth = _moving_mean([y for _, y in series.points])
        columns = [("raw" if smooth else "line", [series.points[i][1] for i in kept])]
        if smooth:
            columns.append(("line", [smooth[i] for i in kept]))
        lines = [
            {name: [scale.share(y) for y in ys] for name, scale in scales.items()}
            for _, ys in columns
        ]
        xs = [[round(series.points[i][0][k], 4) for i in kept] for k in range(len(axes))]
        places = [axes[0].share(x) for x in xs[0]]
        dots = len(kept) <= 40
        for (kind, _), line in zip(columns, lines, strict=True):
            d = _path(places, line[default])
            paths.append(el("path", d=d, class_=f"{kind} {series.colour}"))
        if dots:
            d = _path(places, lines[-1][default], dots=True)
            paths.append(el("path", d=d, class_=f"dots {series.colour}"))
        texts = [chart.write(series.points[i][1]) for i in kept]
        embedded.append({"x": xs, "y": lines, "dots": dots, "text": texts})
    plot = [_vertical(chart, scale, name, hidden=name != default) for name, scale in scales.items()]
    area = el(
        "div",
        el("svg", *paths, viewBox="0 0 100 100", preserveAspectRatio="none", aria_hidden="true"),
        el("div", class_="cross", hidden=True),
        *(el("i", class_=f"dot {series.colour}", hidden=True) for series in chart.series),
        class_="area",
        tabindex="0",
        role="slider",
        aria_label=_summary(chart),
        aria_valuemin="0",
        aria_valuemax="100",
        aria_valuenow="100",
        aria_valuetext="last value",
    )
    return el(
        "figure",
        el(
            "figcaption",
            el("div", el("h3", chart.title), _scale_switch(chart) if len(scales) > 1 else None),
            el("p", chart.about) if chart.about else None,
        ),
        _legend(chart),
        el("div", *plot, area, *map(_horizontal, axes), class_="plot"),
        data({
            "axes": [[axis.key, axis.label, axis.low, axis.high] for axis in axes],
            "series": embedded,
        }),
        class_="chart wide" if chart.wide else "chart",
        data_scale=default,
    )  # fmt: skip


def _scales(chart: Chart) -> dict[str, _Scale]:
    values = [y for series in chart.series for _, y in series.points if isfinite(y)]
    values += [y for _, y in chart.references if isfinite(y)]
    low, high = min([*values, *chart.include]), max([*values, *chart.include])
    pad = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    floor = low if low in chart.include else low - pad
    linear = _Scale(floor, high if high in chart.include and high > low else high + pad, False)
    positive = [y for y in values if y > 0]
    if chart.logarithmic and len(positive) == len(values) and max(values) > 3 * min(values):
        return {"log": _Scale(min(values) / 1.25, max(values) * 1.25, True), "linear": linear}
    return {"linear": linear}


def _vertical(chart: Chart, scale: _Scale, name: str, *, hidden: bool) -> Markup:
    """Grid lines, their values, and the reference lines."""
    marks = [
        el("span", el("b", chart.tick(tick)), class_="tick", style=f"top:{scale.share(tick)}%")
        for tick in scale.ticks()
    ]
    for label, y in chart.references:
        place = scale.share(y)
        if place is not None:
            side = "reference below" if place < 10 else "reference"
            marks.append(el("span", el("b", label), class_=side, style=f"top:{place}%"))
    return el("div", *marks, class_="grid", data_of_scale=name, hidden=hidden)


def _horizontal(axis: Axis) -> Markup:
    places = ticks(axis.low, axis.high)
    marks = []
    for tick in places:  # one at the right edge ends there, instead of being cut off
        at = axis.share(tick)
        edge = "last" if at > 97 else None
        marks.append(el("span", short(tick), class_=edge, style=f"left:{at:.2f}%"))
    return el(
        "div", *marks, el("em", axis.label), class_="xaxis", data_of_axis=axis.key,
        hidden=axis.key != "step",
    )  # fmt: skip


def _legend(chart: Chart) -> Markup:
    """A name and the last value of each curve; the script puts the value under the pointer here."""
    items = []
    for series in chart.series:
        finite = [y for _, y in series.points if isfinite(y)]
        gaps = len(series.points) - len(finite)
        items.append(
            el(
                "li",
                el("i", class_=f"swatch {series.colour}", aria_hidden="true"),
                el("span", series.name),
                " ",
                el("b", chart.write(finite[-1]) if finite else "no value", class_="value"),
                el("small", f" {gaps} not finite") if gaps else None,
            )
        )
    return el("ul", *items, class_="legend", aria_label=f"Curves of {chart.title}")


def _scale_switch(chart: Chart) -> Markup:
    return el(
        "button", "log", type="button", class_="scale", aria_pressed="true",
        aria_label=f"Logarithmic axis of {chart.title}",
    )  # fmt: skip


def _summary(chart: Chart) -> str:
    """What a curve shows, in words."""
    parts = []
    for series in chart.series:
        ys = [y for _, y in series.points if isfinite(y)]
        if ys:
            first, last, low, high = map(chart.write, (ys[0], ys[-1], min(ys), max(ys)))
            parts.append(f"{series.name} from {first} to {last}, lowest {low}, highest {high}")
    return f"{chart.title}: {'; '.join(parts)}. Arrow keys move along the curve."


def _thin(points: Sequence[tuple[Sequence[float], float]], most: int) -> list[int]:
    """Which points to draw: of every stretch the lowest and the highest, so that peaks stay."""
    if len(points) <= most:
        return list(range(len(points)))
    kept = {0, len(points) - 1}
    stretches = most // 2
    for k in range(stretches):
        stretch = range(k * len(points) // stretches, (k + 1) * len(points) // stretches)
        finite = [i for i in stretch if isfinite(points[i][1])]
        if finite:
            kept |= {
                min(finite, key=lambda i: points[i][1]),
                max(finite, key=lambda i: points[i][1]),
            }
        else:
            kept.add(stretch[0])  # the gap
    return sorted(kept)


def _moving_mean(ys: Sequence[float]) -> list[float] | None:
    """Centred, over a twentieth of the curve; None for curves too short to need it."""
    if len(ys) < SMOOTH_FROM:
        return None
    half = max(2, len(ys) // 40)
    sums, counts = [0.0], [0]
    for y in ys:
        fine = isfinite(y)
        sums.append(sums[-1] + (y if fine else 0.0))
        counts.append(counts[-1] + fine)
    means = []
    for i, y in enumerate(ys):
        a, b = max(0, i - half), min(len(ys), i + half + 1)
        means.append((sums[b] - sums[a]) / (counts[b] - counts[a]) if isfinite(y) else y)
    return means


def _path(xs: Sequence[float], ys: Sequence[float | None], *, dots: bool = False) -> str:
    """SVG path; a dot is a line of no length, whose round ends keep their size."""
    parts, pen = [], "M"
    for x, y in zip(xs, ys, strict=True):
        if y is None:
            pen = "M"
            continue
        place = f"{x:.2f} {y:.2f}"
        parts.append(f"M{place}h0" if dots else f"{pen}{place}")
        pen = "L"
    return "".join(parts)
