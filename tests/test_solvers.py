"""Exact solvers: against OpenSpiel, against brute force, and laws that hold for every policy."""

import itertools
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ludus.agents.solvers import (
    GameTree,
    Key,
    best_response,
    build_tree,
    evaluate,
    exploitability,
    nash_conv,
    solve,
    uniform,
)
from ludus.envs import Outcome, Task, TextEnv, derive_seed

sys.path.insert(0, str(Path(__file__).parent))
from broken_envs import HalfOfIt

KUHN = build_tree("ludus/KuhnPoker-v1")
GAME_VALUE = -1 / 18

Table = dict[Key, tuple[float, ...]]


def random_policy(tree: GameTree, rng: random.Random, *, sparse: bool = False) -> Table:
    """Probabilities drawn at random; if sparse, half of the moves are never made."""
    policy = {}
    for infoset in tree.infosets:
        weights = [rng.random() * (not sparse or rng.random() < 0.5) for _ in infoset.moves]
        if not sum(weights):
            weights[0] = 1.0
        policy[infoset.key] = tuple(weight / sum(weights) for weight in weights)
    return policy


class Hidden(TextEnv):
    """A game drawn at random: who moves, how many moves there are, whether others see a move, and
    what the end pays, all follow from a seed. Information sets can lie at several depths."""

    ENV_ID = "test/Hidden-v1"
    ROLES = ("a", "b")
    ZERO_SUM = True
    PARAMS: ClassVar[Mapping[str, Any]] = {"game": 0, "length": 3}

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._world: int = task.params["world"]
        self._game: int = task.params["game"]
        self._length: int = task.params["length"]
        self._path = ""

    def _draw(self, what: str, sides: int) -> int:
        return derive_seed(self._game, what, self._world, self._path) % sides

    def _rules(self, seat: str) -> str:
        return f"You hold {derive_seed(self._game, seat, self._world) % 2}."

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[self._draw("seat", 2)],)

    def _legal(self, seat: str) -> Sequence[str]:
        return "xyz"[: 2 + (self._draw("moves", 4) == 0)]

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, move),) = moves.items()
        shown = self._draw("shown", 2) == 0
        self._path += move
        news = {role: f"{seat}: {move}" for role in self.ROLES if role != seat} if shown else ""
        if len(self._path) < self._length + self._draw("end", 2):
            return Outcome(text=news)
        gain = float(self._draw("pay", 7) - 3)
        return Outcome({"a": gain, "b": -gain}, terminated=True)

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]]:
        own = {**cls.PARAMS, **params}
        tasks = [Task(cls.ENV_ID, "worlds", i, i, {**own, "world": i}) for i in range(3)]
        return list(zip((0.5, 0.25, 0.25), tasks, strict=True))


class Matrix(TextEnv):
    """Simultaneous moves; `pays` maps both moves to what the first and second seat get."""

    ENV_ID = "test/Matrix-v1"
    ROLES = ("a", "b")
    PARAMS: ClassVar[Mapping[str, Any]] = {"pays": {}}

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._pays: dict[str, list[float]] = task.params["pays"]

    def _rules(self, seat: str) -> str:
        return f"Choose. You are {seat}."

    def _acting(self) -> tuple[str, ...]:
        return self.ROLES

    def _legal(self, seat: str) -> Sequence[str]:
        return sorted({pair[self.ROLES.index(seat)] for pair in self._pays})

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        pay = self._pays[moves["a"] + moves["b"]]
        return Outcome(dict(zip(self.ROLES, pay, strict=True)), terminated=True)

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]]:
        return [(1.0, Task(cls.ENV_ID, "worlds", 0, 0, params))]


class ZeroSumMatrix(Matrix):
    ENV_ID = "test/ZeroSumMatrix-v1"
    ZERO_SUM = True


class Dice(Matrix):
    """Draws from chance in the middle of an episode."""

    ENV_ID = "test/Dice-v1"

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        return Outcome({"a": float(self.chance.random())}, terminated=True)


PENNIES = {"hh": [1, -1], "ht": [-1, 1], "th": [-1, 1], "tt": [1, -1]}
DILEMMA = {"cc": [3, 3], "cd": [0, 5], "dc": [5, 0], "dd": [1, 1]}


# ---- the tree --------------------------------------------------------------------------------


def test_kuhn_tree() -> None:
    assert (len(KUHN.nodes), len(KUHN.infosets)) == (54, 12)
    assert sum(node.chance for node in KUHN.nodes if node.parent < 0) == pytest.approx(1)
    for number, node in enumerate(KUHN.nodes):
        for child, move in zip(
            node.children,
            KUHN.infosets[node.infoset].moves if node.children else (),
            strict=True,
        ):
            assert (KUHN.nodes[child].parent, KUHN.nodes[child].move) == (number, move)
        assert (node.returns == ()) == bool(node.children)


