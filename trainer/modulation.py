"""Modulation: what happens to advantages after they were estimated, and which turns are trained.

At most one of what centres or whitens a batch should follow an estimator: REINFORCE++ already does,
and EMPG does here.
"""

from collections.abc import Callable, Sequence
from math import exp
from typing import Any, Protocol

from ludus.trainer.advantages.base import (
    GROUPS,
    Advantages,
    Memoryless,
    choice,
    mean,
    positions,
    std,
    trajectories_of,
    turn_entropies,
    turn_tokens,
)
from ludus.trainer.advantages.group import ASKS, METRICS
from ludus.trainer.trajectory import Episode, Stop


class Modulation(Protocol):
    """Changes advantages."""

    def __call__(self, episodes: Sequence[Episode], advantages: Advantages) -> Advantages:
        """Of the same shape."""

    def state_dict(self) -> dict[str, Any]:
        """What is remembered between steps; JSON types."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


def empg(
    advantages_GT: Sequence[Sequence[float]],
    entropies_GT: Sequence[Sequence[float]],
    *,
    k: float = 1.0,
    k_next: float = 1.0,
    bonus: float = 0.05,
    centre: bool = True,
) -> list[list[float]]:
    """Confident turns count more, and leading to a confident turn is worth something.

        H~ = (H - min) / (max - min + 1e-8)          over all turns of the batch
        g = exp(-k H~) / mean exp(-k H~),  f = exp(-k_next H~)
        A_t <- A_t g_t + bonus f_{t+1}                no bonus at the last turn
        A <- A - mean over all turns

    Args:
        advantages_GT: Turn by turn.
        entropies_GT: Mean token entropy of each turn at sampling, nats.
        k: Steepness of g.
        k_next: Steepness of f.
        bonus: Weight of f, reward units.
        centre: Whether the last line is done.

    Source: EMPG, arXiv:2509.09265, in ARLArena's form.

    >>> [[round(a, 3) for a in row] for row in empg([[1.0], [-1.0]], [[0.0], [1.0]], bonus=0.0)]
    [[1.0], [-1.0]]
    """
    flat = [h for row in entropies_GT for h in row]
    low, high = min(flat), max(flat)
    scaled = [[(h - low) / (high - low + 1e-8) for h in row] for row in entropies_GT]
    norm = mean([exp(-k * h) for row in scaled for h in row])
    out = [
        [
            a * exp(-k * h) / norm + (bonus * exp(-k_next * row[t + 1]) if t + 1 < len(row) else 0)
            for t, (a, h) in enumerate(zip(own, row, strict=True))
        ]
        for own, row in zip(advantages_GT, scaled, strict=True)
    ]
    if centre:
        middle = mean([a for row in out for a in row])
        out = [[a - middle for a in row] for row in out]
    return out


class EMPG(Memoryless):
    """See `empg`.

    Args:
        k, k_next, bonus: See `empg`.
    """

    def __init__(self, k: float = 1.0, k_next: float = 1.0, bonus: float = 0.05) -> None:
        self.k, self.k_next, self.bonus = k, k_next, bonus

    def __call__(self, episodes: Sequence[Episode], advantages: Advantages) -> Advantages:
        """Centred over the turns of the batch."""
        entropies = [turn_entropies(t) for t in trajectories_of(episodes)]
        if not entropies:
            return advantages
        out = empg(advantages, entropies, k=self.k, k_next=self.k_next, bonus=self.bonus)
        return [tuple(row) for row in out]


class EntropyAware(Memoryless):
    """A <- A (1 + weight z(H)), z over the sampled tokens of the batch, turn by turn.

    Args:
        weight: 0.2 in the source.

    Source: AEPO, arXiv:2510.14545, where it is per token and z is over a micro-batch; here entropy
    is the turn's mean and z is over the step, so that it does not depend on how the step is split.
    """

    def __init__(self, weight: float = 0.2) -> None:
        self.weight = weight

    def __call__(self, episodes: Sequence[Episode], advantages: Advantages) -> Advantages:
        """Of the same sign unless entropy is five deviations low."""
        trajectories = trajectories_of(episodes)
        entropies = [turn_entropies(t) for t in trajectories]
        tokens = [
            h
            for t, row in zip(trajectories, entropies, strict=True)
            for h, n in zip(row, turn_tokens(t), strict=True)
            for _ in range(n)
        ]
        middle, spread = mean(tokens), std(tokens) + 1e-8
        return [
            tuple(
                a * (1 + self.weight * (h - middle) / spread) for a, h in zip(own, row, strict=True)
            )
            for own, row in zip(advantages, entropies, strict=True)
        ]


def style_bonus(
    advantages_G: Sequence[float],
    metric_G: Sequence[float],
    lengths_G: Sequence[float],
    *,
    delta: float = -2.0,
    k: float = 0.7,
) -> list[float]:
    """Prefer a style among those that succeeded, on advantages and not on rewards.

        A <- A + clip(delta (p - mean p) / mean L, -k A, k A)

    As a reward it would, in a group that succeeded throughout, be all that is left after
    normalisation. With k < 1 the sign of A stays.

    Args:
        advantages_G: Of the group's trajectories that qualify. Those not above 0 are left alone.
        metric_G: p, such as the place of the first tool call in tokens.
        lengths_G: L, tokens.
        delta: Strength; below 0 prefers small p.
        k: Largest change as a part of A.

    Source: ASPO, arXiv:2508.19201.

    >>> [round(a, 3) for a in style_bonus([0.8, 0.8], [200, 1000], [1500, 2500])]
    [1.2, 0.4]
    """
    if len(advantages_G) < 2 or mean(lengths_G) <= 0:
        return list(advantages_G)
    middle, length = mean(metric_G), mean(lengths_G)
    return [
        a + min(max(delta * (p - middle) / length, -k * a), k * a) if a > 0 else a
        for a, p in zip(advantages_G, metric_G, strict=True)
    ]


class Style(Memoryless):
    """`style_bonus` for the trajectories of each task and seat whose return is above a mark.

    Args:
        metric: What small values are preferred of, a key of `METRICS`; its own mean is L.
        delta, k: See `style_bonus`.
        success: A return above this qualifies.
    """

    def __init__(
        self, metric: str = "turns", delta: float = -2.0, k: float = 0.7, success: float = 0.0
    ) -> None:
        choice("metric", metric, METRICS)
        self.metric, self.delta, self.k, self.success = METRICS[metric], delta, k, success
        self.asks = ASKS.get(metric, ())

    def __call__(self, episodes: Sequence[Episode], advantages: Advantages) -> Advantages:
        """With the bonus of the trajectory's first turn added to all of its turns."""
        trajectories = trajectories_of(episodes)
        out = list(advantages)
        for members in positions([GROUPS["task+role"](t) for t in trajectories]).values():
            chosen = [i for i in members if trajectories[i].ret > self.success]
            metric = [self.metric(trajectories[i]) for i in chosen]
            before = [advantages[i][0] for i in chosen]
            after = style_bonus(before, metric, metric, delta=self.delta, k=self.k)
            for i, old, new in zip(chosen, before, after, strict=True):
                out[i] = tuple(a + new - old for a in advantages[i])
        return out


