"""The language model as an agent: replies to play with, and exact probabilities to judge it by."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, fsum

from ludus.agents.chat import Chat
from ludus.agents.engines.base import Engine, SamplingParams, Session
from ludus.envs.base import TextEnv


@dataclass(frozen=True, slots=True)
class ActionProbs:
    """A policy's choice at one decision."""

    probs: tuple[float, ...]
    """Of the legal actions, in their order; adds up to 1."""
    legal_mass: float
    """Probability of replying with exactly one of the legal action texts. The rest goes to other
    spellings and to illegal replies."""


class ModelAgent:
    """Answers with a language model.

    Args:
        engine: Samples and scores.
        chat: Renders for the engine's model.
        sampling: How replies are drawn; its stop tokens are replaced by the chat's.
    """

    def __init__(
        self, engine: Engine[Session], chat: Chat, sampling: SamplingParams | None = None
    ) -> None:
        self.engine, self.chat = engine, chat
        self.sampling = sampling_for(chat, sampling or SamplingParams())

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """The reply of `seat`, sampled."""
        session = self.engine.open(self.prompt(env, seat), seed=rng.getrandbits(63))
        (completion,) = self.engine.sample([session], self.sampling)
        self.engine.close(session)
        return self.chat.text(completion.ids)

    def prompt(self, env: TextEnv, seat: str) -> tuple[int, ...]:
        """All that a seat was told and said, as tokens up to where its reply begins."""
        return self.chat.conversation(env.transcript(seat))[0]

    def action_probs(self, places: Sequence[tuple[TextEnv, str]]) -> list[ActionProbs]:
        """Probability of each legal action at each place, at temperature 1, in one batch.

        The probability of an action is that of its text and the end of the turn.

        Args:
            places: Environments and the seat that is to act there.

        Raises:
            ValueError: If a seat has no list of legal actions.
        """
        sessions, requests, counts = [], [], []
        for env, seat in places:
            legal = env.legal_actions(seat)
            if not legal:
                raise ValueError(f"{env.ENV_ID} does not list the legal actions of {seat}")
            session = self.engine.open(self.prompt(env, seat), seed=0)
            sessions.append(session)
            requests += [(session, self.chat.reply(action)) for action in legal]
            counts.append(len(legal))
        scores = iter(self.engine.score(requests))
        result = []
        for count in counts:
            logps = [fsum(next(scores)) for _ in range(count)]
            best = max(logps)  # keeps actions apart whose probabilities are too small for a float
            parts = [exp(logp - best) for logp in logps]
            total = fsum(parts)
            result.append(ActionProbs(tuple(p / total for p in parts), total * exp(best)))
        for session in sessions:
            self.engine.close(session)
        return result


def sampling_for(chat: Chat, sampling: SamplingParams) -> SamplingParams:
    """The same sampling, stopping where the chat's replies stop."""
    return replace(sampling, stop_ids=chat.stop_ids)
