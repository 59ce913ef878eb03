"""The state of an episode: what decides it, and how it is looked at, forked, hashed, recorded."""

import random
from collections.abc import Callable, Mapping
from typing import Any, Self

from ludus.envs.definition import Definition
from ludus.envs.outcome import Outcome, Replay
from ludus.envs.state import copy_value, hash_value
from ludus.envs.task import Task, TaskSet, derive_seed
from ludus.envs.text import Message


class Episode(Definition):
    """A definition with an episode in it. Subclass `TextEnv`, not this."""

    _config: dict[str, Any]
    """Constructor arguments that decide behaviour."""
    _base_names: frozenset[str]
    """Attributes of the base classes; all others are the author's, and state."""
    _no_rewards: dict[str, float]
    _task_sets: dict[str, TaskSet]
    split: str
    params: dict[str, Any]

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

    def _choose_task(self, options: Mapping[str, Any], draw: int) -> Task:
        if unknown := options.keys() - {"task", "split", "index"}:
            raise ValueError(f"reset options are task, split, index, not {sorted(unknown)[0]!r}")
        task = options.get("task")
        if isinstance(task, Task) and task.env_id == self.ENV_ID:
            return task
        if task is not None:
            raise ValueError(f"options['task'] must be a Task of {self.ENV_ID}, got {task!r}")
        split = options.get("split", self.split)
        tasks = self._task_sets.get(split)
        if tasks is None:
            tasks = self._task_sets[split] = self.tasks(split, **self.params)
            if not isinstance(tasks, TaskSet):
                raise TypeError(f"tasks must give a TaskSet, such as Rows, it gave {tasks!r:.60}")
        size = len(tasks)
        index: int = options.get("index", draw % size)
        if not 0 <= index < size:
            raise ValueError(f"split {split!r} has tasks 0 to {size - 1}, not {index}")
        return tasks[index]

    @property
    def acting(self) -> tuple[str, ...]:
        """Seats whose reply is awaited; () when the episode is over."""
        return self._waiting

    @property
    def returns(self) -> dict[str, float]:
        """Sum of rewards so far, per seat."""
        return dict(self._returns)

    def transcript(self, seat: str) -> tuple[Message, ...]:
        """All that was said to and by a seat. It only ever grows."""
        return tuple(self._transcripts[seat])

    @property
    def chance(self) -> random.Random:
        """The stream for chance during the episode. The only randomness `_apply` may use."""
        if self._chance is None:
            self._chance = self._stream(self._chance_seed)
        return self._chance

    def _stream(self, seed: int) -> random.Random:
        return random.Random(self.task.seed << 64 | seed)

    def _reseed(self, seed: int) -> None:
        self._chance = self._stream(seed)
        self._reseeds.append((len(self._log), seed))

    def fork(self, n: int = 1, *, reseed: int | None = None) -> list[Self]:
        """Independent copies of the episode as it stands.

        Args:
            n: How many.
            reseed: Gives copy i a chance stream of its own, from (reseed, i); by default all go on
                with the stream of the original.

        Raises:
            ValueError: If the environment cannot be forked.
        """
        if self.metadata["fork"] == "none":
            raise ValueError(f"{self.ENV_ID} cannot be forked")
        twins = [self._copy() for _ in range(n)]
        if reseed is not None:
            for i, twin in enumerate(twins):
                twin._reseed(derive_seed("fork", reseed, i))
        return twins

    def _copy(self) -> Self:
        twin = object.__new__(type(self))
        if self.metadata["fork"] == "state":
            twin.__dict__.update(self.get_state())
        else:
            twin.set_state(self.get_state())
        for name in self.DERIVED:
            setattr(twin, name, getattr(self, name))
        return twin

    def get_state(self) -> dict[str, Any]:
        """The episode and all that decides how it goes on; picklable. For `set_state`."""
        base = self._base_names
        try:
            state = {k: v if k in base else copy_value(v) for k, v in self.__dict__.items()}
        except TypeError:
            self._check_plain(copy_value)
            raise
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
        state.update(dict.fromkeys(self.DERIVED))
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go back to what `get_state` gave. The state may be set any number of times."""
        self.__dict__.clear()
        self.__dict__.update(state)
        self.__dict__.update(self.get_state())  # so that playing on leaves `state` as it is

    def __getstate__(self) -> dict[str, Any]:
        return self.get_state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.set_state(state)

    def replay(self) -> Replay:
        """The episode so far as its causes."""
        return Replay(
            self._config, self.task, self._chance_seed, tuple(self._log), tuple(self._reseeds)
        )

    def _summary(self, outcome: Outcome, truncated: bool) -> dict[str, Any]:
        ranking = sorted(self.ROLES, key=self._returns.__getitem__, reverse=True)
        draw = len(ranking) < 2 or self._returns[ranking[0]] == self._returns[ranking[1]]
        return {
            "returns": self._returns.copy(),
            "winner": "" if draw else ranking[0],
            "success": outcome.success,
            "reason": outcome.reason or ("turn limit" if truncated else ""),
        }

    def state_hash(self) -> str:
        """Equal for equal positions: all that the author's hooks stored, who is to act, and moves
        held. Not how the position came about, nor the chance to come."""
        own = {k: v for k, v in self.__dict__.items() if k not in self._base_names}
        try:
            return hash_value((own, self._waiting, self._moves))
        except TypeError:
            self._check_plain(hash_value)
            raise

    def _check_plain(self, use: Callable[[Any], Any]) -> None:
        """Raise the error that names the attribute that cannot be copied or hashed."""
        for name, value in self.__dict__.items():
            if name not in self._base_names:
                try:
                    use(value)
                except TypeError as error:
                    text = f"self.{name} is not plain data, which state must be: {error}"
                    raise TypeError(text) from None
