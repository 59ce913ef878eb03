"""Tasks and splits, and the copies and hashes of state."""

import copy
import enum
import json
import pickle
import random
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ludus
from ludus.envs import Task, TaskSet, derive_seed
from ludus.envs.games.kuhn import KuhnPoker
from ludus.envs.state import copy_value, hash_value

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def test_splits_share_no_seed_and_no_key() -> None:
    seeds: set[int] = set()
    keys: set[str] = set()
    for split in ("train", "valid", "test"):
        for task in KuhnPoker.tasks(split).head(300):
            seeds.add(task.seed)
            keys.add(task.key)
    assert len(seeds) == len(keys) == 900


@given(st.lists(st.integers() | st.text(), min_size=1, max_size=4))
def test_seeds_fit_and_repeat(parts: list[Any]) -> None:
    seed = derive_seed(*parts)
    assert 0 <= seed < 2**63
    assert seed == derive_seed(*parts)
    assert seed != derive_seed(*parts, "more")


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.integers(0, 2**31))
def test_tasks_survive_json_and_pickle(params: dict[str, Any], index: int) -> None:
    task = Task.at("toys/X-v1", "train", index, params)
    for twin in (
        Task(**json.loads(json.dumps(task.to_json()))),
        pickle.loads(pickle.dumps(task)),
        copy.deepcopy(task),
    ):
        assert twin == task
        assert twin.key == task.key
        assert hash(twin) == hash(task)


def test_keys_are_of_the_content() -> None:
    task = Task("toys/X-v1", "train", 1, 7, {"a": 1, "b": 2})
    assert task.key == Task("toys/X-v1", "test", 9, 7, {"b": 2, "a": 1}).key
    assert task.key != Task("toys/X-v1", "train", 1, 8, {"a": 1, "b": 2}).key
    assert task.key != Task("toys/X-v1", "train", 1, 7, {"a": 1}).key


def test_task_sets_are_lazy_sequences() -> None:
    tasks = TaskSet("toys/X-v1", "train", 2**31, {"low": 3})
    assert len(tasks) == 2**31
    assert [task.index for task in tasks.head(3)] == [0, 1, 2]
    assert tasks[5:9][1] == tasks[6]
    assert tasks[-1].index == 2**31 - 1
    assert tasks[0].params == {"low": 3}
    with pytest.raises(IndexError):
        tasks.head(3)[3]


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_shuffles_draw_without_replacement(seed: int, n: int) -> None:
    tasks = TaskSet("toys/X-v1", "train", 30, {})
    drawn = [task.index for task in tasks.shuffle(seed, n)]
    assert len(drawn) == len(set(drawn)) == min(n, 30)
    assert drawn == [task.index for task in tasks.shuffle(seed, n)]
    assert sorted(task.index for task in tasks.shuffle(seed)) == list(range(30))


def test_tasks_name_only_what_differs_from_the_defaults() -> None:
    assert KuhnPoker.tasks("train", deal=None)[0].params == {}
    assert KuhnPoker.tasks("train", deal="JQ")[0].params == {"deal": "JQ"}


def test_reset_by_task_split_and_index() -> None:
    env = ludus.make("ludus/KuhnPoker-v1")
    _, info = env.reset(options={"split": "test", "index": 4})
    assert (env.task.split, env.task.index) == ("test", 4)
    assert info["task_key"] == KuhnPoker.tasks("test")[4].key
    env.reset(options={"task": KuhnPoker.tasks("valid")[2]})
    assert (env.task.split, env.task.index) == ("valid", 2)
    for options, message in [
        ({"split": "dev"}, "unknown split 'dev'"),
        ({"split": "test", "index": 500}, "tasks 0 to 499, not 500"),
        ({"index": -1}, "not -1"),
        ({"tusk": 1}, "not 'tusk'"),
        ({"task": Task("other/X-v1", "train", 0, 0)}, "must be a Task of"),
        ({"task": "test"}, "must be a Task of"),
    ]:
        with pytest.raises(ValueError, match=message):
            env.reset(options=options)


# ---- state ----------------------------------------------------------------------------------


class Colour(enum.Enum):
    """A member of states."""

    RED = 1


@dataclass(slots=True)
class Piece:
    """A mutable part of states without a __dict__."""

    name: str
    moves: list[int]


STATES: list[Callable[[], Any]] = [
    lambda: [1, [2, {"a": {3, 4}}], (5, [6])],
    lambda: {"x": np.arange(3), "y": np.float64(2)},
    lambda: [Colour.RED, Piece("a", [1]), deque([1, 2]), bytearray(b"x"), Colour],
]


@given(JSON)
def test_copies_are_equal_and_hash_alike(value: Any) -> None:
    twin = copy_value(value)
    assert twin == value
    assert hash_value(twin) == hash_value(value)


@pytest.mark.parametrize("make", STATES)
def test_copies_are_independent(make: Callable[[], Any]) -> None:
    value, untouched = make(), hash_value(make())
    twin = copy_value(value)
    assert hash_value(twin) == untouched
    match value:
        case [_, [_, {"a": inner}], (_, deep)]:
            inner.add(9)
            deep.append(9)
        case {"x": array}:
            array[0] = 9
        case [_, piece, queue, *_]:
            piece.moves.append(9)
            queue.append(9)
    assert hash_value(value) != untouched
    assert hash_value(twin) == untouched


def test_copied_generators_go_on_alike() -> None:
    rng = random.Random(3)
    rng.gauss(0, 1)
    twin = copy_value(rng)
    assert [twin.gauss(0, 1), twin.random()] == [rng.gauss(0, 1), rng.random()]


def test_hashes_tell_types_and_shapes_apart() -> None:
    different = [1, "1", [1], [[1]], {1: 1}, {1}, None, True, b"1", np.array([1]), Colour.RED]
    assert len({hash_value(value) for value in different}) == len(different)


def test_hashes_do_not_depend_on_order_or_process() -> None:
    assert hash_value({"a": 1, "b": 2}) == hash_value({"b": 2, "a": 1})
    code = "from ludus.envs.state import hash_value; print(hash_value({'x', 'y', 'zz', 'w'}))"
    for hash_seed in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert out.strip() == hash_value({"x", "y", "zz", "w"})


def test_what_cannot_be_hashed_says_so() -> None:
    with pytest.raises(TypeError, match="a generator cannot be hashed"):
        hash_value([iter(x for x in "ab")])
