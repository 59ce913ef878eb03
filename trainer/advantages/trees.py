"""Branches: what a shared beginning is worth, from the leaves that grew out of it."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from math import sqrt

from ludus.trainer.advantages.base import (
    GROUPS,
    Advantages,
    Memoryless,
    choice,
    mean,
    positions,
    trajectories_of,
    zscore,
)
from ludus.trainer.trajectory import Episode, Trajectory


def tree_grpo(
    returns_G: Sequence[float], trees_G: Sequence[Hashable], *, eps: float = 1e-6
) -> list[float]:
    """A = z among all leaves of the task + z among the leaves of the same tree.

    A tree of one leaf, or whose leaves are equal, adds 0.

    Source: Tree-GRPO, arXiv:2509.21240.

    >>> [round(a, 4) for a in tree_grpo([1.0, 1.0, 0.0, 0.0, 0.0, 1.0], "aaabbb")]
    [1.4902, 1.4902, -2.0676, -1.4902, -1.4902, 2.0676]
    """
    out = zscore(returns_G, eps=eps)
    for leaves in positions(list(trees_G)).values():
        for i, z in zip(leaves, zscore([returns_G[i] for i in leaves], eps=eps), strict=True):
            out[i] += z
    return out


def shared_means(
    advantages_GT: Sequence[Sequence[float]], nodes_GT: Sequence[Sequence[Hashable]]
) -> list[list[float]]:
    """A turn that several trajectories share gets the mean of what they would give it.

    At ratio 1 and with token-mean this is the gradient of letting each copy keep its own; the two
    differ under a clip, or where prefixes are counted once.

    Args:
        advantages_GT: Turn by turn.
        nodes_GT: What identifies each turn; equal for a turn that is shared.

    Source: ARPO's "hard" advantage, arXiv:2507.19849.

    >>> shared_means([[1.0, 1.0], [0.0, 0.0]], [["root", "a"], ["root", "b"]])
    [[0.5, 1.0], [0.5, 0.0]]
    """
    given: dict[Hashable, list[float]] = {}
    for values, nodes in zip(advantages_GT, nodes_GT, strict=True):
        for value, node in zip(values, nodes, strict=True):
            given.setdefault(node, []).append(value)
    return [[mean(given[node]) for node in nodes] for nodes in nodes_GT]


def node_values(
    parents: Mapping[Hashable, Hashable], returns: Mapping[Hashable, float]
) -> tuple[dict[Hashable, float], dict[Hashable, int]]:
    """V(node): mean return of the leaves below it, and how many there are.

    Args:
        parents: Child -> parent; the root is nobody's child.
        returns: Of the leaves.

    >>> node_values({"a": "root", "b": "root"}, {"a": 1.0, "b": 0.0})[0]["root"]
    0.5
    """
    sums: dict[Hashable, float] = {}
    counts: dict[Hashable, int] = {}
    for leaf, ret in returns.items():
        node: Hashable | None = leaf
        while node is not None:
            sums[node] = sums.get(node, 0.0) + ret
            counts[node] = counts.get(node, 0) + 1
            node = parents.get(node)
    return {node: total / counts[node] for node, total in sums.items()}, counts


def step_rewards(
    parents: Mapping[Hashable, Hashable], returns: Mapping[Hashable, float]
) -> dict[Hashable, float]:
    """((V - V_root) + (V - V_parent)) / sqrt(leaves below), for every node but the root.

    Source: TreeRL, THUDM/TreeRL.

    >>> step_rewards({"a": "root", "b": "root"}, {"a": 1.0, "b": 0.0})
    {'a': 1.0, 'b': -1.0}
    """
    values, counts = node_values(parents, returns)
    (root,) = (node for node in values if node not in parents)
    return {
        node: (2 * v - values[root] - values[parents[node]]) / sqrt(counts[node])
        for node, v in values.items()
        if node != root
    }


def segment_advantages(values: Sequence[float]) -> list[float]:
    """V(end) - V(start) of each segment, from the values at its cut points.

    Source: SPO, arXiv:2505.23564; V from Monte-Carlo continuations or from the tree's leaves.

    >>> segment_advantages([0.5, 0.25, 1.0])
    [-0.25, 0.75]
    """
    return [after - before for before, after in pairwise(values)]


_START = "start"


def _turn_nodes(trajectory: Trajectory) -> list[int]:
    """What identifies each turn: the replies that branches have in common are one object."""
    return [id(node) for node in trajectory.leaf.path() if node.is_action]


def _tree(
    trajectories: Sequence[Trajectory],
) -> tuple[dict[Hashable, Hashable], dict[Hashable, float]]:
    """Parents of the turns, under one start, and returns of the last ones."""
    parents: dict[Hashable, Hashable] = {}
    for t in trajectories:
        parents.update((after, before) for before, after in pairwise([_START, *_turn_nodes(t)]))
    return parents, {_turn_nodes(t)[-1]: t.ret for t in trajectories}


class TreeGRPO(Memoryless):
    """See `tree_grpo`; trajectories whose conversations grew from one root node are one tree.
    Without branches every tree has one leaf and this is GRPO."""

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """In standard deviations."""
        trajectories = trajectories_of(episodes)
        out: Advantages = [()] * len(trajectories)
        for members in positions([GROUPS[self.group](t) for t in trajectories]).values():
            own = [trajectories[i] for i in members]
            roots = [id(t.leaf.path()[0]) for t in own]
            for i, a in zip(members, tree_grpo([t.ret for t in own], roots), strict=True):
                out[i] = (a,) * len(trajectories[i].turns)
        return out


class TreeRL(Memoryless):
    """See `step_rewards`; a node is a turn, the start of the task is the root of all."""

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """In units of reward."""
        trajectories = trajectories_of(episodes)
        out: Advantages = [()] * len(trajectories)
        for members in positions([GROUPS[self.group](t) for t in trajectories]).values():
            own = [trajectories[i] for i in members]
            rewards = step_rewards(*_tree(own))
            for i, t in zip(members, own, strict=True):
                out[i] = tuple(rewards[node] for node in _turn_nodes(t))
        return out


class SPO(Memoryless):
    """See `segment_advantages`; a segment is a turn, and what a place is worth is the mean return
    of the leaves below it."""

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """In units of reward."""
        trajectories = trajectories_of(episodes)
        out: Advantages = [()] * len(trajectories)
        for members in positions([GROUPS[self.group](t) for t in trajectories]).values():
            own = [trajectories[i] for i in members]
            values, _ = node_values(*_tree(own))
            for i, t in zip(members, own, strict=True):
                out[i] = tuple(segment_advantages([values[n] for n in (_START, *_turn_nodes(t))]))
        return out


class ARPO(Memoryless):
    """GRPO over all leaves, and for turns that several leaves share each copy's own value ("soft")
    or the mean ("hard"), see `shared_means`.

    Args:
        shared: "soft" or "hard".
    """

    def __init__(self, shared: str = "soft") -> None:
        choice("shared", shared, ("soft", "hard"))
        self.shared = shared

    def __call__(self, episodes: Sequence[Episode]) -> Advantages:
        """In standard deviations."""
        trajectories = trajectories_of(episodes)
        values: list[list[float]] = [[]] * len(trajectories)
        for members in positions([GROUPS[self.group](t) for t in trajectories]).values():
            for i, z in zip(members, zscore([trajectories[i].ret for i in members]), strict=True):
                values[i] = [z] * len(trajectories[i].turns)
        if self.shared == "hard":
            values = shared_means(values, [_turn_nodes(t) for t in trajectories])
        return [tuple(row) for row in values]
