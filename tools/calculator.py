"""Arithmetic for agents.

>>> calculator.call({"expression": "3 * (4 + 5)"}).text
'27'
>>> calculator.call({"expression": "2 ** 9"}).text
"calculator: only numbers, + - * / and parentheses, not '2 ** 9'"
"""

import ast
import math
import operator
import re
from collections.abc import Callable

from ludus.tools.base import ToolError, tool

MAX_CHARS = 200  # keeps the parse tree far below Python's recursion limit
OPS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
# Python's parser warns of some other texts, on standard error.
READABLE = re.compile(r"[0-9.eE+\-*/()\s]*")


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPS:
            return OPS[type(op)](_value(left), _value(right))
    raise _unreadable(ast.unparse(node))


def _unreadable(text: str) -> ToolError:
    return ToolError(f"calculator: only numbers, + - * / and parentheses, not {text!r}")


@tool
def calculator(expression: str) -> str:
    """Evaluate one arithmetic expression of at most 200 characters, e.g. "3 * (4 + 5)"."""
    if len(expression) > MAX_CHARS:
        raise ToolError(f"calculator: {len(expression)} characters, at most {MAX_CHARS}")
    if not READABLE.fullmatch(expression):
        raise _unreadable(expression)
    try:
        value = _value(ast.parse(expression.strip(), mode="eval").body)
    except SyntaxError as error:
        raise ToolError(f"calculator: {error.msg}: {expression!r}") from error
    except ArithmeticError as error:
        raise ToolError(f"calculator: {error}") from error
    if not math.isfinite(value):
        raise ToolError("calculator: the result is too large")
    return str(value)
