"""Tasks: one problem instance each, in splits that cannot overlap by arithmetic."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, overload


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from any parts: equal parts give equal seeds, in any process.

    >>> derive_seed("train", 0) == derive_seed("train", 0) != derive_seed("test", 0)
    True
    """
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def content_split(kind: str, text: str) -> str:
    """The split that a text of a kind belongs to, wherever it occurs: 8 of 10 to train, one each to
    valid and test."""
    return {8: "valid", 9: "test"}.get(derive_seed(kind, text) % 10, "train")


@dataclass(frozen=True)
class Task:
    """One problem instance of an environment: everything that decides its initial world."""

    env_id: str
    split: str
    index: int
    seed: int
    """Builds the world. Chance during an episode has a stream of its own: `reset(seed=)`."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Generator settings or a data row; JSON."""

    @classmethod
    def at(cls, env_id: str, split: str, index: int, params: Mapping[str, Any]) -> "Task":
        """The task at a place of a split. Its seed hashes the place, so splits never share one."""
        return cls(env_id, split, index, derive_seed(env_id, split, index), params)

    @property
    def key(self) -> str:
        """Content hash, 16 hex digits: equal for equal worlds, whatever split names them."""
        text = json.dumps(dict(self.params), sort_keys=True) if self.params else ""
        return blake2b(f"{self.env_id}|{self.seed}|{text}".encode(), digest_size=8).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As JSON types; `Task(**record)` reads it back."""
        return {
            "env_id": self.env_id,
            "split": self.split,
            "index": self.index,
            "seed": self.seed,
            "params": dict(self.params),
        }

    def __hash__(self) -> int:
        return hash(self.key)


class TaskSet(Sequence[Task]):
    """The tasks of one split, made when looked at.

    >>> tasks = TaskSet("ludus/KuhnPoker-v1", "train", 2**31, {})
    >>> len(tasks), tasks[7] == tasks.head(10)[7]
    (2147483648, True)
    """

    def __init__(
        self,
        env_id: str,
        split: str,
        size: int,
        params: Mapping[str, Any],
        indices: Sequence[int] | None = None,
    ) -> None:
        self.env_id, self.split, self.params = env_id, split, params
        self._indices: Sequence[int] = range(size) if indices is None else indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, i: int) -> Task: ...
    @overload
    def __getitem__(self, i: slice) -> "TaskSet": ...
    def __getitem__(self, i: int | slice) -> "Task | TaskSet":
        if isinstance(i, slice):
            return self._chosen(self._indices[i])
        return Task.at(self.env_id, self.split, self._indices[i], self.params)

    def __iter__(self) -> Iterator[Task]:
        return (self[i] for i in range(len(self)))

    def head(self, n: int) -> "TaskSet":
        """The first n."""
        return self[:n]

    def shuffle(self, seed: int, n: int | None = None) -> "TaskSet":
        """n of them (all by default), drawn without replacement in an order that `seed` decides."""
        count = len(self) if n is None else min(n, len(self))
        order = random.Random(seed).sample(range(len(self)), count)
        return self._chosen([self._indices[i] for i in order])

    def _chosen(self, indices: Sequence[int]) -> "TaskSet":
        return TaskSet(self.env_id, self.split, 0, self.params, indices)


class Rows(TaskSet):
    """Tasks that are listed: what a task is lies in its parameters, and its seed is 0, so that it
    has one key wherever it is listed."""

    def __init__(
        self,
        env_id: str,
        split: str,
        rows: Sequence[Mapping[str, Any]],
        indices: Sequence[int] | None = None,
    ) -> None:
        super().__init__(env_id, split, len(rows), {}, indices)
        self.rows = rows

    @overload
    def __getitem__(self, i: int) -> Task: ...
    @overload
    def __getitem__(self, i: slice) -> "Rows": ...
    def __getitem__(self, i: int | slice) -> "Task | Rows":
        if isinstance(i, slice):
            return self._chosen(self._indices[i])
        index = self._indices[i]
        return Task(self.env_id, self.split, index, 0, self.rows[index])

    def _chosen(self, indices: Sequence[int]) -> "Rows":
        return Rows(self.env_id, self.split, self.rows, indices)
