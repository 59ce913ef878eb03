"""Sessions in OpenEnv's words: what may be asked, what is answered, and how many there may be."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from ludus.envs.base import Info, TextEnv
from ludus.envs.text import Obs
from ludus.envs.views import SeatView

Make = Callable[[], gymnasium.Env[str, str]]
Reply = dict[str, Any]
"""{"observation": {...}, "reward": float or None, "done": bool}, as OpenEnv's clients read it."""

_TEXT, _NUMBER = {"type": "string"}, {"type": "number"}
_TEXTS = {"type": "array", "items": _TEXT}
RESET = {
    "seed": {"type": "integer", "minimum": 0},
    "episode_id": {"type": "string", "maxLength": 255},
    "split": _TEXT,
    "index": {"type": "integer", "minimum": 0},
}
ACTION = {"message": _TEXT, "seat": _TEXT, "metadata": {"type": "object"}}
OBSERVATION = {
    "text": _TEXT, "messages": {"type": "array", "items": {"type": "object"}},
    "seat": _TEXT, "legal_actions": {**_TEXTS, "type": ["array", "null"]},
    "rewards": {"type": "object", "additionalProperties": _NUMBER}, "turn": {"type": "integer"},
    "invalid": _TEXT, "terminated": {"type": "boolean"}, "truncated": {"type": "boolean"},
    "outcome": {"type": ["object", "null"]}, "episode_id": _TEXT,
}  # fmt: skip
STATE = {
    "episode_id": {"type": ["string", "null"]}, "step_count": {"type": "integer"},
    "env_id": _TEXT, "task_key": _TEXT, "split": _TEXT, "seats": _TEXTS, "acting": _TEXTS,
}  # fmt: skip
_KINDS: dict[str, type] = {"string": str, "integer": int, "object": dict}


class WireError(Exception):
    """A request that cannot be answered.

    Args:
        status: Of HTTP.
        code: One of OpenEnv's WebSocket error codes.
        message: One line for the client.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, " ".join(message.split())


def checked(data: Any, fields: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The given fields of a request, without those that are null.

    Raises:
        WireError: If it is no object, has other fields, or a field of another type.
    """
    if not isinstance(data, dict):
        raise WireError(422, "VALIDATION_ERROR", f"{what} must be an object")
    given = {name: value for name, value in data.items() if value is not None}
    for name, value in given.items():
        if name not in fields:
            allowed = ", ".join(fields)
            raise WireError(422, "VALIDATION_ERROR", f"{what} has no {name[:40]!r}: {allowed}")
        kind = fields[name]["type"]
        if not isinstance(value, _KINDS[kind]) or isinstance(value, bool):
            raise WireError(422, "VALIDATION_ERROR", f"{what}: {name} must be of type {kind}")
        if isinstance(value, int) and value < 0:
            raise WireError(422, "VALIDATION_ERROR", f"{what}: {name} must be at least 0")
        if isinstance(value, str) and len(value) > fields[name].get("maxLength", len(value)):
            raise WireError(422, "VALIDATION_ERROR", f"{what}: {name} is too long")
    return given


