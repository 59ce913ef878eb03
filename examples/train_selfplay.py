"""Train a small language model by self-play: python examples/train_selfplay.py [OUT [STEPS]]"""

import sys
from dataclasses import replace

from ludus.trainer.config import RECIPES
from ludus.trainer.train import Trainer

if __name__ == "__main__":
    out, steps = (*sys.argv[1:], "runs/example", "30")[:2]
    config = replace(RECIPES["spiral"], env="ludus/TicTacToe-v1", out=out, steps=int(steps))
    trainer = Trainer(config, resume=True, say=print)
    trainer.run()
    print(trainer.evaluate())
