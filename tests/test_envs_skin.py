"""A skin keeps the game and changes the words."""

import pickle
import random
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ludus
from ludus.agents.base import make_agent
from ludus.agents.solvers import build_tree, infoset_key
from ludus.envs.base import TextEnv
from ludus.envs.formats import FORMATS
from ludus.envs.skin import make_skin

SKINNED = [spec.id for spec in ludus.specs() if spec.load().VOCABULARY]


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def test_every_game_with_words_of_its_own_has_skins() -> None:
    games = {*ludus.suite("spiral-train"), *ludus.suite("spiral-heldout"), "ludus/Nim-v1"}
    assert games <= set(SKINNED)


@pytest.mark.parametrize("env_id", SKINNED)
@pytest.mark.parametrize("format", FORMATS)
def test_same_game_in_other_words(env_id: str, format: str) -> None:
    for k in range(3):
        plain = ludus.make(env_id)
        other = ludus.make(env_id, skin=f"obfuscated:{k}", format=format)
        rng = random.Random(k)
        own_words = {w.casefold() for w in plain.VOCABULARY if not w.startswith("=")}
        kept = "".join(w[1:] for w in plain.VOCABULARY if w.startswith("="))
        for seed in range(4):
            plain.reset(seed=seed)
            other.reset(seed=seed)
            while plain.acting:
                assert other.acting == plain.acting
                assert other.state_hash() == plain.state_hash()
                seat = plain.acting[0]
                legal, texts = plain.legal_actions(seat), other.legal_actions(seat)
                if legal is None:
                    move = make_agent("negotiator").act(plain, seat, random.Random(seed))
                    text = other.format.write(move)
                else:
                    assert texts is not None
                    assert [other.format.read(text) for text in texts] == legal
                    at = rng.randrange(len(legal))
                    move, text = legal[at], texts[at]
                infos = plain.step(move)[4], other.step(text)[4]
                assert infos[0]["rewards"] == infos[1]["rewards"]
                assert infos[1]["invalid"] == ""
            assert not own_words - set("0123456789") & words(infos[1]["outcome"]["reason"])
            assert other.acting == ()
            assert other.returns == plain.returns
            for role in plain.ROLES:
                assert len(plain.transcript(role)) == len(other.transcript(role))
                for message in other.transcript(role):
                    said = message.content.replace(kept, "") if kept else message.content
                    leaked = own_words & words(said)
                    assert not leaked, message.content


def tree_of(env_id: str, **kwargs: Any) -> tuple[Any, ...]:
    tree = build_tree(env_id, **kwargs)
    return (
        [(node.parent, node.infoset, node.returns, node.chance) for node in tree.nodes],
        [infoset.key for infoset in tree.infosets],
    )


@pytest.mark.parametrize("env_id", ["ludus/KuhnPoker-v1", "ludus/RockPaperScissors-v1"])
def test_the_tree_is_the_same_and_its_actions_are_the_skins(env_id: str) -> None:
    assert tree_of(env_id) == tree_of(env_id, skin="obfuscated:9")
    plain, other = build_tree(env_id), build_tree(env_id, skin="obfuscated:9")
    assert [i.moves for i in plain.infosets] == [i.moves for i in other.infosets]
    for infoset in other.infosets:
        assert not set(infoset.actions) & set(infoset.moves)
        env = infoset.env()
        assert env.legal_actions(infoset.seat) == list(infoset.actions)
        assert infoset_key(env, infoset.seat) == infoset.key


@pytest.mark.parametrize(
    ("env_id", "spec"),
    [("TicTacToe", "minimax"), ("KuhnPoker", "nash"), ("Nim", "minimax"), ("TicTacToe", "mcts:60")],
)
def test_opponents_speak_the_skin(env_id: str, spec: str) -> None:
    env, agent = ludus.make(f"ludus/{env_id}-v1", skin="obfuscated:1"), make_agent(spec)
    for seed in range(3):
        env.reset(seed=seed)
        while env.acting:
            reply = agent.act(env, env.acting[0], random.Random(seed))
            assert env.step(reply)[4]["invalid"] == ""


def test_the_plain_words_are_not_understood() -> None:
    env = ludus.make("ludus/KuhnPoker-v1", skin="obfuscated:1")
    env.reset(seed=0)
    info = env.step("check")[4]
    assert info["invalid"] == "'check' is not a legal action"
    assert "'check' is not" in env.observe("player_0")


@pytest.mark.parametrize("format", FORMATS)
def test_pickles_and_replays(format: str) -> None:
    for skin in (None, "obfuscated:7"):
        env = ludus.make("ludus/LeducPoker-v1", skin=skin, format=format)
        env.reset(seed=1)
        env.step((env.legal_actions() or [])[1])
        twins: list[TextEnv] = [pickle.loads(pickle.dumps(env)), env.from_replay(env.replay())]
        for twin in twins:
            assert twin.legal_actions() == env.legal_actions()
            assert [twin.transcript(r) for r in twin.ROLES] == [
                env.transcript(r) for r in env.ROLES
            ]


VOCABULARY = ("check", "raise", "raises", "J", "tic-tac-toe", "1", "2", "=2 by 2", "drop")


@settings(deadline=None, max_examples=60)
@given(k=st.integers(0, 10**12), text=st.text(alphabet="checkraisJ12 drop.,-tby", max_size=60))
def test_a_skin_is_its_own_inverse(k: int, text: str) -> None:
    skin = make_skin(f"obfuscated:{k}", VOCABULARY)
    assert skin.swap(skin.swap(text)) == text
    for said in ("Check, RAISES 2x1; raising 1 of J on 2 by 2.", "Tic-Tac-Toe is dropping"):
        assert skin.swap(skin.swap(said)).casefold() == said.casefold()
    assert skin.swap("2 by 2") == "2 by 2"
    assert "1" not in skin.swap("take 1 now")
    assert skin.swap("21 or 2x1") == "21 or 2x1"
    names: Mapping[str, str] = skin.names
    assert all(names[names[word]] == word for word in names)


def test_k_chooses_the_names() -> None:
    texts = {make_skin(f"obfuscated:{k}", VOCABULARY).swap("check 1") for k in range(50)}
    assert len(texts) == 50
    again = make_skin("obfuscated:3", VOCABULARY).swap("check 1")
    assert again == make_skin("obfuscated:3", VOCABULARY).swap("check 1")


@pytest.mark.parametrize(
    "skin", ["obfuscated", "obfuscated:", "obfuscated:-1", "pirate:1", "", "²"]
)
def test_bad_skins_are_one_line(skin: str) -> None:
    with pytest.raises(ValueError, match=r"a skin is obfuscated:K"):
        ludus.make("ludus/KuhnPoker-v1", skin=skin)


def test_games_without_words_have_none() -> None:
    with pytest.raises(ValueError, match="no VOCABULARY"):
        ludus.make("ludus/GuessNumber-v1", skin="obfuscated:1")
