"""From trajectories to tensors: every distinct prefix once, every sampled action exactly once.

The tokens of many trajectories form a forest: conversations that begin alike share their
beginning. A bin is one such forest, laid out as one row in which a token attends to its own
ancestors only; its loss and gradient are those of separate rows, its cost that of the distinct
tokens. Trajectories that share nothing are bins of their own, plain causal rows. One trajectory
is always one path in one bin, all its turns together; nothing is repeated per turn.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ludus.trainer.loss import Aggregation, Segments, token_weights
from ludus.trainer.trajectory import TokenNode, Trajectory

Path = Sequence[TokenNode]
"""A trajectory's nodes from the root to its leaf."""

EVEN = 1024
"""A row of this many tokens costs as much in attention as in all else, about: it decides how long
bins grow, for they pay for attention over tokens that are masked. Measured for small models on a
processor; wider ones have it higher."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What one forward and backward pass needs. B bins of T tokens, U predicting positions,
    N trained tokens.

    The model reads (B, T); the hidden states at `predict_U` give U distributions; trained token n
    is `token_N[n]` under distribution `slot_N[n]`. Two trajectories that sampled in the same place
    point to the same distribution.
    """

    ids_BT: Tensor
    """(B, T) int64, right-padded with 0."""
    position_BT: Tensor
    """(B, T) int64: depth of each token in its tree."""
    mask_BTT: Tensor | None
    """(B, T, T) bool: query t may attend to key s; None where all bins are plain rows."""
    predict_U: Tensor
    """(U,) int64: where distributions are needed, as b * T + t."""
    slot_N: Tensor
    """(N,) int64, into U."""
    token_N: Tensor
    logp_sampled_N: Tensor
    """(N,) float32, nats."""
    entropy_N: Tensor
    """(N,) float32, nats: of the distribution each token was sampled from."""
    advantage_N: Tensor
    """(N,) float32, reward units."""
    weight_N: Tensor
    """(N,) float32: see `token_weights`; counted over the whole optimizer step."""
    version_N: Tensor
    """(N,) int64: version of the weights that sampled each token."""
    row_N: Tensor
    """(N,) int64: trajectory of each token, as numbered in the step."""
    turn_N: Tensor
    """(N,) int64: its turn within the trajectory."""
    value_N: Tensor | None = None
    """(N,) float32, reward units: what the critic said before each token at sampling time."""
    target_N: Tensor | None = None
    """(N,) float32: what it should have said; not a number where it is not asked."""

    def __post_init__(self) -> None:
        N = {
            t.numel()
            for t in (self.slot_N, self.token_N, self.logp_sampled_N, self.entropy_N,
                      self.advantage_N, self.weight_N, self.version_N, self.row_N, self.turn_N)
        }  # fmt: skip
        if len(N) != 1:
            raise ValueError(f"per-token tensors must have one length, got {sorted(N)}")
        if self.ids_BT.shape != self.position_BT.shape:
            raise ValueError("ids and positions must have one shape")

    @property
    def segments(self) -> Segments:
        """Which trained tokens belong together."""
        return Segments(self.row_N, self.turn_N)

    @property
    def weight_U(self) -> Tensor:
        """(U,) total weight of the trained tokens at each predicting position."""
        zeros_U = self.weight_N.new_zeros(self.predict_U.numel())
        return zeros_U.index_add_(0, self.slot_N, self.weight_N)

    def to(self, device: torch.device) -> "MicroBatch":
        """The same on another device."""
        return MicroBatch(*(
            None if t is None else t.to(device)
            for t in (self.ids_BT, self.position_BT, self.mask_BTT, self.predict_U, self.slot_N,
                      self.token_N, self.logp_sampled_N, self.entropy_N, self.advantage_N,
                      self.weight_N, self.version_N, self.row_N, self.turn_N, self.value_N,
                      self.target_N)
        ))  # type: ignore[arg-type]  # fmt: skip


