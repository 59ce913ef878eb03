"""Small worlds in which the claims are measured; importing this registers them.

    ludus.make("worlds:claims/FewHouses-v1")
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from ludus.envs.games.kuhn import KuhnPoker
from ludus.envs.outcome import Outcome
from ludus.envs.registry import register
from ludus.envs.worlds.household.env import Household


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
    """The same sixteen houses again and again, 30 commands to reach the goal."""

    ENV_ID = "claims/FewHouses-v1"
    MAX_TURNS = 30
    SPLITS: ClassVar[Mapping[str, int]] = {**Household.SPLITS, "train": 16}


register(PaidKuhn.ENV_ID, PaidKuhn)
register(FewHouses.ENV_ID, FewHouses)
