"""Plays games on the reference engine and on this one, side by side, and stops at a difference.

    python -m ludus.envs.worlds.household.parity FOLDER --episodes 3 --steps 40

Exit status: 0 if every observation, list of admissible commands, score, goal test and end agreed;
1 at the first difference, printed with the game and the commands that led there; 2 if there was
nothing to compare (no games, or the reference engine is not installed). A game that neither engine
takes, such as one whose goal is out of reach, is no difference.
"""

from __future__ import annotations

import gzip
import importlib
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any

import tyro

from ludus.envs.worlds.household.engine import Game, Play
from ludus.envs.worlds.household.errors import GameError
from ludus.envs.worlds.household.expert import Expert

STYLES = ("random", "expert", "hostile")
"""Who sends the commands, episode by episode."""

NONSENSE = (
    "", " ", "\t\n", "help", "inventory", "look", "INVENTORY", "Look", "look ", " look", "look\n",
    "look around", "xyzzy", "go to", "go to nowhere 1", "take all", "open", "quit", "restart", "0",
    "take {o} from {r}", "#look.feedback#", "{r.name}", "%s %d", "go to cabinet 999", "None",
    "examine", "use", "go  to  fridge 1", "l", "i", "undo", "save", "\x00", "look\x00",
    "ｌｏｏｋ", "открой ящик", "打开冰箱", "🙂", "look\u00a0", "\u2028look", "look;", "look\\n",
    "go to fridge 1 and open it", "go to fridge 1\ngo to fridge 1", "a" * 20_000, "look " * 3000,
)  # fmt: skip
PATTERNS = ("go to {}", "open {}", "close {}", "examine {}", "use {}", "take {} from {}",
            "put {} in/on {}", "move {} to {}", "heat {} with {}", "slice {} with {}")  # fmt: skip
