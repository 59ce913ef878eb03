"""Monte Carlo tree search: a strong opponent where nothing is hidden, for any game that forks.

UCT. Every simulation plays a fork of the episode from the position to the end: down the tree by

    argmax over a of  Q(s, a) + c * sqrt( ln N(s) / N(s, a) )

then one new move, then random moves; the returns update every move made in the tree. Q: mean
return of the seat that moves, scaled to [0, 1] by the smallest and largest return seen so far.

Without chance, what is known exactly replaces the mean (MCTS-Solver): a move that ends the game,
one after which every reply is known, and one after which the other has a reply as good as any
seen.

The tree's nodes are sequences of moves. With chance (Pig) every fork draws throws of its own, so
the search does not know those to come ("open loop").

Sources: Kocsis and Szepesvári 2006, Bandit Based Monte-Carlo Planning; Winands et al. 2008,
Monte-Carlo Tree Search Solver.
"""

import math
import random
from dataclasses import dataclass, field

from ludus.agents.base import others
from ludus.agents.solvers.minimax import hides_something
from ludus.envs.base import TextEnv
from ludus.envs.formats import FORMATS

EXPLORATION = 0.7  # c


@dataclass(slots=True)
class _Edge:
    """A move of a seat, and what came of it."""

    visits: int = 0
    total: float = 0.0
    """Sum of the seat's returns, from the position searched on."""
    known: dict[str, float] | None = None
    """Every seat's return under best play of all, where it is certain."""
    mover: str = ""
    """Who moves next, and how many moves there are."""
    replies: int = 0
    below: dict[tuple[str, str], "_Edge"] = field(default_factory=dict)


class MCTSAgent:
    """UCT with random rollouts; nothing is kept between moves.

    Args:
        simulations: Per move. 200 beat a random player at connect four nearly always, in about
            0.15 s a move.
    """

    def __init__(self, simulations: int = 200) -> None:
        if simulations < 1:
            raise ValueError(f"mcts needs at least 1 simulation, got {simulations}")
        self.simulations = simulations

    def prepare(self, env: TextEnv) -> None:
        """Check that the game can be searched.

        Raises:
            ValueError: If it cannot be forked, hides something, has simultaneous moves or takes
                free text.
        """
        if env.metadata["fork"] == "none":
            raise ValueError(f"mcts needs forks, {env.ENV_ID} has none; try the opponent random")
        at = env
        if not env.acting:
            at = type(env)(**env.replay().config)
            at.reset(seed=0)
        if at.legal_actions() is None:
            raise ValueError(
                f"mcts needs legal actions, {env.ENV_ID} takes free text; try the opponent random"
            )
        if len(at.acting) != 1:
            raise ValueError(
                f"mcts cannot play simultaneous moves, {env.ENV_ID} has them; try the {others(env)}"
            )
        if hides_something(at):
            raise ValueError(
                f"mcts needs perfect information, {env.ENV_ID} hides some; try the {others(env)}"
            )

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """The move that was tried most often.

        Raises:
            ValueError: As `prepare`.
        """
        self.prepare(env)
        (root,) = env.fork()
        # Nobody reads what the search is shown.
        root.show_legal, root.skin, root.format = False, None, FORMATS["plain"]
        legal = root.legal_actions(seat) or []
        if len(legal) == 1:
            return env.format.write(legal[0])
        search = _Search(root, rng.getrandbits(63))
        for _ in range(self.simulations):
            search.simulate()
        return env.format.write(max(legal, key=lambda move: search.preference(seat, move)))


class _Search:
    def __init__(self, root: TextEnv, seed: int) -> None:
        self.root, self.start = root, root.returns
        self.seed, self.rng = seed, random.Random(seed)
        self.tree = _Edge()
        self.chance = root._chance is not None
        self.low, self.high = math.inf, -math.inf

    def simulate(self) -> None:
        rng = self.rng
        (twin,) = self.root.fork(reseed=rng.getrandbits(63) if self.chance else None)
        path = self._descend(twin, rng)
        over = not twin.acting
        gains = {r: total - self.start[r] for r, total in _playout(twin, rng).items()}
        if not self.chance and twin._chance is not None:
            # It does use chance, and this was a look at what will be thrown: begin again.
            self.chance, self.tree, self.rng = True, _Edge(), random.Random(self.seed)
            return
        self.low, self.high = min(self.low, *gains.values()), max(self.high, *gains.values())
        if over and not self.chance:
            path[-1][1].known = gains
        above = [self.tree, *(edge for _, edge in path[:-1])]
        for before, (seat, edge) in reversed(list(zip(above, path, strict=True))):
            edge.visits += 1
            edge.total += gains[seat]
            if edge.known is not None and before.known is None:
                before.known = self._conclude(before)

    def _conclude(self, edge: _Edge) -> dict[str, float] | None:
        """What is certain after a move, from what is certain after its replies."""
        mover = edge.mover
        known = [reply.known for reply in edge.below.values() if reply.known is not None]
        best = max(known, key=lambda gains: gains[mover])
        return best if len(known) == edge.replies or best[mover] >= self.high > self.low else None

    def _descend(self, at: TextEnv, rng: random.Random) -> list[tuple[str, _Edge]]:
        """Play moves of the tree, and one that is new to it."""
        path: list[tuple[str, _Edge]] = []
        node = self.tree
        while at.acting:
            seat = at.acting[0]
            legal = at.legal_actions(seat) or []
            node.mover, node.replies = seat, len(legal)
            new = [move for move in legal if (seat, move) not in node.below]
            if new:
                move = rng.choice(new)
                node.below[seat, move] = _Edge()
            else:
                move = self._choose(node, seat, legal)
            at.step(move, seat=seat)
            node = node.below[seat, move]
            path.append((seat, node))
            if new:
                break
        return path

    def _choose(self, node: _Edge, seat: str, legal: list[str]) -> str:
        edges = [node.below[seat, move] for move in legal]
        log_n = math.log(sum(edge.visits for edge in edges))
        span = max(self.high - self.low, 1e-12)
        scores = [
            (_value(edge, seat) - self.low) / span + EXPLORATION * math.sqrt(log_n / edge.visits)
            for edge in edges
        ]
        return legal[max(range(len(legal)), key=scores.__getitem__)]

    def preference(self, seat: str, move: str) -> tuple[float, ...]:
        """Larger for better moves: known wins, then visits, and known losses last."""
        edge = self.tree.below.get((seat, move))
        if edge is None:
            return (0, 0.0)
        if edge.known is not None and self.high > self.low:
            if edge.known[seat] >= self.high:
                return (2, edge.visits)
            if edge.known[seat] <= self.low:
                return (-1, edge.visits)
        return (1, edge.visits, _value(edge, seat))


def _value(edge: _Edge, seat: str) -> float:
    return edge.total / edge.visits if edge.known is None else edge.known[seat]


def _playout(at: TextEnv, rng: random.Random) -> dict[str, float]:
    """Returns of every seat after random moves to the end."""
    legal = at.legal_actions() if at.acting else None
    while at.acting:
        legal = at.step(rng.choice(legal or [""]))[4]["legal_actions"]
    return at.returns
