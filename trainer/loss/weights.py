"""Aggregation: how the losses of tokens become the loss of a step."""

from typing import Literal

import torch
from torch import Tensor

Aggregation = Literal[
    "token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"
]
AGGREGATIONS: tuple[Aggregation, ...] = (
    "token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm",
)  # fmt: skip


def token_weights(row_N: Tensor, aggregation: Aggregation, *, norm: float = 1.0) -> Tensor:
    """Weight of every trained token such that the aggregated loss is the sum of w * loss.

    | mode | weight of a token in a row of n tokens, R rows, N tokens |
    |---|---|
    | token-mean | 1 / N (DAPO, arXiv:2503.14476) |
    | seq-mean-token-sum | 1 / R |
    | seq-mean-token-mean | 1 / (R n) (GRPO, arXiv:2402.03300) |
    | seq-mean-token-sum-norm | 1 / norm (Dr. GRPO, arXiv:2503.20783; SPIRAL) |

    Args:
        row_N: (N,) which trajectory each trained token of the optimizer step belongs to, as
            integers from 0. Rows without trained tokens do not count.
        aggregation: One of `AGGREGATIONS`.
        norm: The constant of the last mode; the same for the whole run.

    Returns:
        (N,) float32.

    Raises:
        ValueError: If there is no such mode or no token.

    >>> row = torch.tensor([0, 0, 0, 1])
    >>> token_weights(row, "seq-mean-token-mean")
    tensor([0.1667, 0.1667, 0.1667, 0.5000])
    """
    N = row_N.numel()
    if N < 1:
        raise ValueError("no trained token in the batch")
    lengths = torch.bincount(row_N)
    rows = int((lengths > 0).sum())
    match aggregation:
        case "token-mean":
            return torch.full((N,), 1.0 / N)
        case "seq-mean-token-sum":
            return torch.full((N,), 1.0 / rows)
        case "seq-mean-token-mean":
            return 1.0 / (rows * lengths[row_N].float())
        case "seq-mean-token-sum-norm":
            return torch.full((N,), 1.0 / norm)
    raise ValueError(f"unknown aggregation {aggregation!r}, allowed: {', '.join(AGGREGATIONS)}")
