"""MCTS: strong where it should be, honest about chance, and one line where it cannot play."""

import random
from typing import Any

import pytest

import ludus
from ludus.agents.base import Agent, Prepares, make_agent
from ludus.agents.mcts import MCTSAgent
from ludus.envs.base import TextEnv


def play(env: TextEnv, first: Agent, second: Agent, seed: int) -> float:
    """Return of player_0."""
    rng = random.Random(seed)
    env.reset(seed=seed)
    while env.acting:
        seat = env.acting[0]
        env.step((first if seat == "player_0" else second).act(env, seat, rng))
    return env.returns["player_0"]


@pytest.mark.parametrize("kwargs", [{}, {"format": "boxed", "skin": "obfuscated:2"}])
def test_beats_random_at_connect_four(kwargs: dict[str, Any]) -> None:
    env, mcts, chance = ludus.make("ludus/ConnectFour-v1", **kwargs), MCTSAgent(40), "random"
    opponent = make_agent(chance)
    won = [play(env, mcts, opponent, seed) for seed in range(3)]
    won += [-play(env, opponent, mcts, seed) for seed in range(3)]
    assert sum(won) >= 5


def test_does_not_lose_tic_tac_toe_to_perfect_play() -> None:
    env, mcts, perfect = ludus.make("ludus/TicTacToe-v1"), MCTSAgent(1000), make_agent("minimax")
    assert all(play(env, mcts, perfect, seed) == 0 for seed in range(1))
    assert all(play(env, perfect, mcts, seed) == 0 for seed in range(3))


def test_finds_the_winning_moves_of_nim() -> None:
    env, perfect = ludus.make("ludus/Nim-v1", piles=[1, 2, 4]), make_agent("minimax")
    assert all(play(env, MCTSAgent(800), perfect, seed) == 1.0 for seed in range(3))


def test_minimax_of_nim_is_the_nim_sum() -> None:
    for misere in (False, True):
        env, perfect = ludus.make("ludus/Nim-v1", misere=misere), make_agent("minimax")
        for seed in range(12):
            env.reset(seed=seed)
            piles = env._piles
            nim_sum = 0
            for stones in piles:
                nim_sum ^= stones
            # Misère play is won as normal play is, except where all piles hold one stone.
            wins = (nim_sum != 0) if max(piles) > 1 or not misere else len(piles) % 2 == 0
            assert play(env, perfect, perfect, seed) == (1.0 if wins else -1.0)


def test_takes_a_win_and_stops_a_loss() -> None:
    env = ludus.make("ludus/ConnectFour-v1")
    for moves, best in (("112233", "4"), ("1122334"[:6] + "7", "4")):
        env.reset(seed=0)
        for move in moves:
            env.step(move)
        for seed in range(3):
            assert MCTSAgent(150).act(env, env.acting[0], random.Random(seed)) == best


def test_same_generator_same_move_and_nothing_is_touched() -> None:
    for env_id in ("ludus/ConnectFour-v1", "ludus/Pig-v1"):
        env = ludus.make(env_id)
        env.reset(seed=1)
        env.step((env.legal_actions() or [])[0])
        before = env.state_hash(), env.replay(), env.observe(env.acting[0])
        outer = random.getstate()
        moves = {MCTSAgent(60).act(env, env.acting[0], random.Random(7)) for _ in range(3)}
        assert len(moves) == 1
        assert (env.state_hash(), env.replay(), env.observe(env.acting[0])) == before
        assert random.getstate() == outer


def test_does_not_see_the_throws_to_come() -> None:
    """Its move is the same whatever the die will show, and the right one where that is clear."""
    env, mcts = ludus.make("ludus/Pig-v1"), MCTSAgent(150)
    for scores, total, best in (([0, 29], 25, "roll"), ([25, 0], 4, ""), ([5, 5], 9, "")):
        moves, thrown = set(), set()
        for seed in range(12):
            env.reset(seed=seed, options={"split": "test", "index": 0})  # other throws each time
            env._scores, env._total = list(scores), total
            moves.add(mcts.act(env, "player_0", random.Random(0)))
            env.step("roll")
            thrown.add(env._who)
        assert len(moves) == 1
        assert not best or moves == {best}
        assert thrown == {0, 1}


@pytest.mark.parametrize(
    ("env_id", "why"),
    [
        ("ludus/KuhnPoker-v1", "hides some"),
        ("ludus/LeducPoker-v1", "hides some"),
        ("ludus/RockPaperScissors-v1", "simultaneous"),
        ("ludus/SimpleNegotiation-v1", "free text"),
    ],
)
def test_says_what_it_cannot_play(env_id: str, why: str) -> None:
    agent = make_agent("mcts:10")
    assert isinstance(agent, Prepares)
    with pytest.raises(ValueError, match=why) as caught:
        agent.prepare(ludus.make(env_id))
    assert "try the opponent" in str(caught.value)


@pytest.mark.parametrize("spec", ["mcts:0", "mcts:many", "mcts:-1", "negotiator:hard"])
def test_bad_specs_are_one_line(spec: str) -> None:
    with pytest.raises(ValueError, match=spec.partition(":")[0]):
        make_agent(spec)
