"""Matrix games: both seats move at once, and a table says who gets what; once or repeatedly."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.outcome import Outcome
from ludus.envs.task import Task


class MatrixGame(TextEnv):
    """Two seats that move at once. Subclasses give the words and the table.

    Parameters:
        rounds: How often it is played. Both are told each round's moves; rewards come each round.
    """

    ROLES = ("player_0", "player_1")
    MAX_TURNS = 400
    SPLIT_BY = "none"
    PARAMS: ClassVar[Mapping[str, Any]] = {"rounds": 1}
    TITLE: ClassVar[str] = ""
    MOVES: ClassVar[tuple[str, ...]] = ()
    TABLE: ClassVar[tuple[tuple[tuple[float, float], ...], ...]] = ()
    """TABLE[i][j]: what player_0 and player_1 get if they play MOVES[i] and MOVES[j]."""

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._rounds: int = {**self.PARAMS, **task.params}["rounds"]
        if not 1 <= self._rounds <= 100:
            raise ValueError(f"need 1 to 100 rounds, got {self._rounds}")
        self._played: list[tuple[int, int]] = []

    def _rules(self, seat: str) -> str:
        me = self.ROLES.index(seat)
        lines = []
        for mine in range(len(self.MOVES)):
            for theirs in range(len(self.MOVES)):
                pay = self.TABLE[mine][theirs] if me == 0 else self.TABLE[theirs][mine]
                lines.append(
                    f"You {self.MOVES[mine]}, other {self.MOVES[theirs]}: you get {pay[me]:g}, "
                    f"the other {pay[1 - me]:g}."
                )
        again = "once" if self._rounds == 1 else f"{self._rounds} rounds"
        return (
            f"{self.TITLE}, played {again}. Both choose at the same time.\n"
            + "\n".join(lines)
            + f"\nYou are {seat}."
        )

    def _observe(self, seat: str) -> str:
        return f"Round {len(self._played) + 1} of {self._rounds}." if self._rounds > 1 else ""

    def _acting(self) -> tuple[str, ...]:
        return self.ROLES

    def _legal(self, seat: str) -> Sequence[str]:
        return self.MOVES

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        first, second = (self.MOVES.index(moves[role]) for role in self.ROLES)
        self._played.append((first, second))
        pay = self.TABLE[first][second]
        said = ", ".join(f"{role}: {moves[role]}" for role in self.ROLES)
        return Outcome(
            dict(zip(self.ROLES, map(float, pay), strict=True)),
            terminated=len(self._played) == self._rounds,
            text=said,
            reason=said,
        )

    def _render(self) -> str:
        rounds = [f"{self.MOVES[a]}-{self.MOVES[b]}" for a, b in self._played]
        return f"round {len(self._played)}/{self._rounds}: {' '.join(rounds) or '-'}"

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]]:
        """Nothing is drawn."""
        own = {name: value for name, value in params.items() if value != cls.PARAMS.get(name)}
        return [(1.0, Task(cls.ENV_ID, "worlds", 0, 0, own))]


class RockPaperScissors(MatrixGame):
    """Two seats, zero-sum, moves at once; +1 for a win, -1 for a loss, each round."""

    ENV_ID = "ludus/RockPaperScissors-v1"
    ZERO_SUM = True
    TITLE = "Rock, paper, scissors"
    MOVES = ("rock", "paper", "scissors")
    TABLE = (((0, 0), (-1, 1), (1, -1)), ((1, -1), (0, 0), (-1, 1)), ((-1, 1), (1, -1), (0, 0)))
    VOCABULARY = ("rock", "paper", "scissors")


class MatchingPennies(MatrixGame):
    """Two seats, zero-sum, moves at once; the first wants equal sides, the second unequal ones."""

    ENV_ID = "ludus/MatchingPennies-v1"
    ZERO_SUM = True
    TITLE = "Matching pennies"
    MOVES = ("heads", "tails")
    TABLE = (((1, -1), (-1, 1)), ((-1, 1), (1, -1)))
    VOCABULARY = ("matching", "pennies", "heads", "tails")


class PrisonersDilemma(MatrixGame):
    """Two seats, moves at once; both would gain if neither defected, but each gains by it."""

    ENV_ID = "ludus/PrisonersDilemma-v1"
    FORFEIT = (0.0, 0.0)
    TITLE = "Prisoner's dilemma"
    MOVES = ("cooperate", "defect")
    TABLE = (((5, 5), (0, 10)), ((10, 0), (1, 1)))
    VOCABULARY = ("prisoner's", "dilemma", "cooperate", "defect")
