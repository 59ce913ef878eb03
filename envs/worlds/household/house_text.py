"""The rules and the words of generated houses: a planning domain and a text grammar of our own.

The mechanics are those of ALFWorld's domain, so that what an agent learns in one is of use in the
other: one thing in hand at a time, doors must be open, washing, heating and cooling need the thing
in hand and the device nearby.
"""

from __future__ import annotations

from typing import Any

DOMAIN = """
(define (domain household)
 (:requirements :adl :typing)
 (:types agent place furniture thing kind)
 (:predicates
   (at ?a - agent ?p - place)            ; where the agent is
   (stands ?f - furniture ?p - place)    ; where a piece of furniture is
   (is ?f - furniture ?k - kind)
   (of ?t - thing ?k - kind)
   (fits ?k - kind ?l - kind)            ; things of kind k may lie in or on furniture of kind l
   (shuts ?f - furniture)                ; it has a door or a drawer
   (open ?f - furniture)
   (in ?t - thing ?f - furniture)
   (portable ?t - thing)
   (holds ?a - agent ?t - thing)
   (busy ?a - agent)                     ; the hands are full
   (washable ?t - thing) (heatable ?t - thing) (coolable ?t - thing) (lamp ?t - thing)
   (washes ?f - furniture) (heats ?f - furniture) (cools ?f - furniture)
   (clean ?t - thing) (hot ?t - thing) (cold ?t - thing)
   (lit ?t - thing) (used ?t - thing)
   (noticed ?x - object))

 (:action go
   :parameters (?a - agent ?from - place ?to - place ?f - furniture)
   :precondition (and (at ?a ?from) (stands ?f ?to))
   :effect (and (not (at ?a ?from)) (at ?a ?to)))
 (:action open
   :parameters (?a - agent ?p - place ?f - furniture)
   :precondition (and (at ?a ?p) (stands ?f ?p) (shuts ?f) (not (open ?f)))
   :effect (open ?f))
 (:action close
   :parameters (?a - agent ?p - place ?f - furniture)
   :precondition (and (at ?a ?p) (stands ?f ?p) (shuts ?f) (open ?f))
   :effect (not (open ?f)))
 (:action take
   :parameters (?a - agent ?p - place ?t - thing ?f - furniture)
   :precondition (and (at ?a ?p) (stands ?f ?p) (in ?t ?f) (portable ?t) (not (busy ?a))
                      (or (not (shuts ?f)) (open ?f)))
   :effect (and (not (in ?t ?f)) (holds ?a ?t) (busy ?a)))
 (:action put
   :parameters (?a - agent ?p - place ?t - thing ?f - furniture ?k - kind ?l - kind)
   :precondition (and (at ?a ?p) (stands ?f ?p) (holds ?a ?t) (of ?t ?k) (is ?f ?l) (fits ?k ?l)
                      (or (not (shuts ?f)) (open ?f)))
   :effect (and (in ?t ?f) (not (holds ?a ?t)) (not (busy ?a))))
 (:action wash
   :parameters (?a - agent ?p - place ?t - thing ?f - furniture)
   :precondition (and (at ?a ?p) (stands ?f ?p) (washes ?f) (holds ?a ?t) (washable ?t))
   :effect (clean ?t))
 (:action heat
   :parameters (?a - agent ?p - place ?t - thing ?f - furniture)
   :precondition (and (at ?a ?p) (stands ?f ?p) (heats ?f) (holds ?a ?t) (heatable ?t))
   :effect (and (hot ?t) (not (cold ?t))))
 (:action cool
   :parameters (?a - agent ?p - place ?t - thing ?f - furniture)
   :precondition (and (at ?a ?p) (stands ?f ?p) (cools ?f) (holds ?a ?t) (coolable ?t))
   :effect (and (cold ?t) (not (hot ?t))))
 (:action switch
   :parameters (?a - agent ?p - place ?t - thing ?f - furniture)
   :precondition (and (at ?a ?p) (stands ?f ?p) (in ?t ?f) (lamp ?t)
                      (or (not (shuts ?f)) (open ?f)))
   :effect (and (lit ?t) (used ?t)))
 (:action inspect
   :parameters (?a - agent ?t - thing)
   :precondition (holds ?a ?t)
   :effect (noticed ?t))
 (:action search
   :parameters (?a - agent ?p - place ?f - furniture)
   :precondition (and (at ?a ?p) (stands ?f ?p))
   :effect (noticed ?f))
 (:action look
   :parameters (?a - agent ?p - place)
   :precondition (at ?a ?p)
   :effect (noticed ?p))
 (:action inventory
   :parameters (?a - agent)
   :precondition ()
   :effect (noticed ?a))
)
"""

COMMANDS = {
    "go": "go to {f}",
    "open": "open {f}",
    "close": "close {f}",
    "take": "take {t} from {f}",
    "put": "put {t} in/on {f}",
    "wash": "clean {t} with {f}",
    "heat": "heat {t} with {f}",
    "cool": "cool {t} with {f}",
    "switch": "use {t}",
    "inspect": "examine {t}",
    "search": "examine {f}",
    "look": "look",
    "inventory": "inventory",
}
"""Action -> how it is called; the names of the commands are ALFWorld's."""

