"""Reads the text side of a game: how actions are called, and what sentences are made of."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from ludus.envs.worlds.household.errors import GameError
from ludus.envs.worlds.household.queries import BLANK
from ludus.envs.worlds.household.symbols import NoMatchError, Scanner, Symbols, parse_symbols


@dataclass(frozen=True, slots=True)
class Production:
    """One way to expand a name: the first of its productions whose condition holds is taken."""

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
    """What a grammar text declares, by name; actions in lower case."""

    actions: dict[str, Wording] = field(default_factory=dict)
    productions: dict[str, list[Production]] = field(default_factory=dict)


_WORD = re.compile(r"[\w/-]+")
_STRING = re.compile(r'"[^"]*"')
_BLOCK = re.compile(r'"""(?:.|\n)*?"""')


class _Document(Scanner):
    """The outer format: `grammar :: \"\"\"json\"\"\";` and `action Name { template :: ...; }`."""

    def skip(self) -> None:
        match = BLANK.match(self.text, self.at)
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
            raise NoMatchError
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
    except NoMatchError:
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
