"""How good a policy is: its value, the best answer to it, and how far it is from equilibrium."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ludus.agents.solvers.flat import Floats
from ludus.agents.solvers.game_tree import GameTree, Infoset
from ludus.agents.solvers.infosets import Key

Policy = Mapping[Key, Sequence[float]] | Callable[[Infoset], Sequence[float]]
"""Probabilities of the legal moves of every information set, in the order of `Infoset.moves`."""


def uniform(infoset: Infoset) -> tuple[float, ...]:
    """The policy that plays every legal move equally often."""
    return (1 / len(infoset.moves),) * len(infoset.moves)


def evaluate(tree: GameTree, policy: Policy) -> dict[str, float]:
    """Expected return of every seat when all play the policy, in the environment's unit.

    Raises:
        ValueError: If the policy lacks an information set or gives no probability distribution.
    """
    return dict(zip(tree.seats, tree.flat.expected(as_slots(tree, policy)).tolist(), strict=True))


def best_response(
    tree: GameTree, policy: Policy, seat: str
) -> tuple[float, dict[Key, tuple[float, ...]]]:
    """The most that a seat can earn while the others play the policy, and how.

    Returns:
        The expected return, and a pure strategy for every information set of the seat. Among
        equally good moves, and where the others' play never leads, it takes the first.

    Raises:
        ValueError: As `evaluate`, or if there is no such seat.
    """
    if seat not in tree.seats:
        raise ValueError(f"unknown seat {seat!r}, seats: {', '.join(tree.seats)}")
    who = tree.seats.index(seat)
    answer_Q = _best_response(tree, as_slots(tree, policy), who)
    value = float(tree.flat.expected(answer_Q)[who])
    rows = tree.flat.split(answer_Q)
    return value, {i.key: rows[i.index] for i in tree.infosets if i.seat == seat}


def nash_conv(tree: GameTree, policy: Policy) -> float:
    """How much all seats together could gain by each answering the policy best; 0 at equilibrium.

        NashConv(sigma) = sum over i of ( max over tau of u_i(tau, sigma_-i) - u_i(sigma) )

    Raises:
        ValueError: As `evaluate`.

    Source: Lanctot et al. 2017, section 2, arXiv:1711.00832.
    """
    policy_Q = as_slots(tree, policy)
    now_S = tree.flat.expected(policy_Q)
    gain = 0.0
    for who in range(len(tree.seats)):
        gain += float(tree.flat.expected(_best_response(tree, policy_Q, who))[who] - now_S[who])
    return gain


def exploitability(tree: GameTree, policy: Policy) -> float:
    """NashConv per seat: what a seat loses on average to opponents that know the policy.

    In a zero-sum game of two seats, the mean of what best responses to it earn.

    Raises:
        ValueError: As `evaluate`.

    >>> from ludus.agents.solvers import build_tree
    >>> round(exploitability(build_tree("ludus/KuhnPoker-v1"), uniform), 7)
    0.4583333
    """
    return nash_conv(tree, policy) / len(tree.seats)


def _best_response(tree: GameTree, policy_Q: Floats, who: int) -> Floats:
    """(Q,) the policy, with the best pure answer of seat `who` in place of its own part."""
    flat = tree.flat
    answer_Q = policy_Q.copy()
    mine_Q = flat.seat_Q == who
    depth_Q = flat.depth_I[flat.infoset_Q]
    # Last decisions first: what an earlier one is worth depends only on later ones.
    for depth in sorted(set(depth_Q[mine_Q].tolist()), reverse=True):
        values_Q = flat.move_values(answer_Q, who)
        now_Q = mine_Q & (depth_Q == depth)
        best_Q = np.maximum.reduceat(values_Q, flat.start_I)[flat.infoset_Q]
        order_Q = np.where(values_Q == best_Q, -np.arange(len(values_Q)), -len(values_Q))
        first_Q = np.maximum.reduceat(order_Q, flat.start_I)[flat.infoset_Q]
        answer_Q = np.where(now_Q, (order_Q == first_Q).astype(np.float64), answer_Q)
    return answer_Q


def as_slots(tree: GameTree, policy: Policy) -> Floats:
    """(Q,) the policy's probabilities in the order of the flat tree.

    Raises:
        ValueError: If the policy lacks an information set or gives no probability distribution.
    """
    rows: list[float] = []
    for infoset in tree.infosets:
        if isinstance(policy, Mapping):
            if infoset.key not in policy:
                raise ValueError(f"the policy lacks the information set {infoset.key}")
            row = policy[infoset.key]
        else:
            row = policy(infoset)
        if len(row) != len(infoset.moves) or min(row) < 0 or not abs(sum(row) - 1) < 1e-6:
            raise ValueError(
                f"need probabilities of {', '.join(infoset.moves)} that sum to 1 "
                f"at {infoset.key}, got {list(row)}"
            )
        rows.extend(map(float, row))
    return np.asarray(rows)
