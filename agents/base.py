"""Who answers: anything that maps a seat's view of an environment to a reply.

Opponents are data. A spec names an agent, with an argument after a colon: "random", "minimax",
"nash", "human", or the path of a checkpoint or model folder.
"""

import difflib
import random
from collections.abc import Callable
from typing import Protocol

from ludus.envs.base import TextEnv


class Agent(Protocol):
    """Answers for a seat.

    Agents keep no state between calls: all that was said is in `env.transcript(seat)`, so an
    agent can be asked in the middle of any episode, in any of its forks. What an agent may read
    is its own honesty: a fair one reads `observe`, `transcript` and `legal_actions` of its seat;
    one that searches forks the environment.
    """

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """The reply of `seat`, which is to act. Leaves `env` as it is."""


AGENTS: dict[str, Callable[[str], Agent]] = {}
"""Name in a spec -> builder, given what follows the colon ("" if nothing does)."""


def make_agent(spec: str) -> Agent:
    """The agent a spec names.

    Raises:
        ValueError: If there is none of that name; the message names the nearest.
    """
    name, _, argument = spec.partition(":")
    if name not in AGENTS:
        near = difflib.get_close_matches(name, AGENTS, n=1, cutoff=0.4)
        hint = f"nearest: {near[0]}, " if near else ""
        raise ValueError(f"unknown agent {spec!r}, {hint}known: {', '.join(sorted(AGENTS))}")
    return AGENTS[name](argument)
