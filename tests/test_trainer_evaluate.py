"""Evaluation: known values of known policies, and intervals as scipy gives them."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ludus.agents.engines.base import SamplingParams
from ludus.agents.policy import ActionProbs, ModelAgent
from ludus.agents.solvers.game_tree import build_tree
from ludus.envs import TextEnv
from ludus.envs.registry import make
from ludus.trainer.arena import make_arenas
from ludus.trainer.config import TrainConfig
from ludus.trainer.evaluate import against, evaluate, exploitability, solve, validation
from ludus.trainer.intervals import mean_ci, wilson
from ludus.trainer.load import tree_of

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import ScriptedEngine, ScriptedSession, chat

TREE = build_tree(make("ludus/KuhnPoker-v1"), max_nodes=2_000)


class Fixed(ModelAgent):
    """Chooses as a function of the environment says."""

    def __init__(self, choose: Any) -> None:
        self.choose = choose

    def action_probs(self, places: Sequence[tuple[TextEnv, str]]) -> list[ActionProbs]:
        return [
            ActionProbs(tuple(self.choose(env, seat, env.legal_actions(seat))), 0.25)
            for env, seat in places
        ]


def test_uniform_play_of_kuhn_poker() -> None:
    def uniform(env: Any, seat: str, legal: Sequence[str]) -> list[float]:
        return [1 / len(legal)] * len(legal)

    result, table = exploitability(Fixed(uniform), TREE)
    assert result.exploitability == pytest.approx(0.4583333, abs=1e-7)
    assert result.nash_conv == pytest.approx(0.9166667, abs=1e-7)
    assert result.value == pytest.approx(0.125)
    assert result.information_sets == len(table) == 12
    assert result.min_legal_mass == 0.25
    assert all(probs == dict.fromkeys(probs, 0.5) for probs in table.values())
    assert json.loads(json.dumps(result.to_json()))["exploitability"] == result.exploitability


def test_an_equilibrium_of_kuhn_poker() -> None:
    def best(env: Any, seat: str, legal: Sequence[str]) -> list[float]:
        card = env._card(seat)
        if seat == "player_0":
            bets = (
                {"J": 0.0, "Q": 0.0, "K": 0.0}
                if "bet" in legal
                else {"J": 0.0, "Q": 1 / 3, "K": 1.0}
            )
        elif "bet" in legal:
            bets = {"J": 1 / 3, "Q": 0.0, "K": 1.0}
        else:
            bets = {"J": 0.0, "Q": 1 / 3, "K": 1.0}
        return [1 - bets[card], bets[card]]

    result, _ = exploitability(Fixed(best), TREE)
    assert result.exploitability == pytest.approx(0, abs=1e-9)
    assert result.value == pytest.approx(-1 / 18)


def test_large_games_have_no_tree() -> None:
    with pytest.raises(ValueError, match="does not enumerate its worlds"):
        tree_of(make("ludus/GuessNumber-v1"))


def scripted(text: str) -> ModelAgent:
    def reply(session: ScriptedSession) -> Sequence[int]:
        return chat().reply(text)

    return ModelAgent(ScriptedEngine(reply), chat(), SamplingParams())  # type: ignore[arg-type]


def test_against_an_opponent_seat_by_seat() -> None:
    own = scripted("no move")
    kwargs = {"on_invalid": "forfeit", "forfeit": (-1.5, 0.5)}
    one, two = (
        against(own, "ludus/TicTacToe-v1", "random", episodes=9, seed=3, env_kwargs=kwargs)
        for _ in range(2)
    )
    assert one == two
    assert [r.seat for r in one] == ["player_0", "player_1"]
    for r in one:
        assert (r.opponent, r.episodes, r.mean_return, r.mean_ci) == ("random", 9, -1.5, 0.0)
        assert (r.win_rate, r.draw_rate, r.invalid_rate, r.turns_mean, r.errors) == (0, 0, 1, 1, 0)
        assert r.win_high == pytest.approx(wilson(0, 9)[1])


def test_one_episode_is_strict_json() -> None:
    (alone, _) = against(scripted("check"), "ludus/KuhnPoker-v1", "nash", episodes=1, seed=0)
    assert math.isinf(alone.mean_ci)
    record = json.dumps(alone.to_json(), allow_nan=False)
    assert json.loads(record)["mean_ci"] is None


def test_one_seat_solves_tasks() -> None:
    own = scripted("1")
    assert against(own, "ludus/GuessNumber-v1", "random", episodes=2, seed=0) == []
    found = solve(own, "ludus/GuessNumber-v1", episodes=20, seed=0)
    assert found == solve(own, "ludus/GuessNumber-v1", episodes=20, seed=0)
    assert (found.split, found.episodes, found.errors) == ("test", 20, 0)
    tasks = make("ludus/GuessNumber-v1").tasks("test").shuffle(0, 20)
    assert len({task.key for task in tasks}) == 20
    ones = 0
    for task in tasks:
        env = make("ludus/GuessNumber-v1")
        env.reset(seed=0, options={"task": task})
        golden = env.golden()
        assert golden is not None
        ones += golden.answer == "1"
    assert found.success_rate == found.mean_return == ones / 20 > 0
    assert (found.success_low, found.success_high) == wilson(ones, 20)
    valid = solve(own, "ludus/GuessNumber-v1", episodes=3, seed=0, split="valid")
    assert valid.split == "valid"
    with pytest.raises(ValueError, match="has 2 seats"):
        solve(own, "ludus/KuhnPoker-v1", episodes=1, seed=0)


def test_a_split_smaller_than_the_episodes_is_played_again() -> None:
    house = {"receptacles": 8, "objects": 6}
    found = solve(scripted("look"), "ludus/Household-v1", episodes=136, seed=0, env_kwargs=house)
    assert (found.split, found.episodes, found.success_rate) == ("valid_unseen", 136, 0.0)


def test_what_a_run_logs_of_tasks() -> None:
    config = TrainConfig(env="ludus/GuessNumber-v1")
    own = evaluate(scripted("1"), make_arenas(config), episodes=8, seed=0)
    assert set(own) == {"eval/success", "eval/return", "eval/turns"}
    assert validation(make("ludus/GuessNumber-v1")) == ["valid"]
    assert validation(make("ludus/Household-v1")) == ["valid_seen", "valid_unseen"]
    assert validation(make("ludus/TicTacToe-v1")) == ["valid"]


@pytest.mark.parametrize(
    ("env", "opponent", "message"),
    [
        ("ludus/KuhnPoker-v1", "nobody", "unknown agent"),
        ("ludus/KuhnPoker-v1", "minimax", "minimax"),
        ("ludus/Kuhn", "random", "unknown environment"),
    ],
)
def test_against_refuses(env: str, opponent: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        against(scripted("check"), env, opponent, episodes=1, seed=0)


@settings(max_examples=100)
@given(n=st.integers(1, 500), data=st.data())
def test_wilson_is_scipys(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n)
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert 0 <= low <= k / n + 1e-12
    assert k / n - 1e-12 <= high <= 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=50))
def test_mean_ci_is_scipys(values: list[float]) -> None:
    error = stats.sem(values)
    half = error * stats.t.ppf(0.975, len(values) - 1)
    assert mean_ci(values) == pytest.approx(float(half), abs=1e-9)


def test_nothing_is_known_of_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert math.isinf(mean_ci([]))
    assert math.isinf(mean_ci([1.0]))
