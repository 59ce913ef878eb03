"""OpenSpiel's games behind our protocol."""

import random
import subprocess
import sys
from typing import Any

import pytest

import ludus
from ludus.agents.base import make_agent
from ludus.envs.adapters.openspiel import TESTED_GAMES, OpenSpiel
from ludus.testing import check_env

pyspiel = pytest.importorskip("pyspiel")

FAST = (3, 5, 6, 7, 8)  # items of the checker


def test_there_are_at_least_twenty() -> None:
    assert len({name.partition("(")[0] for name in TESTED_GAMES}) >= 20


@pytest.mark.parametrize("game", TESTED_GAMES)
def test_passes_the_checker(game: str) -> None:
    check_env(OpenSpiel(game=game), items=FAST, episodes=1).raise_for_failures()


@pytest.mark.parametrize("game", ["leduc_poker", "blackjack", "goofspiel(num_cards=4)", "nim"])
def test_an_episode_is_openspiels(game: str) -> None:
    """Seats, legal moves, text and returns, along random episodes whose chance is read back."""
    rng = random.Random(0)
    for seed in range(10):
        env: Any = ludus.make("ludus/OpenSpiel-v1", game=game, show_legal=False)
        env.reset(seed=seed)
        while env.acting:
            state = env._at.state.clone()
            chosen = {}
            for seat in env.acting:
                who = env.ROLES.index(seat)
                legal = env.legal_actions(seat)
                assert len(legal) == len(state.legal_actions(who))
                assert legal == [state.action_to_string(who, a) for a in state.legal_actions(who)]
                chosen[seat] = rng.choice(legal)
            for seat, move in chosen.items():
                env.step(move, seat=seat)
        twin = pyspiel.load_game(game).new_initial_state()
        for action in env._at.state.full_history():
            if not twin.is_simultaneous_node():
                twin.apply_action(action.action)
        if "goofspiel" not in game:
            assert twin.is_terminal()
            assert twin.returns() == list(env.returns.values())
        assert env._at.state.returns() == list(env.returns.values())


def test_the_deal_is_the_tasks_and_later_chance_the_episodes() -> None:
    env: Any = ludus.make("ludus/OpenSpiel-v1", game="pig(winscore=50)")
    hashes = set()
    for seed in range(6):
        env.reset(seed=seed, options={"split": "test", "index": 0})
        env.step("roll")
        hashes.add(env.state_hash())
    assert len(hashes) > 1
    dealt = ludus.make("ludus/OpenSpiel-v1", game="leduc_poker")
    starts = []
    for seed in range(4):
        starts.append(str(dealt.reset(seed=seed, options={"split": "test", "index": 0})[0]))
    assert len(set(starts)) == 1


def test_search_plays_open_games_and_refuses_hidden_ones() -> None:
    env: Any = ludus.make("ludus/OpenSpiel-v1", game="connect_four(rows=4,columns=4)")
    env.reset(seed=0)
    rng = random.Random(0)
    players = {"player_0": make_agent("mcts:60"), "player_1": make_agent("random")}
    while env.acting:
        seat = env.acting[0]
        env.step(players[seat].act(env, seat, rng))
    assert env.returns["player_0"] >= 0
    hidden = ludus.make("ludus/OpenSpiel-v1", game="phantom_ttt")
    hidden.reset(seed=0)
    with pytest.raises(ValueError, match="hides some"):
        make_agent("mcts:5").act(hidden, "player_0", rng)


@pytest.mark.parametrize(
    ("game", "message"),
    [
        ("conect_four", "no game 'conect_four', nearest: connect_four"),
        ("hex(board_size=foo)", "cannot play"),
        ("nfg_game", "cannot play .*map::at"),
        ("crossword", "cannot play .*action structs"),
        ("mfg_garnet", "mean-field"),
        (7, "name of an OpenSpiel game"),
    ],
)
def test_what_cannot_be_played_is_one_line(game: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ludus.make("ludus/OpenSpiel-v1", game=game)
    assert "\n" not in str(caught.value)


def test_without_openspiel_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pyspiel'] = None\n"
        "import ludus\n"
        "from ludus.testing import check_env\n"
        "report = check_env('ludus/OpenSpiel-v1', items=[3])\n"
        "print(report.items[0].status, report.items[0].detail)\n"
        "ludus.make('ludus/OpenSpiel-v1')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said = "ludus/OpenSpiel-v1 needs OpenSpiel: pip install 'ludus[games]'"
    assert done.stdout.strip() == f"skipped {said}"
    assert done.stderr.strip().endswith(said)
