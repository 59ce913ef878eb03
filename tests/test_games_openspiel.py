"""Leduc poker, connect four, Nim, liar's dice, pig, matrix games and the auction against
OpenSpiel's, on every reachable state or on random games."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

import ludus
from ludus.agents.solvers.infosets import Key, key_in_twin
from ludus.envs.base import TextEnv
from ludus.envs.games.auction import FirstPriceAuction
from ludus.envs.games.connect_four import ConnectFour
from ludus.envs.games.leduc import CARDS, LeducPoker
from ludus.envs.games.liars_dice import LiarsDice
from ludus.envs.games.matrix import (
    MatchingPennies,
    MatrixGame,
    PrisonersDilemma,
    RockPaperScissors,
)
from ludus.envs.games.nim import Nim
from ludus.envs.games.pig import Pig

pyspiel = pytest.importorskip("pyspiel")


def start(kind: type[TextEnv], **params: Any) -> TextEnv:
    env = kind(**params)
    env.reset(seed=0)
    return env


def same(env: TextEnv, state: Any, meaning: dict[str, int]) -> None:
    """Seat to act, legal moves and, at the end, returns are the same."""
    assert (env.acting == ()) == state.is_terminal()
    if state.is_terminal():
        assert list(env.returns.values()) == state.returns()
        return
    assert env.acting == (env.ROLES[state.current_player()],)
    legal = env.legal_actions()
    assert legal is not None
    assert sorted(meaning[move] for move in legal) == state.legal_actions()


# ---- Leduc poker ----------------------------------------------------------------------------

LEDUC = {"fold": 0, "check": 1, "call": 1, "raise": 2}


def leduc() -> Iterator[tuple[TextEnv, Any]]:
    game = pyspiel.load_game("leduc_poker")
    todo = []
    for _, task in LeducPoker.worlds():
        env = LeducPoker()
        env.reset(options={"task": task})
        cards: list[int] = []
        for rank in task.params["deal"]:  # OpenSpiel's cards are ranks times two, plus the suit
            card = 2 * CARDS.index(rank)
            cards.append(card + cards.count(card))
        state = game.new_initial_state()
        state.apply_action(cards[0])
        state.apply_action(cards[1])
        todo.append((env, state, cards[2] if cards[2] not in cards[:2] else cards[2] + 1))
    while todo:
        at, state, public = todo.pop()
        if state.is_chance_node():
            state = state.child(public)
        yield at, state
        for move in at.legal_actions() or ():
            (child,) = at.fork()
            child.step(move)
            todo.append((child, state.child(LEDUC[move]), public))


def test_leduc_every_state() -> None:
    seen = 0
    ours: dict[str, set[Key]] = {}
    theirs: dict[Key, set[str]] = {}
    for env, state in leduc():
        seen += 1
        same(env, state, LEDUC)
        if env.acting:
            name = suitless(state)
            key = key_in_twin(env, env.acting[0])
            ours.setdefault(name, set()).add(key)
            theirs.setdefault(key, set()).add(name)
    assert seen == 24 * 85
    assert len(ours) == len(theirs) == 288  # 936 with suits
    assert {len(keys) for keys in ours.values()} == {len(names) for names in theirs.values()} == {1}


def suitless(state: Any) -> str:
    """OpenSpiel's information set, cards as ranks."""
    parts = []
    for part in state.information_state_string().strip("[]").split("]["):
        field, _, value = part.partition(": ")
        rank = field in ("Private", "Public") and int(value) >= 0
        parts.append(f"{field}{int(value) // 2}" if rank else part)
    return "|".join(parts)


def test_leduc_deals_have_their_probabilities() -> None:
    worlds = {task.params["deal"]: chance for chance, task in LeducPoker.worlds()}
    assert len(worlds) == 24
    assert sum(worlds.values()) == pytest.approx(1)
    assert worlds["JQK"] == pytest.approx(8 / 120)
    assert worlds["JJK"] == worlds["JKJ"] == pytest.approx(4 / 120)
    counts: dict[str, int] = {}
    env = LeducPoker()
    for seed in range(2400):
        env.reset(seed=seed)
        counts[env._cards] = counts.get(env._cards, 0) + 1
    assert set(counts) == set(worlds)
    assert all(abs(counts[d] - 2400 * p) < 5 * (2400 * p) ** 0.5 for d, p in worlds.items())


