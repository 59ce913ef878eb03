"""Texts as Gymnasium sees them: spaces, observations, and vector environments that carry them."""

import copy
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector.utils import (
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)
from hypothesis import given
from hypothesis import strategies as st

import ludus
from ludus.envs import Message, Obs, Outcome, Task, TextEnv, TextSpace, register

SAID = "café 中文 → 🂡 \x00 \ud800"


class Echo(TextEnv):
    """Says a fixed text in many scripts, then what it was told."""

    ENV_ID = "toys/Echo-v1"
    MAX_TURNS = 3

    def _setup(self, task: Task, rng: Any) -> None:
        self._told = ""

    def _rules(self, seat: str) -> str:
        return SAID

    def _apply(self, moves: Any) -> Outcome:
        self._told += moves["player_0"]
        return Outcome({"player_0": 1.0}, text=f"{SAID} {self._told}")


register("toys/Echo-v1", Echo)


@given(st.text(max_size=50), st.integers(0, 10), st.integers(10, 40))
def test_membership_is_type_and_length(text: str, low: int, high: int) -> None:
    assert (text in TextSpace(high, min_length=low)) == (low <= len(text) <= high)


def test_space_takes_only_texts() -> None:
    space = TextSpace(5)
    assert SAID[:5] in space
    assert np.str_("abc") in space
    for other in (b"abc", 3, None, ["a"]):
        assert other not in space


def test_samples_are_legal_or_short() -> None:
    space = TextSpace(legal=lambda: ["check", "bet"], seed=1)
    assert {space.sample() for _ in range(50)} == {"check", "bet"}
    free = TextSpace(min_length=2, seed=1)
    for _ in range(50):
        assert 2 <= len(free.sample()) <= 32
    assert len(TextSpace(3, min_length=3, seed=0).sample()) == 3
    assert all(len(TextSpace(1, seed=i).sample()) <= 1 for i in range(9))


def test_equal_seeds_give_equal_samples() -> None:
    assert [TextSpace(seed=3).sample() for _ in range(3)] == [
        TextSpace(seed=3).sample() for _ in range(3)
    ]


def test_space_copies_leave_the_environment_behind() -> None:
    space = TextSpace(9, min_length=1, legal=lambda: ["a"])
    for twin in (copy.deepcopy(space), pickle.loads(pickle.dumps(space))):
        assert twin == space
        assert twin.legal is None
    assert TextSpace(9) != space
    assert repr(space) == "TextSpace(1, 9)"


@given(st.text(), st.lists(st.text(), max_size=3))
def test_observations_are_texts_that_keep_their_messages(text: str, parts: list[str]) -> None:
    obs = Obs(text, tuple(Message("user", part) for part in parts))
    assert obs == text
    assert obs in TextSpace()
    for twin in (copy.deepcopy(obs), pickle.loads(pickle.dumps(obs))):
        assert (twin, twin.messages) == (obs, obs.messages)
    assert obs.dtype is str
    assert obs.shape == ()


@given(st.lists(st.text(alphabet=st.characters(), max_size=8), min_size=1, max_size=4))
def test_shared_memory_gives_back_what_was_written(texts: list[str]) -> None:
    space = TextSpace(8)
    memory = create_shared_memory(space, n=len(texts))
    view: Any = read_from_shared_memory(space, memory, n=len(texts))
    for _ in range(2):  # a view is read when looked at, not once
        value: Any
        for i, value in enumerate(texts):
            write_to_shared_memory(space, i, value, memory)
        assert list(view) == texts
        texts = texts[::-1]
    assert copy.deepcopy(view) == tuple(texts[::-1])
    assert view[-1] == texts[::-1][-1]
    assert view[0:1] == tuple(texts[::-1][:1])
    with pytest.raises(IndexError):
        view[len(texts)]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("make_vec", [ludus.make_vec, gymnasium.make_vec])
def test_vector_environments_carry_texts_exactly(mode: str, make_vec: Any) -> None:
    how = {"mode": mode} if make_vec is ludus.make_vec else {"vectorization_mode": mode}
    vector = make_vec("toys/Echo-v1", num_envs=3, **how)
    try:
        obs, _ = vector.reset(seed=0)
        assert all(text.startswith(SAID) for text in obs)
        obs, rewards, *_ = vector.step(("é", "中", ""))
        assert tuple(map(str, obs)) == (f"{SAID} é", f"{SAID} 中", f"{SAID} ")
        assert rewards.tolist() == [1.0, 1.0, 1.0]
    finally:
        vector.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vector_episodes_wait_for_their_reset(mode: str) -> None:
    vector = ludus.make_vec("toys/Echo-v1", 2, mode=mode)
    try:
        vector.reset(seed=0)
        for _ in range(3):
            obs, _, terminated, truncated, _ = vector.step(("a", "b"))
        assert not terminated.any()
        assert truncated.all()
        assert obs[0] == f"{SAID} aaa"  # the last observation, not the next episode's first
        obs, _ = vector.reset(options={"reset_mask": np.array([True, False])})
        assert obs[0].startswith(f"{SAID}\n")
    finally:
        vector.close()


def test_unknown_vector_mode() -> None:
    with pytest.raises(ValueError, match="unknown mode 'fast'"):
        ludus.make_vec("toys/Echo-v1", 2, mode="fast")
