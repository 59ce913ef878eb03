"""Copying and hashing the plain Python data that an environment's state is made of."""

import copy
import enum
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

_ATOMS = frozenset({int, float, str, bytes, bool, complex, type(None), range, frozenset, type})


def copy_value(value: Any) -> Any:
    """An independent copy; what cannot change is shared.

    Several times faster than `copy.deepcopy` on the lists, dicts and tuples that game states are
    made of, because it keeps no memo: do not put one mutable object in two places of a state.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is list:
        return [v if type(v) in _ATOMS else copy_value(v) for v in value]
    if kind is dict:
        return {k: v if type(v) in _ATOMS else copy_value(v) for k, v in value.items()}
    if kind is tuple:
        for v in value:
            if type(v) not in _ATOMS:
                return tuple([copy_value(v) for v in value])
        return value
    if kind is set:
        return set(value)
    if kind is random.Random:
        twin = random.Random.__new__(random.Random)
        twin.setstate(value.getstate())
        return twin
    if isinstance(value, enum.Enum):
        return value
    return copy.deepcopy(value)


def _canonical(value: Any) -> str:
    """One text for equal values, whatever the order of a set or dict or the hash seed."""
    match value:
        case enum.Enum():
            return f"{type(value).__qualname__}.{value.name}"
        case str() | int() | float() | bool() | None | bytes() | bytearray() | range() | complex():
            return repr(value)
        case list() | tuple() | deque():
            return f"({','.join(map(_canonical, value))})"
        case Mapping():
            items = sorted(f"{_canonical(k)}:{_canonical(v)}" for k, v in value.items())
            return f"{{{','.join(items)}}}"
        case set() | frozenset():
            return f"<{','.join(sorted(map(_canonical, value)))}>"
        case np.ndarray():
            return f"{value.dtype}{value.shape}{value.tobytes().hex()}"
        case np.generic():
            return repr(value.item())
        case random.Random() | np.random.Generator():
            return ""  # two states that differ only in chance yet to come are the same position
        case type():
            return value.__qualname__
        case _ if is_dataclass(value):
            own = {field.name: getattr(value, field.name) for field in fields(value)}
            return f"{type(value).__qualname__}{_canonical(own)}"
        case _:
            try:
                return f"{type(value).__qualname__}{_canonical(vars(value))}"
            except TypeError:
                kind = type(value).__qualname__
                raise TypeError(f"a {kind} cannot be hashed") from None


def hash_value(value: Any) -> str:
    """16 hex digits, equal for equal data in any process."""
    return blake2b(_canonical(value).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
