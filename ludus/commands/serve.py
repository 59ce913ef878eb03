"""`ludus serve`: an environment behind OpenEnv's wire format."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

import ludus
from ludus.cli import json_object, parse
from ludus.envs import registry
from ludus.trainer.opponent import make_opponent


@dataclass(frozen=True)
class ServeOptions:
    """Serve an environment to OpenEnv's clients, over WebSocket and HTTP; Ctrl-C stops."""

    env: Positional[Annotated[str, arg(metavar="ENV")]]
    """Environment, such as ludus/KuhnPoker-v1; one's own with its module, my_game:me/Game-v1."""
    env_args: str = "{}"
    """Its parameters, as a JSON object."""
    opponent: str | None = None
    """Who plays the other seats: random, minimax, mcts:200, nash, negotiator, bargainer; or the
    folder of a run or a model; by default the client plays all seats."""
    seat: str | None = None
    """The client's; by default the first."""
    split: str = ""
    """Where tasks come from; by default the environment's first, or what the client asks for."""
    format: str = "plain"
    """How actions are written: plain, boxed, tag, answer."""
    host: str = "127.0.0.1"
    """To listen on. There is no password: others than loopback are open to whoever reaches them."""
    port: int = 8000
    """To listen on; 0 takes a free one."""
    sessions: int = 64
    """At a time; more are refused."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    options = parse(ServeOptions, args, "serve")
    if options.seat and not options.opponent:
        raise ValueError("--seat needs --opponent: without one the client plays all seats")
    if options.opponent == "human":
        raise ValueError("opponent cannot be human: ludus play is for people")
    from ludus.envs.adapters.to_openenv import serve

    settings = {**json_object("--env-args", options.env_args), "format": options.format}
    if options.split:
        settings["split"] = options.split
    env = registry.make(options.env, **settings)
    if options.opponent and len(env.ROLES) == 1:
        raise ValueError(f"{env.ENV_ID} has one seat: nobody plays as opponent {options.opponent}")
    agent = make_opponent(options.opponent, env) if options.opponent else None
    serve(
        lambda: ludus.make(options.env, opponents=agent, seat=options.seat, **settings),
        name=options.env,
        host=options.host,
        port=options.port,
        sessions=options.sessions,
        started=lambda at: print(f"{options.env} at {at}; Ctrl-C stops", flush=True),
    )
    return 0
