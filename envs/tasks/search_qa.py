"""Questions that are answered by searching a corpus: what the tasks with a search engine share."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.definition import one_of
from ludus.envs.outcome import Golden, InvalidMove, Outcome, Verdict
from ludus.envs.registry import MissingExtra
from ludus.envs.task import TaskSet
from ludus.envs.tasks.scoring import efficient, exact, f1, known
from ludus.envs.toolenv import TOOL_PARAMS, UsesTools
from ludus.tools import Tool, find_tool
from ludus.tools.calls import ToolCall
from ludus.tools.search import Index, search_tools

QA_PARAMS: dict[str, Any] = {
    **TOOL_PARAMS, "tools": ["search", "open"], "call_format": "tags", "score": "em",
    "format_reward": 0.0, "efficient": False,
}  # fmt: skip


class Questions(TextEnv):
    """One seat: a question, and an answer in words that ends the episode."""

    MAX_TURNS = 32
    _question: str
    _answer: str
    _aliases: tuple[str, ...]

    def _ask(self, question: str, answer: str, aliases: Sequence[str] = ()) -> None:
        self._question, self._answer, self._aliases = question, answer, tuple(aliases)
        self._sloppy = False  # whether a reply was bad

    def _rules(self, seat: str) -> str:
        return "Answer the question in as few words as you can. Search for what you do not know."

    def _observe(self, seat: str) -> str:
        # After the tools, which are the same for all questions.
        return "" if self._log else f"Question: {self._question}"

    def _parse(self, text: str, seat: str) -> str:
        if not text:
            raise InvalidMove("the answer is empty")
        return text

    def _answer_invalid(self, actor: str, problem: str) -> Outcome:
        self._sloppy = True
        return super()._answer_invalid(actor, problem)

    def verify(self, answer: str, seat: str | None = None) -> Verdict:
        """Exact match decides, F1 is told as well; both with aliases."""
        accepted = (self._answer, *self._aliases)
        passed, overlap = exact(answer, accepted), f1(answer, accepted)
        score = overlap if self.params["score"] == "f1" else float(passed)
        return Verdict(score, passed, {"em": float(passed), "f1": overlap})


class SearchQA(UsesTools, Questions):
    """A question, and tools to search a corpus with for its answer.

    Only what the agent sends as its answer is judged: no result of a tool ever is, nor what stands
    beside a call. Parameters, beside those of `UsesTools`, where "search" and "open" in `tools`
    are those of the task's own corpus:
        score: Reward of an answer: "em", 1 if it is right; "f1", in words, see `scoring`.
        format_reward: Of an episode without a bad reply a wrong answer gets this much, in one with
            a bad reply a right answer loses it; lambda of arXiv:2505.15117.
        efficient: The reward of an answer falls with the calls made, as OTC-PPO's does.
    """

    PARAMS: ClassVar[Mapping[str, Any]] = QA_PARAMS
    DERIVED = ("_library",)
    _library: tuple[Index, dict[str, Tool]] | None

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        one_of("score", self.params["score"], ("em", "f1"))
        self._base_names |= {"_sloppy"}  # how a position came about is no part of it

    def _corpus(self) -> tuple[Index, int]:
        """The index, and how many documents a search shows; from attributes that are state."""
        raise NotImplementedError

    def _opened(self) -> tuple[Index, dict[str, Tool]]:
        if self._library is None:
            try:
                index, k = self._corpus()
            except ModuleNotFoundError as error:
                raise MissingExtra(
                    f"{self.ENV_ID} needs bm25s: pip install 'ludus[search]'", name=error.name
                ) from None
            self._library = index, {tool.name: tool for tool in search_tools(index, k=k)}
        return self._library

    def tools(self) -> Sequence[Tool]:
        """What `tools` names."""
        names = self.params["tools"]
        own = self._opened()[1] if {"search", "open"} & set(names) else {}
        return [own[name] if name in own else find_tool(name) for name in names]

    @classmethod
    def tasks(cls, split: str = "train", **params: Any) -> TaskSet:
        """Rewards and tools change no task."""
        return super().tasks(split, **{k: v for k, v in params.items() if k not in QA_PARAMS})

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, answer),) = moves.items()
        verdict, calls = self.verify(answer), self._calls_made.get(seat, 0)
        worth, tidy = verdict.score, self.params["format_reward"]
        tidy *= -worth if self._sloppy else 1 - worth
        if self.params["efficient"]:
            worth *= efficient(calls, self.params["max_calls"])
        return Outcome(
            {seat: worth + tidy},
            {seat: {"answer": worth, "format": tidy}},
            terminated=True,
            metrics={**verdict.parts, "calls": float(calls)},
            success=verdict.passed,
            reason="answered",
        )

    def golden(self, seat: str | None = None) -> Golden:
        """The answer; its plan makes the calls that are still needed to know it."""
        seat = self.ROLES[0] if seat is None else seat
        named = {tool.name for tool in self.tools()}
        calls = [call for call in self._needed(seat) if call.name in named]
        plan = [self.call_format.write(call) for call in calls[: self.calls_left(seat)]]
        return known(self.format, self._answer, self._aliases, plan)

    def _needed(self, seat: str) -> Sequence[ToolCall]:
        """The calls after which the answer has been shown."""
        raise NotImplementedError

    def _results(self, seat: str) -> str:
        """All that a seat was shown after its first reply."""
        said = self._transcripts[seat]
        return "\n".join(m.content for m in said[1:] if m.role != "assistant")
