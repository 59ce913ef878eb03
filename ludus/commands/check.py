"""`ludus check`: the conformance checker."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import Positional, arg

from ludus.cli import json_object, parse
from ludus.envs import spec, specs
from ludus.envs.check import ITEMS, Report, check_env
from ludus.envs.registry import MissingExtra, make


@dataclass(frozen=True)
class CheckOptions:
    """Check that environments keep the protocol's promises; exit status 1 if one does not."""

    ids: Positional[Annotated[tuple[str, ...], arg(metavar="[ID ...]")]] = ()
    """Environment ids, or module:id."""
    env_args: str = "{}"
    """Parameters of the one that is named, as a JSON object."""
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
    if not ids or (options.all and options.ids):
        raise ValueError("name environments, or --all")
    for id in ids:
        spec(id)  # unknown names before any work
    if options.episodes is not None and options.episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {options.episodes}")
    if options.seed < 0:
        raise ValueError(f"seed must be at least 0, got {options.seed}")
    env_args = json_object("--env-args", options.env_args)
    if env_args and len(ids) > 1:
        raise ValueError(f"--env-args are of one environment, got {len(ids)}")
    reports: list[Report] = []
    skipped: dict[str, str] = {}
    for n, id in enumerate(ids, 1):
        try:
            make(id, **env_args).close()
        except Exception as error:
            if not options.all:
                raise
            if not _is_missing(error, id):
                reports.append(Report.unmade(id, error))
            else:
                skipped[id] = " ".join(str(error).split())
                continue
        else:
            reports.append(_check(id, env_args, options, f"{n} of {len(ids)}"))
        if not options.json:
            Console().print(reports[-1].table())
    if options.json:
        print(json.dumps({"reports": [r.to_json() for r in reports], "skipped": skipped}, indent=1))
    else:
        for id, reason in skipped.items():
            print(f"{id}: skipped: {reason}")
    failed = [report.env_id for report in reports if not report.ok]
    if len(ids) > 1 and not options.json:
        passed = f"{len(reports) - len(failed)} of {len(ids)} passed, {len(skipped)} skipped"
        print(f"{passed}, failed: {', '.join(failed)}" if failed else passed)
    return 1 if failed else 0


def _is_missing(error: Exception, id: str) -> bool:
    """Whether a package, a program or data are not here, and nothing is wrong."""
    return isinstance(error, MissingExtra) or (
        isinstance(error, ValueError) and "needs data" in spec(id).tags
    )


def _check(id: str, env_args: dict[str, Any], options: CheckOptions, place: str) -> Report:
    """Check one, and say on a terminal how far it is."""
    episodes = options.episodes or (1 if "slow" in spec(id).tags else 20)
    left = [name for name, _ in ITEMS.values()]
    with Console(stderr=True).status("") as status:

        def show(*_: object) -> None:
            if left:
                status.update(f"{id} ({place}): {left.pop(0)}")

        show()
        return check_env(id, env_args, seed=options.seed, episodes=episodes, on_item=show)
