"""What a made-up world is told in: its facts, and the sentences and questions that name them."""

import re
from dataclasses import dataclass

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
ASKED = {"person": "Who is", "town": "Which town is", "book": "Which book is", "year": "What is"}
"""How a question begins, by the kind of its answer."""
ALSO = {
    "person": "{who} was also known as {what}.",
    "town": "{who} was once called {what}.",
    "book": "{who} is also sold as {what}.",
}
"""Sentences that tell an entity's other name, by its kind."""
TITLES = ("The {} Letters", "Songs of {}", "{} at Dawn", "A Winter in {}", "The House of {}")
"""Of books with long names."""
FILLER = (
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
"""Sentences that say nothing, fit for any article."""
SAID = frozenset(
    word
    for text in (
        *FILLER, *TITLES, *ALSO.values(), *ASKED.values(),
        *(t for rs in RELATIONS.values() for r in rs for t in (r.phrase, *r.told)),
    )
    for word in re.findall(r"\w+", text.lower())
)  # fmt: skip
"""All words that are told with: no made-up word is one of these."""
