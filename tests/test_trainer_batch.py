"""Packing: every sampled token once, with the right distribution, advantage and weight."""

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ludus.trainer.batch import MicroBatch, pack
from ludus.trainer.loss import AGGREGATIONS, Aggregation, token_weights
from ludus.trainer.trajectory import TokenNode, Trajectory

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import path, trajectory


def rows(batch: MicroBatch) -> list[tuple[list[int], int, float, float]]:
    """Of every trained token: what it was predicted from, itself, its advantage, its weight."""
    T = batch.ids_BT.shape[1]
    found = []
    for n in range(batch.token_N.numel()):
        b, t = divmod(int(batch.predict_U[batch.slot_N[n]]), T)
        if batch.mask_BTT is None:
            seen = list(range(t + 1))
        else:
            seen = batch.mask_BTT[b, t].nonzero()[:, 0].tolist()
        seen.sort(key=lambda s: int(batch.position_BT[b, s]))
        assert [int(batch.position_BT[b, s]) for s in seen] == list(range(len(seen)))
        found.append(
            (
                [int(batch.ids_BT[b, s]) for s in seen],
                int(batch.token_N[n]),
                float(batch.advantage_N[n]),
                float(batch.weight_N[n]),
            )
        )
    return found


def expected(
    trajectories: list[Trajectory], advantages: list[list[float]], mode: Aggregation, norm: float
) -> list[tuple[list[int], int, float, float]]:
    """The same from plain rows, one token after the other."""
    lengths = [sum(len(n.ids) for n in t.leaf.path() if n.is_action) for t in trajectories]
    row_N = torch.tensor(np.repeat(np.arange(len(trajectories)), lengths))
    weights = iter(token_weights(row_N, mode, norm=norm).tolist())
    found = []
    for t, own in zip(trajectories, advantages, strict=True):
        before: list[int] = []
        for node in t.leaf.path():
            for token in node.ids:
                if node.is_action:
                    found.append((before.copy(), token, own[node.turn], next(weights)))
                before.append(token)
    return found


def sorted_rows(found: list[Any]) -> list[Any]:
    return [(a, b, pytest.approx(c), pytest.approx(d)) for a, b, c, d in sorted(found)]


def test_two_turns_that_share_a_prefix() -> None:
    prompt = TokenNode(None, (1, 2, 3))
    first = TokenNode(prompt, (4, 5), 0, (-0.1, -0.2), (0.0, 0.0), 3)
    second = TokenNode(prompt, (4, 6), 0, (-0.3, -0.4), (0.0, 0.0), 3)
    answer = TokenNode(first, (7,))
    last = TokenNode(answer, (8,), 1, (-0.5,), (0.0,), 4)
    (batch,) = pack([trajectory(last), trajectory(second)], [[1.0, 2.0], [-1.0]])
    assert batch.ids_BT.tolist() == [[1, 2, 3, 4, 5, 7, 8, 6]]
    assert batch.position_BT.tolist() == [[0, 1, 2, 3, 4, 5, 6, 4]]
    assert batch.mask_BTT is not None
    assert batch.mask_BTT[0].int().tolist() == [
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 0, 0, 0, 1],
    ]
    # The first tokens of both replies come from one distribution, after the prompt.
    assert batch.predict_U.tolist() == [2, 3, 5]
    assert batch.slot_N.tolist() == [0, 1, 2, 0, 1]
    assert batch.token_N.tolist() == [4, 5, 8, 4, 6]
    assert batch.logp_sampled_N.tolist() == pytest.approx([-0.1, -0.2, -0.5, -0.3, -0.4])
    assert batch.advantage_N.tolist() == [1.0, 1.0, 2.0, -1.0, -1.0]
    assert batch.version_N.tolist() == [3, 3, 4, 3, 3]
    assert batch.weight_N.tolist() == pytest.approx([0.2] * 5)
    assert batch.weight_U.tolist() == pytest.approx([0.4, 0.4, 0.2])


def test_rows_that_share_nothing_are_plain() -> None:
    (batch,) = pack([trajectory(path([1, 2], [3])), trajectory(path([4], [5]))], [[1.0], [2.0]])
    assert batch.mask_BTT is None
    assert batch.ids_BT.tolist() == [[4, 5, 0], [1, 2, 3]]
    assert batch.predict_U.tolist() == [0, 4]


def forests(rng: random.Random, n: int) -> tuple[list[Trajectory], list[list[float]]]:
    """Trajectories over few tokens, so that they share beginnings, cut into nodes anyhow."""
    found = []
    for _ in range(n):
        turns = rng.randint(1, 3)
        sizes = [rng.randint(1, 4) for _ in range(2 * turns)]
        found.append(trajectory(path(*[[rng.randint(1, 2) for _ in range(k)] for k in sizes])))
    return found, [[rng.uniform(-1, 1) for _ in t.turns] for t in found]


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 12),
    mode=st.sampled_from(AGGREGATIONS),
    bin_tokens=st.sampled_from([1, 10, 40, 1024]),
    micro_tokens=st.sampled_from([1, 30, 100, 10_000]),
)
def test_every_token_once_however_it_is_packed(
    seed: int, n: int, mode: Aggregation, bin_tokens: int, micro_tokens: int
) -> None:
    trajectories, advantages = forests(random.Random(seed), n)
    batches = pack(
        trajectories,
        advantages,
        aggregation=mode,
        norm=5.0,
        bin_tokens=bin_tokens,
        micro_tokens=micro_tokens,
    )
    found = [row for batch in batches for row in rows(batch)]
    assert sorted(found) == sorted_rows(expected(trajectories, advantages, mode, 5.0))
    for batch in batches:
        assert batch.ids_BT.numel() <= micro_tokens or len(batch.ids_BT) == 1
        assert len(set(batch.predict_U.tolist())) == batch.predict_U.numel()
        assert float(batch.weight_U.sum()) == pytest.approx(float(batch.weight_N.sum()))
        if batch.mask_BTT is not None:
            assert bool(batch.mask_BTT.any(-1).all())  # no query without a key


def test_the_order_of_trajectories_changes_nothing() -> None:
    trajectories, advantages = forests(random.Random(4), 9)
    order = random.Random(1).sample(range(9), 9)
    one = pack(trajectories, advantages)
    two = pack([trajectories[i] for i in order], [advantages[i] for i in order])
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.ids_BT, b.ids_BT)
        assert sorted(rows(a)) == sorted_rows(rows(b))


def test_shared_tokens_are_computed_once() -> None:
    prompt = list(range(1, 51))
    trajectories = [trajectory(path(prompt, [60 + i], [70], [80 + i])) for i in range(20)]
    (batch,) = pack(trajectories, [[0.0, 0.0]] * 20)
    assert batch.ids_BT.shape == (1, 50 + 3 * 20)
    assert batch.predict_U.numel() == 1 + 20


def test_it_refuses() -> None:
    one = trajectory(path([1], [2], [3], [4]))
    with pytest.raises(ValueError, match="2 turns, but 1 advantages"):
        pack([one], [[1.0]])
    with pytest.raises(ValueError, match="no trained token"):
        pack([], [])
    with pytest.raises(ValueError, match=r"shorter|longer"):
        pack([one], [])
    (batch,) = pack([one], [[1.0, 1.0]])
    fields = {name: getattr(batch, name) for name in MicroBatch.__slots__}
    with pytest.raises(ValueError, match="one length"):
        MicroBatch(**{**fields, "token_N": batch.token_N[:1]})
    with pytest.raises(ValueError, match="one shape"):
        MicroBatch(**{**fields, "position_BT": batch.position_BT[:, :1]})
