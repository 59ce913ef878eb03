"""Any environment with tools: a reply that calls one is a turn, its result an observation.

    env = with_tools("ludus/GuessNumber-v1", tools=["calculator"], call_format="hermes")

A result is text that the environment shows, so it is context and never trained on. A call that
cannot be read, names no tool, has wrong arguments or comes when none are left is a bad reply, and
is answered by the environment's policy on these. Calls cost `call_cost` of reward each and at most
`max_calls` are run, for each seat; tools pay nothing, so that there is nothing to farm.
"""

import importlib
from collections.abc import Sequence
from typing import Any

from ludus.envs.base import Info, TextEnv
from ludus.envs.definition import like, one_of
from ludus.envs.outcome import Outcome
from ludus.envs.registry import spec
from ludus.envs.task import Task, TaskSet
from ludus.envs.text import Message, Obs
from ludus.tools import Tool, find_tool
from ludus.tools.calls import CALL_FORMATS, BadCall, CallFormat, ToolCall

Step = tuple[Obs, float, bool, bool, Info]

TOOL_PARAMS: dict[str, Any] = {
    "tools": [], "call_format": "hermes", "max_calls": 8, "call_cost": 0.0,
}  # fmt: skip


class UsesTools(TextEnv):
    """Gives an environment tools: `class MyEnv(UsesTools, Plain)`, or `(UsesTools, TextEnv)`.

    Parameters, beside those of the plain environment, with `TOOL_PARAMS` as defaults:
        tools: Names, as `find_tool` knows them.
        call_format: A key of `CALL_FORMATS`.
        max_calls: Calls of a seat in an episode.
        call_cost: Taken from the reward of a turn that calls.
    """

    metadata: dict[str, Any] = {**TextEnv.metadata, "blocking": True}  # noqa: RUF012

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.PARAMS = {**cls.PARAMS, **{k: v for k, v in TOOL_PARAMS.items() if k not in cls.PARAMS}}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, default in TOOL_PARAMS.items():
            like(name, self.params[name], default)
        for name in self.params["tools"]:
            like("a tool's name", name, "python")
        one_of("call_format", self.params["call_format"], CALL_FORMATS)
        if self.params["max_calls"] < 0:
            raise ValueError(f"max_calls must be at least 0, got {self.params['max_calls']}")
        if any(tool.state == "exclusive" for tool in self.tools()):
            self.metadata = {**self.metadata, "fork": "none"}
        own = {"_calls_made", "_memories"}  # state of the episode, as an author's is
        self._base_names = (self._base_names | {"metadata", "tool_seconds"}) - own

    def _begin(self, task: Task, chance_seed: int) -> None:
        super()._begin(task, chance_seed)
        self._calls_made: dict[str, int] = {}
        self._memories: dict[str, dict[str, Any]] = {}
        self.tool_seconds = 0.0
        """Spent in tools in this object's episode."""

    @classmethod
    def tasks(cls, split: str = "train", **params: Any) -> TaskSet:
        """Those of the plain environment: tools change no task."""
        own = {name: value for name, value in params.items() if name not in TOOL_PARAMS}
        return super().tasks(split, **own)

    @property
    def call_format(self) -> CallFormat:
        """How calls are written."""
        return CALL_FORMATS[self.params["call_format"]]

    def tools(self) -> Sequence[Tool]:
        """What may be called. By default what `tools` names."""
        return [find_tool(name) for name in self.params["tools"]]

    def calls_left(self, seat: str) -> int:
        """How many calls a seat may still make."""
        most: int = self.params["max_calls"]
        return most - self._calls_made.get(seat, 0)

    def _opening(self, seat: str) -> str:
        if not (tools := self.tools()):
            return super()._opening(seat)
        calls = f"You have {self.params['max_calls']} calls."
        explained = f"{self._rules(seat)}\n\n{self.call_format.explain(tools)}\n{calls}\n"
        return f"{explained}\n{self.format.instruction}"

    def step(self, action: str, *, seat: str | None = None) -> Step:
        """As `TextEnv.step`; a reply that calls a tool is answered by its result.

        `info["tool_call"]` then has the tool's name and arguments, whether it failed, and the
        calls left; `info["metrics"]["calls"]` is how many its seat has made.
        """
        actor = seat or (self._waiting[0] if self._waiting else "")
        call, problem = self._read_call(action, actor)
        if actor not in self._waiting or (call is None and not problem):
            told = super().step(action, seat=seat)
            return self._with_calls(told, actor)
        self._log.append((actor, action))
        self._transcripts[actor].append(Message("assistant", action))
        if call is None or problem:
            told = self._finish_step(actor, self._answer_invalid(actor, problem), problem)
            return self._with_calls(told, actor)
        self._mistakes.pop(actor, None)
        (tool,) = (tool for tool in self.tools() if tool.name == call.name)
        memories = self._memories.setdefault(actor, {})
        result = tool.call(call.args, memories.get(tool.name))
        if tool.state == "snapshot":
            memories[tool.name] = result.memory
        self._calls_made[actor] = self._calls_made.get(actor, 0) + 1
        self.tool_seconds += result.seconds
        self._inbox[actor].append(self.call_format.show(result.text))
        cost = self.params["call_cost"]
        # As after a bad reply the same seat is asked again, and moves that are held stay held.
        told = self._finish_step(actor, Outcome({actor: -cost} if cost else {}), "a call")
        told[4]["invalid"] = ""
        told[4]["tool_call"] = {
            "name": call.name,
            "args": dict(call.args),
            "error": result.error,
            "left": self.calls_left(actor),
        }
        return self._with_calls(told, actor)

    def _with_calls(self, told: Step, actor: str) -> Step:
        calls = float(self._calls_made.get(actor, 0))
        told[4]["metrics"] = {**told[4].get("metrics", {}), "calls": calls}
        return told

    def _read_call(self, reply: str, seat: str) -> tuple[ToolCall | None, str]:
        """The call in a reply, and what is wrong with it."""
        tools = {tool.name: tool for tool in self.tools()}
        try:
            call = self.call_format.read(reply, list(tools.values())) if tools else None
        except BadCall as error:
            return None, str(error)
        if call is None:
            return None, ""
        if call.name not in tools:
            return call, f"no tool {call.name[:40]!r}, there are: {', '.join(tools)}"
        if wrong := tools[call.name].problem(call.args):
            return call, wrong
        if self.calls_left(seat) < 1:
            return call, "no calls are left"
        return call, ""


