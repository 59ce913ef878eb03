"""Draws houses with a task in them, and writes them as game files that both engines read.

The six tasks are ALFWorld's: put one, put two, wash, heat or cool one and put it, look at one
under a lamp. A house is a room with furniture and things; every task can be done, because what it
needs is placed first.

Splits share no content. One layout (a room with its furniture) in ten is kept for `valid_unseen`;
of the houses in the other layouts one in ten is kept for `valid_seen`. Which ones a hash decides.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

from ludus.envs.worlds.household.house_text import COMMANDS, DOMAIN, GOALS, WORDS, phrases
from ludus.envs.worlds.household.rooms import DEVICES, ROOMS, SHUTS, THINGS, Thing, things_of

TASKS = ("put", "put two", "wash and put", "heat and put", "cool and put", "look at under a lamp")
"""The kinds of tasks."""
SPLITS = ("train", "valid_seen", "valid_unseen")
DEFAULTS: Mapping[str, Any] = {"kind": "", "receptacles": 14, "objects": 16, "distractors": 2}
"""Kind of task (any if empty); pieces of furniture, as far as the room takes them; things that have
nothing to do with the task; things of other kinds that the task could have been about."""


@dataclass(frozen=True, slots=True)
class House:
    """A room, what stands in it, what lies where, and what is to be done."""

    room: str
    furniture: tuple[str, ...]
    """`kind_bar_NN`, in a fixed order."""
    things: tuple[tuple[str, str], ...]
    """(thing, the furniture it lies in or on)."""
    kind: str
    """One of `TASKS`."""
    target: str
    """The kind of thing that the task is about."""
    goal: str
    """The kind of furniture it belongs in, or "" for the lamp task."""
    phrase: int
    """Which wording of the task is used."""

    @property
    def split(self) -> str:
        """The one split this house may occur in."""
        if _digest([self.room, self.furniture]) % 10 == 0:
            return "valid_unseen"
        return "valid_seen" if _digest(asdict(self)) % 10 == 0 else "train"

    def to_game(self) -> dict[str, Any]:
        """The JSON object of a `game.tw-pddl`."""
        wording = phrases(self.kind)[self.phrase].format(thing=self.target, place=self.goal)
        words = {
            **WORDS,
            "task": [{"rhs": f"Your task is to: {wording}."}],
            "room": [{"rhs": self.room}],
        }
        return {
            "pddl_domain": DOMAIN,
            "grammar": f'grammar :: """\n{json.dumps(words, indent=1)}\n""";\n\n{_actions()}',
            "pddl_problem": self._problem(),
            "solvable": True,
        }

    def _problem(self) -> str:
        facts = ["(at agent1 middle)"]
        for piece in self.furniture:
            kind = _kind(piece)
            facts += [f"(stands {piece} by_{piece})", f"(is {piece} a_{kind})"]
            if kind in SHUTS:
                facts.append(f"(shuts {piece})")
            facts += [f"({verb} {piece})" for flag, verb in _VERBS if DEVICES[flag] == kind]
        kinds = sorted({_kind(thing) for thing, _ in self.things})
        for kind in kinds:
            present = sorted({_kind(p) for p in self.furniture} & set(THINGS[kind].fits))
            facts += [f"(fits a_{kind} a_{place})" for place in present]
        for thing, piece in self.things:
            does = THINGS[_kind(thing)].does
            facts += [f"(of {thing} a_{_kind(thing)})", f"(in {thing} {piece})"]
            facts += [f"({_CAN[flag]} {thing})" for flag in does]
            if "l" not in does:
                facts.append(f"(portable {thing})")
        places = " ".join(f"by_{piece}" for piece in self.furniture)
        all_kinds = sorted({*kinds, *map(_kind, self.furniture)})
        goal = GOALS[self.kind].format(thing=f"a_{self.target}", place=f"a_{self.goal}")
        return (
            "(define (problem house) (:domain household)\n (:objects agent1 - agent\n"
            f"  middle {places} - place\n  {' '.join(self.furniture)} - furniture\n"
            f"  {' '.join(thing for thing, _ in self.things)} - thing\n"
            f"  {' '.join(f'a_{kind}' for kind in all_kinds)} - kind)\n"
            f" (:init\n  {chr(10).join(facts)})\n (:goal {goal}))\n"
        )


_CAN = {"w": "washable", "h": "heatable", "c": "coolable", "l": "lamp"}
_VERBS = (("w", "washes"), ("h", "heats"), ("c", "cools"))
_NEEDS = {"wash and put": "w", "heat and put": "h", "cool and put": "c"}


def draw(rng: random.Random, split: str, params: Mapping[str, Any]) -> House:
    """A house of a split. The stream decides everything.

    Raises:
        ValueError: If a parameter is out of range.
    """
    settings = {**DEFAULTS, **params}
    if settings["kind"] and settings["kind"] not in TASKS:
        raise ValueError(f"unknown kind {settings['kind']!r}, allowed: {', '.join(TASKS)}")
    for name, least in (("receptacles", 2), ("objects", 0), ("distractors", 0)):
        if not isinstance(settings[name], int) or not least <= settings[name] <= 100:
            raise ValueError(f"{name} must be from {least} to 100, got {settings[name]!r}")
    for _ in range(1000):
        house = _draw(rng, settings)
        if house is not None and house.split == split:
            return house
    raise ValueError(
        f"no house of split {split!r} was found with {settings}: with the fewest or the most "
        "receptacles there are few layouts, and one in ten is kept for valid_unseen"
    )


def _draw(rng: random.Random, settings: Mapping[str, Any]) -> House | None:
    kind = settings["kind"] or rng.choice(TASKS)
    flag = _NEEDS.get(kind, "")
    lamp = kind == "look at under a lamp"
    rooms = [
        room
        for room, plan in ROOMS.items()
        if (not flag or DEVICES[flag] in {f.kind for f in plan})
        and (not lamp or room[0] in THINGS["desklamp"].rooms)
    ]
    room = rng.choice(rooms)
    counts = _furnish(rng, room, settings["receptacles"])
    if flag and not counts[DEVICES[flag]]:
        counts[DEVICES[flag]] = 1
    present = {name for name, count in counts.items() if count}
    furniture = [_piece(name, i) for name, n in counts.items() for i in range(1, n + 1)]
    able = [t for t in things_of(room) if flag in t.does]
    goals = {t.kind: sorted(present & set(t.fits)) for t in able}
    able = [t for t in able if len(goals[t.kind]) > (0 if lamp else 1)]
    if not able:
        return None
    target = rng.choice(able)
    goal = "" if lamp else rng.choice(goals[target.kind])
    placed: list[tuple[Thing, str]] = []
    if lamp and not _place(rng, THINGS["desklamp"], furniture, "", placed):
        return None
    for _ in range(2 if kind == "put two" else 1):
        _place(rng, target, furniture, goal, placed)
    others = [t for t in things_of(room) if t is not target]
    rivals = [t for t in able if t is not target]
    for pool, number in ((rivals, settings["distractors"]), (others, settings["objects"])):
        for _ in range(number if pool else 0):
            _place(rng, rng.choice(pool), furniture, "", placed)
    return House(
        room=room,
        furniture=tuple(furniture),
        things=_numbered(rng, placed),
        kind=kind,
        target=target.kind,
        goal=goal,
        phrase=rng.randrange(len(phrases(kind))),
    )


def _furnish(rng: random.Random, room: str, wanted: int) -> dict[str, int]:
    counts = {f.kind: f.least for f in ROOMS[room]}
    most = {f.kind: f.most for f in ROOMS[room]}
    while sum(counts.values()) < wanted:
        free = [kind for kind, count in counts.items() if count < most[kind]]
        if not free:
            break
        counts[rng.choice(free)] += 1
    while sum(counts.values()) > wanted:
        counts[rng.choice([kind for kind, count in counts.items() if count])] -= 1
    return counts


def _place(
    rng: random.Random,
    thing: Thing,
    furniture: list[str],
    avoid: str,
    placed: list[tuple[Thing, str]],
) -> bool:
    """Lays a thing somewhere it fits, but not where it is to be brought."""
    options = [f for f in furniture if _kind(f) in thing.fits and _kind(f) != avoid]
    if options:
        placed.append((thing, rng.choice(options)))
    return bool(options)


def _numbered(rng: random.Random, placed: list[tuple[Thing, str]]) -> tuple[tuple[str, str], ...]:
    """Names for things, in an order that tells nothing of where they are."""
    rng.shuffle(placed)
    seen: dict[str, int] = {}
    named = []
    for thing, piece in placed:
        seen[thing.kind] = seen.get(thing.kind, 0) + 1
        named.append((f"{thing.kind}_bar_{seen[thing.kind]:02}", piece))
    return tuple(named)


def _piece(kind: str, number: int) -> str:
    """An id that both engines show as `kind number`. They append "basin" to ids that contain it."""
    stem = kind.removesuffix("basin")
    return f"{stem}_bar_{number:02}{'_basin' if stem != kind else ''}"


def _kind(name: str) -> str:
    stem = name.partition("_bar_")[0]
    return f"{stem}basin" if name.endswith("_basin") else stem


def _digest(value: object) -> int:
    text = json.dumps(value, sort_keys=True)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _actions() -> str:
    return "\n\n".join(
        f'action {name} {{\n  template :: "{command}";\n  feedback :: "#{name}.said#";\n}}'
        for name, command in COMMANDS.items()
    )
