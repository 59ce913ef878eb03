"""What a step plays: which tasks, who in which seat, and how often more is asked for."""

from collections.abc import Sequence

from ludus.agents.policy import ModelAgent
from ludus.envs.task import Task, derive_seed
from ludus.trainer.arena import Arena
from ludus.trainer.config import TrainConfig
from ludus.trainer.credit import Credit
from ludus.trainer.rollout import Rollout
from ludus.trainer.trajectory import Episode


class Sampler:
    """Plays the episodes of a step.

    Args:
        config: Of the run.
        arena: Where.
        agent: The policy.
        credit: Says what its estimator needs of a rollout, and which groups its filters leave.
    """

    def __init__(
        self, config: TrainConfig, arena: Arena, agent: ModelAgent, credit: Credit
    ) -> None:
        self.config, self.arena, self.credit = config, arena, credit
        self.players = [
            Rollout(
                agent.engine,
                agent.chat,
                arena.make_env,
                agent.sampling,
                opponents=others,
                needs=credit.estimator.needs,
            )
            for others in arena.seatings
        ]

    def sample(self, step: int) -> list[Episode]:
        """A step's episodes; more of them while filters leave fewer groups than were asked for."""
        seed = derive_seed(self.config.seed, step)
        episodes = self.rollout(self.tasks(step), seed=seed)
        wanted = self.credit.groups(episodes) if self.config.refill else 0
        for again in range(1, self.config.refill + 1):
            if self.credit.groups(episodes, filtered=True) >= wanted:
                break
            more = self.rollout(self.tasks(step, again), seed=derive_seed(seed, "more", again))
            episodes += more
        return episodes

    def tasks(self, step: int, again: int = 0) -> list[Task]:
        """The tasks of a step, each `group_size` times; others when asked again."""
        tasks = self.arena.tasks("train")
        count = self.config.episodes // self.config.group_size
        more = (again,) if again else ()
        draws = [
            derive_seed(self.config.seed, "task", step, i, *more) % len(tasks) for i in range(count)
        ]
        return [tasks[draw] for draw in draws for _ in range(self.config.group_size)]

    def rollout(self, tasks: Sequence[Task], *, seed: int) -> list[Episode]:
        """Play the tasks; against an opponent the policy's seat rotates over them. The episodes of
        a group have one seat, so that they can be compared."""
        size, seats = self.config.group_size, len(self.players)
        episodes: list[Episode] = []
        for i, player in enumerate(self.players):
            own = [task for k, task in enumerate(tasks) if k // size % seats == i]
            episodes += player.play(own, seed=derive_seed(seed, i))
        return episodes
