"""Propose and solve: arithmetic against Python's own, and Absolute Zero's reward."""

import ast
import random

import pytest

from ludus.envs.games.propose_solve import ProposeSolve, value


def test_calculations_are_pythons() -> None:
    rng = random.Random(0)
    for _ in range(300):
        parts = [str(rng.randint(0, 99))]
        for _ in range(rng.randint(1, 5)):
            parts += [rng.choice("+-*"), str(rng.randint(0, 99))]
        text = " ".join(parts)
        assert value(text) == eval(compile(ast.parse(text, mode="eval"), "", "eval"))


@pytest.mark.parametrize(("right", "reward"), [(0, 0.0), (1, 0.75), (2, 0.5), (3, 0.25), (4, 0.0)])
def test_the_proposer_is_paid_for_what_can_be_learnt(right: int, reward: float) -> None:
    env = ProposeSolve()
    env.reset(seed=0)
    env.step("7*8", seat="proposer_0")
    for i, role in enumerate(env.ROLES[1:]):
        assert env.observe(role).endswith("What is 7 * 8?")
        env.step("56" if i < right else "0", seat=role)
    assert env.returns == {
        "proposer_0": reward,
        **{role: float(i < right) for i, role in enumerate(env.ROLES[1:])},
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("7", "not a calculation"),
        ("7 + + 8", "not a calculation"),
        ("-7 + 8", "not a calculation"),
        ("__import__('os')", "not a calculation"),
        ("1 + 2 + 3", "more than 1 signs"),
        ("10 + 1", "a number above 9"),
    ],
)
def test_what_cannot_be_set(text: str, why: str) -> None:
    env = ProposeSolve(on_invalid="retry")
    env.reset(seed=0)
    assert why in env.step(text)[4]["invalid"]
