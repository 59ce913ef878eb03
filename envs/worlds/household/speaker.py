"""Turns symbols of the text grammar into sentences, and remembers them.

A sentence depends on the part of the state that was read while it was made. Each one is kept with
that part (`read`, a bit mask), so saying it again costs one `and` and one look-up.
"""

from __future__ import annotations

from collections.abc import Mapping

from ludus.envs.worlds.household.errors import GameError
from ludus.envs.worlds.household.expressions import Entity, evaluate
from ludus.envs.worlds.household.grammar import Grammar
from ludus.envs.worlds.household.propositions import Mapped, Propositions
from ludus.envs.worlds.household.queries import parse_query
from ludus.envs.worlds.household.symbols import (
    Call,
    Expression,
    Listing,
    Slot,
    Symbol,
    Symbols,
    Text,
)

MAX_SENTENCES = 4096
"""Kept per phrase and read mask; then that part of the memory starts anew."""
MAX_PARTS = 100_000
"""Of one sentence. One house names a few hundred things."""


class Phrase:
    """Symbols under a fixed mapping, with the sentences made from them so far."""

    __slots__ = ("_known", "_mapping", "_speaker", "_symbols", "_variables")

    def __init__(self, speaker: Speaker, symbols: Symbols, mapping: Mapped) -> None:
        self._speaker = speaker
        self._symbols = symbols
        self._mapping = mapping
        self._variables = speaker.variables(mapping)
        self._known: list[tuple[int, dict[int, str]]] = []

    def say(self, shown: int) -> str:
        """The sentence where these bits were said.

        Raises:
            GameError: If a production contains itself, none fits, or the sentence is endless.
        """
        for read, sentences in self._known:
            sentence = sentences.get(shown & read)
            if sentence is not None:
                return sentence
        parts: list[str] = []
        mask = [0]
        try:
            self._speaker.speak(self._symbols, self._variables, self._mapping, shown, parts, mask)
        except RecursionError:
            raise GameError("a production of the grammar contains itself") from None
        sentence = "".join(parts)
        for read, sentences in self._known:
            if read == mask[0]:
                if len(sentences) >= MAX_SENTENCES:
                    sentences.clear()
                sentences[shown & read] = sentence
                break
        else:
            self._known.append((mask[0], {shown & mask[0]: sentence}))
        return sentence


class Speaker:
    """The productions of a grammar, with the propositions and entities that they speak of."""

    def __init__(
        self, grammar: Grammar, propositions: Propositions, entities: Mapping[str, Entity]
    ) -> None:
        self.productions = grammar.productions
        self.propositions = propositions
        self.entities = entities

    def variables(self, mapping: Mapped) -> dict[str, Entity]:
        """What expressions may name: a mapping's placeholders, without their types.

        Raises:
            GameError: If an object is unknown.
        """
        return {name: self._entity(id_) for (name, _), (id_, _) in mapping.items()}

    def _entity(self, id_: str) -> Entity:
        entity = self.entities.get(id_)
        if entity is None:
            raise GameError(f"the game speaks of {id_!r}, of which nothing is known at its start")
        return entity

    def is_fixed(self, symbols: Symbols) -> bool:
        """Whether what is said never changes: no query in reach asks for changing facts."""
        todo: list[Symbol] = list(symbols)
        seen: set[str] = set()
        queries: list[str] = []
        while todo:
            symbol = todo.pop()
            if isinstance(symbol, Listing):
                todo += [symbol.slot, *map(Call, ("list_separator", "list_last_separator"))]
                todo.append(Call("list_empty"))
            elif isinstance(symbol, Slot):
                todo.append(symbol.symbol)
                queries.append(symbol.query or "")
            elif isinstance(symbol, Call) and symbol.name not in seen:
                seen.add(symbol.name)
                for production in self.productions.get(symbol.name, ()):
                    todo += production.symbols
                    queries.append(production.condition)
        try:
            asked = {name for text in queries if text for name, _ in parse_query(text)}
        except GameError:  # it may never be asked; if it is, that is the time to tell
            return False
        return not asked & self.propositions.changing

    def speak(
        self,
        symbols: Symbols,
        variables: Mapping[str, Entity],
        mapping: Mapped,
        shown: int,
        parts: list[str],
        read: list[int],
    ) -> None:
        """Appends the text of symbols to `parts` and the bits it depends on to `read[0]`."""
        for symbol in symbols:
            if isinstance(symbol, Text):
                parts.append(symbol.text)
            elif isinstance(symbol, Expression):
                parts.append(evaluate(symbol.source, variables))
            elif isinstance(symbol, Call):
                if len(parts) > MAX_PARTS:
                    raise GameError("the grammar makes a sentence without end")
                chosen = self._production(symbol.name, mapping, shown, read)
                self.speak(chosen, variables, mapping, shown, parts, read)
            elif isinstance(symbol, Slot):
                for inner in self._mappings(symbol, mapping, shown, read):
                    bound = {**variables, **self.variables(inner)} if symbol.query else variables
                    self.speak((symbol.symbol,), bound, inner, shown, parts, read)
            else:
                self._list(symbol, variables, mapping, shown, parts, read)

    def _list(
        self,
        symbol: Listing,
        variables: Mapping[str, Entity],
        mapping: Mapped,
        shown: int,
        parts: list[str],
        read: list[int],
    ) -> None:
        inners = self._mappings(symbol.slot, mapping, shown, read)
        if not inners:
            self.speak((Call("list_empty"),), variables, mapping, shown, parts, read)
        for i, inner in enumerate(inners):
            if i:
                name = "list_last_separator" if i == len(inners) - 1 else "list_separator"
                self.speak((Call(name),), variables, mapping, shown, parts, read)
            bound = {**variables, **self.variables(inner)} if symbol.slot.query else variables
            self.speak((symbol.slot.symbol,), bound, inner, shown, parts, read)

    def _mappings(self, slot: Slot, mapping: Mapped, shown: int, read: list[int]) -> list[Mapped]:
        if not slot.query:
            return [mapping]
        query = parse_query(slot.query)
        return list(self.propositions.answers(query, mapping, shown, read))

    def _production(self, name: str, mapping: Mapped, shown: int, read: list[int]) -> Symbols:
        productions = self.productions.get(name, ())
        # All are read, also those behind the one that fits: an error in any is one here.
        queries = [parse_query(p.condition) if p.condition else None for p in productions]
        for production, query in zip(productions, queries, strict=True):
            if query is None:
                return production.symbols
            if next(self.propositions.answers(query, mapping, shown, read), None) is not None:
                return production.symbols
        raise GameError(f"the grammar has no production that fits #{name}#")
