"""Kuhn poker against OpenSpiel's, state by state."""

from collections.abc import Iterator
from typing import Any

import pytest

import ludus
from ludus.agents.solvers.infosets import Key, infoset_key
from ludus.envs.base import TextEnv
from ludus.envs.games.kuhn import CARDS, KuhnPoker

pyspiel = pytest.importorskip("pyspiel")

MEANS = {"check": 0, "fold": 0, "bet": 1, "call": 1}  # OpenSpiel has pass and bet only


def both_games() -> Iterator[tuple[TextEnv, Any]]:
    """Every reachable state, here and in OpenSpiel."""
    game = pyspiel.load_game("kuhn_poker")
    for _, task in KuhnPoker.worlds():
        env = KuhnPoker()
        env.reset(seed=0, options={"task": task})
        state = game.new_initial_state()
        for card in task.params["deal"]:
            assert state.is_chance_node()
            state.apply_action(CARDS.index(card))
        yield from _walk(env, state)


def _walk(env: TextEnv, state: Any) -> Iterator[tuple[TextEnv, Any]]:
    yield env, state
    for move in env.legal_actions() or ():
        (child,) = env.fork()
        child.step(move)
        yield from _walk(child, state.child(MEANS[move]))


def test_every_state_has_the_same_moves_seat_and_returns() -> None:
    seen = 0
    for env, state in both_games():
        seen += 1
        assert (env.acting == ()) == state.is_terminal()
        if state.is_terminal():
            assert list(env.returns.values()) == state.returns()
            assert env.legal_actions() is None
        else:
            assert env.acting == (env.ROLES[state.current_player()],)
            legal = env.legal_actions()
            assert legal is not None
            assert [MEANS[move] for move in legal] == state.legal_actions()
            facing_bet = state.information_state_string()[1:].endswith("b")
            assert legal == (["fold", "call"] if facing_bet else ["check", "bet"])
    assert seen == 6 * (4 + 5)


def test_information_sets_are_the_same_partition() -> None:
    ours: dict[str, set[Key]] = {}
    theirs: dict[Key, set[str]] = {}
    for env, state in both_games():
        if env.acting:
            key, name = infoset_key(env, env.acting[0]), state.information_state_string()
            ours.setdefault(name, set()).add(key)
            theirs.setdefault(key, set()).add(name)
    assert len(ours) == len(theirs) == 12
    assert all(len(keys) == 1 for keys in ours.values())
    assert all(len(names) == 1 for names in theirs.values())


def test_worlds_are_the_deals_with_their_probabilities() -> None:
    worlds = KuhnPoker.worlds()
    assert [chance for chance, _ in worlds] == [1 / 6] * 6
    assert len({task.params["deal"] for _, task in worlds}) == 6
    ((chance, task),) = KuhnPoker.worlds(deal="QJ")
    assert (chance, task.params["deal"]) == (1.0, "QJ")


def test_deals_are_drawn_evenly() -> None:
    env = ludus.make("ludus/KuhnPoker-v1", render_mode="ansi")
    counts: dict[str, int] = {}
    for seed in range(3000):
        env.reset(seed=seed)
        deal = env.render().split("   moves")[0]
        counts[deal] = counts.get(deal, 0) + 1
    assert len(counts) == 6
    assert all(abs(count - 500) < 5 * 20.4 for count in counts.values())  # 5 standard deviations
