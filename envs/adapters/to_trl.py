"""Our environments in TRL: `environment_factory` of its `GRPOTrainer`.

    GRPOTrainer(
        model="Qwen/Qwen3-0.6B",
        environment_factory=environment_factory(
            lambda: ludus.make("ludus/KuhnPoker-v1", opponents="nash")
        ),
        train_dataset=Dataset.from_list([{"prompt": PROMPT, "seed": i} for i in range(1000)]),
        args=GRPOConfig(max_tool_calling_iterations=8, ...),
    )

TRL takes the environment's public methods for tools: the model replies by calling `act`, and what
it is shown next is the tool's result. Written for TRL 1.16, which imports nothing of ours, nor do
we import it.
"""

import json
from collections.abc import Callable
from typing import Any

import gymnasium

from ludus.envs.adapters.one_seat import OVER, OneSeat

CALL = "Reply by calling the tool act, with your action as its argument."
PROMPT = [{"role": "user", "content": ""}]
"""For the dataset's rows: the environment's first observation is appended to it."""


class LudusEnvironment:
    """One rollout. TRL makes as many as run at once, and resets them again and again."""

    def __init__(self, env: gymnasium.Env[str, str]) -> None:
        self._seat = OneSeat(env)

    def reset(self, seed: int | None = None, **row: Any) -> str:
        """Start the episode of a dataset's row; what the seat is first shown.

        Args:
            seed: Decides the task, chance and the opponents' draws.
            **row: The other columns; not used.

        Raises:
            ValueError: If the row has no seed.
        """
        if seed is None:
            raise ValueError(
                "the dataset needs a column 'seed': rollouts of a group must play the same task"
            )
        return f"{self._seat.reset(int(seed))}\n{CALL}"

    def act(self, action: str) -> str:
        """Send your next action.

        Args:
            action: The action.

        Returns:
            What you see next.
        """
        # Models write a number as a number; TRL does not hold them to the schema.
        said = action if isinstance(action, str) else json.dumps(action)
        seen = self._seat.reply(said)
        return f"{seen}\n{OVER}" if self._seat.done else seen

    def get_reward(self) -> float:
        """Return of the seat; a rollout that stops before the end of the episode forfeits."""
        return self._seat.result


def environment_factory(
    make: Callable[[], gymnasium.Env[str, str]],
) -> Callable[[], LudusEnvironment]:
    """What `GRPOTrainer(environment_factory=)` takes.

    Args:
        make: Gives an environment with one seat, or one seat against opponents. Called once for
            every rollout that runs at the same time.

    Raises:
        ValueError: If what `make` gives has seats that nobody plays.
    """
    OneSeat(make()).env.close()  # now, not in the middle of training
    return lambda: LudusEnvironment(make())
