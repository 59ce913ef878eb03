"""Minimax against a search written on plain boards, and what it refuses."""

import functools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest

import ludus
from ludus.agents.solvers import Minimax, infoset_key
from ludus.envs import Outcome, Task, TextEnv
from ludus.envs.games.tictactoe import LINES, TicTacToe


@functools.cache
def brute_force(board: str) -> int:
    """Value of a board to X: 1, 0 or -1."""
    for line in LINES:
        marks = {board[i] for i in line}
        if len(marks) == 1 and marks != {"."}:
            return 1 if marks == {"X"} else -1
    if "." not in board:
        return 0
    values = [brute_force(after) for after in successors(board).values()]
    return max(values) if mark_of(board) == "X" else min(values)


def mark_of(board: str) -> str:
    return "XO"[board.count("X") - board.count("O")]


def successors(board: str) -> dict[str, str]:
    mark = mark_of(board)
    return {str(i + 1): board[:i] + mark + board[i + 1 :] for i, m in enumerate(board) if m == "."}


def open_positions() -> Iterator[tuple[TextEnv, str]]:
    """Every position of tic-tac-toe in which somebody is to move."""
    env = TicTacToe()
    env.reset(seed=0)
    todo, seen = [(env, "." * 9)], {"." * 9}
    while todo:
        at, board = todo.pop()
        yield at, board
        for move, after in successors(board).items():
            if after not in seen:
                seen.add(after)
                (child,) = at.fork()
                child.step(move)
                if child.acting:
                    todo.append((child, after))


def test_best_moves_are_those_of_brute_force_everywhere() -> None:
    solver = Minimax(TicTacToe())
    positions = 0
    for env, board in open_positions():
        positions += 1
        sign = 1 if mark_of(board) == "X" else -1
        values = {move: sign * brute_force(after) for move, after in successors(board).items()}
        assert solver.action_values(env) == values
        best = [move for move, value in values.items() if value == max(values.values())]
        assert solver.best_moves(env) == best
    assert positions == 4520


def test_the_value_is_a_draw_and_the_answer_does_not_depend_on_what_was_asked_before() -> None:
    env = TicTacToe(format="tag")
    env.reset(seed=0)
    fresh, used = Minimax(env), Minimax(env)
    assert set(fresh.action_values(env).values()) == {0.0}
    env.step("<action>1</action>")
    env.step("hm")
    before = env.state_hash(), env.transcript("player_1")
    assert used.best_moves(env) == fresh.best_moves(env) == ["5"]
    assert (env.state_hash(), env.transcript("player_1")) == before


class Piles(TextEnv):
    """Take 1 or 2 from a pile of `size`; every take pays its amount, the last one `last` more.
    Rewards come during play, and the same seat may move twice."""

    ENV_ID = "test/Piles-v1"
    ROLES = ("a", "b")
    ZERO_SUM = True
    PARAMS: ClassVar[Mapping[str, Any]] = {"size": 7, "last": 3.5, "again": 2}

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._left: int = {**self.PARAMS, **task.params}["size"]
        self._turn = 0

    def _rules(self, seat: str) -> str:
        return f"Take 1 or 2 of {self._left}."

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[self._turn],)

    def _legal(self, seat: str) -> Sequence[str]:
        return ["1", "2"][: self._left]

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, move),) = moves.items()
        self._left -= int(move)
        gain = int(move) + (self.params["last"] if self._left == 0 else 0.0)
        if int(move) != self.params["again"]:
            self._turn = 1 - self._turn
        other = self.ROLES[1 - self.ROLES.index(seat)]
        return Outcome({seat: gain, other: -gain}, terminated=self._left == 0)


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("again", [0, 1, 2])
def test_rewards_on_the_way_and_seats_that_move_twice(size: int, again: int) -> None:
    def value(left: int) -> float:  # to the seat to move
        return max(worth(left, take) for take in (1, 2) if take <= left)

    def worth(left: int, take: int) -> float:
        if left == take:
            return take + 3.5
        rest = value(left - take)
        return take + (rest if take == again else -rest)

    env = Piles(size=size, again=again)
    env.reset(seed=0)
    solver = Minimax(env)
    while env.acting:
        values = solver.action_values(env)
        left = env._left
        assert values == {str(take): worth(left, take) for take in (1, 2) if take <= left}
        env.step("1")


class Endless(Piles):
    ENV_ID = "test/Endless-v1"
    MAX_TURNS = 8

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        self._left += 1
        return super()._apply(dict.fromkeys(moves, "1"))


class Thrown(Piles):
    ENV_ID = "test/Thrown-v1"

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        return super()._apply({seat: self.chance.choice("12") for seat in moves})


class Peek(Piles):
    """Which of two worlds it is, only the second seat is told."""

    ENV_ID = "test/Peek-v1"

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        self._world = task.index

    def _rules(self, seat: str) -> str:
        return super()._rules(seat) + (f" World {self._world}." if seat == "b" else "")

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]]:
        return [(0.5, Task(cls.ENV_ID, "worlds", i, i, params)) for i in range(2)]


class Secret(Piles):
    """Too many worlds to list, and something in them is secret."""

    ENV_ID = "test/Secret-v1"

    def _secrets(self, seat: str) -> Sequence[str]:
        return ("my number is 7",) if seat == "b" else ()


class Both(Piles):
    ENV_ID = "test/Both-v1"

    def _acting(self) -> tuple[str, ...]:
        return self.ROLES


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (ludus.make("ludus/KuhnPoker-v1"), "perfect information, ludus/KuhnPoker-v1 hides some"),
        (Secret(), "perfect information, test/Secret-v1 hides some"),
        (Peek(), "perfect information, test/Peek-v1 hides some"),
        (ludus.make("ludus/GuessNumber-v1"), "two seats, ludus/GuessNumber-v1 is none"),
        (Both(), "cannot play simultaneous moves, test/Both-v1 has them"),
        (Endless(), "cannot solve test/Endless-v1: play can reach its turn limit"),
        (Thrown(), "test/Thrown-v1 uses chance during the episode"),
    ],
    ids=lambda value: value.ENV_ID if isinstance(value, TextEnv) else "",
)
def test_what_minimax_cannot_play(env: TextEnv, words: str) -> None:
    env.reset(seed=0)
    with pytest.raises(ValueError, match=words):
        Minimax(env).best_moves(env)


def test_an_episode_with_chance_has_no_key() -> None:
    env = Thrown()
    env.reset(seed=0)
    assert infoset_key(env, "a")[0] == "a"
    env.step("1")
    with pytest.raises(ValueError, match="test/Thrown-v1 uses chance during the episode"):
        infoset_key(env, env.acting[0])


def test_a_game_that_is_too_large() -> None:
    env = TicTacToe()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="ludus/TicTacToe-v1 has more than 100 positions"):
        Minimax(env, max_positions=100).best_moves(env)
