"""An environment as other libraries want to see it."""

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import gymnasium

from ludus.envs.base import Info, TextEnv
from ludus.envs.task import derive_seed
from ludus.envs.text import Obs, TextSpace

if TYPE_CHECKING:
    from ludus.envs.pettingzoo import to_aec, to_parallel

__all__ = ["Opponent", "SeatView", "seat_view", "to_aec", "to_parallel"]

_PATIENCE = 1000  # episodes


class Opponent(Protocol):
    """Whatever answers for a seat; `ludus.agents.Agent` is one."""

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """The reply of `seat`, which is to act."""


class SeatView(gymnasium.Env[str, str]):
    """One seat of an environment, as a single-agent environment. See `seat_view`."""

    def __init__(self, env: TextEnv, opponents: Mapping[str, Opponent], seat: str) -> None:
        self.env, self.opponents, self.seat = env, dict(opponents), seat
        self.metadata, self.render_mode, self.spec = env.metadata, env.render_mode, env.spec
        self.observation_space = env.observation_space
        self.action_space = TextSpace(legal=lambda: env.legal_actions(seat))
        self._rng = random.Random()
        self._resets = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, Info]:
        """As `TextEnv.reset`; the opponents have moved up to this seat's first turn.

        Episodes that the opponents end before that are passed over.
        """
        super().reset(seed=seed)
        if seed is not None:
            self._resets = 0
        for _ in range(_PATIENCE):
            _, info = self.env.reset(seed=seed, options=options)
            self._rng = random.Random(derive_seed("opponents", self.np_random_seed, self._resets))
            self._resets += 1
            obs, _, terminated, truncated, info = self._until_mine(0.0, False, False, info)
            if not (terminated or truncated):
                return obs, info
            seed = None
        raise RuntimeError(f"{_PATIENCE} episodes in a row ended before {self.seat} could act")

    def step(self, action: str) -> tuple[Obs, float, bool, bool, Info]:
        """As `TextEnv.step`; the reward is what this seat got until its next turn."""
        _, reward, terminated, truncated, info = self.env.step(action, seat=self.seat)
        return self._until_mine(reward, terminated, truncated, info)

    def _until_mine(
        self, reward: float, terminated: bool, truncated: bool, info: Info
    ) -> tuple[Obs, float, bool, bool, Info]:
        env = self.env
        while not (terminated or truncated) and self.seat not in env.acting:
            other = env.acting[0]
            reply = self.opponents[other].act(env, other, self._rng)
            _, _, terminated, truncated, info = env.step(reply, seat=other)
            reward += info["rewards"][self.seat]
        return env.observe(self.seat), reward, terminated, truncated, info

    def render(self) -> str | None:
        """As the environment's."""
        return self.env.render()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


def seat_view(
    env: TextEnv, opponents: Mapping[str, Opponent], *, seat: str | None = None
) -> SeatView:
    """One seat of an environment against opponents that play the others.

    Raises:
        ValueError: If the seats named are not those of the environment.
    """
    unknown = (set(opponents) | ({seat} if seat else set())) - set(env.ROLES)
    if unknown:
        raise ValueError(f"unknown seat {sorted(unknown)[0]!r}, seats: {', '.join(env.ROLES)}")
    free = [role for role in env.ROLES if role not in opponents]
    own = seat or (free[0] if free else None)
    if own is None or set(free) - {own} or own in opponents:
        raise ValueError(f"need an opponent for every seat but one, got {sorted(opponents)}")
    return SeatView(env, opponents, own)


def __getattr__(name: str) -> Any:
    if name in ("to_aec", "to_parallel"):  # PettingZoo is an optional extra
        from ludus.envs import pettingzoo

        return getattr(pettingzoo, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
