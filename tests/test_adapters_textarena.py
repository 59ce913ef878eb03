"""TextArena's games behind our protocol, against TextArena itself."""

import random
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import ludus
from ludus.envs.adapters.textarena import GAMES, TextArena
from ludus.envs.check.subject import episode
from ludus.testing import check_env

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    textarena = pytest.importorskip("textarena")

ID = "ludus/TextArena-v1"
WRONG = {"KuhnPoker-v0", "RushHour-v0", "Snake-v0", "Surround-v0"}  # faults in their rules
STUCK = {"UltimateTicTacToe-v0", "QuantumTicTacToe-v0"}  # positions without a legal move


def test_what_is_wrong_or_gets_stuck_is_not_offered() -> None:
    assert len(GAMES) >= 30
    for name in WRONG | STUCK:
        with pytest.raises(ValueError, match=f"unknown game '{name}', tested are: TicTacToe-v0"):
            ludus.make(ID, game=name)


@pytest.mark.parametrize("game", GAMES)
def test_passes_the_checker(game: str) -> None:
    check_env(TextArena(game=game), items=(3, 5, 6, 8), episodes=1).raise_for_failures()


@pytest.mark.parametrize(("game", "items"), [("Nim-v0", (7,)), ("SimpleNegotiation-v0", (2, 13))])
def test_no_reply_hurts_and_all_repeats(game: str, items: tuple[int, ...]) -> None:
    check_env(TextArena(game=game), items=items, episodes=1).raise_for_failures()


@pytest.mark.parametrize("game", ["TicTacToe-v0", "ConnectFour-v0", "Nim-v0", "ThreePlayerGOPS-v0"])
def test_an_episode_is_textarenas(game: str) -> None:
    """The same moves give the same seats and rewards in a game of TextArena's own."""
    env: Any = ludus.make(ID, game=game)
    rng = random.Random(0)
    for seed in range(3):
        env.reset(seed=seed)
        state = random.getstate()
        theirs = textarena.make(f"{game}-raw")
        theirs.reset(num_players=len(env.ROLES), seed=1)
        if game == "ThreePlayerGOPS-v0":
            theirs.state.game_state.update(
                {k: list(v) for k, v in env._game.state.game_state.items() if k == "prize_deck"}
            )
        done = False
        while env.acting:
            assert not done
            assert env.acting == (f"player_{theirs.state.current_player_id}",)
            move = rng.choice(env.legal_actions())
            env.step(move)
            done, _ = theirs.step(move)
        assert done
        if game != "ThreePlayerGOPS-v0":  # its prizes are drawn
            assert list(env.returns.values()) == [theirs.close()[0][i] for i in range(2)]
        random.setstate(state)


def test_the_process_random_is_neither_read_nor_changed() -> None:
    """Four threads at once, the process's generator shaken between: the same episodes."""
    game = "LiarsDice-v0-small"
    expected = [episode(TextArena(game=game), seed) for seed in range(6)]
    random.seed(99)
    state = random.getstate()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda s: episode(TextArena(game=game), s), range(6))) == expected
    assert random.getstate() == state
    # Others who use TextArena in this process still have the real one.
    random.seed(5)
    first = random.random()
    random.seed(5)
    assert vars(textarena.core)["random"].random() == first


def test_threads_that_start_at_once_do_not_disturb_each_other() -> None:
    """Sokoban searches for its room in global variables."""

    def start(seed: int) -> str:
        return str(TextArena(game="Sokoban-v0").reset(seed=seed)[0])

    expected = [start(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(start, range(4))) == expected


def test_a_seat_hears_only_what_is_said_to_it() -> None:
    env: Any = ludus.make(ID, game="LiarsDice-v0-small")
    for seed in range(5):
        env.reset(seed=seed)
        told = {r: "\n".join([str(env.observe(r)), *(m.content for m in env.transcript(r))])
                for r in env.ROLES}  # fmt: skip
        dice = env._game.state.game_state["dice_rolls"]
        for who, role in enumerate(env.ROLES):
            assert ", ".join(map(str, dice[who])) in told[role]
            if dice[0] != dice[1]:
                assert ", ".join(map(str, dice[1 - who])) not in told[role]


def test_mistakes_are_answered_by_our_policy() -> None:
    env: Any = ludus.make(ID, game="SimpleNegotiation-v0")
    env.reset(seed=0)
    before = env.state_hash()
    *_, terminated, _, info = env.step("[Accept]")
    if info["invalid"]:
        assert env.state_hash() == before
    env = ludus.make(ID, game="TicTacToe-v0", show_legal=False)
    env.reset(seed=0)
    for chance in range(3):
        before = env.state_hash()
        *_, terminated, _, info = env.step("centre")
        assert info["invalid"]
        assert terminated == (chance == 2)
        assert terminated or env.state_hash() == before
    assert env.returns == {"player_0": -1.0, "player_1": 1.0}


def test_starts_do_not_grow() -> None:
    """TextArena's default wrapper starts its fourth episode with 4,594 characters."""
    env: Any = ludus.make(ID)
    assert len({len(env.reset(seed=seed)[0]) for seed in range(4)}) == 1
