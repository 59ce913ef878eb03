"""Small agents that learn to use tools: what they solve and how often they call, over episodes.

Runs `ludus train math-python` and `ludus train hop-search` once a seed, one after the other, each
going on where an earlier call stopped; judges the model after its warm start and at the end at test
tasks; prints all of it as tables, and writes the curves as SVG.

    python benchmarks/tool_agent.py --seeds 0 1 2 --svg docs/images
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ludus.envs import registry
from ludus.envs.manifest import held_out
from ludus.trainer.load import load_policy
from ludus.trainer.metrics import read_metrics
from ludus.trainer.rollout import Rollout
from ludus.trainer.trajectory import Episode, usable

RECIPES = ("math-python", "hop-search")
SOLVED, CALLS = "#2563eb", "#d97706"

Curve = list[tuple[float, float, float]]  # episodes, share solved, calls an episode


@dataclass(frozen=True)
class Run:
    """What came of one seed."""

    curve: Curve
    before: list[Episode]
    """Test tasks played by the model of the warm start."""
    after: list[Episode]
    """The same tasks at the end."""
    seconds: float


def run(recipe: str, seed: int, folder: Path, more: Sequence[str]) -> Run:
    """Train, or go on from where an earlier call stopped."""
    out = folder / f"{recipe}-{seed}"
    command = ["train", recipe, "--seed", str(seed), "--out", str(out), "--resume", *more]
    subprocess.run([sys.executable, "-m", "ludus.cli", *command], check=True)
    lines = read_metrics(out)
    curve = [
        (line["episodes"], line["eval/success"], line["eval/calls"])
        for line in lines
        if "eval/success" in line
    ]
    steps = sorted((out / "checkpoints").glob("step-*"))
    return Run(curve, judged(steps[0]), judged(steps[-1]), lines[-1]["time_s"])


def judged(checkpoint: Path, tasks: int = 300) -> list[Episode]:
    """Test tasks, sampled at temperature 1."""
    policy = load_policy(str(checkpoint))
    split = held_out(policy.make_env())
    env = registry.make(policy.env, **{**policy.env_kwargs, "split": split})
    chosen = env.tasks(split, **env.params).shuffle(0, tasks)
    agent = policy.agent
    player = Rollout(agent.engine, agent.chat, policy.make_env, agent.sampling)
    return usable(player.play(list(chosen), seed=0))


def share(episodes: Sequence[Episode]) -> str:
    """Of those solved, in percent, and of how many; empty for none."""
    solved = sum(episode.success is True for episode in episodes)
    return f"{solved / len(episodes):.1%} of {len(episodes)}" if episodes else "-"


def table(runs: dict[int, Run]) -> str:
    """Markdown: two rows a seed."""
    rows = [
        "| seed | | solved | calls an episode | solved of those with a call | of those without "
        "| episodes | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for seed, own in runs.items():
        for name, episodes, spent in (
            ("warm start", own.before, "| | |"),
            ("end", own.after, f"| {own.curve[-1][0]:,.0f} | {own.seconds:.0f} |"),
        ):
            calls = [episode.metrics.get("calls", 0.0) for episode in episodes]
            called = [e for e, n in zip(episodes, calls, strict=True) if n]
            silent = [e for e, n in zip(episodes, calls, strict=True) if not n]
            rows.append(
                f"| {seed} | {name} | {share(episodes)} | {sum(calls) / len(calls):.2f} "
                f"| {share(called)} | {share(silent)} {spent}"
            )
    return "\n".join(rows)


def picture(runs: dict[int, Run]) -> str:
    """As SVG: on the left the share solved, on the right the calls an episode."""
    width, height, top, bottom = 760, 300, 34, 40
    last = max(own.curve[-1][0] for own in runs.values())
    calls = max(1.0, *(n for own in runs.values() for _, _, n in own.curve))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#555">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for left, most, column, colour, title in (
        (50, 1.0, 1, SOLVED, "tasks solved"),
        (430, calls, 2, CALLS, "calls an episode"),
    ):
        wide, tall = 310, height - top - bottom
        parts.append(f'<text x="{left}" y="18" fill="{colour}">{title}</text>')
        for i in range(5):
            y = top + tall * (1 - i / 4)
            text = f"{most * i / 4:.0%}" if column == 1 else f"{most * i / 4:.2g}"
            parts += [
                f'<line x1="{left}" x2="{left + wide}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>',
                f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>',
            ]
        for own in runs.values():
            points = " ".join(
                f"{left + wide * row[0] / last:.1f},{top + tall * (1 - row[column] / most):.1f}"
                for row in own.curve
            )
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6" '
                'stroke-linejoin="round" opacity="0.85"/>'
            )
        parts += [
            f'<text x="{left}" y="{height - 14}">warm start</text>',
            f'<text x="{left + wide}" y="{height - 14}" text-anchor="end">'
            f"{last:,.0f} episodes</text>",
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(args: Sequence[str] | None = None) -> None:
    """Run and report. What is not known here is passed on to `ludus train`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/tool-agents"))
    parser.add_argument("--svg", type=Path, default=None, help="folder to write the curves to")
    options, more = parser.parse_known_args(args)
    for recipe in options.recipes:
        runs = {seed: run(recipe, seed, options.folder, more) for seed in options.seeds}
        print(f"{recipe}\n\n{table(runs)}\n")
        if options.svg:
            (options.svg / f"{recipe}.svg").write_text(picture(runs))


if __name__ == "__main__":
    main()
