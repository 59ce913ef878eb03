"""The language model as an agent: exact probabilities, and replies within the contract."""

import random
import sys
from math import exp
from pathlib import Path
from typing import Any

import pytest
import torch

from ludus.agents.engines import make_engine
from ludus.agents.engines.base import SamplingParams
from ludus.agents.engines.hf import HFEngine
from ludus.agents.policy import ActionProbs, ModelAgent, sampling_for
from ludus.envs import TextEnv
from ludus.envs.registry import make

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import chat, tiny


def agent(**sampling: Any) -> ModelAgent:
    return ModelAgent(make_engine(tiny()[0]), chat(), SamplingParams(**sampling))


def kuhn(*moves: str, deal: str = "KQ") -> TextEnv:
    env = make("ludus/KuhnPoker-v1", deal=deal)
    env.reset(seed=0)
    for move in moves:
        env.step(move)
    return env


@pytest.mark.parametrize("engine", [make_engine, HFEngine])
def test_action_probabilities_are_those_of_a_plain_forward_pass(engine: Any) -> None:
    model = tiny()[0]
    own = ModelAgent(engine(model), chat())
    places = [(kuhn(), "player_0"), (kuhn("check"), "player_1"), (kuhn("check", "bet"), "player_0")]
    for (env, seat), found in zip(places, own.action_probs(places), strict=True):
        prompt = list(own.prompt(env, seat))
        probs = []
        for action in env.legal_actions(seat) or ():
            reply = list(chat().reply(action))
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([prompt + reply])).logits[0].double()
            logps = torch.log_softmax(logits, -1)[len(prompt) - 1 : -1]
            probs.append(exp(float(sum(logps[i, t] for i, t in enumerate(reply)))))
        assert found.legal_mass == pytest.approx(sum(probs), rel=1e-4)
        assert found.probs == pytest.approx([p / sum(probs) for p in probs], rel=1e-4)
        assert sum(found.probs) == pytest.approx(1)


def test_the_prompt_is_the_conversation() -> None:
    own, env = agent(), kuhn("check", "bet")
    said = [m._asdict() for m in env.transcript("player_0")]
    assert [m["role"] for m in said] == ["user", "assistant", "user"]
    tokenizer = tiny()[1]
    expected = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    assert own.prompt(env, "player_0") == tuple(tokenizer.encode(expected))


def test_probabilities_too_small_for_a_float() -> None:
    class Sure:
        """Gives one action e^-2000, the other half of that."""

        version, max_positions = 0, 999

        def open(self, ids: Any, *, seed: int) -> None:
            return None

        def close(self, session: Any) -> None:
            pass

        def score(self, requests: Any) -> list[tuple[float, ...]]:
            return [(-2000.0,), (-2000.0, -0.6931471805599453)]

    own = ModelAgent(Sure(), chat())  # type: ignore[arg-type]
    assert own.action_probs([(kuhn(), "player_0")]) == [
        ActionProbs((pytest.approx(2 / 3), pytest.approx(1 / 3)), 0.0)  # type: ignore[arg-type]
    ]


def test_no_list_of_actions_no_probabilities() -> None:
    env = make("ludus/GuessNumber-v1")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="GuessNumber-v1 does not list"):
        agent().action_probs([(env, "player_0")])


def test_replies_follow_the_given_randomness() -> None:
    own, env = agent(max_tokens=5), kuhn()
    replies = [own.act(env, "player_0", random.Random(seed)) for seed in (1, 1, 2, 3)]
    assert replies[0] == replies[1]
    assert len(set(replies)) > 1
    assert env.acting == ("player_0",)  # nothing was played


def test_sampling_keeps_all_but_the_stops() -> None:
    given = SamplingParams(max_tokens=3, temperature=0.5, top_k=7, top_p=0.9, stop_ids=(1,))
    found = sampling_for(chat(), given)
    assert found.stop_ids == chat().stop_ids
    assert (found.max_tokens, found.temperature, found.top_k, found.top_p) == (3, 0.5, 7, 0.9)