class _Bin:
    """A forest under construction. Tokens are numbered in the order they are added, so a parent's
    number is smaller than its children's."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self.is_chain = True
        self.rows: list[tuple[int, list[tuple[int, ...]]]] = []
        """(trajectory, where the tokens of each of its nodes lie)"""
        self._child: dict[tuple[int, int], int] = {}
        self._places: dict[tuple[int, tuple[int, ...]], tuple[int, ...]] = {}

    def shared(self, path: Path) -> int:
        """How many leading tokens of the path lie here already."""
        at, count = -1, 0
        for node in path:
            places = self._places.get((at, node.ids))
            if places is not None:
                at, count = places[-1], count + len(places)
                continue
            for token in node.ids:
                found = self._child.get((at, token))
                if found is None:
                    return count
                at, count = found, count + 1
        return count

    def add(self, index: int, path: Path) -> None:
        """Lay the path of a trajectory into the forest."""
        at, row = -1, []
        for node in path:
            places = self._places.get((at, node.ids))
            if places is None:
                places = self._places[at, node.ids] = tuple(self._grow(at, node.ids))
            at = places[-1]
            row.append(places)
        self.rows.append((index, row))

    def _grow(self, at: int, ids: Sequence[int]) -> Iterator[int]:
        for token in ids:
            found = self._child.get((at, token))
            if found is None:
                found = self._child[at, token] = len(self.ids)
                self.is_chain &= at == found - 1
                self.ids.append(token)
                self.parents.append(at)
                self.depths.append(0 if at < 0 else self.depths[at] + 1)
            at = found
            yield at

    def ancestors(self) -> np.ndarray:
        """(T, T) bool: row t marks t and the tokens above it."""
        T = len(self.ids)
        above = np.zeros((T, T), dtype=bool)
        for t, parent in enumerate(self.parents):
            if parent >= 0:
                above[t] = above[parent]
            above[t, t] = True
        return above


def _fill_bins(paths: Sequence[Path], bin_tokens: int) -> list[_Bin]:
    """Put trajectories that begin alike together, up to a size. In the order of their tokens, so
    that neighbours share most, and so that the result does not depend on the order given."""
    keys = [[node.ids for node in path] for path in paths]
    bins = [_Bin()]
    for i in sorted(range(len(paths)), key=keys.__getitem__):
        shared = bins[-1].shared(paths[i])
        new = sum(map(len, keys[i])) - shared
        size = len(bins[-1].ids) + new
        if bins[-1].ids and (size > bin_tokens or (new and size > _best_size(shared))):
            bins.append(_Bin())
        bins[-1].add(i, paths[i])
    return bins


def _best_size(shared: int) -> float:
    """The size S of bins with so long a prefix at which a token costs least: a bin has S - shared
    tokens that others have not, and costs S + S^2 / EVEN.

    >>> _best_size(0), round(_best_size(100)), round(_best_size(1000))
    (0.0, 435, 2423)
    """
    return shared + math.sqrt(shared * (shared + EVEN))


def pack(
    trajectories: Sequence[Trajectory],
    advantages: Sequence[Sequence[float]],
    *,
    aggregation: Aggregation = "token-mean",
    norm: float = 1.0,
    bin_tokens: int = 1024,
    micro_tokens: int = 16_384,
    keep: Sequence[Sequence[bool]] | None = None,
) -> list[MicroBatch]:
    """Tensors for one optimizer step.

    Args:
        trajectories: What to train on.
        advantages: For each trajectory one advantage a turn; broadcast to the turn's tokens here.
        aggregation: How token losses are averaged, see `token_weights`.
        norm: The constant of "seq-mean-token-sum-norm".
        bin_tokens: Bins of shared prefixes stay below this many tokens (a trajectory longer than
            that is a bin of its own).
        micro_tokens: A micro-batch holds at most this many tokens, padding included, and at
            least one bin.
        keep: For each trajectory which turns are trained, by default all; at least one of each.

    Returns:
        Micro-batches whose weighted losses add up to the loss of the step.

    Raises:
        ValueError: If there are no trajectories, or turns and advantages do not match.
    """
    for trajectory, advantage in zip(trajectories, advantages, strict=True):
        if len(trajectory.turns) != len(advantage):
            raise ValueError(f"{len(trajectory.turns)} turns, but {len(advantage)} advantages")
    paths = [trajectory.leaf.path() for trajectory in trajectories]
    if keep is None:
        keep = [(True,) * len(trajectory.turns) for trajectory in trajectories]
    lengths = [
        sum(len(node.ids) for node in path if node.is_action and kept[node.turn])
        for path, kept in zip(paths, keep, strict=True)
    ]
    rows = np.repeat(np.arange(len(paths)), lengths)
    weights = token_weights(torch.from_numpy(rows), aggregation, norm=norm).numpy()
    first_weight = np.searchsorted(rows, np.arange(len(trajectories)))  # rows are ascending
    weight_of_row = [float(weights[k]) if k < len(weights) else 0.0 for k in first_weight]

    bins = sorted(_fill_bins(paths, bin_tokens), key=lambda b: (b.is_chain, len(b.ids)))
    micro_batches: list[MicroBatch] = []
    group: list[_Bin] = []
    for b in bins:
        full = (len(group) + 1) * len(b.ids) > micro_tokens
        if group and (full or b.is_chain != group[-1].is_chain):
            micro_batches.append(_tensors(group, paths, advantages, weight_of_row, keep))
            group = []
        group.append(b)
    micro_batches.append(_tensors(group, paths, advantages, weight_of_row, keep))
    return micro_batches


def _tensors(
    bins: Sequence[_Bin],
    paths: Sequence[Path],
    advantages: Sequence[Sequence[float]],
    weight_of_row: Sequence[float],
    keep: Sequence[Sequence[bool]],
) -> MicroBatch:
    B, T = len(bins), max(len(b.ids) for b in bins)
    ids_BT = np.zeros((B, T), dtype=np.int64)
    position_BT = np.zeros((B, T), dtype=np.int64)
    mask_BTT = None
    if not all(b.is_chain for b in bins):
        mask_BTT = np.zeros((B, T, T), dtype=bool)
        mask_BTT[:, np.arange(T), np.arange(T)] = True  # a padding token sees itself: no empty row
    slots: dict[int, int] = {}  # flat predicting position -> its number in U
    slot: list[int] = []
    token: list[int] = []
    logp: list[float] = []
    entropy: list[float] = []
    advantage: list[float] = []
    weight: list[float] = []
    version: list[int] = []
    row: list[int] = []
    turn: list[int] = []
    for number, b in enumerate(bins):
        size = len(b.ids)
        ids_BT[number, :size], position_BT[number, :size] = b.ids, b.depths
        if mask_BTT is not None:
            mask_BTT[number, :size, :size] = b.ancestors()
        for index, places_of_nodes in b.rows:
            for node, places in zip(paths[index], places_of_nodes, strict=True):
                if not node.is_action or not keep[index][node.turn]:
                    continue
                for place in places:
                    flat = number * T + b.parents[place]  # a token is predicted at its parent
                    slot.append(slots.setdefault(flat, len(slots)))
                token += node.ids
                logp += node.logps
                entropy += node.entropies
                advantage += [advantages[index][node.turn]] * len(places)
                weight += [weight_of_row[index]] * len(places)
                version += [node.version] * len(places)
                row += [index] * len(places)
                turn += [node.turn] * len(places)
    return MicroBatch(
        ids_BT=torch.from_numpy(ids_BT),
        position_BT=torch.from_numpy(position_BT),
        mask_BTT=None if mask_BTT is None else torch.from_numpy(mask_BTT),
        predict_U=torch.tensor(list(slots)),
        slot_N=torch.tensor(slot),
        token_N=torch.tensor(token),
        logp_sampled_N=torch.tensor(logp),
        entropy_N=torch.tensor(entropy),
        advantage_N=torch.tensor(advantage),
        weight_N=torch.tensor(weight),
        version_N=torch.tensor(version),
        row_N=torch.tensor(row),
        turn_N=torch.tensor(turn),
    )
