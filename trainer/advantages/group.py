"""Siblings: one return per trajectory, compared within a group. No critic, no memory.

Each applies a function of `compare.py` to every group of a step.
"""

from collections.abc import Callable, Sequence

from ludus.trainer.advantages.base import (
    GROUPS,
    Advantages,
    Memoryless,
    broadcast,
    center,
    choice,
    fractions,
    mean,
    positions,
    returns_to_go,
    std,
    trajectories_of,
    turn_entropies,
    turn_tokens,
    zscore,
)
from ludus.trainer.advantages.compare import (
    beta_pdf,
    beta_shape,
    halves,
    leave_one_out,
    length_weighted,
    max_likelihood,
    pass_at_k,
    whiten,
)
from ludus.trainer.trajectory import Episode, Trajectory


class Siblings(Memoryless):
    """Applies a function of one group's trajectories to every group.

    Args:
        group: Key of `GROUPS`; by default the siblings of a task, seat by seat.
    """

    def __init__(self, group: str = "task+role") -> None:
        choice("group", group, GROUPS)
        self.group = group

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """One advantage a trajectory."""
        raise NotImplementedError

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """The same advantage for all turns of a trajectory."""
        trajectories = trajectories_of(episodes)
        out = [0.0] * len(trajectories)
        for members in positions([GROUPS[self.group](t) for t in trajectories]).values():
            for i, a in zip(
                members, self.of_group([trajectories[i] for i in members]), strict=True
            ):
                out[i] = a
        return [broadcast(t, a) for t, a in zip(trajectories, out, strict=True)]


def _returns(members: Sequence[Trajectory]) -> list[float]:
    return [t.ret for t in members]


class GRPO(Siblings):
    """A = (R - mean) / (std + eps), unbiased standard deviation.

    Args:
        std: "group"; "batch", that of all returns of the step, which keeps easy and hard tasks at
            their weight; "none", Dr. GRPO's R - mean.
        eps: Added to the standard deviation.
        group: Key of `GROUPS`.

    Source: arXiv:2402.03300; "batch", arXiv:2508.08221; "none", Dr. GRPO, arXiv:2503.20783.
    """

    def __init__(self, std: str = "group", eps: float = 1e-6, group: str = "task+role") -> None:
        super().__init__(group)
        choice("std", std, ("group", "batch", "none"))
        self.std, self.eps = std, eps

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """By the group's own statistics."""
        returns = _returns(members)
        return zscore(returns, eps=self.eps) if self.std == "group" else center(returns)

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """In standard deviations; with "none" in the unit of the returns."""
        out = super().__call__(episodes)
        if self.std == "batch":
            spread = std(_returns(trajectories_of(episodes))) or 1.0  # else all are equal
            spread += self.eps
            out = [tuple(a / spread for a in trajectory) for trajectory in out]
        return out


class GroupMean(Siblings):
    """A = R - mean of the group, which is the trajectories of one task and role.

    A group of one gets 0: it says nothing about better or worse.

    Source: Dr. GRPO, arXiv:2503.20783.
    """

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """In the unit of the returns; they sum to zero."""
        return center(_returns(members))


class RLOO(Siblings):
    """Leave one out, see `leave_one_out`."""

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """In the unit of the returns; they sum to zero."""
        return leave_one_out(_returns(members))


class OPO(Siblings):
    """See `length_weighted`; lengths are sampled tokens."""

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """In the unit of the returns."""
        return length_weighted(_returns(members), [sum(turn_tokens(t)) for t in members])


class PassK(Siblings):
    """See `pass_at_k`."""

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """In the unit of the returns."""
        return pass_at_k(_returns(members))


class MaxRL(Siblings):
    """See `max_likelihood`. Returns of 0 or more."""

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """Dimensionless.

        Raises:
            ValueError: If a return is below 0.
        """
        for t in members:
            if t.ret < 0:
                raise ValueError(
                    f"max_rl needs returns of 0 or more, got {t.ret:g} in {t.env_id}: see forfeit"
                )
        return max_likelihood(_returns(members))


