"""Parts by name: "gigpo", "gigpo:gamma=0.9,norm=std", or anybody's own, "package.module:Name"."""

import difflib
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

P = TypeVar("P")


class Stateless:
    """A part that keeps nothing between steps."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take over."""


def make_part(kind: str, spec: str, table: Mapping[str, Callable[..., P]], **defaults: Any) -> P:
    """Build what a spec names.

    Args:
        kind: What it is, for messages.
        spec: A name in the table, or "module:attribute"; then, after a colon, its settings.
        table: The names.
        **defaults: Settings that the spec may override; those a factory of the table does not take
            must not be given.

    Raises:
        ValueError: If there is no such part, or it refuses its settings; one line.

    >>> make_part("number", "int", {"int": lambda x=1: x}), make_part("number", "int:x=3", {
    ...     "int": lambda x=1: x})
    (1, 3)
    """
    name, *rest = spec.split(":")
    factory: Callable[..., P]
    if name not in table and rest and "=" not in rest[0]:
        name, factory = f"{name}:{rest[0]}", _imported(kind, name, rest.pop(0))
    else:
        one_of(kind, name, tuple(table), ", or module:attribute")
        factory = table[name]
    settings = dict(defaults)
    for setting in filter(None, ":".join(rest).split(",")):
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"a setting of {kind} {name} is KEY=VALUE, got {setting!r}")
        settings[key.strip()] = read_value(value.strip())
    try:
        return factory(**settings)
    except TypeError as error:
        raise ValueError(f"{kind} {name}: {error}") from error


def one_of(kind: str, name: object, allowed: Sequence[str], more: str = "") -> None:
    """Refuse a name that is not allowed.

    Raises:
        ValueError: Naming the nearest and all that are.

    >>> one_of("loss", "pop", ("ppo", "gspo"))
    Traceback (most recent call last):
    ValueError: unknown loss 'pop', nearest: ppo, allowed: ppo, gspo
    """
    if name in allowed:
        return
    near = difflib.get_close_matches(str(name), allowed, n=1)
    hint = f"nearest: {near[0]}, " if near else ""
    raise ValueError(f"unknown {kind} {name!r}, {hint}allowed: {', '.join(allowed)}{more}")


def read_value(text: str) -> bool | int | float | str:
    """A setting's value: a truth, a number, else the text.

    >>> read_value("true"), read_value("3"), read_value("1e-3"), read_value("std")
    (True, 3, 0.001, 'std')
    """
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _imported(kind: str, module: str, attribute: str) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{kind} {module}:{attribute} cannot be imported: {error}") from error
    return found
