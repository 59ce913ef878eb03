"""Skins: the same game in other words, to tell reasoning from memory.

`skin="obfuscated:K"` gives every word of an environment's `VOCABULARY` a made-up name, another one
for every K. All that is shown is renamed on its way out, and all that is said on its way in; rules,
moves and returns are untouched, so whatever holds of the game's tree holds of the skin's. Numbers
that are counted with keep; labels, such as the squares of a board, are vocabulary.

A skin swaps: word for name and name for word. So it is its own inverse, no two words can fall
together, and the plain word is no longer understood.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ludus.envs.formats import ActionFormat
from ludus.envs.task import derive_seed

_KIND = "obfuscated"
_CONSONANTS, _VOWELS, _LAST = "bdfgklmnprtvz", "aeiou", "bdfgklmnprtvz"
# Shorter words than three letters are labels and take no ending.
_ENDING = "(?<=[^\\W\\d_]{3})(?:s|es|ed|ing|ped|ping|ded|ding|ted|ting)|"
_KEPT = "="


@dataclass(frozen=True)
class Skin:
    """A renaming. Made by `make_skin`."""

    names: dict[str, str]
    """Folded word -> name and name -> word."""
    _pattern: re.Pattern[str] = field(repr=False, compare=False)

    def swap(self, text: str) -> str:
        """The text with words and names exchanged, in the case they are written in."""
        return self._pattern.sub(self._replace, text)

    def _replace(self, found: re.Match[str]) -> str:
        word = found["word"]
        return _cased(self.names[word.casefold()], word) + (found["ending"] or "")


def make_skin(spec: str, vocabulary: Sequence[str], game: str = "") -> Skin:
    """The skin that a spec such as "obfuscated:3" names.

    Args:
        spec: The kind, and the seed of the names.
        vocabulary: Words and phrases to rename; those that begin with "=" stay as they are,
            although words in them are renamed elsewhere.
        game: For the seed and for messages.

    Raises:
        ValueError: If the spec is none, or there are no words to rename.

    >>> skin = make_skin("obfuscated:0", ("check", "bet"))
    >>> skin.swap(skin.swap("Check, or bet 1 chip.")), skin.swap("bet") == "bet"
    ('Check, or bet 1 chip.', False)
    """
    kind, _, seed = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    if kind != _KIND or not (seed.isdecimal() and seed.isascii() and len(seed) <= 18):
        raise ValueError(f"a skin is {_KIND}:K with a number K, such as {_KIND}:1, not {spec!r}")
    if not vocabulary:
        raise ValueError(f"{game} declares no VOCABULARY, so there is no skin for it")
    rng = random.Random(derive_seed("skin", game, int(seed)))
    folded = dict.fromkeys(word.casefold() for word in vocabulary)
    words = [word for word in folded if not word.startswith(_KEPT)]
    kept = [word.removeprefix(_KEPT) for word in folded if word.startswith(_KEPT)]
    names: dict[str, str] = {}
    for word in words:
        name = _name(rng)
        while name in names or name in words:
            name = _name(rng)
        names |= {word: name, name: word}
    names |= {word: word for word in kept}
    longest = "|".join(re.escape(word) for word in sorted(names, key=len, reverse=True))
    pattern = rf"(?<!\w)(?P<word>{longest})(?P<ending>{_ENDING})(?!\w)"
    return Skin(names, re.compile(pattern, re.IGNORECASE))


def _name(rng: random.Random) -> str:
    return "".join(
        rng.choice(letters) for letters in (_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS, _LAST)
    )


def _cased(word: str, like: str) -> str:
    """A word in the case of another: lower, Title or UPPER."""
    if like.islower() or not like[:1].isalpha():
        return word
    if len(like) > 1 and like.isupper() and len(word) > 1:
        return word.upper()
    return word[:1].upper() + word[1:]


@dataclass(frozen=True, slots=True)
class _Write:
    skin: Skin
    inner: ActionFormat

    def __call__(self, move: str) -> str:
        return self.inner.write(self.skin.swap(move))


@dataclass(frozen=True, slots=True)
class _Read:
    skin: Skin
    inner: ActionFormat

    def __call__(self, reply: str) -> str | None:
        move = self.inner.read(reply)
        return None if move is None else self.skin.swap(move)


def skinned(format: ActionFormat, skin: Skin) -> ActionFormat:
    """A format whose texts are in the skin's words and whose moves are in the game's."""
    return ActionFormat(format.instruction, _Write(skin, format), _Read(skin, format))