_INSIDE = [
    {
        "condition": "shuts(f:furniture) & open(f:furniture)",
        "rhs": "The {f.name} is open. In it, you see [{#a(t)# | in(t:thing, f:furniture)}].",
    },
    {"condition": "shuts(f:furniture)", "rhs": "The {f.name} is closed."},
    {"rhs": "On the {f.name}, you see [{#a(t)# | in(t:thing, f:furniture)}]."},
]

WORDS: dict[str, list[dict[str, Any]]] = {
    "intro": [
        {
            "rhs": "You are in the middle of a #room#. Around you, you see "
            "[{#a(f)# | stands(f:furniture, p:place)}].\n\n#task#"
        }
    ],
    "a(f)": [{"rhs": "a {f.name}"}],
    "a(t)": [{"rhs": "a {t.name}"}],
    "inside": _INSIDE,
    "list_empty": [{"rhs": "nothing"}],
    "list_separator": [{"rhs": ", "}],
    "list_last_separator": [{"rhs": ", and "}],
    "go.said": [{"rhs": "You arrive at the {f.name}. #inside#"}],
    "open.said": [{"rhs": "You open the {f.name}. #inside#"}],
    "close.said": [{"rhs": "You close the {f.name}."}],
    "take.said": [{"rhs": "You pick up the {t.name} from the {f.name}."}],
    "put.said": [{"rhs": "You put the {t.name} in/on the {f.name}."}],
    "wash.said": [{"rhs": "You clean the {t.name} using the {f.name}."}],
    "heat.said": [{"rhs": "You heat the {t.name} using the {f.name}."}],
    "cool.said": [{"rhs": "You cool the {t.name} using the {f.name}."}],
    "switch.said": [{"rhs": "You turn on the {t.name}."}],
    "search.said": [{"rhs": "#inside#"}],
    "inventory.said": [
        {
            "condition": "busy(a:agent)",
            "rhs": "You are carrying: [{#a(t)# | holds(a:agent, t:thing)}].",
        },
        {"rhs": "You are not carrying anything."},
    ],
    "look.said": [
        {
            "condition": "at(a:agent, p:place) & stands(f:furniture, p:place)",
            "rhs": "You are facing [{#a(f)# | stands(f:furniture, p:place)}].",
        },
        {
            "rhs": "You are in the middle of a #room#. Around you, you see "
            "[{#a(f)# | stands(f:furniture, q:place)}]."
        },
    ],
    "inspect.said": [
        {"condition": "clean(t:thing) & hot(t:thing)", "rhs": "The {t.name} is clean and hot."},
        {"condition": "clean(t:thing) & cold(t:thing)", "rhs": "The {t.name} is clean and cold."},
        {"condition": "clean(t:thing)", "rhs": "The {t.name} is clean."},
        {"condition": "hot(t:thing)", "rhs": "The {t.name} is hot."},
        {"condition": "cold(t:thing)", "rhs": "The {t.name} is cold."},
        {"rhs": "There is nothing special about the {t.name}."},
    ],
}
"""Production -> its rules. `task` and `room` are a house's own."""

_PUT = (
    "(exists (?t - thing ?f - furniture) (and (of ?t {thing}) {state}(in ?t ?f) (is ?f {place})))"
)

GOALS = {
    "put": _PUT.replace("{state}", ""),
    "wash and put": _PUT.replace("{state}", "(clean ?t) "),
    "heat and put": _PUT.replace("{state}", "(hot ?t) "),
    "cool and put": _PUT.replace("{state}", "(cold ?t) "),
    "put two": "(exists (?t - thing ?u - thing ?f - furniture) (and (of ?t {thing}) (of ?u {thing})"
    " (not (= ?t ?u)) (in ?t ?f) (in ?u ?f) (is ?f {place})))",
    "look at under a lamp": "(exists (?a - agent ?p - place ?t - thing ?l - thing ?f - furniture)"
    " (and (of ?t {thing}) (holds ?a ?t) (used ?l) (in ?l ?f) (stands ?f ?p) (at ?a ?p)))",
}

_PHRASES = {
    "put": ("put a {thing} in {place}", "bring some {thing} to a {place}"),
    "wash and put": ("put a clean {thing} in {place}", "clean a {thing} and put it in {place}"),
    "heat and put": ("put a hot {thing} in {place}", "heat a {thing} and put it in {place}"),
    "cool and put": ("put a cool {thing} in {place}", "cool a {thing} and put it in {place}"),
    "put two": ("put two {thing} in {place}", "find two {thing} and put them in one {place}"),
    "look at under a lamp": (
        "examine the {thing} with the desklamp",
        "look at a {thing} under the desklamp",
    ),
}


def phrases(kind: str) -> tuple[str, ...]:
    """The wordings of a kind of task."""
    return _PHRASES[kind]
