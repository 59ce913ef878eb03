"""A small language model learns to use a Python interpreter: python examples/train_tools.py [OUT]

It begins with random weights, imitates 600 episodes of which two in five begin with a program and
the others state the product at once, and is then only told whether its answers were right.
"""

import sys
from dataclasses import replace

from ludus.trainer.config import RECIPES
from ludus.trainer.train import Trainer


def show(step, metrics):
    if "eval/success" in metrics:
        solved, calls = metrics["eval/success"], metrics["eval/calls"]
        print(f"step {step}: {solved:.0%} solved, {calls:.2f} calls an episode", flush=True)


if __name__ == "__main__":
    out = sys.argv[1] if len(sys.argv) > 1 else "runs/train-tools"
    config = replace(RECIPES["math-python"], out=out, steps=20, eval_every=5)
    Trainer(config, resume=True, say=print, on_step=show).run()
