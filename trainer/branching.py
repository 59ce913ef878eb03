"""Where a task's episodes branch: strategies that grow a tree of rollouts to a fixed number of
leaves.

A strategy is asked whenever none of a task's episodes is being sampled, so what it decides does
not depend on which reply ended first, nor on what else is in the batch.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ludus.trainer.parts import one_of
from ludus.trainer.trajectory import TokenNode


@dataclass(eq=False, slots=True)
class Point:
    """A place in an episode where a reply is sampled, and may be sampled again."""

    root: int
    """Number of the episode that began from the task's start and led here."""
    turn: int
    before: TokenNode | None
    """The reply that led here."""
    play: Any
    """The rollout's: how to go on from here."""
    reply: TokenNode | None = None
    """The reply that was first given here."""


@dataclass(slots=True)
class Growth:
    """A task's trees as they stand."""

    leaves: int
    """How many episodes the task gets in all."""
    vocabulary: int
    started: int = 0
    active: list[Point] = field(default_factory=list)
    """Where episodes under way wait for their next reply, in the order they were started."""
    answered: list[Point] = field(default_factory=list)
    """Where the last replies were given, by episodes that go on or have ended with them."""
    points: list[Point] = field(default_factory=list)
    """All places so far, each once; those behind are open to strategies that look back."""
    sizes: dict[int, int] = field(default_factory=dict)
    """Root -> episodes that grew from it."""
    streak: int = 0
    """Rounds in a row in which the task branched."""

    @property
    def room(self) -> int:
        """Episodes that may still be started."""
        return self.leaves - self.started


class Start(NamedTuple):
    """What begins now, in this order, as far as there is room."""

    points: Sequence[Point] = ()
    """Where an episode branches; a point as often as it gets new branches."""
    roots: int = 0
    """Episodes from the task's start."""


class Branching(Protocol):
    """A strategy; it keeps nothing between calls."""

    looks_back: bool
    """Whether places stay open after a reply was given there."""

    def check(self, leaves: int) -> None:
        """Whether a task can have so many leaves.

        Raises:
            ValueError: If not.
        """

    def grow(self, tree: Growth, rng: random.Random) -> Start:
        """What begins now. Where nothing is under way and nothing begins, the rollout starts an
        episode from the start: the leaves are always as many as asked for."""


def uncertainty(reply: TokenNode, vocabulary: int, first: int) -> float:
    """Entropy of a reply's first tokens, summed, in units of ln(vocabulary)."""
    return sum(reply.entropies[:first]) / math.log(vocabulary)


