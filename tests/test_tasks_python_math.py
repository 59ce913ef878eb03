"""PythonMath: answers against sympy, oracle, rewards, the leak guard."""

import re
from fractions import Fraction
from typing import Any

import pytest
import sympy

import ludus
from ludus.envs.tasks.math_questions import KINDS
from ludus.envs.tasks.python_math import PythonMath
from ludus.tools.sandbox import SandboxError, open_sandbox


def made(**options: Any) -> PythonMath:
    env = ludus.make("ludus/PythonMath-v1", **options)
    assert isinstance(env, PythonMath)
    return env


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_right(kind: str) -> None:
    env = made(kind=kind, digits=3, steps=4)
    for index in range(40):
        env.reset(options={"index": index})
        question = env._question
        answer = Fraction(env.golden().answer or "")
        if kind in ("product", "chain"):
            found = sympy.sympify(question.removeprefix("What is ").removesuffix("?"))
        elif kind == "equation":
            a, b, c, d = (sympy.Integer(n) for n in re.findall(r"\d+", question))
            x = sympy.Symbol("x")
            (found,) = sympy.solve(sympy.Eq(a * x + b, c * x + d), x)
        elif kind == "remainder":
            *factors, by = (sympy.Integer(n) for n in re.findall(r"\d+", question))
            found = sympy.Mod(sympy.prod(factors), by)
        elif kind == "quadratic":
            total, times = (sympy.Integer(n) for n in re.findall(r"\d+", question)[1:3])
            x = sympy.Symbol("x")
            found = max(sympy.solve(x**2 - total * x + times, x))
        elif kind == "system":
            a, b, e, c, d, f = (sympy.Integer(n) for n in re.findall(r"\d+", question))
            x, y = sympy.symbols("x y")
            found = sympy.solve([a * x + b * y - e, c * x + d * y - f], [x, y])[x]
        elif kind == "journey":
            legs = [sympy.Integer(n) for n in re.findall(r"\d+", question)]
            hours, speeds = legs[::2], legs[1::2]
            far = sum(h * s for h, s in zip(hours, speeds, strict=True))
            found = far / sum(hours)
        elif kind == "shares":
            total, first, *others = (sympy.Integer(n) for n in re.findall(r"\d+", question))
            found = total * first / (first + sum(others))
        else:
            start, *bought = map(int, re.findall(r"\d+", question))
            found = start - sum(
                n * price for n, price in zip(bought[::2], bought[1::2], strict=True)
            )
            assert found > 0
        assert sympy.Rational(answer.numerator, answer.denominator) == found


def test_the_right_number_wins_however_it_is_written() -> None:
    env = made(kind="product", digits=4)
    env.reset(seed=3)
    number = int(env.golden().answer or "")
    for text in (f"{number:,}", f" {number}. ", f"+{number}", f"{2 * number}/2", f"{number}.0"):
        assert env.verify(text).passed, text
    for text in (f"{number + 1}", f"not {number}", "", f"{number}/0", "9" * 5000):
        assert not env.verify(text).passed
    *_, info = env.step("about a million")
    assert "one number" in info["invalid"]
    _, reward, terminated, *_ = env.step(f"{number:,}")
    assert (reward, terminated) == (1.0, True)


@pytest.mark.parametrize("call_format", ["hermes", "json", "fence", "tags"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_oracle_solves_them_with_its_tool(call_format: str, kind: str) -> None:
    try:
        open_sandbox("bubblewrap", warm=0).close()
    except SandboxError as error:
        pytest.skip(str(error))
    env = made(kind=kind, call_format=call_format, efficient=True)
    env.reset(seed=1)
    call, answer = env.golden().plan or ()
    obs, reward, terminated, _, info = env.step(call)
    assert not info["tool_call"]["error"]
    assert (env.golden().answer or "") in obs
    # The result has the answer; the agent has not said it yet.
    assert (reward, terminated) == (0.0, False)
    assert env.returns == {"player_0": 0.0}
    assert env.golden().plan == (answer,)
    _, reward, terminated, _, info = env.step(answer)
    assert info["outcome"]["success"]
    assert reward == pytest.approx(0.8660254)  # of four calls, one
