r"""Reads the text side of a game: command templates and the grammar its sentences come from.

A symbol string mixes plain text with four constructs:

    #name#                expand the production called `name`
    {expression}          the value of an expression over entities, `{o.name}`
    {expression | query}  once for every way in which the query holds
    [{... | query}]       the same as a list: `list_separator`, `list_last_separator`, `list_empty`

The reading follows the reference parser to the letter, of which a game writer would not think:
blanks at the start of a string and of a line that follows a construct are lost, `//` starts a
comment there, quotation marks vanish, and text behind a stray `;`, `|`, `<`, `]` or `}` is dropped.

>>> parse_symbols("You open {r.name}. #state#")
(Text(text='You open '), Slot(symbol=Expression(source='r.name'), query=None), Text(text='. '), \
Call(name='state'))
>>> parse_symbols(" (is open); never shown")
(Text(text='(is open)'),)
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache

from ludus.envs.worlds.household.errors import GameError


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    name: str


@dataclass(frozen=True, slots=True)
class Expression:
    source: str


@dataclass(frozen=True, slots=True)
class Slot:
    symbol: Call | Expression
    query: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    slot: Slot


Symbol = Text | Call | Expression | Slot | Listing
Symbols = tuple[Symbol, ...]


@dataclass(frozen=True, slots=True)
class Production:
    condition: str
    """A query that must hold, or empty."""
    symbols: Symbols


@dataclass(frozen=True, slots=True)
class Wording:
    """How one action is called and answered."""

    command: Symbols
    feedback: Symbols


@dataclass(slots=True)
class Grammar:
    actions: dict[str, Wording] = field(default_factory=dict)
    productions: dict[str, list[Production]] = field(default_factory=dict)


Placeholder = tuple[str, str]
"""Name and type: `("r", "receptacle")`."""
Query = tuple[tuple[str, tuple[Placeholder, ...]], ...]
"""A conjunction of (predicate, placeholders)."""


class TypeConflictError(ValueError):
    """A query gives one placeholder two types. In an action's feedback nothing is said then."""


# --- symbol strings -------------------------------------------------------------------------------

_LINE_START = re.compile(r"^(//.*|\s*)\n?", re.MULTILINE)
_REMARK = re.compile(r"\(\*((?:.|\n)*?)\*\)", re.MULTILINE)
_TABS = re.compile(r"\t+")
_LITERAL = re.compile(r'[^;|"<>\[\]#{}]*')
_TAG = re.compile(r"[\w()/!<>\-\s,.]+")
_STATEMENT = re.compile(r"[^|\[\]{}\n<>]+")
_BAR = re.compile(r"\s*\|\s*")
_GIVEN = re.compile(r"[^;|{}\n\[\]#]+")


class _NoMatchError(Exception):
    pass


