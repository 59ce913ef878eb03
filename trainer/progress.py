"""Progress of a run, for a person: a bar at a terminal, a line at every evaluation anywhere, and
elsewhere than at a terminal a line now and then of the warm start, which has no evaluations."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from ludus.trainer.config import TrainConfig


class Progress:
    """Shows how far a run is, its rate, and the time that remains."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._console = Console(highlight=False)
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=config.steps, rate="")
        self._first: tuple[int, float] | None = None
        self._warm_said = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """Show a line."""
        self._console.print(line, markup=False, soft_wrap=True)

    def warm(self, step: int, loss: float) -> None:
        """Take note of a step of the warm start that is done."""
        now, total = time.monotonic(), self._config.warmstart_steps
        if step == 1:
            self._bar.reset(self._task, description="warm start", total=total)
            self._warm_said = now
        self._bar.update(self._task, completed=step, rate=f"loss {loss:.3f}")
        if not self._console.is_terminal and now - self._warm_said >= WARM_EVERY_S:
            self._warm_said = now
            self.say(f"warm start: step {step:>4}/{total} · loss {loss:.3f}")
        if step == total:
            self._bar.reset(self._task, description="training", total=self._config.steps, rate="")

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take note of a step that is done."""
        now = time.monotonic()
        if self._first is None:
            self._first = (step, now)
        first_step, first_time = self._first
        pace = (now - first_time) / max(step - first_step, 1)
        rate = f"{metrics.get('rollout/tokens_per_s', 0):,.0f} tok/s"
        self._bar.update(self._task, completed=step, rate=rate)
        last = step == self._config.steps
        if any(name.startswith("eval/") for name in metrics) or last:
            self.say(self._line(step, metrics, pace))

    def _line(self, step: int, metrics: Mapping[str, float], pace: float) -> str:
        parts = [f"step {step:>4}/{self._config.steps}", f"{metrics['episodes']:>9,.0f} episodes"]
        parts += [
            f"{label} {name.removeprefix(start).lstrip('/')} {value:{shape}}".replace("  ", " ")
            for start, label, shape in _EVALUATED
            for name, value in metrics.items()
            if name.startswith(start)
        ]
        parts += [shape.format(metrics[name]) for name, shape in _SHOWN if name in metrics]
        if broken := metrics.get("rollout/errors"):
            parts.append(f"{broken:.0f} episodes of this step broke")
        left = pace * (self._config.steps - step)
        if step and left:
            parts.append(f"{left // 60:.0f}:{left % 60:02.0f} left")
        return " · ".join(parts)


WARM_EVERY_S = 10.0
"""Seconds between lines of the warm start."""

_EVALUATED = (
    ("eval/exploitability", "exploitability", ".4f"),
    ("eval/win_rate", "win rate", ".1%"),
    ("eval/success", "solved", ".1%"),
)
"""What their names begin with; the rest is an environment, a seat, a split."""

_SHOWN = (
    ("rollout/entropy", "entropy {:.3f}"),
    ("rollout/invalid_rate", "invalid {:.2%}"),
    ("rollout/tokens_per_s", "{:,.0f} tok/s"),
    ("time_s", "{:.0f} s"),
)