"""Filled with names of any things of the house, in view or not."""
_OTHER_DIGITS = str.maketrans("0123456789", "０１２３４５６７８９")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one engine says after a command; `None` score and end stand for the start."""

    text: str
    admissible: tuple[str, ...]
    won: bool
    score: int | None
    done: bool | None


class Ours:
    """This engine, answering like a reference environment."""

    def __init__(self, path: Path) -> None:
        self.play = Play(Game.load(path))

    def reset(self) -> Answer:
        """To the start of the game."""
        return Answer(self.play.reset(), self.play.admissible, self.play.won, None, None)

    def step(self, command: str) -> Answer:
        """What the engine answers to a command."""
        text = self.play.step(command)
        won = self.play.won
        return Answer(text, self.play.admissible, won, int(won), won)


class Reference:
    """TextWorld's PDDL engine with ALFWorld's object names.

    Raises:
        ImportError: If they are not installed.
    """

    def __init__(self, path: Path) -> None:
        textworld: Any = importlib.import_module("textworld")
        alfworld: Any = importlib.import_module("alfworld.agents.environment.alfred_tw_env")
        infos = textworld.EnvInfos(won=True, admissible_commands=True)
        self.env = textworld.start(str(path), infos, wrappers=[alfworld.AlfredDemangler()])

    def reset(self) -> Answer:
        """To the start of the game."""
        state = self.env.reset()
        return Answer(state.feedback, tuple(state.admissible_commands), state.won, None, None)

    def step(self, command: str) -> Answer:
        """What the engine answers to a command."""
        state, score, done = self.env.step(command)
        return Answer(state.feedback, tuple(state.admissible_commands), state.won, score, done)


def games(folder: Path) -> list[Path]:
    """All game files under a folder, or the one file it is."""
    return [folder] if folder.is_file() else sorted(folder.rglob("*.tw-pddl"))


class Sender:
    """Chooses commands: sensible ones, wrong ones, and ones nobody would expect."""

    def __init__(self, play: Play, style: str, rng: random.Random) -> None:
        self.play, self.style, self.rng = play, style, rng
        self.expert = Expert(play.game)
        self.names = sorted(entity.name for entity in play.game.entities.values())
        self.seen: list[str] = []

    def command(self) -> str:
        """The next one, by the style; nonsense has a share in every style."""
        admissible = self.play.admissible
        self.seen.extend(c for c in admissible if self.rng.random() < 0.1)
        share = {"random": 0.1, "expert": 0.1, "hostile": 0.6}[self.style]
        if not admissible or self.rng.random() < share:
            return self._hostile(admissible)
        if self.style == "expert" and self.rng.random() < 0.85:
            wanted = self.expert.action(self.play.state, 500)
            if wanted is not None:
                return wanted
        # Going somewhere is most of what is possible; prefer the rarer kinds of commands.
        kinds = sorted({command.split(" ", 1)[0] for command in admissible})
        if self.rng.random() < 0.6:
            kind = self.rng.choice(kinds)
            admissible = tuple(c for c in admissible if c.split(" ", 1)[0] == kind)
        return self.rng.choice(admissible)

    def _hostile(self, admissible: tuple[str, ...]) -> str:
        rng = self.rng
        kind = rng.random()
        if kind < 0.3 or not (admissible or self.seen):
            return rng.choice(NONSENSE)
        if kind < 0.5:
            pattern = rng.choice(PATTERNS)
            return pattern.format(*(rng.choice(self.names) for _ in range(pattern.count("{}"))))
        command = rng.choice(self.seen if self.seen and rng.random() < 0.5 else admissible)
        changes = (
            str.upper, str.title, str.swapcase,
            lambda c: f"  {c}\t\r\n", lambda c: c.replace(" ", "  "), lambda c: c[:-1],
            lambda c: c + " please", lambda c: c.replace("1", "7"), lambda c: c[::-1],
            lambda c: c, lambda c: c + ".", lambda c: f"{c}\u3000", lambda c: f'"{c}"',
            lambda c: c.replace(" ", "\t"), lambda c: c.translate(_OTHER_DIGITS),
        )  # fmt: skip
        return str(rng.choice(changes)(command))


@dataclass(frozen=True)
class Args:
    """Compare this engine with the reference engine, game by game."""

    folder: Annotated[Path, tyro.conf.Positional]
    """A folder with *.tw-pddl files somewhere below it, or one such file."""
    episodes: int = 3
    """Episodes per game; their styles alternate between random, expert and hostile."""
    steps: int = 40
    """Commands per episode; an episode goes on after its goal is reached."""
    seed: int = 0
    """Decides the commands."""
    record: Path | None = None
    """Write what the reference engine answered to this file (gzipped JSON)."""


@dataclass
class Progress:
    """Counts what was compared and shows it on standard error."""

    games: int
    start: float = field(default_factory=time.monotonic)
    done: int = 0
    steps: int = 0
    won: int = 0

    def show(self, name: str) -> None:
        """One line: over the last at a terminal, else after every tenth game."""
        seconds = time.monotonic() - self.start
        line = (
            f"{self.done}/{self.games} games, {self.steps} commands, goal reached {self.won} times,"
            f" {self.steps / max(seconds, 1e-9):.1f} commands/s"
        )
        if sys.stderr.isatty():
            print(f"\r\033[K{line}  {name[:50]}", end="", file=sys.stderr, flush=True)
        elif self.done % 10 == 0 or self.done == self.games:
            print(line, file=sys.stderr, flush=True)


def compare(path: Path, args: Args, rng: random.Random, progress: Progress) -> list[Any]:
    """Plays one game; returns its transcripts.

    Raises:
        DifferenceError: At the first answer that is not the same.
    """
    ours, reference = Ours(path), Reference(path)
    transcripts = []
    for episode in range(args.episodes):
        history: list[str] = []
        expected, actual = reference.reset(), ours.reset()
        check(path, history, expected, actual)
        sender = Sender(ours.play, STYLES[episode % len(STYLES)], rng)
        lines = [summary("", expected)]
        for _ in range(args.steps):
            command = sender.command()
            history.append(command)
            was_won = expected.won
            expected, actual = reference.step(command), ours.step(command)
            check(path, history, expected, actual)
            lines.append(summary(command, expected))
            progress.steps += 1
            progress.won += expected.won and not was_won
            if progress.steps % 20 == 0 and sys.stderr.isatty():
                progress.show(path.parent.parent.name)
        transcripts.append(lines)
    return transcripts


def refusal(path: Path) -> str:
    """How the reference engine fails to start a game; empty if it does start it, or is missing."""
    try:
        Reference(path).reset()
    except ImportError:
        return ""
    except (Exception, SystemExit) as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    return ""


class DifferenceError(Exception):
    """The engines disagree."""


def check(path: Path, history: list[str], expected: Answer, actual: Answer) -> None:
    """Raises DifferenceError, with all one needs to see it again, unless the answers are equal."""
    if expected == actual:
        return
    lines = [f"The engines differ in {path}", "after these commands:"]
    lines += [f"  {command[:200]!r}" for command in history] or ["  (none: at the start)"]
    for name in ("text", "won", "score", "done"):
        theirs, mine = getattr(expected, name), getattr(actual, name)
        if theirs != mine:
            lines += [f"{name}:", f"  reference {theirs!r}", f"  ours      {mine!r}"]
    if expected.admissible != actual.admissible:
        theirs, mine = set(expected.admissible), set(actual.admissible)
        lines += [
            "admissible commands:",
            f"  only in the reference {sorted(theirs - mine)}",
            f"  only in ours          {sorted(mine - theirs)}",
        ]
        if theirs == mine:
            lines += [f"  {list(expected.admissible)}", f"  {list(actual.admissible)}"]
    raise DifferenceError("\n".join(lines))


def summary(command: str, answer: Answer) -> list[Any]:
    """[command, text, digest of the admissible commands, won]: a line of a recorded transcript."""
    listing = "\n".join(answer.admissible).encode()
    return [command, answer.text, blake2b(listing, digest_size=8).hexdigest(), answer.won]


def replay(game: Game, lines: list[list[Any]]) -> Iterator[tuple[list[Any], list[Any]]]:
    """(recorded line, our line) for every line of a transcript, the first being the start."""
    play = Play(game)
    for number, line in enumerate(lines):
        command = str(line[0])
        text = play.step(command) if number else play.text
        yield line, summary(command, Answer(text, play.admissible, play.won, None, None))


def main(args: Args) -> int:
    """Compare all games of a folder; returns the exit status that the module describes."""
    found = games(args.folder)
    problem = "" if found else f"no *.tw-pddl files under {args.folder}"
    for name in ("episodes", "steps"):
        if (number := getattr(args, name)) < 1:
            problem = f"--{name} must be at least 1, got {number}"
    if problem:
        print(problem, file=sys.stderr)
        return 2
    progress = Progress(len(found))
    record: dict[str, Any] = {}
    for number, path in enumerate(found):
        rng = random.Random(f"{args.seed}/{number}")
        try:
            name = path.name if path == args.folder else path.relative_to(args.folder).as_posix()
            record[name] = compare(path, args, rng, progress)
        except ImportError as error:
            print(
                f"the reference engine is not installed ({error}): "
                "pip install 'textworld[pddl]' alfworld",
                file=sys.stderr,
            )
            return 2
        except GameError as error:
            if not (theirs := refusal(path)):
                print(f"\nthis engine refuses a game: {error}", file=sys.stderr)
                return 1
            print(f"\nneither engine takes {error} (the reference: {theirs})", file=sys.stderr)
            continue
        except DifferenceError as difference:
            print(f"\n{difference}")
            return 1
        progress.done += 1
        progress.show(path.parent.parent.name)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if not progress.done:
        return 2
    print(
        f"identical: {progress.done} games, {args.episodes} episodes each, "
        f"{progress.steps} commands, goal reached {progress.won} times"
    )
    if args.record is not None:
        args.record.write_bytes(gzip.compress(json.dumps(record).encode(), mtime=0))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))
