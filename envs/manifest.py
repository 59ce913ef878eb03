"""The tasks that something is judged by, with what each begins with: are they the same elsewhere?

Results can be compared if they are of the same worlds, and names do not say so: a folder of games
may hold fewer of them, or other versions. Reported elsewhere: the order of a benchmark's tasks
followed the file system, and the same index was another task in another process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from ludus.envs import registry
from ludus.envs.base import TextEnv
from ludus.envs.state import hash_value
from ludus.envs.task import Task

KIND = "ludus tasks 1"
"""What the JSON calls itself."""


def held_out(env: TextEnv | type[TextEnv]) -> str:
    """The split to judge a policy on: "test", or the last that the environment names."""
    return "test" if "test" in env.SPLITS else list(env.SPLITS)[-1]


def drawn(env: TextEnv, split: str, episodes: int, seed: int) -> Sequence[Task]:
    """The tasks that a policy is judged by: so many of a split, all different, in an order that
    `seed` decides; all of them where there are fewer."""
    return env.tasks(split, **env.params).shuffle(seed, episodes)


def world_of(env: TextEnv, task: Task) -> str:
    """16 hex digits: equal if an episode of the task begins with the same position and words."""
    env.start(task, 0)
    said = {seat: [message.content for message in env.transcript(seat)] for seat in env.acting}
    return hash_value((env.state_hash(), said))


@dataclass(frozen=True, slots=True)
class Manifest:
    """Tasks of one environment, in the order they are played."""

    env: str
    """Its id, with its module where it needs one."""
    params: Mapping[str, Any]
    """The environment's own parameters, as far as they are not its defaults. How replies are
    written, and whether moves are listed, is no part of a task."""
    tasks: tuple[Task, ...]
    worlds: tuple[str, ...]
    """Of each task, see `world_of`."""

    @classmethod
    def of(cls, env_id: str, env_args: Mapping[str, Any], tasks: Sequence[Task]) -> Self:
        """What the tasks are here.

        Args:
            env_id: As `registry.make` takes it.
            env_args: Its arguments; those that are no parameters of its own are left out.
            tasks: Of it.
        """
        params = _own(env_id, env_args)
        return cls(env_id, params, tuple(tasks), _worlds(env_id, params, tasks))

    @property
    def digest(self) -> str:
        """Of all worlds, in any order."""
        return hash_value(sorted(self.worlds))

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "kind": KIND,
            "env": self.env,
            "env_args": dict(self.params),
            "digest": self.digest,
            "tasks": [
                {**task.to_json(), "world": world}
                for task, world in zip(self.tasks, self.worlds, strict=True)
            ],
        }

    @classmethod
    def from_json(cls, record: Any) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ValueError: If it is something else.
        """
        if not isinstance(record, dict) or record.get("kind") != KIND:
            raise ValueError(f"no manifest of tasks: it does not begin with kind {KIND!r}")
        try:
            rows = [dict(row) for row in record["tasks"]]
            worlds = tuple(row.pop("world") for row in rows)
            return cls(record["env"], record["env_args"], tuple(Task(**r) for r in rows), worlds)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the manifest of tasks is not whole: {error}") from error

    def check(self, env_args: Mapping[str, Any]) -> None:
        """See whether the tasks are here what they were where the manifest was made.

        Args:
            env_args: Arguments beside or instead of the manifest's, such as where data lies.

        Raises:
            ValueError: Naming the first that is not.
        """
        found = _worlds(self.env, {**self.params, **_own(self.env, env_args)}, self.tasks)
        for task, here, there in zip(self.tasks, found, self.worlds, strict=True):
            if here != there:
                raise ValueError(
                    f"task {task.index} of {task.split} is not what the manifest says: its world "
                    f"is {here} here and {there} there"
                )


def _own(env_id: str, env_args: Mapping[str, Any]) -> dict[str, Any]:
    """Of an environment's arguments, its own parameters that differ from their defaults."""
    known = registry.spec(env_id).load().PARAMS
    return {k: v for k, v in env_args.items() if k in known and v != known[k]}


def _worlds(env_id: str, params: Mapping[str, Any], tasks: Sequence[Task]) -> tuple[str, ...]:
    if not tasks:
        return ()
    # Made for their split: data may be here for no other.
    env = registry.make(env_id, **params, split=tasks[0].split)
    try:
        return tuple(world_of(env, task) for task in tasks)
    finally:
        env.close()
