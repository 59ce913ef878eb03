"""What houses are made of: rooms, furniture, things, and what goes where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Furniture:
    """A kind of furniture in a room: how many there may be."""

    kind: str
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Thing:
    """A kind of thing."""

    kind: str
    rooms: str
    """Initials of the rooms it is found in: kitchen, bathroom, sleeping room, living room."""
    does: str
    """w: can be washed, h: heated, c: cooled, l: is a lamp (and stays where it is)."""
    fits: tuple[str, ...]
    """Kinds of furniture it may lie in or on."""


SHUTS = frozenset({"cabinet", "drawer", "fridge", "microwave", "safe", "dresser"})
"""Furniture with a door or a drawer."""
DEVICES = {"w": "sinkbasin", "h": "microwave", "c": "fridge"}
"""What washes, heats and cools."""

_FLOOR_PLANS = {
    "kitchen": "cabinet:2-7 drawer:1-5 countertop:1-3 fridge:1-1 microwave:1-1 sinkbasin:1-1 "
    "stoveburner:1-4 diningtable:0-1 coffeemachine:0-1 toaster:0-1 garbagecan:1-1 shelf:0-3",
    "bathroom": "cabinet:1-5 drawer:0-4 countertop:1-2 sinkbasin:1-2 toilet:1-1 bathtubbasin:0-1 "
    "garbagecan:1-1 shelf:0-2 towelholder:1-3 toiletpaperhanger:1-1",
    "sleeping room": "bed:1-2 desk:1-2 drawer:2-8 dresser:0-1 shelf:1-6 sidetable:1-2 "
    "garbagecan:1-1 safe:0-1 armchair:0-1 laundryhamper:0-1",
    "living room": "sofa:1-2 armchair:1-3 coffeetable:1-2 sidetable:1-3 tvstand:0-1 cabinet:0-4 "
    "drawer:0-5 shelf:0-5 diningtable:0-1 garbagecan:1-1 safe:0-1",
}

_THINGS = """\
apple           k    whc  countertop diningtable fridge microwave sinkbasin garbagecan
tomato          k    whc  countertop diningtable fridge microwave sinkbasin garbagecan
potato          k    whc  countertop diningtable fridge microwave sinkbasin garbagecan
lettuce         k    wc   countertop diningtable fridge sinkbasin garbagecan
egg             k    whc  countertop diningtable fridge microwave sinkbasin garbagecan
bread           k    hc   countertop diningtable fridge microwave garbagecan
mug             k    whc  countertop diningtable fridge microwave sinkbasin cabinet coffeemachine
cup             k    whc  countertop diningtable fridge microwave sinkbasin cabinet shelf
plate           k    whc  countertop diningtable fridge microwave sinkbasin cabinet shelf
bowl            k    whc  countertop diningtable fridge microwave sinkbasin cabinet shelf
pan             k    wc   countertop diningtable fridge sinkbasin cabinet stoveburner
pot             k    wc   countertop diningtable fridge sinkbasin cabinet stoveburner shelf
kettle          k    w    countertop diningtable sinkbasin cabinet stoveburner shelf
knife           k    w    countertop diningtable sinkbasin drawer
fork            k    w    countertop diningtable sinkbasin drawer
spoon           k    w    countertop diningtable sinkbasin drawer
spatula         k    w    countertop diningtable sinkbasin drawer
ladle           k    w    countertop diningtable sinkbasin drawer
winebottle      k    c    countertop diningtable fridge cabinet shelf garbagecan
peppershaker    k    -    countertop diningtable cabinet drawer shelf
saltshaker      k    -    countertop diningtable cabinet drawer shelf
dishsponge      kb   w    countertop sinkbasin cabinet drawer bathtubbasin garbagecan
soapbottle      kb   -    countertop sinkbasin cabinet drawer toilet garbagecan shelf
papertowelroll  k    -    countertop diningtable cabinet drawer shelf garbagecan
soapbar         b    w    countertop sinkbasin bathtubbasin cabinet drawer toilet garbagecan
cloth           b    w    countertop sinkbasin bathtubbasin cabinet drawer toilet
handtowel       b    -    towelholder countertop cabinet
spraybottle     b    -    countertop cabinet drawer toilet shelf garbagecan
candle          bl   -    countertop cabinet drawer toilet shelf coffeetable sidetable
toiletpaper     b    -    toiletpaperhanger toilet countertop cabinet drawer shelf
book            sl   -    desk bed sidetable shelf drawer dresser sofa coffeetable armchair
pen             sl   -    desk sidetable shelf drawer dresser garbagecan coffeetable
pencil          s    -    desk sidetable shelf drawer dresser garbagecan
cd              s    -    desk sidetable shelf drawer dresser safe garbagecan
cellphone       sl   -    desk bed sidetable shelf drawer dresser safe sofa coffeetable armchair
creditcard      sl   -    desk sidetable shelf drawer dresser safe coffeetable armchair sofa tvstand
keychain        sl   -    desk sidetable shelf drawer dresser safe coffeetable armchair sofa tvstand
alarmclock      s    -    desk sidetable shelf dresser
laptop          sl   -    desk bed sofa coffeetable armchair diningtable
pillow          sl   -    bed sofa armchair laundryhamper
teddybear       s    -    bed armchair dresser
remotecontrol   l    -    sofa coffeetable sidetable tvstand armchair shelf drawer
newspaper       l    -    sofa coffeetable sidetable armchair diningtable garbagecan drawer
watch           l    -    coffeetable sidetable shelf drawer safe tvstand
statue          l    -    coffeetable sidetable shelf tvstand diningtable cabinet
vase            l    -    coffeetable sidetable shelf tvstand diningtable safe
box             l    -    sofa coffeetable sidetable armchair diningtable
tissuebox       bl   -    countertop toilet sidetable coffeetable drawer shelf cabinet
desklamp        sl   l    desk sidetable shelf
"""


def _plan(text: str) -> tuple[Furniture, ...]:
    rows = []
    for entry in text.split():
        kind, _, span = entry.partition(":")
        least, _, most = span.partition("-")
        rows.append(Furniture(kind, int(least), int(most)))
    return tuple(rows)


ROOMS: dict[str, tuple[Furniture, ...]] = {name: _plan(t) for name, t in _FLOOR_PLANS.items()}
THINGS: dict[str, Thing] = {
    words[0]: Thing(words[0], words[1], words[2].strip("-"), tuple(words[3:]))
    for words in map(str.split, _THINGS.strip().splitlines())
}


def things_of(room: str) -> list[Thing]:
    """Everything found in a room, lamps left out."""
    return [t for t in THINGS.values() if room[0] in t.rooms and "l" not in t.does]
