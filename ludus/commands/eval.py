"""`ludus eval`: a policy against opponents, or at tasks."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ludus.cli import json_object, parse

if TYPE_CHECKING:
    from ludus.envs.base import TextEnv
    from ludus.envs.manifest import Manifest
    from ludus.trainer.evaluate import SeatResult, TaskResult
    from ludus.trainer.load import Policy


@dataclass(frozen=True)
class EvalOptions:
    """Play a policy in every seat against opponents that play the others; where there is one seat,
    at held-out tasks."""

    policy: str
    """A run, a checkpoint, a model folder, or a hub id."""
    env: str = ""
    """Environment; by default the one the run was trained in. One's own with its module,
    my_game:me/Game-v1. Or several, "a,b", or a suite ("spiral-heldout")."""
    env_args: str = "{}"
    """Its parameters, as a JSON object; by default the run's."""
    opponent: tuple[str, ...] = ("random",)
    """One or more: random, minimax, mcts:200, nash, negotiator, bargainer, or the folder of a run
    or a model. Not for one seat."""
    episodes: int | None = None
    """Per opponent and seat; or tasks. By default 200, or those of --tasks, once each."""
    seed: int = 0
    """Same seed, same episodes."""
    split: str = ""
    """Where tasks come from; by default the environment's test split, or its last."""
    tasks: str = ""
    """A file that `ludus tasks ID --json` wrote: these tasks, if they are the same here."""
    temperature: float = 1.0
    """Of sampling; 0 takes the most likely token."""
    format: str = ""
    """How actions are written in replies: plain, boxed, tag, answer; by default as the run had it,
    or else plain."""
    max_reply_tokens: int = 0
    """A reply is cut after this many tokens; 0: as many as the run had, or else 64."""
    device: str = "cpu"
    """Where the model goes, as torch names it."""
    out: str = ""
    """JSON file to write; by default eval-ENV-OPPONENTS.json or eval-ENV-SPLIT.json, in the run or
    in this folder, with a number where one with other settings is there."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    options = parse(EvalOptions, args, "eval")
    if options.episodes is not None and options.episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {options.episodes}")
    if options.max_reply_tokens < 0:
        raise ValueError(f"max_reply_tokens must be 0 or more, got {options.max_reply_tokens}")
    if not options.opponent:
        raise ValueError("--opponent needs one or more names, such as random")
    if "human" in options.opponent:
        raise ValueError("opponent cannot be human: ludus play is for people")
    if options.out and Path(options.out).is_dir():
        raise ValueError(f"--out {options.out} is a folder, name a file in it")
    if options.out and not Path(options.out).parent.is_dir():
        raise ValueError(f"--out {options.out}: there is no folder {Path(options.out).parent}")
    env_args = json_object("--env-args", options.env_args)
    if options.format:
        env_args["format"] = options.format
    if options.tasks:
        return _evaluate_tasks(options, env_args)
    from ludus.envs import suites

    ids = suites().get(options.env) or tuple(id.strip() for id in options.env.split(","))
    if options.out and len(ids) > 1:
        raise ValueError(f"--out is the file of one environment, {options.env!r} is {len(ids)}")
    return max(_evaluate(options, env, env_args) for env in ids)


def _evaluate_tasks(options: EvalOptions, env_args: dict[str, Any]) -> int:
    """At the tasks of a file, once it is clear that they are the same here."""
    from ludus.envs.manifest import Manifest

    try:
        manifest = Manifest.from_json(json.loads(Path(options.tasks).read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"--tasks {options.tasks}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"--tasks {options.tasks}: {error}") from error
    if options.env not in ("", manifest.env):
        raise ValueError(f"--tasks {options.tasks} is of {manifest.env}, not of {options.env}")
    if options.split:
        raise ValueError(f"--split {options.split}: --tasks says which tasks are played")
    manifest.check(env_args)
    return _evaluate(options, manifest.env, {**manifest.params, **env_args}, manifest)


def _evaluate(
    options: EvalOptions,
    env_id: str,
    env_args: dict[str, Any],
    manifest: "Manifest | None" = None,
) -> int:
    """In one environment: prints a table, writes a file. The exit status is 1 if nothing could be
    played."""
    from ludus.envs import registry
    from ludus.envs.manifest import Manifest, drawn, held_out
    from ludus.trainer.evaluate import against, solve
    from ludus.trainer.load import load_policy

    policy = load_policy(
        options.policy,
        env=env_id,
        env_kwargs=env_args,
        temperature=options.temperature,
        max_reply_tokens=options.max_reply_tokens,
        device=options.device,
    )
    split = manifest.tasks[0].split if manifest else options.split
    split = split or held_out(registry.spec(policy.env).load())
    env = _playable(policy, split, options.seed)
    if len(env.ROLES) == 1 and options.opponent != ("random",) and "," not in options.env:
        raise ValueError(
            f"{policy.env} has one seat: nobody plays as opponent {', '.join(options.opponent)}"
        )
    episodes = options.episodes or (len(manifest.tasks) if manifest else 200)
    if len(env.ROLES) == 1 and manifest is None:
        tasks = drawn(env, split, episodes, options.seed)
        manifest = Manifest.of(policy.env, policy.env_kwargs, tasks)
    settings: dict[str, Any] = {
        "episodes": episodes,
        "seed": options.seed,
        "split": split,
        "env_kwargs": policy.env_kwargs,
        "tasks": manifest.tasks if manifest else (),
    }
    if len(env.ROLES) == 1:
        results: Sequence[SeatResult | TaskResult]
        results = solved = [solve(policy.agent, policy.env, **settings)]
        table, name = _tasks(solved), split
    else:
        results = played = [
            result
            for opponent in options.opponent
            for result in against(policy.agent, policy.env, opponent, **settings)
        ]
        table, name = _games(played), "-".join(options.opponent)
    table.title = f"{options.policy} in {policy.env}, {split}"
    Console().print(table)
    if broken := sum(result.errors for result in results):
        first = next(result.first_error for result in results if result.errors)
        print(f"ludus: {broken} episodes broke, the first with: {first}", file=sys.stderr)
    record = {
        "policy": options.policy,
        "env": policy.env,
        "env_args": dict(policy.env_kwargs),
        "split": split,
        "tasks": manifest.digest if manifest else None,
        "episodes": episodes,
        "seed": options.seed,
        "temperature": options.temperature,
        "max_reply_tokens": policy.agent.sampling.max_tokens,
        "results": [result.to_json() for result in results],
    }
    _write(options, re.sub(r"[/\\:]+", "-", f"eval-{policy.env}-{name}.json"), record)
    return 0 if any(result.episodes for result in results) else 1


def _playable(policy: "Policy", split: str, seed: int) -> "TextEnv":
    """The environment, tried once: what cannot be played with its parameters is told now."""
    from ludus.envs import registry

    env = registry.make(policy.env, **{**policy.env_kwargs, "split": split})
    try:
        env.reset(seed=seed)
    except ValueError:
        raise
    except Exception:  # an episode that breaks is counted later, as all that may follow it
        pass
    return env


def _write(options: EvalOptions, file: str, record: dict[str, Any]) -> None:
    """Where the options say, or else under that name beside the policy. What was found with other
    settings is left there."""
    run = Path(options.policy)
    beside = run if (run / "run.json").is_file() else Path()
    out, number = Path(options.out) if options.out else beside / file, 1
    while not options.out and _is_other(out, record):
        number += 1
        out = beside / f"{file.removesuffix('.json')}-{number}.json"
    out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {out}")


def _is_other(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether a file is there that was not written with the settings of a record."""
    if not path.exists():
        return False
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return any(found[name] != record[name] for name in record if name != "results")
    except (ValueError, TypeError, KeyError):
        return True


