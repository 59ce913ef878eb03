"""An episode of one seat, counted: what the loops of other libraries ask of an environment."""

from typing import Any

import gymnasium

from ludus.envs.base import TextEnv
from ludus.envs.text import Obs
from ludus.envs.views import SeatView

OVER = "The episode is over."


class OneSeat:
    """Plays an environment of one seat, or one seat of several against opponents.

    Args:
        env: A `TextEnv` with one seat, or a `SeatView`, as `ludus.make(..., opponents=...)` gives.

    Raises:
        ValueError: If other seats have nobody to play them.
    """

    def __init__(self, env: gymnasium.Env[str, str]) -> None:
        inner = env.env if isinstance(env, SeatView) else env
        if not isinstance(inner, TextEnv):
            raise ValueError(f"not an environment of Ludus: {type(env).__name__}")
        if inner is env and len(inner.ROLES) > 1:
            raise ValueError(
                f"{inner.ENV_ID} has seats {', '.join(inner.ROLES)}: name who plays the others, "
                "as in ludus.make(..., opponents='random')"
            )
        self.env, self.inner = env, inner
        self.done = True
        self.total = 0.0
        self.info: dict[str, Any] = {}

    def reset(self, seed: int, **options: Any) -> Obs:
        """Start the episode of a seed; what the seat is first shown."""
        obs, self.info = self.env.reset(seed=seed, options=options or None)
        self.done, self.total = False, 0.0
        assert isinstance(obs, Obs)
        return obs

    def reply(self, text: str) -> Obs:
        """Send the seat's reply; what it is shown next.

        Raises:
            ValueError: If the episode is over.
        """
        if self.done:
            raise ValueError(OVER)
        obs, reward, terminated, truncated, self.info = self.env.step(text)
        self.done, self.total = terminated or truncated, self.total + float(reward)
        assert isinstance(obs, Obs)
        return obs

    @property
    def result(self) -> float:
        """Return of the seat. An episode that was left before its end is forfeited: leaving must
        not beat losing."""
        return self.total if self.done else self.total + self.inner.forfeit[0]
