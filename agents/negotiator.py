"""A scripted trader for simple negotiation: fair, patient, and not easily fooled.

It trades what it values least for what it values most, both relative to the usual values, at rates
that usual values call even or slightly better for the other side; it accepts whatever gains it
value and gives the other, by usual values, no more than itself.
"""

import random
import re

from ludus.agents.solvers.infosets import clean_twin
from ludus.envs.base import TextEnv
from ludus.envs.games.negotiation import BASE_VALUES, SimpleNegotiation

_GOODS = re.compile(r"(\d+) (\w+)")
_VALUES = re.compile(r"Your values: ([^.]*)\.")
_HELD = re.compile(r"^You hold ([^.]*)\.", re.MULTILINE)
_OFFERED = re.compile(r"^player_\d offers: (.*) -> (.*)$", re.MULTILINE)
_WORD_FIRST = re.compile(r"(\w+) (\d+)")
_MOST_UNITS = 6  # of a kind in one offer


class NegotiatorAgent:
    """Reads its own seat's transcript only."""

    def prepare(self, env: TextEnv) -> None:
        """Check the environment.

        Raises:
            ValueError: If it is no simple negotiation.
        """
        if not isinstance(env, SimpleNegotiation):
            raise ValueError(
                f"negotiator plays {SimpleNegotiation.ENV_ID} only, not {env.ENV_ID}; "
                "try the opponent random"
            )

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """Accept, or make an offer.

        Raises:
            ValueError: As `prepare`.
        """
        self.prepare(env)
        twin = clean_twin(env)
        told = [message.content for message in twin.transcript(seat) if message.role == "user"]
        values, held = values_in(told[0]), held_in(told[-1])
        said = ""
        if offered := offer_in(told[-1]):
            given, asked = offered
            if self._is_good(values, given, asked) and all(held[n] >= k for n, k in asked.items()):
                said = "[Accept]"
                held = {n: k + given.get(n, 0) - asked.get(n, 0) for n, k in held.items()}
            else:
                said = "[Deny]"
        offers = self._offers(values, held)
        offer = f"[Offer: {rng.choice(offers)}]" if offers else ""
        return env.format.write(" ".join(filter(None, (said, offer))) or "No trade for now.")

    def _is_good(self, values: dict[str, int], got: dict[str, int], paid: dict[str, int]) -> bool:
        own = _worth(values, got) - _worth(values, paid)
        others = _worth(BASE_VALUES, paid) - _worth(BASE_VALUES, got)
        return own > 0 and own >= others

    def _offers(self, values: dict[str, int], held: dict[str, int]) -> list[str]:
        """The best few swaps of two kinds: by own gain, among those even by usual values."""
        swaps = []
        for give in values:
            for take in values:
                if give == take:
                    continue
                for n in range(1, min(_MOST_UNITS, held[give]) + 1):
                    for m in range(1, _MOST_UNITS + 1):
                        others = n * BASE_VALUES[give] - m * BASE_VALUES[take]
                        own = m * values[take] - n * values[give]
                        if own > others >= 0:
                            swaps.append((own, f"{n} {give} -> {m} {take}"))
        return [text for _, text in sorted(swaps, reverse=True)[:3]]


def values_in(rules: str) -> dict[str, int]:
    """A seat's values, out of the first thing it is told."""
    found = _VALUES.search(rules)
    return {name: int(n) for name, n in _WORD_FIRST.findall(found[1] if found else "")}


def held_in(told: str) -> dict[str, int]:
    """What a seat holds, out of what it was last told."""
    return goods_in(_HELD.findall(told)[-1])


def offer_in(told: str) -> tuple[dict[str, int], dict[str, int]] | None:
    """What the other's offer gives and asks for, out of a message; None without an offer."""
    offered = _OFFERED.findall(told)
    if not offered:
        return None
    # The line that the environment adds comes last; talk stands before it, on one line.
    given, asked = offered[-1]
    return goods_in(given), goods_in(asked)


def goods_in(text: str) -> dict[str, int]:
    """Counts and names: "3 Wheat, 1 Ore"."""
    return {name: int(count) for count, name in _GOODS.findall(text)}


def _worth(values: dict[str, int], goods: dict[str, int]) -> int:
    return sum(values[name] * count for name, count in goods.items())
