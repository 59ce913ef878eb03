"""Propose and solve: one seat sets a calculation, the others solve it; a policy that plays all
seats makes its own curriculum.

The proposer's reward is that of Absolute Zero (arXiv:2505.03335, eq. 4): 1 - the share of solvers
that are right, and 0 where all or none are, because nothing is learnt from such a task.
"""

import re
from collections.abc import Mapping
from math import prod
from random import Random
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.outcome import Golden, InvalidMove, Outcome
from ludus.envs.task import Task

_INTEGER = re.compile(r"-?\d{1,40}")  # bounded: int() refuses texts of thousands of digits


class ProposeSolve(TextEnv):
    """A proposer and several solvers, who answer at once and cannot see each other.

    Parameters:
        solvers: How many.
        highest: Numbers of a calculation are 0 to this.
        operations: A calculation has 1 to so many of +, - and *.
    """

    ENV_ID = "ludus/ProposeSolve-v1"
    ROLES: tuple[str, ...] = ("proposer_0", "solver_0", "solver_1", "solver_2", "solver_3")
    MAX_TURNS = 64
    SPLIT_BY = "none"
    FORFEIT = (-1.0, 0.0)
    PARAMS: ClassVar[Mapping[str, Any]] = {"solvers": 4, "highest": 9, "operations": 1}

    def __init__(self, **settings: Any) -> None:
        solvers = settings.get("solvers", self.PARAMS["solvers"])
        if not isinstance(solvers, int) or not 1 <= solvers <= 64:
            raise ValueError(f"solvers must be from 1 to 64, got {solvers!r}")
        self.ROLES = ("proposer_0", *(f"solver_{i}" for i in range(solvers)))
        super().__init__(**settings)

    def _setup(self, task: Task, rng: Random) -> None:
        p = {**self.PARAMS, **task.params}
        self._highest, self._operations = p["highest"], p["operations"]
        if self._highest < 1 or not 1 <= self._operations <= 100:
            raise ValueError(f"need highest >= 1 and 1 to 100 operations, got {p}")
        numbers = [rng.randint(0, self._highest) for _ in range(self._operations + 1)]
        self._example = " ".join([str(numbers[0]), *(f"+ {n}" for n in numbers[1:])])
        self._question = ""

    def _rules(self, seat: str) -> str:
        if seat != "proposer_0":
            return "Solve the calculation that somebody sets: reply with one whole number."
        return (
            f"Set a calculation of whole numbers from 0 to {self._highest} with at most "
            f"{self._operations} of the signs + - *, such as {self._example}. Others try to solve "
            "it. You score more the fewer are right, but nothing if none is, or all are."
        )

    def _acting(self) -> tuple[str, ...]:
        return self.ROLES[1:] if self._question else self.ROLES[:1]

    def _parse(self, text: str, seat: str) -> str | int:
        if seat != "proposer_0":
            if not _INTEGER.fullmatch(text):
                raise InvalidMove("not a whole number")
            return int(text)
        parts = re.findall(r"\d+|[-+*]", text)
        if "".join(parts) != text.replace(" ", "") or not re.fullmatch(
            r"\d+( [-+*] \d+)+", " ".join(parts)
        ):
            raise InvalidMove("not a calculation of whole numbers with + - *")
        numbers = parts[::2]
        if len(numbers) > self._operations + 1:
            raise InvalidMove(f"more than {self._operations} signs")
        if any(len(n) > len(str(self._highest)) or int(n) > self._highest for n in numbers):
            raise InvalidMove(f"a number above {self._highest}")
        return " ".join(parts)

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        solvers = self.ROLES[1:]
        if not self._question:
            self._question = moves["proposer_0"]
            return Outcome(text=dict.fromkeys(solvers, f"What is {self._question}?"))
        answer = value(self._question)
        right = {role: float(moves[role] == answer) for role in solvers}
        solved = sum(right.values())
        share = solved / len(solvers)
        return Outcome(
            {**right, "proposer_0": 1 - share if 0 < share < 1 else 0.0},
            terminated=True,
            text=f"{self._question} = {answer}. Right: {solved:.0f} of {len(solvers)}.",
            metrics={"propose_solve/right": share},
            reason="solved" if share else "nobody solved it",
        )

    def golden(self, seat: str | None = None) -> Golden | None:
        """For solvers the number; for the proposer a calculation that may be set."""
        if not self._question:
            return Golden(action=self.format.write(self._example))
        answer = str(value(self._question))
        return Golden(action=self.format.write(answer))


def value(calculation: str) -> int:
    """What a calculation of whole numbers with + - * comes to; signs apart by spaces.

    >>> value("2 + 3 * 4 - 1")
    13
    """
    total, sign, factors = 0, 1, list[int]()
    for part in [*calculation.split(), "+"]:
        if part in "+-":
            total += sign * prod(factors)
            sign, factors = (1 if part == "+" else -1), []
        elif part != "*":
            factors.append(int(part))
    return total
