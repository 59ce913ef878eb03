"""Advantage estimators: the numbers of the papers, and the laws they keep."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ludus.trainer.advantages import ADVANTAGES, RAE, Estimator, GroupMean, Returns
from ludus.trainer.advantages.base import turn_tokens
from ludus.trainer.trajectory import Episode, Stop, Trajectory

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import path, trajectory

GAMES = [(1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (-1.5, 0.5)]
GAINS = [  # read before update; decay 0.95, from 0
    (1.0, -1.0),
    (0.95, -0.95),
    (-1.0975, 1.0975),
    (0.957375, -0.957375),
    (-1.59049375, 0.59049375),
]
BASELINES = [
    (0.05, -0.05),
    (0.0975, -0.0975),
    (0.042625, -0.042625),
    (0.09049375, -0.09049375),
    (0.0109690625, -0.0609690625),
]


def game(
    returns: Sequence[float],
    *,
    number: int = 0,
    env_id: str = "test/A-v0",
    task: str = "task",
    turns: int = 1,
) -> Episode:
    """A game of these returns, all seats with as many turns, paid at the end."""
    roles = [f"player_{i}" for i in range(len(returns))]
    leaf = path(*[[1], [2]] * turns)
    played: list[Trajectory] = [
        trajectory(
            leaf, *[0.0] * (turns - 1), ret, role=role, env_id=env_id, task_key=task, episode=number
        )
        for role, ret in zip(roles, returns, strict=True)
    ]
    all_returns = dict(zip(roles, returns, strict=True))
    return Episode(env_id, task, number, all_returns, tuple(played), Stop.TERMINATED)


def numbers(advantages: Sequence[Sequence[float]]) -> list[list[float]]:
    return [list(a) for a in advantages]


def test_rae_by_hand() -> None:
    rae = RAE()
    for returns, gains, baselines in zip(GAMES, GAINS, BASELINES, strict=True):
        assert numbers(rae([game(returns)])) == pytest.approx(np.array(gains)[:, None])
        for i, b in enumerate(baselines):
            assert rae.baselines["test/A-v0", f"player_{i}"] == pytest.approx(b, abs=1e-12)


def test_rae_reads_before_it_updates() -> None:
    # The paper's order, update first, would shrink every advantage by the decay.
    rae, first = RAE(), [r for r, _ in GAMES]
    gains = [rae([game(returns)])[0][0] for returns in GAMES]
    baseline, paper = 0.0, []
    for ret in first:
        baseline = 0.95 * baseline + 0.05 * ret
        paper.append(ret - baseline)
    assert paper == pytest.approx([0.95 * gain for gain in gains])


def test_rae_is_the_same_however_the_rollout_is_split() -> None:
    episodes = [game(returns, number=i) for i, returns in enumerate(GAMES)]
    whole, parts = RAE(), RAE()
    assert whole(episodes) == [*parts(episodes[:2]), *parts(episodes[2:3]), *parts(episodes[3:])]
    assert whole.state_dict() == parts.state_dict()


def test_rae_of_two_games_shares_nothing() -> None:
    rae = RAE()
    mixed = rae(
        [game(returns, env_id=env) for returns in GAMES for env in ("test/A-v0", "test/B-v0")]
    )
    alone = RAE()([game(returns) for returns in GAMES])
    pairs = [mixed[i : i + 2] for i in range(0, len(mixed), 2)]
    assert [a for pair in pairs[::2] for a in pair] == alone
    assert [a for pair in pairs[1::2] for a in pair] == alone


def test_rae_gives_every_turn_the_advantage_of_its_trajectory() -> None:
    assert RAE()([game((1.0, -1.0), turns=3)]) == [(1.0,) * 3, (-1.0,) * 3]


def test_rae_learns_the_value_of_a_seat_that_never_acted() -> None:
    rae = RAE()
    silent = Episode("e", "t", 0, {"player_0": -1.5, "player_1": 0.5}, (), Stop.FORFEIT)
    assert rae([silent]) == []
    expected = {("e", "player_0"): -0.075, ("e", "player_1"): 0.025}
    assert rae.baselines == pytest.approx(expected)


def test_rae_goes_on_from_its_state() -> None:
    whole, before = RAE(), RAE()
    episodes = [game(returns) for returns in GAMES]
    expected = whole(episodes)
    found = before(episodes[:3])
    after = RAE()
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert found + after(episodes[3:]) == expected
    assert after.baselines == whole.baselines


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0])
def test_rae_needs_a_decay(decay: float) -> None:
    with pytest.raises(ValueError, match="decay"):
        RAE(decay)


returns = st.lists(st.floats(-100, 100), min_size=1, max_size=12)


@given(returns=returns, shift=st.floats(-10, 10))
def test_group_mean_sums_to_zero_and_ignores_a_shift(returns: list[float], shift: float) -> None:
    estimator = GroupMean()
    advantages = [a for (a,) in estimator([game((r,)) for r in returns])]
    assert sum(advantages) == pytest.approx(0, abs=1e-9)
    shifted = [a for (a,) in estimator([game((r + shift,)) for r in returns])]
    assert shifted == pytest.approx(advantages, abs=1e-9)
    assert advantages == pytest.approx(np.array(returns) - np.mean(returns), abs=1e-9)


def test_group_mean_groups_by_task_and_role() -> None:
    episodes = [game((1.0, 5.0), task="x"), game((0.0, 1.0), task="x"), game((7.0, 7.0), task="y")]
    assert numbers(GroupMean()(episodes)) == [[0.5], [2.0], [-0.5], [-2.0], [0.0], [0.0]]


def test_returns_are_returns() -> None:
    assert Returns()([game((1.0, -2.0), turns=2)]) == [(1.0, 1.0), (-2.0, -2.0)]


def noted(episode: Episode) -> Episode:
    """With what a rollout notes where an estimator asks for it."""
    return replace(
        episode,
        trajectories=tuple(
            replace(
                t,
                turns=tuple(
                    replace(
                        u,
                        state_key="s",
                        golden_logp=-1.0,
                        values=(0.5,) * tokens,
                        sum_squares=(0.5,) * tokens,
                    )
                    for u, tokens in zip(t.turns, turn_tokens(t), strict=True)
                ),
            )
            for t in episode.trajectories
        ),
    )


@pytest.mark.parametrize("name", ADVANTAGES)
def test_every_estimator_keeps_the_contract(name: str) -> None:
    estimator: Estimator = ADVANTAGES[name]()
    episodes = [
        noted(game(tuple((r + 2) / 4 for r in returns), number=i, turns=i + 1))
        for i, returns in enumerate(GAMES)
    ]
    advantages = estimator(episodes)
    trajectories = [t for episode in episodes for t in episode.trajectories]
    assert [len(a) for a in advantages] == [len(t.turns) for t in trajectories]
    assert estimator([]) == []
    twin = ADVANTAGES[name]()
    twin.load_state_dict(json.loads(json.dumps(estimator.state_dict())))
    assert twin(episodes) == estimator(episodes)
