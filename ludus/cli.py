"""The command line: `ludus COMMAND ...`.

Every command is a frozen dataclass of its options and a function. What a user got wrong is one
line on standard error and exit status 2, never a traceback.
"""

import contextlib
import difflib
import importlib
import io
import sys
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

from ludus import __version__

COMMANDS = {
    "list": "the environments, with seats, splits and tags",
    "new": "write a working environment of your own, with its test",
    "check": "whether an environment keeps the protocol's promises",
    "play": "play an environment at the terminal, against any opponent",
    "train": "train a language model by a recipe",
    "eval": "play a policy against opponents, seat by seat, with confidence intervals",
    "serve": "an environment to OpenEnv's clients, over WebSocket and HTTP",
    "tool": "run Python in a sandbox, or search a corpus, as an agent would",
    "serve-search": "a corpus over HTTP, as Search-R1's retrieval servers answer",
    "serve-tools": "tools to MCP clients, over standard input and output or HTTP",
    "exploit": "how much best responses win against a policy, exactly",
}

Options = TypeVar("Options")


class UsageError(ValueError):
    """The command line itself is wrong."""


def parse(
    options: type[Options], args: Sequence[str], command: str, default: Any = None
) -> Options:
    """Options from arguments.

    Raises:
        UsageError: With tyro's reason in one line.
    """
    import tyro

    said = io.StringIO()
    given: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(said):
            parsed: Options = tyro.cli(options, args=list(args), prog=f"ludus {command}", **given)
            return parsed
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise UsageError(f"{_first_words(said.getvalue())} (ludus {command} --help)") from None


def unknown(kind: str, name: str, known: Collection[str]) -> UsageError:
    """The error for a name that is none of the known ones."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return UsageError(f"unknown {kind} {name!r}, {hint}{kind}s: {', '.join(known)}")


def _first_words(box: str) -> str:
    """The reason out of tyro's framed message: the lines between the frame and the first rule."""
    lines = []
    for line in box.splitlines()[1:]:
        text = line.strip("│ ").strip()
        if text.startswith(("─", "╰")):
            break
        lines.append(text)
    return " ".join(lines)


def _help() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return (
        f"ludus {__version__}: a gym and a trainer for language agents\n\n"
        f"usage: ludus COMMAND [options]\n\n{rows}\n\n"
        "ludus COMMAND --help shows a command's options."
    )


def run(args: Sequence[str]) -> int:
    """Run a command; returns the exit status.

    Raises:
        ValueError: For a user's mistake.
    """
    if not args or args[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if args[0] == "--version":
        print(__version__)
        return 0
    name, *rest = args
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    module = importlib.import_module(f"ludus.commands.{name.replace('-', '_')}")
    status: int = module.main(rest)
    return status


def main() -> None:
    """Entry point of the `ludus` program."""
    try:
        status = run(sys.argv[1:])
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(f"ludus: this needs {error.name}: pip install 'ludus[{extra}]'", file=sys.stderr)
        status = 2
    except (ValueError, TypeError) as error:
        if not _is_users(error):
            raise
        print(f"ludus: {' '.join(str(error).split())}", file=sys.stderr)
        status = 2
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        print(f"ludus: {error.strerror}: {error.filename}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        status = 0
    sys.exit(status)


_EXTRAS = {
    "torch": "train",
    "transformers": "train",
    "trl": "train",
    "datasets": "train",
    "tensorboard": "train",
    "scipy": "train",
    "docker": "docker",
    "bm25s": "search",
    "pettingzoo": "marl",
    "pyspiel": "games",
    "mcp": "mcp",
    "starlette": "serve",
    "uvicorn": "serve",
}


def _is_users(error: BaseException) -> bool:
    """Whether an error is about what the user gave: raised by our own checks, not from within
    somebody's arithmetic."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and str(last.tb_frame.f_globals.get("__name__", "")).startswith("ludus")


if __name__ == "__main__":
    main()
