"""Trajectories refuse what cannot have happened."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from trainer_parts import path, trajectory

from ludus.trainer.trajectory import Episode, Stop, TokenNode, Trajectory, Turn, usable

PROMPT = TokenNode(None, (1, 2))


def action(**changes: object) -> Callable[[], TokenNode]:
    """A builder of a good action, with changes."""
    good: dict[str, object] = {
        "parent": PROMPT, "ids": (3, 4), "turn": 0, "logps": (-0.1, -0.2),
        "entropies": (0.3, 0.4), "version": 7,
    }  # fmt: skip
    return lambda: TokenNode(**{**good, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TokenNode(None, ()), "at least one token"),
        (lambda: TokenNode(None, (1,), logps=(-1.0,)), "context has no"),
        (lambda: TokenNode(None, (1,), entropies=(1.0,)), "context has no"),
        (lambda: TokenNode(None, (1,), version=0), "context has no"),
        (action(ids=()), "at least one token"),
        (action(logps=(-0.1,)), "got 2, 1, 2"),
        (action(entropies=()), "got 2, 2, 0"),
        (action(parent=None), "follows a prompt"),
        (action(version=-1), "version of the weights"),
        (action(logps=(-0.1, -math.inf)), "finite"),
        (action(logps=(-0.1, math.nan)), "finite"),
    ],
)
def test_a_node_refuses(build: Callable[[], TokenNode], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_path_runs_from_the_root() -> None:
    leaf = path([1, 2], [3], [4, 5], [6, 7])
    assert [node.ids for node in leaf.path()] == [(1, 2), (3,), (4, 5), (6, 7)]
    assert [node.turn for node in leaf.path()] == [-1, 0, -1, 1]
    assert [node.is_action for node in leaf.path()] == [False, True, False, True]
    assert leaf.path()[0].path() == [leaf.path()[0]]


def test_branches_share_their_past() -> None:
    reply = action()()
    twins = [TokenNode(reply, (9,)), TokenNode(reply, (8,))]
    assert twins[0].path()[:2] == twins[1].path()[:2] == [PROMPT, reply]
    assert twins[0] != TokenNode(reply, (9,))  # nodes are places, not values


@pytest.mark.parametrize(
    ("leaf", "turns"),
    [
        (PROMPT, 0),
        (action()(), 0),
        (action()(), 2),
        (action(turn=1)(), 1),
        (action(parent=action(turn=1)(), turn=0)(), 2),
        (action(parent=action()(), turn=0)(), 2),
    ],
)
def test_a_trajectory_has_one_action_a_turn_in_order(leaf: TokenNode, turns: int) -> None:
    with pytest.raises(ValueError, match="turn"):
        Trajectory("e", "t", "a", 0, leaf, (Turn(0.0, ""),) * turns)


def test_return_is_the_sum_of_rewards() -> None:
    leaf = path([1], [2], [3], [4], [5], [6])
    assert trajectory(leaf, 1.0, -0.25, 2.0).ret == 2.75


def test_trajectories_belong_to_their_episode() -> None:
    own = trajectory(path([1], [2]), role="a", episode=3)
    Episode("e", "t", 3, {"a": 0.0}, (own,), Stop.TERMINATED)
    for number, returns in ((4, {"a": 0.0}), (3, {"b": 0.0})):
        with pytest.raises(ValueError, match="does not belong"):
            Episode("e", "t", number, returns, (own,), Stop.TERMINATED)


def test_errors_are_not_learned_from() -> None:
    episodes = [Episode("e", "t", i, {}, (), stop) for i, stop in enumerate(Stop)]
    assert [episode.stop for episode in usable(episodes)] == [
        Stop.TERMINATED, Stop.TRUNCATED, Stop.FORFEIT,
    ]  # fmt: skip