def with_tools(env: str | type[TextEnv], **options: Any) -> UsesTools:
    """An environment, by id or class, with tools.

    Args:
        env: Which.
        **options: As of the environment, and `TOOL_PARAMS`.
    """
    if isinstance(env, str):
        found = spec(env)
        options = {**found.kwargs, **options}
        env = found.load()
    return class_with_tools(env)(**options)


_made: dict[type[TextEnv], type[UsesTools]] = {}


def class_with_tools(env: type[TextEnv]) -> type[UsesTools]:
    """The class of `with_tools`. Other processes find it by its name, see `__getattr__`."""
    if issubclass(env, UsesTools):
        return env
    if env in _made:
        return _made[env]
    made: type[UsesTools] = type(
        f"WithTools:{env.__module__.replace('.', '/')}:{env.__qualname__}",
        (UsesTools, env),
        {
            "__module__": __name__,
            "__doc__": env.__doc__,
            "metadata": {**env.metadata, "blocking": True},
        },
    )
    _made[env] = made
    return made


def __getattr__(name: str) -> Any:
    kind, _, where = name.partition(":")
    module, _, qualname = where.partition(":")
    if kind != "WithTools" or not qualname:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return class_with_tools(getattr(importlib.import_module(module.replace("/", ".")), qualname))