class Negatives(Memoryless):
    """A <- weight A where A < 0: how much is learnt from what went wrong.

    Args:
        weight: 0 imitates successes only, 1 changes nothing.
    """

    def __init__(self, weight: float = 0.5) -> None:
        self.weight = weight

    def __call__(self, episodes: Sequence[Episode], advantages: Advantages) -> Advantages:
        """Positive ones as they are."""
        return [tuple(a if a >= 0 else self.weight * a for a in row) for row in advantages]


class Centre(Memoryless):
    """A <- A - mean over the turns of the batch."""

    def __call__(self, episodes: Sequence[Episode], advantages: Advantages) -> Advantages:
        """They sum to zero."""
        middle = mean([a for row in advantages for a in row])
        return [tuple(a - middle for a in row) for row in advantages]


MODULATIONS: dict[str, Callable[..., Modulation]] = {
    "empg": EMPG,
    "entropy_aware": EntropyAware,
    "style": Style,
    "negatives": Negatives,
    "centre": Centre,
}

# ---- mask edits ---------------------------------------------------------------------------------

Keep = list[tuple[bool, ...]]
"""For every trajectory, which turns are trained. Turns that are not leave the denominators too."""


class Edit(Protocol):
    """Says which turns are trained."""

    def __call__(self, episodes: Sequence[Episode], advantages: Advantages) -> Keep:
        """One tuple a trajectory, one truth a turn."""


def not_truncated(episodes: Sequence[Episode], advantages: Advantages) -> Keep:
    """Leave out episodes that a limit cut: whether they would have succeeded is not known (DAPO's
    overlong filtering)."""
    return [
        (e.stop is not Stop.TRUNCATED,) * len(t.turns) for e in episodes for t in e.trajectories
    ]


def not_zero(episodes: Sequence[Episode], advantages: Advantages) -> Keep:
    """Leave out turns with an advantage of exactly 0, which would only dilute the rest."""
    return [tuple(a != 0 for a in row) for row in advantages]


def not_invalid(episodes: Sequence[Episode], advantages: Advantages) -> Keep:
    """Leave out replies that the rules could not use."""
    return [tuple(not turn.invalid for turn in t.turns) for t in trajectories_of(episodes)]


class MaxVariance:
    """Keeps so many trajectories of each group, those whose returns vary most together: the best
    and the worst. With the filter "starpo_s", which keeps the groups that vary most, both the
    tasks and the rollouts are down-sampled.

    Args:
        keep: Trajectories of a group.

    Source: PODS, arXiv:2504.13818; the choice of k best and keep - k worst is optimal (lemma 3.1).
    Advantages are those of the whole group.
    """

    def __init__(self, keep: int = 4) -> None:
        if keep < 2:
            raise ValueError(f"keep must be at least 2, got {keep}")
        self.keep = keep

    def __call__(self, episodes: Sequence[Episode], advantages: Advantages) -> Keep:
        """All turns of a trajectory, or none."""
        trajectories = trajectories_of(episodes)
        kept: set[int] = set()
        for members in positions([GROUPS["task+role"](t) for t in trajectories]).values():
            returns = [trajectories[i].ret for i in members]
            kept.update(members[i] for i in widest(returns, self.keep))
        return [(i in kept,) * len(t.turns) for i, t in enumerate(trajectories)]


def widest(values: Sequence[float], keep: int) -> list[int]:
    """Where the values lie whose variance is largest, of so many.

    >>> widest([0.0, 1.0, 0.5, 0.9, 0.1], 2)
    [0, 1]
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    if keep >= len(values):
        return sorted(order)
    choices = [order[:low] + order[len(order) - (keep - low) :] for low in range(keep)]
    choices.append(order[:keep])
    return sorted(max(choices, key=lambda own: std([values[i] for i in own])))


EDITS: dict[str, Callable[..., Edit]] = {
    "not_truncated": lambda: not_truncated,
    "not_zero": lambda: not_zero,
    "not_invalid": lambda: not_invalid,
    "max_variance": MaxVariance,
}
