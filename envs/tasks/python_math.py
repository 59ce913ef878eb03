"""Arithmetic and algebra too large for the head: a question, a Python interpreter, an answer."""

import random
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.definition import one_of
from ludus.envs.outcome import Golden, InvalidMove, Outcome, Verdict
from ludus.envs.task import Task
from ludus.envs.tasks.math_questions import KINDS, Draw
from ludus.envs.tasks.scoring import efficient, known, number_in
from ludus.envs.toolenv import TOOL_PARAMS, UsesTools
from ludus.tools.calls import ToolCall


class NumberQuestions(TextEnv):
    """One seat. Reward 1 for the right number, 0 for another; either ends the episode."""

    MAX_TURNS = 32
    _question: str
    _answer: str
    """As `Fraction` reads it."""
    _program: str
    """Prints the answer; "" where there is none."""

    def _rules(self, seat: str) -> str:
        return f"Answer with one exact number.\n\n{self._question}"

    def _parse(self, text: str, seat: str) -> str:
        if number_in(text) is None:
            raise InvalidMove("the answer must be one number, such as 42, -7/3 or 0.5")
        return text

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, answer),) = moves.items()
        right = self.verify(answer).passed
        reward = self._worth(seat) if right else 0.0
        return Outcome({seat: reward}, terminated=True, success=right, reason="answered")

    def _worth(self, seat: str) -> float:
        """Reward of the right answer."""
        return 1.0

    def golden(self, seat: str | None = None) -> Golden:
        """The number, in lowest terms."""
        return known(self.format, self._answer)

    def verify(self, answer: str, seat: str | None = None) -> Verdict:
        """Whether an answer is the number, however it is written. Only what the agent says as its
        answer is judged; no tool's result ever is."""
        passed = number_in(answer) == Fraction(self._answer)
        return Verdict(float(passed), passed)


class MathQuestions(NumberQuestions):
    """Questions that are drawn.

    Parameters:
        kind: A key of `KINDS`, or a list of them to draw from.
        digits: Of each number.
        steps: Operations of a chain, factors, things bought, legs, people who share.
    """

    ENV_ID = "ludus/MathQuestions-v1"
    PARAMS: ClassVar[Mapping[str, Any]] = {"kind": "product", "digits": 4, "steps": 3}

    def _setup(self, task: Task, rng: random.Random) -> None:
        p = {**self.PARAMS, **task.params}
        kinds = [p["kind"]] if isinstance(p["kind"], str) else list(p["kind"]) or [""]
        for kind in kinds:
            one_of("kind", kind, KINDS)
        if not (1 <= p["digits"] <= 20 and 1 <= p["steps"] <= 20):
            raise ValueError(f"digits and steps must be from 1 to 20, got {p}")
        kind = kinds[0] if len(kinds) == 1 else rng.choice(kinds)
        self._question, self._program = KINDS[kind](Draw(rng, p["digits"], p["steps"]))
        scope: dict[str, Any] = {"Fraction": Fraction}
        exec(self._program.replace("print(", "answer = ("), scope)  # our own text, never an agent's
        self._answer = str(scope["answer"])


class WithPython(UsesTools, NumberQuestions):
    """Questions with tools; the oracle runs the program where one of them is `python`.

    Parameters, beside those of `UsesTools`:
        efficient: The reward of a right answer falls with the calls made, as OTC-PPO's does.
    """

    PARAMS: ClassVar[Mapping[str, Any]] = {**TOOL_PARAMS, "max_calls": 4, "efficient": False}

    def _worth(self, seat: str) -> float:
        if not self.params["efficient"]:
            return 1.0
        return efficient(self._calls_made.get(seat, 0), self.params["max_calls"])

    def golden(self, seat: str | None = None) -> Golden:
        """The number; its plan computes it first, while no call was made."""
        golden = super().golden(seat)
        seat = self.ROLES[0] if seat is None else seat
        python = next((tool for tool in self.tools() if tool.name == "python"), None)
        called = self._calls_made.get(seat, 0)
        if python is None or not self._program or called or not self.calls_left(seat):
            return golden
        call = self.call_format.write(ToolCall(python.name, {"code": self._program}))
        return replace(golden, plan=(call, *(golden.plan or ())))


class PythonMath(WithPython, MathQuestions):
    """Arithmetic and algebra too large for the head, and a Python interpreter, stateless.

    Parameters are those of `MathQuestions` and `WithPython`.
    """

    ENV_ID = "ludus/PythonMath-v1"
    PARAMS: ClassVar[Mapping[str, Any]] = {
        **MathQuestions.PARAMS, **WithPython.PARAMS, "tools": ["python"],
    }  # fmt: skip