# ---- connect four, Nim ----------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "columns", "line"), [(6, 7, 4), (4, 5, 3), (7, 9, 5)])
def test_connect_four_random_games(rows: int, columns: int, line: int) -> None:
    game = pyspiel.load_game("connect_four", {"rows": rows, "columns": columns, "x_in_row": line})
    rng, ends = random.Random(0), set()
    meaning = {str(column + 1): column for column in range(columns)}
    for _ in range(150):
        env = start(ConnectFour, rows=rows, columns=columns, line=line)
        state = game.new_initial_state()
        while env.acting:
            same(env, state, meaning)
            drawn = env._render().split("\n", 1)[1].replace(" ", "").lower()
            assert drawn == str(state).strip()
            move = rng.choice(env.legal_actions() or [])
            env.step(move)
            state.apply_action(meaning[move])
        same(env, state, meaning)
        ends.add(env.returns["player_0"])
    assert ends >= {1.0, -1.0}


def test_connect_four_can_be_drawn() -> None:
    env = start(ConnectFour, rows=1, columns=4)
    for move in "1234":
        env.step(move)
    assert (env.acting, env.returns) == ((), {"player_0": 0.0, "player_1": 0.0})


@pytest.mark.parametrize("misere", [False, True])
@pytest.mark.parametrize("piles", [[1, 3, 5, 7], [2, 2, 3], [4]])
def test_nim_random_games(piles: list[int], misere: bool) -> None:
    sizes = ";".join(map(str, piles))
    game = pyspiel.load_game("nim", {"pile_sizes": sizes, "is_misere": misere})
    rng, winners = random.Random(1), set()
    for _ in range(100):
        env, state = start(Nim, piles=piles, misere=misere), game.new_initial_state()
        while env.acting:
            meaning = {}
            for action in state.legal_actions():
                pile, taken = state.action_to_string(action).strip(";").split(", ")
                meaning[f"take {taken[5:]} from {pile[5:]}"] = action
            same(env, state, meaning)
            move = rng.choice(env.legal_actions() or [])
            env.step(move)
            state.apply_action(meaning[move])
        same(env, state, {})
        winners.add(max(env.returns, key=env.returns.__getitem__))
    assert winners == {"player_0", "player_1"}


# ---- liar's dice, pig -----------------------------------------------------------------------


@pytest.mark.parametrize(("dice", "sides"), [(1, 3), (1, 4), (1, 6), (2, 3)])
def test_liars_dice(dice: int, sides: int) -> None:
    """Every state of the smallest game, random games of the others."""
    game = pyspiel.load_game(
        "liars_dice", {"numdice": dice, "dice_sides": sides, "bidding_rule": "reset-face"}
    )
    rng = random.Random(2)
    worlds = LiarsDice.worlds(dice=dice, sides=sides)
    assert worlds is not None
    assert sum(chance for chance, _ in worlds) == pytest.approx(1)
    everything, seen = (dice, sides) == (1, 3), 0
    for _, task in worlds:
        env = LiarsDice(dice=dice, sides=sides)
        env.reset(options={"task": task})
        state = game.new_initial_state()
        for roll in task.params["rolls"]:
            for face in roll:
                state.apply_action(face - 1)
        meaning = {
            "liar" if name == "Liar" else f"bid {name.replace('-', 'x')}": action
            for action in range(game.num_distinct_actions())
            if (name := state.action_to_string(0, action))
        }
        for _ in range(1 if everything else 5):
            todo = [(env.fork()[0], state)]
            while todo:
                at, now = todo.pop()
                seen += 1
                same(at, now, meaning)
                legal = at.legal_actions() or []
                for move in legal if everything else rng.sample(legal, min(1, len(legal))):
                    (child,) = at.fork()
                    child.step(move)
                    todo.append((child, now.child(meaning[move])))
    assert not everything or seen == 9 * 127


