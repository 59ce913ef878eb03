"""Credit: from raw rewards to what every turn is trained with. The order of operations.

    raw rewards -> shaping -> group filtering -> estimator -> modulation -> mask edits -> loss

1. Shaping changes rewards (length, format, economy); see `shaping.py`.
2. Filters leave out whole groups, by the *raw* returns; see `filters.py`.
3. The estimator turns shaped rewards into one advantage a turn; see `advantages/`.
4. Modulations change advantages (entropy, style); see `modulation.py`.
5. Edits say which turns are trained at all; where siblings are compared, a group of one is not.
6. What needs probabilities comes last and lives with the learner: corrections of weights and masks
   for tokens that other weights sampled (`corrections.py`), the policy loss (`loss/`), and what is
   added to it (`regularizers.py`).

Every station is a plain function or small object, by name from a dictionary or by import path, and
what it remembers is checkpointed.
"""

from collections.abc import Container, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ludus.trainer.advantages import ADVANTAGES, GROUPS, Advantages, Estimator, TokenCredit
from ludus.trainer.advantages.base import mean, positions, std
from ludus.trainer.filters import FILTERS, GroupFilter, Roots
from ludus.trainer.modulation import EDITS, MODULATIONS, Edit, Keep, Modulation
from ludus.trainer.parts import make_part
from ludus.trainer.shaping import SHAPING, Shaping
from ludus.trainer.trajectory import Episode, Trajectory, usable


@dataclass(frozen=True, slots=True)
class Credited:
    """What a step trains on. The three lists match."""

    trajectories: list[Trajectory]
    """Those with at least one turn to train."""
    advantages: Advantages
    keep: Keep
    metrics: dict[str, float]
    tokens: list[tuple[TokenCredit, ...]] | None = None
    """Of estimators that go token by token, for every turn."""


