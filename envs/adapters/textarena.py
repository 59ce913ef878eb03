"""Games of TextArena that keep our promises: `make("ludus/TextArena-v1", game="Nim-v0")`.

Only games of `GAMES` are offered, each tested. TextArena's own wrappers are left out: a game is a
new object every episode, and a seat is told exactly what the game addressed to it since its last
turn. TextArena draws from, and reseeds, the process's `random`; here its modules are given a
generator of their own, so that the process's is neither read nor changed.

A move that the game calls invalid is tried on a copy and answered by our policy, not by the game's.
Moves of small games are legal actions: those of a list of candidates that the game itself accepts.

Needs the extra `textarena`. Nothing of it is imported until an environment is made.
"""

import importlib
import pickle
import random
import re
import sys
import threading
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, ClassVar

from ludus.envs.adapters.hosted import Hosted
from ludus.envs.outcome import InvalidMove, Outcome
from ludus.envs.registry import MissingExtra
from ludus.envs.task import Task

MOST_TURNS = 200
_PATIENCE = 10**9  # mistakes the game forgives, so that it leaves them to us
_REASON = re.compile(r"attempted an invalid move\. Reason: (.*?) Please resubmit", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Game:
    """What is known of a game."""

    seats: int
    moves: tuple[str, ...] | None = None
    """All that a seat may ever have to choose from; None where any text may be a move."""
    turns: int = MOST_TURNS


def _each(pattern: str, *choices: Sequence[object]) -> tuple[str, ...]:
    return tuple(pattern.format(*chosen) for chosen in product(*choices))


_WAYS = ("[up]", "[down]", "[left]", "[right]")
_NINE, _FIVE = range(9), range(5)
_CARDS = ("A", *map(str, range(2, 11)), "J", "Q", "K")

GAMES: Mapping[str, Game] = {
    "TicTacToe-v0": Game(2, _each("[{}]", _NINE)),
    "WildTicTacToe-v0": Game(2, _each("[{} {}]", "XO", _NINE)),
    "ThreePlayerTicTacToe-v0": Game(3, _each("[{}]", range(25))),
    "SimpleTak-v0": Game(2, _each("[{}]", range(16))),
    "ConnectFour-v0": Game(2, _each("[col {}]", range(7))),
    "Nim-v0": Game(2, _each("[{} {}]", range(3), range(1, 6))),
    "Othello-v0-small": Game(2, _each("[{}, {}]", range(6), range(6))),
    "Chopsticks-v0": Game(
        2, (*_each("[attack {} {}]", (0, 1), (0, 1)), *_each("[split {} {}]", _FIVE, _FIVE)), 80
    ),
    "PigDice-v0": Game(2, ("[roll]", "[hold]")),
    "LiarsDice-v0-small": Game(2, (*_each("[Bid: {}, {}]", range(1, 7), range(1, 7)), "[Call]")),
    "GameOfPureStrategy-v0": Game(2, _each("[{}]", _CARDS)),
    "ThreePlayerGOPS-v0": Game(3, _each("[{}]", _CARDS)),
    "HighSociety-v0": Game(2, _each("[{}]", range(1, 12))),
    "IteratedRockPaperScissors-v0": Game(2, ("[rock]", "[paper]", "[scissors]")),
    "IteratedMatchingPennies-v0": Game(2, ("[heads]", "[tails]")),
    "IteratedTwoThirdsAverage-v0": Game(2, None),
    "IteratedPrisonersDilemma-v0": Game(2, None),
    "IteratedUltimatumGame-v0": Game(2, None),
    "ThreePlayerIPD-v0": Game(3, None),
    "SimpleNegotiation-v0": Game(2, None),
    "ColonelBlotto-v0": Game(2, None),
    "IndianPoker-v0": Game(2, None),
    "MemoryGame-v0": Game(2, None, 80),
    "GuessTheNumber-v0": Game(1, _each("[{}]", range(1, 21)), 20),
    "TowerOfHanoi-v0": Game(1, tuple(f"[{a} {b}]" for a, b in permutations("ABC", 2)), 30),
    "FrozenLake-v0": Game(1, _WAYS),
    "FifteenPuzzle-v0": Game(1, _WAYS),
    "LightsOut-v0": Game(1, _each("[{} {}]", _FIVE, _FIVE), 40),
    "Sokoban-v0": Game(1, _WAYS, 60),
    "2048-v0-super-easy": Game(1, ("[Up]", "[Down]", "[Left]", "[Right]")),
    "Minesweeper-v0-small": Game(1, _each("[{} {}]", _FIVE, _FIVE)),
    "Mastermind-v0": Game(1, None, 40),
    "Secretary-v0": Game(1, ("[accept]", "[continue]"), 20),
    "Blackjack-v0": Game(1, ("[Hit]", "[Stand]")),
    "ThreeCardMonte-v0": Game(1, _each("[{}]", range(3))),
    "Sudoku-v0-easy": Game(1, None),
}
"""Games that pass the checker in the tests, as `game=` takes them."""

_starting = threading.Lock()  # Sokoban searches for its room in global variables
_stream: ContextVar[random.Random | None] = ContextVar("_stream", default=None)


class _Random(types.ModuleType):
    """The module `random` as TextArena sees it: the episode's generator while one is played."""

    def __getattribute__(self, name: str) -> Any:
        stream = _stream.get()
        if stream is not None and hasattr(stream, name):
            return getattr(stream, name)
        return getattr(random, name)


_RANDOM = _Random("random")


@contextmanager
def _drawing_from(stream: random.Random) -> Iterator[None]:
    """Whatever TextArena draws in the block comes from this generator."""
    token = _stream.set(stream)
    try:
        yield
    finally:
        _stream.reset(token)


def _new(game: str, stream: random.Random) -> Any:
    """A game that was not started, in modules that draw from our generators.

    Raises:
        MissingExtra: If TextArena is not installed.
    """
    try:
        from textarena.envs import registration
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "ludus/TextArena-v1 needs TextArena: pip install 'ludus[textarena]'", name=error.name
        ) from None
    spec = registration.ENV_REGISTRY[f"{game}-raw"]
    importlib.import_module(spec.entry_point.partition(":")[0])
    for name, module in list(sys.modules.items()):
        if name.startswith("textarena") and getattr(module, "random", None) is random:
            vars(module)["random"] = _RANDOM
    with _drawing_from(stream):
        return registration.make(spec.id)


