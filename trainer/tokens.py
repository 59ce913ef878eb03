"""What is said of every sampled token: before credit by a network, after it by an estimator."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ludus.trainer.advantages import TokenCredit
from ludus.trainer.batch import MicroBatch, pack
from ludus.trainer.trajectory import Episode, Stop, Trajectory, Turn, usable


def turns_of(batch: MicroBatch) -> Iterator[tuple[tuple[int, int], int, int]]:
    """((row, turn), first token, end) of each turn in a micro-batch; its tokens lie together."""
    keys = zip(batch.row_N.tolist(), batch.turn_N.tolist(), strict=True)
    start = 0
    for key, members in itertools.groupby(keys):
        end = start + sum(1 for _ in members)
        yield key, start, end
        start = end


@torch.no_grad()
def noted(
    episodes: Sequence[Episode],
    measure: Callable[[MicroBatch], Tensor],
    note: Callable[[Turn, tuple[float, ...]], Turn],
    *,
    device: torch.device,
    bin_tokens: int,
    micro_tokens: int,
) -> list[Episode]:
    """The same episodes, with what a network says of every turn's sampled tokens.

    Args:
        episodes: Broken ones stay as they are.
        measure: From a micro-batch to (N,) numbers.
        note: From a turn and the numbers of its tokens to the turn with them.
        device: Where the network is.
        bin_tokens: See `pack`.
        micro_tokens: See `pack`.
    """
    trajectories = [t for e in usable(episodes) for t in e.trajectories]
    if not trajectories:
        return list(episodes)
    zeros = [(0.0,) * len(t.turns) for t in trajectories]
    found: dict[tuple[int, int], tuple[float, ...]] = {}
    for batch in pack(trajectories, zeros, bin_tokens=bin_tokens, micro_tokens=micro_tokens):
        values = measure(batch.to(device)).tolist()
        for key, start, end in turns_of(batch):
            found[key] = tuple(values[start:end])
    numbers = itertools.count()

    def told(t: Trajectory) -> Trajectory:
        row = next(numbers)
        return replace(t, turns=tuple(note(turn, found[row, i]) for i, turn in enumerate(t.turns)))

    return [
        episode
        if episode.stop is Stop.ERROR
        else replace(episode, trajectories=tuple(told(t) for t in episode.trajectories))
        for episode in episodes
    ]


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