class Credit:
    """The pipeline.

    Args:
        estimator: Of the advantages.
        shaping, filters, modulation, edits: Applied in the order given.
    """

    def __init__(
        self,
        estimator: Estimator,
        *,
        shaping: Sequence[Shaping] = (),
        filters: Sequence[GroupFilter] = (),
        modulation: Sequence[Modulation] = (),
        edits: Sequence[Edit] = (),
    ) -> None:
        self.estimator = estimator
        self.shaping, self.filters = tuple(shaping), tuple(filters)
        self.modulation, self.edits = tuple(modulation), tuple(edits)

    @classmethod
    def named(
        cls,
        estimator: str,
        *,
        shaping: Sequence[str] = (),
        filters: Sequence[str] = (),
        modulation: Sequence[str] = (),
        edits: Sequence[str] = (),
    ) -> "Credit":
        """From specs, see `make_part`."""
        return cls(
            make_part("advantage", estimator, ADVANTAGES),
            shaping=[make_part("shaping", spec, SHAPING) for spec in shaping],
            filters=[make_part("filter", spec, FILTERS) for spec in filters],
            modulation=[make_part("modulation", spec, MODULATIONS) for spec in modulation],
            edits=[make_part("edit", spec, EDITS) for spec in edits],
        )

    @property
    def needs(self) -> frozenset[str]:
        """Fields of `Turn` that its parts read and that are filled only when asked."""
        parts = (self.estimator, *self.shaping, *self.modulation)
        return frozenset().union(*(getattr(part, "needs", ()) for part in parts))

    @property
    def compares_siblings(self) -> bool:
        """Whether trajectories of one task are compared, so that a group of one says nothing."""
        return self.estimator.group.startswith("task")

    def __call__(self, episodes: Sequence[Episode]) -> Credited:
        """Run one step's episodes through; broken ones are left out."""
        raw = usable(episodes)
        shaped = raw
        for shape in self.shaping:
            shaped = shape(shaped)
        dropped = self._filtered(raw)
        kept = [_without(episode, dropped) for episode in shaped] if dropped else shaped
        advantages = self.estimator(kept)
        tokens: list[tuple[TokenCredit, ...]] | None
        tokens = getattr(self.estimator, "token_credit", None)
        for modulate in self.modulation:
            advantages = modulate(kept, advantages)
        trajectories = [t for e in kept for t in e.trajectories]
        keep = self._edited(kept, advantages)
        metrics = self._metrics(trajectories, advantages)
        if self.filters:
            groups = len({sibling(t) for e in raw for t in e.trajectories})
            metrics["credit/groups_dropped"] = len(dropped) / max(groups, 1)
            for reason in set(dropped.values()):
                count = sum(why == reason for why in dropped.values())
                metrics[f"credit/dropped/{reason}"] = count / max(groups, 1)
        trained = [i for i, turns in enumerate(keep) if any(turns)]
        metrics["credit/trajectories_dropped"] = 1 - len(trained) / max(
            sum(len(e.trajectories) for e in raw), 1
        )
        return Credited(
            [trajectories[i] for i in trained],
            [advantages[i] for i in trained],
            [keep[i] for i in trained],
            metrics,
            None if tokens is None else [tokens[i] for i in trained],
        )

    def groups(self, episodes: Sequence[Episode], *, filtered: bool = False) -> int:
        """How many groups of siblings there are, or are left by the filters."""
        raw = usable(episodes)
        count = len({sibling(t) for e in raw for t in e.trajectories})
        return count - len(self._filtered(raw)) if filtered else count

    def _filtered(self, raw: Sequence[Episode]) -> dict[Hashable, str]:
        """Groups to leave out, and why."""
        trajectories = [t for e in raw for t in e.trajectories]
        groups: dict[Hashable, Roots] = {
            key: _roots([trajectories[i] for i in members])
            for key, members in positions([sibling(t) for t in trajectories]).items()
        }
        dropped: dict[Hashable, str] = {}
        for choose in self.filters:
            if left := {key: r for key, r in groups.items() if key not in dropped}:
                dropped |= choose(left)
        return dropped

    def _edited(self, episodes: Sequence[Episode], advantages: Advantages) -> Keep:
        trajectories = [t for e in episodes for t in e.trajectories]
        keep: Keep = [(True,) * len(t.turns) for t in trajectories]
        if self.compares_siblings:
            sizes = positions([GROUPS[self.estimator.group](t) for t in trajectories])
            for members in sizes.values():
                if len(members) == 1:
                    keep[members[0]] = (False,) * len(keep[members[0]])
        for edit in self.edits:
            keep = [
                tuple(a and b for a, b in zip(own, new, strict=True))
                for own, new in zip(keep, edit(episodes, advantages), strict=True)
            ]
        return keep

    def _metrics(
        self, trajectories: Sequence[Trajectory], advantages: Advantages
    ) -> dict[str, float]:
        groups = positions([GROUPS[self.estimator.group](t) for t in trajectories])
        returns = [[trajectories[i].ret for i in members] for members in groups.values()]
        flat = [a for row in advantages for a in row]
        metrics = {
            "credit/groups": float(len(groups)),
            "credit/singletons": float(sum(len(r) == 1 for r in returns)),
            "credit/zero_spread": mean([float(max(r) == min(r)) for r in returns]),
            "credit/return_std": mean([std(r) for r in returns]),
            "advantage/mean": mean(flat),
            "advantage/std": std(flat),
            "advantage/abs_max": max(map(abs, flat), default=0.0),
        }
        for part in (self.estimator, *self.shaping):
            extra: dict[str, float] = getattr(part, "metrics", {})
            metrics |= {f"credit/{name}": value for name, value in extra.items()}
        return metrics

    # ---- what is remembered -------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Of every station that can remember; JSON types."""
        return {
            "estimator": self.estimator.state_dict(),
            "shaping": [part.state_dict() for part in self.shaping],
            "modulation": [part.state_dict() for part in self.modulation],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.estimator.load_state_dict(state["estimator"])
        for part, saved in zip(self.shaping, state["shaping"], strict=True):
            part.load_state_dict(saved)
        for modulation, saved in zip(self.modulation, state["modulation"], strict=True):
            modulation.load_state_dict(saved)


sibling = GROUPS["task+role"]
"""What trajectories have in common that filters count as one group."""


def _roots(group: Sequence[Trajectory]) -> Roots:
    """Returns of a group by first reply: what shares it is no independent attempt."""
    first = [next(id(node) for node in t.leaf.path() if node.is_action) for t in group]
    return [[group[i].ret for i in members] for members in positions(first).values()]


def _without(episode: Episode, dropped: Container[Hashable]) -> Episode:
    """An episode without the trajectories of groups that were left out."""
    left = tuple(t for t in episode.trajectories if sibling(t) not in dropped)
    changed = len(left) < len(episode.trajectories)
    return replace(episode, trajectories=left) if changed else episode
