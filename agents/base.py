"""Who answers: anything that maps a seat's view of an environment to a reply.

Opponents are data. A spec names an agent, with an argument after a colon: "random", "expert",
"hasty:0.8", "minimax", "mcts:200", "nash", "negotiator", "bargainer", "human". Language models in
folders are opponents too: `ludus.trainer.opponent`.
"""

import difflib
import random
from collections.abc import Callable
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Prepares(Protocol):
    """An agent that cannot play every environment, or that has work to do before it plays."""

    def prepare(self, env: TextEnv) -> None:
        """Do that work now. Leaves `env` as it is, and may be called any number of times.

        Raises:
            ValueError: If the agent cannot play the environment; one line that names others.
        """


def others(env: TextEnv) -> str:
    """Opponents that may play where search cannot, for messages."""
    zero_sum = env.ZERO_SUM and len(env.ROLES) == 2
    return "opponents nash or random" if zero_sum else "opponent random"


def _random(argument: str) -> Agent:
    from ludus.agents.scripted import RandomAgent

    return _without_argument("random", argument, RandomAgent)


def _expert(argument: str) -> Agent:
    from ludus.agents.scripted import ExpertAgent

    return _with_share("expert", argument, ExpertAgent, "random replies")


def _hasty(argument: str) -> Agent:
    from ludus.agents.scripted import HastyAgent

    return _with_share("hasty", argument, HastyAgent, "answers given at once")


def _with_share(name: str, argument: str, build: Callable[..., Agent], of: str) -> Agent:
    if not argument:
        return build()
    try:
        return build(float(argument))
    except ValueError:
        raise ValueError(
            f"{name} takes its share of {of}, in [0, 1], as in {name}:0.2, not {argument!r}"
        ) from None


def _minimax(argument: str) -> Agent:
    from ludus.agents.scripted import MinimaxAgent

    return _without_argument("minimax", argument, MinimaxAgent)


def _nash(argument: str) -> Agent:
    from ludus.agents.scripted import NashAgent

    if not argument:
        return NashAgent()
    if not argument.isdecimal():
        raise ValueError(f"nash takes a number of iterations, as in nash:5000, not {argument!r}")
    return NashAgent(int(argument))


def _mcts(argument: str) -> Agent:
    from ludus.agents.mcts import MCTSAgent

    if not argument:
        return MCTSAgent()
    if not (argument.isdecimal() and argument.isascii() and len(argument) < 9):
        raise ValueError(f"mcts takes a number of simulations, as in mcts:200, not {argument!r}")
    return MCTSAgent(int(argument))


def _negotiator(argument: str) -> Agent:
    from ludus.agents.negotiator import NegotiatorAgent

    return _without_argument("negotiator", argument, NegotiatorAgent)


def _bargainer(argument: str) -> Agent:
    from ludus.agents.bargainer import BargainerAgent

    return _without_argument("bargainer", argument, BargainerAgent)


def _human(argument: str) -> Agent:
    from ludus.agents.human import HumanAgent

    return _without_argument("human", argument, HumanAgent)


def _without_argument(name: str, argument: str, build: Callable[[], Agent]) -> Agent:
    if argument:
        raise ValueError(f"{name} takes no argument, got {argument!r}")
    return build()


AGENTS: dict[str, Callable[[str], Agent]] = {
    "random": _random,
    "expert": _expert,
    "hasty": _hasty,
    "minimax": _minimax,
    "mcts": _mcts,
    "nash": _nash,
    "negotiator": _negotiator,
    "bargainer": _bargainer,
    "human": _human,
}
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
