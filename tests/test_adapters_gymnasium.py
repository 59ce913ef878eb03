"""Gymnasium's environments behind our protocol, against Gymnasium itself."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, Text

import ludus
from ludus.envs.adapters.gymnasium import WORDS, Gymnasium
from ludus.envs.adapters.hosted import Words
from ludus.testing import check_env

ID = "ludus/Gymnasium-v1"


class Echo(gymnasium.Env[str, str]):
    """Speaks text, and takes words of four letters."""

    observation_space = Text(64, min_length=0)
    action_space = Text(4, min_length=4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        return f"say {self.np_random.integers(100)}", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        return f"{action} {self.np_random.integers(100)}", 1.0, action == "stop", False, {}


class Counter(gymnasium.Env[np.ndarray[Any, Any], Any]):
    """Numbers from 5 up; cuts itself off after three steps."""

    observation_space = Box(0, 100, (1,), np.int64)
    action_space = Discrete(2, start=5)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.steps = 0, 0
        return np.array([self.at]), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.at, self.steps = self.at + int(action), self.steps + 1
        return np.array([self.at]), 0.0, False, self.steps == 3, {}


COUNTER = Words("Count.", lambda obs, env: f"{obs[0]} after {env.steps}", ("five", "six"))

gymnasium.register("ludus_test/Echo-v0", f"{__name__}:Echo")
gymnasium.register("ludus_test/Counter-v0", f"{__name__}:Counter")
WORDS_HERE = f"{__name__}:COUNTER"


@pytest.mark.parametrize("name", WORDS)
def test_passes_the_checker(name: str) -> None:
    check_env(Gymnasium(env=name), items=(3, 5, 6, 8), episodes=1).raise_for_failures()


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [("FrozenLake-v1", {"is_slippery": False}), ("CliffWalking-v1", {}), ("Taxi-v4", {})],
)
def test_an_episode_is_gymnasiums(name: str, kwargs: dict[str, Any]) -> None:
    """Where nothing is left to chance, rewards and ends are those of the plain environment."""
    env: Any = ludus.make(ID, env=name, env_kwargs=kwargs)
    for seed in range(3):
        env.reset(seed=seed)
        theirs: Any = gymnasium.make(name, **kwargs)
        theirs.reset(seed=0)
        theirs.unwrapped.s = env._env.unwrapped.s
        rng = np.random.default_rng(seed)
        while env.acting:
            choice = int(rng.integers(len(WORDS[name].actions)))
            _, reward, terminated, truncated, _ = env.step(WORDS[name].actions[choice])
            obs, gain, ended, cut, _ = theirs.step(choice)
            assert (reward, terminated) == (gain, ended)
            assert truncated == (cut or (len(env.replay().actions) == 200 and not ended))
            assert env._env.unwrapped.s == obs


def test_descriptions_say_where_one_is() -> None:
    lake: Any = ludus.make(ID, env="FrozenLake-v1", env_kwargs={"is_slippery": False})
    assert "AFFF\nFHFH\nFFFH\nHFFG" in lake.reset(seed=0)[0]
    assert "SAFF\nFHFH\nFFFH\nHFFG" in lake.step("right")[0]
    cliff: Any = ludus.make(ID, env="CliffWalking-v1")
    assert cliff.reset(seed=0)[0].count("ACCCCCCCCCCG") == 1
    assert "A...........\nSCCCCCCCCCCG" in cliff.step("up")[0]
    taxi: Any = ludus.make(ID, env="Taxi-v4")
    taxi.reset(seed=0)
    inner = taxi._env.unwrapped
    told = WORDS["Taxi-v4"].describe(inner.encode(3, 1, 4, 2), inner)
    assert told == "The taxi is in row 3, column 1. The passenger is in the taxi, to yellow."
    told = WORDS["Taxi-v4"].describe(inner.encode(0, 4, 1, 0), inner)
    assert told == "The taxi is in row 0, column 4. The passenger is at green, to red."
    jack = WORDS["Blackjack-v1"].describe
    assert jack((15, 1, 1), None) == (
        "You have 15, with an ace counted as 11. The dealer shows an ace."
    )
    assert jack((20, 10, 0), None) == "You have 20. The dealer shows 10."


def test_the_map_of_the_taxi_is_gymnasiums() -> None:
    theirs: Any = gymnasium.make("Taxi-v4")
    shown = "\n".join(b"".join(line).decode() for line in theirs.unwrapped.desc)
    assert shown in WORDS["Taxi-v4"].rules


def test_the_start_is_the_tasks_and_later_chance_the_episodes() -> None:
    env: Any = ludus.make(ID, env="Taxi-v4")
    starts = {env.reset(seed=s, options={"split": "test", "index": 3})[0] for s in range(4)}
    assert len(starts) == 1
    lake: Any = ludus.make(ID, env="FrozenLake-v1")
    ends = set()
    for seed in range(8):
        lake.reset(seed=seed, options={"split": "test", "index": 3})
        ends.add(lake.step("right")[0])
    assert len(ends) > 1


def test_text_spaces_need_no_words() -> None:
    env: Any = ludus.make(ID, env="ludus_test/Echo-v0")
    assert env.reset(seed=0)[0].startswith("ludus_test/Echo-v0.")
    assert env.legal_actions() is None
    assert "Text(" in env.step("long word")[4]["invalid"]
    obs, reward, terminated, _, info = env.step("stop")
    assert (reward, terminated, info["invalid"]) == (1.0, True, "")
    assert obs.startswith("stop ")
    check_env(Gymnasium(env="ludus_test/Echo-v0"), items=(3, 6, 7), episodes=2).raise_for_failures()


def test_words_of_ones_own_and_a_limit_of_their_own() -> None:
    env: Any = ludus.make(ID, env="ludus_test/Counter-v0", words=WORDS_HERE)
    assert "0 after 0" in env.reset(seed=0)[0]
    assert "6 after 1" in env.step("six")[0]
    twin = env.fork()[0]
    assert "11 after 2" in env.step("five")[0]
    *_, terminated, truncated, _ = env.step("five")
    assert (terminated, truncated) == (False, True)
    assert "12 after 2" in twin.step("six")[0]
    env.reset(seed=0)
    assert env.MAX_TURNS == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"env": "FrozenLak-v1"}, "cannot make 'FrozenLak-v1'"),
        ({"env_kwargs": {"map_name": "5x5"}}, "cannot make"),
        ({"env": "ludus_test/Counter-v0"}, "no words for 'ludus_test/Counter-v0'"),
        ({"env": "ludus_test/Counter-v0", "words": "nowhere:X"}, "nowhere:X"),
        ({"env": "ludus_test/Counter-v0", "words": f"{__name__}:ID"}, "is str, not Words"),
        ({"env": "FrozenLake-v1", "words": WORDS_HERE}, "4 actions, its words name"),
    ],
)
def test_what_cannot_be_played_is_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ludus.make(ID, **settings)
    assert "\n" not in str(caught.value)
