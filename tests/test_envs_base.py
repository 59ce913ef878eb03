"""Episodes: turns, bad replies, simultaneous moves, transcripts, forks and replays."""

import copy
import json
import pickle
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ludus
from ludus.envs import FORMATS, Outcome, Replay, Task, TextEnv
from ludus.envs.games.kuhn import KuhnPoker

sys.path.insert(0, str(Path(__file__).parent))
import broken_envs as toys

KQ = Task("ludus/KuhnPoker-v1", "train", 0, 0, {"deal": "KQ"})


def kuhn(**kwargs: Any) -> TextEnv:
    env: TextEnv = ludus.make("ludus/KuhnPoker-v1", **kwargs)
    env.reset(seed=0, options={"task": KQ})
    return env


# ---- turns ----------------------------------------------------------------------------------


def test_an_episode_turn_by_turn() -> None:
    env = kuhn()
    assert env.acting == ("player_0",)
    assert env.legal_actions() == ["check", "bet"]
    assert env.observe("player_0").splitlines()[-3:] == [
        "You are player_0. Your card is K.",
        "Reply with the action alone.",
        "Legal actions: check, bet",
    ]
    obs, reward, terminated, truncated, info = env.step("bet")
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert obs.splitlines()[-2:] == ["player_0: bet", "Legal actions: fold, call"]
    assert obs.messages == env.transcript("player_1")
    assert (info["seat"], info["actor"], info["turn"]) == ("player_1", "player_0", 1)
    obs, reward, terminated, truncated, info = env.step("call")
    assert (obs, reward, terminated, truncated) == ("", -2.0, True, False)
    assert info["rewards"] == {"player_0": 2.0, "player_1": -2.0}
    assert info["outcome"] == {
        "returns": {"player_0": 2.0, "player_1": -2.0},
        "winner": "player_0",
        "success": None,
        "reason": "player_0 wins 2 at showdown",
    }
    assert not env.acting
    assert env.returns == {"player_0": 2.0, "player_1": -2.0}
    assert env.observe("player_0") == "player_1: call"
    assert [message.role for message in env.transcript("player_0")] == ["user", "assistant", "user"]


def test_stepping_out_of_turn() -> None:
    env: TextEnv = ludus.make("ludus/KuhnPoker-v1")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("bet")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="'player_1' is not to act now"):
        env.step("bet", seat="player_1")
    env.step("bet")
    env.step("fold")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("bet")


def test_turn_limit_truncates() -> None:
    env = kuhn(on_invalid="noop")
    for turn in range(env.MAX_TURNS):
        *_, terminated, truncated, info = env.step("?")
        assert (terminated, truncated) == (False, turn == env.MAX_TURNS - 1)
    assert info["outcome"]["reason"] == "turn limit"


