"""`ludus/FileQA-v1`: anybody's questions over anybody's corpus."""

import os
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from ludus.envs.definition import like, one_of
from ludus.envs.task import Rows, Task, TaskSet, content_split
from ludus.envs.tasks.rows import Row, read_rows
from ludus.envs.tasks.scoring import normalize
from ludus.envs.tasks.search_qa import QA_PARAMS, SearchQA
from ludus.tools.calls import ToolCall
from ludus.tools.search import Document, Hit, Index

KEPT_CONTEXTS = 16


class FileQA(SearchQA):
    """Questions to be answered by searching, and their corpus, from files.

    Rows are HotpotQA's (`question`, `answer`, `supporting_facts`, `context`) or Search-R1's and
    FlashRAG's (`question`, `golden_answers`); `answers`, a list as `answer`, and `answer_aliases`
    do as well. A task holds its whole row.

    Parameters, beside those of `SearchQA`:
        data: A file of rows, JSON lines or a JSON list; its questions fall into splits by their
            words, 8 of 10 to train. Or a folder with `train.jsonl`, `valid.jsonl`, `test.jsonl`
            (or `.json`).
        corpus: A file as `Index.open` reads it. Without one, a question is searched for in the
            paragraphs of its own `context`.
        results: Documents that a search shows where the agent does not say how many.
    """

    ENV_ID = "ludus/FileQA-v1"
    SPLIT_BY = "content"
    PARAMS: ClassVar[Mapping[str, Any]] = {**QA_PARAMS, "data": "", "corpus": "", "results": 3}

    def __init__(self, **settings: Any) -> None:
        self._context: tuple[tuple[str, str], ...] = (("", "nothing"),)
        self._support: tuple[str, ...] = ()
        super().__init__(**settings)
        self._base_names -= {"_context", "_support"}  # state of the episode
        self.tasks(self.split, **self.params)  # tell of missing data now

    def _setup(self, task: Task, rng: random.Random) -> None:
        row = task.params
        self._context = tuple((title, text) for title, text in row["context"])
        self._support = tuple(row["support"])
        if not self.params["corpus"]:
            self._library = None
        answer, *aliases = row["answers"]
        self._ask(row["question"], answer, aliases)

    def _corpus(self) -> tuple[Index, int]:
        if path := self.params["corpus"]:
            return _opened(*_version(path)), self.params["results"]
        return _of(self._context), self.params["results"]

    @classmethod
    def tasks(cls, split: str = "train", **params: Any) -> TaskSet:
        """The questions of a split, as many as there are."""
        one_of("split", split, cls.SPLITS)
        data, corpus = params.get("data", ""), params.get("corpus", "")
        like("data", data, "questions.jsonl")
        like("corpus", corpus, "corpus.jsonl")
        own = {"search", "open"} & set(params.get("tools", cls.PARAMS["tools"]))
        rows = _rows(data, split)
        if own and not corpus:
            for number, row in enumerate(rows, 1):
                if not row["context"]:
                    raise ValueError(
                        f"{data}: question {number} of split {split!r} has no context to search, "
                        "set corpus= to a file of documents"
                    )
        if corpus:
            rows = [{**row, "context": []} for row in rows]
        return Rows(cls.ENV_ID, split, rows)

    def _needed(self, seat: str) -> Sequence[ToolCall]:
        seen = self._results(seat)
        answers = [normalize(text) for text in (self._answer, *self._aliases)]
        index, k = self._corpus()
        calls: list[ToolCall] = []
        for query in self._support or (self._question,):
            hits = index.search(query, k)
            if self._support:
                wanted = [hit for hit in hits if hit.document.title == query]
            else:  # the first that says it, if one does
                says = [any(a in normalize(hit.document.text) for a in answers) for hit in hits]
                wanted = [hit for hit, right in zip(hits, says, strict=True) if right] or hits
            for hit in wanted[:1]:
                calls += _to_read(hit, ToolCall("search", {"query": query}), seen)
        return calls


