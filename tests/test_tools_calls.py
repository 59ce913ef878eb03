"""Call formats, tools that remember, and search."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ludus.tools import Tool, ToolResult, find_tool, tool
from ludus.tools.calls import CALL_FORMATS, BadCall, ToolCall
from ludus.tools.python import kernel_tool, python_tool
from ludus.tools.sandbox import Limits, Sandbox, open_sandbox

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=60)


@tool
def python(code: str) -> str:
    """Run code."""
    return code


@tool
def search(query: str, k: int = 3) -> str:
    """Look up."""
    return query * k


TOOLS = [python, search]


@pytest.mark.parametrize("name", ["hermes", "json"])
@settings(max_examples=30)
@given(args=st.dictionaries(texts, st.recursive(st.none() | st.integers() | texts, st.lists)))
def test_what_is_written_is_read(name: str, args: Mapping[str, Any]) -> None:
    form = CALL_FORMATS[name]
    assert form.read(form.write(ToolCall("python", args)), TOOLS) == ToolCall("python", args)
    assert form.read(f"Let me see.\n{form.write(ToolCall('x', args))}\n", TOOLS) is not None


@pytest.mark.parametrize("name", ["fence", "tags"])
@pytest.mark.parametrize("code", ["print(1)", "if x:\n    f()\n\ng()", "a < b > c", "é"])
def test_a_text_argument_is_read_as_it_was_written(name: str, code: str) -> None:
    form, call = CALL_FORMATS[name], ToolCall("python", {"code": code})
    assert form.read(f"So: {form.write(call)} then", TOOLS) == call


@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [
        ("hermes", "no call", None),
        ("hermes", '<think><tool_call>{"name": "x"}</tool_call></think> 42', None),
        ("hermes", "<think>never ends <tool_call>", None),
        ("hermes", '<tool_call>{"name": "python"}</tool_call>', ToolCall("python", {})),
        (
            "hermes",
            '<tool_call>{"name": "python", "arguments": "{\\"code\\": \\"1\\"}"}</tool_call>',
            ToolCall("python", {"code": "1"}),
        ),
        (
            "tags",
            "<search>cats</search> <python>1</python>",
            ToolCall("search", {"query": "cats"}),
        ),
        ("fence", "```json\n{}\n```\n```python\n1\n```", ToolCall("python", {"code": "1"})),
        ("fence", "```\n1\n```", None),
    ],
)
def test_reading(name: str, reply: str, expected: ToolCall | None) -> None:
    assert CALL_FORMATS[name].read(reply, TOOLS) == expected


@pytest.mark.parametrize(
    ("name", "reply", "words"),
    [
        ("hermes", "<tool_call>{}", "without </tool_call>"),
        ("hermes", "<tool_call>{oops}</tool_call>", "must hold JSON"),
        ("hermes", "<tool_call>[1]</tool_call>", '"name"'),
        ("hermes", '<tool_call>{"name": 3}</tool_call>', '"name"'),
        ("json", '<tool>{"name": "x", "args": [1]}</tool>', "must be an object"),
        ("json", "<tool>" + "[" * 100_000 + "</tool>", "must hold JSON"),
        ("tags", "<python>1", "without </python>"),
        ("fence", "```python\n1", "without an end"),
    ],
)
def test_what_cannot_be_read_is_told(name: str, reply: str, words: str) -> None:
    with pytest.raises(BadCall, match=words):
        CALL_FORMATS[name].read(reply, TOOLS)


@pytest.mark.parametrize("name", CALL_FORMATS)
@given(text=st.text(max_size=100))
def test_any_text_is_read_or_told(name: str, text: str) -> None:
    for reply in (text, f"<tool_call>{text}</tool_call>", f"<python>{text}", f"```python\n{text}"):
        with contextlib.suppress(BadCall):
            call = CALL_FORMATS[name].read(reply, TOOLS)
            assert call is None or (isinstance(call.name, str) and isinstance(call.args, Mapping))


@pytest.mark.parametrize("name", CALL_FORMATS)
def test_rules_name_the_tools_and_results_cannot_leave_their_frame(name: str) -> None:
    form = CALL_FORMATS[name]
    assert all(one.name in form.explain(TOOLS) for one in TOOLS)
    end = form.show("0").partition("0")[2]
    assert form.show(f"0{end}0").count(end) == 1


# ---- tools that remember, time limits -----------------------------------------------------------


def test_a_snapshot_tool_is_given_its_memory() -> None:
    @tool(name="count", state="snapshot", max_chars=10)
    def counter(memory: int | None, word: str = "a") -> ToolResult:
        """Count calls."""
        now = (memory or 0) + 1
        return ToolResult(word * now, memory=now)

    assert counter.name == "count"
    assert "memory" not in counter.parameters["properties"]
    first = counter.call({})
    assert (first.text, first.memory) == ("a", 1)
    assert counter.call({}, first.memory).text == "aa"
    wrong = counter.call({"word": 3}, 5)
    assert wrong.error
    assert wrong.memory == 5
    assert counter.call({}, 20).text == "a" * 10 + "\n[cut off after 10 characters]"


def test_a_slow_tool_is_given_up() -> None:
    @tool(seconds=0.05)
    def slow(seconds: float) -> str:
        """Sleep."""
        if seconds < 0:
            raise RuntimeError("broken")
        time.sleep(seconds)
        return "done"

    assert slow.call({"seconds": 0}).text == "done"
    late = slow.call({"seconds": 1})
    assert (late.error, late.text) == (True, "slow: no answer in 0.05 s")
    with pytest.raises(RuntimeError):
        slow.call({"seconds": -1})


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox("subprocess", limits=Limits(seconds=1, output_chars=500)) as opened:
        yield opened


def test_the_python_tool_tells_what_came_of_it(sandbox: Sandbox) -> None:
    python = python_tool(sandbox)
    assert python.call({"code": "print(2)\n3"}).text == "2\n3"
    assert python.call({"code": "x = 1"}).text == "[no output]"
    failed = python.call({"code": "print(1)\n1/0"})
    assert failed.error
    assert failed.text.startswith("1\nTraceback")
    assert python.call({"code": "while True: pass"}).text == "[stopped: more than 1 s]"
    assert "exit status 3" in python.call({"code": "import os\nos._exit(3)"}).text
    assert "signal 9" in python.call({"code": "import os\nos.kill(os.getpid(), 9)"}).text
    assert python.call({"cod": "1"}).error


def test_the_kernel_forks_by_its_memory(sandbox: Sandbox) -> None:
    kernel = kernel_tool(sandbox)
    first = kernel.call({"code": "import random\nx = [random.random()]"})
    left = kernel.call({"code": "x.append(1)\nlen(x)"}, first.memory)
    right = kernel.call({"code": "x.append(2)\nx[1], len(x)"}, first.memory)
    assert (left.text, right.text) == ("2", "(2, 2)")
    again = [kernel.call({"code": "x[0]"}, memory.memory).text for memory in (left, right)]
    assert again[0] == again[1]
    assert "NameError" in kernel.call({"code": "x"}).text
    lost = kernel.call({"code": "while True: pass"}, left.memory)
    assert lost.error
    assert "starts anew" in lost.text
    assert "NameError" in kernel.call({"code": "x"}, lost.memory).text


def test_tools_by_name(tmp_path: Path) -> None:
    assert find_tool("kernel").state == "snapshot"
    with pytest.raises(ValueError, match="calculator, python"):
        find_tool("perl")
    pytest.importorskip("bm25s")
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("cats purr\n\ndogs bark")
    assert "purr" in find_tool(f"search:{corpus}").call({"query": "cats"}).text
    assert isinstance(find_tool(f"open:{corpus}"), Tool)


# ---- search -------------------------------------------------------------------------------------


def test_search_finds_ranks_and_breaks_ties_by_place(tmp_path: Path) -> None:
    pytest.importorskip("bm25s")
    from ludus.tools.search import Document, Index, search_tools

    documents = [Document(f"d{i}", f"Number {i}", "the same words here") for i in range(50)]
    documents.append(Document("cat", "Cats", "a cat is a cat " + "word " * 100 + "purring cat"))
    index = Index.of(documents)
    assert [hit.document.id for hit in index.search("purring cat", 3)] == ["cat"]
    assert [hit.document.id for hit in index.search("same words", 4)] == ["d0", "d1", "d2", "d3"]
    assert index.search("unknown", 3) == []
    assert index.search("", 3) == []
    assert "purring" in index.search("purring", 1)[0].snippet
    assert len(index.search("words", 1000)) == 50
    look, read = search_tools(index)
    assert look.call({"query": "cat"}).text.startswith("[cat] Cats\n")
    assert look.call({"query": "cat", "k": 0}).error
    assert look.call({"query": "zzz"}).text == "nothing found"
    assert read.call({"id": "d7"}).text == "Number 7\nthe same words here"
    assert read.call({"id": "none"}).error


def test_an_index_is_built_once_for_a_content(tmp_path: Path) -> None:
    pytest.importorskip("bm25s")
    from ludus.tools.search import Index, read_corpus

    corpus = tmp_path / "corpus.jsonl"
    rows = [
        {"id": "a", "title": "Ada", "text": "wrote programs"},
        {"id": 7, "contents": '"Babbage"\ndesigned engines'},
    ]
    corpus.write_text("\n".join(map(json.dumps, rows)))
    assert [d.title for d in read_corpus(str(corpus))] == ["Ada", "Babbage"]
    cache = tmp_path / "cache"
    first = Index.open(str(corpus), cache=str(cache))
    (place,) = cache.iterdir()
    stamp = place.stat().st_mtime_ns
    again = Index.open(str(corpus), cache=str(cache))
    assert place.stat().st_mtime_ns == stamp
    assert again.search("engines", 2) == first.search("engines", 2)
    assert again.search("engines", 1)[0].document.id == "7"
    corpus.write_text(corpus.read_text().replace("engines", "machines"))
    assert Index.open(str(corpus), cache=str(cache)).search("engines", 1) == []
    assert len(list(cache.iterdir())) == 2
    corpus.write_text('{"id": 1, "text": "x"}\n{"no": 1}')
    with pytest.raises(ValueError, match="line 2"):
        Index.open(str(corpus))
    corpus.write_text('{"id": 1, "text": "x"}\n{"id": 1, "text": "y"}')
    with pytest.raises(ValueError, match="one id"):
        Index.open(str(corpus))
