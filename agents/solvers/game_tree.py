"""The whole tree of a small game, grouped into information sets.

    worlds() ── one root each, with its probability
      └─ node (one seat to act) ── one child per legal move ── ... ── leaf (returns per seat)

Where moves are simultaneous the seats move one after the other; none is told what another did,
so the information sets are right without more ado.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ludus.agents.solvers.flat import FlatTree
from ludus.agents.solvers.infosets import Key, clean_config, key_in_twin, refuse_chance
from ludus.envs.base import TextEnv
from ludus.envs.outcome import Replay
from ludus.envs.registry import make
from ludus.envs.task import Task


@dataclass(frozen=True, slots=True)
class Infoset:
    """All positions that look the same to the seat to act."""

    index: int
    key: Key
    seat: str
    moves: tuple[str, ...]
    """Legal moves, as the game spells them."""
    actions: tuple[str, ...]
    """The same moves as replies, in the action format of the environment the tree was built of."""
    env_class: type[TextEnv]
    replay: Replay
    """An episode that ends here."""

    def env(self) -> TextEnv:
        """An environment that stands at one of the positions; `seat` is to act. Made anew."""
        return self.env_class.from_replay(self.replay)


@dataclass(frozen=True, slots=True)
class Node:
    """A history: a world and the moves made in it."""

    parent: int
    """-1 for the start of a world."""
    move: str
    """The move that leads here; "" at the start of a world."""
    infoset: int
    """-1 at a leaf."""
    children: range
    """One for each move of the information set, in that order."""
    returns: tuple[float, ...]
    """Per seat, in the environment's unit; of the whole episode at a leaf, () elsewhere."""
    chance: float
    """Probability of the world."""


@dataclass(frozen=True)
class GameTree:
    """A game, fully written out. Nodes are in breadth-first order."""

    env_id: str
    seats: tuple[str, ...]
    zero_sum: bool
    nodes: tuple[Node, ...]
    infosets: tuple[Infoset, ...]

    @cached_property
    def index(self) -> dict[Key, int]:
        """Key of an information set -> its place in `infosets`."""
        return {infoset.key: infoset.index for infoset in self.infosets}

    @cached_property
    def flat(self) -> FlatTree:
        """The tree as arrays, which is what is computed on."""
        seat_of = [self.seats.index(infoset.seat) for infoset in self.infosets]
        return FlatTree.of(
            parents=[node.parent for node in self.nodes],
            infosets=[node.infoset for node in self.nodes],
            children=[node.children for node in self.nodes],
            returns=[node.returns or (0.0,) * len(self.seats) for node in self.nodes],
            chances=[node.chance for node in self.nodes],
            seat_of=seat_of,
            sizes=[len(infoset.moves) for infoset in self.infosets],
        )


def build_tree(
    env: str | TextEnv | type[TextEnv], *, max_nodes: int = 100_000, **params: Any
) -> GameTree:
    """Play every world of a game in every way.

    Args:
        env: An id, an environment (its episode is left alone), or a class.
        max_nodes: Refuse larger trees. Building takes about 40 us a node.
        **params: Constructor arguments, with an id or a class. The action format and the list of
            legal moves show in `Infoset.actions` and `Infoset.env`; keys do not depend on them.

    Raises:
        ValueError: If the worlds are not enumerable or their chances not 1 in all, the tree is
            larger than max_nodes, a seat may reply with free text, or chance is used during the
            episode.
    """
    if isinstance(env, str):
        env = make(env, **params)
    elif isinstance(env, type):
        env = env(**params)
    worlds = env.worlds(**env.params)
    if worlds is None:
        raise ValueError(f"{env.ENV_ID} does not enumerate its worlds, so it has no game tree")
    total = math.fsum(chance for chance, _ in worlds)
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise ValueError(f"{env.ENV_ID}: the chances of its worlds add up to {total:g}, not to 1")
    return _Builder(env, max_nodes).build(worlds)


class _Builder:
    def __init__(self, env: TextEnv, max_nodes: int) -> None:
        self.env, self.max_nodes = env, max_nodes
        self.config = env.replay().config
        self.infosets: dict[Key, Infoset] = {}

    def build(self, worlds: Sequence[tuple[float, Task]]) -> GameTree:
        config, env_class = clean_config(self.env), type(self.env)
        frontier: list[tuple[int, str, float, TextEnv]] = []  # parent, move, chance, position
        for chance, task in worlds:
            frontier.append((-1, "", chance, env_class.from_replay(Replay(config, task, 0, ()))))
        nodes: list[Node] = []
        while frontier:
            below: list[tuple[int, str, float, TextEnv]] = []
            first_child = len(nodes) + len(frontier)
            for parent, move, chance, at in frontier:
                refuse_chance(at)
                if not at.acting:
                    returns = tuple(at.returns[seat] for seat in at.ROLES)
                    nodes.append(Node(parent, move, -1, range(0), returns, chance))
                    continue
                infoset = self._infoset(at)
                start = first_child + len(below)
                for choice in infoset.moves:
                    (child,) = at.fork()
                    child.step(choice, seat=infoset.seat)
                    below.append((len(nodes), choice, chance, child))
                children = range(start, first_child + len(below))
                if children.stop > self.max_nodes:
                    raise ValueError(f"{self.env.ENV_ID}: its tree exceeds {self.max_nodes} nodes")
                nodes.append(Node(parent, move, infoset.index, children, (), chance))
            frontier = below
        env = self.env
        infosets = tuple(self.infosets.values())
        return GameTree(env.ENV_ID, env.ROLES, env.ZERO_SUM, tuple(nodes), infosets)

    def _infoset(self, at: TextEnv) -> Infoset:
        seat = at.acting[0]
        key = key_in_twin(at, seat)
        if key in self.infosets:
            return self.infosets[key]
        moves = at.legal_actions(seat)
        if not moves:
            raise ValueError(f"{at.ENV_ID} takes free text, so its replies cannot be enumerated")
        write, played = self.env.format.write, at.replay()
        said = tuple((who, write(move)) for who, move in played.actions)
        infoset = Infoset(
            index=len(self.infosets),
            key=key,
            seat=seat,
            moves=tuple(moves),
            actions=tuple(map(write, moves)),
            env_class=type(at),
            replay=Replay(self.config, played.task, played.chance_seed, said),
        )
        self.infosets[key] = infoset
        return infoset
