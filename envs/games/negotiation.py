"""Simple negotiation: two traders who value the same resources differently make each other offers.

The game that SPIRAL (arXiv:2506.24119) trains on, with TextArena's numbers: five resources, 5 to 25
units of each for each trader, private values within a fifth of public base values, ten turns. What
is exact here and not there: an offer lapses when it is not accepted at once, and the scores below
compare what was agreed with all that could have been.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ludus.envs.base import TextEnv
from ludus.envs.games.bargaining import scores
from ludus.envs.outcome import InvalidMove, Outcome
from ludus.envs.task import Task

BASE_VALUES = {"Wheat": 5, "Wood": 10, "Sheep": 15, "Brick": 25, "Ore": 40}
LEAST_VALUE, MOST_VALUE = 5, 40
MAX_MESSAGE = 1000  # characters; the other seat is shown them

_ACCEPT = re.compile(r"\[\s*accept\s*[.!]?\s*\]", re.IGNORECASE)
_DENY = re.compile(r"\[\s*deny\s*[.!]?\s*\]", re.IGNORECASE)
_OFFER = re.compile(r"\[\s*offer\b\s*:?([^\[\]]*)\]", re.IGNORECASE)
_BARE = re.compile(r"(?:accept|deny|offer\b[^\[\]]*)[.!]?", re.IGNORECASE)
_PREFIX = re.compile(r"^\s*i\s+(?:give|offer)\s+", re.IGNORECASE)
_PART = re.compile(r"(\d{1,4})\s+(\w+)")
_BETWEEN = re.compile(r"\s*(?:,|\band\b|\+|&)\s*(?:and\b\s*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a message means."""

    text: str
    """As the other seat is shown it."""
    accepts: bool
    denies: bool
    offer: tuple[dict[str, int], dict[str, int]] | None
    """Resources given and asked for."""


