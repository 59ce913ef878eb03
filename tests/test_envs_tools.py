"""Environments with tools."""

import pickle
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

import ludus
from ludus.envs import Message, Outcome, Task, TextEnv
from ludus.envs.toolenv import UsesTools, with_tools
from ludus.testing import check_env
from ludus.tools import TOOLS, Tool, ToolResult, tool
from ludus.tools.calls import ToolCall

GAMES = ("ludus/GuessNumber-v1", "ludus/KuhnPoker-v1", "ludus/TicTacToe-v1")


@tool(name="notes", state="snapshot")
def notes(memory: list[str] | None, line: str) -> ToolResult:
    """Write a line; returns all."""
    now = [*(memory or []), line]
    return ToolResult("\n".join(now), memory=now)


@tool(name="printer", state="exclusive")
def printer(text: str) -> str:
    """Print."""
    return text


@pytest.fixture(autouse=True)
def more_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOOLS, "notes", notes)
    monkeypatch.setitem(TOOLS, "printer", printer)


def call(env: UsesTools, name: str, args: Mapping[str, Any]) -> str:
    return env.call_format.write(ToolCall(name, args))


def guessing(**options: Any) -> UsesTools:
    env = with_tools("ludus/GuessNumber-v1", **{"tools": ["calculator", "notes"], **options})
    env.reset(seed=1)
    return env


@pytest.mark.parametrize("form", ["hermes", "json"])
def test_a_call_is_a_turn_and_its_result_an_observation(form: str) -> None:
    env = guessing(call_format=form, call_cost=0.125)
    told = env.transcript("player_0")[0].content
    assert "calculator" in told
    assert "8 calls" in told
    left = env._left  # type: ignore[attr-defined]
    reply = "Let me see. " + call(env, "calculator", {"expression": "3 * 4"})
    obs, reward, terminated, truncated, info = env.step(reply)
    assert obs == env.call_format.show("12")
    assert (reward, terminated, truncated) == (-0.125, False, False)
    assert info["tool_call"] == {
        "name": "calculator", "args": {"expression": "3 * 4"}, "error": False, "left": 7,
    }  # fmt: skip
    assert info["invalid"] == ""
    assert info["turn"] == 1
    assert env._left == left  # type: ignore[attr-defined]  # the game has not moved
    assert env.transcript("player_0")[-2:] == (Message("assistant", reply), Message("user", obs))
    golden = env.golden()
    assert golden is not None
    assert golden.action is not None
    *_, info = env.step(golden.action)
    assert info["outcome"]["success"]
    assert info["outcome"]["returns"]["player_0"] == 1 - 0.125
    assert "tool_call" not in info
    assert info["metrics"]["calls"] == 1
    assert env.tool_seconds > 0


def test_mistakes_in_calls_are_bad_replies() -> None:
    env = guessing(max_calls=1, max_invalid=2)
    for reply, words in (
        ("<tool_call>{oops</tool_call>", "must hold JSON"),
        (call(env, "perl", {}), "no tool 'perl', there are: calculator, notes"),
        (call(env, "calculator", {"x": 1}), "unknown argument"),
    ):
        before = env.state_hash()
        obs, *_, terminated, _, info = env.step(reply)
        assert words in info["invalid"]
        if not terminated:
            assert words in obs
            assert env.state_hash() == before
    assert terminated  # the third in a row
    env.reset(seed=1)
    failed = call(env, "calculator", {"expression": "1 / 0"})
    *_, info = env.step(failed)
    assert info["tool_call"]["error"]
    assert info["invalid"] == ""
    *_, info = env.step(failed)
    assert info["invalid"] == "no calls are left"


def test_memories_fork_with_the_episode() -> None:
    env = guessing()
    env.step(call(env, "notes", {"line": "a"}))
    before = env.state_hash()
    (twin,) = env.fork()
    assert twin.state_hash() == before
    env.step(call(env, "notes", {"line": "b"}))
    obs, *_ = twin.step(call(env, "notes", {"line": "c"}))
    assert "a\nc" in obs
    assert "b" not in obs.replace("tool_response", "")
    again = pickle.loads(pickle.dumps(twin))
    assert again.state_hash() == twin.state_hash()
    assert type(again) is type(twin)
    replayed = type(env).from_replay(twin.replay())
    assert replayed.state_hash() == twin.state_hash()
    env.reset(seed=2)
    obs, *_ = env.step(call(env, "notes", {"line": "d"}))
    assert "a" not in obs.replace("tool_response", "")


