"""The main job over several seeds: exploitability against games played and time.

Runs `ludus train kuhn-selfplay` once a seed, one after the other, and prints what the runs
recorded; with --compare also the same recipe without its magnet. Writes the curves as SVG.

    python benchmarks/kuhn.py --seeds 0 1 2
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Sequence
from math import log10
from pathlib import Path

from ludus.trainer.metrics import read_metrics

Curve = list[tuple[float, float, float]]  # games, seconds, exploitability

RECIPES = {
    "kuhn-selfplay": [],
    "without the magnet": ["--kl", "0", "--kl-end", "0", "--magnet-every", "0"],
}
COLOURS = {"kuhn-selfplay": "#2563eb", "without the magnet": "#d97706"}
GOAL = 0.05
UNIFORM = 0.4583


def run(name: str, seed: int, folder: Path) -> Curve:
    """Train, or go on from where an earlier call stopped; what was measured on the way."""
    out = folder / f"{name.replace(' ', '-')}-{seed}"
    command = ["train", "kuhn-selfplay", "--seed", str(seed), "--out", str(out), "--resume"]
    subprocess.run([sys.executable, "-m", "ludus.cli", *command, *RECIPES[name]], check=True)
    return [
        (line["episodes"], line["time_s"], line["eval/exploitability"])
        for line in read_metrics(out)
        if "eval/exploitability" in line
    ]


def reached(curve: Curve, goal: float) -> float | None:
    """Seconds after which exploitability was at or below the goal for good."""
    late = [i for i, (_, _, value) in enumerate(curve) if value > goal]
    first = late[-1] + 1 if late else 0
    return curve[first][1] if first < len(curve) else None


def table(curves: dict[str, dict[int, Curve]]) -> str:
    """Markdown: a row a run, and the medians."""
    rows = [
        "| recipe | seed | before | after | best | games | seconds | ≤ 0.05 for good from |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, by_seed in curves.items():
        for seed, curve in by_seed.items():
            games, seconds, after = curve[-1]
            best = min(value for _, _, value in curve)
            since = reached(curve, GOAL)
            rows.append(
                f"| {name} | {seed} | {curve[0][2]:.4f} | {after:.4f} | {best:.4f} "
                f"| {games:,.0f} | {seconds:.0f} | {'-' if since is None else f'{since:.0f} s'} |"
            )
        after = statistics.median(curve[-1][2] for curve in by_seed.values())
        seconds = statistics.median(curve[-1][1] for curve in by_seed.values())
        rows.append(f"| {name} | median | | **{after:.4f}** | | | {seconds:.0f} | |")
    return "\n".join(rows)


def picture(curves: dict[str, dict[int, Curve]]) -> str:
    """The curves as SVG, exploitability on a logarithmic axis."""
    width, height, left, top = 760, 380, 60, 20
    most = max(curve[-1][0] for by_seed in curves.values() for curve in by_seed.values())
    low, high = log10(0.005), log10(0.7)

    def x(games: float) -> float:
        return left + (width - left - 20) * games / most

    def y(value: float) -> float:
        return top + (height - top - 40) * (high - log10(max(value, 0.005))) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#555">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for value in (0.01, 0.02, 0.05, 0.1, 0.2, UNIFORM):
        dash = ' stroke-dasharray="4 4"' if value in (GOAL, UNIFORM) else ""
        note = {GOAL: " goal", UNIFORM: " uniform"}.get(value, "")
        parts += [
            f'<line x1="{left}" x2="{width - 20}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'stroke="#ddd"{dash}/>',
            f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>',
            f'<text x="{width - 24}" y="{y(value) - 4:.1f}" text-anchor="end">{note}</text>',
        ]
    for name, by_seed in curves.items():
        for curve in by_seed.values():
            points = " ".join(f"{x(games):.1f},{y(value):.1f}" for games, _, value in curve)
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" '
                'stroke-width="1.6" stroke-linejoin="round" opacity="0.85"/>'
            )
    for i, name in enumerate(curves):
        parts.append(
            f'<text x="{left + 10 + 200 * i}" y="{height - 8}" fill="{COLOURS[name]}">{name}</text>'
        )
    parts += [
        f'<text x="{width - 20}" y="{height - 8}" text-anchor="end">{most:,.0f} games</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main(args: Sequence[str] | None = None) -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--compare", action="store_true", help="also without the magnet")
    parser.add_argument("--folder", type=Path, default=Path("runs/kuhn-seeds"))
    parser.add_argument("--svg", type=Path, default=None, help="where to write the curves")
    options = parser.parse_args(args)
    names = list(RECIPES) if options.compare else ["kuhn-selfplay"]
    curves = {
        name: {seed: run(name, seed, options.folder) for seed in options.seeds} for name in names
    }
    print(table(curves))
    if options.svg:
        options.svg.write_text(picture(curves))


if __name__ == "__main__":
    main()
