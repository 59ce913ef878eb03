"""Parts by name: "gigpo", "gigpo:gamma=0.9,norm=std", or anybody's own, "package.module:Name"."""

import difflib
import importlib
import inspect
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
    known = _settings(factory)
    for setting in filter(None, ":".join(rest).split(",")):
        key, equals, text = (part.strip() for part in setting.partition("="))
        if not equals:
            raise ValueError(f"a setting of {kind} {name} is KEY=VALUE, got {setting!r}")
        if known is not None and key not in known:
            have = f"it has: {', '.join(known)}" if known else "nor any other"
            raise ValueError(f"{kind} {name} has no setting {key!r}, {have}")
        of = "" if known is None else known[key]
        if (value := _read(text, of)) is None:
            raise ValueError(f"setting {key} of {kind} {name} is {KINDS[of]}, got {text!r}")
        settings[key] = value
    try:
        return factory(**settings)
    except TypeError as error:
        raise ValueError(f"{kind} {name}: {error}") from error


KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a text"}
"""Of settings, by the annotation of the argument."""


def _settings(factory: Callable[..., Any]) -> dict[str, str] | None:
    """What a spec may set, and of what kind, "" if the factory does not say; None if it takes
    anything."""
    found: dict[str, str] = {}
    # A class that hands further arguments on has those of its base as well.
    for of in inspect.getmro(factory) if inspect.isclass(factory) else (factory,):
        try:
            arguments = inspect.signature(of).parameters.values()
        except (TypeError, ValueError):  # some builtins have none
            return None
        for p in arguments:
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                kind = getattr(p.annotation, "__name__", str(p.annotation))
                found.setdefault(p.name, "" if p.annotation is p.empty else kind)
        if not any(p.kind is p.VAR_KEYWORD for p in arguments):
            return {name: kind for name, kind in found.items() if kind in ("", *KINDS)}
    return None


def _read(text: str, kind: str) -> bool | int | float | str | None:
    """A setting's value; None if it is not of the kind."""
    if kind == "str":
        return text
    value = read_value(text)
    if not kind:
        return value
    if kind == "bool" or isinstance(value, bool):
        return value if kind == "bool" and isinstance(value, bool) else None
    fits = isinstance(value, int) or (kind == "float" and isinstance(value, float))
    return value if fits and value == value else None  # not a number is none


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
