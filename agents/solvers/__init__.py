"""Exact play: game trees, best responses, CFR+, minimax.

>>> from ludus.agents.solvers import build_tree, exploitability, solve, uniform
>>> tree = build_tree("ludus/KuhnPoker-v1")
>>> len(tree.infosets), round(exploitability(tree, uniform), 7)
(12, 0.4583333)
>>> exploitability(tree, solve(tree)) < 1e-3
True
"""

from ludus.agents.solvers.best_response import (
    Policy,
    best_response,
    evaluate,
    exploitability,
    nash_conv,
    uniform,
)
from ludus.agents.solvers.cfr import solve
from ludus.agents.solvers.game_tree import GameTree, Infoset, Node, build_tree
from ludus.agents.solvers.infosets import Key, infoset_key
from ludus.agents.solvers.minimax import Minimax

__all__ = [
    "GameTree", "Infoset", "Key", "Minimax", "Node", "Policy", "best_response", "build_tree",
    "evaluate", "exploitability", "infoset_key", "nash_conv", "solve", "uniform",
]  # fmt: skip