def test_an_information_set_gives_an_environment_that_stands_there() -> None:
    tree = build_tree("ludus/KuhnPoker-v1", format="boxed", show_legal=False)
    assert [i.key for i in tree.infosets] == [i.key for i in KUHN.infosets]
    for infoset in tree.infosets:
        env = infoset.env()
        assert env.acting == (infoset.seat,)
        assert env.legal_actions() == list(infoset.actions)
        assert infoset.actions == tuple(f"\\boxed{{{move}}}" for move in infoset.moves)
        assert "\\boxed{}" in env.transcript(infoset.seat)[0].content
        assert "Legal actions" not in env.observe(infoset.seat)


def test_trees_of_an_id_a_class_and_an_environment_are_the_same() -> None:
    env = Hidden(game=3)
    env.start(Hidden.worlds(game=3)[0][1], 0)
    before = env.state_hash()
    trees = build_tree(env), build_tree(Hidden, game=3)
    assert trees[0] == trees[1]
    assert env.state_hash() == before


@pytest.mark.parametrize(
    ("env", "params", "words"),
    [
        ("ludus/GuessNumber-v1", {}, "ludus/GuessNumber-v1 does not enumerate its worlds"),
        ("ludus/TicTacToe-v1", {"max_nodes": 1000}, "TicTacToe-v1: its tree exceeds 1000 nodes"),
        (Dice, {"pays": PENNIES}, "test/Dice-v1 uses chance during the episode"),
        ("ludus/KuhnPokr-v1", {}, "unknown environment 'ludus/KuhnPokr-v1', nearest"),
        (HalfOfIt, {}, "the chances of its worlds add up to 0.5, not to 1"),
    ],
)
def test_what_has_no_tree(env: Any, params: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_tree(env, **params)


# ---- evaluation ------------------------------------------------------------------------------


def test_uniform_play_of_kuhn() -> None:
    assert exploitability(KUHN, uniform) == pytest.approx(0.45833333333333, abs=1e-12)
    assert evaluate(KUHN, uniform) == pytest.approx({"player_0": 0.125, "player_1": -0.125})


@pytest.mark.parametrize("seed", range(12))
def test_kuhn_policies_measure_as_in_openspiel(seed: int) -> None:
    pyspiel = pytest.importorskip("pyspiel")
    from open_spiel.python import policy as os_policy
    from open_spiel.python.algorithms import expected_game_score
    from open_spiel.python.algorithms import exploitability as os_exploitability

    game = pyspiel.load_game("kuhn_poker")
    ours = random_policy(KUHN, random.Random(seed), sparse=seed % 2 == 1)
    theirs = os_policy.TabularPolicy(game)
    for key, probabilities in ours.items():
        theirs.policy_for_key(openspiel_name(key))[:] = probabilities
    assert nash_conv(KUHN, ours) == pytest.approx(
        os_exploitability.nash_conv(game, theirs), abs=1e-9
    )
    assert exploitability(KUHN, ours) == pytest.approx(
        os_exploitability.exploitability(game, theirs), abs=1e-9
    )
    values = expected_game_score.policy_value(game.new_initial_state(), [theirs, theirs])
    assert list(evaluate(KUHN, ours).values()) == pytest.approx(list(values), abs=1e-9)


def openspiel_name(key: Key) -> str:
    """OpenSpiel's information state: the card, then p or b for every move."""
    card = "JQK".index(key[1].split("Your card is ")[1][0])
    lines = [line.rpartition(": ")[2] for message in key[1:] for line in message.split("\n")]
    letters = {"check": "p", "fold": "p", "bet": "b", "call": "b"}
    return str(card) + "".join(letters[line] for line in lines if line in letters)


@pytest.mark.parametrize(
    "game", [*range(7), 8, 9, 10, 11, 13, 14, 15]
)  # 7, 12: thousands of answers
def test_best_response_equals_brute_force(game: int) -> None:
    tree = build_tree(Hidden, game=game, length=2)
    policy = random_policy(tree, random.Random(game))
    for seat in tree.seats:
        own = [infoset for infoset in tree.infosets if infoset.seat == seat]
        choices = itertools.product(*(pure(len(infoset.moves)) for infoset in own))
        values = [
            evaluate(tree, {**policy, **{i.key: row for i, row in zip(own, rows, strict=True)}})[
                seat
            ]
            for rows in choices
        ]
        value, answer = best_response(tree, policy, seat)
        assert value == pytest.approx(max(values), abs=1e-12)
        assert evaluate(tree, {**policy, **answer})[seat] == pytest.approx(value, abs=1e-12)
        assert answer.keys() == {infoset.key for infoset in own}


def pure(n: int) -> list[tuple[float, ...]]:
    """The distributions over n moves that always make the same."""
    return [tuple(float(i == j) for j in range(n)) for i in range(n)]


def test_simultaneous_moves_hide_each_other() -> None:
    tree = build_tree(ZeroSumMatrix, pays=PENNIES)
    assert [infoset.seat for infoset in tree.infosets] == ["a", "b"]
    assert exploitability(tree, uniform) == pytest.approx(0)
    always_heads = {infoset.key: (1.0, 0.0) for infoset in tree.infosets}
    assert evaluate(tree, always_heads) == {"a": 1.0, "b": -1.0}
    assert nash_conv(tree, always_heads) == pytest.approx(2)


def test_a_game_that_is_not_zero_sum() -> None:
    tree = build_tree(Matrix, pays=DILEMMA)
    cooperate = {infoset.key: (1.0, 0.0) for infoset in tree.infosets}
    assert evaluate(tree, cooperate) == {"a": 3.0, "b": 3.0}
    assert best_response(tree, cooperate, "a")[0] == 5.0
    assert nash_conv(tree, cooperate) == 4.0
    defect = {infoset.key: (0.0, 1.0) for infoset in tree.infosets}
    assert nash_conv(tree, defect) == 0.0


@given(st.integers(0, 2**32), st.booleans(), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_laws_of_exploitability(seed: int, sparse: bool, game: int) -> None:
    tree = KUHN if seed % 2 else build_tree(Hidden, game=game)
    rng = random.Random(seed)
    policy = random_policy(tree, rng, sparse=sparse)
    values = evaluate(tree, policy)
    assert sum(values.values()) == pytest.approx(0, abs=1e-12)
    assert exploitability(tree, policy) >= -1e-12
    other = random_policy(tree, rng, sparse=sparse)
    for seat in tree.seats:
        value, _ = best_response(tree, policy, seat)
        assert value >= values[seat] - 1e-12
        mixed = {i.key: (other if i.seat == seat else policy)[i.key] for i in tree.infosets}
        assert value >= evaluate(tree, mixed)[seat] - 1e-12


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((0.5, 0.4), "probabilities of check, bet that sum to 1"),
        ((1.5, -0.5), "probabilities of check, bet"),
        ((1.0,), "probabilities of check, bet"),
        ((float("nan"), 0.5), "probabilities of check, bet"),
    ],
)
def test_what_is_no_policy(row: tuple[float, ...], words: str) -> None:
    policy = {infoset.key: uniform(infoset) for infoset in KUHN.infosets}
    with pytest.raises(ValueError, match=words):
        evaluate(KUHN, {**policy, KUHN.infosets[0].key: row})
    del policy[KUHN.infosets[3].key]
    with pytest.raises(ValueError, match="lacks the information set"):
        evaluate(KUHN, policy)
    with pytest.raises(ValueError, match="unknown seat 'player_2', seats: player_0, player_1"):
        best_response(KUHN, uniform, "player_2")


