"""Environments for the tests of the checker: healthy ones, and ones with a single fault each."""

import contextlib
import os
import random
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

from ludus.envs import Golden, InvalidMove, Message, Obs, Outcome, Task, TaskSet, TextEnv
from ludus.envs.base import Info
from ludus.envs.task import Rows

# ---- healthy --------------------------------------------------------------------------------


class Duel(TextEnv):
    """Two seats with a hidden number each; two moves each; the larger number wins."""

    ENV_ID = "toys/Duel-v1"
    ROLES = ("player_0", "player_1")
    ZERO_SUM = True
    MAX_TURNS = 16
    MOVES: ClassVar[tuple[str, ...]] = ("up", "down", "hold")

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._numbers = {role: rng.randrange(100, 999) for role in self.ROLES}
        self._gains: list[int] = []

    def _rules(self, seat: str) -> str:
        return f"Change your number; the larger wins.\nYour number is {self._numbers[seat]}."

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[len(self._gains) % 2],)

    def _legal(self, seat: str) -> Sequence[str] | None:
        return self.MOVES

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, move),) = moves.items()
        self._gains.append({"up": 50, "down": -50, "hold": 0}[move])
        if len(self._gains) < 4:
            return Outcome(text=f"{seat} has moved.")
        return self._end()

    def _end(self) -> Outcome:
        first, second = self.ROLES
        total = self._numbers[first] - self._numbers[second]
        total += sum(self._gains[::2]) - sum(self._gains[1::2])
        sign = float((total > 0) - (total < 0))
        return Outcome({first: sign, second: -sign}, terminated=True, reason="compared")

    def _secrets(self, seat: str) -> Sequence[str]:
        return (f"Your number is {self._numbers[seat]}.",)


class RockPaperScissors(TextEnv):
    """Two seats that move at once, three rounds."""

    ENV_ID = "toys/RockPaperScissors-v1"
    ROLES = ("player_0", "player_1")
    ZERO_SUM = True
    MAX_TURNS = 24

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._round = 0

    def _rules(self, seat: str) -> str:
        return f"Rock, paper, scissors, three rounds. You are {seat}."

    def _acting(self) -> tuple[str, ...]:
        return self.ROLES

    def _legal(self, seat: str) -> Sequence[str]:
        return ("rock", "paper", "scissors")

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        self._round += 1
        a, b = (("rock", "paper", "scissors").index(moves[role]) for role in self.ROLES)
        gain = (0.0, 1.0, -1.0)[(a - b) % 3]
        return Outcome(
            {self.ROLES[0]: gain, self.ROLES[1]: -gain},
            parts={self.ROLES[0]: {"round": gain}, self.ROLES[1]: {"round": -gain}},
            terminated=self._round == 3,
            text=f"{moves[self.ROLES[0]]} against {moves[self.ROLES[1]]}.",
        )


class Dice(TextEnv):
    """One seat, chance in the episode: roll up to five times, stop before a one comes."""

    ENV_ID = "toys/Dice-v1"
    SOLVABLE: bool | None = False

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._total, self._rolls = 0, 0

    def _rules(self, seat: str) -> str:
        return "Roll a die as often as you like, up to five times; a one loses all."

    def _legal(self, seat: str) -> Sequence[str]:
        return ("roll", "stop")

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        if moves["player_0"] == "stop":
            return Outcome({"player_0": self._total / 30}, terminated=True)
        rolled = self.chance.randint(1, 6)
        self._rolls += 1
        if rolled == 1:
            return Outcome(terminated=True, text="You rolled 1.")
        self._total += rolled
        done = self._rolls == 5
        rewards = {"player_0": self._total / 30} if done else {}
        return Outcome(rewards, terminated=done, text=f"You rolled {rolled}.")


