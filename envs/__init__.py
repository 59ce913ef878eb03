"""What an agent acts in: the protocol, the registry, games and worlds."""

from ludus.envs.base import TextEnv
from ludus.envs.formats import FORMATS, ActionFormat
from ludus.envs.outcome import Golden, InvalidMove, Outcome, Replay, Verdict
from ludus.envs.registry import UnknownEnv, make_vec, register, spec, specs, suite, suites
from ludus.envs.task import Rows, Task, TaskSet, derive_seed
from ludus.envs.text import Message, Obs, TextSpace

__all__ = [
    "FORMATS", "ActionFormat", "Golden", "InvalidMove", "Message", "Obs", "Outcome", "Replay",
    "Rows", "Task", "TaskSet", "TextEnv", "TextSpace", "UnknownEnv", "Verdict", "derive_seed",
    "make_vec", "register", "spec", "specs", "suite", "suites",
]  # fmt: skip

_BOARD = ("two-seat", "zero-sum", "board")
_CARDS = ("two-seat", "zero-sum", "hidden information", "enumerable")
_MATRIX = ("two-seat", "simultaneous", "enumerable")
_TRAIN, _HELDOUT = ("spiral-train",), ("spiral-heldout",)
_GAMES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "TicTacToe": ("tictactoe:TicTacToe", (*_BOARD, "enumerable"), _TRAIN),
    "KuhnPoker": ("kuhn:KuhnPoker", _CARDS, _TRAIN),
    "ConnectFour": ("connect_four:ConnectFour", _BOARD, _HELDOUT),
    "LeducPoker": ("leduc:LeducPoker", _CARDS, _HELDOUT),
    "LiarsDice": ("liars_dice:LiarsDice", _CARDS, _HELDOUT),
    "Pig": ("pig:Pig", ("two-seat", "zero-sum", "chance"), _HELDOUT),
    "Nim": ("nim:Nim", (*_BOARD, "enumerable"), ()),
    "RockPaperScissors": ("matrix:RockPaperScissors", (*_MATRIX, "zero-sum"), ()),
    "MatchingPennies": ("matrix:MatchingPennies", (*_MATRIX, "zero-sum"), ()),
    "PrisonersDilemma": ("matrix:PrisonersDilemma", _MATRIX, ()),
    "FirstPriceAuction": (
        "auction:FirstPriceAuction", (*_MATRIX, "hidden information"), (),
    ),
    "SimpleNegotiation": (
        "negotiation:SimpleNegotiation",
        ("two-seat", "zero-sum", "hidden information", "free text"), _TRAIN,
    ),
    "NegotiationForGain": (
        "negotiation:NegotiationForGain", ("two-seat", "hidden information", "free text"), (),
    ),
    "ProposeSolve": ("propose_solve:ProposeSolve", ("simultaneous", "golden"), ()),
    "GuessNumber": ("guess_number:GuessNumber", ("one-seat", "golden"), ()),
}  # fmt: skip
for _name, (_where, _tags, _suites) in _GAMES.items():
    register(f"ludus/{_name}-v1", f"ludus.envs.games.{_where}", tags=_tags, suites=_suites)
_ADAPTERS = {
    "Gymnasium": ("gymnasium:Gymnasium", ("one-seat",)),
    "OpenSpiel": ("openspiel:OpenSpiel", ("needs: games",)),
    "PettingZoo": ("pettingzoo:PettingZoo", ("needs: marl",)),
    "ReasoningGym": (
        "reasoning_gym:ReasoningGym", ("one-seat", "golden", "needs: reasoning-gym", "slow"),
    ),
    "TextArena": ("textarena:TextArena", ("needs: textarena", "slow")),
}  # fmt: skip
for _name, (_where, _tags) in _ADAPTERS.items():
    register(f"ludus/{_name}-v1", f"ludus.envs.adapters.{_where}", tags=("adapter", *_tags))

_TEXTWORLD = ("one-seat", "golden", "world", "needs: textworld", "slow")
_WORLDS = {
    "ALFWorld": ("household.env:ALFWorld", ("one-seat", "golden", "world", "needs data")),
    "Household": ("household.env:Household", ("one-seat", "golden", "world")),
    "TextWorld": ("textworld.env:TextWorld", _TEXTWORLD),
    "CoinCollector": ("textworld.env:CoinCollector", _TEXTWORLD),
    "TreasureHunter": ("textworld.env:TreasureHunter", _TEXTWORLD),
    "Cooking": ("textworld.env:Cooking", _TEXTWORLD),
    "ScienceWorld": (
        "scienceworld:ScienceWorld",
        ("one-seat", "golden", "world", "needs: scienceworld", "slow"),
    ),
}
for _name, (_where, _tags) in _WORLDS.items():
    register(f"ludus/{_name}-v1", f"ludus.envs.worlds.{_where}", tags=_tags)

_TASKS = {
    "FileQA": ("file_qa:FileQA", ("one-seat", "golden", "tools", "needs data", "needs: search")),
    "GSM8K": ("gsm8k:GSM8K", ("one-seat", "golden", "tools", "needs data")),
    "HopQA": ("hop_qa:HopQA", ("one-seat", "golden", "tools", "needs: search")),
    "PythonMath": ("python_math:PythonMath", ("one-seat", "golden", "tools")),
}
for _name, (_where, _tags) in _TASKS.items():
    register(f"ludus/{_name}-v1", f"ludus.envs.tasks.{_where}", tags=_tags)