# ---- CFR+ ------------------------------------------------------------------------------------


def test_kuhn_is_solved() -> None:
    policy = solve(KUHN, iterations=5000, tolerance=5e-5)
    assert exploitability(KUHN, policy) <= 5e-5
    assert evaluate(KUHN, policy)["player_0"] == pytest.approx(GAME_VALUE, abs=1e-4)
    play = {openspiel_name(key): row for key, row in policy.items()}
    # Kuhn's family of equilibria: bet the king three times as often as the jack.
    assert play["2"][1] == pytest.approx(3 * play["0"][1], abs=0.02)
    assert play["1"][1] == pytest.approx(0, abs=0.01)
    assert play["0p"][1] == pytest.approx(1 / 3, abs=0.01)
    assert play["1b"][1] == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("iterations", [1, 2, 7, 60])
def test_cfr_plus_takes_the_steps_that_openspiel_takes(iterations: int) -> None:
    pyspiel = pytest.importorskip("pyspiel")
    from open_spiel.python.algorithms import cfr

    theirs = cfr.CFRPlusSolver(pyspiel.load_game("kuhn_poker"))
    for _ in range(iterations):
        theirs.evaluate_and_update_policy()
    average = theirs.average_policy()
    for key, row in solve(KUHN, iterations=iterations, tolerance=0).items():
        assert row == pytest.approx(average.policy_for_key(openspiel_name(key)), abs=1e-9)


@pytest.mark.parametrize("game", range(6))
def test_random_games_are_solved(game: int) -> None:
    tree = build_tree(Hidden, game=game)
    assert exploitability(tree, solve(tree, tolerance=5e-3)) <= 5e-3


def test_what_cfr_cannot_solve() -> None:
    with pytest.raises(ValueError, match="zero-sum game of two seats, test/Matrix-v1 is none"):
        solve(build_tree(Matrix, pays=DILEMMA))
    with pytest.raises(ValueError, match="iterations must be at least 1, got 0"):
        solve(KUHN, iterations=0)
