"""Names of environments: `make("ludus/KuhnPoker-v1")`, suites, and other packages' own.

Every id is also registered with Gymnasium, so `gymnasium.make` and `gymnasium.make_vec` take it
once `ludus` is imported. A package adds its environments by the entry-point group `ludus.envs`:
each entry point names a module (or a function) whose import (or call) registers them.
"""

import copy
import difflib
import importlib
import importlib.metadata
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import gymnasium
from gymnasium.envs.registration import parse_env_id
from gymnasium.vector import AutoresetMode

from ludus.envs.base import TextEnv
from ludus.envs.definition import blame

ENTRY_POINT_GROUP = "ludus.envs"
_ID = re.compile(r"[\w-]+/[\w-]+-v\d+")


class UnknownEnv(ValueError):  # noqa: N818  # reads as what it is
    """No environment has this id."""


class MissingExtra(ModuleNotFoundError):  # noqa: N818  # reads as what it is
    """An environment's optional dependency is not installed; the message has the command."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What the registry knows of an environment."""

    id: str
    entry_point: str | type[TextEnv]
    """The class, or "module:Class", imported when first made."""
    tags: tuple[str, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Constructor arguments that make this id what it is."""

    def load(self) -> type[TextEnv]:
        """The class.

        Raises:
            UnknownEnv: If there is none where it should be.
        """
        if not isinstance(self.entry_point, str):
            return self.entry_point
        module, _, name = self.entry_point.partition(":")
        loaded: Any = getattr(_imported(module, self.id), name, None)
        if not _is_env_class(loaded):
            raise UnknownEnv(f"{self.id}: {module} has no TextEnv class {name!r}")
        found: type[TextEnv] = loaded
        _named(found, self.id)
        return found


def _is_env_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, TextEnv)


def _named(env_class: type[TextEnv], id: str) -> None:
    """Tell a class its id, if it has none of its own: one that it inherits is another's."""
    if not vars(env_class).get("ENV_ID"):
        env_class.ENV_ID = id


def _imported(module: str, id: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{module}.".startswith(f"{missing}."):
            raise UnknownEnv(
                f"no module {missing!r} to import {id!r} from, neither installed nor in this folder"
            ) from error
        if module.startswith("ludus."):
            raise  # an extra, which the command line knows
        raise UnknownEnv(f"{id}: {module} needs the module {missing!r}") from error


_SPECS: dict[str, Spec] = {}
_SUITES: dict[str, list[str]] = {}
_plugins_loaded = False


def register(
    id: str,
    entry_point: str | type[TextEnv],
    *,
    tags: Sequence[str] = (),
    suites: Sequence[str] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> None:
    """Give an environment a name, here and in Gymnasium.

    Registering an id again replaces it, as in Gymnasium. A class given directly must be importable
    from worker processes to be used in asynchronous vector environments.

    Args:
        id: `namespace/Name-vN`. A change of behaviour is a new version.
        entry_point: The `TextEnv` class, or "module:Class".
        tags: For `ludus list`.
        suites: Named lists of ids that this one joins.
        kwargs: Constructor arguments.

    Raises:
        ValueError: If the id or the entry point is not of that form.
        TypeError: If the entry point is something else.
    """
    try:
        namespace, _, version = parse_env_id(id)
    except gymnasium.error.Error:
        namespace = version = None
    if namespace is None or version is None:
        raise ValueError(f"an environment id is namespace/Name-vN, got {id!r}")
    if isinstance(entry_point, str):
        if not re.fullmatch(r"[\w.]+:\w+", entry_point):
            raise ValueError(f"an entry point is module:Class, got {entry_point!r}")
    elif not _is_env_class(entry_point):
        raise TypeError(f"{id} must be a TextEnv class or module:Class, got {entry_point!r}")
    else:
        _named(entry_point, id)
    _SPECS[id] = Spec(id, entry_point, tuple(tags), dict(kwargs or {}))
    for suite_name in suites:
        members = _SUITES.setdefault(suite_name, [])
        if id not in members:
            members.append(id)
    gymnasium.registry.pop(id, None)  # without this Gymnasium warns on every second registration
    gymnasium.register(id, entry_point="ludus:make", kwargs={"env_id": id})


def _load_plugins() -> None:
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        try:
            loaded = entry.load()
            if callable(loaded):
                loaded()
        except Exception as error:  # another package's fault must not hide our environments
            warnings.warn(
                f"environments of plugin {entry.name!r} left out: {error!r}", stacklevel=3
            )


def spec(id: str) -> Spec:
    """What is known of an id; "module:id" imports the module first.

    Raises:
        UnknownEnv: If nothing has it; the message names the nearest ids.
    """
    module = ""
    if ":" in id:
        module, _, id = id.partition(":")
        module = module.removesuffix(".py")
        _imported(module, id)
    if id not in _SPECS:
        _load_plugins()
    if id not in _SPECS:
        where = f" in {module}" if module else ""
        raise UnknownEnv(f"unknown environment {id!r}{where}, {_instead(id, bool(module))}")
    return _SPECS[id]


def _instead(id: str, from_module: bool) -> str:
    """What somebody may have meant by an id that nothing has."""
    namespace, _, _ = id.partition("/")
    proper = _ID.fullmatch(id) is not None
    foreign = not any(known.startswith(f"{namespace}/") for known in _SPECS)
    if proper and foreign and not from_module:
        return f"name the module that registers it as well, as in my_module:{id}"
    named = {_bare(known): known for known in _SPECS}
    if near := difflib.get_close_matches(_bare(id), named, n=3, cutoff=0.6):
        return f"nearest: {', '.join(named[name] for name in near)}"
    if near := difflib.get_close_matches(id, _SUITES, n=1):
        return f"did you mean the suite {near[0]}?"
    if not proper:
        return "an id is namespace/Name-vN, or my_module:namespace/Name-vN"
    return "ludus list shows those there are"


def _bare(id: str) -> str:
    """An id's name alone, as far as people agree on how to write it."""
    name = re.sub(r"-v\d+$", "", id.rpartition("/")[2])
    return re.sub(r"[\W_]", "", name).casefold()


def specs() -> list[Spec]:
    """All environments, other packages' included, by id."""
    _load_plugins()
    return [_SPECS[id] for id in sorted(_SPECS)]


def suites() -> dict[str, tuple[str, ...]]:
    """All suites: name -> ids."""
    _load_plugins()
    return {name: tuple(_SUITES[name]) for name in sorted(_SUITES)}


def suite(name: str) -> tuple[str, ...]:
    """The ids of a suite.

    Raises:
        ValueError: If there is none of that name.
    """
    _load_plugins()
    if name not in _SUITES:
        raise ValueError(f"unknown suite {name!r}, known: {', '.join(sorted(_SUITES))}")
    return tuple(_SUITES[name])


def make(id: str, **kwargs: Any) -> TextEnv:
    """Build an environment, without wrappers.

    Raises:
        UnknownEnv: If nothing has the id.
        ValueError, TypeError: As the environment's constructor.
    """
    found = spec(id)
    cls, given = found.load(), {**found.kwargs, **kwargs}
    try:
        env = cls(**given)
    except Exception as error:
        blame(error, given, cls.PARAMS)
        raise
    env.spec = copy.deepcopy(gymnasium.spec(found.id))  # Gymnasium hands out its own record
    env.spec.kwargs.update(kwargs)
    return env


def make_vec(
    id: str, num_envs: int, *, mode: str = "sync", **kwargs: Any
) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    """A Gymnasium vector environment whose observations are the texts that were sent.

    Episodes that end wait for `reset(options={"reset_mask": ...})`, so that no last observation is
    lost. "sync" steps in this process and is the faster for all but slow environments; "async"
    has a process for each.

    Raises:
        ValueError: If the mode is neither.
    """
    if mode not in ("sync", "async"):
        raise ValueError(f"unknown mode {mode!r}, allowed: sync, async")
    found = spec(id)
    return gymnasium.make_vec(
        found.id,
        num_envs=num_envs,
        vectorization_mode=mode,
        vector_kwargs={"autoreset_mode": AutoresetMode.DISABLED},
        **kwargs,
    )
