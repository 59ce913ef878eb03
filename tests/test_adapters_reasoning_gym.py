"""reasoning-gym's datasets behind our protocol."""

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import ludus
from ludus.envs.adapters.reasoning_gym import ReasoningGym
from ludus.envs.adapters.safe_answers import EVALUATED, NUMBERS, PARSED, harmless
from ludus.testing import check_env

rg = pytest.importorskip("reasoning_gym")
from reasoning_gym.factory import DATASETS  # noqa: E402

ID = "ludus/ReasoningGym-v1"
SLOW = {"arc_agi", "codeio", "figlet_font", "futoshiki", "group_anagrams", "knight_swap",
        "rush_hour", "word_ladder", "zebra_puzzles"}  # fmt: skip
NO_GOLD = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}
NOT_ALONE = {"composite"}  # a mixture, which has to be told of what


@pytest.mark.parametrize("name", sorted(set(DATASETS) - SLOW - NOT_ALONE))
def test_every_dataset(name: str) -> None:
    """Its own golden answer wins, the question is its own, and all is the same again."""
    env: Any = ludus.make(ID, dataset=name)
    state = random.getstate()
    obs, info = env.reset(seed=5)
    assert info["task_key"] == env.task.key
    golden = env.golden()
    assert (golden is None) == (name in NO_GOLD)
    again: Any = ludus.make(ID, dataset=name)
    text = again.reset(seed=5)[0]
    if name != "list_functions":
        assert text == obs
        assert again.state_hash() == env.state_hash()
    if golden is not None:
        assert env.verify(golden.answer).passed
        assert golden.action == golden.answer or name == "string_manipulation"
        _, reward, terminated, _, info = env.step(golden.answer)
        assert (reward, terminated, info["outcome"]["success"]) == (1.0, True, True)
    *_, info = again.step("surely wrong \ud800 [[ \x00")
    assert info["outcome"]["returns"]["player_0"] < 1
    assert random.getstate() == state


@pytest.mark.parametrize("name", ["leg_counting", "countdown", "pool_matrix"])
def test_passes_the_checker(name: str) -> None:
    env = ReasoningGym(dataset=name)
    check_env(env, items=(3, 5, 6, 7, 8, 9), episodes=2).raise_for_failures()


def test_the_score_is_the_datasets_own() -> None:
    env: Any = ludus.make(ID, dataset="countdown")
    env.reset(seed=1)
    name, _, seed = env._drawn
    dataset = rg.create_dataset(name, seed=seed, size=1)
    entry = dataset[0]
    assert entry["question"] in str(env.observe("player_0"))
    for answer in (entry["answer"], "1 + 1", "", "nonsense"):
        expected = dataset.score_answer(answer=answer, entry=entry)
        if harmless(name, answer):
            assert env.verify(answer).score == expected


def test_settings_reach_the_dataset() -> None:
    long: Any = ludus.make(ID, dataset="chain_sum", config={"min_terms": 9, "max_terms": 9})
    assert long.reset(seed=0)[0].count("+") + long.reset(seed=0)[0].count(" - ") >= 8


@pytest.mark.parametrize("name", sorted(EVALUATED | PARSED))
def test_no_answer_is_executed(name: str, tmp_path: Path) -> None:
    """As reasoning-gym comes, the first of these writes the file, the second never returns."""
    proof = tmp_path / "proof"
    env: Any = ludus.make(ID, dataset=name)
    start = time.process_time()
    for answer in (
        f"__import__('pathlib').Path({str(proof)!r}).touch()",
        "9**9**9**9", "(9**9)**(9**9)", "factorial(99999)", "9" * 5000 + "**2", "99999999!",
        "2**(x-x+20*20*20*20*20*20*20*20)",
    ):  # fmt: skip
        env.reset(seed=0)
        assert env.step(answer)[1] < 1
    assert not proof.exists()
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        *((name, "1e-999999999999") for name in sorted(NUMBERS)),
        ("coin_flip", "1E+999_999_999"),
        ("complex_arithmetic", "nan"),
        ("complex_arithmetic", "1+NaNj"),
        ("game_of_life_halting", "who knows"),
        ("intermediate_integration", "sin(" * 40 + "x" + ")" * 40),
        ("intermediate_integration", "(x+y+z+w)**20*(a+b+c+d)**20"),
        ("simple_integration", "*".join(f"(x+{i})" for i in range(60))),
    ],
)
def test_no_answer_takes_long_or_is_right_by_chance(name: str, answer: str) -> None:
    """As reasoning-gym comes, scoring these takes minutes or for ever, or gives 1."""
    env: Any = ludus.make(ID, dataset=name)
    env.reset(seed=0)
    start = time.process_time()
    assert env.verify(answer).score < 0.5
    assert time.process_time() - start < 10


def test_wrong_integrals_are_told_apart_in_bounded_time() -> None:
    env: Any = ludus.make(ID, dataset="intermediate_integration")
    start = time.process_time()
    for seed in range(8):
        env.reset(seed=seed)
        answer = env.golden().answer
        if "Integral" not in answer:  # it gives up on some, and takes no other answer
            assert env.verify(f"({answer})*1").passed
        assert not env.verify("-cos(4*x + 5)**3 + C").passed  # 20 million calls and more
    assert time.process_time() - start < 60


def test_harmless_arithmetic_is_still_judged() -> None:
    for answer in ("(3+4)*5/2", "x**3/3 - 2*cos(x) + C", "exp(2*x)/2", "-x**(1/2)", "sqrt(x)"):
        assert harmless("simple_integration", answer)
    for answer in ("x.evalf()", "lambda: 0", "x if x else 0", "[x]", "True", "a_b", "f(x)"):
        assert not harmless("simple_integration", answer)
    assert harmless("leg_counting", "anything at all")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "leg_count"}, "no dataset 'leg_count', nearest: leg_counting"),
        ({"config": {"seed": 1}}, "'seed', which is the task's"),
        ({"config": {"legs": 1}}, "cannot be made"),
        ({"dataset": "composite"}, "mixes datasets"),
        ({"dataset": "spell_backward", "config": {"data_file": "x"}}, "cannot be made"),
    ],
)
def test_what_cannot_be_played_is_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ludus.make(ID, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("env_id", "package", "called", "extra"),
    [
        (ID, "reasoning_gym", "reasoning-gym", "reasoning-gym"),
        ("ludus/TextArena-v1", "textarena", "TextArena", "textarena"),
        ("ludus/ScienceWorld-v1", "scienceworld", "ScienceWorld", "scienceworld"),
    ],
)
def test_without_the_package_it_says_what_to_install(
    env_id: str, package: str, called: str, extra: str
) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "import ludus\n"
        "from ludus.testing import check_env\n"
        f"report = check_env({env_id!r}, items=[3])\n"
        "print(report.items[0].status, report.items[0].detail)\n"
        f"ludus.make({env_id!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said = f"{env_id} needs {called}: pip install 'ludus[{extra}]'"
    assert done.stdout.strip() == f"skipped {said}"
    assert done.stderr.strip().endswith(said)
