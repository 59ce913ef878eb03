"""`ludus/GSM8K-v1`: grade-school problems in words, from their own files.

Source: Cobbe et al. 2021, arXiv:2110.14168.
"""

import ast
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ludus.envs.data import data_folder
from ludus.envs.definition import one_of
from ludus.envs.task import Rows, Task, TaskSet
from ludus.envs.tasks.python_math import PythonMath, WithPython
from ludus.envs.tasks.rows import Row, read_rows
from ludus.envs.tasks.scoring import number_in

_STEP = re.compile(r"<<([-+*/().\d\s]+)=[^<>]*>>")


class GSM8K(WithPython):
    """Problems in words whose answer is a number, from GSM8K's own files.

    The answer is the number after "####". With `tools=["python"]` the oracle's program is the
    calculations that the solution is annotated with.

    Parameters, beside those of `WithPython`:
        data: The folder that holds the files; by default the variable GSM8K_DATA.
    """

    ENV_ID = "ludus/GSM8K-v1"
    SPLIT_BY = "content"
    SPLITS: ClassVar[Mapping[str, int]] = {"train": 7473, "test": 1319}
    PARAMS: ClassVar[Mapping[str, Any]] = {**WithPython.PARAMS, "data": ""}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.tasks(self.split, **self.params)  # tell of missing data now

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._question = str(task.params["question"])
        self._answer = str(task.params["answer"])
        self._program = str(task.params["program"])

    @classmethod
    def tasks(cls, split: str = "train", **params: Any) -> TaskSet:
        """The problems of a split, as many as there are. A task holds its whole problem."""
        one_of("split", split, cls.SPLITS)
        return Rows(cls.ENV_ID, split, read_rows(_file(params.get("data", ""), split), problem))


def _file(data: str, split: str) -> Path:
    folder = data_folder(
        data, GSM8K.ENV_ID, "GSM8K", content="problems", holds="train.jsonl and test.jsonl",
        without=PythonMath.ENV_ID,
    )  # fmt: skip
    files = sorted(folder.glob(f"{split}*.jsonl"), key=lambda path: len(path.name))
    if not files:
        raise ValueError(f"GSM8K's data folder {str(folder)!r} has no {split}.jsonl")
    return files[0]


def problem(row: Row) -> Row:
    """Question, answer and program of a row of GSM8K's files.

    Raises:
        ValueError, KeyError: If it is none.
    """
    question, solution = row["question"], row["answer"]
    if not isinstance(question, str) or not isinstance(solution, str):
        raise ValueError("question and answer must be texts")
    _, mark, last = solution.rpartition("####")
    number = number_in(last)
    if not mark or number is None:
        raise ValueError(f"the answer ends with #### and a number, not {solution[-40:]!r}")
    steps = [step.strip() for step in _STEP.findall(solution)]
    program = "\n".join(f"print({step})" for step in steps if _parses(step))
    return {"question": question.strip(), "answer": str(number), "program": program}


def _parses(step: str) -> bool:
    try:
        ast.parse(step, mode="eval")
    except SyntaxError:  # such as "05 * 2"
        return False
    return True
