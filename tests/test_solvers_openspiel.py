"""Solvers on OpenSpiel's own games, against OpenSpiel's own exploitability and CFR."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import ludus
from ludus.agents.base import make_agent
from ludus.agents.solvers import (
    GameTree,
    best_response,
    build_tree,
    evaluate,
    exploitability,
    solve,
    uniform,
)
from ludus.agents.solvers.game_tree import Infoset
from ludus.envs.adapters.openspiel import OpenSpiel

pyspiel = pytest.importorskip("pyspiel")
from open_spiel.python import policy as spiel_policy  # noqa: E402
from open_spiel.python.algorithms import cfr, expected_game_score  # noqa: E402
from open_spiel.python.algorithms import exploitability as spiel_exploitability  # noqa: E402


def tree_of(game: str) -> GameTree:
    return build_tree(OpenSpiel(game=game))


def theirs(game: str, tabular: Any) -> Callable[[Infoset], Sequence[float]]:
    """OpenSpiel's policy where ours asks for one: by the state that the episode stands at."""

    def probabilities(infoset: Infoset) -> Sequence[float]:
        env: Any = infoset.env()
        state, seat = env._at.state, env.ROLES.index(infoset.seat)
        found = tabular.action_probabilities(state, seat)
        return [found[env._actions(infoset.seat)[move]] for move in infoset.moves]

    return probabilities


def random_tabular(game: Any, seed: int) -> Any:
    rng, tabular = random.Random(seed), spiel_policy.TabularPolicy(game)
    for row, mask in zip(tabular.action_probability_array, tabular.legal_actions_mask, strict=True):
        weights = [rng.random() * legal for legal in mask]
        row[:] = [weight / sum(weights) for weight in weights]
    return tabular


def loaded(game: str) -> Any:
    """As OpenSpiel's Python solvers need it: one mover at a time."""
    found = pyspiel.load_game(game)
    simultaneous = found.get_type().dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS
    return pyspiel.convert_to_turn_based(found) if simultaneous else found


@pytest.mark.parametrize("game", ["kuhn_poker", "leduc_poker", "liars_dice(dice_sides=2)"])
def test_value_and_exploitability_of_random_policies(game: str) -> None:
    tree, spiel = tree_of(game), loaded(game)
    assert sum(chance for chance, _ in OpenSpiel.worlds(game=game) or ()) == pytest.approx(1)
    for seed in range(1 if game == "leduc_poker" else 3):
        tabular = random_tabular(spiel, seed)
        ours = theirs(game, tabular)
        value = expected_game_score.policy_value(spiel.new_initial_state(), [tabular] * 2)
        assert list(evaluate(tree, ours).values()) == pytest.approx(value)
        expected = spiel_exploitability.exploitability(spiel, tabular)
        assert exploitability(tree, ours) == pytest.approx(expected)
        for who, seat in enumerate(tree.seats):
            answer = spiel_exploitability.best_response(spiel, tabular, who)
            assert best_response(tree, ours, seat)[0] == pytest.approx(
                answer["best_response_value"]
            )


@pytest.mark.parametrize("game", ["kuhn_poker", "leduc_poker", "goofspiel(num_cards=3)"])
def test_infosets_are_openspiels(game: str) -> None:
    assert len(tree_of(game).infosets) == len(spiel_policy.TabularPolicy(loaded(game)).states)


def test_our_equilibrium_is_one_by_openspiels_measure() -> None:
    game = "leduc_poker"
    tree, spiel = tree_of(game), loaded(game)
    found = solve(tree, iterations=150, tolerance=0)
    tabular = spiel_policy.TabularPolicy(spiel)
    for infoset in tree.infosets:
        env: Any = infoset.env()
        row = tabular.policy_for_key(env._at.state.information_state_string())
        row[:] = 0
        meaning = env._actions(infoset.seat)
        for move, probability in zip(infoset.moves, found[infoset.key], strict=True):
            row[meaning[move]] = probability
    expected = spiel_exploitability.exploitability(spiel, tabular)
    assert exploitability(tree, found) == pytest.approx(expected, abs=1e-9)
    assert expected < 0.02
    assert evaluate(tree, found)["player_0"] == pytest.approx(-0.0856, abs=0.005)


def test_openspiels_cfr_is_an_equilibrium_by_our_measure() -> None:
    game = "kuhn_poker"
    solver = cfr.CFRPlusSolver(loaded(game))
    for _ in range(300):
        solver.evaluate_and_update_policy()
    tree = tree_of(game)
    ours = theirs(game, solver.average_policy())
    assert exploitability(tree, ours) < 2e-3 < 0.4 < exploitability(tree, uniform)
    assert evaluate(tree, ours)["player_0"] == pytest.approx(-1 / 18, abs=2e-3)


@pytest.mark.parametrize(
    ("spec", "game"), [("nash", "kuhn_poker"), ("minimax", "nim(pile_sizes=1;3)")]
)
def test_exact_opponents_play_it(spec: str, game: str) -> None:
    env: Any = ludus.make("ludus/OpenSpiel-v1", game=game)
    exact, other, rng = make_agent(spec), make_agent("random"), random.Random(0)
    total = 0.0
    for seed in range(60):
        env.reset(seed=seed)
        while env.acting:
            seat = env.acting[0]
            player = exact if seat == "player_0" else other
            env.step(player.act(env, seat, rng))
        total += env.returns["player_0"]
    assert total > 0


def test_a_shuffle_is_known_ahead_and_a_drawn_deal_is_the_same() -> None:
    worlds = OpenSpiel.worlds(game="leduc_poker")
    assert worlds is not None
    assert len(worlds) == 6 * 5 * 4
    _, task = worlds[77]
    env: Any = OpenSpiel(game="leduc_poker")
    for seed in range(3):
        env.reset(seed=seed, options={"task": task})
        while env.acting:
            env.step("Call")
        drawn = [state_action.action for state_action in env._at.state.full_history()
                 if state_action.player == pyspiel.PlayerId.CHANCE]  # fmt: skip
        assert drawn == task.params["chance"]


@pytest.mark.parametrize("game", ["pig(winscore=20)", "blackjack", "liars_dice"])
def test_games_whose_chance_cannot_be_drawn_ahead_have_no_worlds(game: str) -> None:
    assert OpenSpiel.worlds(game=game) is None
    env = OpenSpiel(game=game)
    with pytest.raises(ValueError, match="does not enumerate its worlds"):
        build_tree(env)


def test_chance_that_cannot_be_is_one_line() -> None:
    _, task = (OpenSpiel.worlds(game="kuhn_poker") or [])[0]
    bad = ludus.Task(task.env_id, "worlds", 0, 0, {**task.params, "chance": [0, 0]})
    with pytest.raises(ValueError, match=r"chance cannot be 0 here, allowed: \(1, 2\)"):
        OpenSpiel(game="kuhn_poker").reset(options={"task": bad})
