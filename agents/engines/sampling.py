"""From logits to tokens: one distribution per row, any number of draws from it.

A row is one distinct token stream. Many sessions may stand at the same row, so everything that
costs the vocabulary is done once per row, and everything per session is a few array operations.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ludus.agents.engines.base import SamplingParams

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Keys = NDArray[np.uint64]
Bools = NDArray[np.bool_]

BITS = 48  # of each uniform; leaves 15 bits of an int64 for the row
MAX_ROWS = 1 << 14
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Rule:
    """The part of `SamplingParams` that shapes the distribution, and what is noted of it."""

    temperature: float
    top_k: int
    top_p: float
    sum_squares: bool = False

    @classmethod
    def of(cls, params: SamplingParams) -> "Rule":
        """The rule of these parameters: lanes that share it are drawn together."""
        return cls(params.temperature, params.top_k, params.top_p, params.sum_squares)


def _mix(z: Keys) -> Keys:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return cast(Keys, z ^ (z >> np.uint64(31)))


def stream_key(seed: int) -> int:
    """The 64-bit key of a random stream; unlike seeds give unrelated keys."""
    # Mixed twice: neighbours in seed must not be neighbours in the counter.
    return _mix_one((_mix_one(seed & MASK) + int(GOLDEN)) & MASK)


def _mix_one(z: int) -> int:
    # As `_mix`; numpy is slow with single numbers.
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def uniforms(keys: Keys, counters: Ints) -> Ints:
    """The counter-th draw of each stream: uniform integers in [0, 2**48).

    A pure function of (key, counter), so a draw does not depend on what is drawn beside it.

    Source: splitmix64; Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
    generators", OOPSLA.
    """
    with np.errstate(over="ignore"):
        z = keys + (counters.astype(np.uint64) + np.uint64(1)) * GOLDEN
        return (_mix(z) >> np.uint64(64 - BITS)).astype(np.int64)


def _kept(p_RV: Tensor, rule: Rule) -> Tensor:
    """(R, V) bool: what top-k, then top-p over the rest, leave. Never empty."""
    sorted_RV, order_RV = p_RV.sort(dim=-1, descending=True, stable=True)
    if 0 < rule.top_k < p_RV.shape[-1]:
        sorted_RV[:, rule.top_k :] = 0
    reached_RV = sorted_RV.cumsum(-1)
    # A token stays if those before it have not reached top_p yet.
    before_RV = reached_RV - sorted_RV
    keep_RV = (sorted_RV > 0) & (before_RV < rule.top_p * reached_RV[:, -1:])
    # Back to the order of ids: nearly equal tokens must not swap places with rounding noise.
    return torch.zeros_like(keep_RV).scatter_(1, order_RV, keep_RV)


def draw(
    logits_RV: Tensor, rows_S: Ints, uniforms_S: Ints, rule: Rule
) -> tuple[Ints, Floats, Floats]:
    """One token for each of S streams from the distribution of its row.

    Args:
        logits_RV: (R, V) of any float type and device.
        rows_S: (S,) the row of each stream.
        uniforms_S: (S,) from `uniforms`.
        rule: Temperature 0 takes the first most likely token.

    Returns:
        Tokens, log-probabilities and entropies, each (S,), in nats, as `Completion` defines them.
    """
    parts = []
    for start in range(0, logits_RV.shape[0], MAX_ROWS):
        inside_S = (rows_S >= start) & (rows_S < start + MAX_ROWS)
        part_RV = logits_RV[start : start + MAX_ROWS]
        if inside_S.all():
            return _draw(part_RV, rows_S - start, uniforms_S, rule)
        parts.append(
            (inside_S, _draw(part_RV, rows_S[inside_S] - start, uniforms_S[inside_S], rule))
        )
    tokens_S, logps_S, entropies_S = rows_S.copy(), np.zeros(len(rows_S)), np.zeros(len(rows_S))
    for inside_S, drawn in parts:
        tokens_S[inside_S], logps_S[inside_S], entropies_S[inside_S] = drawn
    return tokens_S, logps_S, entropies_S


def sums_of_squares(logits_RV: Tensor, rows_S: Ints, rule: Rule) -> Floats:
    """(S,) Sum over the vocabulary of the squared probabilities of each stream's distribution.

    Args:
        logits_RV: (R, V) of any float type and device.
        rows_S: (S,) the row of each stream.
        rule: As of `draw`; at temperature 0 the model's own distribution.
    """
    p_RV = _scaled(logits_RV, rule).softmax(-1, dtype=torch.float64)
    if rule.temperature and (rule.top_k or rule.top_p < 1):
        p_RV = p_RV * _kept(p_RV, rule)
        p_RV = p_RV / p_RV.sum(-1, keepdim=True)
    return cast(Floats, torch.linalg.vecdot(p_RV, p_RV).cpu().numpy()[rows_S])


def _scaled(logits_RV: Tensor, rule: Rule) -> Tensor:
    x_RV = logits_RV.float()
    return x_RV if rule.temperature in (0.0, 1.0) else x_RV / rule.temperature


def _draw(
    logits_RV: Tensor, rows_S: Ints, uniforms_S: Ints, rule: Rule
) -> tuple[Ints, Floats, Floats]:
    V = logits_RV.shape[1]
    x_RV = _scaled(logits_RV, rule)
    p_RV = x_RV.softmax(-1, dtype=torch.float64)
    top_R, top_id_R = p_RV.max(-1)
    # -sum p log p with log p = x - z; the clamp keeps 0 * -inf out.
    top_x_R = x_RV.gather(1, top_id_R[:, None])[:, 0].double()
    mean_x_R = torch.linalg.vecdot(p_RV, x_RV.clamp_min(-1e30).double())
    entropies_R = (top_x_R - top_R.log() - mean_x_R).clamp_min_(0)

    rows_dev_S = _to(rows_S, p_RV)
    if rule.temperature == 0:
        tokens_dev_S = top_id_R[rows_dev_S]
    else:
        if rule.top_k or rule.top_p < 1:
            p_RV = p_RV * _kept(p_RV, rule)
        cdf_RV = p_RV.cumsum(-1)
        cdf_RV /= cdf_RV[:, -1:].clone()
        p_RV = p_RV / p_RV.sum(-1, keepdim=True) if rule.top_k or rule.top_p < 1 else p_RV
        # Integer keys (row, cdf) are sorted as a whole, so one search serves all rows exactly.
        keys_RV = (cdf_RV * 2**BITS).long()
        keys_RV += torch.arange(len(keys_RV), device=keys_RV.device)[:, None] << BITS
        wanted_S = _to((rows_S << BITS) + uniforms_S, keys_RV)
        tokens_dev_S = torch.searchsorted(keys_RV.view(-1), wanted_S, right=True) - rows_dev_S * V
    logps_S = p_RV.view(-1)[rows_dev_S * V + tokens_dev_S].log()
    # One transfer for all three: ids below 2**53 are exact in float64.
    out = torch.stack([tokens_dev_S.double(), logps_S, entropies_R[rows_dev_S]]).cpu().numpy()
    return out[0].astype(np.int64), out[1], out[2]


def _to(array: NDArray[Any], like: Tensor) -> Tensor:
    return torch.from_numpy(array).to(like.device)
