"""`ludus list`: the environments."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from ludus.cli import parse
from ludus.envs import specs, suites


@dataclass(frozen=True)
class ListOptions:
    """Show the registered environments, other packages' included."""

    json: bool = False
    """As JSON."""


def rows() -> list[dict[str, Any]]:
    """What is known of every environment; JSON types."""
    found = []
    members = suites()
    for spec in specs():
        env = spec.load()
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
    if options.json:
        print(json.dumps(rows(), indent=1))
        return 0
    table = Table(box=None, header_style="bold")
    table.add_column("id", no_wrap=True)
    for name in ("seats", "splits", "tags"):
        table.add_column(name)
    for row in rows():
        tags, splits = ", ".join(row["tags"]), ", ".join(row["splits"])
        table.add_row(row["id"], str(row["seats"]), splits, tags)
    Console().print(table)
    for name, ids in suites().items():
        Console().print(f"suite [bold]{name}[/]: {', '.join(ids)}", soft_wrap=True)
    return 0