class Riddle(TextEnv):
    """One seat, free text, a secret golden answer and a plan of two actions."""

    ENV_ID = "toys/Riddle-v1"
    MAX_TURNS = 8
    RIDDLES: ClassVar[Mapping[str, str]] = {
        "It stands in water on one leg.": "heron",
        "It shines in the dark and is carried.": "lantern",
        "It has keys and no doors.": "piano",
    }

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._question, self._answer = rng.choice(sorted(self.RIDDLES.items()))
        self._read = False

    def _rules(self, seat: str) -> str:
        return "A riddle lies in an envelope. Say open, then answer it."

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        said = moves["player_0"].casefold()
        if not self._read:
            self._read = said == "open"
            return Outcome(text=self._question if self._read else "The envelope is closed.")
        if said == self._answer:
            return Outcome({"player_0": 1.0}, terminated=True, success=True, reason="solved")
        return Outcome(text="No.")

    def golden(self, seat: str | None = None) -> Golden:
        """The answer; before the envelope is open no action submits it."""
        answer = self.format.write(self._answer)
        plan = (answer,) if self._read else (self.format.write("open"), answer)
        action = answer if self._read else None
        return Golden(action=action, answer=self._answer, plan=plan, secret=True)


class Stream(TextEnv):
    """One seat; its state is a generator, which cannot be copied: forks run the episode again."""

    ENV_ID = "toys/Stream-v1"
    SOLVABLE: bool | None = False
    metadata = {**TextEnv.metadata, "fork": "replay"}  # noqa: RUF012

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._cards = self._shuffled(rng)
        self._top = next(self._cards)
        self._turns = 0

    @staticmethod
    def _shuffled(rng: random.Random) -> Iterator[int]:
        yield from rng.sample(range(20), 20)

    def _rules(self, seat: str) -> str:
        return f"Is the next card higher or lower than {self._top}?"

    def _legal(self, seat: str) -> Sequence[str]:
        return ("higher", "lower")

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        before, self._top = self._top, next(self._cards)
        self._turns += 1
        right = (moves["player_0"] == "higher") == (self._top > before)
        return Outcome({"player_0": float(right)}, terminated=self._turns == 6, text=str(self._top))

    def state_hash(self) -> str:
        """The cards to come follow from the task."""
        return f"{self.task.key}-{self._turns}-{','.join(self.acting)}"


HEALTHY: tuple[type[TextEnv], ...] = (Duel, RockPaperScissors, Dice, Riddle, Stream)


# ---- broken: number of the item that must fail -> environments --------------------------------


class Unjson(Duel):
    """Metrics that no log can hold."""

    def _end(self) -> Outcome:
        outcome = super()._end()
        outcome.metrics = {"moves": {1, 2}}  # type: ignore[dict-item]
        return outcome


class Unrendered(Duel):
    """Renders nothing."""

    def render(self) -> str | None:
        """None, whatever the mode."""
        return None


class Unnamed(Duel):
    """Seats that PettingZoo cannot number."""

    ROLES = ("alice", "bob")


class HashOrder(Duel):
    """Words in an order that differs between processes."""

    def _rules(self, seat: str) -> str:
        return f"{super()._rules(seat)} Words: {' '.join({f'w{i}' for i in range(9)})}."


class HashPlan(Riddle):
    """A plan that is right, and another one in every process."""

    def golden(self, seat: str | None = None) -> Golden:
        """Wrong answers do no harm."""
        right = super().golden(seat)
        if self._read:
            return right
        first, last = right.plan or ("", "")
        wrong = [self.format.write(word) for word in {f"w{i}" for i in range(9)}][:3]
        return replace(right, plan=(first, *wrong, last))


class OneDeck(Duel):
    """TextArena's fault: the deck is made once and shuffled in place at every reset."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._deck = list(range(100, 999))

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        rng.shuffle(self._deck)
        self._numbers = dict(zip(self.ROLES, self._deck, strict=False))


class OneTable(Duel):
    """All instances write on one list."""

    TABLE: ClassVar[list[int]] = []

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        self.TABLE.clear()

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        self.TABLE.append(1)
        outcome = super()._apply(moves)
        outcome.text = f"{outcome.text} {len(self.TABLE)} moves."
        return outcome


class GlobalDraw(Duel):
    """Draws from the process's generator, even if nothing follows from it."""

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        random.random()


class Hoarder(Duel):
    """Keeps something of every episode."""

    PAST: ClassVar[list[str]] = []

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        self.PAST.append(str(self._numbers) * 40)


