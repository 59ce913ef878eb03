"""With a critic, or token by token: pure functions on plain sequences.

What the environment says lies between the sampled tokens. It is no transition: values, rewards and
discounts pass over it. So everything here takes the sampled tokens alone, or a mask to find them.
"""

from collections.abc import Sequence
from typing import TypeVar

from ludus.trainer.advantages.base import returns_to_go

X = TypeVar("X")


def compact(values: Sequence[X], mask: Sequence[bool]) -> list[X]:
    """What stands where the mask is true.

    >>> compact([1, 2, 3], [True, False, True])
    [1, 3]
    """
    return [v for v, m in zip(values, mask, strict=True) if m]


def scatter(values: Sequence[float], mask: Sequence[bool]) -> list[float]:
    """The reverse of `compact`; 0 elsewhere.

    >>> scatter([1.0, 3.0], [True, False, True])
    [1.0, 0.0, 3.0]
    """
    rest = iter(values)
    return [next(rest) if m else 0.0 for m in mask]


def _on_sampled(rewards: Sequence[float], mask: Sequence[bool]) -> list[float]:
    """Rewards moved to the last sampled token at or before them: one that lies on an observation
    belongs to the reply it answered."""
    out: list[float] = []
    for reward, m in zip(rewards, mask, strict=True):
        if m:
            out.append(reward)
        elif out:
            out[-1] += reward
        elif reward:
            raise ValueError("a reward before the first sampled token belongs to no reply")
    return out


def discounted_returns(
    rewards_T: Sequence[float], mask_T: Sequence[bool], gamma: float = 1.0
) -> list[float]:
    """G_t = r_t + gamma G_next, where next is the next sampled token; 0 at masked tokens.

    Source: REINFORCE++, arXiv:2501.03262; the failure it avoids is verl issue 7278.

    >>> discounted_returns([0.0, 0.0, 1.0], [True, False, True], 0.5)
    [0.5, 0.0, 1.0]
    """
    return scatter(returns_to_go(_on_sampled(rewards_T, mask_T), gamma), mask_T)


def gae(
    rewards: Sequence[float], values: Sequence[float], *, gamma: float = 1.0, lam: float = 1.0
) -> list[float]:
    """Generalised advantage estimation over transitions, the value after the last being 0.

        delta_t = r_t + gamma V_{t+1} - V_t,  A_t = delta_t + gamma lam A_{t+1}

    One transition may be a token or a turn (Turn-PPO: V at the turn's start, gamma 0.99, lam 0.9;
    arXiv:2512.17008).

    Source: arXiv:1506.02438.

    >>> [round(a, 6) for a in gae([0, 0, 1], [0.2, 0.5, 0.6], gamma=0.99, lam=0.9)]
    [0.696306, 0.4504, 0.4]
    """
    out: list[float] = []
    ahead, v_next = 0.0, 0.0
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        ahead = reward + gamma * v_next - value + gamma * lam * ahead
        v_next = value
        out.append(ahead)
    return out[::-1]


def masked_gae(
    rewards_T: Sequence[float],
    values_T: Sequence[float],
    mask_T: Sequence[bool],
    *,
    gamma: float = 1.0,
    lam: float = 1.0,
) -> list[float]:
    """`gae` over the sampled tokens of an interleaved sequence; 0 elsewhere.

    >>> masked_gae([0.0, 1.0], [0.5, 9.0], [True, False])
    [0.5, 0.0]
    """
    own = gae(_on_sampled(rewards_T, mask_T), compact(values_T, mask_T), gamma=gamma, lam=lam)
    return scatter(own, mask_T)


