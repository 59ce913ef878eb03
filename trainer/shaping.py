"""Shaping: what rewards become before they are compared. First station of the credit pipeline.

A shaping takes the episodes of a step and returns them with other rewards. Groups are still
filtered by the raw returns; evaluation never sees a shaped one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import cos, pi, sin
from typing import Any, Protocol

from ludus.trainer.advantages.base import GROUPS, Memoryless, choice, turn_tokens
from ludus.trainer.advantages.group import ASKS, METRICS
from ludus.trainer.trajectory import Episode, Stop, Trajectory


class Shaping(Protocol):
    """Gives episodes other rewards."""

    def __call__(self, episodes: Sequence[Episode]) -> list[Episode]:
        """New episodes in the same order; those given are left as they are."""

    def state_dict(self) -> dict[str, Any]:
        """What is remembered between steps; JSON types."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


def with_rewards(trajectory: Trajectory, rewards: Sequence[float]) -> Trajectory:
    """The same trajectory with other rewards."""
    return replace(
        trajectory,
        turns=tuple(
            replace(turn, reward=reward)
            for turn, reward in zip(trajectory.turns, rewards, strict=True)
        ),
    )


def reshaped(episode: Episode, rewards: Callable[[Trajectory], Sequence[float]]) -> Episode:
    """An episode whose trajectories have other rewards; the seats' returns move by as much."""
    new = tuple(with_rewards(t, rewards(t)) for t in episode.trajectories)
    returns = dict(episode.returns)
    for before, after in zip(episode.trajectories, new, strict=True):
        returns[before.role] += after.ret - before.ret
    return replace(episode, trajectories=new, returns=returns)


def overlong_penalty(tokens: int, longest: int, buffer: int, scale: float = 1.0) -> float:
    """0 up to `longest - buffer` tokens, then linearly down to -scale at `longest`.

    Source: DAPO, arXiv:2503.14476, eq. 13.

    >>> [round(overlong_penalty(n, 20480, 4096), 4) for n in (16384, 18432, 20480)]
    [0.0, -0.5, -1.0]
    """
    return min(-(tokens - (longest - buffer)) / buffer * scale, 0.0) + 0.0


class Overlong(Memoryless):
    """Adds `overlong_penalty` to the last turn. Lengths count sampled tokens: what tools and the
    environment said is not the policy's.

    Args:
        longest: Tokens of the longest trajectory.
        buffer: Tokens below it where the penalty begins.
        scale: Largest penalty, reward units.
    """

    def __init__(self, longest: int = 64, buffer: int = 16, scale: float = 1.0) -> None:
        if not 0 < buffer <= longest:
            raise ValueError(f"need 0 < buffer <= longest, got {buffer} and {longest}")
        self.longest, self.buffer, self.scale = longest, buffer, scale

    def __call__(self, episodes: Sequence[Episode]) -> list[Episode]:
        """With the penalty."""

        def rewards(t: Trajectory) -> list[float]:
            penalty = overlong_penalty(sum(turn_tokens(t)), self.longest, self.buffer, self.scale)
            own = [turn.reward for turn in t.turns]
            return [*own[:-1], own[-1] + penalty]

        return [reshaped(episode, rewards) for episode in episodes]


class Format(Memoryless):
    """Adds a penalty to every turn whose reply the rules could not use.

    Args:
        penalty: Reward units.
    """

    def __init__(self, penalty: float = -0.1) -> None:
        self.penalty = penalty

    def __call__(self, episodes: Sequence[Episode]) -> list[Episode]:
        """With the penalty."""
        return [
            reshaped(e, lambda t: [r.reward + self.penalty * bool(r.invalid) for r in t.turns])
            for e in episodes
        ]


def renormalize(
    process_T: Sequence[float], outcome: float, mu: float = 1.0, *, per_turn: bool = False
) -> list[float]:
    """r_t = r_process + r_outcome - mu: never positive in a failed episode, never negative in one
    that succeeded, if both are in [0, 1] and mu is 1.

    Args:
        process_T: Reward of each turn by a judge, in [0, 1].
        outcome: Of the episode, 0 or 1.
        mu: Centre.
        per_turn: Divide by the number of turns; without it, each further turn of a success is
            worth something, of a failure costs something.

    Source: PPR / ReNorm, arXiv:2509.25598.

    >>> renormalize([0.5, 1.0], 1.0), renormalize([0.5, 1.0], 0.0)
    ([0.5, 1.0], [-0.5, 0.0])
    """
    T = len(process_T) if per_turn else 1
    return [(p + outcome - mu) / T for p in process_T]


class ReNorm(Memoryless):
    """`renormalize` with the rewards before the last as the process, the last as the outcome.

    Args:
        mu, per_turn: See `renormalize`.
    """

    def __init__(self, mu: float = 1.0, per_turn: bool = False) -> None:
        self.mu, self.per_turn = mu, per_turn

    def __call__(self, episodes: Sequence[Episode]) -> list[Episode]:
        """The last turn has no process reward of its own: it counts as 0."""

        def rewards(t: Trajectory) -> list[float]:
            own = [turn.reward for turn in t.turns]
            return renormalize([*own[:-1], 0.0], own[-1], self.mu, per_turn=self.per_turn)

        return [reshaped(episode, rewards) for episode in episodes]


