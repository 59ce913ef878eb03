"""What an agent acts in: the protocol, the registry, games and worlds."""

from ludus.envs.base import TextEnv
from ludus.envs.formats import FORMATS, ActionFormat
from ludus.envs.outcome import Golden, InvalidMove, Outcome, Replay, Verdict
from ludus.envs.registry import UnknownEnv, make_vec, register, spec, specs, suite
from ludus.envs.task import Task, TaskSet, derive_seed
from ludus.envs.text import Message, Obs, TextSpace

__all__ = [
    "FORMATS", "ActionFormat", "Golden", "InvalidMove", "Message", "Obs", "Outcome", "Replay",
    "Task", "TaskSet", "TextEnv", "TextSpace", "UnknownEnv", "Verdict", "derive_seed", "make_vec",
    "register", "spec", "specs", "suite",
]  # fmt: skip

_GAMES = {
    "KuhnPoker": ("kuhn:KuhnPoker", ("two-seat", "zero-sum", "hidden information", "enumerable")),
    "TicTacToe": ("tictactoe:TicTacToe", ("two-seat", "zero-sum", "board", "enumerable")),
    "GuessNumber": ("guess_number:GuessNumber", ("one-seat", "golden")),
}
for _name, (_where, _tags) in _GAMES.items():
    register(f"ludus/{_name}-v1", f"ludus.envs.games.{_where}", tags=_tags)

_WORLDS = {
    "ALFWorld": ("household.env:ALFWorld", ("one-seat", "golden", "world", "needs data")),
    "Household": ("household.env:Household", ("one-seat", "golden", "world")),
}
for _name, (_where, _tags) in _WORLDS.items():
    register(f"ludus/{_name}-v1", f"ludus.envs.worlds.{_where}", tags=_tags)
register(
    "ludus/PythonMath-v1",
    "ludus.envs.tasks.python_math:PythonMath",
    tags=("one-seat", "golden", "tools"),
)
