"""`ludus check`: the conformance checker."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from tyro.conf import Positional

from ludus.cli import parse
from ludus.envs import spec, specs
from ludus.envs.registry import make


@dataclass(frozen=True)
class CheckOptions:
    """Check that environments keep the protocol's promises; exit status 1 if one does not."""

    ids: Positional[tuple[str, ...]] = ()
    """Environment ids, or module:id."""
    all: bool = False
    """Every registered environment."""
    json: bool = False
    """As JSON."""
    seed: int = 0
    """Of the episodes that are played."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    options = parse(CheckOptions, args, "check")
    ids = [s.id for s in specs()] if options.all else list(options.ids)
    if not ids:
        raise ValueError("name an environment, or --all")
    for id in ids:
        spec(id)  # unknown names before any work
    from ludus.testing import check_env

    reports, skipped = [], {}
    for id in ids:
        try:
            make(id).close()
        except (ValueError, ImportError) as error:
            if not options.all:
                raise
            skipped[id] = " ".join(str(error).split())  # data, a package or a program is missing
            continue
        reports.append(check_env(id, seed=options.seed))
    if options.json:
        print(json.dumps({"reports": [r.to_json() for r in reports], "skipped": skipped}, indent=1))
    else:
        for report in reports:
            Console().print(report.table())
        for id, reason in skipped.items():
            print(f"{id}: skipped: {reason}")
    return 0 if all(report.ok for report in reports) else 1
