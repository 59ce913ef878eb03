"""Small worlds in which the claims are measured; importing this registers them.

ludus.make("worlds:claims/FewHouses-v1")
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

from ludus.envs.games.kuhn import KuhnPoker
from ludus.envs.outcome import Outcome
from ludus.envs.registry import register
from ludus.envs.task import Task
from ludus.envs.tasks.search_qa import QA_PARAMS, SearchQA
from ludus.envs.worlds.household.env import Household
from ludus.envs.worlds.textworld.env import CoinCollector
from ludus.tools.calls import ToolCall
from ludus.tools.search import Document, Index


class PaidKuhn(KuhnPoker):
    """Kuhn poker in which the first seat pays the second a fee, whatever happens.

    The fee changes what the seats are worth and nothing about how to play: the game is exactly as
    exploitable as Kuhn poker under every policy.

    Parameters:
        fee: Chips.
    """

    ENV_ID = "claims/PaidKuhn-v1"
    PARAMS: ClassVar[Mapping[str, Any]] = {**KuhnPoker.PARAMS, "fee": 1.0}

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        return self._paid(super()._apply(moves))

    def _answer_invalid(self, actor: str, problem: str) -> Outcome:
        return self._paid(super()._answer_invalid(actor, problem))

    def _paid(self, outcome: Outcome) -> Outcome:
        if not outcome.terminated:
            return outcome
        first, second = self.ROLES
        fee = float(self.params["fee"])
        paid = {first: outcome.rewards[first] - fee, second: outcome.rewards[second] + fee}
        return replace(outcome, rewards=paid)


class FewHouses(Household):
    """The same eight houses again and again, 24 commands to reach the goal.

    Parameters, beside those of `Household`:
        reward: "sparse", 1 at the goal, or "dense", for every command how much shorter the
            planner's plan has become, as a share of the first: it adds up to 1 at the goal as well.
    """

    ENV_ID = "claims/FewHouses-v1"
    MAX_TURNS = 24
    SPLITS: ClassVar[Mapping[str, int]] = {**Household.SPLITS, "train": 8}
    PARAMS: ClassVar[Mapping[str, Any]] = {**Household.PARAMS, "reward": "sparse"}

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        self._most = self._left = 0
        if {**self.PARAMS, **task.params}["reward"] == "dense":
            self._most = self._left = len(self._plan() or ())

    def _plan(self) -> Sequence[str] | None:
        return self._game()[1].plan((self._facts, self._shown))

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        (seat,) = moves
        outcome = super()._apply(moves)
        if not self._most:
            return outcome
        plan = self._plan()
        before, self._left = self._left, self._left if plan is None else len(plan)
        return replace(outcome, rewards={seat: (before - self._left) / self._most})


class FewCoins(CoinCollector):
    """The same 32 games of TextWorld, and 16 others to judge by; 12 commands to find a coin."""

    ENV_ID = "claims/FewCoins-v1"
    SPLITS: ClassVar[Mapping[str, int]] = {"train": 32, "valid": 16}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.MAX_TURNS = 12


NAMES = (
    "Anna", "Boris", "Carla", "David", "Elena", "Frank", "Greta", "Hugo", "Irene", "Jonas",
    "Karin", "Lucas", "Maria", "Nina", "Oscar", "Paula", "Quinn", "Rosa", "Simon", "Tessa",
)  # fmt: skip


class Teachers(SearchQA):
    """Who is the teacher of the teacher of somebody? An article a person, to be found by searching.

    Every task has ten people with facts of their own. The names are few and always the same, so
    that a small model can copy them, which it cannot words that it has never seen; what is true of
    a name has to be read all the same, and of the two facts of an article one misleads.

    Parameters, beside those of `SearchQA`:
        hops: Articles that have to be read, one after the other; or a list to draw from.
    """

    ENV_ID = "claims/Teachers-v1"
    MAX_TURNS = 8
    PARAMS: ClassVar[Mapping[str, Any]] = {**QA_PARAMS, "tools": ["search"], "hops": 2}

    def __init__(self, **settings: Any) -> None:
        self._people: tuple[tuple[str, str, str], ...] = (("Anna", "Boris", "Carla"),)
        super().__init__(**settings)

    def _setup(self, task: Task, rng: random.Random) -> None:
        hops = {**self.PARAMS, **task.params}["hops"]
        length = rng.choice(hops) if isinstance(hops, list) else int(hops)
        names = rng.sample(NAMES, 10)
        self._way = tuple(names[: length + 1])
        people: list[tuple[str, str, str]] = []
        for i, name in enumerate(names):
            others = [other for other in names if other != name]
            teacher = names[i + 1] if i < length else rng.choice(others)
            loved = rng.choice([other for other in others if other != teacher])
            told = [f'"{name}" was taught by "{teacher}".', f'"{name}" loved "{loved}".']
            one, other = rng.sample(told, 2)
            people.append((name, one, other))
        self._people, self._library = tuple(people), None
        self._ask(f'Who is {"the teacher of " * length}"{names[0]}"?', names[length])

    def _corpus(self) -> tuple[Index, int]:
        return _index(self._people), 1

    def _needed(self, seat: str) -> Sequence[ToolCall]:
        seen = self._results(seat)
        unread = [name for name in self._way[:-1] if f'"{name}" was taught by' not in seen]
        return [ToolCall("search", {"query": name}) for name in unread]


@lru_cache(maxsize=64)
def _index(people: tuple[tuple[str, str, str], ...]) -> Index:
    return Index.of([Document(str(i), p[0], " ".join(p[1:])) for i, p in enumerate(people, 1)])


register(PaidKuhn.ENV_ID, PaidKuhn)
register(FewHouses.ENV_ID, FewHouses)
register(FewCoins.ENV_ID, FewCoins)
register(Teachers.ENV_ID, Teachers)
