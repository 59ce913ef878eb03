"""Random, minimax and Nash agents: how well they play, and that they can always be asked."""

import random
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

import ludus
from ludus.agents.base import AGENTS, Agent, Prepares, make_agent
from ludus.agents.scripted import NashAgent
from ludus.agents.solvers import build_tree, evaluate, infoset_key, solve, uniform
from ludus.envs import FORMATS, TextEnv

KUHN, TIC_TAC_TOE, GUESS = "ludus/KuhnPoker-v1", "ludus/TicTacToe-v1", "ludus/GuessNumber-v1"


def play(env: TextEnv, agents: dict[str, Agent], seed: int) -> dict[str, float]:
    rng = random.Random(seed)
    env.reset(seed=seed)
    while env.acting:
        seat = env.acting[0]
        env.step(agents[seat].act(env, seat, rng), seat=seat)
    return env.returns


def dealt(deal: str) -> TextEnv:
    """Kuhn poker with these cards. Not by a parameter, which would make another game of it."""
    env: TextEnv = ludus.make(KUHN)
    env.reset(seed=0, options={"task": ludus.Task(KUHN, "test", 0, 0, {"deal": deal})})
    return env


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("env_id", "spec"), [(TIC_TAC_TOE, "minimax"), (KUHN, "nash"), (KUHN, "random")]
)
def test_replies_are_legal_and_leave_the_environment_alone(
    env_id: str, spec: str, format: str
) -> None:
    agent, rng = make_agent(spec), random.Random(0)
    env = ludus.make(env_id, format=format, show_legal=False)
    for seed in range(20):
        env.reset(seed=seed)
        while env.acting:
            seat = env.acting[0]
            before = env.state_hash(), env.transcript(seat), env.replay()
            reply = agent.act(env, seat, rng)
            assert (env.state_hash(), env.transcript(seat), env.replay()) == before
            assert reply in env.legal_actions()
            _, _, _, _, info = env.step(reply)
            assert info["invalid"] == ""


@pytest.mark.parametrize("spec", ["random", "minimax", "nash"])
def test_draws_come_from_the_given_generator_alone(spec: str) -> None:
    env = ludus_reset(TIC_TAC_TOE) if spec == "minimax" else dealt("JQ")
    random.seed("left alone")
    before = random.getstate()
    replies = [make_agent(spec).act(env, "player_0", random.Random(i)) for i in range(40)]
    again = [make_agent(spec).act(env, "player_0", random.Random(i)) for i in range(40)]
    assert replies == again
    assert len(set(replies)) > 1
    assert random.getstate() == before


# ---- random ----------------------------------------------------------------------------------


def test_random_is_uniform() -> None:
    env, rng = ludus.make(TIC_TAC_TOE), random.Random(0)
    env.reset(seed=0)
    counts = Counter(make_agent("random").act(env, "player_0", rng) for _ in range(9000))
    assert len(counts) == 9
    assert all(abs(count - 1000) < 5 * 30 for count in counts.values())


def test_random_says_words_it_was_shown_where_anything_may_be_said() -> None:
    env, rng = ludus.make(GUESS, format="boxed"), random.Random(0)
    env.reset(seed=0)
    agent = make_agent("random")
    said = {agent.act(env, "player_0", rng) for _ in range(500)}
    assert {"\\boxed{1}", "\\boxed{8}", "\\boxed{Guess}"} <= said
    while env.acting:
        env.step(agent.act(env, "player_0", rng))


# ---- minimax ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seat", ["player_0", "player_1"])
def test_minimax_never_loses_to_random(seat: str) -> None:
    env = ludus.make(TIC_TAC_TOE)
    other = "player_1" if seat == "player_0" else "player_0"
    agents = {seat: make_agent("minimax"), other: make_agent("random")}
    returns = [play(env, agents, seed)[seat] for seed in range(60)]
    assert min(returns) >= 0
    assert sum(returns) > 30


def test_minimax_draws_against_itself() -> None:
    env, agent = ludus.make(TIC_TAC_TOE, format="tag"), make_agent("minimax")
    games = {
        env.replay().actions
        for seed in range(15)
        if play(env, dict.fromkeys(env.ROLES, agent), seed)["player_0"] == 0
    }
    assert len(games) == 15  # and ties are broken by chance, so no two are the same


# ---- nash ------------------------------------------------------------------------------------


def test_nash_plays_the_equilibrium_from_its_own_cards_alone() -> None:
    tree = build_tree(KUHN)
    policy = solve(tree)
    agent, draws = make_agent("nash"), 1500
    for infoset in tree.infosets:
        env = infoset.env()
        rng = random.Random(infoset.index)
        counts = Counter(agent.act(env, infoset.seat, rng) for _ in range(draws))
        for move, probability in zip(infoset.moves, policy[infoset.key], strict=True):
            slack = 5 * (probability * (1 - probability) / draws) ** 0.5 + 2 / draws
            assert counts[move] / draws == pytest.approx(probability, abs=slack)


def test_nash_does_not_look_at_the_other_card() -> None:
    envs = dealt("JQ"), dealt("JK")
    for seed in range(50):
        a, b = (make_agent("nash").act(env, "player_0", random.Random(seed)) for env in envs)
        assert a == b


