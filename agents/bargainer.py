"""A strong trader for simple negotiation: it learns what the other values, and offers bundles.

The other's values are integers within known ranges, so all V combinations are enumerated and each
keeps a weight: an offer shows that the other would gain by it, an answer shows whether it gained by
ours. What the other holds is bounded by what it has offered and given. With both, every swap of two
kinds, and sums of the best of them, get a score:

    P(the other has it) * mean over values of [it gains] * own gain           where gain is rewarded
    P(the other has it) * mean over values of [it gains] * (own - its gain)   where the larger wins

An offer never asks for more than it gives by usual values, so that fair traders have no reason to
refuse it. Shape letters: R resources, V combinations of values, P of them as drawn by weight,
C candidates.
"""

import itertools
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ludus.agents.negotiator import NegotiatorAgent, goods_in, held_in, offer_in, values_in
from ludus.agents.solvers.infosets import clean_twin
from ludus.envs.base import TextEnv
from ludus.envs.games.negotiation import BASE_VALUES, value_range
from ludus.envs.text import Message

Ints = np.ndarray
"""Of whole numbers."""

_OWN_OFFER = re.compile(r"offer\b\s*:?([^\[\]]*)->([^\[\]]*)", re.IGNORECASE)
_ACCEPTED = re.compile(r"^player_\d accepts; the goods change hands\.$", re.MULTILINE)
_ACCEPTS = re.compile(r"\[\s*accept|^\s*accept[.!]?\s*$", re.IGNORECASE)

LEAST, MOST = 5, 25
"""Units of a kind at the start, as the game has them if nobody changes that."""
DOUBT = 0.03
"""Weight that is left to values by which the other did what loses it value."""
STUBBORN = 0.15
"""How often a good offer is refused nevertheless."""
LEAST_SHARE = 0.3
"""Where gain is rewarded: what gains it less than this share of the other's gain is refused."""
DRAWN, KEPT, SUMMED = 200, 24, 120
"""Values that candidates are scored on; candidates that are kept, and that are added to them."""


@dataclass
class Belief:
    """What a trader knows."""

    own_R: Ints
    """Its values."""
    usual_R: Ints
    held_R: Ints
    """Its goods."""
    values_VR: Ints
    weight_V: np.ndarray
    low_R: Ints
    """The other had at least this at the start."""
    got_R: Ints
    """What the other has got since."""

    def sees_offer(self, given_R: Ints, asked_R: Ints) -> None:
        """The other gives what it has, for what it gains by."""
        self.weight_V *= np.where(self.values_VR @ (asked_R - given_R) > 0, 1.0, DOUBT)
        self.low_R = np.maximum(self.low_R, given_R - self.got_R)

    def sees_answer(self, given_R: Ints, asked_R: Ints, *, accepted: bool) -> None:
        """The other took or left our offer."""
        good_V = self.values_VR @ (given_R - asked_R) > 0
        if accepted:
            self.weight_V *= np.where(good_V, 1.0, DOUBT)
            self.low_R = np.maximum(self.low_R, asked_R - self.got_R)
            self.got_R = self.got_R + given_R - asked_R
        else:
            could = (1 - STUBBORN) * float(self.has(asked_R[None])[0])
            self.weight_V *= np.where(good_V, 1 - could, 1.0)

    def has(self, asked_CR: Ints) -> np.ndarray:
        """Probability that the other has what is asked for; its start is uniform from low_R up."""
        low_R = np.minimum(self.low_R, MOST)
        need_CR = np.maximum(asked_CR - self.got_R, low_R)
        some_CR = np.clip((MOST + 1 - need_CR) / (MOST + 1 - low_R), 0.0, 1.0)
        chance_C: np.ndarray = np.where(asked_CR > 0, some_CR, 1.0).prod(axis=1)
        return chance_C

    def drawn(self) -> Ints:
        """Values in proportion to their weights, without chance: evenly spaced quantiles."""
        mass_V = np.cumsum(self.weight_V)
        at_P = (np.arange(DRAWN) + 0.5) / DRAWN * mass_V[-1]
        values_PR: Ints = self.values_VR[np.searchsorted(mass_V, at_P)]
        return values_PR


class BargainerAgent(NegotiatorAgent):
    """Reads its own seat's transcript only. About 10 ms a reply."""

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """Accept, or make an offer, or both. Draws nothing from `rng`.

        Raises:
            ValueError: As `prepare`.
        """
        self.prepare(env)
        wins = env.params["reward"] == "winner"
        belief, names, offer = _read(clean_twin(env).transcript(seat))
        said = ""
        if offer is not None:
            given_R, asked_R = offer
            if _takes(belief, given_R, asked_R, wins):
                said = "[Accept]"
                belief.held_R = belief.held_R + given_R - asked_R
                belief.got_R = belief.got_R + asked_R - given_R
            else:
                said = "[Deny]"
        swap_R = _best(belief, wins)
        if swap_R is not None:
            sides = [
                ", ".join(f"{n} {name}" for name, n in zip(names, side_R, strict=True) if n > 0)
                for side_R in (-swap_R, swap_R)
            ]
            said = f"{said} [Offer: {sides[0]} -> {sides[1]}]".strip()
        return env.format.write(said or "No trade for now.")


