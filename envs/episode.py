"""The state of an episode: what it consists of, and how it is copied, hashed and recorded."""

import random
from collections.abc import Mapping
from typing import Any

from ludus.envs.definition import Definition
from ludus.envs.outcome import Replay
from ludus.envs.state import copy_value, hash_value
from ludus.envs.task import Task
from ludus.envs.text import Message


class Episode(Definition):
    """A definition with an episode in it. Subclass `TextEnv`, not this."""

    _config: dict[str, Any]
    """Constructor arguments that decide behaviour."""
    _base_names: frozenset[str]
    """Attributes of the base classes; all others are the author's, and state."""
    _no_rewards: dict[str, float]

    def _begin(self, task: Task, chance_seed: int) -> None:
        self.task = task
        self._task_key = task.key
        self._chance_seed = chance_seed
        self._chance: random.Random | None = None
        self._reseeds: list[tuple[int, int]] = []
        self._log: list[tuple[str, str]] = []
        self._waiting: tuple[str, ...] = ()
        self._moves: dict[str, Any] = {}
        self._mistakes: dict[str, int] = {}
        self._returns = self._no_rewards.copy()
        self._transcripts: dict[str, list[Message]] = {role: [] for role in self.ROLES}
        self._inbox: dict[str, list[str]] = {role: [] for role in self.ROLES}

    @property
    def chance(self) -> random.Random:
        """The stream for chance during the episode. The only randomness `_apply` may use."""
        if self._chance is None:
            self._chance = random.Random(self.task.seed << 64 | self._chance_seed)
        return self._chance

    def _reseed(self, seed: int) -> None:
        self._chance = random.Random(self.task.seed << 64 | seed)
        self._reseeds.append((len(self._log), seed))

    def get_state(self) -> dict[str, Any]:
        """The episode and all that decides how it goes on; picklable. For `set_state`."""
        base = self._base_names
        state = {k: v if k in base else copy_value(v) for k, v in self.__dict__.items()}
        # Of the base class's own attributes only these are changed in place.
        state["_log"] = self._log.copy()
        state["_reseeds"] = self._reseeds.copy()
        state["_moves"] = copy_value(self._moves)
        state["_mistakes"] = self._mistakes.copy()
        state["_returns"] = self._returns.copy()
        state["_transcripts"] = {role: said.copy() for role, said in self._transcripts.items()}
        state["_inbox"] = {role: news.copy() for role, news in self._inbox.items()}
        state["_chance"] = None if self._chance is None else copy_value(self._chance)
        state["_action_space"] = None  # it draws from the legal actions of one object
        state["_np_random"] = None  # only its seed is used, see reset
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go back to what `get_state` gave. The state may be set any number of times."""
        self.__dict__.clear()
        self.__dict__.update(state)
        self.__dict__.update(self.get_state())  # so that playing on leaves `state` as it is

    def replay(self) -> Replay:
        """The episode so far as its causes."""
        return Replay(
            self._config, self.task, self._chance_seed, tuple(self._log), tuple(self._reseeds)
        )

    def state_hash(self) -> str:
        """Equal for equal positions: all that the author's hooks stored, who is to act, and moves
        held. Not how the position came about, nor the chance to come."""
        own = {k: v for k, v in self.__dict__.items() if k not in self._base_names}
        return hash_value((own, self._waiting, self._moves))