class TextArena(Hosted):
    """A game of TextArena; rewards are its own, paid at its end.

    Parameters:
        game: One of `GAMES`.
    """

    ENV_ID = "ludus/TextArena-v1"
    ROLES: tuple[str, ...] = ("player_0", "player_1")
    PARAMS: ClassVar[Mapping[str, Any]] = {"game": "TicTacToe-v0"}

    def __init__(self, **settings: Any) -> None:
        name = settings.get("game", self.PARAMS["game"])
        if name not in GAMES:
            raise ValueError(f"unknown game {name!r}, tested are: {', '.join(GAMES)}")
        self._kind = GAMES[name]
        self.ROLES = tuple(f"player_{i}" for i in range(self._kind.seats))
        self.MAX_TURNS = self._kind.turns
        if len(self.ROLES) > 2:
            self.FORFEIT = (-1.0, 0.0)
        _new(name, random.Random(0))  # tell of a missing package now
        super().__init__(**settings)

    def _copies(self) -> bool:
        return True

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._game = _new(self.params["game"], rng)
        with _starting, _drawing_from(rng):
            self._game.reset(num_players=len(self.ROLES), seed=rng.getrandbits(31))
        self._game.state.error_allowance = _PATIENCE
        self._news = self._heard()
        self._history: list[Any] = [dict(self._news)]
        self._offered: list[str] | None = None
        self._frozen: bytes | None = None  # thawed for every move that is tried

    def _heard(self) -> dict[str, str]:
        """What the game has said to each seat since it was last asked."""
        said = self._game.state.observations
        news = {}
        for who, role in enumerate(self.ROLES):
            lines = []
            for speaker, text, kind in said[who]:
                if speaker == -1:
                    lines.append(str(text).strip())
                elif speaker != who or kind.name != "PLAYER_ACTION":  # one knows what one said
                    lines.append(f"player_{speaker}: {str(text).strip()}")
            news[role] = "\n".join(lines)
            said[who] = []
        self._game.state.logs = []  # all that was said, again
        return news

    def _rules(self, seat: str) -> str:
        return self._news[seat]

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[self._game.state.current_player_id],)

    def _tried(self, move: str, chance: random.Random) -> tuple[Any, str]:
        """The game after a move, and what it holds against the move."""
        if self._frozen is None:
            self._frozen = pickle.dumps(self._game)
        twin = pickle.loads(self._frozen)
        with _drawing_from(chance):
            twin.step(move)
        if not twin.state.error_count:
            return twin, ""
        said = [text for told in twin.state.observations.values() for _, text, _ in told]
        found = [reason for text in said for reason in _REASON.findall(str(text))]
        return None, found[-1].strip() if found else "not a legal action"

    def _legal(self, seat: str) -> Sequence[str] | None:
        if self._kind.moves is None:
            return None
        if self._offered is None:
            dice = random.Random(0)  # what is legal does not depend on chance
            self._offered = [move for move in self._kind.moves if not self._tried(move, dice)[1]]
        return self._offered

    def _parse(self, text: str, seat: str) -> tuple[str, Any]:
        """The move, and the game after it."""
        move = str(super()._parse(text, seat))
        move = move.encode("utf-8", "replace").decode()
        before = self.chance.getstate()
        after, problem = self._tried(move, self.chance)
        if problem:
            self.chance.setstate(before)
            raise InvalidMove(problem)
        return move, after

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, (move, self._game)),) = moves.items()
        self._offered = self._frozen = None
        news = self._heard()
        self._history.append((seat, move, news))
        if not self._game.state.done:
            return Outcome(text=news)
        gains, about = self._game.close()
        rewards = {role: float((gains or {}).get(i, 0)) for i, role in enumerate(self.ROLES)}
        reason = str(about[0].get("reason") or "")
        alone = len(self.ROLES) == 1
        return Outcome(
            rewards,
            terminated=True,
            text=news if alone else {role: f"{text}\n{reason}" for role, text in news.items()},
            success=rewards[seat] >= 1 if alone else None,
            reason=reason,
        )

    def _render(self) -> str:
        return self._history[-1][-1][self.ROLES[0]] if len(self._history) > 1 else ""
