"""`ludus/HopQA-v1`: questions over several articles of a made-up world, found by searching."""

import itertools
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from ludus.envs.task import Task
from ludus.envs.tasks.hop_question import Hop, Question, make_question
from ludus.envs.tasks.hop_world import Size, make_world, size_of
from ludus.envs.tasks.search_qa import QA_PARAMS, SearchQA
from ludus.tools.calls import ToolCall
from ludus.tools.search import Index

KEPT_WORLDS = 16
"""Worlds kept for whoever asks next. An environment keeps its own."""


_Key = tuple[int, str, tuple[int, ...], Size]
"""Seed, split, numbers of hops to draw from, size: all that decides a world and its question."""


class HopQA(SearchQA):
    """Questions over several articles of a made-up world, to be found by searching.

    Every task has a world, and so a corpus, of its own: nothing can be known by heart.

    Parameters, beside those of `SearchQA`:
        hops: Articles that have to be read, one after the other, 1 to 4; or a list to draw from.
        size: A key of `SIZES`: "tiny", for models of a million parameters, to "large".
        people, towns, books, namesakes, aliases, filler: As in `Size`, where it should differ.
    """

    ENV_ID = "ludus/HopQA-v1"
    SPLIT_BY = "content"
    PARAMS: ClassVar[Mapping[str, Any]] = {
        **QA_PARAMS, "hops": 2, "size": "small", "people": None, "towns": None, "books": None,
        "namesakes": None, "aliases": None, "filler": None,
    }  # fmt: skip

    def __init__(self, **settings: Any) -> None:
        # A world before the first, so that tools and bad parameters are known from the start.
        params = {**self.PARAMS, **{k: v for k, v in settings.items() if k in self.PARAMS}}
        self._world = _key(0, "train", params)
        super().__init__(**settings)

    def _setup(self, task: Task, rng: random.Random) -> None:
        split = task.split if task.split in self.SPLITS else "train"
        self._world = _key(task.seed, split, {**self.PARAMS, **task.params})
        self._library = None
        question = _drawn(*self._world)[1]
        self._ask(question.text, question.answer, question.aliases)

    def _corpus(self) -> tuple[Index, int]:
        return _drawn(*self._world)[0], self._world[3].results

    def _needed(self, seat: str) -> Sequence[ToolCall]:
        seen = self._results(seat).split("\n")
        calls: list[ToolCall] = []
        for hop in _drawn(*self._world)[1].hops:
            calls += self._calls_for(hop, seen)
        return calls

    def _calls_for(self, hop: Hop, seen: Sequence[str]) -> list[ToolCall]:
        """What is still to be done for one hop, given the lines of all results."""
        listed = f"[{hop.id}] {hop.title}"
        for head, body in itertools.pairwise(seen):  # of an article: its title, then its text
            if head in (listed, hop.title) and hop.evidence in body:
                return []
        search, read = ToolCall("search", {"query": hop.subject}), ToolCall("open", {"id": hop.id})
        if listed in seen:
            return [read]
        snippet = _found(*self._corpus(), hop)
        return [search] if hop.evidence in snippet else [search, read]


def _key(
    seed: int, split: str, params: Mapping[str, Any]
) -> tuple[int, str, tuple[int, ...], Size]:
    hops = params["hops"]
    choices = tuple(hops) if isinstance(hops, list | tuple) else (hops,)
    if not choices or any(type(n) is not int or not 1 <= n <= 4 for n in choices):
        raise ValueError(f"hops must be from 1 to 4, or a list of such numbers, got {hops!r}")
    return seed, split, choices, size_of(params)


@lru_cache(maxsize=KEPT_WORLDS)
def _drawn(seed: int, split: str, hops: tuple[int, ...], size: Size) -> tuple[Index, Question]:
    rng = random.Random(seed)
    world, length = make_world(rng, split, size), rng.choice(hops)
    index = Index.of(world.documents)
    while True:
        question = make_question(rng, world, length)
        # A name that many others mention may not lead to its own article; few questions go there.
        if all(_found(index, size.results, hop) for hop in question.hops):
            return index, question


def _found(index: Index, k: int, hop: Hop) -> str:
    """What a search for the subject shows of its article; "" if it is not among the first k."""
    hits = index.search(hop.subject, k)
    return next((hit.snippet for hit in hits if hit.document.id == hop.id), "")
