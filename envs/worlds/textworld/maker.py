"""Generates and compiles one TextWorld game. Runs in a process of its own.

There the hash seed is fixed, on which TextWorld's generator depends, and no random state but the
process's own can be touched. The order comes as JSON on standard input, see `Order`.
"""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ludus.envs.task import derive_seed

ATTEMPTS = 200
"""Games drawn before giving up. One in ten belongs to `valid`, one in ten to `test`."""
ROOM = 2**26
"""With less than these bytes free, that is why a game cannot be compiled."""
REFUSED = 3
"""Exit status where no game can be made; the reason is the last line of standard error."""


@dataclass(frozen=True, slots=True)
class Order:
    """Which game to make."""

    kind: str
    """One of `MAKERS`."""
    settings: Mapping[str, Any]
    seed: int
    split: str
    by_content: bool
    """Draw until the content of the game belongs to the split."""

    def to_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def draw(order: Order) -> Any:
    """TextWorld's `Game`, not compiled.

    Raises:
        ValueError: If no game of these settings was found.
    """
    from textworld import GameOptions
    from textworld.generator import QuestGenerationError
    from textworld.generator.data import KnowledgeBase

    # Read and parsed anew for every draw otherwise, which takes longer than the draw.
    KnowledgeBase.load = cache(KnowledgeBase.load)
    reason = f"none of {ATTEMPTS} belongs to {order.split}"
    for attempt in range(ATTEMPTS):
        options = GameOptions()
        options.seeds = {
            part: derive_seed(order.seed, attempt, part) % 2**31
            for part in ("map", "objects", "quest", "grammar")
        }
        try:
            game = MAKERS[order.kind](order, options)
        except QuestGenerationError as error:
            reason = str(error).splitlines()[0]
            continue
        if not order.by_content or split_of(game) == order.split:
            return game
    raise ValueError(f"no game of {order.kind} with {dict(order.settings)}: {reason}")


def split_of(game: Any) -> str:
    """The one split a game may occur in, by a hash of its rooms, things, their places and quests.

    The wording of descriptions does not count.
    """
    names = {name: info.name or name for name, info in game.infos.items()}

    def worded(fact: Any) -> list[str]:
        return [fact.name, *(names.get(v.name, v.name) for v in fact.arguments)]

    facts = sorted(worded(fact) for fact in game.world.facts)
    goals = [
        sorted(worded(fact) for fact in event.condition.preconditions)
        for quest in game.quests
        for event in (*quest.win_events, *quest.fail_events)
    ]
    text = json.dumps([facts, goals])
    bucket = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") % 10
    return {0: "valid", 1: "test"}.get(bucket, "train")


def _textworld(order: Order, options: Any) -> Any:
    from textworld.generator import make_game

    options.nb_rooms = order.settings["rooms"]
    options.nb_objects = order.settings["objects"]
    options.quest_length = order.settings["quest"]
    return make_game(options)


def _challenge(order: Order, options: Any) -> Any:
    from textworld.challenges import CHALLENGES

    settings = dict(order.settings)
    if order.kind == "cooking":
        # TextWorld's own split: foods and preparations that do not occur in the others.
        settings |= {"split": order.split, "recipe_seed": order.seed % 2**31}
    return CHALLENGES[f"tw-{order.kind}"][1](settings, options)


MAKERS = {
    "textworld": _textworld,
    "coin_collector": _challenge,
    "treasure_hunter": _challenge,
    "cooking": _challenge,
}
"""Kinds of games."""


def main(folder: Path) -> int:
    """Writes `game.z8` and `game.json` into a folder."""
    from textworld import GameOptions
    from textworld.generator import CouldNotCompileGameError, compile_game

    try:
        game = draw(Order(**json.loads(sys.stdin.read())))
        options = GameOptions()
        options.path = str(folder / "game.z8")
        compile_game(game, options)
    except (ValueError, AssertionError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    except CouldNotCompileGameError:
        free = shutil.disk_usage(folder).free
        scarce = f"only {free // 2**20} MB are free in {folder.parents[1]}"
        reason = "it is too large" if free > ROOM else scarce
        print(f"Inform 7 cannot compile the game: {reason}", file=sys.stderr)
        return REFUSED
    (folder / "game.ni").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
