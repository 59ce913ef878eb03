"""A search engine for agents: BM25 over a corpus of documents, the same answer every time.

A corpus is JSON lines with `id`, `title` and `text` (or `contents`, as Search-R1's corpora have
them), or a text file of paragraphs with empty lines between. The index is built once and kept
beside the corpus, named by its hash; from then on it is mapped into memory.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ludus.tools.base import Tool, ToolError, tool

logging.getLogger("bm25s").addFilter(lambda record: record.levelno > logging.DEBUG)
"""It logs every index that is built, and turns its own level down to do so."""

_WORD = re.compile(r"\w+")
_SNIPPET_WORDS = 40
MOST = 20
"""Documents that a search may ask for."""
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Document:
    """One entry of a corpus."""

    id: str
    title: str
    text: str


def read_corpus(path: str) -> list[Document]:
    """The documents of a file.

    Raises:
        ValueError: If a line is no document, or two have one id.
    """
    try:
        content = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = Path(path).read_bytes().count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path} line {line} is not UTF-8: {error.reason}") from None
    if content.lstrip().startswith("{"):
        documents = [
            _document(path, line, number)
            for number, line in enumerate(content.split("\n"), 1)
            if line.strip()
        ]
    else:
        parts = [part.strip() for part in re.split(r"\n\s*\n", content) if part.strip()]
        documents = [
            Document(str(i), part.partition("\n")[0][:80], part) for i, part in enumerate(parts)
        ]
    if not documents:
        raise ValueError(f"{path} has no documents")
    return documents


def document_of(row: Mapping[str, Any], id: str) -> Document:
    """The document of a row of a corpus or of a retriever's answer.

    Args:
        row: With `text` or `contents`; `title` and `id` may be missing.
        id: Where it has none.
    """
    text = str(row["text"] if "text" in row else row["contents"])
    title = row.get("title")
    if title is None:  # Search-R1: the title, in quotes, is the first line
        first, _, rest = text.partition("\n")
        title, text = (first.strip('"'), rest) if rest else (text[:80], text)
    return Document(str(row.get("id", id)), str(title), text)


def _document(path: str, line: str, number: int) -> Document:
    try:
        return document_of(json.loads(line), str(number - 1))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} line {number} is no document: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found."""

    document: Document
    score: float
    snippet: str


def words(text: str) -> list[str]:
    """What is searched for: words in lower case."""
    return _WORD.findall(text.lower())


class Index:
    """BM25 over documents. Build by `of` or, from a file, by `open`.

    Ties go to the document that comes first in the corpus.
    """

    def __init__(self, documents: Sequence[Document], scores: Any) -> None:
        self.documents, self._scores = documents, scores
        self._places = {document.id: i for i, document in enumerate(documents)}
        if len(self._places) != len(documents):
            raise ValueError("two documents of the corpus have one id")

    @classmethod
    def of(cls, documents: Iterable[Document]) -> "Index":
        """Build an index in memory."""
        kept = list(documents)
        return cls(kept, _build(kept))

    @classmethod
    def open(cls, path: str, *, cache: str | None = None) -> "Index":
        """The index of a corpus file; built when there is none for its content yet.

        Args:
            path: The corpus.
            cache: Folder for indexes; by default `.ludus-index` beside the corpus.
        """
        import bm25s

        digest = hashlib.blake2b(Path(path).read_bytes(), digest_size=12).hexdigest()
        folder = Path(cache or Path(path).resolve().parent / ".ludus-index")
        place = folder / f"{digest}-{_VERSION}"
        documents = read_corpus(path)
        if not place.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            made = tempfile.mkdtemp(dir=folder)
            _build(documents).save(made, show_progress=False)
            try:
                os.rename(made, place)  # whole or not at all
            except OSError:  # somebody else was faster
                shutil.rmtree(made)
        return cls(documents, bm25s.BM25.load(str(place), mmap=True))

    def search(self, query: str, k: int = 3) -> list[Hit]:
        """The k best documents with any word of the query, best first."""
        import numpy as np

        asked = [word for word in dict.fromkeys(words(query)) if word in self._scores.vocab_dict]
        if not asked:
            return []
        scores = self._scores.get_scores(asked)
        k = min(k, len(self.documents))
        # Everything that ties with the k-th is a candidate; the first in the corpus win.
        least = np.partition(scores, -k)[-k]
        candidates = np.flatnonzero((scores >= least) & (scores > 0))
        best = sorted(candidates.tolist(), key=lambda place: (-scores[place], place))[:k]
        return [
            Hit(self.documents[place], float(scores[place]), snippet(self.documents[place], asked))
            for place in best
        ]

    def get(self, id: str) -> Document | None:
        """The document of an id."""
        place = self._places.get(id)
        return None if place is None else self.documents[place]


def _build(documents: Sequence[Document]) -> Any:
    import bm25s

    vocabulary: dict[str, int] = {}
    ids = [
        [vocabulary.setdefault(word, len(vocabulary)) for word in words(f"{d.title} {d.text}")]
        for d in documents
    ]
    if not vocabulary:
        raise ValueError("no document of the corpus has a word")
    scores = bm25s.BM25()
    scores.index(bm25s.tokenization.Tokenized(ids=ids, vocab=vocabulary), show_progress=False)
    return scores


def snippet(document: Document, asked: Sequence[str]) -> str:
    """The part of a text with most of the words."""
    parts = document.text.split()
    if len(parts) <= _SNIPPET_WORDS:
        return " ".join(parts)
    wanted = set(asked)
    hits = [any(word in wanted for word in words(part)) for part in parts]
    count = best = sum(hits[:_SNIPPET_WORDS])
    start = 0
    for i in range(_SNIPPET_WORDS, len(parts)):
        count += hits[i] - hits[i - _SNIPPET_WORDS]
        if count > best:
            best, start = count, i - _SNIPPET_WORDS + 1
    shown = " ".join(parts[start : start + _SNIPPET_WORDS])
    before = "... " if start else ""
    return before + shown + (" ..." if start + _SNIPPET_WORDS < len(parts) else "")


def show(hits: Sequence[Hit]) -> str:
    """Hits as agents are shown them."""
    if not hits:
        return "nothing found"
    return "\n".join(f"[{hit.document.id}] {hit.document.title}\n{hit.snippet}" for hit in hits)


def search_tool(find: Callable[[str, int], Sequence[Hit]], *, k: int = 3) -> Tool:
    """`search`, over whatever can be searched.

    Args:
        find: The best hits for (query, how many).
        k: Results, where the agent does not say how many.
    """

    @tool(name="search")
    def search(query: str, k: int = k) -> str:
        """Search the corpus; returns the best documents with their ids, titles and the part that
        fits the query.

        Args:
            query: Words to look for.
            k: How many documents, at most 20.
        """
        if not 1 <= k <= MOST:
            raise ToolError(f"search: k must be from 1 to {MOST}, got {k}")
        return show(find(query, k))

    return search


def search_tools(index: Index, *, k: int = 3) -> tuple[Tool, Tool]:
    """`search` and `open`, over an index.

    Args:
        index: Where to look.
        k: Results, where the agent does not say how many.
    """

    @tool(name="open")
    def open_document(id: str) -> str:
        """Read a whole document.

        Args:
            id: As search gave it.
        """
        document = index.get(id)
        if document is None:
            raise ToolError(f"open: no document {id[:40]!r}")
        return f"{document.title}\n{document.text}"

    return search_tool(index.search, k=k), open_document
