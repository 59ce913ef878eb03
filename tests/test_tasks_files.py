"""Tasks from files: FileQA over anybody's questions, GSM8K's own problems."""

import json
import os
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import ludus
from ludus.envs.tasks.gsm8k import problem
from ludus.envs.tasks.scoring import number_in
from ludus.testing import check_env
from ludus.tools.sandbox import SandboxError, open_sandbox

# The shape of a row of HotpotQA's distractor file, and of its copy in columns.
HOTPOT = {
    "_id": "5a8b57f25542995d1e6f1371",
    "question": "Who designed the engine that Ada described?",
    "answer": "Charles Babbage",
    "type": "bridge",
    "supporting_facts": [["Ada", 0], ["Analytical engine", 1]],
    "context": [
        ["Ada", ["Ada described the Analytical engine. ", "She was a countess."]],
        [
            "Analytical engine",
            ["Never built. ", "Charles Babbage designed it. " + "x " * 60],
        ],
        ["Cats", ["Cats purr."]],
    ],
}
COLUMNS = {
    **HOTPOT,
    "supporting_facts": {"title": ["Ada", "Analytical engine"], "sent_id": [0, 1]},
    "context": {
        "title": [title for title, _ in HOTPOT["context"]],
        "sentences": [sentences for _, sentences in HOTPOT["context"]],
    },
}
SEARCH_R1 = {"id": "test_0", "question": "who purrs", "golden_answers": ["Cats", "The cat"]}


def write(path: Path, rows: Sequence[Any]) -> str:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return str(path)


def folder(tmp_path: Path, *rows: Any) -> str:
    for split in ("train", "valid", "test"):
        write(tmp_path / f"{split}.jsonl", rows)
    return str(tmp_path)


@pytest.mark.parametrize("row", [HOTPOT, COLUMNS], ids=["list", "columns"])
def test_hotpot_brings_its_own_paragraphs(tmp_path: Path, row: Any) -> None:
    pytest.importorskip("bm25s")
    env = ludus.make("ludus/FileQA-v1", data=folder(tmp_path, row), results=2)
    env.reset(seed=0)
    said = []
    while env.acting:
        golden = env.golden()
        assert golden is not None
        assert golden.plan is not None
        said.append(golden.plan[0])
        *_, info = env.step(golden.plan[0])
    assert said == [
        "<search>Ada</search>", "<search>Analytical engine</search>", "<open>2</open>",
        "Charles Babbage",
    ]  # fmt: skip
    assert info["outcome"]["success"]
    replayed = type(env).from_replay(env.replay())
    assert replayed.state_hash() == env.state_hash()


def test_questions_over_a_corpus(tmp_path: Path) -> None:
    pytest.importorskip("bm25s")
    corpus = write(
        tmp_path / "corpus.jsonl",
        [
            {"id": "d1", "contents": '"Dogs"\nDogs bark and never purr, so who purrs?'},
            {"id": "d2", "contents": '"Cats"\nA cat purrs.'},
        ],
    )
    data = folder(tmp_path, SEARCH_R1, {"question": "who barks", "answer": ["dogs"]})
    env = ludus.make("ludus/FileQA-v1", data=data, corpus=corpus)
    assert len(env.tasks("test", **env.params)) == 2
    env.reset(options={"index": 0})
    golden = env.golden()
    assert golden is not None
    assert (golden.answer, golden.aliases) == ("Cats", ("The cat",))
    assert golden.plan == ("<search>who purrs</search>", "Cats")
    obs, *_ = env.step(golden.plan[0])
    assert "[d2] Cats\nA cat purrs." in obs
    assert env.golden().plan == ("Cats",)
    *_, info = env.step("a CAT!")
    assert info["outcome"]["success"]
    for split in ("valid", "test"):  # the checker wants splits apart
        row = {"question": f"who barks in {split}", "answer": ["dogs"]}
        write(tmp_path / f"{split}.jsonl", [row, SEARCH_R1 | {"question": f"purrs {split}"}])
    check_env(env, episodes=4).raise_for_failures()


def test_one_file_is_split_by_its_questions(tmp_path: Path) -> None:
    pytest.importorskip("bm25s")
    rows = [{**HOTPOT, "question": f"Question {i}?"} for i in range(200)]
    path = tmp_path / "all.json"
    path.write_text(json.dumps(rows))  # HotpotQA's own files are one list
    env = ludus.make("ludus/FileQA-v1", data=str(path))
    tasks = {split: env.tasks(split, **env.params) for split in env.SPLITS}
    asked = {split: {t.params["question"] for t in tasks[split]} for split in tasks}
    assert sum(map(len, asked.values())) == len(set().union(*asked.values())) == 200
    assert 140 < len(asked["train"]) < 180
    assert tasks["train"][3] == env.tasks("train", **env.params).head(5)[3]
    assert len(tasks["train"].shuffle(1, 10)) == 10