@pytest.mark.parametrize("goal", [10, 30])
def test_pig_random_games(goal: int) -> None:
    game = pyspiel.load_game("pig", {"winscore": goal})
    rng, meaning = random.Random(3), {"roll": 0, "hold": 1}
    for seed in range(40):
        env, state = Pig(goal=goal), game.new_initial_state()
        env.reset(seed=seed)
        while env.acting:
            same(env, state, meaning)
            a, b = env._scores
            assert f"Scores: {a} {b}, Turn total: {env._total}" in str(state)
            move = rng.choice(env.legal_actions() or [])
            actor, total = env.acting[0], env._total
            env.step(move)
            state.apply_action(meaning[move])
            if state.is_chance_node():
                thrown = env._total - total if env.acting == (actor,) else 1
                for role in env.ROLES:
                    news = [m.content for m in env.transcript(role)] + [env.observe(role)]
                    assert f"{actor} rolls {thrown}." in "".join(news)
                state.apply_action(thrown - 1)
        same(env, state, meaning)


# ---- moves at once --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (RockPaperScissors, "matrix_rps"),
        (MatchingPennies, "matrix_mp"),
        (PrisonersDilemma, "matrix_pd"),
    ],
)
def test_matrix_games_pay_the_same(kind: type[MatrixGame], name: str) -> None:
    game = pyspiel.load_matrix_game(name)
    for i, first in enumerate(kind.MOVES):
        for j, second in enumerate(kind.MOVES):
            env = start(kind, rounds=2)
            for turn in (1, 2):
                assert env.acting == env.ROLES
                env.step_all({"player_0": first, "player_1": second})
                pay = (game.row_utility(i, j) * turn, game.col_utility(i, j) * turn)
                assert tuple(env.returns.values()) == pay
            assert env.acting == ()


def test_simultaneous_moves_are_not_seen() -> None:
    env = start(RockPaperScissors)
    env.step("paper", seat="player_0")
    assert "paper" not in env.observe("player_1").replace("other paper", "").replace(
        "Rock, paper", ""
    ).replace("You paper", "").replace("Legal actions: rock, paper", "")
    env.step("scissors", seat="player_1")
    assert env.returns == {"player_0": -1.0, "player_1": 1.0}


def test_auction_every_bid() -> None:
    highest = 4
    game = pyspiel.load_game("first_sealed_auction", {"max_value": highest})
    worlds = FirstPriceAuction.worlds(highest=highest)
    assert worlds is not None
    assert len(worlds) == 2 * highest**2
    for _, task in worlds:
        env = FirstPriceAuction(highest=highest)
        env.reset(options={"task": task})
        state = game.new_initial_state()
        for value in task.params["values"]:
            state.apply_action(value)
        legal = [env.legal_actions(role) or [] for role in env.ROLES]
        for first in legal[0]:
            assert [int(move) for move in legal[0]] == state.legal_actions()
            for second in legal[1]:
                (twin,) = env.fork()
                twin.step_all({"player_0": first, "player_1": second})
                after = state.child(int(first))
                assert [int(move) for move in legal[1]] == after.legal_actions()
                after = after.child(int(second))
                winners = [winner for winner, _ in after.chance_outcomes()]
                assert (len(winners) == 2) == (first == second)
                after = after.child(task.params["tie"] if first == second else winners[0])
                assert list(twin.returns.values()) == after.returns()


@pytest.mark.parametrize(
    ("env_id", "params", "message"),
    [
        ("LeducPoker", {"deal": "JJJ"}, "unknown deal"),
        ("ConnectFour", {"rows": 10}, "rows and columns"),
        ("Nim", {"piles": [0, 0]}, "1 to 60 stones"),
        ("Nim", {"heaps": 0}, "heaps"),
        ("LiarsDice", {"dice": 0}, "dice"),
        ("LiarsDice", {"rolls": [[1], [9]]}, "rolls"),
        ("Pig", {"goal": 0}, "goal"),
        ("PrisonersDilemma", {"rounds": 0}, "rounds"),
        ("FirstPriceAuction", {"values": [0, 1]}, "values"),
        ("FirstPriceAuction", {"highest": 1000}, "highest"),
        ("SimpleNegotiation", {"reward": "fame"}, "unknown reward"),
        ("SimpleNegotiation", {"resources": 9}, "resources"),
        ("SimpleNegotiation", {"least": 9, "most": 1}, "least"),
    ],
)
def test_bad_parameters_are_one_line(env_id: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ludus.make(f"ludus/{env_id}-v1", **params).reset(seed=0)
    assert "\n" not in str(caught.value)
