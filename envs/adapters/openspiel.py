"""Every OpenSpiel game as an environment: `make("ludus/OpenSpiel-v1", game="breakthrough")`.

The game's own text is what a seat sees: the observation where nothing is hidden, else the seat's
information state. Chance before the first move is the task's, chance after it the episode's; the
tasks of `worlds` decide all of it. Moves at once are held until all are in.

Needs the extra `games`. Nothing of OpenSpiel is imported until an environment is made.
"""

import functools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from ludus.envs.adapters.hosted import unknown
from ludus.envs.base import TextEnv
from ludus.envs.outcome import Outcome
from ludus.envs.registry import MissingExtra
from ludus.envs.state import hash_value
from ludus.envs.task import Task

MOST_TURNS = 20_000
MOST_STATES = 100_000  # looked at for `worlds`: about a second

Script = tuple[int, ...]
"""Outcomes of the first chance nodes of an episode, in order."""

TESTED_GAMES = (
    "tic_tac_toe", "connect_four", "breakthrough(rows=6,columns=6)", "hex(board_size=5)",
    "y(board_size=5)", "havannah(board_size=3)", "clobber(rows=4,columns=4)", "nim",
    "dots_and_boxes(num_rows=2,num_cols=2)", "mancala", "othello",
    "ultimate_tic_tac_toe", "kuhn_poker", "kuhn_poker(players=3)", "leduc_poker", "liars_dice",
    "phantom_ttt", "dark_hex(board_size=3)", "tiny_hanabi", "tiny_bridge_2p",
    "first_sealed_auction",
    "goofspiel(num_cards=4)", "pig(winscore=20)", "blackjack", "catch", "cliff_walking",
    "matrix_rps", "matrix_pd", "trade_comm", "bargaining",
)  # fmt: skip
"""Games that pass the checker in the tests, as `game=` takes them. Others may well do."""


@functools.cache
def load_game(name: str) -> Any:
    """The OpenSpiel game of a name, which may carry parameters: "hex(board_size=5)".

    Raises:
        MissingExtra: If OpenSpiel is not installed.
        ValueError: If it has no such game, or the game cannot be played in text.
    """
    try:
        import pyspiel
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "ludus/OpenSpiel-v1 needs OpenSpiel: pip install 'ludus[games]'", name=error.name
        ) from None
    short = name.partition("(")[0].strip()
    if short not in pyspiel.registered_names():
        raise unknown("OpenSpiel", "game", short, pyspiel.registered_names())
    try:
        game = pyspiel.load_game(name)
        start = game.new_initial_state()
        if not start.is_chance_node():
            start.legal_actions(0)
    except (pyspiel.SpielError, IndexError) as error:
        raise ValueError(f"OpenSpiel cannot play {name!r}: {str(error).splitlines()[0]}") from None
    kind = game.get_type()
    if kind.dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD:
        raise ValueError(f"{name} is a mean-field game: it has no seats to play")
    if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        raise ValueError(f"{name} draws chance by itself, so its episodes do not repeat")
    if not (kind.provides_information_state_string or kind.provides_observation_string):
        raise ValueError(f"{name} has no text for what a player sees")
    return game


@functools.cache
def chance_scripts(name: str) -> tuple[tuple[float, Script], ...] | None:
    """Everything that chance can do in a game, with probabilities.

    None where what chance does next depends on what the seats did, or where looking would take more
    than `MOST_STATES` states: then there are no worlds that could be drawn before the first move.
    """
    import pyspiel

    game = load_game(name)
    if game.get_type().chance_mode == pyspiel.GameType.ChanceMode.DETERMINISTIC:
        return ((1.0, ()),)
    if game.get_type().dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
        game = pyspiel.convert_to_turn_based(game)
    known: dict[Script, list[tuple[int, float]]] = {}
    todo: list[tuple[Any, Script]] = [(game.new_initial_state(), ())]
    seen = 0
    while todo:
        state, script = todo.pop()
        seen += 1
        if seen > MOST_STATES:
            return None
        if state.is_chance_node():
            outcomes = state.chance_outcomes()
            if known.setdefault(script, outcomes) != outcomes:
                return None
            todo += [(state.child(drawn), (*script, drawn)) for drawn, _ in outcomes]
        elif not state.is_terminal():
            todo += [(state.child(action), script) for action in state.legal_actions()]
    scripts: list[tuple[float, Script]] = []
    frontier: list[tuple[float, Script]] = [(1.0, ())]
    while frontier:
        chance, script = frontier.pop()
        if script in known:
            frontier += [(chance * weight, (*script, drawn)) for drawn, weight in known[script]]
        else:
            scripts.append((chance, script))
    return tuple(sorted(scripts, key=lambda pair: pair[1]))