class SimpleNegotiation(TextEnv):
    """Two traders, private values; by default zero-sum: +1 for the larger gain in value, -1.

    A message is free text of at most 1,000 characters; what counts in it is [Accept], [Deny] and
    [Offer: 3 Sheep, 2 Ore -> 5 Brick]: what is given -> what is asked for. A message that accepts
    nothing declines the offer on the table, and may make another.

    The metrics at the end are exact, over all ways to share out the resources: gain of each seat;
    `negotiation/pareto`, 1 if nobody could have more without the other having less;
    `negotiation/welfare`, the joint gain as a share of the largest; `negotiation/nash`, the product
    of gains as a share of the largest product (Nash's bargaining solution), 0 if a seat lost value.

    Parameters:
        reward: "winner" for -1, 0 or 1 by whose gain is larger, as in SPIRAL; "gain" for each
            seat's own gain as a share of the largest joint gain, which is not zero-sum.
        turns: Messages, of both seats together.
        resources: How many kinds, 2 to 5.
        least, most: Units of each kind that a seat has at the start.
    """

    ENV_ID = "ludus/SimpleNegotiation-v1"
    ROLES = ("player_0", "player_1")
    ZERO_SUM = True
    MAX_TURNS = 64
    PARAMS: ClassVar[Mapping[str, Any]] = {
        "reward": "winner", "turns": 10, "resources": 5, "least": 5, "most": 25,
    }  # fmt: skip
    VOCABULARY = (*BASE_VALUES, "accept", "deny", "offer")

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.get("reward", self.PARAMS["reward"]) == "gain":
            self.ZERO_SUM, self.FORFEIT = False, (-1.0, 0.0)
        super().__init__(**kwargs)

    def _setup(self, task: Task, rng: random.Random) -> None:
        p = {**self.PARAMS, **task.params}
        if p["reward"] not in ("winner", "gain"):
            raise ValueError(f"unknown reward {p['reward']!r}, allowed: winner, gain")
        if not (2 <= p["resources"] <= 5 and 1 <= p["turns"] <= 40):
            raise ValueError(f"need 2 to 5 resources and 1 to 40 turns, got {p}")
        if not 0 <= p["least"] <= p["most"] <= 99:
            raise ValueError(f"need 0 <= least <= most <= 99, got {p['least']}, {p['most']}")
        self._reward: str = p["reward"]
        self._left: int = p["turns"]
        names = list(BASE_VALUES)[: p["resources"]]
        self._owned = [{n: rng.randint(p["least"], p["most"]) for n in names} for _ in self.ROLES]
        self._values = [
            {n: rng.choice(value_range(BASE_VALUES[n])) for n in names} for _ in self.ROLES
        ]
        self._start = [dict(owned) for owned in self._owned]
        self._offer: tuple[dict[str, int], dict[str, int]] | None = None
        self._who = 0

    def _rules(self, seat: str) -> str:
        me = self.ROLES.index(seat)
        public = ", ".join(f"{name} {BASE_VALUES[name]}" for name in self._values[me])
        private = ", ".join(f"{name} {value}" for name, value in self._values[me].items())
        goal = (
            "whoever gains more value wins"
            if self._reward == "winner"
            else "your score is the value that you gain"
        )
        return (
            "Negotiation. Two traders hold resources and value them differently. In turn, talk and "
            "trade; in your message [Offer: 3 Wheat -> 1 Wheat, 2 Wood] offers what you give -> "
            "what you ask for, [Accept] takes the other's last offer, [Deny] declines it. At the "
            f"end {goal}. Usual values: {public}; each trader's own are within a fifth of them and "
            f"private. {self._left} messages in all.\nYou are {seat}. Your values: {private}."
        )

    def _observe(self, seat: str) -> str:
        mine = self._owned[self.ROLES.index(seat)]
        hold = ", ".join(f"{count} {name}" for name, count in mine.items())
        last = "This is the last message." if self._left == 1 else f"{self._left} messages left."
        return f"You hold {hold}. {last}"

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[self._who],)

    def _parse(self, text: str, seat: str) -> Reply:
        if len(text) > MAX_MESSAGE:
            raise InvalidMove(f"the message has {len(text)} characters, at most {MAX_MESSAGE}")
        shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if not any(c.isalnum() for c in shown):
            raise InvalidMove("the message says nothing")
        said = f"[{shown}]" if _BARE.fullmatch(shown) else shown
        accepts, denies = bool(_ACCEPT.search(said)), bool(_DENY.search(said))
        offers = _OFFER.findall(said)
        me = self.ROLES.index(seat)
        if accepts and denies:
            raise InvalidMove("either accept or deny, not both")
        if len(offers) > 1:
            raise InvalidMove("one offer at a time")
        owned = self._owned[me]
        if accepts:
            if self._offer is None:
                raise InvalidMove("there is no offer to accept")
            owned = _after(owned, got=self._offer[0], paid=self._offer[1])
            if short := next((name for name, count in owned.items() if count < 0), ""):
                raise InvalidMove(f"you cannot accept, you have too little {short}")
        offer = None
        if offers:
            offer = self._read_offer(offers[0])
            if short := next((name for name in offer[0] if owned[name] < offer[0][name]), ""):
                raise InvalidMove(f"you offer more {short} than you have")
        return Reply(shown, accepts, denies, offer)

    def _read_offer(self, text: str) -> tuple[dict[str, int], dict[str, int]]:
        sides = _PREFIX.sub("", text).rstrip(" .!").split("->")
        if len(sides) != 2:
            raise InvalidMove("an offer is written [Offer: what you give -> what you ask for]")
        return self._read_side(sides[0]), self._read_side(sides[1])

    def _read_side(self, text: str) -> dict[str, int]:
        known = {name.casefold(): name for name in self._owned[0]}
        side: dict[str, int] = {}
        for part in _BETWEEN.split(text.strip()):
            found = _PART.fullmatch(part)
            name = known.get(found[2].casefold().removesuffix("s")) if found else None
            if found is None or name is None or not int(found[1]):
                shown = part if len(part) <= 40 else part[:40] + "..."
                raise InvalidMove(
                    f"{shown!r} is no number and resource; resources: {', '.join(known.values())}"
                )
            side[name] = side.get(name, 0) + int(found[1])
        return side

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, reply),) = moves.items()
        me = self.ROLES.index(seat)
        other = self.ROLES[1 - me]
        news = {other: f"{seat} says: {reply.text}", seat: ""}
        if reply.accepts and self._offer is not None:
            given, asked = self._offer
            self._owned[me] = _after(self._owned[me], got=given, paid=asked)
            self._owned[1 - me] = _after(self._owned[1 - me], got=asked, paid=given)
            news[other] += f"\n{seat} accepts; the goods change hands."
        elif self._offer is not None:
            news[other] += f"\n{seat} declines your offer."
        self._offer = reply.offer
        if reply.offer is not None:
            news[other] += f"\n{seat} offers: {_side(reply.offer[0])} -> {_side(reply.offer[1])}"
        self._who, self._left = 1 - me, self._left - 1
        return Outcome(text=news) if self._left else self._end(news)

    def gains(self) -> tuple[int, int]:
        """How much more each seat's goods are worth to it than at the start."""
        first, second = (
            sum(value * (owned[name] - start[name]) for name, value in values.items())
            for values, owned, start in zip(self._values, self._owned, self._start, strict=True)
        )
        return first, second

    def _end(self, news: dict[str, str]) -> Outcome:
        first, second = gains = self.gains()
        names = list(self._values[0])
        found = scores(
            [[start[name] for name in names] for start in self._start],
            [[values[name] for name in names] for values in self._values],
            gains,
        )
        if self._reward == "gain":
            unit = max(found.most_welfare, 1)
            rewards = {role: g / unit for role, g in zip(self.ROLES, gains, strict=True)}
        else:
            sign = float((first > second) - (first < second))
            rewards = dict(zip(self.ROLES, (sign, -sign), strict=True))
        return Outcome(
            rewards=rewards,
            terminated=True,
            text=news,
            metrics={
                "negotiation/gain_player_0": float(first),
                "negotiation/gain_player_1": float(second),
                "negotiation/pareto": float(found.pareto),
                "negotiation/welfare": found.welfare,
                "negotiation/nash": found.nash,
            },
            reason=f"player_0 gains {first}, player_1 gains {second}",
        )

    def _secrets(self, seat: str) -> Sequence[str]:
        values = self._values[self.ROLES.index(seat)]
        private = ", ".join(f"{name} {value}" for name, value in values.items())
        return (f"You are {seat}. Your values: {private}.",)

    def _render(self) -> str:
        lines = [
            f"{role}: " + ", ".join(f"{n} {name} at {values[name]}" for name, n in owned.items())
            for role, owned, values in zip(self.ROLES, self._owned, self._values, strict=True)
        ]
        offer = "-" if self._offer is None else " -> ".join(map(_side, self._offer))
        return "\n".join([*lines, f"offer: {offer}   messages left: {self._left}"])


class NegotiationForGain(SimpleNegotiation):
    """Two traders, private values; each is rewarded with the value that it gains: not zero-sum."""

    ENV_ID = "ludus/NegotiationForGain-v1"
    ZERO_SUM = False
    FORFEIT = (-1.0, 0.0)
    PARAMS: ClassVar[Mapping[str, Any]] = {**SimpleNegotiation.PARAMS, "reward": "gain"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.params["reward"] != "gain":
            raise ValueError(f"reward is gain here, for {self.params['reward']!r} there is "
                             f"{SimpleNegotiation.ENV_ID}")  # fmt: skip


def value_range(base: int) -> range:
    """What a trader may value a resource of a usual value at, each as likely."""
    spread = base // 5
    return range(max(base - spread, LEAST_VALUE), min(base + spread, MOST_VALUE) + 1)


def _after(owned: dict[str, int], *, got: dict[str, int], paid: dict[str, int]) -> dict[str, int]:
    return {name: count + got.get(name, 0) - paid.get(name, 0) for name, count in owned.items()}


def _side(goods: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in goods.items())