def test_rendering() -> None:
    assert kuhn().render() is None
    assert kuhn(render_mode="ansi").render() == "player_0 [K]   pot 2   player_1 [Q]   moves: -"
    env = kuhn(render_mode="transcript")
    env.step("bet")
    assert "[player_0] assistant: bet" in str(env.render())
    default = toys.Dice(render_mode="ansi")
    default.reset(seed=0)
    assert str(default.render()).startswith("Roll a die")


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"format": "xml"}, ValueError, "unknown format 'xml', allowed: plain, boxed, tag"),
        ({"split": "dev"}, ValueError, "unknown split"),
        ({"render_mode": "human"}, ValueError, "unknown render_mode"),
        ({"on_invalid": "cry"}, ValueError, "unknown on_invalid"),
        ({"forfeit": (1.0,)}, ValueError, "forfeit is two rewards"),
        ({"forfeit": 1.0}, ValueError, "forfeit must be a list"),
        ({"forfeit": (1.0, "a")}, ValueError, "forfeit must be a number, such as -1.0, got 'a'"),
        ({"penalty": "x"}, ValueError, "penalty must be a number, such as -0.1, got 'x'"),
        ({"max_invalid": 1.5}, ValueError, "max_invalid must be a whole number, such as 2"),
        ({"show_legal": 1}, ValueError, "show_legal must be true or false, such as True, got 1"),
        ({"skin": 3}, ValueError, "a skin is obfuscated:K"),
        ({"cards": 4}, TypeError, "has no parameter 'cards'"),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ludus.make("ludus/KuhnPoker-v1", **kwargs)


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("ludus/Pig-v1", {"goal": "x"}, "goal must be a whole number, such as 30, got 'x'"),
        ("ludus/GuessNumber-v1", {"high": 1.5}, "high must be a whole number, such as 8, got 1.5"),
        ("ludus/PythonMath-v1", {"call_cost": None}, "call_cost must be a number"),
        ("ludus/PythonMath-v1", {"tools": "python"}, "tools must be a list"),
        ("ludus/PythonMath-v1", {"tools": [1]}, "a tool's name must be a text"),
        ("ludus/Gymnasium-v1", {"words": 7}, "words must be a text"),
        ("ludus/ConnectFour-v1", {"rows": True}, "rows must be a whole number, .* got True"),
        ("ludus/SimpleNegotiation-v1", {"turns": 2.5}, "turns must be a whole number"),
        ("ludus/Nim-v1", {"misere": "no"}, "misere must be"),
        ("ludus/ReasoningGym-v1", {"config": True}, "config must be an object"),
        ("ludus/Nim-v1", {"piles": 3}, "'int' object is not iterable, with piles 3"),
        ("ludus/Nim-v1", {"piles": ["x"]}, r"with piles \['x'\]"),
    ],
)
def test_a_parameter_of_a_wrong_type_is_named(
    env_id: str, kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ludus.make(env_id, **kwargs).reset(seed=0)


def test_a_parameter_may_have_another_type_where_its_author_means_it() -> None:
    class Either(toys.Duel):
        PARAMS: ClassVar[Mapping[str, Any]] = {"goal": 1}

        def _setup(self, task: Task, rng: random.Random) -> None:
            super()._setup(task, rng)
            goals = task.params["goal"]
            if max(goals) > 3:
                raise ValueError(f"goals are at most 3, got {goals}")

    Either(goal=[1, 2]).reset(seed=0)
    with pytest.raises(ValueError, match=r"goals are at most 3, got \[4\]"):
        Either(goal=[4]).reset(seed=0)
    with pytest.raises(ValueError, match="goal must be a whole number, such as 1, got None"):
        Either(goal=None).reset(seed=0)


def test_a_number_may_be_whole_and_a_default_of_none_takes_anything() -> None:
    assert ludus.make("ludus/PythonMath-v1", call_cost=1).params["call_cost"] == 1
    assert ludus.make("ludus/Nim-v1", piles=(1, 2)).params["piles"] == (1, 2)


# ---- bad replies ----------------------------------------------------------------------------


def test_retry_tells_and_then_forfeits() -> None:
    env = kuhn(forfeit=(-1.5, 0.5))
    for _ in range(2):
        obs, reward, terminated, _, info = env.step("raise")
        assert obs.startswith("Invalid action: 'raise' is not a legal action\n")
        assert (reward, terminated, info["seat"]) == (0.0, False, "player_0")
        assert info["invalid"] == "'raise' is not a legal action"
    *_, terminated, truncated, info = env.step("raise")
    assert (terminated, truncated) == (True, False)
    assert info["rewards"] == {"player_0": -1.5, "player_1": 0.5}
    assert info["outcome"]["success"] is False
    assert info["outcome"]["reason"].startswith("player_0 forfeits")


def test_a_good_reply_restores_patience() -> None:
    env = kuhn(max_invalid=1)
    for reply in ("?", "check", "?", "bet", "?"):
        *_, terminated, _, _ = env.step(reply)
        assert not terminated
    *_, terminated, _, info = env.step("?")
    assert terminated
    assert info["rewards"] == {"player_0": -2.0, "player_1": 2.0}


def test_penalize_takes_a_little_each_time() -> None:
    env = kuhn(on_invalid="penalize", penalty=-0.25, max_invalid=1)
    _, reward, terminated, _, info = env.step("?")
    assert (reward, terminated) == (-0.25, False)
    assert info["rewards"] == {"player_0": -0.25, "player_1": 0.0}
    assert env.step("?")[2]
    assert env.returns["player_0"] == -2.25


def test_forfeit_ends_at_once() -> None:
    _, reward, terminated, _, _ = kuhn(on_invalid="forfeit").step("?")
    assert (reward, terminated) == (-2.0, True)


@pytest.mark.parametrize("format", FORMATS)
@given(st.sampled_from(["check", "bet"]), st.text(max_size=20))
def test_formats_read_what_they_write(format: str, move: str, noise: str) -> None:
    way = FORMATS[format]
    assert way.read(way.write(move)) == move
    if format != "plain":
        assert way.read(f"{way.write('fold')} {noise} {way.write(move)}") == move


def test_replies_need_their_format() -> None:
    env = kuhn(format="boxed")
    assert env.legal_actions() == ["\\boxed{check}", "\\boxed{bet}"]
    assert env.step("bet")[4]["invalid"].startswith("no action found")
    assert env.step("I think \\boxed{check}, no, \\boxed{ BET }")[4]["invalid"] == ""


@settings(max_examples=200)
@given(st.lists(st.text(max_size=12) | st.sampled_from(["check", "bet", "fold", "call"])))
def test_no_reply_raises_and_rewards_stay_zero_sum(replies: list[str]) -> None:
    env = kuhn()
    for reply in replies:
        if not env.acting:
            break
        env.step(reply)
        assert sum(env.returns.values()) == 0


# ---- simultaneous moves ---------------------------------------------------------------------


def test_moves_are_held_until_all_have_moved() -> None:
    env = toys.RockPaperScissors()
    env.reset(seed=0)
    assert env.acting == ("player_0", "player_1")
    before = env.observe("player_0")
    obs, reward, *_, info = env.step("rock", seat="player_1")
    assert (reward, info["acting"], info["seat"]) == (0.0, ("player_0",), "player_0")
    assert obs == before
    with pytest.raises(ValueError, match="not to act"):
        env.step("paper", seat="player_1")
    obs, reward, *_, info = env.step("paper")
    assert reward == 1.0
    assert info["rewards"] == {"player_0": 1.0, "player_1": -1.0}
    assert obs.startswith("paper against rock.")
    assert info["acting"] == ("player_0", "player_1")


def test_the_order_of_replies_does_not_matter() -> None:
    class Listing(toys.RockPaperScissors):
        def _apply(self, moves: Mapping[str, Any]) -> Outcome:
            outcome = super()._apply(moves)
            outcome.text = str(list(moves))
            return outcome

    def told(*seats: str) -> str:
        env = Listing()
        env.reset(seed=0)
        for seat in seats:
            env.step("rock", seat=seat)
        return env.observe("player_0")

    assert told("player_0", "player_1") == told("player_1", "player_0")


def test_step_all() -> None:
    env = toys.RockPaperScissors()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="seats to act are"):
        env.step_all({"player_0": "rock"})
    obs, rewards, terminated, truncated, _ = env.step_all({"player_0": "rock", "player_1": "rock"})
    assert set(obs) == set(rewards) == {"player_0", "player_1"}
    assert not terminated
    assert not truncated
    # A seat that was refused is asked again, alone; the other's move is kept.
    _, rewards, *_ = env.step_all({"player_0": "rock", "player_1": "well"})
    assert env.acting == ("player_1",)
    _, rewards, *_ = env.step_all({"player_1": "scissors"})
    assert rewards == {"player_0": 1.0, "player_1": -1.0}