def test_a_fork_has_the_calls_that_are_left() -> None:
    env = guessing(max_calls=2)
    env.step(call(env, "notes", {"line": "a"}))
    for own in (*env.fork(), env):
        *_, info = own.step(call(own, "notes", {"line": "b"}))
        assert info["tool_call"]["left"] == 0
        *_, info = own.step(call(own, "notes", {"line": "c"}))
        assert info["invalid"] == "no calls are left"


def test_what_cannot_be_copied_forbids_forks() -> None:
    env = guessing(tools=["printer"])
    with pytest.raises(ValueError, match="cannot be forked"):
        env.fork()
    guessing().fork()


def test_tasks_are_those_of_the_plain_environment() -> None:
    env, plain = guessing(), ludus.make("ludus/GuessNumber-v1")
    plain.reset(seed=1)
    assert env.task == plain.task
    assert env.tasks("test", **env.params)[3].key == plain.tasks("test")[3].key


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"call_format": "xml"}, "hermes, json, fence, tags"),
        ({"max_calls": -1}, "max_calls"),
        ({"tools": ["perl"]}, "unknown tool"),
    ],
)
def test_wrong_options_are_told(options: Mapping[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        guessing(**options)


class Draw(TextEnv):
    """Two seats write at once."""

    ENV_ID = "test/Draw-v1"
    ROLES = ("player_0", "player_1")

    def _setup(self, task: Any, rng: Any) -> None:
        self._said: list[str] = []

    def _rules(self, seat: str) -> str:
        return "Write."

    def _acting(self) -> tuple[str, ...]:
        return self.ROLES

    def _apply(self, moves: Mapping[str, Any]) -> Any:
        from ludus.envs import Outcome

        self._said += moves.values()
        return Outcome(text=" ".join(moves.values()))


def test_a_call_among_simultaneous_moves_moves_nobody() -> None:
    env = with_tools(Draw, tools=["calculator"])
    env.reset(seed=0)
    env.step("x", seat="player_0")
    ask = call(env, "calculator", {"expression": "1 + 1"})
    obs, *_, info = env.step(ask, seat="player_1")
    assert "2" in obs
    assert info["acting"] == ("player_1",)
    assert "2" not in env.observe("player_0")
    obs, *_ = env.step("y", seat="player_1")
    assert "x y" in obs
    assert env.acting == env.ROLES


@pytest.mark.parametrize("env_id", GAMES)
def test_environments_with_tools_keep_the_protocol(env_id: str) -> None:
    env = with_tools(env_id, tools=["calculator"], call_format="hermes")
    check_env(env, episodes=6).raise_for_failures()


class Counting(UsesTools, TextEnv):
    """Rules, tools and parameters in one class."""

    ENV_ID = "toys/Counting-v1"
    PARAMS: ClassVar[Mapping[str, Any]] = {"most": 9}

    def tools(self) -> Sequence[Tool]:
        """One, whatever the parameter names."""
        return [notes]

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._number = rng.randint(1, 9)

    def _rules(self, seat: str) -> str:
        return "Which number?"

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        right = moves["player_0"] == str(self._number)
        return Outcome({"player_0": float(right)}, terminated=True, success=right)


def test_one_class_may_have_both_rules_and_tools() -> None:
    env = Counting()
    obs, _ = env.reset(seed=0)
    rules, _, rest = obs.partition("\n\n")
    assert rules == "Which number?"
    assert "notes" in rest
    assert rest.endswith("You have 8 calls.\n\nReply with the action alone.")
    assert env.params["most"] == 9
    assert env.step(call(env, "notes", {"line": "x"}))[4]["tool_call"]["left"] == 7
    check_env(Counting, items=[1, 2, 5, 6, 7, 8], episodes=4).raise_for_failures()
