"""`ludus play`: a person against any opponent, at the terminal."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from rich.console import Console
from rich.markup import escape
from tyro.conf import Positional, arg

from ludus.agents.base import Agent
from ludus.agents.human import HumanAgent, Quit, frame
from ludus.cli import json_object, parse
from ludus.envs.base import TextEnv
from ludus.envs.registry import make
from ludus.envs.task import derive_seed
from ludus.trainer.opponent import make_opponent


@dataclass(frozen=True)
class PlayOptions:
    """Play an environment at the terminal; "quit" leaves."""

    env: Positional[Annotated[str, arg(metavar="ENV")]]
    """Environment, such as ludus/KuhnPoker-v1; one's own with its module, my_game:me/Game-v1."""
    env_args: str = "{}"
    """Its parameters, as a JSON object."""
    opponent: str = "random"
    """Who plays the other seats: random, minimax, mcts:200, nash, negotiator, bargainer; or the
    folder of a run or a model."""
    seat: str | None = None
    """Yours; by default the first."""
    seed: int | None = None
    """Decides the task, chance and the opponent's draws; by default every game is another."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    options = parse(PlayOptions, args, "play")
    kwargs = json_object("--env-args", options.env_args)
    play(options.env, opponent=options.opponent, seat=options.seat, seed=options.seed, **kwargs)
    return 0


def play(
    env_id: str,
    *,
    opponent: str = "random",
    seat: str | None = None,
    seed: int | None = None,
    **kwargs: Any,
) -> dict[str, float] | None:
    """Play one episode on standard input and output.

    Args:
        env_id: A registered id.
        opponent: Spec of the agent that plays all other seats, or the folder of a model.
        seat: The person's; by default the first.
        seed: Decides the task, chance and the opponent's draws; by default the clock does.
        **kwargs: The environment's.

    Returns:
        Every seat's return, or None if the person left: quit, end of input, or Ctrl-C.

    Raises:
        ValueError: If the environment, the opponent or the seat is unknown, or the opponent cannot
            play the environment, which may have no seat for one.
    """
    env = make(env_id, **{"show_legal": False, **kwargs, "render_mode": "ansi"})
    own = env.ROLES[0] if seat is None else seat
    if own not in env.ROLES:
        raise ValueError(f"unknown seat {own!r}, seats: {', '.join(env.ROLES)}")
    if len(env.ROLES) == 1 and opponent != "random":
        raise ValueError(f"{env.ENV_ID} has one seat: nobody plays as opponent {opponent}")
    person = HumanAgent()
    agents: dict[str, Agent] = {own: person}
    if len(env.ROLES) > 1:
        other = make_opponent(opponent, env)
        agents |= {role: other for role in env.ROLES if role != own}
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    console = Console(highlight=False)
    versus = f" against [bold]{escape(opponent)}[/]" if len(env.ROLES) > 1 else ""
    console.print(
        f"[bold]{env.ENV_ID}[/], you are [bold]{own}[/]{versus}, seed {seed}. Type quit to leave."
    )
    try:
        return _episode(console, env, agents, own, seed)
    except (Quit, EOFError, KeyboardInterrupt):
        console.print("\nBye.")
        return None
    finally:
        env.close()


def _episode(
    console: Console, env: TextEnv, agents: dict[str, Agent], own: str, seed: int
) -> dict[str, float]:
    rng = random.Random(derive_seed("play", seed))
    _, info = env.reset(seed=seed)
    while env.acting:
        seat = env.acting[0]
        _, _, _, _, info = env.step(agents[seat].act(env, seat, rng), seat=seat)
    outcome = info["outcome"]
    console.print()
    news, position = str(env.observe(own)), env.render() or ""
    if news:
        console.print(escape(news))
    if position != news:  # which is shown where an environment draws nothing
        frame(console, env, position)
    returns: dict[str, float] = outcome["returns"]
    reason = outcome["reason"]
    console.print(
        _verdict(env, outcome, own) + (f": {escape(reason)}. " if reason else ". "), end=""
    )
    console.print("Returns: " + ", ".join(f"{role} {value:+g}" for role, value in returns.items()))
    return returns


def _verdict(env: TextEnv, outcome: dict[str, Any], own: str) -> str:
    # A game that is won and lost is not solved by anybody; forfeits say so all the same.
    if outcome["success"] is not None and (env.solvable or len(env.ROLES) == 1):
        return "[green]Solved[/]" if outcome["success"] else "[red]Not solved[/]"
    if not outcome["winner"]:
        return "[yellow]Draw[/]"
    return "[green]You win[/]" if outcome["winner"] == own else "[red]You lose[/]"
