"""`ludus tool`: call a tool from the shell, as an agent would."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tyro.conf import Positional

from ludus.cli import UsageError, parse
from ludus.tools import Tool, find_tool
from ludus.tools.sandbox import Limits, SandboxError, open_sandbox

TOOLS = ("python", "search", "open")


@dataclass(frozen=True)
class PythonOptions:
    """Run Python in a sandbox; exit status 1 if the program fails."""

    code: Positional[str]
    """The program; "-" reads it from standard input."""
    backend: Literal["bubblewrap", "docker", "subprocess"] = "bubblewrap"
    """Where it runs; subprocess is for trusted code only."""
    seconds: float = 5.0
    """Time limit."""
    memory_mb: int = 512
    """Memory limit."""


@dataclass(frozen=True)
class SearchOptions:
    """Search a corpus."""

    query: Positional[str]
    """What to look for."""
    corpus: str
    """JSON lines with id, title and text, a text file of paragraphs, or a retriever's URL."""
    k: int = 3
    """How many documents."""


@dataclass(frozen=True)
class OpenOptions:
    """Read a document of a corpus."""

    id: Positional[str]
    """As search gave it."""
    corpus: str
    """As of search."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    if not args or args[0] not in TOOLS:
        if args and args[0] in ("-h", "--help"):
            print("usage: ludus tool {python,search,open} ...; each has --help")
            return 0
        raise UsageError(f"ludus tool takes one of: {', '.join(TOOLS)}")
    name, *rest = args
    if name == "python":
        return _python(parse(PythonOptions, rest, "tool python"))
    if name == "search":
        asked = parse(SearchOptions, rest, "tool search")
        try:
            result = _corpus_tool("search", asked.corpus).call({"query": asked.query, "k": asked.k})
        except ConnectionError as error:
            raise ValueError(str(error)) from error
    else:
        wanted = parse(OpenOptions, rest, "tool open")
        result = _corpus_tool("open", wanted.corpus).call({"id": wanted.id})
    print(result.text, file=sys.stderr if result.error else sys.stdout)
    return int(result.error)


def _corpus_tool(name: str, corpus: str) -> Tool:
    try:
        return find_tool(f"{name}:{corpus}")
    except OSError as error:
        raise ValueError(f"corpus {corpus}: {error.strerror}") from error


def _python(options: PythonOptions) -> int:
    from ludus.tools.python import python_tool

    code = sys.stdin.read() if options.code == "-" else options.code
    limits = Limits(seconds=options.seconds, memory_mb=options.memory_mb)
    try:
        with open_sandbox(options.backend, limits=limits, warm=0) as sandbox:
            result = python_tool(sandbox).call({"code": code})
    except SandboxError as error:
        raise ValueError(str(error)) from error
    print(result.text)
    return int(result.error)