class Session:
    """One environment and its episode. Made when first reset.

    Args:
        make: Gives the environment.
        name: What the client calls the episode.
    """

    def __init__(self, make: Make, name: str) -> None:
        self._make, self.name = make, name
        self._env: gymnasium.Env[str, str] | None = None
        self.used_s = time.monotonic()
        self.lock = asyncio.Lock()
        """Held by whoever resets or steps."""

    def _inner(self) -> TextEnv:
        if self._env is None:
            raise WireError(409, "EXECUTION_ERROR", "reset comes first")
        inner = self._env.env if isinstance(self._env, SeatView) else self._env
        assert isinstance(inner, TextEnv)
        return inner

    @property
    def blocks(self) -> bool:
        """Whether a step may take long."""
        return bool(self._inner().metadata["blocking"])

    def reset(self, data: Mapping[str, Any]) -> Reply:
        """Start an episode.

        Raises:
            WireError: If the data asks for what is not there.
        """
        asked = checked(data, RESET, "reset")
        self.used_s = time.monotonic()
        self.name = asked.pop("episode_id", self.name)
        seed = asked.pop("seed", None)
        if self._env is None:
            self._env = self._make()
        try:
            obs, info = self._env.reset(seed=seed, options=asked or None)
        except ValueError as error:
            raise WireError(422, "VALIDATION_ERROR", str(error)) from None
        return self._reply(obs, info, None, False, False)

    def step(self, action: Any) -> Reply:
        """Send a reply.

        Raises:
            WireError: If there is no episode, it is over, or the action is none.
        """
        inner = self._inner()
        given = checked(action, ACTION, "action")
        self.used_s = time.monotonic()
        if "message" not in given:
            raise WireError(422, "VALIDATION_ERROR", "action needs message, the reply")
        if not inner.acting:
            raise WireError(409, "EXECUTION_ERROR", "the episode is over: reset comes first")
        own = (self._env.seat,) if isinstance(self._env, SeatView) else inner.acting
        seat = given.get("seat", own[0])
        if seat not in own:
            seats = ", ".join(own)
            raise WireError(422, "VALIDATION_ERROR", f"{seat[:40]!r} is not to act, {seats} is")
        if isinstance(self._env, SeatView):
            step = self._env.step(given["message"])
        else:
            step = inner.step(given["message"], seat=seat)
        obs, reward, terminated, truncated, info = step
        return self._reply(obs, info, reward, terminated, truncated)

    def _reply(
        self, obs: Any, info: Info, reward: float | None, terminated: bool, truncated: bool
    ) -> Reply:
        assert isinstance(obs, Obs)
        rewards = info["rewards"]
        if isinstance(self._env, SeatView):  # what the opponents did in between is in it
            rewards = {self._env.seat: reward or 0.0}
        observation = {
            "text": str(obs),
            "messages": [message._asdict() for message in obs.messages],
            "seat": info["seat"],
            "legal_actions": info["legal_actions"],
            "rewards": rewards,
            "turn": info["turn"],
            "invalid": info["invalid"],
            "terminated": terminated,
            "truncated": truncated,
            "outcome": info.get("outcome"),
            "episode_id": self.name,
        }
        return {"observation": observation, "reward": reward, "done": terminated or truncated}

    def state(self) -> dict[str, Any]:
        """Where the episode stands."""
        inner = self._inner()
        return {
            "episode_id": self.name,
            "step_count": len(inner.replay().actions),
            "env_id": inner.ENV_ID,
            "task_key": inner.task.key,
            "split": inner.task.split,
            "seats": list(inner.ROLES),
            "acting": list(inner.acting),
        }

    def close(self) -> None:
        """Close the environment."""
        if self._env is not None:
            self._env.close()
            self._env = None


class Sessions:
    """All sessions of a server.

    Args:
        make: Gives an environment.
        most: How many there may be at a time.
        idle_s: A session of HTTP that was not used for so long gives way to a new one.
    """

    def __init__(self, make: Make, *, most: int, idle_s: float) -> None:
        if most < 1:
            raise ValueError(f"sessions must be at least 1, got {most}")
        self._make, self.most, self.idle_s = make, most, idle_s
        self.named: dict[str, Session] = {}
        self.connected: set[Session] = set()

    def connect(self, name: str) -> Session:
        """A session for a connection, which closes it.

        Raises:
            WireError: If there are too many.
        """
        session = self._open(name)
        self.connected.add(session)
        return session

    def named_or_new(self, name: str) -> Session:
        """The session of a name.

        Raises:
            WireError: If it is new, and there are too many.
        """
        if name not in self.named:
            self.named[name] = self._open(name)
        return self.named[name]

    def find(self, name: Any) -> Session:
        """The session of a name.

        Raises:
            WireError: If there is none.
        """
        if not isinstance(name, str) or name not in self.named:
            raise WireError(
                404, "SESSION_ERROR", "no session has this episode_id: reset makes one, and tells"
            )
        return self.named[name]

    def _open(self, name: str) -> Session:
        if len(self.named) + len(self.connected) >= self.most:
            free = [session for session in self.named.values() if not session.lock.locked()]
            oldest = min(free, key=lambda session: session.used_s, default=None)
            if oldest is None or time.monotonic() - oldest.used_s < self.idle_s:
                raise WireError(503, "CAPACITY_REACHED", f"all {self.most} sessions are in use")
            self.drop(oldest)
        return Session(self._make, name)

    def drop(self, session: Session) -> None:
        """Close a session and forget it."""
        self.connected.discard(session)
        for name in [name for name, known in self.named.items() if known is session]:
            del self.named[name]
        session.close()
