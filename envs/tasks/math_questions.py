"""Arithmetic and algebra, as questions and the programs that answer them. Each is drawn from a
random stream: a question, and Python that prints its answer."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Draw:
    """How hard a question is, and the stream it is drawn from."""

    rng: random.Random
    digits: int
    """Of each number."""
    steps: int
    """Operations, factors, things, legs: what there is several of."""

    def number(self) -> int:
        """With that many digits."""
        return self.rng.randint(10 ** (self.digits - 1), 10**self.digits - 1)


Drawn = tuple[str, str]
"""Question and program."""
_FRACTION = "from fractions import Fraction\n"


def product(draw: Draw) -> Drawn:
    """Of two numbers."""
    a, b = draw.number(), draw.number()
    return f"What is {a} * {b}?", f"print({a} * {b})"


def chain(draw: Draw) -> Drawn:
    """Of + - and *, in parentheses."""
    text = str(draw.number())
    for _ in range(draw.steps):
        text = f"({text} {draw.rng.choice('+-*')} {draw.number()})"
    text = text[1:-1]
    return f"What is {text}?", f"print({text})"


def remainder(draw: Draw) -> Drawn:
    """Of a product of as many factors as steps, at least two."""
    factors = " * ".join(str(draw.number()) for _ in range(max(2, draw.steps)))
    by = draw.number() + 1
    question = f"What is the remainder when {factors} is divided by {by}?"
    return question, f"print(({factors}) % {by})"


def equation(draw: Draw) -> Drawn:
    """a x + b = c x + d."""
    a, b, c, d = (draw.number() for _ in range(4))
    if a == c:
        c += 1
    program = f"{_FRACTION}print(Fraction({d} - {b}, {a} - {c}))"
    return f"Solve for x: {a} x + {b} = {c} x + {d}. Give x as a fraction.", program


def quadratic(draw: Draw) -> Drawn:
    """The larger of two whole roots."""
    low, high = sorted((draw.number(), draw.number()))
    total, times = low + high, low * high
    program = f"from math import isqrt\nprint(({total} + isqrt({total}**2 - 4 * {times})) // 2)"
    return f"What is the larger solution of x^2 - {total} x + {times} = 0?", program


def system(draw: Draw) -> Drawn:
    """Two linear equations, one of the two unknowns."""
    a, b, c, d, x, y = (draw.number() for _ in range(6))
    if a * d == b * c:
        d += 1
    e, f = a * x + b * y, c * x + d * y
    question = f"{a} x + {b} y = {e} and {c} x + {d} y = {f}. What is x?"
    return question, f"print(({e} * {d} - {b} * {f}) // ({a} * {d} - {b} * {c}))"


def story(draw: Draw) -> Drawn:
    """Shopping: as many things as steps."""
    rng = draw.rng
    who, things = rng.choice(_NAMES), rng.sample(_THINGS, min(draw.steps, len(_THINGS)))
    bought = [(draw.number(), thing, draw.number()) for thing in things]
    paid = ", ".join(f"{n} {thing} at {price} coins each" for n, thing, price in bought)
    start = 10 ** (2 * draw.digits + 1)
    total = " - ".join(f"{n} * {price}" for n, _, price in bought)
    question = f"{who} has {start} coins and buys {paid}. How many coins are left?"
    return question, f"print({start} - {total})"


def journey(draw: Draw) -> Drawn:
    """As many legs as steps, and a mean speed as a fraction."""
    who = draw.rng.choice(_NAMES)
    legs = [(draw.number(), draw.number()) for _ in range(draw.steps)]
    told = ", then ".join(f"{hours} hours at {speed} km per hour" for hours, speed in legs)
    far = " + ".join(f"{hours} * {speed}" for hours, speed in legs)
    long = " + ".join(str(hours) for hours, _ in legs)
    question = f"{who} travels {told}. What is the mean speed in km per hour, as a fraction?"
    return question, f"{_FRACTION}print(Fraction({far}, {long}))"


def shares(draw: Draw) -> Drawn:
    """A sum in given proportions, and what the first gets, as a fraction."""
    rng = draw.rng
    names = rng.sample(_NAMES, min(max(2, draw.steps), len(_NAMES)))
    parts, total = [draw.number() for _ in names], draw.number()
    told = " : ".join(map(str, parts))
    question = (
        f"{', '.join(names[:-1])} and {names[-1]} share {total} coins as {told}. "
        f"How many coins does {names[0]} get, as a fraction?"
    )
    return question, f"{_FRACTION}print(Fraction({total} * {parts[0]}, {sum(parts)}))"


KINDS: dict[str, Callable[[Draw], Drawn]] = {
    make.__name__: make
    for make in (
        product, chain, remainder, equation, quadratic, system, story, journey, shares,
    )
}  # fmt: skip
"""Arithmetic: product, chain, remainder. Algebra: equation, quadratic, system. Words: story,
journey, shares."""

_NAMES = ("Ada", "Bela", "Chen", "Dara", "Emil", "Fay", "Goro", "Hana")
_THINGS = (
    "apples", "books", "candles", "drums", "eggs", "forks", "gloves", "hats", "inkwells", "jars",
    "keys", "lamps", "maps", "nails", "onions", "pens", "quilts", "ropes", "shoes", "tiles",
)  # fmt: skip
