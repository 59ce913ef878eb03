"""What a method may need of an environment, and which environments have it."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ludus.envs import registry
from ludus.envs.base import TextEnv
from ludus.envs.toolenv import UsesTools


@dataclass(frozen=True, slots=True)
class Need:
    """A requirement."""

    what: str
    """A noun, as in "that takes two seats"."""
    has: Callable[[TextEnv], bool]
    """Whether this environment, with its parameters, has it."""
    tag: str = ""
    """Only environments with it can."""


def _knows_answers(env: TextEnv) -> bool:
    env.reset(seed=0)
    golden = env.golden(env.acting[0])
    return golden is not None and golden.answer is not None


def _knows_plans(env: TextEnv) -> bool:
    env.reset(seed=0)
    golden = env.golden(env.acting[0])
    return golden is not None and bool(golden.plan)


def _has_tools(env: TextEnv) -> bool:
    return isinstance(env, UsesTools) and bool(env.tools()) and env.params["max_calls"] > 0


NEEDS: Mapping[str, Need] = {
    "seats": Need("two seats or more", lambda env: len(env.ROLES) > 1),
    "one seat": Need("exactly one seat", lambda env: len(env.ROLES) == 1),
    "golden": Need("golden answers", _knows_answers, tag="golden"),
    "plan": Need("plans that solve the task", _knows_plans, tag="golden"),
    "success": Need("episodes that are solved or not", lambda env: env.solvable),
    "tools": Need("tools to call", _has_tools, tag="tools"),
    "fork": Need("episodes that fork", lambda env: env.metadata["fork"] != "none"),
}


def check_needs(env: TextEnv, wanted: Mapping[str, str]) -> None:
    """Whether an environment has what is asked of it.

    Args:
        env: The environment.
        wanted: Names of `NEEDS`, and who asks.

    Raises:
        ValueError: If something is missing; names the environments that have it.
    """
    for name, who in wanted.items():
        if not NEEDS[name].has(env):
            have = having(name)
            shown = ", ".join(have[:8]) + (f" and {len(have) - 8} more" if len(have) > 8 else "")
            where = f"as in {shown}" if have else "which no environment here has"
            raise ValueError(
                f"{env.ENV_ID} will not do for {who}: that takes {NEEDS[name].what}, {where}"
            )


def having(name: str) -> list[str]:
    """Environments that have what a need names, of those that can be made here."""
    need, found = NEEDS[name], []
    for spec in registry.specs():
        if need.tag and need.tag not in spec.tags:
            continue
        # One whose extra or data is not here cannot be asked, nor advised.
        with contextlib.suppress(ImportError, OSError, ValueError):
            if need.has(registry.make(spec.id)):
                found.append(spec.id)
    return found
