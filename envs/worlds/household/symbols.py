r"""Symbol strings, of which commands and sentences are made.

A symbol string mixes plain text with four constructs:

    #name#                expand the production called `name`
    {expression}          the value of an expression over entities, `{o.name}`
    {expression | query}  once for every way in which the query holds
    [{... | query}]       the same as a list: `list_separator`, `list_last_separator`, `list_empty`

The reading follows the reference parser to the letter, of which a game writer would not think:
blanks at the start of a string and of a line that follows a construct are lost, `//` starts a
comment there, quotation marks vanish, and text behind a stray `;`, `|`, `<`, `]` or `}` is dropped.

>>> parse_symbols("You see {o.name}. #more#")[0::3]
(Text(text='You see '), Call(name='more'))
>>> parse_symbols(" (is open); never shown")
(Text(text='(is open)'),)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Text:
    """What is said as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """`#name#`: a production of that name, expanded."""

    name: str


@dataclass(frozen=True, slots=True)
class Expression:
    """`{source}`: its value over entities."""

    source: str


@dataclass(frozen=True, slots=True)
class Slot:
    """`{symbol | query}`: the symbol once for every answer of the query; once without a query."""

    symbol: Call | Expression
    query: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """`[{symbol | query}]`: the answers of a slot with separators between, or `list_empty`."""

    slot: Slot


Symbol = Text | Call | Expression | Slot | Listing
Symbols = tuple[Symbol, ...]


_LINE_START = re.compile(r"^(//.*|\s*)\n?", re.MULTILINE)
_REMARK = re.compile(r"\(\*((?:.|\n)*?)\*\)", re.MULTILINE)
_TABS = re.compile(r"\t+")
_LITERAL = re.compile(r'[^;|"<>\[\]#{}]*')
_TAG = re.compile(r"[\w()/!<>\-\s,.]+")
_STATEMENT = re.compile(r"[^|\[\]{}\n<>]+")
_BAR = re.compile(r"\s*\|\s*")
_GIVEN = re.compile(r"[^;|{}\n\[\]#]+")


class NoMatchError(Exception):
    """What was asked for does not stand here."""


class Scanner:
    """One symbol string and a position in it. What does not stand there raises `NoMatchError`."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def skip(self) -> None:
        """Go past what is lost: blanks at the start of lines, remarks and tabs."""
        before = -1
        while before != self.at:
            before = self.at
            for pattern in (_LINE_START, _REMARK):
                while match := pattern.match(self.text, self.at):
                    self.at = match.end()
                    if not match[1]:
                        break
            if match := _TABS.match(self.text, self.at):
                self.at = match.end()

    def token(self, token: str) -> None:
        """Read a fixed text."""
        self.skip()
        if not self.text.startswith(token, self.at):
            raise NoMatchError
        self.at += len(token)

    def match(self, pattern: re.Pattern[str]) -> str:
        """What a pattern matches right here, read."""
        match = pattern.match(self.text, self.at)
        if match is None:
            raise NoMatchError
        self.at = match.end()
        return match[0]

    def name(self, pattern: re.Pattern[str]) -> str:
        """What a pattern matches after `skip`, read."""
        self.skip()
        return self.match(pattern)

    def call(self) -> Call:
        """Read `#name#`."""
        self.token("#")
        name = self.name(_TAG)
        self.token("#")
        return Call(name)

    def slot(self) -> Slot:
        """Read `{...}` or `{... | query}`."""
        self.token("{")
        start = self.at
        symbol: Call | Expression
        try:
            symbol = self.call()
        except NoMatchError:
            self.at = start
            symbol = Expression(self.name(_STATEMENT))
        start, query = self.at, None
        try:
            self.match(_BAR)
            query = self.name(_GIVEN)
        except NoMatchError:
            self.at = start
        self.token("}")
        return Slot(symbol, query)

    def listing(self) -> Listing:
        """Read `[{...}]`."""
        self.token("[")
        slot = self.slot()
        self.token("]")
        return Listing(slot)

    def literal(self) -> Text:
        """Read plain text, in quotation marks or not; perhaps none."""
        self.skip()
        start = self.at
        try:
            self.token('"')
            text = self.match(_LITERAL)
            self.token('"')
        except NoMatchError:
            self.at = start
            text = self.match(_LITERAL)
        return Text(text)

    def symbol(self) -> Symbol:
        """Read whatever stands here; where no construct does, the plain text up to the next."""
        start = self.at
        for read in (self.listing, self.slot, self.call):
            try:
                return read()
            except NoMatchError:
                self.at = start
        return self.literal()


@cache
def parse_symbols(text: str) -> Symbols:
    """The symbols of a string. Any string can be read; what cannot be understood ends it."""
    scanner = Scanner(text)
    scanner.skip()
    symbols = [scanner.symbol()]
    while True:
        before = scanner.at
        symbol = scanner.symbol()
        if scanner.at == before:
            return tuple(symbols)
        symbols.append(symbol)
