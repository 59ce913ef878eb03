"""Tic-tac-toe against OpenSpiel's, position by position."""

from typing import Any

import pytest

from ludus.envs.base import TextEnv
from ludus.envs.games.tictactoe import TicTacToe

pyspiel = pytest.importorskip("pyspiel")


def test_every_position_has_the_same_moves_seat_and_returns() -> None:
    env = TicTacToe(render_mode="ansi")
    env.reset(seed=0)
    seen: set[str] = set()
    todo: list[tuple[TextEnv, Any]] = [(env, pyspiel.load_game("tic_tac_toe").new_initial_state())]
    while todo:
        at, state = todo.pop()
        if str(state) in seen:
            continue
        seen.add(str(state))
        assert board_of(at) == str(state).replace("\n", "").upper()
        assert (at.acting == ()) == state.is_terminal()
        if state.is_terminal():
            assert list(at.returns.values()) == state.returns()
            continue
        assert at.acting == (at.ROLES[state.current_player()],)
        legal = at.legal_actions()
        assert legal is not None
        assert [int(move) - 1 for move in legal] == state.legal_actions()
        for move in legal:
            (child,) = at.fork()
            _, reward, terminated, truncated, info = child.step(move)
            after = state.child(int(move) - 1)
            assert reward == after.player_reward(state.current_player())
            assert (terminated, truncated) == (after.is_terminal(), False)
            assert sum(info["rewards"].values()) == 0
            todo.append((child, after))
    assert len(seen) == 5478


def board_of(env: TextEnv) -> str:
    """Nine characters, free squares as dots, read from the drawing."""
    rows = (env.render() or "").split("\n")[::2]
    return "".join(row[column] for row in rows for column in (0, 4, 8)).replace(" ", ".")


def test_what_a_seat_sees_is_the_board() -> None:
    env = TicTacToe(show_legal=False)
    env.reset(seed=0)
    env.step("5")
    assert env.observe("player_1").endswith("player_0 marks 5.\n1 2 3\n4 X 6\n7 8 9")
