"""Leduc poker: two rounds of betting around a public card, small enough to be solved exactly.

Six cards (two each of J < Q < K), two players, an ante of one chip each. One private card each, a
round of betting, a public card, another round. A raise is 2 chips in the first round and 4 in the
second; at most two raises a round. A pair with the public card wins, else the higher card; equal
cards split. Rules as in Southey et al. (2005) and OpenSpiel's `leduc_poker`. Under best play the
first player loses about 0.0856 chips a game.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.outcome import Outcome
from ludus.envs.task import Task

CARDS = "JQK"
RAISE = (2, 4)  # chips, by round
MAX_RAISES = 2  # a round


def _deals() -> dict[str, Fraction]:
    """Ranks of player_0's card, player_1's card and the public card -> probability."""
    deals: dict[str, Fraction] = {}
    for cards in itertools.permutations(CARDS * 2, 3):
        deal = "".join(cards)
        deals[deal] = deals.get(deal, Fraction(0)) + Fraction(1, 120)
    return deals


DEALS = _deals()


class LeducPoker(TextEnv):
    """Two seats, zero-sum; rewards are chips won, at the end: up to 13 either way.

    Parameters:
        deal: Three of J, Q, K, such as "JKJ": the cards of player_0, of player_1, and the public
            card. By default drawn.
    """

    ENV_ID = "ludus/LeducPoker-v1"
    ROLES = ("player_0", "player_1")
    ZERO_SUM = True
    MAX_TURNS = 32
    SPLIT_BY = "none"
    FORFEIT = (-13.0, 13.0)
    PARAMS: ClassVar[Mapping[str, Any]] = {"deal": None}
    VOCABULARY = (
        "Leduc", "poker", "card", "chip", "pot", "J", "Q", "K", "check", "raise", "fold", "call",
    )  # fmt: skip

    def _setup(self, task: Task, rng: random.Random) -> None:
        deal = task.params.get("deal")
        if deal is not None and deal not in DEALS:
            raise ValueError(f"unknown deal {deal!r}, allowed: {', '.join(DEALS)}")
        self._cards: str = deal or "".join(rng.sample(CARDS * 2, 3))
        self._round = 0
        self._said = ""  # this round: c check or call, r raise
        self._chips = [1, 1]

    def _rules(self, seat: str) -> str:
        return (
            "Leduc poker. Six cards: two each of J < Q < K. Both put in 1 chip and get a card. "
            "After a round of betting a public card is shown, then there is a second round. A "
            "raise is 2 chips in the first round and 4 in the second, at most two raises a round. "
            "Check adds nothing, call matches a raise, fold gives up the pot. A pair with the "
            "public card wins, else the higher card; equal cards split the pot.\n"
            f"You are {seat}. Your card is {self._card(seat)}."
        )

    def _card(self, seat: str) -> str:
        return self._cards[self.ROLES.index(seat)]

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[len(self._said) % 2],)

    def _legal(self, seat: str) -> Sequence[str]:
        if "r" not in self._said:
            return ("check", "raise")
        if self._said.count("r") < MAX_RAISES:
            return ("fold", "call", "raise")
        return ("fold", "call")

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, move),) = moves.items()
        me = self.ROLES.index(seat)
        other = self.ROLES[1 - me]
        news = f"{seat}: {move}"
        if move == "fold":
            return self._end(other, "fold", {other: news})
        if move != "check":
            self._chips[me] = self._chips[1 - me]
        if move == "raise":
            self._chips[me] += RAISE[self._round]
        self._said += "r" if move == "raise" else "c"
        if move == "raise" or self._said == "c":
            return Outcome(text={other: news})
        if self._round == 0:  # both have put in the same
            self._round, self._said = 1, ""
            shown = f"The public card is {self._cards[2]}."
            return Outcome(text={seat: shown, other: f"{news}\n{shown}"})
        mine, theirs = self._strength(me), self._strength(1 - me)
        winner = "" if mine == theirs else seat if mine > theirs else other
        return self._end(winner, "at showdown", {other: news})

    def _strength(self, who: int) -> int:
        pair = self._cards[who] == self._cards[2]
        return CARDS.index(self._cards[who]) + len(CARDS) * pair

    def _end(self, winner: str, how: str, news: dict[str, str]) -> Outcome:
        if not winner:
            return Outcome(terminated=True, text=news, reason="equal cards split the pot")
        won = float(self._chips[1 - self.ROLES.index(winner)])
        return Outcome(
            {role: won if role == winner else -won for role in self.ROLES},
            terminated=True,
            text=news,
            reason=f"{winner} wins {won:g}: {how}",
        )

    def _secrets(self, seat: str) -> Sequence[str]:
        return (f"You are {seat}. Your card is {self._card(seat)}.",)

    def _render(self) -> str:
        public = self._cards[2] if self._round else "-"
        first, second = self._chips
        return (
            f"player_0 [{self._cards[0]}] {first} in   public [{public}]   "
            f"player_1 [{self._cards[1]}] {second} in"
        )

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]]:
        """The 24 deals that differ, with their probabilities."""
        deal = params.get("deal")
        deals = DEALS if deal is None else {deal: Fraction(1)}
        return [
            (float(chance), Task(cls.ENV_ID, "worlds", i, i, {"deal": deal}))
            for i, (deal, chance) in enumerate(deals.items())
        ]