def test_a_forfeit_reaches_a_seat_that_was_asked_already() -> None:
    env = toys.RockPaperScissors(on_invalid="forfeit")
    start = env.reset(seed=0)[0]
    env.step("well", seat="player_1")
    assert env.acting == ()
    told = env.observe("player_0")
    assert told.startswith(start)
    assert told.endswith("player_1 forfeits: invalid action.")
    assert told.messages == env.transcript("player_0")


# ---- branching ------------------------------------------------------------------------------


@pytest.mark.parametrize("env_class", toys.HEALTHY)
def test_copies_of_every_kind_go_on_alike(env_class: type[TextEnv]) -> None:
    env = env_class()
    env.reset(seed=5)
    env.step((env.legal_actions() or ["open"])[0])
    twins = [*env.fork(2), copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    twins.append(env_class.from_replay(Replay.from_json(json.loads(_text(env)))))
    while env.acting:
        action = (env.legal_actions() or ["heron"])[-1]
        expected = env.step(action)
        for twin in twins:
            assert twin.step(action) == expected
            assert twin.state_hash() == env.state_hash()
    assert all(_text(twin) == _text(env) for twin in twins)


def _text(env: TextEnv) -> str:
    return json.dumps(env.replay().to_json())


def test_state_can_be_set_again_and_again() -> None:
    env = kuhn()
    env.step("check")
    state = env.get_state()
    for move in ("bet", "check", "bet"):
        env.step(move)
        env.set_state(state)
        assert env.acting == ("player_1",)
        assert len(env.transcript("player_1")) == 1


def test_copies_before_the_first_reset() -> None:
    for env_class in toys.HEALTHY:
        (twin,) = env_class().fork()
        with pytest.raises(gymnasium.error.ResetNeeded):
            twin.step("x")
        twin.reset(seed=1)


def test_reseeded_forks_have_their_own_chance() -> None:
    env = toys.Dice()
    env.reset(seed=3)
    rolls = [[t.chance.randint(1, 6) for _ in range(20)] for t in env.fork(3, reseed=1)]
    again = [[t.chance.randint(1, 6) for _ in range(20)] for t in env.fork(3, reseed=1)]
    assert rolls == again
    assert len({tuple(row) for row in rolls}) == 3
    (twin,) = env.fork(reseed=2)
    (twin_of_twin,) = twin.fork(reseed=4)
    assert twin_of_twin.replay().reseeds[0] == twin.replay().reseeds[0]
    assert toys.Dice.from_replay(twin_of_twin.replay()).chance.random() == (
        twin_of_twin.chance.random()
    )


def test_an_environment_may_refuse_forks() -> None:
    class Single(toys.Dice):
        metadata = {**TextEnv.metadata, "fork": "none"}  # noqa: RUF012

    env = Single()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="cannot be forked"):
        env.fork()


