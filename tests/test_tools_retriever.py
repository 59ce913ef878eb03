"""The HTTP retriever, both ends: our server asked as Search-R1's client asks, our client against
servers that misbehave in every way we could think of."""

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("bm25s")

from ludus.envs.toolenv import with_tools
from ludus.tools import find_tool
from ludus.tools.calls import ToolCall
from ludus.tools.retriever import MAX_REQUEST, SearchServer, Unreachable, retriever_tool
from ludus.tools.search import Document, Index, search_tools

sys.path.insert(0, str(Path(__file__).parent))
from interruptible import interrupted, ludus_server

DOCUMENTS = [
    Document("a", "Ada", "Ada wrote the first program."),
    Document("b", "Babbage", "Babbage designed engines. " + "And more. " * 60),
    Document("c", "Cats", "Cats purr.\nAnd sleep."),
]


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/retrieve"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def url() -> Iterator[str]:
    with serving(SearchServer(Index.of(DOCUMENTS))) as at:
        yield at


def post(url: str, body: bytes) -> tuple[int, Any]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_shape_is_search_r1s(url: str) -> None:
    # The payload of Search-R1's retrieval_request.py.
    asked = {"queries": ["first program", "cats", "zebra"], "topk": 2, "return_scores": True}
    status, answer = post(url, json.dumps(asked).encode())
    assert status == 200
    first, cats, none = answer["result"]
    assert first[0]["document"] == {"id": "a", "contents": '"Ada"\nAda wrote the first program.'}
    assert first[0]["score"] > 0
    assert cats[0]["document"]["contents"] == '"Cats"\nCats purr.\nAnd sleep.'
    assert none == []
    asked["return_scores"] = False
    _, plain = post(url, json.dumps(asked).encode())
    assert plain["result"][0][0] == first[0]["document"]
    assert len(post(url, b'{"queries": ["and"]}')[1]["result"][0]) == 2


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "Expecting"),
        (b"[1]", 400, "JSON object"),
        (b'{"queries": "x"}', 400, "list of texts"),
        (b'{"queries": ["x"], "topk": 0}', 400, "topk"),
        (b'{"queries": ["x"], "topk": "3"}', 400, "topk"),
        (b"[" * 100_000, 400, ""),
        (b'{"queries": ["' + b"\xff" + b'"]}', 400, "utf-8"),
        (b" " * (MAX_REQUEST + 1), 413, "bytes"),
        (json.dumps({"queries": ["x"] * 300}).encode(), 400, "at most 256"),
    ],
)
def test_bad_requests_are_told(url: str, body: bytes, status: int, words: str) -> None:
    got, answer = post(url, body)
    assert got == status
    assert words in answer["error"]
    assert post(url, b'{"queries": ["cats"]}')[0] == 200


def test_other_paths_and_silent_clients(url: str) -> None:
    assert post(url.replace("retrieve", "index"), b"{}")[0] == 404
    host, port = url.split("/")[2].split(":")
    with socket.create_connection((host, int(port))) as silent:
        silent.sendall(b"POST /retrieve HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        assert post(url, b'{"queries": ["cats"]}')[0] == 200  # others are served
    with urllib.request.urlopen(url.rpartition("/")[0] + "/", timeout=10) as answer:
        assert json.load(answer)["documents"] == 3


def test_many_at_a_time(url: str) -> None:
    tool = retriever_tool(url)
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(tool.call({"query": "cats"}).text))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(texts) == 16
    assert len(set(texts)) == 1


def test_the_tool_says_what_the_local_one_says(url: str) -> None:
    local, _ = search_tools(Index.of(DOCUMENTS))
    remote = find_tool(f"search:{url}")
    assert remote.parameters == local.parameters
    for args in ({"query": "first program"}, {"query": "more engines", "k": 1}, {"query": "zebra"}):
        assert remote.call(args).text == local.call(args).text
    assert remote.call({"query": "x", "k": 50}).text == "search: k must be from 1 to 20, got 50"
    env = with_tools("ludus/GuessNumber-v1", tools=[f"search:{url}"])
    env.reset(seed=0)
    obs, *_ = env.step(env.call_format.write(ToolCall("search", {"query": "purr"})))
    assert "[c] Cats" in obs


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def answering(
    *answers: Callable[[BaseHTTPRequestHandler], None],
) -> Iterator[tuple[str, list[Any]]]:
    """A server of our own that gives these answers, one a request, the last again and again."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answers[min(len(asked), len(answers)) - 1](self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving(HTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield url, asked


def says(status: int, body: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def sleeps(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.6)


def drips(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(20):
        try:
            handler.wfile.write(b" ")
        except OSError:
            return
        time.sleep(0.05)


def drops(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n{}")


GOOD = says(200, b'{"result": [[{"document": {"contents": "\\"T\\"\\nhello there"}, "score": 1}]]}')


@pytest.mark.parametrize(
    ("answer", "words", "tries"),
    [
        (says(422, b"no"), "the server says 422", 1),
        (says(500, b"no"), "the server says 500", 2),
        (says(200, b"not json"), "cannot be read", 2),
        (says(200, b"{}"), "not of the shape", 1),
        (says(200, b'{"result": [[{"document": {}}]]}'), "not of the shape", 1),
        (says(200, b'{"result": [[], []]}'), "not of the shape", 1),
        (sleeps, "no answer in 0.3 s", 2),
        (drips, "no answer in 0.3 s", 2),
        (drops, "cannot be read", 2),
    ],
)
def test_what_goes_wrong_is_told(answer: Any, words: str, tries: int) -> None:
    with answering(answer) as (url, asked):
        start = time.monotonic()
        result = retriever_tool(url, seconds=0.3, attempts=2, wait=0.01).call({"query": "x"})
        assert time.monotonic() - start < 3
    assert result.error
    assert words in result.text
    assert asked == [{"queries": ["x"], "topk": 3, "return_scores": True}] * tries


def test_a_second_attempt_helps() -> None:
    with answering(says(503, b""), drops, GOOD) as (url, asked):
        result = retriever_tool(url, wait=0.01).call({"query": "hello"})
    assert (result.text, result.error) == ("[0] T\nhello there", False)
    assert len(asked) == 3


def test_a_server_that_is_gone_is_no_agents_mistake() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        tool = retriever_tool(f"http://127.0.0.1:{taken.getsockname()[1]}/retrieve", wait=0.01)
        with pytest.raises(Unreachable, match="no retriever at"):
            tool.call({"query": "x"})
    with pytest.raises(ValueError, match="http://"):
        retriever_tool("127.0.0.1:80")


def test_the_command_serves_until_it_is_stopped(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "7", "title": "Cats", "text": "purr"}\n')
    command = [sys.executable, "-m", "ludus.cli"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with ludus_server("serve-search", "--corpus", str(corpus), "--port", "0", **pipes) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            assert line.startswith("1 documents at http://127.0.0.1:")
            url = line.split()[3].rstrip(";")
            done = subprocess.run(
                [*command, "tool", "search", "--corpus", url, "purr"],
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.stdout == "[7] Cats\npurr\n", done.stderr
            port = url.split(":")[2].partition("/")[0]
            taken = subprocess.run(
                [*command, "serve-search", "--corpus", str(corpus), "--port", port],
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert taken.returncode == 2
            assert "cannot listen on 127.0.0.1" in taken.stderr
        finally:
            status = interrupted(server)
        assert status == 130
