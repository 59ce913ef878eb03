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
    episodes: int | None = None
    """How many a check plays, roughly: 20, or 1 of environments that are tagged slow."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    options = parse(CheckOptions, args, "check")
    ids = [s.id for s in specs()] if options.all else list(options.ids)
    if not ids:
        raise ValueError("name an environment, or --all")
    for id in ids:
        spec(id)  # unknown names before any work
    if options.episodes is not None and options.episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {options.episodes}")
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
        episodes = options.episodes or (1 if "slow" in spec(id).tags else 20)
        reports.append(check_env(id, seed=options.seed, episodes=episodes))
    if options.json:
        print(json.dumps({"reports": [r.to_json() for r in reports], "skipped": skipped}, indent=1))
    else:
        for report in reports:
            Console().print(report.table())
        for id, reason in skipped.items():
            print(f"{id}: skipped: {reason}")
    return 0 if all(report.ok for report in reports) else 1
