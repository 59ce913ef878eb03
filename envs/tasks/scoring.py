"""How answers are judged: words as SQuAD does, with aliases, and numbers by their value."""

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction

from ludus.envs.formats import ActionFormat
from ludus.envs.outcome import Golden

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)[$€£]?(?P<again>[+-]?)"
    r"(?P<value>(?:\d{1,3}(?:,\d{3})+|\d{1,60})(?:\.\d{1,60}|/\d{1,60})?|\.\d{1,60})\.?"
)
_CLOSED = frozenset({"yes", "no", "noanswer"})


def normalize(text: str) -> str:
    """Lower case, without punctuation, articles and double spaces.

    Source: SQuAD's evaluation script, Rajpurkar et al. 2016, arXiv:1606.05250.

    >>> normalize("The  Old-Man, and a Sea!")
    'oldman and sea'
    """
    bare = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact(said: str, accepted: Iterable[str]) -> bool:
    """Whether a text is one of the accepted ones, after `normalize`.

    >>> exact("Tomo Ruk.", ["tomo ruk", "Belano"]), exact("not Tomo Ruk", ["Tomo Ruk"])
    (True, False)
    """
    return normalize(said) in {normalize(text) for text in accepted}


def f1(said: str, accepted: Iterable[str]) -> float:
    """Harmonic mean of precision and recall in words, the best over the accepted texts. As
    HotpotQA has it, yes and no are right or wrong and nothing between.

    Source: Yang et al. 2018, arXiv:1809.09600.

    >>> f1("Tomo", ["Tomo Ruk", "Belano"]), f1("yes it is", ["yes"])
    (0.6666666666666666, 0.0)
    """
    return max((_f1(normalize(said), normalize(text)) for text in accepted), default=0.0)


def _f1(said: str, right: str) -> float:
    if said == right:
        return 1.0
    if said in _CLOSED or right in _CLOSED:
        return 0.0
    ours, theirs = said.split(), right.split()
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def efficient(calls: int, most: int) -> float:
    """The factor of a right answer's reward for few calls: cos(m pi / (2 m + c)).

    Args:
        calls: m, those that were made.
        most: c, those that may be made.

    Source: Wang et al. 2025 (OTC-PPO), arXiv:2504.14870.

    >>> [round(efficient(m, 4), 3) for m in (0, 1, 3)]
    [1.0, 0.866, 0.588]
    """
    return math.cos(calls * math.pi / (2 * calls + most)) if calls else 1.0


def number_in(text: str) -> Fraction | None:
    """The number that a whole answer is, with thousands' commas and a currency's sign if it likes;
    None if it is none.

    >>> number_in(" 1,234.50 "), number_in("$-3/6."), number_in("12 apples")
    (Fraction(2469, 2), Fraction(-1, 2), None)
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None or (found["sign"] and found["again"]):
        return None
    try:
        return Fraction(f"{found['sign'] or found['again']}{found['value'].replace(',', '')}")
    except ZeroDivisionError:
        return None


def known(
    format: ActionFormat, answer: str, aliases: Sequence[str] = (), calls: Sequence[str] = ()
) -> Golden:
    """What is known of a question with one answer: how it is said, and what is done before.

    >>> from ludus.envs.formats import FORMATS
    >>> golden = known(FORMATS["boxed"], "42", calls=["look it up"])
    >>> golden.action, golden.prefix, golden.suffix, golden.plan
    ('\\\\boxed{42}', '\\\\boxed{', '}', ('look it up', '\\\\boxed{42}'))
    """
    action = format.write(answer)
    prefix, _, suffix = format.write("\0").partition("\0")
    return Golden(action, prefix, suffix, answer, tuple(aliases), (*calls, action))
