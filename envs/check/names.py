"""Names that an author took although `TextEnv` uses them: Python does not tell."""

import dis
import inspect

from ludus.envs.base import TextEnv
from ludus.envs.definition import Definition


class _Bare(TextEnv):
    """Has the base class's attributes alone."""


def taken(env_class: type[TextEnv]) -> str:
    """The first name that is `TextEnv`'s own, and where it is used; "" if there is none.

    Attributes that a method assigns, and private methods that are no hooks. Those with the
    parameters of the method they replace are taken for overrides that are meant.
    """
    attributes = _Bare()._base_names
    for kind in env_class.__mro__:
        if kind in TextEnv.__mro__ or kind.__module__.startswith("ludus."):
            continue
        for name, member in vars(kind).items():
            function = inspect.unwrap(getattr(member, "__func__", member))
            if not inspect.isfunction(function):
                continue
            if _replaces(name, function):
                return f"{kind.__name__}.{name} replaces a method of TextEnv: name it otherwise"
            for step in dis.get_instructions(function):
                if step.opname == "STORE_ATTR" and step.argval in attributes:
                    where = f"{kind.__name__}.{name} sets self.{step.argval}"
                    return f"{where}, which is TextEnv's own: name it otherwise"
    return ""


def _replaces(name: str, function: object) -> bool:
    own = getattr(TextEnv, name, None)
    if not name.startswith("_") or name.startswith("__") or hasattr(Definition, name):
        return False
    return callable(own) and [*inspect.signature(own).parameters] != [
        *inspect.signature(function).parameters  # type: ignore[arg-type]
    ]
