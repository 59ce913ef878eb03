"""Our environments in `verifiers` (0.4, its v1 API), whose plugins are modules. One of four lines:

    # kuhn_nash.py
    import ludus
    from ludus.envs.adapters.to_verifiers import plugin
    Tasks, Game = plugin(lambda: ludus.make("ludus/KuhnPoker-v1", opponents="nash"))
    __all__ = ["Game", "Tasks"]

is then a taskset and an environment by the id `kuhn-nash`. A task is a seed, its prompt the first
observation; what the environment says next is the user's turn, and its return is the reward.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium

from ludus.envs.adapters.one_seat import OneSeat
from ludus.envs.registry import MissingExtra

REWARD = "return"


def plugin(make: Callable[[], gymnasium.Env[str, str]]) -> tuple[type[Any], type[Any]]:
    """The classes of a plugin.

    Args:
        make: Gives an environment with one seat, or one seat against opponents. Called for every
            rollout.

    Returns:
        A `Taskset` without end (bound it by `take`, or `--num-tasks`), and an `Env` with one agent,
        `player`. A trace gets the reward "return" (an episode that is left before its end is
        forfeited) and the metrics "turns" and "invalid", and "success" where the environment tells.

    Raises:
        MissingExtra: If verifiers is not installed.
        ValueError: If what `make` gives has seats that nobody plays.
    """
    try:
        import verifiers.v1 as vf
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"this needs {error.name}: pip install verifiers", name=error.name
        ) from None
    probe = OneSeat(make())

    class LudusData(vf.TaskData):  # type: ignore[misc]  # verifiers is not type-checked with us
        seed: int

    class LudusTask(vf.Task[LudusData, vf.State, vf.TaskConfig]):  # type: ignore[misc]
        pass

    class LudusTaskset(vf.Taskset[LudusTask, vf.TasksetConfig]):  # type: ignore[misc]
        INFINITE = True

        def load(self) -> Iterator[LudusTask]:
            for seed in itertools.count():
                shown = str(probe.reset(seed))
                data = LudusData(name=f"{probe.inner.ENV_ID}#{seed}", prompt=shown, seed=seed)
                yield LudusTask(data, self.config.task)

    class LudusEnvConfig(vf.EnvConfig):  # type: ignore[misc]
        player: vf.AgentConfig = vf.AgentConfig()

    class LudusEnv(vf.Env[LudusEnvConfig]):  # type: ignore[misc]
        async def run(self, task: Any, agents: Any) -> None:
            game = OneSeat(make())
            await asyncio.to_thread(game.reset, task.data.seed)
            async with agents.player.interaction(task) as interaction:
                metrics = await _play(game, interaction)
            trace = interaction.trace
            trace.record_reward(REWARD, game.result)
            trace.record_metrics(metrics)
            outcome = game.info.get("outcome", {})
            if (success := outcome.get("success")) is not None:
                trace.record_metric("success", float(success))
            game.env.close()

    return LudusTaskset, LudusEnv


async def _play(game: OneSeat, interaction: Any) -> dict[str, float]:
    """Play until the episode is over or the player has stopped; what there is to count."""
    turns = invalid = 0
    segment = await interaction.turn()  # the prompt is in the task
    while not segment.terminated:
        shown = await asyncio.to_thread(game.reply, segment.last_reply)
        turns, invalid = turns + 1, invalid + bool(game.info["invalid"])
        if game.done:
            break
        segment = await interaction.turn(str(shown))
    return {"turns": float(turns), "invalid": float(invalid)}
