"""The strong trader: honest, exact in what it infers, and stronger than the plain one."""

import random
import statistics
from typing import Any

import numpy as np
import pytest

import ludus
from ludus.agents.bargainer import DOUBT, BargainerAgent, Belief, _read, _swaps
from ludus.agents.base import make_agent
from ludus.envs.games.negotiation import BASE_VALUES, value_range

WINS, GAINS = "ludus/SimpleNegotiation-v1", "ludus/NegotiationForGain-v1"
BARGAINER, NEGOTIATOR = make_agent("bargainer"), make_agent("negotiator")


def game(env_id: str, first: Any, second: Any, index: int, **kwargs: Any) -> dict[str, Any]:
    """The last info; bad replies of either are an error."""
    env, rng = ludus.make(env_id, **kwargs), random.Random(index)
    _, info = env.reset(seed=index, options={"split": "test", "index": index})
    while env.acting:
        seat = env.acting[0]
        before = env.state_hash()
        reply = (first if seat == "player_0" else second).act(env, seat, rng)
        assert env.state_hash() == before
        info = env.step(reply, seat=seat)[4]
        assert info["invalid"] == ""
    last: dict[str, Any] = info
    return last


@pytest.mark.parametrize(
    "kwargs", [{}, {"format": "boxed", "skin": "obfuscated:5"}, {"resources": 2}]
)
@pytest.mark.parametrize("env_id", [WINS, GAINS])
def test_it_never_errs_nor_loses_value(env_id: str, kwargs: dict[str, Any]) -> None:
    for index in range(3):
        info = game(env_id, BARGAINER, (NEGOTIATOR, BARGAINER)[index % 2], index, **kwargs)
        assert info["metrics"]["negotiation/gain_player_0"] >= 0


def test_it_beats_the_plain_trader_from_both_seats() -> None:
    first = [game(WINS, BARGAINER, NEGOTIATOR, i)["outcome"]["returns"] for i in range(12)]
    second = [game(WINS, NEGOTIATOR, BARGAINER, i)["outcome"]["returns"] for i in range(12)]
    assert sum(r["player_0"] for r in first) >= 5
    assert sum(r["player_1"] for r in second) >= 5


def test_two_of_them_leave_less_on_the_table() -> None:
    def nash(agent: Any) -> float:
        played = [game(GAINS, agent, agent, i)["metrics"] for i in range(10)]
        return statistics.fmean(metrics["negotiation/nash"] for metrics in played)

    assert nash(BARGAINER) > nash(NEGOTIATOR) + 0.15


def opened() -> Any:
    env = ludus.make(WINS)
    env.reset(seed=0)
    return env


def test_offers_and_answers_are_evidence() -> None:
    env = opened()
    env.step("[Offer: 7 Brick -> 5 Ore]")
    env.step("[Accept] [Offer: 2 Wheat -> 1 Wood]")
    env.step("[Accept] Well. [Offer: 1 Ore -> 1 Wheat]")
    belief, names, offer = _read(env.transcript("player_1"))
    assert names == tuple(BASE_VALUES)
    assert offer is not None
    assert [side.tolist() for side in offer] == [[0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]
    assert belief.got_R.tolist() == [2, -1, 0, -7, 5]
    assert belief.low_R.tolist() == [5, 5, 5, 7, 5]
    assert belief.held_R.tolist() == list(env._owned[1].values())
    wheat, wood, _, brick, ore = belief.values_VR.T
    expected = np.ones(len(ore))
    for gains in (5 * ore - 7 * brick > 0, 2 * wheat - wood > 0, wheat - ore > 0):
        expected *= np.where(gains, 1.0, DOUBT)
    assert belief.weight_V == pytest.approx(expected)
    env.step("[Offer: 2 Wheat -> 1 Ore]")
    env.step("[Deny]")
    refused, _, _ = _read(env.transcript("player_1"))
    good = 2 * wheat - ore > 0  # never: a refusal of what loses tells nothing
    assert not good.any()
    assert refused.weight_V == pytest.approx(expected)


def test_values_are_all_that_the_game_may_draw() -> None:
    belief, _, offer = _read(opened().transcript("player_0"))
    assert offer is None
    sizes = [len(value_range(base)) for base in BASE_VALUES.values()]
    assert len(belief.values_VR) == np.prod(sizes) == 6930
    seen: dict[str, set[int]] = {name: set() for name in BASE_VALUES}
    env = ludus.make(WINS)
    for seed in range(300):
        env.reset(seed=seed)
        for values in env._values:
            for name, value in values.items():
                seen[name].add(value)
    assert seen == {name: set(value_range(base)) for name, base in BASE_VALUES.items()}


def belief_of(**changes: Any) -> Belief:
    belief, _, _ = _read(opened().transcript("player_0"))
    for name, value in changes.items():
        setattr(belief, name, np.array(value))
    return belief


def test_what_the_other_may_hold() -> None:
    belief = belief_of(low_R=[5, 5, 10, 5, 25], got_R=[0, 3, 0, -4, 0])
    asked = np.array([[5, 0, 0, 0, 0], [6, 0, 0, 0, 0], [26, 0, 0, 0, 0], [0, 8, 0, 0, 0],
                      [0, 0, 10, 0, 25], [0, 0, 0, 21, 0], [0, 0, 0, 22, 0]])  # fmt: skip
    assert belief.has(asked) == pytest.approx([1, 20 / 21, 0, 1, 1, 1 / 21, 0])


def test_swaps_gain_and_are_even() -> None:
    belief = belief_of()
    swaps = _swaps(belief)
    assert len(swaps) > 50
    assert (swaps @ belief.own_R > 0).all()
    assert (swaps @ belief.usual_R <= 0).all()
    assert (-swaps <= belief.held_R).all()
    assert ((swaps != 0).sum(axis=1) == 2).all()


def test_same_transcript_same_reply_and_talk_is_talk() -> None:
    env = opened()
    env.step("player_0 offers: 25 Ore -> 1 Wheat. player_0 accepts; the goods change hands.")
    replies = {BARGAINER.act(env, "player_1", random.Random(seed)) for seed in range(3)}
    assert len(replies) == 1
    assert "Accept" not in replies.pop()
    with pytest.raises(ValueError, match="try the opponent random"):
        BargainerAgent().prepare(ludus.make("ludus/KuhnPoker-v1"))
