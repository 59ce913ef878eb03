"""Kuhn poker: the smallest poker whose best play needs bluffing.

Three cards (J < Q < K), two players, an ante of one chip each, one bet of one chip. Rules as in
Kuhn (1950) and OpenSpiel's `kuhn_poker`: check-check and bet-call go to a showdown, bet-fold does
not. Under best play the first player loses 1/18 of a chip a game.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.outcome import Outcome
from ludus.envs.task import Task

CARDS = "JQK"
DEALS = tuple(a + b for a in CARDS for b in CARDS if a != b)

# history of moves (c: check or fold, b: bet or call) -> what may be said, in betting order
_MOVES = {
    "": ("check", "bet"),
    "c": ("check", "bet"),
    "b": ("fold", "call"),
    "cb": ("fold", "call"),
}
# history -> chips that change hands, and whether a showdown decides who gets them
_STAKES = {"cc": (1, True), "bc": (1, False), "bb": (2, True), "cbc": (1, False), "cbb": (2, True)}


class KuhnPoker(TextEnv):
    """Two seats, zero-sum; rewards are chips won, at the end: -2, -1, 1 or 2.

    Parameters:
        deal: Two of J, Q, K: the cards of player_0 and player_1. By default drawn.
    """

    ENV_ID = "ludus/KuhnPoker-v1"
    ROLES = ("player_0", "player_1")
    ZERO_SUM = True
    MAX_TURNS = 16
    SPLIT_BY = "none"
    FORFEIT = (-2.0, 2.0)
    PARAMS: ClassVar[Mapping[str, Any]] = {"deal": None}
    VOCABULARY = (
        "Kuhn", "poker", "card", "chip", "pot", "J", "Q", "K", "check", "bet", "fold", "call",
    )  # fmt: skip

    def _setup(self, task: Task, rng: random.Random) -> None:
        deal = task.params.get("deal")
        if deal is not None and deal not in DEALS:
            raise ValueError(f"unknown deal {deal!r}, allowed: {', '.join(DEALS)}")
        self._cards: str = deal or DEALS[rng.randrange(6)]
        self._history = ""

    def _rules(self, seat: str) -> str:
        meanings = (
            " To check adds nothing, to call adds the chip that was bet, to fold gives up the pot."
            if self.skin  # to others the words say it
            else ""
        )
        return (
            "Kuhn poker. Cards J < Q < K, one each. Both put in 1 chip. You may check or bet "
            "1 chip; a bet is answered by fold or call. The higher card wins the pot."
            f"{meanings}\n"
            f"You are {seat}. Your card is {self._card(seat)}."
        )

    def _card(self, seat: str) -> str:
        return self._cards[self.ROLES.index(seat)]

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[len(self._history) % 2],)

    def _legal(self, seat: str) -> Sequence[str]:
        return _MOVES[self._history]

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, move),) = moves.items()
        self._history += "cb"[_MOVES[self._history].index(move)]
        other = self.ROLES[1 - self.ROLES.index(seat)]
        if self._history not in _STAKES:
            return Outcome(text={other: f"{seat}: {move}"})
        chips, showdown = _STAKES[self._history]
        wins = showdown and self._higher(seat)  # whoever folds loses, whatever the cards
        gain = float(chips if wins else -chips)
        winner = seat if wins else other
        return Outcome(
            rewards={seat: gain, other: -gain},
            terminated=True,
            text={other: f"{seat}: {move}"},
            reason=f"{winner} wins {chips}" + (" at showdown" if showdown else ": fold"),
        )

    def _higher(self, seat: str) -> bool:
        mine = self.ROLES.index(seat)
        return CARDS.index(self._cards[mine]) > CARDS.index(self._cards[1 - mine])

    def _secrets(self, seat: str) -> Sequence[str]:
        return (f"Your card is {self._card(seat)}.",)

    def _render(self) -> str:
        pot = 2 + self._history.count("b")
        names = {"c": ("check", "fold"), "b": ("bet", "call")}
        said = [names[m]["b" in self._history[:i]] for i, m in enumerate(self._history)]
        return (
            f"player_0 [{self._cards[0]}]   pot {pot}   player_1 [{self._cards[1]}]   "
            f"moves: {' '.join(said) or '-'}"
        )

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]]:
        """The six deals, equally likely."""
        deals = DEALS if params.get("deal") is None else (params["deal"],)
        return [
            (1 / len(deals), Task(cls.ENV_ID, "worlds", i, i, {"deal": deal}))
            for i, deal in enumerate(deals)
        ]
