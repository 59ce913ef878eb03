"""A made-up world of people, towns and books, told in articles, and questions about it.

Every entity has one article. Facts are functions (a book has one author), so a chain of them from
an entity leads to one answer: "the birthplace of the teacher of the author of Kelamo". Names are
made of syllables, and each made-up word belongs to one split, so that no name, article or question
of a split occurs in another.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ludus.envs.task import derive_seed
from ludus.tools.search import Document

YEARS = ("born", "founded", "published")
"""Facts whose value is a year; all others lead to another entity."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A fact that every entity of a kind has."""

    name: str
    to: str
    """Kind of what it leads to."""
    phrase: str
    """In questions."""
    told: tuple[str, ...]
    """Sentences of articles: {who} has it, {what} is it."""


RELATIONS: dict[str, tuple[Relation, ...]] = {
    "person": (
        Relation("birthplace", "town", "the birthplace of {}", (
            "{who} was born in {what}.", "{who} came into the world in {what}.",
        )),
        Relation("teacher", "person", "the teacher of {}", (
            "{who} was taught by {what}.", "{who} learned everything from {what}.",
        )),
        Relation("favourite", "book", "the favourite book of {}", (
            "{who} loved {what}.", "{who} never travelled without a copy of {what}.",
        )),
        Relation("born", "year", "the year of birth of {}", (
            "{who} was born in the year {what}.", "The birth of {who} fell in the year {what}.",
        )),
    ),
    "town": (
        Relation("founder", "person", "the founder of {}", (
            "{who} was founded by {what}.", "{who} goes back to {what}.",
        )),
        Relation("twin", "town", "the twin town of {}", (
            "{who} is the twin of {what}.", "{who} has a partnership with {what}.",
        )),
        Relation("founded", "year", "the founding year of {}", (
            "{who} was founded in the year {what}.", "{who} has stood since the year {what}.",
        )),
    ),
    "book": (
        Relation("author", "person", "the author of {}", (
            "{who} was written by {what}.", "{who} came from the pen of {what}.",
        )),
        Relation("setting", "town", "the setting of {}", (
            "{who} is set in {what}.", "{who} takes place in {what}.",
        )),
        Relation("published", "year", "the year of publication of {}", (
            "{who} was published in the year {what}.", "{who} appeared in the year {what}.",
        )),
    ),
}  # fmt: skip
_ASKED = {"person": "Who is", "town": "Which town is", "book": "Which book is", "year": "What is"}
_ALSO = {
    "person": "{who} was also known as {what}.",
    "town": "{who} was once called {what}.",
    "book": "{who} is also sold as {what}.",
}
_TITLES = ("The {} Letters", "Songs of {}", "{} at Dawn", "A Winter in {}", "The House of {}")
_FILLER = (
    "The archives hold several letters on the subject.",
    "Little else is certain, and scholars still argue about the rest.",
    "A small museum keeps drawings, coins and a broken clock from that time.",
    "Many stories are told about it in the evenings, few of them true.",
    "The winters of those years were long and the roads were poor.",
    "An old map shows the place beside a river that has since dried up.",
    "Some of the records were lost in a fire and never replaced.",
    "Visitors come in spring, when the orchards are in bloom.",
    "A street, a school and a kind of pear bear the same name today.",
    "The first complete account appeared much later, in four volumes.",
)


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
class Hop:
    """One step of the way to an answer."""

    subject: str
    """Whose article is needed, by the name that is known at this step."""
    id: str
    """Of that article."""
    title: str
    evidence: str
    """The sentence to be read there."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its answer and the way there."""

    text: str
    answer: str
    """As the last article has it."""
    aliases: tuple[str, ...]
    hops: tuple[Hop, ...]


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
            if word not in self._used and word not in _SAID and split_of(word) == self._split:
                self._used.add(word)
                return word.capitalize()


def split_of(word: str) -> str:
    """Which split a made-up word belongs to: 8 of 10 to train."""
    return {8: "valid", 9: "test"}.get(derive_seed("word", word.lower()) % 10, "train")


def _entities(rng: random.Random, size: Size, words: _Words) -> list[Entity]:
    def name(kind: str) -> str:
        if not size.long_names or kind == "town":
            return words.new()
        if kind == "person":
            return f"{words.new()} {words.new()}"
        return rng.choice(_TITLES).format(words.new())

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


def _mention(rng: random.Random, entity: Entity, size: Size) -> str:
    return entity.alias if entity.alias and rng.random() < size.aliases else entity.name


def _article(rng: random.Random, entity: Entity, size: Size) -> str:
    sentences = []
    pronoun = rng.choice(("He", "She")) if entity.kind == "person" else "It"
    relations = [r for r in RELATIONS[entity.kind] if r.name in entity.facts]
    for place, relation in enumerate(rng.sample(relations, len(relations))):
        value = entity.facts[relation.name]
        what = value if isinstance(value, str) else _mention(rng, value, size)
        told = rng.choice(relation.told) if size.wordings else relation.told[0]
        # "The birth of He" would be wrong, and the first sentence says who it is about.
        short = size.wordings and place and told.startswith("{who}") and rng.random() < 0.5
        sentence = told.format(who=pronoun if short else entity.name, what=what)
        entity.told[relation.name] = (sentence, what)
        sentences.append(sentence)
    for sentence in rng.sample(_FILLER, size.filler):
        sentences.insert(rng.randint(1, len(sentences)), sentence)
    if entity.alias:
        also = _ALSO[entity.kind].format(who=entity.name, what=entity.alias)
        sentences.insert(0, also)
    return " ".join(sentences)


def make_question(rng: random.Random, world: World, hops: int) -> Question:
    """Draw a question.

    Args:
        rng: Decides which.
        world: What it is about.
        hops: Articles that have to be read, one after the other.
    """
    while True:  # a walk may run into its own track; most do not
        start = rng.choice(world.entities)
        walk = _walk(rng, start, hops)
        if walk is not None:
            break
    asked = known = _mention(rng, start, world.size)
    way, place = [], start
    for relation in walk:
        sentence, what = place.told[relation.name]
        way.append(Hop(known, place.id, place.name, sentence))
        asked, known, value = relation.phrase.format(asked), what, place.facts[relation.name]
        if isinstance(value, Entity):
            place = value
    others = () if isinstance(value, str) else tuple(n for n in value.names if n != known)
    return Question(f"{_ASKED[walk[-1].to]} {asked}?", known, others, tuple(way))


def _walk(rng: random.Random, start: Entity, hops: int) -> list[Relation] | None:
    """Relations that lead from an entity to ever new ones, the last perhaps to a year."""
    walk: list[Relation] = []
    place, seen = start, [start]
    for left in reversed(range(hops)):
        ways = []
        for relation in RELATIONS[place.kind]:
            value = place.facts.get(relation.name)
            if (isinstance(value, str) and not left) or (
                isinstance(value, Entity) and all(value is not known for known in seen)
            ):
                ways.append(relation)
        if not ways:
            return None
        walk.append(rng.choice(ways))
        value = place.facts[walk[-1].name]
        if isinstance(value, Entity):
            place = value
            seen.append(value)
    return walk


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
    "aliases": (0, 1), "filler": (0, len(_FILLER)),
}  # fmt: skip
_SAID = frozenset(
    word
    for text in (
        *_FILLER, *_TITLES, *_ALSO.values(), *_ASKED.values(),
        *(t for rs in RELATIONS.values() for r in rs for t in (r.phrase, *r.told)),
    )
    for word in re.findall(r"\w+", text.lower())
)  # fmt: skip