def _to_read(wanted: Hit, search: ToolCall, seen: str) -> list[ToolCall]:
    """The calls after which a document has been shown whole; none if it has been."""
    found = wanted.document
    listed, whole = f"[{found.id}] {found.title}", f"{found.title}\n{found.text}"
    short = " ".join(found.text.split()) == wanted.snippet
    if whole in seen or (short and f"{listed}\n{wanted.snippet}" in seen):
        return []
    read = [] if short else [ToolCall("open", {"id": found.id})]
    return read if listed in seen and read else [search, *read]


def _rows(data: str, split: str) -> list[Row]:
    if not data:
        raise ValueError(
            "ludus/FileQA-v1 needs questions: set data= to a file of JSON lines with question and "
            "answer (ludus/HopQA-v1 needs no data)"
        )
    if not os.path.isdir(data):
        rows = [row for row in read_rows(data, understood) if _split_of(row) == split]
        if not rows:
            raise ValueError(f"{data} has no questions of split {split!r}: the file is too small")
        return rows
    for name in (f"{split}.jsonl", f"{split}.json"):
        if (Path(data) / name).is_file():
            return list(read_rows(Path(data) / name, understood))
    raise ValueError(f"{data} has no {split}.jsonl")


def _split_of(row: Row) -> str:
    return content_split("question", normalize(row["question"]))


def understood(row: Row) -> Row:
    """A row as tasks have it: question, answers, support (titles), context ([title, text] each).

    Raises:
        ValueError, KeyError: If it is none.
    """
    question = row["question"]
    if not isinstance(question, str) or not question.strip():
        raise ValueError("question must be a text")
    name = next((n for n in ("golden_answers", "answers", "answer") if n in row), "")
    if not name:
        raise KeyError("answer")
    answers = _texts(name, row[name]) + _texts("answer_aliases", row.get("answer_aliases", []))
    if not any(normalize(text) for text in answers):
        raise ValueError(f"{name} has no words")
    return {
        "question": question.strip(),
        "answers": list(dict.fromkeys(text for text in answers if normalize(text))),
        "support": list(dict.fromkeys(_titles(row.get("supporting_facts", [])))),
        "context": _paragraphs(row.get("context", [])),
    }


def _texts(name: str, value: Any) -> list[str]:
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str | int | float) for text in found):
        raise ValueError(f"{name} must be a text or a list of texts")
    return [str(text).strip() for text in found]


def _titles(facts: Any) -> Iterable[str]:
    """Of HotpotQA's own file, [title, sentence] each, or of its copy in columns."""
    if isinstance(facts, dict):
        return _texts("supporting_facts", facts["title"])
    if not isinstance(facts, list) or not all(isinstance(f, list) and f for f in facts):
        raise ValueError("supporting_facts must be a list of [title, sentence]")
    return [str(fact[0]) for fact in facts]


def _paragraphs(context: Any) -> list[list[str]]:
    if isinstance(context, dict):
        context = list(map(list, zip(context["title"], context["sentences"], strict=True)))
    pairs = isinstance(context, list) and all(isinstance(p, list) for p in context)
    if not pairs or any(len(p) != 2 for p in context):
        raise ValueError("context must be a list of [title, sentences]")
    return [
        [str(title), " ".join(" ".join(_texts("sentences", text)).split())]
        for title, text in context
    ]


@lru_cache(maxsize=KEPT_CONTEXTS)
def _of(context: tuple[tuple[str, str], ...]) -> Index:
    return Index.of(Document(str(n), *paragraph) for n, paragraph in enumerate(context, 1))


def _version(path: str) -> tuple[str, int, int]:
    try:
        stat = os.stat(path)
    except OSError as error:
        raise ValueError(f"corpus {path}: {error.strerror}") from error
    return path, stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=4)
def _opened(path: str, changed: int, size: int) -> Index:
    return Index.open(path)