@pytest.mark.parametrize("seat", ["player_0", "player_1"])
def test_nash_earns_against_random_what_the_tree_says(seat: str) -> None:
    tree = build_tree(KUHN)
    nash = solve(tree)
    mixed = {i.key: nash[i.key] if i.seat == seat else uniform(i) for i in tree.infosets}
    expected = evaluate(tree, mixed)[seat]
    assert expected > (-1 / 18 if seat == "player_0" else 1 / 18)
    env = ludus.make(KUHN)
    other = "player_1" if seat == "player_0" else "player_0"
    agents = {seat: make_agent("nash"), other: make_agent("random")}
    games = 3000
    mean = sum(play(env, agents, seed)[seat] for seed in range(games)) / games
    assert mean == pytest.approx(expected, abs=4 * 1.5 / games**0.5)  # a game's deviation: < 1.5


@pytest.mark.parametrize("on_invalid", ["retry", "penalize", "noop"])
@pytest.mark.parametrize("format", FORMATS)
def test_bad_replies_do_not_disturb_nash(format: str, on_invalid: str) -> None:
    clean = ludus.make(KUHN, deal="KJ")
    messy = ludus.make(KUHN, deal="KJ", format=format, on_invalid=on_invalid, show_legal=False)
    write = FORMATS[format].write
    clean.reset(seed=0)
    messy.reset(seed=0)
    agent = make_agent("nash")
    for move in ("check", "bet", "call"):
        seat = clean.acting[0]
        messy.step("what? " + write("raise"))
        messy.step("")
        assert messy.acting == (seat,)
        assert infoset_key(messy, seat) == infoset_key(clean, seat)
        for seed in range(10):
            rngs = random.Random(seed), random.Random(seed)
            assert agent.act(messy, seat, rngs[0]) == write(agent.act(clean, seat, rngs[1]))
        clean.step(move)
        reasons = "" if format == "plain" else f"I think {write('fold')} or {write('bet')}? No: "
        messy.step(reasons + write(move.upper()))
    assert messy.returns["player_1"] == -2 or on_invalid == "penalize"


def test_nash_solves_a_game_once() -> None:
    env = ludus.make(KUHN)
    env.reset(seed=0)
    first, second = NashAgent(iterations=77), NashAgent(iterations=77)
    first.prepare(env)
    solved = len(NashAgent._solved)
    second.act(
        ludus_reset(KUHN, format="boxed", on_invalid="forfeit"), "player_0", random.Random(0)
    )
    assert len(NashAgent._solved) == solved
    second.prepare(ludus.make(KUHN, deal="QJ"))  # another game: all cards are known
    assert len(NashAgent._solved) == solved + 1


def ludus_reset(env_id: str, **kwargs: Any) -> Any:
    env = ludus.make(env_id, **kwargs)
    env.reset(seed=0)
    return env


# ---- what cannot be played -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "env_id", "words"),
    [
        ("minimax", KUHN, f"perfect information, {KUHN} hides some; try the opponents nash or"),
        ("minimax", GUESS, f"two seats, {GUESS} is none; try"),
        ("nash", GUESS, f"two seats, {GUESS} is none; try"),
        (
            "nash",
            TIC_TAC_TOE,
            f"{TIC_TAC_TOE}: its tree exceeds 20000 nodes; try the opponents minimax",
        ),
    ],
)
def test_an_agent_that_cannot_play_says_so_in_one_line(spec: str, env_id: str, words: str) -> None:
    agent, env = make_agent(spec), ludus_reset(env_id)
    assert isinstance(agent, Prepares)
    for ask in (agent.prepare, lambda env: agent.act(env, env.ROLES[0], random.Random(0))):
        with pytest.raises(ValueError, match=words) as caught:
            ask(env)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("minmax", "unknown agent 'minmax', nearest: minimax"),
        ("random:3", "random takes no argument, got '3'"),
        ("minimax:3", "minimax takes no argument"),
        ("human:me", "human takes no argument"),
        ("nash:many", "nash takes a number of iterations, as in nash:5000, not 'many'"),
        ("nash:0", "nash needs at least 1 iteration, got 0"),
    ],
)
def test_specs_that_name_no_agent(spec: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_agent(spec)


def test_nash_takes_a_number_of_iterations() -> None:
    agent = make_agent("nash:123")
    assert isinstance(agent, NashAgent)
    assert agent.iterations == 123


def test_naming_agents_costs_nothing_until_one_is_made() -> None:
    assert {"random", "minimax", "nash", "human"} <= AGENTS.keys()
    late = "[m for m in sys.modules if 'scripted' in m or 'solvers' in m or m == 'rich']"
    code = f"import sys, ludus; print(*{late})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_expert_does_what_is_right() -> None:
    env = ludus.make(GUESS)
    expert = make_agent("expert")
    env.reset(seed=3)
    right = env.golden(env.acting[0])
    assert right is not None
    assert expert.act(env, env.acting[0], random.Random(0)) in (
        right.action,
        (right.plan or [""])[0],
    )
    with pytest.raises(ValueError, match="share of random replies"):
        make_agent("expert:2")


def test_the_hasty_use_their_tools_sometimes() -> None:
    env = ludus.make("ludus/PythonMath-v1", call_format="tags")
    env.reset(seed=3)
    golden = env.golden()
    assert golden is not None
    assert golden.plan
    assert golden.action != golden.plan[0]
    rng = random.Random(0)
    said = [make_agent("hasty:0.8").act(env, "player_0", rng) for _ in range(500)]
    assert set(said) == {golden.action, golden.plan[0]}
    assert 0.75 < said.count(str(golden.action)) / 500 < 0.85
    assert make_agent("hasty:0").act(env, "player_0", rng) == golden.plan[0]
    with pytest.raises(ValueError, match="share of answers given at once"):
        make_agent("hasty:often")
