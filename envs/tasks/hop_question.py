"""Questions about a made-up world: a chain of facts that leads from an entity to an answer."""

import random
from dataclasses import dataclass

from ludus.envs.tasks.hop_text import ASKED, RELATIONS, Relation
from ludus.envs.tasks.hop_world import Entity, World, mention


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
    asked = known = mention(rng, start, world.size)
    way, place = [], start
    for relation in walk:
        sentence, what = place.told[relation.name]
        way.append(Hop(known, place.id, place.name, sentence))
        asked, known, value = relation.phrase.format(asked), what, place.facts[relation.name]
        if isinstance(value, Entity):
            place = value
    others = () if isinstance(value, str) else tuple(n for n in value.names if n != known)
    return Question(f"{ASKED[walk[-1].to]} {asked}?", known, others, tuple(way))


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
