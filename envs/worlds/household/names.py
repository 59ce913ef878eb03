"""What objects are called: `cabinet_bar__minus_00_dot_58...` becomes `cabinet 3`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ludus.envs.worlds.household.errors import GameError
from ludus.envs.worlds.household.expressions import Entity

_ESCAPES = {"_bar_": "|", "_minus_": "-", "_plus_": "+", "_dot_": ".", "_comma_": ","}


def display_names(ids: Iterable[str]) -> dict[str, str]:
    """Names for object ids, numbered per kind, the last id in sorted order being number 1.

    The kind is what stands before the first `_bar_`, with "basin" appended where the id contains
    it. An id without a kind keeps its text, and a blank behind it.

    >>> display_names(["mug_bar_1", "mug_bar_2", "sink_bar_3_bar_sinkbasin", "agent1"])
    {'agent1': 'agent1 ', 'mug_bar_1': 'mug 2', 'mug_bar_2': 'mug 1', \
'sink_bar_3_bar_sinkbasin': 'sinkbasin 1'}
    """
    ordered = sorted(ids)
    left = Counter(_kind(id_.split("_bar_", 1)[0], id_) for id_ in ordered if "_bar_" in id_)
    names = {}
    for id_ in ordered:
        text = id_
        for escape, character in _ESCAPES.items():
            text = text.replace(escape, character)
        kind, bar, _ = text.partition("|")
        if not bar:
            names[id_] = f"{text} "
            continue
        kind = _kind(kind, id_)
        if not left[kind]:
            raise GameError(f"object {id_!r} has a kind that cannot be numbered")
        names[id_] = f"{kind} {left[kind]}"
        left[kind] -= 1
    return names


def _kind(kind: str, id_: str) -> str:
    return f"{kind}basin" if "basin" in id_ else kind


def entities(types: Mapping[str, str]) -> dict[str, Entity]:
    """An entity for every object, given id -> type."""
    return {id_: Entity(id_, types[id_], name) for id_, name in display_names(types).items()}