class Parrot(Duel):
    """Repeats in an episode what was said in the one before."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._heard: list[str] = []

    def _parse(self, text: str, seat: str) -> Any:
        self._heard = [*self._heard, text][-8:]
        return super()._parse(text, seat)

    def _rules(self, seat: str) -> str:
        return f"{super()._rules(seat)} Heard: {self._heard}"


class TouchyRender(Duel):
    """Rendering moves the game on."""

    def _render(self) -> str:
        self._gains.append(0)
        return str(self._gains)


class Rewriter(Duel):
    """Forgets the beginning of a conversation."""

    def transcript(self, seat: str) -> tuple[Message, ...]:
        """The last messages only."""
        return super().transcript(seat)[-2:]


class Siamese(Duel):
    """Forks share the list of moves with the original."""

    def fork(self, n: int = 1, *, reseed: int | None = None) -> list[Self]:
        """Copies that are none."""
        twins = super().fork(n, reseed=reseed)
        for twin in twins:
            twin._gains = self._gains
        return twins


class SameDice(Dice):
    """Reseeded forks roll the same dice."""

    def _reseed(self, seed: int) -> None:
        super()._reseed(0)


class DigitCrash(Duel):
    """`isdigit` takes texts that `int` does not."""

    MOVES = ("1", "2", "3")

    def _parse(self, text: str, seat: str) -> Any:
        if not text.isdigit() or int(text) not in (1, 2, 3):
            raise InvalidMove("1, 2 or 3")
        return ("up", "down", "hold")[int(text) - 1]


class FirstLetter(Duel):
    """Takes any text that begins like a move."""

    def _parse(self, text: str, seat: str) -> Any:
        for move in self.MOVES:
            if text[:1] == move[0]:
                return move
        raise InvalidMove("no such move")


class Picky(Duel):
    """Refuses a move that it lists."""

    def _parse(self, text: str, seat: str) -> Any:
        if text == "hold":
            raise InvalidMove("not today")
        return super()._parse(text, seat)


class Impatient(Duel):
    """Ends the episode at the first mistake, although it declares patience."""

    def _answer_invalid(self, actor: str, problem: str) -> Outcome:
        super()._answer_invalid(actor, problem)
        return Outcome(terminated=True, reason="enough")


class Generous(Duel):
    """Declared zero-sum, but the loser loses nothing."""

    def _end(self) -> Outcome:
        outcome = super()._end()
        outcome.rewards = {role: max(0.0, gain) for role, gain in outcome.rewards.items()}
        return outcome


class Infinite(Dice):
    """A reward that is no number."""

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        outcome = super()._apply(moves)
        outcome.rewards = {"player_0": float("inf")} if outcome.terminated else {}
        return outcome


class OddParts(RockPaperScissors):
    """Parts that do not add up to the reward."""

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        outcome = super()._apply(moves)
        outcome.parts = {"player_0": {"bonus": 5.0}}
        return outcome


class BothEnds(Dice):
    """GEM's fault: terminated and truncated at once."""

    def step(self, action: str, *, seat: str | None = None) -> tuple[Obs, float, bool, bool, Info]:
        """As any, but for the end."""
        obs, reward, terminated, truncated, info = super().step(action, seat=seat)
        return obs, reward, terminated, truncated or terminated, info


class Unsaid(Dice):
    """Ends by its rules and does not say whether it was solved."""

    SOLVABLE = None


class UnevenForfeit(Duel):
    """Zero-sum, but a forfeit destroys value."""

    FORFEIT = (-1.0, 0.0)


class WrongPlan(Riddle):
    """A plan that does not lead to success."""

    def golden(self, seat: str | None = None) -> Golden:
        """The wrong way round."""
        right = super().golden(seat)
        return Golden(answer=right.answer, plan=(right.plan or ())[::-1], secret=True)


class Leaky(Riddle):
    """Names the secret answer in the rules."""

    def _rules(self, seat: str) -> str:
        return f"{super()._rules(seat)} It is not a {self._answer.upper()}."


class Choosy(Riddle):
    """Judges its own golden answer wrong."""

    def verify(self, answer: str, seat: str | None = None) -> Any:
        """Passes no answer."""
        return super().verify(f"{answer}!", seat)


class OpenHand(Duel):
    """Tells a seat the other's number."""

    def _rules(self, seat: str) -> str:
        other = self.ROLES[1 - self.ROLES.index(seat)]
        return f"{super()._rules(seat)} Theirs: Your number is {self._numbers[other]}."


