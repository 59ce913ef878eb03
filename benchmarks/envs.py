"""How fast environments are: `python benchmarks/envs.py [--seconds 1] [--json FILE]`.

For every registered environment, random legal play through the full protocol, resets included:
steps a second, microseconds of a fork, UTF-8 bytes shown a turn. Then the time of `import ludus`
over `import gymnasium`, in fresh processes, and OpenSpiel's Kuhn poker where it is installed, as a
bound: it plays states, not texts. All from one run, because machines differ; of several windows
the median is printed with the range. Play is timed in processor time, which a busy neighbour
changes least; imports on the clock, because they read files.
"""

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
from rich.console import Console
from rich.table import Table

import ludus
from ludus.envs import TextEnv

WINDOWS = 5
FREE_TEXT = tuple(map(str, range(1, 9)))  # replies where any text may be one


def play(env: TextEnv, seconds: float) -> tuple[float, float]:
    """Random play: steps a second, bytes shown a turn."""
    rng, steps, shown = random.Random(0), 0, 0
    start = time.process_time()
    while (spent := time.process_time() - start) < seconds:
        for _ in range(20):
            obs, info = env.reset()
            shown += len(obs.encode())
            over = False
            while not over:
                legal = info["legal_actions"] or FREE_TEXT
                action = legal[int(rng.random() * len(legal))]
                obs, _, terminated, truncated, info = env.step(action)
                shown += len(obs.encode())
                steps += 1
                over = terminated or truncated
    return steps / spent, shown / steps


def speed(env: TextEnv, seconds: float) -> float:
    """Steps a second."""
    return play(env, seconds)[0]


def fork_us(env: TextEnv, seconds: float) -> float:
    """Microseconds of one fork, two turns into an episode where it is as long."""
    rng = random.Random(0)
    env.reset(seed=1)
    for _ in range(2):
        before = env.fork()[0]
        env.step(rng.choice(env.legal_actions() or FREE_TEXT))
        if not env.acting:
            env = before
    forks, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        for _ in range(100):
            env.fork()
        forks += 100
    return spent / forks * 1e6


def open_spiel_steps_per_s(seconds: float) -> float | None:
    """Kuhn poker in OpenSpiel's C++ through Python, random play; None where it is missing."""
    try:
        import pyspiel
    except ImportError:
        return None
    game, rng, steps = pyspiel.load_game("kuhn_poker"), random.Random(0), 0
    start = time.process_time()
    while (spent := time.process_time() - start) < seconds:
        for _ in range(20):
            state = game.new_initial_state()
            while not state.is_terminal():
                legal = state.legal_actions()
                steps += not state.is_chance_node()  # deals are no steps of ours either
                state.apply_action(legal[int(rng.random() * len(legal))])
            state.returns()
    return steps / spent


def import_s(module: str) -> float:
    """Seconds that importing a module takes in a fresh process."""
    code = (
        "from time import perf_counter as now; start = now(); "
        f"import {module}; print(now() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def windows(measure: Callable[[], float]) -> dict[str, float]:
    """Median and range of a few measurements."""
    values = [measure() for _ in range(WINDOWS)]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def run(seconds: float) -> dict[str, Any]:
    """All figures."""
    envs = {}
    for spec in ludus.specs():
        env = ludus.make(spec.id)
        env.reset(seed=0)
        play(env, seconds / WINDOWS)  # warm
        figures: dict[str, Any] = {
            "steps_per_s": windows(partial(speed, env, seconds / WINDOWS)),
            "bytes_per_turn": play(env, seconds / WINDOWS)[1],
        }
        if env.metadata["fork"] != "none":
            figures["fork_us"] = windows(partial(fork_us, env, seconds / WINDOWS / 4))
        envs[spec.id] = figures
    import_s("ludus")  # warm: byte code and disk cache
    pairs = [(import_s("gymnasium"), import_s("ludus")) for _ in range(WINDOWS)]
    return {
        "machine": f"{platform.machine()}, Python {platform.python_version()}, "
        f"gymnasium {gymnasium.__version__}",
        "envs": envs,
        "import_s": {
            "gymnasium": statistics.median(a for a, _ in pairs),
            "ludus_over_gymnasium": statistics.median(b - a for a, b in pairs),
        },
        "open_spiel_kuhn_steps_per_s": open_spiel_steps_per_s(seconds),
    }


def show(found: dict[str, Any]) -> None:
    """Print the figures."""
    table = Table(
        "environment", "steps/s (range)", "fork us", "bytes/turn", title=found["machine"], box=None
    )
    for env_id, figures in found["envs"].items():
        rate, fork = figures["steps_per_s"], figures.get("fork_us")
        table.add_row(
            env_id,
            f"{rate['median']:,.0f} ({rate['min']:,.0f} to {rate['max']:,.0f})",
            f"{fork['median']:.1f}" if fork else "-",
            f"{figures['bytes_per_turn']:.0f}",
        )
    console = Console()
    console.print(table)
    imports = found["import_s"]
    console.print(
        f"import gymnasium {imports['gymnasium']:.3f} s, "
        f"ludus over it {imports['ludus_over_gymnasium']:.3f} s"
    )
    peer = found["open_spiel_kuhn_steps_per_s"]
    if peer is None:
        console.print("OpenSpiel is not installed: no peer in this run")
    else:
        ours = found["envs"]["ludus/KuhnPoker-v1"]["steps_per_s"]["median"]
        console.print(
            f"Kuhn in OpenSpiel (states, no texts) {peer:,.0f} steps/s: "
            f"ours are {ours / peer:.2f} of it"
        )


def main(args: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=1.0, help="of play per environment")
    parser.add_argument("--json", type=Path, help="also write the figures to a file")
    options = parser.parse_args(args)
    found = run(options.seconds)
    show(found)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
