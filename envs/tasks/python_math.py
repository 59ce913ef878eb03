"""Arithmetic and algebra too large for the head: a question, a Python interpreter, an answer."""

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.definition import one_of
from ludus.envs.outcome import Golden, InvalidMove, Outcome, Verdict
from ludus.envs.task import Task
from ludus.envs.tasks.scoring import efficient
from ludus.envs.toolenv import TOOL_PARAMS, UsesTools
from ludus.tools.calls import ToolCall

KINDS = ("product", "chain", "equation", "story")
_NUMBER = re.compile(r"[+-]?\d{1,60}(?:/\d{1,60}|\.\d{1,60})?")


def number_in(text: str) -> Fraction | None:
    """The number that a whole answer is; None if it is none.

    >>> number_in(" 1,234.50 "), number_in("$-3/6."), number_in("12 apples")
    (Fraction(2469, 2), Fraction(-1, 2), None)
    """
    bare = text.strip().rstrip(".").replace(",", "").replace("$", "").strip()
    if not _NUMBER.fullmatch(bare):
        return None
    try:
        return Fraction(bare)
    except ZeroDivisionError:
        return None


class MathQuestions(TextEnv):
    """One seat. Reward 1 for the right number, 0 for another; either ends the episode.

    Parameters:
        kind: "product" of two numbers; "chain" of + - and *; "equation" a x + b = c x + d to be
            solved; "story" in words.
        digits: Of each number.
        steps: Operations of a chain; things bought in a story.
    """

    ENV_ID = "ludus/MathQuestions-v1"
    MAX_TURNS = 32
    PARAMS: ClassVar[Mapping[str, Any]] = {"kind": "product", "digits": 4, "steps": 3}

    def _setup(self, task: Task, rng: random.Random) -> None:
        p = {**self.PARAMS, **task.params}
        one_of("kind", p["kind"], KINDS)
        if not (1 <= p["digits"] <= 20 and 1 <= p["steps"] <= 20):
            raise ValueError(f"digits and steps must be from 1 to 20, got {p}")
        self._low, self._high = 10 ** (p["digits"] - 1), 10 ** p["digits"] - 1
        self._question, self._program = getattr(self, f"_{p['kind']}")(rng, p["steps"])
        scope: dict[str, Any] = {"Fraction": Fraction}
        exec(self._program.replace("print(", "answer = ("), scope)  # our own text, never an agent's
        self._answer = str(scope["answer"])

    def _number(self, rng: random.Random) -> int:
        return rng.randint(self._low, self._high)

    def _product(self, rng: random.Random, steps: int) -> tuple[str, str]:
        a, b = self._number(rng), self._number(rng)
        return f"What is {a} * {b}?", f"print({a} * {b})"

    def _chain(self, rng: random.Random, steps: int) -> tuple[str, str]:
        text = str(self._number(rng))
        for _ in range(steps):
            text = f"({text} {rng.choice('+-*')} {self._number(rng)})"
        text = text[1:-1]
        return f"What is {text}?", f"print({text})"

    def _equation(self, rng: random.Random, steps: int) -> tuple[str, str]:
        a, b, c, d = (self._number(rng) for _ in range(4))
        if a == c:
            c += 1
        program = f"from fractions import Fraction\nprint(Fraction({d} - {b}, {a} - {c}))"
        return f"Solve for x: {a} x + {b} = {c} x + {d}. Give x as a fraction.", program

    def _story(self, rng: random.Random, steps: int) -> tuple[str, str]:
        who, things = rng.choice(_NAMES), rng.sample(_THINGS, min(steps, len(_THINGS)))
        bought = [(self._number(rng), thing, self._number(rng)) for thing in things]
        paid = ", ".join(f"{n} {thing} at {price} coins each" for n, thing, price in bought)
        start = 10 ** (2 * len(str(self._high)) + 1)
        total = " - ".join(f"{n} * {price}" for n, _, price in bought)
        question = f"{who} has {start} coins and buys {paid}. How many coins are left?"
        return question, f"print({start} - {total})"

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
        action = self.format.write(self._answer)
        return Golden(action=action, answer=self._answer, plan=(action,))

    def verify(self, answer: str, seat: str | None = None) -> Verdict:
        """Whether an answer is the number, however it is written. Only what the agent says as its
        answer is judged; no tool's result ever is."""
        passed = number_in(answer) == Fraction(self._answer)
        return Verdict(float(passed), passed)


class PythonMath(UsesTools, MathQuestions):
    """`MathQuestions` with a Python interpreter, stateless.

    Parameters, beside those of `MathQuestions` and `UsesTools`:
        efficient: The reward of a right answer falls with the calls made, as OTC-PPO's does.
    """

    ENV_ID = "ludus/PythonMath-v1"
    PARAMS: ClassVar[Mapping[str, Any]] = {
        **MathQuestions.PARAMS, **TOOL_PARAMS, "tools": ["python"], "max_calls": 4,
        "efficient": False,
    }  # fmt: skip

    def _worth(self, seat: str) -> float:
        if not self.params["efficient"]:
            return 1.0
        return efficient(self._calls_made.get(seat, 0), self.params["max_calls"])

    def golden(self, seat: str | None = None) -> Golden:
        """The number; its plan computes it first, while no call was made."""
        golden = super().golden(seat)
        seat = self.ROLES[0] if seat is None else seat
        python = next((tool for tool in self.tools() if tool.name == "python"), None)
        if python is None or self._calls_made.get(seat, 0) or not self.calls_left(seat):
            return golden
        call = self.call_format.write(ToolCall(python.name, {"code": self._program}))
        return replace(golden, plan=(call, *(golden.plan or ())))


_NAMES = ("Ada", "Bela", "Chen", "Dara", "Emil", "Fay", "Goro", "Hana")
_THINGS = (
    "apples", "books", "candles", "drums", "eggs", "forks", "gloves", "hats", "inkwells", "jars",
    "keys", "lamps", "maps", "nails", "onions", "pens", "quilts", "ropes", "shoes", "tiles",
)  # fmt: skip
