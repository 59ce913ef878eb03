"""CFR+: an equilibrium of a two-seat zero-sum game by minimizing regret at every information set.

In iteration t = 1, 2, ... each seat i in turn, against what the others play now:

    R+(I, a)  <- max(0, R+(I, a) + v(I, a) - sum over b of sigma(b) v(I, b))
    S(I, a)   <- S(I, a) + t * pi_i(I) * sigma(a)        (with sigma from before the update)
    sigma(a)   = R+(I, a) / sum over b of R+(I, b)       (uniform where all are 0)

v: counterfactual values; pi_i(I): probability that seat i's own moves lead to I. The answer is S,
normalized: the average strategy, late iterations weighing more.

Source: Tammelin 2014, arXiv:1407.5042; the convergence proof with alternating updates:
Burch et al. 2019, arXiv:1810.11542.
"""

import numpy as np

from ludus.agents.solvers.best_response import exploitability
from ludus.agents.solvers.game_tree import GameTree
from ludus.agents.solvers.infosets import Key

CHECK_EVERY = 50  # iterations; exploitability costs about as much as two of them


def solve(
    tree: GameTree, *, iterations: int = 2000, tolerance: float = 1e-4
) -> dict[Key, tuple[float, ...]]:
    """The average strategy of CFR+.

    Args:
        tree: A zero-sum game of two seats.
        iterations: At most.
        tolerance: Stop at this exploitability, in the environment's unit; 0 runs all iterations.

    Returns:
        Key of every information set -> probabilities of its moves.

    Raises:
        ValueError: If the game has not two seats, is not zero-sum, or iterations < 1.
    """
    if len(tree.seats) != 2 or not tree.zero_sum:
        raise ValueError(f"CFR+ needs a zero-sum game of two seats, {tree.env_id} is none")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    flat = tree.flat
    below = slice(flat.levels[0].stop, None)
    regret_Q = np.zeros(len(flat.infoset_Q))
    total_Q = np.zeros_like(regret_Q)
    sigma_Q = flat.normalized(regret_Q)
    # Own moves alone reach every node of an information set equally likely: one of them will do.
    node_Q = np.zeros(len(regret_Q), dtype=np.int64)
    node_Q[flat.slot_N[below]] = np.arange(below.start, len(flat.slot_N))
    for t in range(1, iterations + 1):
        for who in range(2):
            mine_Q = flat.seat_Q == who
            own_Q = flat.reach(sigma_Q, of=who)[node_Q]  # pi_i(I) * sigma(a)
            total_Q += np.where(mine_Q, t * own_Q, 0.0)
            values_Q = flat.move_values(sigma_Q, who)
            gain_Q = values_Q - flat.sum_per_infoset(sigma_Q * values_Q)
            regret_Q = np.where(mine_Q, np.maximum(regret_Q + gain_Q, 0.0), regret_Q)
            sigma_Q = flat.normalized(regret_Q)
        if tolerance and t % CHECK_EVERY == 0:
            found = _by_key(tree, flat.normalized(total_Q))
            if exploitability(tree, found) <= tolerance:
                return found
    return _by_key(tree, flat.normalized(total_Q))


def _by_key(tree: GameTree, policy_Q: np.ndarray) -> dict[Key, tuple[float, ...]]:
    rows = tree.flat.split(policy_Q)
    return {infoset.key: rows[infoset.index] for infoset in tree.infosets}
