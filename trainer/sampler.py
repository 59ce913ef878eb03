"""What a step plays: which tasks, where, who in which seat, and how often more is asked for."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ludus.agents.policy import ModelAgent
from ludus.envs.base import TextEnv
from ludus.envs.task import Task, derive_seed
from ludus.trainer.arena import Arena
from ludus.trainer.config import TrainConfig
from ludus.trainer.credit import Credit, Credited, sibling
from ludus.trainer.methods import make_branching, make_budget
from ludus.trainer.pool import Pool
from ludus.trainer.rollout import Rollout
from ludus.trainer.spread import Curriculum, Even
from ludus.trainer.trajectory import Episode, Trajectory, usable
from ludus.trainer.tree_rollout import TreeRollout


@dataclass(frozen=True, slots=True)
class Player:
    """The policy in one seat of one arena, or in all of them."""

    arena: Arena
    own: str
    rollout: Rollout


class Sampler:
    """Plays the episodes of a step.

    Args:
        config: Of the run.
        arenas: Where.
        agent: The policy.
        credit: Says what its estimator needs of a rollout, and which groups its filters leave.
        curriculum: Says which arena a group plays in.
        pool: Opponents, where the arenas have none of their own.
    """

    def __init__(
        self,
        config: TrainConfig,
        arenas: Sequence[Arena],
        agent: ModelAgent,
        credit: Credit,
        curriculum: Curriculum,
        pool: Pool | None = None,
    ) -> None:
        self.config, self.arenas, self.credit = config, tuple(arenas), credit
        self.curriculum, self.pool = curriculum, pool
        self.players = [
            Player(
                arena,
                own,
                self._rollout(arena, own, agent),
            )
            for arena in self.arenas
            for own in arena.own
        ]
        self._tasks = {arena.name: arena.tasks("train") for arena in self.arenas}
        self._names = {(arena.env.ENV_ID, arena.level): arena.name for arena in self.arenas}
        self.budget = make_budget(config)
        self.metrics: dict[str, float] = {}
        self.played = 0
        """Episodes of the step so far, also those that gave way to others with a hint."""

    def _rollout(self, arena: Arena, own: str, agent: ModelAgent) -> Rollout:
        player = (agent.engine, agent.chat, arena.make_env, agent.sampling)
        needs = self.credit.needs
        if branching := make_branching(self.config):
            leaves = self.config.group_size
            return TreeRollout(
                *player, branching=branching, leaves=leaves, needs=needs, level=arena.level
            )
        others = arena.others(own, arena.opponent)
        return Rollout(*player, opponents=others, needs=needs, level=arena.level)

    def sample(self, step: int) -> list[Episode]:
        """A step's episodes; more of them while filters leave fewer groups than were asked for."""
        seed = derive_seed(self.config.seed, step)
        self.played = 0
        tasks = self.tasks(step)
        episodes = self.rollout(tasks, seed=seed)
        if self.config.hints:
            episodes = self._hinted(tasks, episodes, seed=derive_seed(seed, "hints"))
        wanted = self.credit.groups(episodes) if self.config.refill else 0
        for again in range(1, self.config.refill + 1):
            if self.credit.groups(episodes, filtered=True) >= wanted:
                break
            more = self.rollout(self.tasks(step, again), seed=derive_seed(seed, "more", again))
            episodes += more
        return episodes

    def _hinted(
        self, tasks: Sequence[tuple[Arena, Task]], episodes: list[Episode], *, seed: int
    ) -> list[Episode]:
        """The episodes, with those of tasks that all failed played again, told how to begin."""
        solved = {e.task_key for e in episodes if points(e, "") > 0}
        hints = {
            task.key: hint
            for arena, task in {task.key: (arena, task) for arena, task in tasks}.values()
            if task.key not in solved and (hint := _hint(arena.env, task, self.config.hints))
        }
        self.metrics["rollout/hinted"] = len(hints) / len({task.key for _, task in tasks})
        if not hints:
            return episodes
        kept = [e for e in episodes if e.task_key not in hints]
        for i, player in enumerate(self.players):
            own = [t for arena, t in tasks if arena is player.arena and t.key in hints]
            if own:
                said = [hints[task.key] for task in own]
                kept += player.rollout.play(own, seed=derive_seed(seed, i), hints=said)
                self.played += len(own)
        return kept

    def tasks(self, step: int, again: int = 0) -> list[tuple[Arena, Task]]:
        """The tasks of a step and where, each `group_size` times; others when asked again. None is
        drawn twice while there are more."""
        count, more = self.config.episodes // self.config.group_size, (again,) if again else ()
        rng = random.Random(derive_seed(self.config.seed, "arena", step, *more))
        found: list[tuple[Arena, Task]] = []
        drawn: list[set[int]] = [set() for _ in self.arenas]
        for i, number in enumerate(self.curriculum.draw(step, count, rng)):
            arena, taken = self.arenas[number], drawn[number]
            tasks = self._tasks[arena.name]
            at = derive_seed(self.config.seed, "task", step, i, *more) % len(tasks)
            if len(taken) == len(tasks):
                taken.clear()
            while at in taken:
                at = (at + 1) % len(tasks)
            taken.add(at)
            found.append((arena, tasks[at]))
        sizes = [self.config.group_size] * count
        if self.budget is not None:
            sizes = self.budget.sizes([task.key for _, task in found], self.config.episodes)
        return [pair for pair, size in zip(found, sizes, strict=True) for _ in range(size)]

    def rollout(self, tasks: Sequence[tuple[Arena, Task]], *, seed: int) -> list[Episode]:
        """Play the tasks; against an opponent the policy's seat rotates over them. The episodes of
        a group have one seat, so that they can be compared."""
        size = self.config.group_size
        episodes: list[Episode] = []
        for i, player in enumerate(self.players):
            there = [task for arena, task in tasks if arena is player.arena]
            seat = player.arena.own.index(player.own)
            own = [t for k, t in enumerate(there) if k // size % len(player.arena.own) == seat]
            if own:
                episodes += self._play(player, own, derive_seed(seed, i))
        return episodes

    def _play(self, player: Player, tasks: Sequence[Task], seed: int) -> list[Episode]:
        self.played += len(tasks)
        if self.pool is None:
            return player.rollout.play(tasks, seed=seed)
        name = self.pool.pick(random.Random(seed))
        player.rollout.opponents = player.arena.others(player.own, self.pool.agent(name))
        episodes = player.rollout.play(tasks, seed=seed)
        self.pool.record(name, [points(e, player.own) for e in usable(episodes)])
        return episodes

    def learn(self, episodes: Sequence[Episode], credited: Credited) -> None:
        """Tell the curriculum and the budget what came of a step."""
        gains: dict[str, list[float]] = {}
        for trajectory, row in zip(credited.trajectories, credited.advantages, strict=True):
            gains.setdefault(self._name(trajectory), []).append(_gain(trajectory, row))
        trained = {sibling(t) for t in credited.trajectories}
        solved: dict[str, list[float]] = {}
        by_task: dict[str, list[float]] = {}
        for episode in usable(episodes):
            for trajectory in episode.trajectories:
                if sibling(trajectory) not in trained:  # nothing was learnt from its group
                    gains.setdefault(self._name(trajectory), []).append(0.0)
            against = self.config.opponent != "self" and episode.trajectories
            own = episode.trajectories[0].role if against else ""
            got = 0.0 if episode.hinted else points(episode, own)  # without the hint all failed
            solved.setdefault(self._name(episode), []).append(got)
            by_task.setdefault(episode.task_key, []).append(got)
        self.curriculum.learn(gains, solved)
        if self.budget is not None:
            self.budget.learn(by_task)

    def _name(self, played: Episode | Trajectory) -> str:
        """Of the arena."""
        return self._names[played.env_id, played.level]

    def state_dict(self) -> dict[str, Any]:
        """What the budget remembers."""
        return {} if self.budget is None else self.budget.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        if self.budget is not None:
            self.budget.load_state_dict(state)


def _hint(env: TextEnv, task: Task, share: float) -> str:
    """The first part of the way to success; nothing where there is none."""
    env.reset(seed=0, options={"task": task})
    golden = env.golden(env.acting[0])
    if golden is None or not golden.plan:
        return ""
    return f"Hint, begin with: {'; '.join(golden.plan[: math.ceil(share * len(golden.plan))])}"


def check_curriculum(curriculum: Curriculum, arenas: Sequence[Arena]) -> None:
    """Refuse one that has nothing to choose from.

    Raises:
        ValueError: If it is another than "even" and there is one arena.
    """
    if not isinstance(curriculum, Even) and len(arenas) < 2:
        raise ValueError(
            "a curriculum needs several environments (env) or levels (env_args, a list of objects)"
        )


def check_budget(config: TrainConfig, arenas: Sequence[Arena]) -> None:
    """Refuse a budget in a run that will hardly meet a task again, so that it never knows any.

    Raises:
        ValueError: If the arenas have more tasks than the run draws.
    """
    tasks = sum(len(arena.tasks("train")) for arena in arenas)
    drawn = config.steps * (config.episodes // config.group_size)
    if config.budget and tasks > drawn:
        raise ValueError(
            f"budget {config.budget} goes by how tasks went before and needs tasks that come again:"
            f" {config.env} has {tasks:,}, of which this run draws {drawn:,}"
        )


def points(episode: Episode, own: str) -> float:
    """What an episode is worth to a seat: of one seat, whether it was solved; of several, 1 for
    more than all others got, 1/2 for as much."""
    others = [ret for role, ret in episode.returns.items() if role != own]
    if not others or own not in episode.returns:
        return float(episode.success is True)
    best = max(others)
    return 1.0 if episode.returns[own] > best else 0.5 if episode.returns[own] == best else 0.0


def _gain(trajectory: Trajectory, advantages: Sequence[float]) -> float:
    """Mean |advantage| of the tokens."""
    sizes = [len(node.ids) for node in trajectory.leaf.path() if node.is_action]
    return sum(abs(a) * n for a, n in zip(advantages, sizes, strict=True)) / sum(sizes)
