"""Train a small language model by self-play: python examples/train_selfplay.py [OUT]"""

import sys
from dataclasses import replace

from ludus.trainer.config import RECIPES
from ludus.trainer.train import Trainer

if __name__ == "__main__":
    out = sys.argv[1] if len(sys.argv) > 1 else "runs/example"
    config = replace(RECIPES["spiral"], env="ludus/TicTacToe-v1", out=out, steps=10, episodes=64)
    trainer = Trainer(config, resume=True, say=print)
    trainer.run()
    print(trainer.evaluate())
