"""Text as Gymnasium sees it: messages, observations, and a space whose vector environments work.

`gymnasium.spaces.Text` has three faults for language agents, all measured on Gymnasium 1.0 to
1.4: its `contains` walks every character in Python, any character outside a fixed alphabet is
"not in space", and `AsyncVectorEnv` with default arguments returns strings of zeros because the
shared buffer is decoded once and never again. `TextSpace` is a `Text` without them.
"""

from collections.abc import Callable, Iterator, Sequence
from multiprocessing import sharedctypes
from typing import Any, NamedTuple

import gymnasium.vector.utils.shared_memory as shm
from gymnasium.spaces import Text


class Message(NamedTuple):
    """One entry of a conversation, as chat templates take it."""

    role: str
    """ "user" for what the environment says, "assistant" for what the agent said, "tool"."""
    content: str


class Obs(str):
    """What a seat is shown: a plain `str` that remembers the messages it was made from.

    >>> obs = Obs("your move", (Message("user", "your move"),))
    >>> obs == "your move", obs.messages[0].role
    (True, 'user')
    """

    messages: tuple[Message, ...]
    """What this seat has been told since it last acted."""

    # PettingZoo's api_test reads both from every observation and fails on a bare str.
    dtype = str
    shape: tuple[int, ...] = ()

    def __new__(cls, text: str = "", messages: tuple[Message, ...] = ()) -> "Obs":
        self = str.__new__(cls, text)
        self.messages = messages
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (Obs, (str(self), self.messages))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Obs":
        return self  # immutable all the way down


class TextSpace(Text):
    """Any Unicode text of bounded length; membership is a type and a length check.

    Args:
        max_length: In characters.
        min_length: In characters.
        legal: Gives the texts that are legal now, or None. `sample` draws from them, so that
            random rollouts and other people's checkers play real moves. Left behind when the
            space is pickled or copied.
        seed: For `sample`.
    """

    def __init__(
        self,
        max_length: int = 65_536,
        *,
        min_length: int = 0,
        legal: Callable[[], Sequence[str] | None] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(max_length, min_length=min_length, seed=seed)
        self.legal = legal

    def contains(self, x: Any) -> bool:
        """Whether x is a string of allowed length."""
        return isinstance(x, str) and self.min_length <= len(x) <= self.max_length

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A legal text where the legal ones are known, else a few random letters."""
        legal = self.legal() if self.legal is not None and mask is None else None
        if legal:
            return legal[int(self.np_random.integers(len(legal)))]
        if mask is None and probability is None:
            # Gymnasium would draw any length up to the maximum: 32,000 letters on average.
            length = self.np_random.integers(self.min_length, max(self.min_length, 32) + 1)
            mask = (min(int(length), self.max_length), None)
        return str(super().sample(mask, probability))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextSpace) and (self.min_length, self.max_length) == (
            other.min_length,
            other.max_length,
        )

    __hash__ = None  # type: ignore[assignment]  # as every Gymnasium space: equal by value

    def __repr__(self) -> str:
        return f"TextSpace({self.min_length}, {self.max_length})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "legal": None}

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)

    def __deepcopy__(self, memo: dict[int, Any]) -> "TextSpace":
        return TextSpace(self.max_length, min_length=self.min_length)


# Shared memory of asynchronous vector environments: per slot a 4-byte length, then UTF-8.


class _SharedTexts(Sequence[str]):
    """Reads the slots when they are looked at; a deep copy is a tuple of plain strings."""

    def __init__(self, buffer: Any, num_envs: int, slot_bytes: int) -> None:
        self._buffer, self._num_envs, self._slot_bytes = buffer, num_envs, slot_bytes

    def __len__(self) -> int:
        return self._num_envs

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return tuple(self)[i]
        if not -self._num_envs <= i < self._num_envs:
            raise IndexError(i)
        view, start = memoryview(self._buffer).cast("B"), (i % self._num_envs) * self._slot_bytes
        size = int.from_bytes(view[start : start + 4], "little")
        return bytes(view[start + 4 : start + 4 + size]).decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(self._num_envs))

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)


def _slot_bytes(space: TextSpace) -> int:
    return 4 * space.max_length + 4  # UTF-8 takes at most four bytes a character


@shm.create_shared_memory.register(TextSpace)
def _create(space: TextSpace, n: int = 1, ctx: Any = sharedctypes) -> Any:
    return ctx.Array("B", n * _slot_bytes(space))


@shm.read_from_shared_memory.register(TextSpace)
def _read(space: TextSpace, shared_memory: Any, n: int = 1) -> _SharedTexts:
    return _SharedTexts(shared_memory.get_obj(), n, _slot_bytes(space))


@shm.write_to_shared_memory.register(TextSpace)
def _write(space: TextSpace, index: int, value: str, shared_memory: Any) -> None:
    data = value.encode("utf-8", "surrogatepass")
    view, start = memoryview(shared_memory.get_obj()).cast("B"), index * _slot_bytes(space)
    view[start : start + 4] = len(data).to_bytes(4, "little")
    view[start + 4 : start + 4 + len(data)] = data
