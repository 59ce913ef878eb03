"""How an action is written in a reply: alone, boxed, tagged.

An action text is what an agent sends; a move is what the game understands. `write` turns moves
into texts, `read` turns replies back into moves, and `read(write(move)) == move`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_TAG = re.compile(r"<action>(.*?)</action>", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ActionFormat:
    """One way to write actions."""

    instruction: str
    """One sentence for the rules: how to reply."""
    write: Callable[[str], str]
    read: Callable[[str], str | None]
    """The move in a reply, stripped; None when the reply has none."""

    def __reduce__(self) -> tuple[Any, ...]:
        for name, known in FORMATS.items():
            if known is self:  # by name: its functions need not be picklable
                return _by_name, (name,)
        return ActionFormat, (self.instruction, self.write, self.read)


def _last(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    def read(reply: str) -> str | None:
        found = pattern.findall(reply)
        return found[-1].strip() if found else None

    return read


def _by_name(name: str) -> ActionFormat:
    return FORMATS[name]


FORMATS: dict[str, ActionFormat] = {
    "plain": ActionFormat("Reply with the action alone.", str, str.strip),
    "boxed": ActionFormat(
        "Think step by step, then give the action in \\boxed{}.",
        lambda move: f"\\boxed{{{move}}}",
        _last(_BOXED),
    ),
    "tag": ActionFormat(
        "Think step by step, then give the action as <action>...</action>.",
        lambda move: f"<action>{move}</action>",
        _last(_TAG),
    ),
    "answer": ActionFormat(
        "Think step by step, then give the answer as <answer>...</answer>.",
        lambda move: f"<answer>{move}</answer>",
        _last(_ANSWER),
    ),
}
"""`boxed` is SPIRAL's (arXiv:2506.24119): the last box counts; `answer` is Search-R1's
(arXiv:2503.09516)."""
