"""Which curves a run has: the ones that tell how it went, and all the others."""

from collections.abc import Sequence

from ludus.trainer.report.chart import Axis, Chart, Series
from ludus.trainer.report.figures import number, percent, short
from ludus.trainer.report.run_files import RunFiles

_UNITS = ((7200.0, 3600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
_TOLD = ("step", "episodes", "time_s")


def axes(run: RunFiles) -> list[Axis]:
    """Steps, and episodes and training time where every line has them."""
    found = []
    for key in _TOLD:
        values = run.values(key)
        if len(values) < len(run.metrics) or len(set(values)) < 2:
            continue
        divisor, label = 1.0, {"step": "steps", "episodes": "games played"}.get(key, "")
        if key == "time_s":
            _, divisor, label = next(u for u in _UNITS if max(values) >= u[0])
        name = {"time_s": "time"}.get(key, key)
        found.append(Axis(name, label, min(0.0, min(values)) / divisor, max(values) / divisor))
    return found


class Curves:
    """Takes the metrics of a run for charts, and remembers which were taken."""

    def __init__(self, run: RunFiles) -> None:
        self.run = run
        self.axes = axes(run)
        self.taken: set[str] = set(_TOLD)

    def series(self, metric: str, name: str, colour: str = "accent") -> list[Series]:
        """The curve of a metric; [] if the run has none."""
        self.taken.add(metric)
        points = [
            (self._place(row), float(row[metric]))
            for row in self.run.metrics
            if isinstance(row.get(metric), int | float)
        ]
        if not any(abs(y) < float("inf") for _, y in points):
            return []
        return [Series(name, points, colour)]

    def each(self, start: str, name: str) -> list[Series]:
        """A metric, or what follows "start/": one curve an environment or a split."""
        found = self.series(start, name)
        names = {key for row in self.run.metrics for key in row}
        parts = sorted(key for key in names if key.startswith(f"{start}/"))
        for i, metric in enumerate(parts):
            found += self.series(metric, metric.removeprefix(f"{start}/"), f"s{i % 6}")
        return found

    def _place(self, row: dict[str, float]) -> list[float]:
        place = []
        for axis in self.axes:
            if axis.key == "time":
                divisor = next(d for _, d, label in _UNITS if label == axis.label)
                place.append(row["time_s"] / divisor)
            else:
                place.append(float(row[axis.key]))
        return place

    def per_seat(self, prefix: str) -> list[Series]:
        """One curve a seat, each in its seat's colour."""
        return [
            series
            for i, seat in enumerate(self.run.seats)
            for series in self.series(f"{prefix}{seat}", seat, f"s{i % 6}")
        ]


def main_charts(curves: Curves) -> list[Chart]:
    """The curves to look at first, those that the run has."""
    charts = [*_results(curves), *_sampling(curves), *_checks(curves)]
    return [chart for chart in charts if chart.series]


def _results(curves: Curves) -> list[Chart]:
    """How well it plays."""
    run = curves.run
    before = next(iter(run.values("eval/exploitability")), None)
    start = [] if before is None else [(f"at the start {number(before)}", before)]
    return [
        Chart(
            "Exploitability",
            "What a best response wins from the policy, per game and seat, computed over the whole "
            "game. 0 is an equilibrium.",
            curves.each("eval/exploitability", "exploitability"),
            references=start,
            include=(0.0,),
            wide=True,
            logarithmic=True,
        ),
        Chart(
            "Tasks solved",
            "Share of held-out tasks.",
            curves.each("eval/success", "solved"),
            include=(0.0, 1.0),
            write=percent,
            tick=_percent_tick,
            wide=True,
        ),
        Chart(
            "Win rate",
            "Share of evaluation games won against random play, from each seat.",
            curves.per_seat("eval/win_rate/"),
            include=(0.0, 1.0),
            write=percent,
            tick=_percent_tick,
            wide=not run.values("eval/value"),
        ),
        Chart(
            "Return per role",
            "Mean return of the training games, for each seat.",
            curves.per_seat("return/"),
            references=[("", 0.0)],
        ),
    ]


def _sampling(curves: Curves) -> list[Chart]:
    """What it says in training, and how fast."""
    return [
        Chart(
            "Entropy",
            "Of the policy where it sampled, nats per token. 0 means that it always does the same.",
            curves.series("rollout/entropy", "entropy"),
            include=(0.0,),
        ),
        Chart(
            "Invalid replies",
            "Share of the policy's replies that the rules could not use.",
            curves.series("rollout/invalid_rate", "invalid"),
            include=(0.0, 0.01),
            write=percent,
            tick=_percent_tick,
        ),
        Chart(
            "Sampling speed",
            "Tokens sampled per second of rollout.",
            curves.series("rollout/tokens_per_s", "tokens/s"),
            include=(0.0,),
        ),
    ]


def _checks(curves: Curves) -> list[Chart]:
    """What must come out at a known value."""
    return [
        Chart(
            "Value of the game",
            "Expected return of the first seat when the policy plays itself, computed exactly.",
            curves.series("eval/value", "value"),
        ),
        Chart(
            "Parity of engine and learner",
            "Largest difference between the log-probability a token was sampled with and the one "
            "it is trained with, nats.",
            curves.series("parity/max", "largest difference"),
            references=_tolerance(curves.run),
            logarithmic=True,
        ),
    ]


def _percent_tick(value: float) -> str:
    return f"{short(float(f'{100 * value:.6g}'))} %"


def _tolerance(run: RunFiles) -> Sequence[tuple[str, float]]:
    limit = run.config.get("parity_tolerance")
    return [(f"the run stops at {short(limit)}", float(limit))] if limit else []


_TOGETHER = {
    "time/": ("Seconds of a step", "Where the time of a step goes, seconds."),
    "stop/": ("How games ended", "Share of the training games."),
    "eval/return/": ("Evaluation return", "Mean return against random play, from each seat."),
}


def other_charts(curves: Curves) -> list[Chart]:
    """Every metric that no main chart has shown, in the order of their names."""
    names = sorted({name for row in curves.run.metrics for name in row} - curves.taken)
    groups: dict[str, list[str]] = {}
    for name in names:
        prefix = next((p for p in _TOGETHER if name.startswith(p)), name)
        groups.setdefault(prefix, []).append(name)
    charts = []
    for prefix, members in groups.items():
        title, about = _TOGETHER.get(prefix, (prefix, ""))
        series = [
            one
            for i, name in enumerate(members)
            for one in curves.series(
                name,
                name.removeprefix(prefix) or "value",
                f"s{i % 6}" if len(members) > 1 else "accent",
            )
        ]
        if series:
            charts.append(Chart(title, about, series))
    return charts
