"""HopQA: what is asked can be found, splits share nothing, answers are judged as SQuAD does."""

import random
import re
from typing import Any

import pytest

import ludus
from ludus.envs.tasks.scoring import exact, f1, normalize
from ludus.testing import check_env

pytest.importorskip("bm25s")

from ludus.envs.tasks.hop_qa import HopQA, _drawn
from ludus.envs.tasks.hop_question import make_question
from ludus.envs.tasks.hop_world import SIZES, make_world


def made(**options: Any) -> HopQA:
    env = ludus.make("ludus/HopQA-v1", **options)
    assert isinstance(env, HopQA)
    return env


def shown(env: HopQA) -> str:
    said = env.transcript("player_0")
    return "\n".join(m.content for m in said[1:] if m.role != "assistant")


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
@pytest.mark.parametrize("size", ["tiny", "small", "medium"])
def test_the_oracle_finds_every_answer(size: str, hops: int) -> None:
    env = made(size=size, hops=hops)
    for index in range(25):
        env.reset(options={"index": index})
        turns = 0
        while env.acting:
            golden = env.golden()
            *_, info = env.step((golden.plan or ())[0])
            turns += 1
        assert info["outcome"]["success"]
        assert golden.answer is not None
        assert golden.answer in shown(env)  # it was read, not only known
        assert turns - 1 == info["metrics"]["calls"] <= 2 * hops


@pytest.mark.parametrize("call_format", ["hermes", "json", "fence", "tags"])
@pytest.mark.parametrize("format", ["plain", "boxed", "tag", "answer"])
def test_any_formats(call_format: str, format: str) -> None:
    env = made(call_format=call_format, format=format)
    env.reset(seed=5)
    golden = env.golden()
    assert golden.action == f"{golden.prefix}{golden.answer}{golden.suffix}"
    while env.acting:
        *_, info = env.step((env.golden().plan or ())[0])
    assert info["outcome"]["success"]


# How a reader with nothing but the articles understands them, apart from the generator's records.
_SAID = {
    "birthplace": r"(?:was born in(?! the year)|came into the world in) (.+)",
    "teacher": r"(?:was taught by|learned everything from) (.+)",
    "favourite book": r"(?:loved|never travelled without a copy of) (.+)",
    "year of birth": r"(?:was born in the year|fell in the year) (.+)",
    "founder": r"(?:was founded by|goes back to) (.+)",
    "twin town": r"(?:is the twin of|has a partnership with) (.+)",
    "founding year": r"(?:was founded in the year|has stood since the year) (.+)",
    "author": r"(?:was written by|came from the pen of) (.+)",
    "setting": r"(?:is set in|takes place in) (.+)",
    "year of publication": r"(?:was published in the year|appeared in the year) (.+)",
}


@pytest.mark.parametrize("size", SIZES)
def test_answers_follow_from_the_articles(size: str) -> None:
    for seed in range(12 if size != "large" else 2):
        rng = random.Random(seed)
        world = make_world(rng, "train", SIZES[size])
        article = {document.title: document.text for document in world.documents}
        for text in list(article.values()):
            for also in re.findall(r"(?:known as|once called|also sold as) (\w+)\.", text):
                assert also not in article
                article[also] = text
        for hops in (1, 2, 3, 4):
            question = make_question(rng, world, hops)
            asked = re.sub(r"^\w+( \w+)? is ", "", question.text[:-1])
            # "the founder of The House of X": the innermost name is whatever has an article.
            names = [name for name in article if asked.endswith(f" of {name}")]
            found = max(names, key=len)
            rest = asked.removesuffix(f" of {found}").removeprefix("the ")
            relations = rest.split(" of the ")
            assert len(relations) == hops
            for relation in reversed(relations):
                sentences = re.findall(rf"{_SAID[relation]}\.", article[found].replace(". ", ".\n"))
                (found,) = sentences
            assert exact(found, [question.answer, *question.aliases]), question


def test_splits_share_no_name() -> None:
    words: dict[str, set[str]] = {}
    for split in ("train", "valid", "test"):
        words[split] = set()
        for seed in range(30):
            world = make_world(random.Random(seed), split, SIZES["tiny"])
            words[split] |= {entity.name for entity in world.entities}
    assert not words["train"] & words["valid"]
    assert not words["train"] & words["test"]
    assert not words["valid"] & words["test"]
    assert len(words["train"]) > 150
    env = made()
    keys = {split: {task.key for task in env.tasks(split).head(200)} for split in env.SPLITS}
    assert not keys["train"] & keys["test"]