BAD: list[tuple[str, str]] = [
    ('{"question": "q", "answer": "x"}\n{"question": "q"}', "line 2: no answer"),
    ('\n{"question": "q", "answer": "x"', "line 2: Expecting"),
    ('{"answer": "x"}', "line 1: no question"),
    ('{"question": 3, "answer": "x"}', "line 1: question must be a text"),
    ('{"question": "q", "answer": {}}', "line 1: answer must be a text or a list of texts"),
    ('{"question": "q", "golden_answers": []}', "line 1: golden_answers has no words"),
    ('{"question": "q", "answer": "the"}', "line 1: answer has no words"),
    ("3", "line 1: a row is an object, not 3"),
    ('{"question": "q", "answer": "x", "supporting_facts": [1]}', "line 1: supporting_facts"),
    ('{"question": "q", "answer": "x", "supporting_facts": {}}', "line 1: no title"),
    ('{"question": "q", "answer": "x", "context": [["t"]]}', "line 1: context must be"),
    ('[{"question": "q"}]', "entry 1: no answer"),
    ("[" * 100_000, "data.jsonl: "),
    ("", "has no rows"),
    ('{"question": "q", "answer": "\udc80"}', "line 1: 'utf-8' codec"),
]


@pytest.mark.parametrize(("text", "words"), BAD, ids=range(len(BAD)))
def test_bad_files_are_told_by_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=re.escape(words)) as told:
        ludus.make("ludus/FileQA-v1", data=str(path), tools=[])
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    pytest.importorskip("bm25s")
    data = folder(tmp_path, SEARCH_R1)
    for options, words in (
        ({}, "needs questions: set data="),
        ({"data": str(tmp_path / "none.jsonl")}, "No such file"),
        ({"data": data}, "question 1 of split 'train' has no context to search, set corpus="),
        ({"data": data, "corpus": str(tmp_path / "none")}, "corpus .*none: No such file"),
        ({"data": str(tmp_path / "train.jsonl"), "tools": [], "split": "valid"}, "too small"),
    ):
        with pytest.raises(ValueError, match=words):
            ludus.make("ludus/FileQA-v1", **options)
    bad = tmp_path / "corpus.jsonl"
    bad.write_bytes(b'{"id": 1, "text": "x"}\n{"id": 2, "text": "\xff"}')
    with pytest.raises(ValueError, match=r"corpus.jsonl line 2 is not UTF-8"):
        ludus.make("ludus/FileQA-v1", data=data, corpus=str(bad))


# ---- GSM8K --------------------------------------------------------------------------------------

real = pytest.mark.skipif("GSM8K_DATA" not in os.environ, reason="GSM8K_DATA is not set")


@real
def test_every_real_problem_is_understood() -> None:
    env = ludus.make("ludus/GSM8K-v1")
    for split in env.SPLITS:
        folder = Path(os.environ["GSM8K_DATA"])
        (path,) = folder.glob(f"{split}*.jsonl")
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        tasks = env.tasks(split)
        assert len(tasks) == len(rows)
        for task, row in zip(tasks, rows, strict=True):
            env.reset(options={"task": task})
            # As the public repository's own grader reads it.
            last = re.findall(r"#### (\-?[0-9\.\,]+)", row["answer"])[-1].replace(",", "")
            assert env.verify(last).passed
            assert env.verify(f"${last}").passed
            assert not env.verify(str(Fraction(last) + 1)).passed


@real
def test_the_checker_and_the_oracle_on_real_problems() -> None:
    try:
        open_sandbox("bubblewrap", warm=0).close()
    except SandboxError as error:
        pytest.skip(str(error))
    env = ludus.make("ludus/GSM8K-v1", tools=["python"], call_format="tags", format="answer")
    helped = 0
    for index in range(20):
        env.reset(options={"split": "test", "index": index})
        while env.acting:
            golden = env.golden()
            assert golden is not None
            assert golden.plan is not None
            obs, *_, info = env.step(golden.plan[0])
            if len(golden.plan) > 1:
                assert not info["tool_call"]["error"], obs
                numbers = [number_in(line) for line in obs.splitlines()]
                helped += Fraction(golden.answer or "") in numbers
        assert info["outcome"]["success"]
    assert helped >= 15  # the calculations of some solutions are written with units
    check_env(ludus.make("ludus/GSM8K-v1"), episodes=4).raise_for_failures()


def test_gsm8k_without_its_files_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GSM8K_DATA", raising=False)
    with pytest.raises(ValueError, match="set GSM8K_DATA"):
        ludus.make("ludus/GSM8K-v1")
    with pytest.raises(ValueError, match="does not exist"):
        ludus.make("ludus/GSM8K-v1", data=str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"no train\.jsonl"):
        ludus.make("ludus/GSM8K-v1", data=str(tmp_path))
    write(tmp_path / "train.jsonl", [{"question": "q", "answer": "#### 3"}, {"question": "q"}])
    with pytest.raises(ValueError, match=r"train\.jsonl line 2: no answer"):
        ludus.make("ludus/GSM8K-v1", data=str(tmp_path))


@pytest.mark.parametrize(
    ("answer", "number"),
    [("#### 1,234", "1234"), ("#### $12.50", "25/2"), ("so\n#### -3", "-3"), ("#### 0.5", "1/2")],
)
def test_the_number_after_the_mark(answer: str, number: str) -> None:
    assert problem({"question": "q", "answer": answer})["answer"] == number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$1,234,567.80", Fraction(6172839, 5)), ("-$5", Fraction(-5)), ("€-5", Fraction(-5)),
        (".5", Fraction(1, 2)), ("1,23", None), ("1,2345", None), ("--5", None), ("$", None),
        ("5 dollars", None), ("1/2/3", None), ("12,345/5", Fraction(2469)), ("3.", Fraction(3)),
    ],
)  # fmt: skip
def test_numbers(text: str, value: Fraction | None) -> None:
    assert number_in(text) == value