class ARPO:
    """Branches where the policy has become unsure: with probability p0 + w (H - H_first), clipped
    to [0, 1], H the entropy of a reply's first tokens and H_first that of its root's first reply.

    Args:
        roots: Episodes begun from the start; 0 is half of the leaves.
        probability: p0.
        weight: w.
        beam: A point becomes at most this many.
        first: Tokens of a reply that are measured.
        entropy: "before" measures the reply before the result of a tool, as the authors' code, and
            branches after it; "after" measures the one that follows the result, as the paper has
            it, and samples that one again.

    Source: arXiv:2507.19849, section 3.1. Divided by ln V as in its code; the paper's V makes the
    difference vanish. Full entropy instead of that of the ten likeliest tokens.
    """

    def __init__(
        self,
        roots: int = 0,
        probability: float = 0.5,
        weight: float = 0.2,
        beam: int = 2,
        first: int = 20,
        entropy: str = "before",
    ) -> None:
        one_of("entropy", entropy, ("before", "after"))
        if roots < 0 or beam < 2 or first < 1 or not 0 <= probability <= 1:
            raise ValueError(
                "roots >= 0, beam >= 2, first >= 1 and probability in [0, 1] are needed, got "
                f"{roots}, {beam}, {first}, {probability}"
            )
        self.roots, self.probability, self.weight = roots, probability, weight
        self.beam, self.first = beam, first
        self.looks_back = entropy == "after"

    def check(self, leaves: int) -> None:
        """No more roots than leaves."""
        if self.roots > leaves:
            raise ValueError(f"branching has roots={self.roots}, more than the {leaves} leaves")

    def grow(self, tree: Growth, rng: random.Random) -> Start:
        """Roots first; then branches, and a root where all have ended."""
        if not tree.started:
            return Start(roots=self.roots or max(1, tree.leaves // 2))
        chosen = self._branches(tree, rng)
        return Start(chosen, roots=0 if tree.active or chosen else 1)

    def chance(self, rise: float, streak: int) -> float:
        """Probability of a branch where entropy rose by so much."""
        return self.probability + self.weight * rise

    def _branches(self, tree: Growth, rng: random.Random) -> list[Point]:
        room, chosen = tree.room, list[Point]()
        open_points = [p for p in tree.answered if p.turn] if self.looks_back else list(tree.active)
        begun = {p.root: p.reply for p in tree.points if not p.turn}
        rng.shuffle(open_points)
        for point in open_points:
            measured, origin = (point.reply if self.looks_back else point.before), begun[point.root]
            if not room:
                break
            if measured is None or origin is None:
                continue
            rise = self._measure(measured, tree) - self._measure(origin, tree)
            if rng.random() < self.chance(rise, tree.streak):
                copies = min(self.beam - 1, room)
                chosen += [point] * copies
                room -= copies
        tree.streak = tree.streak + 1 if chosen else 0
        return chosen

    def _measure(self, reply: TokenNode, tree: Growth) -> float:
        return uncertainty(reply, tree.vocabulary, self.first)


class AEPO(ARPO):
    """ARPO with its budget balanced: the number of roots comes from a first episode, and a task
    that has branched several rounds running branches less.

    The first episode is played to its end without branches. Then 1 + int(M sigmoid(balance (H_root
    - mean H after tools))) of the M leaves are roots: much uncertainty about the question asks for
    roots, much about what tools said for branches. P = clip(1 + w rise - 0.5 / (1 - penalty l)), l
    the rounds in a row that branched.

    Args:
        penalty: Of a round.
        balance: How much the difference of entropies counts.
        roots, weight, beam, first, entropy: As of `ARPO`; roots=0 balances.

    Source: arXiv:2510.14545, and its code.
    """

    def __init__(self, penalty: float = 0.05, balance: float = 0.5, **settings: Any) -> None:
        super().__init__(**settings)
        self.penalty, self.balance = penalty, balance

    def grow(self, tree: Growth, rng: random.Random) -> Start:
        """A first episode, then the other roots, then as `ARPO`."""
        if self.roots:
            return super().grow(tree, rng)
        if not tree.started:
            return Start(roots=1)
        if tree.started == 1:
            if tree.active:
                return Start()
            if (wanted := self.balanced(tree)) > 1:
                return Start(roots=wanted - 1)
        return super().grow(tree, rng)

    def balanced(self, tree: Growth) -> int:
        """Roots that a task gets after its first episode."""
        replies = [p.reply for p in tree.points if p.reply is not None]
        if len(replies) < 2:
            return max(1, tree.leaves // 2)
        first, *later = (self._measure(reply, tree) for reply in replies)
        difference = first - sum(later) / len(later)
        share = 1 / (1 + math.exp(-self.balance * difference))
        return min(tree.leaves, int(tree.leaves * share) + 1)

    def chance(self, rise: float, streak: int) -> float:
        """Falls with every round in a row."""
        left = 1 - self.penalty * streak
        return 1 + self.weight * rise - 0.5 / left if left > 0 else 0.0


class TreeSearch:
    """Whole episodes first, then others from the middle of them: each round samples again from
    places of each tree, to the end.

    Args:
        trees: Roots of a task.
        rounds: In how many steps a tree grows to its leaves.
        choose: "random" takes any turn, with replacement (Tree-GRPO); "surprise" the turns with the
            least likely token (TreeRL, by turn instead of by token).

    Source: Tree-GRPO, arXiv:2509.21240 (2 trees of 3 leaves, 1 round); TreeRL, THUDM/TreeRL.
    """

    looks_back = True

    def __init__(self, trees: int = 2, rounds: int = 1, choose: str = "random") -> None:
        one_of("choose", choose, ("random", "surprise"))
        if trees < 1 or rounds < 1:
            raise ValueError(f"trees and rounds must be at least 1, got {trees} and {rounds}")
        self.trees, self.rounds, self.choose = trees, rounds, choose

    def check(self, leaves: int) -> None:
        """As many leaves in every tree."""
        if leaves % self.trees:
            raise ValueError(
                f"branching grows trees={self.trees}, which {leaves} is no multiple of"
            )

    def grow(self, tree: Growth, rng: random.Random) -> Start:
        """Roots; and when all episodes have ended, branches of them."""
        if not tree.started:
            return Start(roots=self.trees)
        if tree.active:
            return Start()
        full = tree.leaves // self.trees
        each = math.ceil((full - 1) / self.rounds)
        chosen: list[Point] = []
        for root, size in tree.sizes.items():
            places = [(p, p.reply) for p in tree.points if p.root == root and p.reply is not None]
            wanted = min(each, full - size) if places else 0
            if self.choose == "random":
                chosen += [rng.choice(places)[0] for _ in range(wanted)]
            else:
                ranked = sorted(places, key=lambda place: min(place[1].logps))
                chosen += [ranked[i % len(ranked)][0] for i in range(wanted)]
        return Start(chosen)


BRANCHING: Mapping[str, Callable[..., Branching]] = {
    "arpo": ARPO,
    "aepo": AEPO,
    "tree": TreeSearch,
}
"""Strategies by name."""
