"""PettingZoo's environments behind our protocol, against PettingZoo itself."""

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Discrete

import ludus
from ludus.envs.adapters.hosted import Words

pytest.importorskip("pettingzoo")
pytest.importorskip("pygame")
from pettingzoo import ParallelEnv

from ludus.envs.adapters.pettingzoo import WORDS, PettingZoo, make_theirs
from ludus.testing import check_env

ID = "ludus/PettingZoo-v1"


class Stop(ParallelEnv[str, Any, Any]):  # type: ignore[misc]
    """Three seats at once; who stops is out, and the last one in gets what the others left."""

    metadata = {"name": "stop_v0"}  # noqa: RUF012
    possible_agents = ["ann", "bob", "cleo"]  # noqa: RUF012

    def observation_space(self, agent: str) -> Discrete:
        return Discrete(10)

    def action_space(self, agent: str) -> Discrete:
        return Discrete(2)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        self.agents, self.pot = self.possible_agents.copy(), int(seed or 0) % 5
        return self._seen(), {agent: {} for agent in self.agents}

    def _seen(self) -> dict[str, Any]:
        return {agent: np.int64(self.pot) for agent in self.agents}

    def step(self, actions: dict[str, int]) -> tuple[Any, ...]:
        assert set(actions) == set(self.agents)
        self.pot += 1
        out = {agent: action == 1 for agent, action in actions.items()}
        left = [agent for agent in self.agents if not out[agent]]
        gains = {a: float(self.pot) if left == [a] else -1.0 * out[a] for a in self.agents}
        ended = {a: out[a] or len(left) < 2 for a in self.agents}
        cut = dict.fromkeys(self.agents, self.pot > 9)
        self.agents = [] if len(left) < 2 or self.pot > 9 else left
        seen = {a: np.int64(self.pot) for a in actions}
        infos: dict[str, Any] = {a: {} for a in actions}
        return seen, gains, ended, cut, infos


STOP = Words("Stay or stop.", lambda obs, env: f"The pot has {obs}.", ("stay", "stop"))
STOP_ID, STOP_WORDS = f"{__name__}:Stop", f"{__name__}:STOP"


@pytest.mark.parametrize("name", WORDS)
def test_passes_the_checker(name: str) -> None:
    check_env(PettingZoo(env=name), items=(3, 5, 6, 7, 8), episodes=1).raise_for_failures()


@pytest.mark.parametrize("name", WORDS)
def test_an_episode_is_pettingzoos(name: str) -> None:
    """Seats, masks, rewards and the end, along random episodes."""
    env: Any = ludus.make(ID, env=name)
    for seed in range(5):
        env.reset(seed=seed)
        theirs, rng = make_theirs(name, {}), random.Random(seed)
        theirs.reset(seed=0)
        total = dict.fromkeys(theirs.possible_agents, 0.0)
        for agent in theirs.agent_iter():
            obs, gain, terminated, truncated, _ = theirs.last()
            total[agent] += gain
            if terminated or truncated:
                theirs.step(None)
                continue
            assert env.acting == (f"player_{theirs.possible_agents.index(agent)}",)
            legal = env.legal_actions()
            names = WORDS[name].actions
            if isinstance(obs, dict):
                assert legal == [n for n, ok in zip(names, obs["action_mask"], strict=True) if ok]
            move = rng.choice(legal)
            env.step(move)
            theirs.step(names.index(move))
        assert env.acting == ()
        assert list(env.returns.values()) == list(total.values())


def test_boards_are_drawn_as_they_are_played() -> None:
    env: Any = ludus.make(ID)
    env.reset(seed=0)
    assert "..O\n...\n..." in env.step("row 0 column 2")[0]
    assert "..X\n...\nO.." in env.step("row 2 column 0")[0]
    four: Any = ludus.make(ID, env="pettingzoo.classic.connect_four.connect_four:raw_env")
    four.reset(seed=0)
    assert ".......\n..O....\nLegal" in four.step("column 2")[0]
    assert four.step("column 2")[0].split("Legal")[0].strip().endswith("..O....\n..X....")


def test_parallel_seats_move_at_once_and_leave() -> None:
    env: Any = ludus.make(ID, env=STOP_ID, words=STOP_WORDS)
    obs, _ = env.reset(seed=1)
    assert env.acting == ("player_0", "player_1", "player_2")
    assert "The pot has" in obs
    env.step_all({"player_0": "stay", "player_1": "stop", "player_2": "stay"})
    assert env.acting == ("player_0", "player_2")
    assert env.returns == {"player_0": 0.0, "player_1": -1.0, "player_2": 0.0}
    twin = env.fork()[0]
    env.step_all({"player_0": "stay", "player_2": "stop"})
    assert env.acting == ()
    assert env.returns["player_0"] > 0
    assert twin.acting == ("player_0", "player_2")
    fresh = PettingZoo(env=STOP_ID, words=STOP_WORDS)
    check_env(fresh, items=(3, 5, 6, 8), episodes=3).raise_for_failures()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"env": "pettingzoo.classic.nothing:raw_env"}, "no module 'pettingzoo.classic.nothing'"),
        ({"env": "pettingzoo.classic.rps.rps:nothing"}, "is not 'module:NAME'"),
        ({"env": STOP_ID}, "has no words for"),
        ({"env": STOP_ID, "words": f"{__name__}:ID"}, "is str, not Words"),
        ({"env": STOP_ID, "words": STOP_WORDS, "env_kwargs": {"x": 1}}, "cannot make"),
    ],
)
def test_what_cannot_be_played_is_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ludus.make(ID, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("package", ["pettingzoo", "pygame"])
def test_without_the_package_it_says_what_to_install(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None\nimport ludus\nludus.make({ID!r})\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip().endswith(f"{ID} needs {package}: pip install 'ludus[marl]'")