def bi_level_gae(
    rewards_N: Sequence[float],
    values_N: Sequence[float],
    turn_N: Sequence[int],
    *,
    gamma_turn: float = 0.95,
    gamma: float = 1.0,
    lam: float = 1.0,
) -> list[float]:
    """Turns first, then tokens within each turn.

    On the last tokens e of the turns, A_e by GAE with gamma_turn; then the reward at e is replaced
    by A_e + V(e), and token GAE runs inside each turn, from its end, with nothing after it.

    Args:
        rewards_N: Of the sampled tokens; a turn's reward is the sum over its tokens.
        values_N: V at each sampled token, reward units.
        turn_N: Turn of each, ascending. Turns are told by this, never by rewards that are not 0.
        gamma_turn: Discount from turn to turn.
        gamma: Discount from token to token.
        lam: Of both levels.

    Source: RAGEN / VAGEN code, arXiv:2504.20073.

    >>> bi_level_gae([0.0, 1.0], [0.5, 0.25], [0, 0])
    [0.5, 0.75]
    """
    ends = [i for i, t in enumerate(turn_N) if i + 1 == len(turn_N) or turn_N[i + 1] != t]
    starts = [0, *(e + 1 for e in ends[:-1])]
    spans = list(zip(starts, ends, strict=True))
    turn_rewards = [sum(rewards_N[s : e + 1]) for s, e in spans]
    upper = gae(turn_rewards, [values_N[e] for e in ends], gamma=gamma_turn, lam=lam)
    out: list[float] = []
    for (start, end), advantage in zip(spans, upper, strict=True):
        rewards = [0.0] * (end - start) + [advantage + values_N[end]]
        out += gae(rewards, values_N[start : end + 1], gamma=gamma, lam=lam)
    return out


def truncated_gae(
    rewards: Sequence[float], values: Sequence[float], *, gamma: float = 1.0, lam: float = 1.0
) -> list[float]:
    """`gae` of a sequence that is cut and goes on later: the value after the cut is taken to be
    that of the last token, so its delta is r + (gamma - 1) V.

    Source: T-PPO, arXiv:2506.15050, from secondary sources.

    >>> truncated_gae([0.0, 0.0], [0.25, 0.5])
    [0.25, 0.0]
    """
    if not values:
        return []
    return gae([*rewards[:-1], rewards[-1] + gamma * values[-1]], values, gamma=gamma, lam=lam)


def optimal_token_baselines(
    returns_GT: Sequence[Sequence[float]], norms_GT: Sequence[Sequence[float]]
) -> list[float]:
    """B_t = sum_i G_it W_it / sum_i W_it, over the trajectories that are still alive at their t-th
    sampled token: the baseline of least gradient variance.

    Args:
        returns_GT: Return-to-go at the sampled tokens of the trajectories of a group.
        norms_GT: W: squared norm of the score so far, see `score_norms`.

    Returns:
        One baseline a position; 0 where only one trajectory is alive, which says nothing.

    Source: arXiv:2602.07078; the 0 is its code's `handle_zero_tail`.

    >>> [round(b, 6) for b in optimal_token_baselines([[1, 1], [0, 0]], [[0.2, 0.5], [0.6, 0.7]])]
    [0.25, 0.416667]
    """
    out = []
    for t in range(max(map(len, returns_GT), default=0)):
        alive = [i for i, row in enumerate(returns_GT) if len(row) > t]
        weight = sum(norms_GT[i][t] for i in alive)
        total = sum(returns_GT[i][t] * norms_GT[i][t] for i in alive)
        out.append(total / weight if len(alive) > 1 and weight > 0 else 0.0)
    return out


def score_norms(probs_N: Sequence[float], sum_squares_N: Sequence[float]) -> list[float]:
    """W_t = sum over j <= t of 1 - 2 pi_j + sum_v pi_v^2: squared norm of the gradient of the
    log-probability with respect to the logits. Never negative, whatever rounding says.

    Source: the logit-gradient proxy of arXiv:2602.07078.

    Args:
        probs_N: Probability of each sampled token.
        sum_squares_N: Sum of the squares of all probabilities at its place.

    >>> score_norms([0.5, 1.0], [0.5, 1.0])
    [0.5, 0.5]
    """
    out, total = [], 0.0
    for p, squares in zip(probs_N, sum_squares_N, strict=True):
        total += max(1 - 2 * p + squares, 0.0)
        out.append(total)
    return out
