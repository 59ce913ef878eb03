"""Connect four: drop discs into columns; the first line of four wins."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.outcome import Outcome
from ludus.envs.task import Task

_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (column, row)


class ConnectFour(TextEnv):
    """Two seats, zero-sum; +1 for a line, -1 for the other seat, 0 for a full board.

    Parameters:
        rows, columns: Of the board, up to 9.
        line: Discs in a line that win.
    """

    ENV_ID = "ludus/ConnectFour-v1"
    ROLES = ("player_0", "player_1")
    ZERO_SUM = True
    MAX_TURNS = 168
    SPLIT_BY = "none"
    PARAMS: ClassVar[Mapping[str, Any]] = {"rows": 6, "columns": 7, "line": 4}
    VOCABULARY = (
        "connect four", "board", "disc", "drop", "column", "X", "O",
        "1", "2", "3", "4", "5", "6", "7", "8", "9",
    )  # fmt: skip

    def _setup(self, task: Task, rng: random.Random) -> None:
        p = {**self.PARAMS, **task.params}
        self._rows: int = p["rows"]
        self._columns: int = p["columns"]
        self._line: int = p["line"]
        if not (1 <= self._rows <= 9 and 1 <= self._columns <= 9 and self._line >= 2):
            raise ValueError(f"need rows and columns from 1 to 9 and line >= 2, got {p}")
        self._stacks = [""] * self._columns  # discs of a column, from below

    def _rules(self, seat: str) -> str:
        mark, other = ("X", "O") if seat == self.ROLES[0] else ("O", "X")
        return (
            f"Connect four on a {self._rows}x{self._columns} board. Take turns dropping a disc "
            f"into a column, 1 to {self._columns}; it falls to the lowest free place. The first "
            f"line of {_WORDS.get(self._line, self._line)}, across, down or diagonal, wins; X "
            f"begins.\nYou are {seat} and drop {mark}; the other drops {other}."
        )

    def _observe(self, seat: str) -> str:
        return self._drawing()

    def _drawing(self) -> str:
        rows = [
            " ".join(stack[row] if row < len(stack) else "." for stack in self._stacks)
            for row in reversed(range(self._rows))
        ]
        return "\n".join([" ".join(str(c + 1) for c in range(self._columns)), *rows])

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[sum(map(len, self._stacks)) % 2],)

    def _legal(self, seat: str) -> Sequence[str]:
        return [str(c + 1) for c, stack in enumerate(self._stacks) if len(stack) < self._rows]

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, move),) = moves.items()
        me, column = self.ROLES.index(seat), int(move) - 1
        mark, other = "XO"[me], self.ROLES[1 - me]
        self._stacks[column] += mark
        news = {other: f"{seat} drops into {move}."}
        if self._wins(column):
            return Outcome(
                {seat: 1.0, other: -1.0},
                terminated=True,
                text=news,
                reason=f"{mark} has {self._line} in a line",
            )
        if all(len(stack) == self._rows for stack in self._stacks):
            return Outcome(terminated=True, text=news, reason="the board is full")
        return Outcome(text=news)

    def _wins(self, column: int) -> bool:
        """Whether the disc last dropped, on top of a column, makes a line."""
        row = len(self._stacks[column]) - 1
        both = [
            self._length(column, row, dc, dr) + self._length(column, row, -dc, -dr)
            for dc, dr in _DIRECTIONS
        ]
        return any(1 + length >= self._line for length in both)

    def _length(self, column: int, row: int, dc: int, dr: int) -> int:
        mark, length = self._stacks[column][row], 0
        while True:
            column, row = column + dc, row + dr
            if not 0 <= column < self._columns or row < 0:
                return length
            if self._stacks[column][row : row + 1] != mark:
                return length
            length += 1

    def _render(self) -> str:
        return self._drawing()

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]]:
        """One empty board."""
        own = {name: value for name, value in params.items() if value != cls.PARAMS.get(name)}
        return [(1.0, Task(cls.ENV_ID, "worlds", 0, 0, own))]


_WORDS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