class _Position:
    """A state of OpenSpiel's that is copied by cloning."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(self.state.clone())


class OpenSpiel(TextEnv):
    """Any game of OpenSpiel; rewards are its own.

    Parameters:
        game: Its name there, with or without parameters.
    """

    ENV_ID = "ludus/OpenSpiel-v1"
    SOLVABLE: bool | None = False
    ROLES: tuple[str, ...] = ("player_0", "player_1")
    ZERO_SUM = True
    SPLIT_BY = "none"
    PARAMS: ClassVar[Mapping[str, Any]] = {"game": "breakthrough(rows=6,columns=6)"}

    def __init__(self, **kwargs: Any) -> None:
        name = kwargs.get("game", self.PARAMS["game"])
        if not isinstance(name, str):
            raise ValueError(f"game is the name of an OpenSpiel game, got {name!r}")
        game = load_game(name)
        kind, others = game.get_type(), game.num_players() - 1
        self.ROLES = tuple(f"player_{i}" for i in range(game.num_players()))
        self.ZERO_SUM = bool(others) and kind.utility.name == "ZERO_SUM"
        self.PERFECT_INFORMATION = kind.information.name == "PERFECT_INFORMATION"
        each = 1 if kind.dynamics.name == "SEQUENTIAL" else game.num_players()
        # Twice, so that replies which are no moves do not cut a game short.
        self.MAX_TURNS = min(2 * each * max(1, game.max_game_length()) + 16, MOST_TURNS)
        least = float(game.min_utility())
        least = least if math.isfinite(least) else -1.0
        self.FORFEIT = (least, -least / others if self.ZERO_SUM else 0.0)
        super().__init__(**kwargs)

    def _setup(self, task: Task, rng: random.Random) -> None:
        name = {**self.params, **task.params}["game"]
        if name != self.params["game"]:
            raise ValueError(f"this environment plays {self.params['game']}, the task {name}")
        self._at = _Position(load_game(name).new_initial_state())
        self._script = list(task.params.get("chance", ()))
        self._gained = [0.0] * len(self.ROLES)
        self._throw(rng)

    def _throw(self, rng: random.Random | None = None) -> None:
        """Let chance move until a seat is to."""
        state = self._at.state
        while state.is_chance_node():
            outcomes, weights = zip(*state.chance_outcomes(), strict=True)
            if self._script:
                drawn = self._script.pop(0)
                if drawn not in outcomes:
                    raise ValueError(f"chance cannot be {drawn!r} here, allowed: {outcomes}")
            else:
                stream = self.chance if rng is None else rng
                drawn = stream.choices(outcomes, weights)[0]
            state.apply_action(drawn)

    def _rules(self, seat: str) -> str:
        kind = load_game(self.params["game"]).get_type()
        return f"{kind.long_name} ({self.params['game']}). You are {seat}."

    def _observe(self, seat: str) -> str:
        kind, who = load_game(self.params["game"]).get_type(), self.ROLES.index(seat)
        state = self._at.state
        if kind.provides_observation_string and (
            self.PERFECT_INFORMATION or not kind.provides_information_state_string
        ):
            return str(state.observation_string(who)).rstrip()
        return str(state.information_state_string(who)).rstrip()

    def _acting(self) -> tuple[str, ...]:
        state = self._at.state
        if state.is_simultaneous_node():
            return tuple(r for i, r in enumerate(self.ROLES) if state.legal_actions(i))
        return (self.ROLES[state.current_player()],)

    def _actions(self, seat: str) -> dict[str, int]:
        """Texts of the legal actions, as OpenSpiel writes them on one line."""
        state, who = self._at.state, self.ROLES.index(seat)
        found: dict[str, int] = {}
        for action in state.legal_actions(who):
            text = " ".join(state.action_to_string(who, action).split())
            found[text if text and text not in found else f"{text} #{action}".strip()] = action
        return found

    def _legal(self, seat: str) -> Sequence[str]:
        return list(self._actions(seat))

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        state = self._at.state
        actions = {seat: self._actions(seat)[move] for seat, move in moves.items()}
        if state.is_simultaneous_node():
            # A seat without a choice has 0 to play, as in OpenSpiel itself.
            state.apply_actions([actions.get(role, 0) for role in self.ROLES])
        else:
            state.apply_action(next(iter(actions.values())))
        self._throw()
        before, self._gained = self._gained, [float(gain) for gain in state.returns()]
        rewards = {
            role: now - then
            for role, now, then in zip(self.ROLES, self._gained, before, strict=True)
        }
        over = state.is_terminal()
        news: dict[str, str] = {}
        if self.PERFECT_INFORMATION:
            news = {
                role: "\n".join(f"{seat}: {move}" for seat, move in moves.items() if seat != role)
                for role in self.ROLES
            }
        result = ", ".join(f"{r} {g:g}" for r, g in zip(self.ROLES, self._gained, strict=True))
        return Outcome(rewards, terminated=over, text=news, reason=result if over else "")

    def _render(self) -> str:
        return str(self._at.state) or "-"

    def state_hash(self) -> str:
        """Equal for equal histories."""
        return hash_value((self._at.state.history(), self._waiting, self._moves))

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]] | None:
        """What chance may do in the whole game, where that does not depend on the seats' moves and
        the game is small: a deck that is shuffled, dice that are thrown ahead."""
        name = params.get("game", cls.PARAMS["game"])
        scripts = chance_scripts(name)
        if scripts is None:
            return None
        return [
            (chance, Task(cls.ENV_ID, "worlds", i, i, {"game": name, "chance": list(script)}))
            for i, (chance, script) in enumerate(scripts)
        ]