class _Scanner:
    """One symbol string and a position in it."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def skip(self) -> None:
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
        self.skip()
        if not self.text.startswith(token, self.at):
            raise _NoMatchError
        self.at += len(token)

    def match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise _NoMatchError
        self.at = match.end()
        return match[0]

    def name(self, pattern: re.Pattern[str]) -> str:
        self.skip()
        return self.match(pattern)

    def call(self) -> Call:
        self.token("#")
        name = self.name(_TAG)
        self.token("#")
        return Call(name)

    def slot(self) -> Slot:
        self.token("{")
        start = self.at
        symbol: Call | Expression
        try:
            symbol = self.call()
        except _NoMatchError:
            self.at = start
            symbol = Expression(self.name(_STATEMENT))
        start, query = self.at, None
        try:
            self.match(_BAR)
            query = self.name(_GIVEN)
        except _NoMatchError:
            self.at = start
        self.token("}")
        return Slot(symbol, query)

    def listing(self) -> Listing:
        self.token("[")
        slot = self.slot()
        self.token("]")
        return Listing(slot)

    def literal(self) -> Text:
        self.skip()
        start = self.at
        try:
            self.token('"')
            text = self.match(_LITERAL)
            self.token('"')
        except _NoMatchError:
            self.at = start
            text = self.match(_LITERAL)
        return Text(text)

    def symbol(self) -> Symbol:
        start = self.at
        for read in (self.listing, self.slot, self.call):
            try:
                return read()
            except _NoMatchError:
                self.at = start
        return self.literal()


@cache
def parse_symbols(text: str) -> Symbols:
    """The symbols of a string. Any string can be read; what cannot be understood ends it."""
    scanner = _Scanner(text)
    scanner.skip()
    symbols = [scanner.symbol()]
    while True:
        before = scanner.at
        symbol = scanner.symbol()
        if scanner.at == before:
            return tuple(symbols)
        symbols.append(symbol)


# --- queries --------------------------------------------------------------------------------------

_BLANK = re.compile(r"(?:\s+|#.*?$|\(\*(?:.|\n)*?\*\))*", re.MULTILINE)
_PREDICATE = re.compile(r"!?[\w/]+")
_PLACEHOLDER = re.compile(r"[\w']+")
_TYPE = re.compile(r"[\w/-]+")


@cache
def parse_query(text: str) -> Query:
    """A conjunction such as `atlocation(a:agent, l:location) & not_opened(r:receptacle)`.

    Raises:
        TypeConflictError: If a placeholder has two types. Without one, its type is its name.
        GameError: If the text is not a conjunction of predicates.
    """
    at = 0
    types: dict[str, str] = {}

    def take(pattern: re.Pattern[str] | str) -> str | None:
        nonlocal at
        blank = _BLANK.match(text, at)
        start = blank.end() if blank else at
        if isinstance(pattern, str):
            found = pattern if text.startswith(pattern, start) else None
        else:
            match = pattern.match(text, start)
            found = match[0] if match else None
        if found is not None:
            at = start + len(found)
        return found

    def need(pattern: re.Pattern[str] | str) -> str:
        found = take(pattern)
        if found is None:
            raise GameError(f"the grammar has a query that cannot be read: {text!r}")
        return found

    def placeholder() -> Placeholder:
        name = need(_PLACEHOLDER)
        type_ = need(_TYPE) if take(":") else name.rstrip("'")
        if types.setdefault(name, type_) != type_:
            raise TypeConflictError(f"{name!r} is both {types[name]!r} and {type_!r} in {text!r}")
        return name, type_

    query = []
    while True:
        name = need(_PREDICATE)
        if name.startswith("!"):
            name = name.lstrip("!")
            name = name.split("not_", 1)[1] if name.startswith("not_") else f"not_{name}"
        need("(")
        placeholders = []
        if not take(")"):
            placeholders.append(placeholder())
            while not take(")"):
                need(",")
                placeholders.append(placeholder())
        query.append((name, tuple(placeholders)))
        if not take("&"):
            break
    take("")
    if at != len(text):
        raise GameError(f"the grammar has a query that cannot be read: {text!r}")
    return tuple(query)


# --- the whole text -------------------------------------------------------------------------------

_WORD = re.compile(r"[\w/-]+")
_STRING = re.compile(r'"[^"]*"')
_BLOCK = re.compile(r'"""(?:.|\n)*?"""')


class _Document(_Scanner):
    """The outer format: `grammar :: \"\"\"json\"\"\";` and `action Name { template :: ...; }`."""

    def skip(self) -> None:
        match = _BLANK.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def keyword(self, word: str) -> bool:
        self.skip()
        if not self.text.startswith(word, self.at):
            return False
        end = self.at + len(word)
        if self.text[end : end + 1].isalnum():
            return False
        self.at = end
        return True

    def field(self, pattern: re.Pattern[str]) -> str:
        self.token("::")
        value = self.name(pattern)
        self.token(";")
        return value

    def read(self) -> Grammar:
        grammar = Grammar()
        productions: dict[str, object] = {}
        while True:
            if self.keyword("action"):
                name = self.name(_WORD)
                productions |= self.action(name, grammar)
            elif self.keyword("grammar"):
                productions |= _json(self.field(_BLOCK)[3:-3])
            else:
                break
        self.skip()
        if self.at != len(self.text):
            raise _NoMatchError
        for name, rules in productions.items():
            grammar.productions[name] = [_production(rule) for rule in _list(rules)]
        return grammar

    def action(self, name: str, grammar: Grammar) -> dict[str, object]:
        self.token("{")
        found: dict[str, str] = {}
        productions: dict[str, object] = {}
        while True:
            if self.keyword("template"):
                found["template"] = self.field(_STRING)[1:-1]
            elif self.keyword("feedback"):
                found["feedback"] = self.field(_STRING)[1:-1]
            elif self.keyword("pddl"):
                self.field(_BLOCK)
            elif self.keyword("grammar"):
                lines = self.field(_BLOCK)[3:-3].split("\n")
                kept = [line for line in lines if not line.lstrip().startswith("#")]
                productions |= _json("\n".join(kept))
            else:
                break
        self.token("}")
        if len(found) != 2:
            raise GameError(f"the grammar's action {name!r} needs a template and a feedback")
        grammar.actions[name.lower()] = Wording(
            parse_symbols(found["template"]), parse_symbols(found["feedback"])
        )
        return productions


def parse_grammar(text: str) -> Grammar:
    """The wordings and productions of a game's grammar text.

    Raises:
        GameError: If it is not what it should be, with the line.
    """
    document = _Document(text)
    try:
        return document.read()
    except _NoMatchError:
        line = text.count("\n", 0, document.at) + 1
        raise GameError(f"the grammar cannot be read from line {line} on") from None


def _json(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise GameError(f"the grammar holds a block that is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise GameError("the grammar holds a block that is not a JSON object")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise GameError("a production of the grammar is not a list of rules")
    return value


def _production(rule: object) -> Production:
    if not isinstance(rule, dict) or not isinstance(rule.get("rhs"), str):
        raise GameError(f"a production of the grammar has no text: {rule!r}")
    return Production(str(rule.get("condition") or ""), parse_symbols(rule["rhs"]))
