"""Equilibria of the new small games: known values, and how exploitable what `nash` plays is."""

import random

import pytest

import ludus
from ludus.agents.base import make_agent
from ludus.agents.solvers import build_tree, evaluate, exploitability, solve, uniform


def test_leduc_has_its_known_value() -> None:
    tree = build_tree("ludus/LeducPoker-v1")
    assert (len(tree.nodes), len(tree.infosets)) == (2040, 288)
    assert exploitability(tree, uniform) == pytest.approx(2.3736, abs=1e-3)  # OpenSpiel's figure
    found = solve(tree, iterations=1000)
    assert exploitability(tree, found) < 1e-3
    assert evaluate(tree, found)["player_0"] == pytest.approx(-0.0856, abs=1e-3)


@pytest.mark.parametrize(("sides", "nodes"), [(3, 9 * 127), (4, 16 * 511)])
def test_small_liars_dice(sides: int, nodes: int) -> None:
    tree = build_tree("ludus/LiarsDice-v1", sides=sides)
    assert len(tree.nodes) == nodes
    assert exploitability(tree, solve(tree, iterations=500)) < 1e-3


@pytest.mark.parametrize(
    ("env_id", "rounds"),
    [("RockPaperScissors", 1), ("RockPaperScissors", 2), ("MatchingPennies", 3)],
)
def test_matrix_games_are_played_evenly(env_id: str, rounds: int) -> None:
    tree = build_tree(f"ludus/{env_id}-v1", rounds=rounds)
    found = solve(tree, iterations=300)
    assert exploitability(tree, found) < 1e-3
    assert evaluate(tree, found)["player_0"] == pytest.approx(0, abs=1e-3)


def test_nash_plays_leduc_in_any_words() -> None:
    nash, rng = make_agent("nash:200"), random.Random(0)
    env = ludus.make("ludus/LeducPoker-v1", format="boxed", skin="obfuscated:4")
    for seed in range(10):
        env.reset(seed=seed)
        while env.acting:
            seat = env.acting[0]
            reply = nash.act(env, seat, rng)
            assert reply in (env.legal_actions() or [])
            assert env.step(reply)[4]["invalid"] == ""


def test_minimax_hints_at_mcts_where_the_game_is_too_large() -> None:
    with pytest.raises(ValueError, match="mcts"):
        make_agent("minimax").act(*refused())


def refused() -> tuple[ludus.TextEnv, str, random.Random]:
    env = ludus.make("ludus/Pig-v1")
    env.reset(seed=0)
    return env, "player_0", random.Random(0)
