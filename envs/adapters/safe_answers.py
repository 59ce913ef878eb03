"""Which answers may be given to which scorers, and for how long.

Nine datasets of reasoning-gym 0.1.25 pass the answer of an agent to Python's `eval`, or to sympy's
`parse_expr`, which does. `__import__('os').system(...)` is then executed, and `9**9**9**9` never
returns. What is let through here is data, or arithmetic of bounded size; what sympy makes of it is
stopped after a while. Two more datasets pay for answers that are none.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

EVALUATED = frozenset({"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"})
PARSED = frozenset(
    {"countdown", "intermediate_integration", "polynomial_multiplication", "puzzle24",
     "simple_integration"}
)  # fmt: skip
NUMBERS = PARSED | {"coin_flip"}
"""Those that read numbers exactly: `1e-999999999` has a thousand million digits there."""
EXACT = frozenset({"game_of_life_halting"})
"""Those whose scorer takes every answer: only the expected one is right here."""

MOST_CALLS = 3_000_000
"""Function calls and returns of a scorer in `PARSED`, about a second. Right answers of 400 drawn
questions took up to 290,000; of wrong ones sympy may try to simplify the difference for hours."""

LONGEST = 500  # characters
_LONG_EXPONENT = re.compile(r"[eE][+-]?[\d_]{4,}")
_LARGEST = 10**12
_LARGEST_POWER = 20
_NAMES = frozenset({"C", "E", "pi"})
_FUNCTIONS = frozenset(
    {"Abs", "acos", "asin", "atan", "cos", "cosh", "exp", "ln", "log", "sec", "sin", "sinh", "sqrt",
     "tan", "tanh"}
)  # fmt: skip
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.UAdd, ast.USub)


def harmless(dataset: str, answer: str) -> bool:
    """Whether a dataset's scorer may be given an answer that is not the expected one.

    >>> harmless("countdown", "(3 + 4) * 5"), harmless("countdown", "9**9**9")
    (True, False)
    >>> harmless("binary_matrix", "[[0, 1]]"), harmless("binary_matrix", "exit()")
    (True, False)
    """
    if dataset in EXACT or (dataset in NUMBERS and _LONG_EXPONENT.search(answer)):
        return False
    if dataset == "complex_arithmetic":  # whose scorer takes "nan" for the nearest number of all
        return "nan" not in answer.lower()
    if dataset not in EVALUATED and dataset not in PARSED:
        return True
    if len(answer) > LONGEST:
        return False
    try:
        if dataset in EVALUATED:
            ast.literal_eval(answer)
            return True
        return _arithmetic(ast.parse(answer.strip(), mode="eval").body)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False


class TooLongError(BaseException):
    """A scorer was stopped. No `Exception`, which sympy might catch and go on."""


@contextmanager
def bounded(most: int = MOST_CALLS) -> Iterator[None]:
    """Stops the block after so many function calls and returns, which unlike a time are about the
    same on every machine. Only this thread's count.

    Raises:
        TooLongError: When they are used up.
    """
    left, before = most, sys.getprofile()

    def count(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal left
        left -= 1
        # Not in a generator: one that is being collected would swallow it, with a complaint.
        if left < 0 and event == "call" and not frame.f_code.co_flags & inspect.CO_GENERATOR:
            raise TooLongError

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)


def _arithmetic(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=int() | float() as value):
            return not isinstance(value, bool) and abs(value) <= _LARGEST
        case ast.Name(id=name):
            return len(name) == 1 or name in _NAMES
        case ast.UnaryOp(op=op, operand=inner):
            return isinstance(op, _OPERATORS) and _arithmetic(inner)
        case ast.BinOp(left=base, op=ast.Pow(), right=power):
            powers = (ast.Pow in map(type, ast.walk(base)), not _small(power))
            return not any(powers) and _arithmetic(base)
        case ast.BinOp(left=left, op=op, right=right):
            return isinstance(op, _OPERATORS) and _arithmetic(left) and _arithmetic(right)
        case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]):
            return name in _FUNCTIONS and _arithmetic(inner)
    return False


def _small(power: ast.expr) -> bool:
    """A number up to 20, a quotient of such, a symbol, or a number times one."""
    match power:
        case ast.Constant(value=int() | float() as value):
            return not isinstance(value, bool) and abs(value) <= _LARGEST_POWER
        case ast.Name(id=name):
            return len(name) == 1
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=inner):
            return _small(inner)
        case ast.BinOp(left=ast.Constant() as left, op=ast.Div(), right=ast.Constant() as right):
            return _small(left) and _small(right) and right.value != 0
        case ast.BinOp(left=ast.Constant() as left, op=ast.Mult(), right=ast.Name() as right):
            return _small(left) and _small(right)
    return False