def test_rewards() -> None:
    def rewarded(replies: list[str], **options: Any) -> tuple[float, dict[str, Any]]:
        env = made(hops=1, size="small", **options)
        env.reset(seed=3)
        golden = env.golden()
        for reply in replies:
            text = reply.format(answer=golden.answer, search=(golden.plan or ())[0])
            _, reward, *_, info = env.step(text)
        return reward, info

    assert rewarded(["{answer}"])[0] == 1
    assert rewarded(["nobody"])[0] == 0
    half, info = rewarded(["{answer} or nobody"], score="f1")
    assert 0 < half < 1
    assert info["metrics"]["f1"] == half
    assert not info["outcome"]["success"]
    assert rewarded(["{answer} or nobody"])[0] == 0
    once, info = rewarded(["{search}", "{answer}"], efficient=True, max_calls=4)
    assert once == pytest.approx(0.8660254)  # cos(pi / 6), arXiv:2504.14870
    assert info["metrics"]["calls"] == 1
    # arXiv:2505.15117: 1, 1 - lambda, lambda, 0
    table = {("", "{answer}"): 1.0, ("<search>", "{answer}"): 0.8, ("", "x"): 0.2, (" ", "x"): 0.0}
    for (before, answer), worth in table.items():
        reward, info = rewarded([r for r in (before, answer) if r], format_reward=0.2)
        assert reward == pytest.approx(worth), (before, answer)
        assert sum(info["reward_parts"]["player_0"].values()) == pytest.approx(reward)


def test_what_tools_say_is_no_answer() -> None:
    env = made(size="tiny", hops=1)
    env.reset(seed=1)
    golden = env.golden()
    call, _ = golden.plan or ()
    obs, reward, terminated, *_ = env.step(f"{call} {golden.action}")  # a call, and nothing else
    assert golden.answer is not None
    assert golden.answer in obs
    assert (reward, terminated) == (0.0, False)
    _, reward, terminated, *_ = env.step(obs)  # all that was read, said back
    assert (reward, terminated) == (0.0, True)


def test_noise_does_not_stop_the_oracle() -> None:
    env = made(size="medium", hops=3)
    for index in range(5):
        env.reset(options={"index": index})
        env.step(env.call_format.write(_call("winter")))
        env.step("<open>no such</open>")
        while env.acting:
            *_, info = env.step((env.golden().plan or ())[0])
        assert info["outcome"]["success"]


def _call(query: str) -> Any:
    from ludus.tools.calls import ToolCall

    return ToolCall("search", {"query": query})


def test_judged_as_the_official_script_does() -> None:
    squad = pytest.importorskip("transformers.data.metrics.squad_metrics")
    rng = random.Random(0)
    words = ["The", "a", "Ruk,", "ruk", "Tomo", "tomo.", "an", "year-1200", "of", "no"]
    for _ in range(2000):
        said, right = (" ".join(rng.choices(words, k=rng.randint(1, 5))) for _ in range(2))
        assert normalize(said) == squad.normalize_answer(said)
        assert exact(said, [right]) == bool(squad.compute_exact(right, said))
        if "no" not in (normalize(said), normalize(right)):  # HotpotQA's rule, not SQuAD's
            assert f1(said, [right]) == pytest.approx(squad.compute_f1(right, said))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hops": 5}, "hops must be from 1 to 4"),
        ({"hops": []}, "hops must be from 1 to 4"),
        ({"size": "huge"}, "tiny, small, medium, large"),
        ({"people": 1}, "people must be from 5"),
        ({"aliases": 2.0}, "aliases must be from 0 to 1"),
        ({"size": "tiny", "namesakes": 2}, "no family names"),
        ({"score": "bleu"}, "em, f1"),
        ({"tools": ["find"]}, "unknown tool"),
    ],
)
def test_wrong_parameters_are_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made(**options)


def test_tiny_worlds_pass_the_checker() -> None:
    check_env(made(size="tiny", hops=[1, 2], format="answer"), episodes=6).raise_for_failures()


def test_a_world_is_drawn_once() -> None:
    env = made()
    env.reset(options={"index": 7})
    drawn = _drawn.cache_info().misses
    while env.acting:
        (twin,) = env.fork()
        twin.golden()
        env.step((env.golden().plan or ())[0])
    assert _drawn.cache_info().misses == drawn