class SharedWorlds(Duel):
    """Says that content keeps splits apart, and draws from too few worlds."""

    SPLIT_BY = "content"

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, random.Random(task.seed % 3))


class OneList(Duel):
    """Gives the same tasks whatever the split."""

    @classmethod
    def tasks(cls, split: str = "train", **params: Any) -> TaskSet:
        """Rows have the same key in every split."""
        return Rows(cls.ENV_ID, split, [{"number": n} for n in range(20)])


class Talkative(Riddle):
    """A judge that takes a reply's own word for it."""

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        if "right" in moves["player_0"]:
            return Outcome({"player_0": 1.0}, terminated=True, success=True, reason="solved")
        return super()._apply(moves)


class Caller(Duel):
    """Calls home at every reset."""

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        with contextlib.suppress(OSError), socket.socket() as line:
            line.connect(("127.0.0.1", 9))


class Configured(Duel):
    """Depends on an environment variable."""

    def _rules(self, seat: str) -> str:
        return super()._rules(seat) + os.environ.get("TOY_HINT", "")


class Unpicklable(Duel):
    """State that no pickle takes."""

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        self._score: Callable[[int], int] = lambda total: total + 1


class Tiring(Duel):
    """TextArena's fault: every episode is slower than the one before."""

    EPISODES: ClassVar[list[int]] = [0]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.EPISODES[0] = 0

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        self.EPISODES[0] += 1
        sum(range(self.EPISODES[0] * 200))


class Counting(Duel):
    """Looking at the position moves it on."""

    def _observe(self, seat: str) -> str:
        self._looks = getattr(self, "_looks", 0) + 1
        return ""


class Twins(Duel):
    """One list under two names, of which a fork makes two."""

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        self._same = self._gains

    def _observe(self, seat: str) -> str:
        return f"{len(self._same)} moves."


class Unformatted(Riddle):
    """A plan that is right in one format alone."""

    def golden(self, seat: str | None = None) -> Golden:
        """Without `self.format.write`."""
        right = super().golden(seat)
        plan = tuple(self.format.read(action) or "" for action in right.plan or ())
        return Golden(answer=right.answer, plan=plan)


class Doubled(Duel):
    """A move that is listed twice is drawn twice as often."""

    MOVES = ("up", "up", "down", "hold")


class Misspelt(Duel):
    """Says that the splits are kept apart by what nothing knows."""

    SPLIT_BY = "contents"  # type: ignore[assignment]


class Coins(Duel):
    """Two worlds, as they are declared."""

    SPLIT_BY = "none"
    CHANCES: ClassVar[tuple[float, ...]] = (0.5, 0.5)

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        side = task.params.get("side", rng.randrange(2))
        self._numbers = dict(zip(self.ROLES, (300, 400 + side), strict=True))

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]]:
        """One a side."""
        found = enumerate(cls.CHANCES)
        return [(p, Task(cls.ENV_ID, "worlds", i, i, {"side": i})) for i, p in found]


class HalfOfIt(Coins):
    """Chances that are none."""

    CHANCES = (0.25, 0.25)


class OneSide(Coins):
    """Says that one of its worlds never comes."""

    CHANCES = (1.0,)


class Bare(Coins):
    """Worlds without their chances."""

    @classmethod
    def worlds(cls, **params: Any) -> Any:
        """Tasks alone."""
        return [task for _, task in super().worlds(**params)]


class OwnArgument(Duel):
    """An argument that no record keeps."""

    def __init__(self, size: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)


BROKEN: Mapping[int, tuple[type[TextEnv], ...]] = {
    1: (Unjson, Unrendered, Unnamed),
    2: (HashOrder, HashPlan),
    3: (GlobalDraw,),
    4: (Hoarder,),
    5: (TouchyRender, Rewriter),
    6: (Siamese, SameDice),
    7: (DigitCrash, FirstLetter, Picky, Impatient, Doubled),
    8: (Generous, OddParts, UnevenForfeit, BothEnds, Infinite, Unsaid),
    9: (Leaky, Choosy, Unformatted),
    10: (OpenHand,),
    12: (Caller, Configured),
    13: (Unpicklable, OwnArgument),
    11: (SharedWorlds, OneList, Misspelt, HalfOfIt, OneSide, Bare),
    14: (Tiring,),
    15: (Talkative,),
}
"""Caught by exactly that item."""