METRICS: dict[str, Callable[[Trajectory], float]] = {
    "entropy": lambda t: mean(turn_entropies(t)),
    "tokens": lambda t: float(sum(turn_tokens(t))),
    "turns": lambda t: float(len(t.turns)),
    "calls": lambda t: float(sum(bool(turn.called) for turn in t.turns)),
}
"""What trajectories may be told apart by."""
ASKS: dict[str, tuple[str, ...]] = {"calls": ("tools",)}
"""What an environment must have for a metric to say anything, see `Memoryless.asks`."""


class CANON(Siblings):
    """See `halves`.

    Args:
        metric: Key of `METRICS`.
        mu: Weight of the comparison with the other half.
        group: Key of `GROUPS`.
    """

    def __init__(self, metric: str = "entropy", mu: float = 0.5, group: str = "task+role") -> None:
        super().__init__(group)
        choice("metric", metric, METRICS)
        fractions(mu=mu)
        self.metric, self.mu = METRICS[metric], mu
        self.asks = ASKS.get(metric, ())

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """In the unit of the returns."""
        return halves(_returns(members), [self.metric(t) for t in members], self.mu)


class BNPO(Siblings):
    """A = (R - p) / Beta(p; alpha, beta) with p the group's mean return and the shape fitted to the
    batch, see `beta_shape`; the weight is at most 1e6. Returns in [0, 1].

    Source: arXiv:2506.02864.
    """

    def of_group(self, members: Sequence[Trajectory]) -> list[float]:
        """R - p."""
        return center(_returns(members))

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """Dimensionless.

        Raises:
            ValueError: If a return is outside [0, 1].
        """
        trajectories = trajectories_of(episodes)
        for t in trajectories:
            if not 0 <= t.ret <= 1:
                raise ValueError(
                    f"bnpo needs returns in [0, 1], got {t.ret:g} in {t.env_id}: see forfeit"
                )
        keys = [GROUPS[self.group](t) for t in trajectories]
        rates = {
            key: mean([trajectories[i].ret for i in members])
            for key, members in positions(keys).items()
        }
        shape = beta_shape(list(rates.values()))
        out = super().__call__(episodes)
        for i, key in enumerate(keys):
            weight = min(1 / max(beta_pdf(rates[key], *shape), 1e-12), 1e6)
            out[i] = tuple(weight * a for a in out[i])
        return out


class ReinforcePlusPlus(Memoryless):
    """Return-to-go of every turn, whitened over all sampled tokens of the batch.

    Args:
        gamma: Discount from turn to turn. What the environment says between two turns is no
            transition and costs nothing.
        baseline: Subtract the group's mean return first (REINFORCE++-baseline); then the return
            of the episode is used, and a group of one gets 0.

    Source: arXiv:2501.03262. verl's version resets the running return at every masked token, which
    in a conversation takes the outcome away from all turns but the last; here it is carried over.
    """

    def __init__(self, gamma: float = 1.0, baseline: bool = False) -> None:
        fractions(gamma=gamma)
        self.gamma, self.baseline = gamma, baseline
        self.group = "task+role" if baseline else "batch"

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """In standard deviations of the batch."""
        trajectories = trajectories_of(episodes)
        if self.baseline:
            raw = GroupMean()(episodes)
        else:
            raw = [
                tuple(returns_to_go([turn.reward for turn in t.turns], self.gamma))
                for t in trajectories
            ]
        counts = [n for t in trajectories for n in turn_tokens(t)]
        flat = iter(whiten([a for row in raw for a in row], counts))
        return [tuple(next(flat) for _ in row) for row in raw]


class Returns(Memoryless):
    """A = R: plain REINFORCE without a baseline, for comparison."""

    group: str = "batch"

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """The returns themselves."""
        return [broadcast(t, t.ret) for t in trajectories_of(episodes)]
