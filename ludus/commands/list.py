"""`ludus list`: the environments."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ludus.cli import parse, unknown
from ludus.envs import specs, suites


@dataclass(frozen=True)
class ListOptions:
    """Show the registered environments, other packages' included."""

    tag: tuple[str, ...] = ()
    """Only those that have all of these tags, such as two-seat, golden, tools, world."""
    json: bool = False
    """As JSON, with splits, parameters, tags and suites."""


def rows() -> list[dict[str, Any]]:
    """What is known of every environment; JSON types. One that cannot be loaded, such as another
    package's with a fault, is left out, and standard error says so."""
    found = []
    members = suites()
    for spec in specs():
        try:
            env = spec.load()
        except Exception as error:
            print(f"ludus: {spec.id} left out: {error!r}", file=sys.stderr)
            continue
        doc = (env.__doc__ or "").strip().splitlines()
        found.append(
            {
                "id": spec.id,
                "seats": len(env.ROLES),
                "zero_sum": env.ZERO_SUM,
                "max_turns": env.MAX_TURNS,
                "splits": dict(env.SPLITS),
                "split_by": env.SPLIT_BY,
                "params": dict(env.PARAMS),
                "tags": list(spec.tags),
                "suites": [name for name, ids in members.items() if spec.id in ids],
                "about": doc[0] if doc else "",
            }
        )
    return found


def main(args: Sequence[str]) -> int:
    """Run the command."""
    options = parse(ListOptions, args, "list")
    every = rows()
    tags = sorted({tag for row in every for tag in row["tags"]})
    for tag in options.tag:
        if tag not in tags:
            raise unknown("tag", tag, tags)
    shown = [row for row in every if set(options.tag) <= set(row["tags"])]
    if options.json:
        print(json.dumps(shown, indent=1))
        return 0
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), expand=True)
    table.add_column("id", no_wrap=True)
    table.add_column("seats", no_wrap=True)
    table.add_column("about", no_wrap=True, ratio=1)  # cut where the others leave too little
    for row in shown:
        needs = "".join(f" [{tag}]" for tag in row["tags"] if tag.startswith("needs"))
        about = Text(needs[1:], "yellow").append(" " * bool(needs)).append(row["about"], "default")
        table.add_row(row["id"], str(row["seats"]), about)
    console = Console()
    if not console.is_terminal:
        console.width = 200  # a file or a pipe loses nothing
    with console.capture() as lines:
        console.print(table)
    for line in lines.get().splitlines():
        print(line.rstrip())
    if not options.tag:
        for name, ids in suites().items():
            console.print(f"suite [bold]{name}[/]: {', '.join(ids)}", soft_wrap=True)
    return 0
