"""A person at the terminal."""

import random

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from ludus.envs.base import TextEnv

QUIT = frozenset({"quit", "exit", "q"})


class Quit(Exception):  # noqa: N818  # a wish, not an error
    """The person does not want to go on."""


class HumanAgent:
    """Shows a seat what it has been told, and asks for its reply.

    Moves are typed alone, in any case, or by their first letters where no other move begins so;
    the action format is added. What is not legal is asked again and never reaches the game.
    """

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """The person's reply.

        Raises:
            Quit: If they type quit.
            EOFError: If input ends.
        """
        console = Console(highlight=False)
        show(console, env, seat)
        legal = _moves(env, seat)
        if legal and not env.show_legal:
            console.print(f"Legal actions: {escape(', '.join(legal))}")
        while True:
            text = console.input(f"[bold]{seat}>[/] ").strip()
            if legal is None:
                if text.casefold() == "quit":
                    raise Quit
                return env.format.write(env._worded(text))
            if (move := pick(text, list(legal))) is not None:
                return legal[move]
            if text.casefold() in QUIT:
                raise Quit
            console.print(f"[red]{escape(repr(text))} is no legal move.[/]")


def pick(text: str, legal: list[str]) -> str | None:
    """The legal move that was typed: itself, or the only one that begins like this.

    >>> pick("CALL", ["fold", "call"]), pick("f", ["fold", "call"]), pick("", ["fold"])
    ('call', 'fold', None)
    >>> pick("1", ["1", "10", "11"]), pick("c", ["check", "call"])
    ('1', None)
    """
    typed = text.casefold()
    begun = []
    for move in legal:
        if move.casefold() == typed:
            return move
        if typed and move.casefold().startswith(typed):
            begun.append(move)
    return begun[0] if len(begun) == 1 else None


def show(console: Console, env: TextEnv, seat: str) -> None:
    """What the seat has been told since its last turn, and the position framed below: as the seat
    sees it, else as the environment draws it if no other seat has secrets."""
    console.print()
    said, sight = str(env.observe(seat)), env._observe(seat)
    before, found, after = said.rpartition(sight) if sight else (said, "", "")
    if before.strip():
        console.print(escape(before.strip()))
    secret = any(env._secrets(role) for role in env.ROLES if role != seat)
    if found:
        frame(console, env, sight)
    elif env.render_mode == "ansi" and not secret and env.render() != said:
        frame(console, env, env.render() or "")
    if after.strip():
        console.print(escape(after.strip()))


def frame(console: Console, env: TextEnv, position: str) -> None:
    """A position in a box; nothing if there is nothing to see."""
    if position.strip():
        console.print(Panel.fit(escape(position), title=env.ENV_ID, padding=(0, 2)))


def _moves(env: TextEnv, seat: str) -> dict[str, str] | None:
    """The legal moves, as they are shown and as they are written."""
    legal = env.legal_actions(seat)
    if legal is None:
        return None
    return {env._worded(env.format.read(action) or action): action for action in legal}
