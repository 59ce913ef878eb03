"""Tic-tac-toe on squares 1 to 9. Best play draws."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from ludus.envs.base import TextEnv
from ludus.envs.outcome import Outcome
from ludus.envs.task import Task

LINES = (
    (0, 1, 2), (3, 4, 5), (6, 7, 8),
    (0, 3, 6), (1, 4, 7), (2, 5, 8),
    (0, 4, 8), (2, 4, 6),
)  # fmt: skip


class TicTacToe(TextEnv):
    """Two seats, zero-sum; +1 for a line of three, -1 for the other seat, 0 for a full board."""

    ENV_ID = "ludus/TicTacToe-v1"
    ROLES = ("player_0", "player_1")
    ZERO_SUM = True
    MAX_TURNS = 36
    SPLIT_BY = "none"
    VOCABULARY = (
        "tic-tac-toe", "board", "square", "mark", "X", "O", "=3 by 3",
        "1", "2", "3", "4", "5", "6", "7", "8", "9",
    )  # fmt: skip

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._board = "." * 9

    def _rules(self, seat: str) -> str:
        mark, other = ("X", "O") if seat == self.ROLES[0] else ("O", "X")
        return (
            "Tic-tac-toe. Take turns marking a free square of a 3 by 3 board, squares 1 to 9 row "
            "by row. Three in a row, column or diagonal win; X begins.\n"
            f"You are {seat} and mark {mark}; the other marks {other}."
        )

    def _observe(self, seat: str) -> str:
        cells = [
            square if mark == "." else mark
            for square, mark in zip("123456789", self._board, strict=True)
        ]
        return "\n".join(" ".join(cells[row : row + 3]) for row in (0, 3, 6))

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[(9 - self._board.count(".")) % 2],)

    def _legal(self, seat: str) -> Sequence[str]:
        return [str(i + 1) for i, mark in enumerate(self._board) if mark == "."]

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, move),) = moves.items()
        me = self.ROLES.index(seat)
        square, mark, other = int(move) - 1, "XO"[me], self.ROLES[1 - me]
        self._board = self._board[:square] + mark + self._board[square + 1 :]
        news = {other: f"{seat} marks {move}."}
        if any(all(self._board[i] == mark for i in line) for line in LINES):
            return Outcome(
                {seat: 1.0, other: -1.0},
                terminated=True,
                text=news,
                reason=f"{mark} has three in a row",
            )
        if "." not in self._board:
            return Outcome(terminated=True, text=news, reason="the board is full")
        return Outcome(text=news)

    def _render(self) -> str:
        rows = [" | ".join(self._board[row : row + 3].replace(".", " ")) for row in (0, 3, 6)]
        return "\n--+---+--\n".join(rows)

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]]:
        """One empty board."""
        return [(1.0, Task(cls.ENV_ID, "worlds", 0, 0))]
