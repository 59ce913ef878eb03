"""A made-up world of people, towns and books, told in articles.

Every entity has one article. Facts are functions (a book has one author), so a chain of them from
an entity leads to one answer: "the birthplace of the teacher of the author of Kelamo". Names are
made of syllables, and each made-up word belongs to one split, so that no name, article or question
of a split occurs in another.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ludus.envs.task import content_split
from ludus.envs.tasks.hop_text import ALSO, FILLER, RELATIONS, SAID, TITLES, YEARS
from ludus.tools.search import Document


@dataclass(frozen=True, slots=True)
class Size:
    """How large a world is, and how hard to read."""

    people: int
    towns: int
    books: int
    namesakes: int = 0
    """Further people who share a family name with one of the others; they answer nothing."""
    aliases: float = 0.0
    """Share of mentions by another name, which only the entity's own article explains."""
    filler: int = 0
    """Sentences of an article that say nothing."""
    long_names: bool = True
    """Two made-up words for people, titles of several words; else one word for each."""
    years: bool = True
    """Whether there are years."""
    wordings: bool = True
    """Whether a fact is told in one of several ways, and pronouns stand for names."""
    results: int = 3
    """Documents that a search shows where the agent does not say how many."""


SIZES: dict[str, Size] = {
    "tiny": Size(5, 4, 4, long_names=False, years=False, wordings=False, results=1),
    "small": Size(12, 8, 8, namesakes=4, aliases=0.2, filler=1),
    "medium": Size(40, 25, 25, namesakes=20, aliases=0.3, filler=4),
    "large": Size(400, 200, 300, namesakes=200, aliases=0.3, filler=6),
}


@dataclass(slots=True)
class Entity:
    """Somebody or something with an article."""

    kind: str
    name: str
    alias: str = ""
    facts: dict[str, "Entity | str"] = field(default_factory=dict)
    """By relation: an entity, or a year."""
    told: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By relation: the sentence of the article, and the value as it stands there."""
    id: str = ""
    """Of the article."""

    @property
    def names(self) -> tuple[str, ...]:
        """All that it is called."""
        return (self.name, self.alias) if self.alias else (self.name,)


@dataclass(frozen=True, slots=True)
class World:
    """Entities and their articles."""

    entities: tuple[Entity, ...]
    """Those that questions are about, and that facts lead to."""
    documents: tuple[Document, ...]
    size: Size


def make_world(rng: random.Random, split: str, size: Size) -> World:
    """Draw a world.

    Args:
        rng: Decides everything.
        split: Whose words names are made of.
        size: See `Size`.
    """
    words = _Words(rng, split, 2 if not size.long_names else 3)
    entities = _entities(rng, size, words)
    namesakes = [
        Entity("person", f"{words.new()} {rng.choice(entities[: size.people]).name.split()[-1]}")
        for _ in range(size.namesakes)
    ]
    everyone = entities + namesakes
    if size.aliases:
        for entity in everyone:
            entity.alias = words.new()
    by_kind = {kind: [e for e in entities if e.kind == kind] for kind in RELATIONS}
    for entity in everyone:
        _give_facts(rng, entity, by_kind, size)
    for number, entity in enumerate(rng.sample(everyone, len(everyone)), 1):
        entity.id = str(number)
    documents = [Document(e.id, e.name, _article(rng, e, size)) for e in everyone]
    documents.sort(key=lambda document: int(document.id))
    return World(tuple(entities), tuple(documents), size)


class _Words:
    """Made-up words, each once."""

    def __init__(self, rng: random.Random, split: str, syllables: int) -> None:
        self._rng, self._split, self._syllables = rng, split, syllables
        self._used: set[str] = set()

    def new(self) -> str:
        onsets, vowels = ("klmnrt", "aeio") if self._syllables == 2 else ("bdfgklmnprstvz", "aeiou")
        while True:
            parts = [self._rng.choice(onsets) + self._rng.choice(vowels) for _ in "xxx"]
            word = "".join(parts[: self._syllables])
            if (
                word not in self._used
                and word not in SAID
                and content_split("word", word) == self._split
            ):
                self._used.add(word)
                return word.capitalize()


def _entities(rng: random.Random, size: Size, words: _Words) -> list[Entity]:
    def name(kind: str) -> str:
        if not size.long_names or kind == "town":
            return words.new()
        if kind == "person":
            return f"{words.new()} {words.new()}"
        return rng.choice(TITLES).format(words.new())

    counts = {"person": size.people, "town": size.towns, "book": size.books}
    return [Entity(kind, name(kind)) for kind, count in counts.items() for _ in range(count)]


def _give_facts(
    rng: random.Random, entity: Entity, by_kind: Mapping[str, Sequence[Entity]], size: Size
) -> None:
    for relation in RELATIONS[entity.kind]:
        if relation.name not in YEARS:
            entity.facts[relation.name] = rng.choice(
                [other for other in by_kind[relation.to] if other is not entity]
            )
        elif size.years:
            entity.facts[relation.name] = str(rng.randint(1200, 1999))


def mention(rng: random.Random, entity: Entity, size: Size) -> str:
    """The name of an entity or, with the share that the size says, its other one."""
    return entity.alias if entity.alias and rng.random() < size.aliases else entity.name


def _article(rng: random.Random, entity: Entity, size: Size) -> str:
    sentences = []
    pronoun = rng.choice(("He", "She")) if entity.kind == "person" else "It"
    relations = [r for r in RELATIONS[entity.kind] if r.name in entity.facts]
    for place, relation in enumerate(rng.sample(relations, len(relations))):
        value = entity.facts[relation.name]
        what = value if isinstance(value, str) else mention(rng, value, size)
        told = rng.choice(relation.told) if size.wordings else relation.told[0]
        # "The birth of He" would be wrong, and the first sentence says who it is about.
        short = size.wordings and place and told.startswith("{who}") and rng.random() < 0.5
        sentence = told.format(who=pronoun if short else entity.name, what=what)
        entity.told[relation.name] = (sentence, what)
        sentences.append(sentence)
    for sentence in rng.sample(FILLER, size.filler):
        sentences.insert(rng.randint(1, len(sentences)), sentence)
    if entity.alias:
        also = ALSO[entity.kind].format(who=entity.name, what=entity.alias)
        sentences.insert(0, also)
    return " ".join(sentences)


def size_of(params: Mapping[str, Any]) -> Size:
    """The size of parameters: a name in `SIZES`, and what differs from it.

    Raises:
        ValueError: If a value is not allowed.
    """
    if params["size"] not in SIZES:
        raise ValueError(f"unknown size {params['size']!r}, allowed: {', '.join(SIZES)}")
    base = SIZES[params["size"]]
    own = {
        name: params[name]
        for name in ("people", "towns", "books", "namesakes", "aliases", "filler")
        if params[name] is not None
    }
    for name, value in own.items():
        least, most = _LIMITS[name]
        right = isinstance(value, int) or (name == "aliases" and isinstance(value, float))
        if not right or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"{name} must be from {least} to {most}, got {value!r}")
    if own.get("namesakes") and not base.long_names:
        raise ValueError(f"size {params['size']!r} has no family names for namesakes to share")
    return Size(**{**{f: getattr(base, f) for f in Size.__dataclass_fields__}, **own})


_LIMITS: dict[str, tuple[float, float]] = {
    "people": (5, 2000), "towns": (4, 2000), "books": (2, 2000), "namesakes": (0, 2000),
    "aliases": (0, 1), "filler": (0, len(FILLER)),
}  # fmt: skip
