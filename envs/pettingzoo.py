"""An environment as PettingZoo sees it. Needs the extra `marl`; nothing else imports this file.

Both views drive the environment they are given, which stays usable: `view.env.fork()`. Reset
options that the environment does not know are left out, because PettingZoo's own tests send some.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from ludus.envs.base import Info, TextEnv
from ludus.envs.text import Obs, TextSpace

try:
    from pettingzoo import AECEnv, ParallelEnv
except ImportError as error:
    raise ImportError(
        "the PettingZoo views need pettingzoo: pip install ludus[marl]", name=error.name
    ) from error

_OPTIONS = ("task", "split", "index")


def _action_spaces(env: TextEnv) -> dict[str, TextSpace]:
    def legal(seat: str) -> list[str] | None:
        return env.legal_actions(seat) if seat in env.acting else [""]

    return {seat: TextSpace(legal=partial(legal, seat)) for seat in env.ROLES}


def _own_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (options or {}).items() if name in _OPTIONS}


def _seat_info(env: TextEnv, seat: str, info: Info) -> Info:
    legal = env.legal_actions(seat) if seat in env.acting else None
    return {**info, "seat": seat, "legal_actions": legal}


class _View:
    """What both views say of an environment. Stands before PettingZoo's class, whose own methods
    raise."""

    def __init__(self, env: TextEnv) -> None:
        super().__init__()
        self.env = env
        self.metadata = {**env.metadata, "name": env.ENV_ID}
        self.render_mode = env.render_mode
        self.possible_agents = list(env.ROLES)
        self.agents: list[str] = []
        self.observation_spaces = {seat: TextSpace() for seat in env.ROLES}
        self.action_spaces = _action_spaces(env)

    def observation_space(self, agent: str) -> TextSpace:
        """Texts."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> TextSpace:
        """Texts; `sample` draws a legal action, or the empty text for a seat that waits."""
        return self.action_spaces[agent]

    def render(self) -> str | None:
        """As `TextEnv.render`."""
        return self.env.render()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


class AECView(_View, AECEnv[str, Obs, str]):  # type: ignore[misc]
    """One seat acts at a time. Simultaneous moves are asked for in turn, unseen by the others."""

    def __init__(self, env: TextEnv) -> None:
        super().__init__(env)
        self.metadata = {**self.metadata, "is_parallelizable": True}

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """As `TextEnv.reset`."""
        _, info = self.env.reset(seed=seed, options=_own_options(options))
        self.agents = self.possible_agents.copy()
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self._skip_agent_selection = None
        self._look(info)

    def step(self, action: str | None) -> None:
        """Take the reply of `agent_selection`; None for a seat whose episode is over."""
        seat = self.agent_selection
        if self.terminations[seat] or self.truncations[seat]:
            self._was_dead_step(action)
            return
        if action is None:
            raise ValueError(f"{seat!r} is to act, but its action is None")
        _, _, terminated, truncated, info = self.env.step(action, seat=seat)
        self._cumulative_rewards[seat] = 0.0
        self.rewards = dict(info["rewards"])
        self._accumulate_rewards()
        self.terminations = dict.fromkeys(self.agents, terminated)
        self.truncations = dict.fromkeys(self.agents, truncated)
        self._look(info)
        if terminated or truncated:
            self._deads_step_first()

    def _look(self, info: Info) -> None:
        self.agent_selection = self.env.acting[0] if self.env.acting else self.agents[0]
        self.infos = {seat: _seat_info(self.env, seat, info) for seat in self.agents}

    def observe(self, agent: str) -> Obs:
        """As `TextEnv.observe`."""
        return self.env.observe(agent)


class ParallelView(_View, ParallelEnv[str, Obs, str]):  # type: ignore[misc]
    """All seats are stepped together. A seat that is not to act is not heard: its entry, if there
    is one, is passed over. One that is to act and has no entry sends the empty text."""

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Obs], dict[str, Info]]:
        """As `TextEnv.reset`, for every seat."""
        _, info = self.env.reset(seed=seed, options=_own_options(options))
        self.agents = self.possible_agents.copy()
        observations = {seat: self.env.observe(seat) for seat in self.agents}
        return observations, {seat: _seat_info(self.env, seat, info) for seat in self.agents}

    def step(
        self, actions: Mapping[str, str]
    ) -> tuple[dict[str, Obs], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Info]]:
        """Take the replies of the seats to act."""
        replies = {seat: actions.get(seat, "") for seat in self.env.acting}
        observations, rewards, terminated, truncated, info = self.env.step_all(replies)
        seats = self.agents
        infos = {seat: _seat_info(self.env, seat, info) for seat in seats}
        if terminated or truncated:
            self.agents = []
        ended, cut = dict.fromkeys(seats, terminated), dict.fromkeys(seats, truncated)
        return observations, rewards, ended, cut, infos


def to_aec(env: TextEnv) -> AECView:
    """An environment as PettingZoo's AECEnv.

    Raises:
        ImportError: If pettingzoo is not installed.
    """
    return AECView(env)


def to_parallel(env: TextEnv) -> ParallelView:
    """An environment as PettingZoo's ParallelEnv.

    Raises:
        ImportError: If pettingzoo is not installed.
    """
    return ParallelView(env)