def _read(
    transcript: tuple[Message, ...],
) -> tuple[Belief, tuple[str, ...], tuple[Ints, Ints] | None]:
    """What the transcript tells, the resources, and the offer on the table: given, asked."""
    values = values_in(transcript[0].content)
    names = tuple(values)

    def vector(goods: Mapping[str, int]) -> Ints:
        return np.array([goods.get(name, 0) for name in names])

    values_VR = np.array(list(itertools.product(*(value_range(BASE_VALUES[n]) for n in names))))
    belief = Belief(
        own_R=vector(values),
        usual_R=vector(BASE_VALUES),
        held_R=vector(held_in(transcript[-1].content)),
        values_VR=values_VR,
        weight_V=np.ones(len(values_VR)),
        low_R=np.full(len(names), LEAST),
        got_R=np.zeros(len(names), dtype=int),
    )
    ours: tuple[Ints, Ints] | None = None
    theirs: tuple[Ints, Ints] | None = None
    for message in transcript:
        if message.role == "assistant":
            if theirs is not None and _ACCEPTS.search(message.content):
                belief.got_R = belief.got_R + theirs[1] - theirs[0]
            found = _OWN_OFFER.search(message.content)
            ours = (
                None if found is None else (vector(goods_in(found[1])), vector(goods_in(found[2])))
            )
            continue
        if ours is not None:
            belief.sees_answer(*ours, accepted=bool(_ACCEPTED.search(message.content)))
        offered = offer_in(message.content)
        ours, theirs = None, None
        if offered is not None:
            theirs = vector(offered[0]), vector(offered[1])
            belief.sees_offer(*theirs)
    return belief, names, theirs


def _takes(belief: Belief, given_R: Ints, asked_R: Ints, wins: bool) -> bool:
    """Whether to accept: it gains, and the other does not gain too much more."""
    if (asked_R > belief.held_R).any():
        return False
    own = int(belief.own_R @ (given_R - asked_R))
    others = float((belief.drawn() @ (asked_R - given_R)).mean())
    return own > 0 and own >= others * (1.0 if wins else LEAST_SHARE)


def _best(belief: Belief, wins: bool) -> Ints | None:
    """The offer of greatest score, as what is got (above 0) and given (below); None if none is."""
    drawn_PR = belief.drawn()
    swaps_CR = _swaps(belief)
    if not len(swaps_CR):
        return None
    score_C = _scores(belief, swaps_CR, drawn_PR, wins)
    order_C = np.argsort(-score_C, kind="stable")
    more_CR = swaps_CR[order_C[:SUMMED]]
    best_CR, best_C = swaps_CR[order_C[:KEPT]], score_C[order_C[:KEPT]]
    for _ in range(2):  # sums of two, then of three
        sums_CR = (best_CR[:, None] + more_CR).reshape(-1, more_CR.shape[1])
        sums_CR = sums_CR[(-sums_CR <= belief.held_R).all(axis=1)]
        all_CR = np.concatenate((best_CR, sums_CR))
        all_C = np.concatenate((best_C, _scores(belief, sums_CR, drawn_PR, wins)))
        order_C = np.argsort(-all_C, kind="stable")[:KEPT]
        best_CR, best_C = all_CR[order_C], all_C[order_C]
    return best_CR[0] if best_C[0] > 0 else None


def _swaps(belief: Belief) -> Ints:
    """All swaps of one kind for another that gain value and are even by usual values."""
    kinds, found = len(belief.own_R), []
    for give, take in itertools.permutations(range(kinds), 2):
        given_C, got_C = np.indices((int(belief.held_R[give]), MOST)).reshape(2, -1) + 1
        own_C = got_C * belief.own_R[take] - given_C * belief.own_R[give]
        usual_C = given_C * belief.usual_R[give] - got_C * belief.usual_R[take]
        fair_C = (own_C > 0) & (usual_C >= 0) & (usual_C <= belief.usual_R.max())
        swap_CR = np.zeros((int(fair_C.sum()), kinds), dtype=int)
        swap_CR[:, give], swap_CR[:, take] = -given_C[fair_C], got_C[fair_C]
        found.append(swap_CR)
    return np.concatenate(found)


def _scores(belief: Belief, swap_CR: Ints, drawn_PR: Ints, wins: bool) -> np.ndarray:
    own_C = swap_CR @ belief.own_R
    others_CP = -(swap_CR @ drawn_PR.T)
    worth_CP = own_C[:, None] - others_CP if wins else own_C[:, None]
    mean_C = np.where(others_CP > 0, worth_CP, 0.0).mean(axis=1)
    score_C: np.ndarray = belief.has(np.maximum(swap_CR, 0)) * mean_C
    return score_C
