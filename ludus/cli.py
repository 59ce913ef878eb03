"""The command line: `ludus COMMAND ...`.

Every command is a frozen dataclass of its options and a function. What a user got wrong is one
line on standard error and exit status 2, never a traceback.
"""

import contextlib
import dataclasses
import difflib
import errno
import importlib
import io
import json
import os
import sys
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from ludus import __version__

COMMANDS = {
    "list": "the environments, all or by tag",
    "new": "write a working environment of your own, with its test",
    "check": "whether an environment keeps the protocol's promises",
    "play": "play an environment at the terminal, against any opponent",
    "train": "train a language model by a recipe",
    "eval": "play a policy against opponents, seat by seat, with confidence intervals",
    "tasks": "the tasks that a policy is judged by, with hashes of their worlds, to be kept",
    "serve": "an environment to OpenEnv's clients, over WebSocket and HTTP",
    "tool": "run Python in a sandbox, or search a corpus, as an agent would",
    "serve-search": "a corpus over HTTP, as Search-R1's retrieval servers answer",
    "serve-tools": "tools to MCP clients, over standard input and output or HTTP",
    "exploit": "how much best responses win against a policy, exactly",
}

Options = TypeVar("Options")
_format_warning = warnings.formatwarning


class UsageError(ValueError):
    """The command line itself is wrong."""


def parse(
    options: type[Options],
    args: Sequence[str],
    command: str,
    default: Any = None,
    about: str | None = None,
) -> Options:
    """Options from arguments.

    Args:
        options: A dataclass; its fields' docstrings are the help.
        args: What followed the command.
        command: Its name.
        default: Where the defaults come from, if not from the class.
        about: What `--help` says above the options, if not the class's docstring.

    Raises:
        UsageError: With tyro's reason in one line; or if an option that takes several values is
            given twice.
    """
    import tyro

    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        flag = f"--{field.name.replace('_', '-')}"
        if ", ...]" in str(field.type) and sum(a.partition("=")[0] == flag for a in args) > 1:
            raise UsageError(
                f"{flag} is given twice, which drops the first: {flag} ONE TWO is both"
            )
    said = io.StringIO()
    given: dict[str, Any] = {} if default is None else {"default": default}
    if {"-h", "--help"} & set(args):
        _join_lines(options)
    try:
        with contextlib.redirect_stderr(said):
            parsed: Options = tyro.cli(
                options,
                args=list(args),
                prog=f"ludus {command}",
                description=about,
                config=(tyro.conf.FlagCreatePairsOff,),
                **given,
            )
            return parsed
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        reason = _reason(said.getvalue()).removeprefix(f"Error parsing {options.__name__}: ")
        raise UsageError(f"{reason} (ludus {command} --help)") from None


def unknown(kind: str, name: str, known: Collection[str]) -> UsageError:
    """The error for a name that is none of the known ones."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return UsageError(f"unknown {kind} {name!r}, {hint}{kind}s: {', '.join(known)}")


def _join_lines(options: Any) -> None:
    """Give tyro each field's description as one line, to be wrapped to the terminal; by itself it
    keeps the line breaks of an indented docstring."""
    from docstring_parser import parse_from_object

    said = {p.arg_name: p.description or "" for p in parse_from_object(options).params}
    for field in dataclasses.fields(options):
        if field.name in said:
            field.metadata = MappingProxyType({"help": " ".join(said[field.name].split())})


def json_object(name: str, text: str) -> dict[str, Any]:
    """The value of an option that is a JSON object.

    Raises:
        ValueError: If it is none.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a JSON object, such as '{{\"goal\": 5}}', got {text!r}")
    return value


def _reason(box: str) -> str:
    """The reason out of tyro's message, which is framed, or where the terminal has no line drawing
    ruled with hyphens: what stands between the title and the next rule; and the option that was
    meant, as far as tyro knows."""
    _, *lines = (line.strip("│ ") for line in box.splitlines())
    rules = [i for i, line in enumerate(lines) if not line.strip("─-╰╯")]
    start = 1 if rules[:1] == [0] else 0
    end = next((i for i in rules if i >= start), len(lines))
    guesses = lines[lines.index("Perhaps you meant:") :] if "Perhaps you meant:" in lines else []
    meant = next((line.split()[0] for line in guesses if line.startswith("--")), "").rstrip(",")
    return " ".join(lines[start:end]) + (f", did you mean {meant}?" if meant else "")


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
    warnings.formatwarning = _warned
    sys.path.append(os.getcwd())  # as `python -m` does, so that "my_module:me/Game-v1" is found
    try:
        status = run(sys.argv[1:])
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is not None:
            reason = f"this needs {error.name}: pip install 'ludus[{extra}]'"
        elif type(error) is not ModuleNotFoundError:  # a `MissingExtra`, which says it all
            reason = str(error)
        else:
            raise
        print(f"ludus: {reason}", file=sys.stderr)
        status = 2
    except (ValueError, TypeError) as error:
        if not _is_users(error):
            raise
        print(f"ludus: {' '.join(str(error).split())}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        status = 0
    except OSError as error:
        if error.errno not in _ERRNOS:
            raise
        where = f": {error.filename}" if error.filename else ""
        print(f"ludus: {error.strerror}{where}", file=sys.stderr)
        status = 2
    sys.exit(status)


def _warned(
    message: Warning | str, category: type[Warning], filename: str, *place: Any, **line: Any
) -> str:
    """A warning of ours is one line; of others it keeps its place."""
    if Path(filename).is_relative_to(Path(__file__).parent):
        return f"ludus: {message}\n"
    return _format_warning(message, category, filename, *place, **line)


_ERRNOS = {
    errno.EACCES,
    errno.EADDRINUSE,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""What a file system or a port says to a user; other errors are ours."""


_EXTRAS = {
    "torch": "train",
    "jinja2": "train",
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
    from ludus.cli import main as program  # as `ludus.cli`, whose errors are ours

    program()
