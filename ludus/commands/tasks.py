"""`ludus tasks`: what a policy is judged by, as a list that can be kept."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from ludus.cli import json_object, parse


@dataclass(frozen=True)
class TasksOptions:
    """Show the tasks that `ludus eval` plays, with a hash of the world that each begins with: equal
    digests mean equal worlds, on any machine."""

    env: Positional[Annotated[str, arg(metavar="ID")]]
    """A registered id, or "module:id"."""
    env_args: str = "{}"
    """Its parameters, as a JSON object."""
    split: str = ""
    """Where they come from; by default the environment's test split, or its last."""
    episodes: int = 200
    """At most so many, drawn as `eval` draws them."""
    seed: int = 0
    """As of `eval`."""
    json: bool = False
    """As JSON, for `ludus eval --tasks FILE`."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    options = parse(TasksOptions, args, "tasks")
    if options.episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {options.episodes}")
    from ludus.envs import registry
    from ludus.envs.manifest import Manifest, drawn, held_out

    env_args = json_object("--env-args", options.env_args)
    split = options.split or held_out(registry.spec(options.env).load())
    env = registry.make(options.env, **{**env_args, "split": split})
    tasks = drawn(env, split, options.episodes, options.seed)
    manifest = Manifest.of(options.env, env_args, tasks)
    if options.json:
        print(json.dumps(manifest.to_json(), indent=1))
        return 0
    print(f"{'split':12} {'index':>10}  {'task':16}  {'world':16}  parameters")
    for task, world in zip(manifest.tasks, manifest.worlds, strict=True):
        told = json.dumps(dict(task.params)) if task.params else ""
        print(f"{task.split:12} {task.index:10}  {task.key}  {world}  {told}".rstrip())
    print(f"{len(tasks)} tasks, digest {manifest.digest}")
    return 0