def test_equal_positions_hash_alike_however_they_came_about() -> None:
    first, second = (ludus.make("ludus/TicTacToe-v1") for _ in range(2))
    for env, squares in ((first, "159"), (second, "951")):
        env.reset(seed=0)
        for square in squares:
            env.step(square)
    assert first.state_hash() == second.state_hash()
    first.step("3")
    assert first.state_hash() != second.state_hash()


# ---- seeds ----------------------------------------------------------------------------------


def test_episodes_go_on_from_the_last_seed() -> None:
    def keys(env: TextEnv) -> list[str]:
        return [env.reset(seed=7)[1]["task_key"], *(env.reset()[1]["task_key"] for _ in range(5))]

    env = ludus.make("ludus/KuhnPoker-v1")
    assert keys(env) == keys(env) == keys(ludus.make("ludus/KuhnPoker-v1"))
    assert len(set(keys(env))) == 6


def test_golden_answers() -> None:
    env = toys.Riddle()
    env.reset(seed=1)
    golden = env.golden()
    assert golden.plan is not None
    assert golden.plan[0] == "open"
    assert env.verify(f" {golden.answer} ".upper()).passed
    assert env.verify("a horse").score == 0.0
    with pytest.raises(ValueError, match="no golden answer"):
        kuhn().verify("bet")


def test_forks_share_nothing() -> None:
    env = toys.RockPaperScissors(max_invalid=1)
    env.reset(seed=0)
    env.chance.random()
    (twin,) = env.fork(reseed=1)
    (other,) = twin.fork()
    # All that a fork can change: mistakes, moves held, chance, reseeds.
    twin.step("well")
    twin.step("rock")
    twin.chance.random()
    twin._reseed(5)
    assert other.acting == ("player_0", "player_1")
    assert len(other.replay().reseeds) == 1
    assert other.chance.random() == env.fork(reseed=1)[0].chance.random()
    assert not other.step("well")[2]
    assert other.step_all({"player_0": "paper", "player_1": "rock"})[1]["player_0"] == 1.0
    assert twin.step("scissors")[4]["rewards"]["player_0"] == 1.0


def test_the_rules_end_an_episode_before_its_limit_does() -> None:
    class Short(KuhnPoker):
        MAX_TURNS = 2

    env = Short()
    env.reset(seed=0)
    env.step("bet")
    assert env.step("call")[2:4] == (True, False)
    env.reset(seed=0)
    env.step("check")
    assert env.step("bet")[2:4] == (False, True)
