"""Search over HTTP, in the shape that Search-R1's servers speak: a client, and a server.

    POST /retrieve {"queries": ["..."], "topk": 3, "return_scores": true}
    {"result": [[{"document": {"id": "7", "contents": "\\"Title\\"\\nText"}, "score": 1.5}]]}

Without `return_scores` the documents stand alone. Source: Jin et al. 2025 (Search-R1),
arXiv:2503.09516, and its retrieval server.
"""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

from ludus.tools.base import Tool, ToolError
from ludus.tools.search import Document, Hit, Index, document_of, search_tool, snippet, words

MAX_REQUEST, MAX_ANSWER = 1 << 20, 8 << 20
"""Bytes."""
MAX_QUERIES = 256
MAX_CALLS = 64
"""Requests that the server works on at a time; more are told to come again."""


class Unreachable(ConnectionError):  # noqa: N818  # reads as what it is
    """Nobody answers at an address. No agent's mistake, so no result: the episode is left out."""


def retriever_tool(
    url: str, *, k: int = 3, seconds: float = 10.0, attempts: int = 3, wait: float = 0.2
) -> Tool:
    """`search` by a server. What goes wrong with a query is told to the agent; a server that
    cannot be reached is nobody's move, and raises `Unreachable`.

    Args:
        url: Where to post, such as "http://127.0.0.1:8000/retrieve".
        k: Results, where the agent does not say how many.
        seconds: Of an attempt, all of its answer.
        attempts: How often it is tried; bad requests once.
        wait: Seconds before the second attempt; doubles from then on.

    Raises:
        ValueError: If the address is none, or there are no attempts.
    """
    if attempts < 1:
        raise ValueError(f"attempts must be at least 1, got {attempts}")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"a retriever's address begins with http:// or https://, got {url!r}")

    def find(query: str, k: int) -> list[Hit]:
        asked = {"queries": [query], "topk": k, "return_scores": True}
        for left in reversed(range(attempts)):
            try:
                return _hits(_post(url, asked, seconds), query)[:k]
            except _Failed as failed:
                if not left or not failed.again:
                    raise failed.told from None
                time.sleep(wait * 2 ** (attempts - 1 - left))
        raise AssertionError("attempts is at least 1")

    return search_tool(find, k=k)


class _Failed(Exception):  # noqa: N818  # never leaves this file
    """An attempt that came to nothing."""

    def __init__(self, told: Exception, *, again: bool = True) -> None:
        self.told, self.again = told, again


# Not through a proxy of the environment: a retriever is a machine nearby.
_OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _post(url: str, asked: Mapping[str, Any], seconds: float) -> Any:
    request = urllib.request.Request(
        url, json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    late = _Failed(ToolError(f"search: no answer in {seconds:g} s"))
    try:
        with _OPEN.open(request, timeout=seconds) as answer:
            return json.loads(_read(answer, time.monotonic() + seconds))
    except urllib.error.HTTPError as error:
        error.close()
        told = ToolError(f"search: the server says {error.code} {error.reason}")
        raise _Failed(told, again=error.code >= 500 or error.code == 429) from None
    except TimeoutError:
        raise late from None
    except (HTTPException, ValueError) as error:
        raise _Failed(ToolError(f"search: the answer cannot be read: {error}")) from None
    except OSError as error:  # refused, no such host, dropped
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise late from None
        raise _Failed(Unreachable(f"no retriever at {url}: {reason}")) from None


def _read(answer: HTTPResponse, end: float) -> bytes:
    """All of an answer, however slowly it comes."""
    parts, size = [], 0
    while part := answer.read1(1 << 16):
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER:
            raise ValueError(f"longer than {MAX_ANSWER} bytes")
        if time.monotonic() > end:
            raise TimeoutError
    if answer.length:  # `read1` ends quietly where the line was cut
        raise ValueError(f"{answer.length} bytes are missing")
    return b"".join(parts)


def _hits(answer: Any, query: str) -> list[Hit]:
    try:
        (rows,) = answer["result"]
        hits = []
        for number, row in enumerate(rows):
            found = document_of(row.get("document", row), str(number))
            hits.append(Hit(found, float(row.get("score", 0.0)), snippet(found, words(query))))
        return hits
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"search: the answer is not of the shape of Search-R1's servers ({error!r})"
        raise _Failed(ToolError(problem), again=False) from None


class SearchServer(ThreadingHTTPServer):
    """Serves an index at /retrieve. `serve_forever` until `shutdown`; then `server_close`.

    Args:
        index: What is searched.
        host, port: Where it listens; port 0 takes a free one, see `server_port`.
        k: Results, where a request does not say how many.
    """

    daemon_threads = True

    def __init__(self, index: Index, host: str = "127.0.0.1", port: int = 0, *, k: int = 3) -> None:
        self.index, self.k = index, k
        self._room = threading.BoundedSemaphore(MAX_CALLS)
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or at once where too many are at work."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        assert isinstance(request, socket)
        request.sendall(b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n")
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread's work."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to tell of."""

    def answer(self, asked: Any) -> Mapping[str, Any]:
        """What a request gets.

        Raises:
            ValueError: If it is not of the shape; the message names what is wrong.
        """
        if not isinstance(asked, dict):
            raise ValueError("the body must be a JSON object")
        queries, topk = asked.get("queries"), asked.get("topk", self.k)
        if not isinstance(queries, list) or not all(isinstance(q, str) for q in queries):
            raise ValueError("queries must be a list of texts")
        if len(queries) > MAX_QUERIES:
            raise ValueError(f"at most {MAX_QUERIES} queries, got {len(queries)}")
        topk = self.k if topk is None else topk
        if type(topk) is not int or not 1 <= topk <= MAX_QUERIES:
            raise ValueError(f"topk must be from 1 to {MAX_QUERIES}, got {topk!r}")
        scores = bool(asked.get("return_scores", False))
        return {"result": [_rows(self.index.search(q, topk), scores) for q in queries]}


def _rows(hits: Sequence[Hit], scores: bool) -> list[dict[str, Any]]:
    documents = [_row(hit.document) for hit in hits]
    if not scores:
        return documents
    return [
        {"document": document, "score": hit.score}
        for document, hit in zip(documents, hits, strict=True)
    ]


def _row(document: Document) -> dict[str, Any]:
    return {"id": document.id, "contents": f'"{document.title}"\n{document.text}'}


class _Handler(BaseHTTPRequestHandler):
    timeout = 30.0  # seconds that a client may be silent
    server: SearchServer

    def do_GET(self) -> None:  # the name is http.server's
        """How many documents there are."""
        self._send(200, {"documents": len(self.server.index.documents), "search": "/retrieve"})

    def do_POST(self) -> None:
        """Search."""
        if self.path.rstrip("/") != "/retrieve":
            return self._send(404, {"error": "POST to /retrieve"})
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self._send(411, {"error": "Content-Length is missing"})
        if int(length) > MAX_REQUEST:
            return self._send(413, {"error": f"at most {MAX_REQUEST} bytes"})
        try:
            answer = self.server.answer(json.loads(self.rfile.read(int(length))))
        except (ValueError, RecursionError) as error:
            return self._send(400, {"error": str(error)})
        return self._send(200, answer)

    def _send(self, status: int, answer: Mapping[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""
