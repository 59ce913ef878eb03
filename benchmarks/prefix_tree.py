"""What sharing prefixes saves in training: time and memory of one update, tree against rows.

    python benchmarks/prefix_tree.py

First, branches: `--leaves` episodes of a task share `--prefix` tokens, in trees of 1 to 16
branches, and go on for `--suffix` tokens of their own; laid as trees and as separate rows. Then,
turns: conversations of 1 to 16 turns, laid as one row each and as one row a turn. Loss and backward
of the same tokens; every measurement in a process of its own, one thread, the fastest of
`--rounds`; the memory is what the process grew by at its peak. Gradients are compared as well.
"""

import argparse
import os
import pickle
import random
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any

import psutil
import torch
from torch import Tensor

from ludus.agents.small_model import small_model
from ludus.trainer.batch import pack
from ludus.trainer.learner import Coefficients, Learner
from ludus.trainer.loss import reinforce
from ludus.trainer.trajectory import TokenNode, Trajectory, Turn

MICRO_TOKENS = 8192
STILL = Coefficients(lr=0.0, entropy=0.0, kl=0.0)
SIZES = (1, 2, 4, 8, 16)


def action(parent: TokenNode, turn: int, length: int, rng: random.Random) -> TokenNode:
    """A reply as if it had been sampled."""
    ids = tuple(rng.randrange(256) for _ in range(length))
    return TokenNode(parent, ids, turn, (-5.0,) * length, (5.0,) * length, 0)


def context(parent: TokenNode | None, length: int, rng: random.Random) -> TokenNode:
    """Tokens that were given."""
    return TokenNode(parent, tuple(rng.randrange(256) for _ in range(length)))


def trajectory(leaf: TokenNode, number: int) -> Trajectory:
    """A trajectory of one task."""
    turns = sum(node.is_action for node in leaf.path())
    return Trajectory("bench", "task", "player_0", number, leaf, (Turn(0.0, ""),) * turns)


def branched(leaves: int, branches: int, prefix: int, suffix: int) -> list[Trajectory]:
    """Episodes in trees of so many branches; half of what they share was sampled."""
    rng = random.Random(0)
    found = []
    for number in range(leaves):
        if number % branches == 0:
            trunk = action(context(None, prefix // 2, rng), 0, prefix - prefix // 2, rng)
        shown = context(trunk, suffix // 2, rng)
        found.append(trajectory(action(shown, 1, suffix - suffix // 2, rng), number))
    return found


def conversations(count: int, turns: int, tokens: int) -> list[Trajectory]:
    """Episodes of so many turns, each of so many tokens given and as many sampled."""
    rng = random.Random(0)
    found = []
    for number in range(count):
        leaf: TokenNode | None = None
        for turn in range(turns):
            leaf = action(context(leaf, tokens, rng), turn, tokens, rng)
        assert leaf is not None
        found.append(trajectory(leaf, number))
    return found


def by_turn(t: Trajectory) -> list[Trajectory]:
    """A trajectory for every turn, with everything before it as its prompt."""
    before: list[int] = []
    found = []
    for node in t.leaf.path():
        if node.is_action:
            prompt = TokenNode(None, tuple(before))
            again = TokenNode(prompt, node.ids, 0, node.logps, node.entropies, node.version)
            found.append(trajectory(again, t.episode))
        before += node.ids
    return found


def measured(model: Any, rows: Sequence[Trajectory], bin_tokens: int, rounds: int) -> Any:
    """Seconds, bytes, and the gradient of an update, in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "wb") as out:
            pickle.dump(_update(model, rows, bin_tokens, rounds), out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as given:
        result = pickle.load(given)
    os.waitpid(child, 0)
    return result


def _update(
    model: Any, rows: Sequence[Trajectory], bin_tokens: int, rounds: int
) -> tuple[float, int, list[Tensor]]:
    learner = Learner(model, reinforce(), grad_clip=1e9, parity_tolerance=1e9)
    gradient: list[Tensor] = []
    learner.optimizer.register_step_pre_hook(
        lambda *_: gradient.extend([] if gradient else [p.grad.clone() for p in model.parameters()])
    )
    began_at = psutil.Process().memory_info().rss
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        advantages = [[1.0 if t.episode % 2 else -0.5] * len(t.turns) for t in rows]
        batches = pack(rows, advantages, bin_tokens=bin_tokens, micro_tokens=MICRO_TOKENS)
        learner.update(batches, STILL, version=0)
        best = min(best, time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return best, peak - began_at, gradient


def table(
    model: Any, title: str, ways: Callable[[int], dict[str, tuple[list[Trajectory], int]]],
    rounds: int,
) -> None:  # fmt: skip
    """One line a size: both layouts and their ratios."""
    print(f"\n{title}")
    for size in SIZES:
        found = {name: measured(model, *way, rounds) for name, way in ways(size).items()}
        (plain, plain_bytes, plain_grad), (ours, own_bytes, own_grad) = found.values()
        scale = max(float(g.abs().max()) for g in plain_grad)
        apart = max(float((a - b).abs().max()) for a, b in zip(plain_grad, own_grad, strict=True))
        shown = " · ".join(
            f"{name} {s * 1e3:7.0f} ms {b / 2**20:6.0f} MiB" for name, (s, b, _) in found.items()
        )
        saved = f"time {plain / ours:5.2f} x · memory {plain_bytes / own_bytes:5.2f} x"
        print(f"{size:3}  {shown} · {saved} · gradients differ by {apart / scale:.1e}", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leaves", type=int, default=16)
    parser.add_argument("--prefix", type=int, default=384)
    parser.add_argument("--suffix", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=24, help="of a turn, given and sampled each")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)  # a forked process has no others
    model, _ = small_model(
        hidden=options.hidden, layers=options.layers, seed=0, texts=["a b"], max_positions=4096
    )
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, one thread")

    def branches(factor: int) -> dict[str, tuple[list[Trajectory], int]]:
        rows = branched(options.leaves, factor, options.prefix, options.suffix)
        return {"rows": (rows, 1), "tree": (rows, 1024)}

    def turns(count: int) -> dict[str, tuple[list[Trajectory], int]]:
        whole = conversations(options.leaves, count, options.tokens)
        apart = [row for t in whole for row in by_turn(t)]
        return {"a row a turn": (apart, 1), "a row an episode": (whole, 1)}

    table(
        model,
        f"{options.leaves} leaves, {options.prefix} tokens shared, {options.suffix} of their own; "
        "branches of a tree:",
        branches,
        options.rounds,
    )
    table(
        model,
        f"{options.leaves} episodes, {2 * options.tokens} tokens a turn; turns:",
        turns,
        options.rounds,
    )


if __name__ == "__main__":
    main()
