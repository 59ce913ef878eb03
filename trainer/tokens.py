"""From one advantage a turn to one a token, where an estimator says so."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from ludus.trainer.advantages import TokenCredit
from ludus.trainer.batch import MicroBatch
from ludus.trainer.trajectory import Trajectory


def turns_of(batch: MicroBatch) -> Iterator[tuple[tuple[int, int], int, int]]:
    """((row, turn), first token, end) of each turn in a micro-batch; its tokens lie together."""
    keys = zip(batch.row_N.tolist(), batch.turn_N.tolist(), strict=True)
    start = 0
    for key, members in itertools.groupby(keys):
        end = start + sum(1 for _ in members)
        yield key, start, end
        start = end


def with_tokens(
    batches: Sequence[MicroBatch],
    trajectories: Sequence[Trajectory],
    tokens: Sequence[Sequence[TokenCredit]],
) -> list[MicroBatch]:
    """Add to the micro-batches of `pack` what an estimator says of every token: how its advantage
    differs from its turn's and, where there is a critic, values and targets.

    Args:
        batches: Of these trajectories, in this order.
        trajectories: With values in their turns, where there is a critic.
        tokens: For every trajectory, turn by turn.
    """
    return [_with_tokens(batch, trajectories, tokens) for batch in batches]


def _with_tokens(
    batch: MicroBatch,
    trajectories: Sequence[Trajectory],
    tokens: Sequence[Sequence[TokenCredit]],
) -> MicroBatch:
    turns = [key for key, _, _ in turns_of(batch)]
    credits = [tokens[row][turn] for row, turn in turns]
    deviations = [d for credit in credits for d in credit.deviation]
    told = replace(batch, advantage_N=batch.advantage_N + torch.tensor(deviations))
    targets = [g for credit in credits for g in credit.target]
    if not targets:
        return told
    values = [v for row, turn in turns for v in trajectories[row].turns[turn].values]
    return replace(told, value_N=torch.tensor(values), target_N=torch.tensor(targets))