BROKEN_IN_MANY_WAYS: Mapping[int, tuple[type[TextEnv], ...]] = {
    2: (OneDeck, OneTable),
    4: (Parrot,),
    5: (Counting,),
    6: (Twins,),
    9: (WrongPlan,),
}
"""Caught by that item, and by others that play more than one episode or the golden replies."""


# ---- unplayable: what item 0 must say -> environments -----------------------------------------


class Unwritten(TextEnv):
    """Has no hooks at all."""


class Crash(Duel):
    """A fault of the author's own."""

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        raise KeyError("oops")


class Careless(Dice):
    """Takes any text for a number."""

    def _legal(self, seat: str) -> Any:
        return None

    def _parse(self, text: str, seat: str) -> Any:
        return int(text)


class Endless(Duel):
    """Nobody ever wins."""

    MAX_TURNS = 10**9

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        return Outcome()


class Nobody(Duel):
    """Goes on, but nobody is to act."""

    def _acting(self) -> tuple[str, ...]:
        return super()._acting() if not self._gains else ()


class OneName(Duel):
    """A seat where a tuple of seats belongs."""

    def _acting(self) -> Any:
        return "player_0"


class Stranger(Duel):
    """Rewards somebody else."""

    def _end(self) -> Outcome:
        return Outcome({"player0": 1.0}, terminated=True)


class Whisper(Duel):
    """Tells somebody else."""

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        outcome = super()._apply(moves)
        outcome.text = {"player_2": "hello"}
        return outcome


class Nothing(Duel):
    """Forgets to return."""

    def _apply(self, moves: Mapping[str, Any]) -> Any:
        super()._apply(moves)


class Numbers(Duel):
    """Moves that are no texts."""

    def _legal(self, seat: str) -> Any:
        return [1, 2]


class Sight(Duel):
    """Shows what is no text."""

    def _observe(self, seat: str) -> Any:
        return 7


class Flowing(Duel):
    """Holds what cannot be copied."""

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        self._rest = (i for i in range(3))


class Listed(Duel):
    """A list where a set of tasks belongs."""

    @classmethod
    def tasks(cls, split: str = "train", **params: Any) -> Any:
        """No TaskSet."""
        return [Task(cls.ENV_ID, split, 0, 0)]


class Moved(Duel):
    """Takes a name that the base class uses."""

    def _setup(self, task: Task, rng: random.Random) -> None:
        super()._setup(task, rng)
        self._moves = {}


class Prompted(Duel):
    """Takes the name of a method that the base class uses."""

    def _prompt(self) -> str:  # type: ignore[override]
        return "What now?"


class Orphan(Duel):
    """Forgets the base class's constructor."""

    def __init__(self) -> None:
        pass


UNPLAYABLE: Mapping[str, type[TextEnv]] = {
    "Unwritten has no _setup": Unwritten,
    r"KeyError: 'oops', in _apply, broken_envs.py line \d+; the reply was '(up|down|hold)'$": Crash,
    "in _parse, broken_envs.py line .* InvalidMove": Careless,
    "not ended after 10000 turns, MAX_TURNS is 1000000000": Endless,
    r"_acting must give seats of \('player_0', 'player_1'\), got \(\)": Nobody,
    "_acting must give seats of .* got 'player_0'": OneName,
    "names seat 'player0', seats: player_0, player_1": Stranger,
    "names seat 'player_2', seats: player_0, player_1": Whisper,
    "_apply must return an Outcome, it gave None": Nothing,
    r"moves are texts, _legal gave \[1, 2\]": Numbers,
    "told texts, not 7": Sight,
    "self._rest is not plain data": Flowing,
    r"tasks must give a TaskSet, such as Rows, it gave \[": Listed,
    "Moved._setup sets self._moves, which is TextEnv's own": Moved,
    "Prompted._prompt replaces a method of TextEnv": Prompted,
    "the __init__ of Orphan does not call TextEnv's": Orphan,
}
"""What is said, as a pattern, of environments that no episode can be played in."""
