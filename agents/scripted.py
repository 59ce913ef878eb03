"""Agents that need no model: random, expert, minimax, Nash."""

import json
import random
import re

from ludus.agents.base import others
from ludus.agents.solvers.cfr import solve
from ludus.agents.solvers.game_tree import build_tree
from ludus.agents.solvers.infosets import Key, infoset_key
from ludus.agents.solvers.minimax import Minimax
from ludus.envs import registry
from ludus.envs.base import TextEnv

Game = tuple[type[TextEnv], str, str]
"""Class, id and parameters: ids may share a class."""
Table = dict[Key, tuple[tuple[str, ...], tuple[float, ...]]]
"""Information set -> legal moves and their probabilities."""

_WORD = re.compile(r"\w+")


class RandomAgent:
    """Any legal action, equally often; where replies are free text, a word it was shown."""

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """A random reply."""
        if legal := env.legal_actions(seat):
            return rng.choice(legal)
        words = _WORD.findall(" ".join(message.content for message in env.transcript(seat)))
        return env.format.write(rng.choice(words or [""]))


class ExpertAgent:
    """Does what the environment knows to be right: the next step of its plan, else the answer.

    It reads what no other agent may see, so it is for imitation and as an upper bound.

    Args:
        noise: Share of replies that are random instead; after a mistake it finds its way again.
    """

    def __init__(self, noise: float = 0.0) -> None:
        if not 0 <= noise <= 1:
            raise ValueError(f"noise must be in [0, 1], got {noise}")
        self.noise = noise
        self._random = RandomAgent()

    def prepare(self, env: TextEnv) -> None:
        """Check that the environment knows what is right.

        Raises:
            ValueError: If not.
        """
        if type(env).golden is TextEnv.golden:
            have = ", ".join(spec.id for spec in registry.specs() if "golden" in spec.tags)
            raise ValueError(f"{env.ENV_ID} knows no right replies, which expert needs: {have} do")

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """The right reply; a random one where there is none left (a dead end)."""
        if self.noise and rng.random() < self.noise:
            return self._random.act(env, seat, rng)
        golden = env.golden(seat)
        if golden is not None:
            if golden.plan:
                return golden.plan[0]
            if golden.action is not None:
                return golden.action
        return self._random.act(env, seat, rng)


class HastyAgent(ExpertAgent):
    """The expert, but in a share of its replies it answers at once, without the calls and steps
    that would find the answer. What learns from it can use its tools, and mostly does not.

    Args:
        share: Of the replies, in [0, 1].
    """

    def __init__(self, share: float = 0.75) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share must be in [0, 1], got {share}")
        super().__init__()
        self.share = share

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """The answer, or the expert's reply."""
        golden = env.golden(seat) if rng.random() < self.share else None
        if golden is not None and golden.action is not None:
            return golden.action
        return super().act(env, seat, rng)


class MinimaxAgent:
    """Perfect play where nothing is hidden; equally good moves are drawn from equally often.

    Searches the whole game when first asked: tic-tac-toe takes about a second. What it finds
    is kept for every other agent of the process.
    """

    _solved: dict[Game, Minimax] = {}  # noqa: RUF012  # shared by all, on purpose

    def prepare(self, env: TextEnv) -> None:
        """Check that the game can be played.

        Raises:
            ValueError: If the environment is no two-seat zero-sum game of perfect information.
        """
        self._of(env)

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """A best reply.

        Raises:
            ValueError: As `prepare`, or if the search finds the game to be too large.
        """
        solver = self._of(env)
        try:
            best = solver.best_moves(env)
        except ValueError as error:
            raise ValueError(f"{error}; try the opponents mcts or random") from None
        return env.format.write(rng.choice(best))

    def _of(self, env: TextEnv) -> Minimax:
        game = _game_of(env)
        if game not in self._solved:
            try:
                self._solved[game] = Minimax(env)
            except ValueError as error:
                raise ValueError(f"{error}; try the {others(env)}") from None
        return self._solved[game]


class NashAgent:
    """An equilibrium strategy of a small game, from CFR+.

    It cannot be beaten on average from both seats, and does not try to win more from the weak. The
    game is solved when first needed and kept for every other agent of the process. It looks only
    at its own seat's transcript, and bad replies of any seat do not disturb it.

    Args:
        iterations: Of CFR+, at most; it stops at exploitability `TOLERANCE`.
    """

    TOLERANCE = 1e-4
    """In the environment's unit."""
    MAX_NODES = 20_000
    """Of the game's tree: a few seconds to build."""
    _solved: dict[tuple[Game, int], Table] = {}  # noqa: RUF012

    def __init__(self, iterations: int = 2000) -> None:
        if iterations < 1:
            raise ValueError(f"nash needs at least 1 iteration, got {iterations}")
        self.iterations = iterations

    def prepare(self, env: TextEnv) -> None:
        """Solve the game ahead.

        Raises:
            ValueError: If the environment is no small enumerable zero-sum game of two seats.
        """
        self._of(env)

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """A reply drawn from the equilibrium strategy.

        Raises:
            ValueError: As `prepare`, or if the position is none of the game's.
        """
        table, key = self._of(env), infoset_key(env, seat)
        if key not in table:
            raise ValueError(
                f"nash does not know this position of {env.ENV_ID}: its world is none of worlds(); "
                "try the opponent random"
            )
        moves, probabilities = table[key]
        return env.format.write(rng.choices(moves, probabilities)[0])

    def _of(self, env: TextEnv) -> Table:
        game = (_game_of(env), self.iterations)
        if game not in self._solved:
            if len(env.ROLES) != 2 or not env.ZERO_SUM:
                raise ValueError(
                    f"nash needs a zero-sum game of two seats, {env.ENV_ID} is none; "
                    "try the opponent random"
                )
            try:
                tree = build_tree(env, max_nodes=self.MAX_NODES)
                found = solve(tree, iterations=self.iterations, tolerance=self.TOLERANCE)
            except ValueError as error:
                raise ValueError(f"nash: {error}; try the opponents minimax or random") from None
            self._solved[game] = {i.key: (i.moves, found[i.key]) for i in tree.infosets}
        return self._solved[game]


def _game_of(env: TextEnv) -> Game:
    """Equal for environments with the same rules, whatever their format and limits."""
    return type(env), env.ENV_ID, json.dumps(env.params, sort_keys=True)