def tool_economy(calls: int, fewest: int, most: int) -> float:
    """How little a rollout leaned on tools, in [0, 1]; multiplies its reward.

        f = calls if fewest = 0, else 2 fewest calls / (calls + fewest)
        1 if calls = fewest = 0;  cos(calls pi / (2 calls + most)) if fewest = 0;
        sin(f pi / (2 fewest)) else

    Args:
        calls: m, of this rollout.
        fewest: n, of any correct rollout of the task so far, this one included.
        most: c, the limit on calls.

    Source: OTC-GRPO, arXiv:2504.14870.

    >>> [round(tool_economy(m, n, 4), 4) for m, n in ((0, 0), (1, 0), (4, 2), (2, 2))]
    [1.0, 0.866, 0.866, 1.0]
    """
    if calls == fewest == 0:
        return 1.0
    if fewest == 0:
        return cos(calls * pi / (2 * calls + most))
    f = 2 * fewest * calls / (calls + fewest)
    return sin(f * pi / (2 * fewest))


def tool_economy_ppo(calls: int, most: int) -> float:
    """The form without groups: cos(m pi / (2 m + c)).

    >>> round(tool_economy_ppo(4, 4), 4)
    0.5
    """
    return cos(calls * pi / (2 * calls + most))


class ToolEconomy(Memoryless):
    """Multiplies every reward by `tool_economy`, with the fewest calls of a correct rollout kept
    per task and seat over the run. The fewest is brought up to date before anything is scored: a
    correct rollout without a call would else get 0. Returns below 0 stay as they are.

    Args:
        most: Limit on calls.
        calls: What counts as calls, a key of `METRICS`: "calls" of tools, or "turns", all but the
            last, where each reply is one action.
        success: A return above this is correct.
    """

    def __init__(self, most: int = 4, calls: str = "calls", success: float = 0.0) -> None:
        choice("calls", calls, METRICS)
        self.most, self.success = most, success
        self._calls = METRICS[calls]
        self.asks = ASKS.get(calls, ())
        self._offset = 1 if calls == "turns" else 0  # the reply that ends an episode is no call
        self.fewest: dict[str, int] = {}

    def calls(self, trajectory: Trajectory) -> int:
        """m of one rollout."""
        return int(self._calls(trajectory)) - self._offset

    def __call__(self, episodes: Sequence[Episode]) -> list[Episode]:
        """With discounted rewards."""
        for t in (t for episode in episodes for t in episode.trajectories):
            if t.ret > self.success:
                key = _task(t)
                self.fewest[key] = min(self.calls(t), self.fewest.get(key, self.calls(t)))

        def rewards(t: Trajectory) -> list[float]:
            fewest = self.fewest.get(_task(t))
            if fewest is None or t.ret < 0:  # discounted, a penalty would pay for calls
                return [turn.reward for turn in t.turns]
            factor = tool_economy(self.calls(t), fewest, self.most)
            return [turn.reward * factor for turn in t.turns]

        return [reshaped(episode, rewards) for episode in episodes]

    def state_dict(self) -> dict[str, Any]:
        """The fewest calls of every task."""
        return {"fewest": dict(self.fewest)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved ones."""
        self.fewest = dict(state["fewest"])


def _task(t: Trajectory) -> str:
    return " ".join(map(str, GROUPS["task+role"](t)))  # type: ignore[call-overload]


class KLPenalty(Memoryless):
    """Takes KL to the magnet off the rewards: r - weight (log policy - log magnet) of the reply,
    the estimate k1 summed over its sampled tokens; what tools and the environment said has none.

    It replaces KL in the loss, as PPO for language models has it. The penalty of a turn's tokens
    lies in the turn's reward, not at each token.

    Args:
        weight: Reward units a nat.

    Source: Ziegler et al. 2019, arXiv:1909.08593.
    """

    needs = frozenset({"magnet_logp"})

    def __init__(self, weight: float = 0.01) -> None:
        if weight <= 0:
            raise ValueError(f"weight must be more than 0, got {weight}")
        self.weight = weight
        self.metrics: dict[str, float] = {}

    def __call__(self, episodes: Sequence[Episode]) -> list[Episode]:
        """With the penalty; `kl` is its mean a token, nats."""
        total, tokens = 0.0, 0

        def rewards(t: Trajectory) -> list[float]:
            nonlocal total, tokens
            replies = [node for node in t.leaf.path() if node.is_action]
            out = []
            for turn, node in zip(t.turns, replies, strict=True):
                if turn.magnet_logp is None:
                    raise ValueError("a turn was not shown to the magnet: shaping kl needs one")
                kl = sum(node.logps) - turn.magnet_logp
                total, tokens = total + kl, tokens + len(node.ids)
                out.append(turn.reward - self.weight * kl)
            return out

        shaped = [reshaped(episode, rewards) for episode in episodes]
        self.metrics = {"kl": total / max(tokens, 1)}
        return shaped


class NoTruncated(Memoryless):
    """A reward of 0 for all turns of an episode that a limit cut."""

    def __call__(self, episodes: Sequence[Episode]) -> list[Episode]:
        """Truncated ones are worth nothing."""
        return [
            reshaped(e, lambda t: [0.0] * len(t.turns)) if e.stop is Stop.TRUNCATED else e
            for e in episodes
        ]


SHAPING: dict[str, Callable[..., Shaping]] = {
    "overlong": Overlong,
    "format": Format,
    "renorm": ReNorm,
    "otc": ToolEconomy,
    "truncated_zero": NoTruncated,
    "kl": KLPenalty,
}