def _games(results: "Sequence[SeatResult]") -> Table:
    table = _table("opponent", "seat", "games", "return", "won, %", "drawn", "invalid", "turns")
    for r in results:
        table.add_row(
            r.opponent,
            r.seat,
            str(r.episodes),
            f"{r.mean_return:+.3f} ± {r.mean_ci:.3f}",
            _share(r.win_rate, r.win_low, r.win_high),
            f"{r.draw_rate:.1%}",
            f"{r.invalid_rate:.1%}",
            f"{r.turns_mean:.1f}",
        )
    return table


def _tasks(results: "Sequence[TaskResult]") -> Table:
    table = _table("split", "episodes", "solved, %", "return", "invalid", "turns")
    for r in results:
        table.add_row(
            r.split,
            str(r.episodes),
            _share(r.success_rate, r.success_low, r.success_high),
            f"{r.mean_return:+.3f} ± {r.mean_ci:.3f}",
            f"{r.invalid_rate:.1%}",
            f"{r.turns_mean:.1f}",
        )
    return table


def _share(rate: float, low: float, high: float) -> str:
    return f"{100 * rate:.1f} [{100 * low:.0f}, {100 * high:.0f}]"


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in columns:
        if name == "opponent":  # may be a long path
            table.add_column(name, min_width=8, overflow="fold")
        else:
            table.add_column(name, no_wrap=True)
    return table
