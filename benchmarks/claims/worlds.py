"""Small worlds in which the claims are measured; importing this registers them.

ludus.make("worlds:claims/FewHouses-v1")
"""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from ludus.envs.games.kuhn import KuhnPoker
from ludus.envs.outcome import Outcome
from ludus.envs.registry import register
from ludus.envs.task import Task
from ludus.envs.tasks.hop_qa import HopQA
from ludus.envs.worlds.household.env import Household
from ludus.envs.worlds.textworld.env import CoinCollector


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
        outcome = super()._apply(moves)
        if not outcome.terminated:
            return outcome
        first, second = self.ROLES
        fee = float(self.params["fee"])
        paid = {first: outcome.rewards[first] - fee, second: outcome.rewards[second] + fee}
        return replace(outcome, rewards=paid)


class FewHouses(Household):
    """The same eight houses again and again, 24 commands to reach the goal."""

    ENV_ID = "claims/FewHouses-v1"
    MAX_TURNS = 24
    SPLITS: ClassVar[Mapping[str, int]] = {**Household.SPLITS, "train": 8}


class DenseHouses(FewHouses):
    """Rewards on the way: how much shorter the planner's plan has become, as a share of the first.

    The rewards of an episode that reaches the goal add up to 1, as without them.
    """

    # `ENV_ID` is that of FewHouses, from which the seeds of tasks come: the very same houses.

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        self._most = self._left = len(self._game()[1].plan((self._facts, self._shown)) or ())

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        (seat,) = moves
        outcome = super()._apply(moves)
        plan = self._game()[1].plan((self._facts, self._shown))
        before, self._left = self._left, self._left if plan is None else len(plan)
        return replace(outcome, rewards={seat: (before - self._left) / self._most})


class FewCoins(CoinCollector):
    """The same 32 games of TextWorld, and 16 others to judge by; 12 commands to find a coin."""

    ENV_ID = "claims/FewCoins-v1"
    SPLITS: ClassVar[Mapping[str, int]] = {"train": 32, "valid": 16}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.MAX_TURNS = 12


class FewQuestions(HopQA):
    """The same sixteen questions again and again, each with a corpus of its own."""

    ENV_ID = "claims/FewQuestions-v1"
    MAX_TURNS = 8
    SPLITS: ClassVar[Mapping[str, int]] = {**HopQA.SPLITS, "train": 16}


register(PaidKuhn.ENV_ID, PaidKuhn)
register(FewHouses.ENV_ID, FewHouses)
register(FewCoins.ENV_ID, FewCoins)
register(FewQuestions.ENV_ID, FewQuestions)
register("claims/DenseHouses-v1", DenseHouses)
