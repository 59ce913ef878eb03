# ruff: noqa: E501
"""Writes `crates.tw-pddl`: a small game of what is hard to answer like the reference engine.

Crates that are carried with what lies in them, so that four actions share a command and the
planner's order decides; an arrival that marks whatever is near; facts that only seem possible,
because the planner does not compare all variables of a rule, and whose deletion is told all the
same; answers that cannot be said though the action was carried out.
"""

import json
from pathlib import Path

DOMAIN = """
(define (domain crates)
 (:requirements :adl :typing)
 (:types agent place shelf thing)
 (:predicates
   (at ?a - agent ?p - place) (stands ?s - shelf ?p - place)
   (lies ?t - thing ?s - shelf) (near ?t - thing ?p - place)
   (crate ?t - thing) (packed ?t - thing ?c - thing) (full ?c - thing)
   (holds ?a - agent ?t - thing) (busy ?a - agent) (loaded ?a - agent)
   (shuts ?s - shelf) (open ?s - shelf) (seen ?s - shelf) (passed ?s - shelf)
   (likes ?t - thing ?u - thing) (vain ?t - thing) (odd ?t - thing) (known ?t - thing))
 (:action go
   :parameters (?a - agent ?from - place ?to - place)
   :precondition (and (at ?a ?from) (not (= ?from ?to)))
   :effect (and (not (at ?a ?from)) (at ?a ?to)
                (forall (?s - shelf) (when (and (stands ?s ?to) (or (not (shuts ?s)) (open ?s))) (seen ?s)))
                (forall (?s - shelf) (when (and (stands ?s ?from) (seen ?s)) (not (passed ?s))))))
 (:action pull
   :parameters (?a - agent ?p - place ?s - shelf)
   :precondition (and (at ?a ?p) (stands ?s ?p) (shuts ?s) (not (open ?s)))
   :effect (and (open ?s) (seen ?s)))
 (:action push
   :parameters (?a - agent ?p - place ?s - shelf)
   :precondition (and (at ?a ?p) (stands ?s ?p) (open ?s))
   :effect (and (not (open ?s)) (passed ?s)))
 (:action take
   :parameters (?a - agent ?p - place ?t - thing ?s - shelf)
   :precondition (and (at ?a ?p) (stands ?s ?p) (lies ?t ?s) (not (busy ?a))
                      (or (not (shuts ?s)) (open ?s)))
   :effect (and (not (lies ?t ?s)) (not (near ?t ?p)) (holds ?a ?t) (busy ?a)))
 (:action takeEmpty
   :parameters (?a - agent ?p - place ?t - thing ?s - shelf)
   :precondition (and (at ?a ?p) (stands ?s ?p) (lies ?t ?s) (not (busy ?a)) (not (loaded ?a))
                      (crate ?t) (not (full ?t)) (or (not (shuts ?s)) (open ?s)))
   :effect (and (not (lies ?t ?s)) (not (near ?t ?p)) (holds ?a ?t) (busy ?a) (loaded ?a)))
 (:action takeFull
   :parameters (?a - agent ?p - place ?t - thing ?c - thing ?s - shelf)
   :precondition (and (at ?a ?p) (stands ?s ?p) (lies ?c ?s) (not (busy ?a)) (crate ?c) (packed ?t ?c)
                      (or (not (shuts ?s)) (open ?s)))
   :effect (and (not (lies ?c ?s)) (not (lies ?t ?s)) (holds ?a ?c) (busy ?a) (loaded ?a)))
 (:action put
   :parameters (?a - agent ?p - place ?t - thing ?s - shelf)
   :precondition (and (at ?a ?p) (stands ?s ?p) (holds ?a ?t) (or (not (shuts ?s)) (open ?s)))
   :effect (and (lies ?t ?s) (near ?t ?p) (not (holds ?a ?t)) (not (busy ?a)) (not (loaded ?a))
                (forall (?u - thing) (when (packed ?u ?t) (lies ?u ?s)))))
 (:action pack
   :parameters (?a - agent ?p - place ?t - thing ?c - thing ?s - shelf)
   :precondition (and (at ?a ?p) (stands ?s ?p) (lies ?c ?s) (crate ?c) (holds ?a ?t) (not (full ?c))
                      (not (= ?t ?c)))
   :effect (and (packed ?t ?c) (full ?c) (near ?t ?p) (not (holds ?a ?t)) (not (busy ?a))))
 (:action ponder
   :parameters (?a - agent ?t - thing)
   :precondition (holds ?a ?t)
   :effect (and (when (likes ?t ?t) (vain ?t))
                (forall (?u - thing) (when (and (likes ?t ?u) (likes ?u ?t)) (odd ?u)))
                (known ?t)))
 (:action forget
   :parameters (?t - thing)
   :precondition (or (known ?t) (odd ?t))
   :effect (and (not (vain ?t)) (not (odd ?t)) (not (known ?t))))
)
"""

WORDS = {
    "intro": [
        {
            "rhs": "A store of crates.\n\n#here#\n\nYour task is to: put something in a crate on the bench."
        }
    ],
    "here": [
        {
            "condition": "at(a:agent, p:place) & stands(s:shelf, p:place)",
            "rhs": "You are facing [{#a(s)# | at(a:agent, p:place) & stands(s:shelf, p:place)}]. Near you, you see [{t.name | at(a:agent, p:place) & near(t:thing, p:place)}].",
        },
        {
            "rhs": "You are nowhere in particular. Around you, you see [{#a(s)# | stands(s:shelf, p:place)}]."
        },
    ],
    "a(s)": [
        {"condition": "open(s:shelf)", "rhs": "{s.name} (open)"},
        {"condition": "not_open(s:shelf)", "rhs": "{s.name} (shut again)"},
        {"rhs": "{s.name}#marks#"},
    ],
    "marks": [
        {"condition": "seen(s:shelf) & not_passed(s:shelf)", "rhs": " -seen, left-"},
        {"condition": "seen(s:shelf)", "rhs": " -seen-"},
        {"condition": "not_passed(s:shelf)", "rhs": " -left-"},
        {"rhs": ""},
    ],
    "inside": [{"rhs": "On {s.name}: [{#thing# | lies(t:thing, s:shelf)}]."}],
    "thing": [
        {
            "condition": "packed(u:thing, t:thing)",
            "rhs": "{t.name} (with {u.name | packed(u:thing, t:thing)})",
        },
        {"rhs": "{t.name}"},
    ],
    "thought": [
        {"condition": "vain(t:thing)", "rhs": "{t.name} likes itself."},
        {"condition": "odd(t:thing)", "rhs": "{t.name} is odd. {int(t.name)}"},
        {
            "rhs": "You know {t.name}, not [{t.name | not_known(t:thing)}], nor [{o.name | not_odd(o:thing)}], nor [{v.name | not_vain(v:thing)}]."
        },
    ],
    "list_empty": [{"rhs": "nothing"}],
    "list_separator": [{"rhs": ", "}],
    "list_last_separator": [{"rhs": " and "}],
}
COMMANDS = {
    "go": ("go to [{s.name | stands(s:shelf, to:place)}]", "#here#"),
    "pull": ("open {s}", "#inside#"),
    "push": ("close {s}", "Closed. #here#"),
    "take": ("take {t} from {s}", "You take {t.name}. #inside#"),
    "takeEmpty": ("take {t} from {s}", "You take the empty {t.name}. #inside#"),
    "takeFull": ("take {c} from {s}", "You take {c.name} with {t.name}. #inside#"),
    "put": ("put {t} on {s}", "You put {t.name} there. #inside#"),
    "pack": ("put {t} into {c}", "Packed. #inside#"),
    "ponder": ("ponder {t}", "#thought#"),
    "forget": ("forget {t}", "Forgotten. #forgotten#"),
}
PROBLEM = """
(define (problem store) (:domain crates)
 (:objects agent1 - agent yard hall loft - place bench_bar_1 rack_bar_1 rack_bar_2 rack_bar_3 - shelf
   crate_bar_1 crate_bar_2 nail_bar_1 rope_bar_1 lamp_bar_1 - thing)
 (:init (at agent1 hall) (stands bench_bar_1 hall) (stands rack_bar_1 loft) (stands rack_bar_2 loft) (stands rack_bar_3 yard)
   (open rack_bar_1) (shuts rack_bar_2) (open bench_bar_1) (crate crate_bar_1) (crate crate_bar_2)
   (lies crate_bar_1 bench_bar_1) (lies crate_bar_2 rack_bar_1) (lies nail_bar_1 rack_bar_1)
   (packed nail_bar_1 crate_bar_2) (full crate_bar_2) (lies rope_bar_1 bench_bar_1) (near rope_bar_1 hall)
   (lies lamp_bar_1 rack_bar_2) (near lamp_bar_1 loft) (likes rope_bar_1 nail_bar_1) (likes nail_bar_1 rope_bar_1)
   (likes lamp_bar_1 rope_bar_1) (odd lamp_bar_1))
 (:goal (exists (?c - thing ?t - thing) (and (packed ?t ?c) (lies ?c bench_bar_1))))
)
"""


def build() -> dict[str, object]:
    """The game's JSON."""
    words = {
        **WORDS,
        "forgotten": [
            {"condition": "not_vain(t:thing)", "rhs": "It may be vain."},
            {"condition": "not_odd(t:thing)", "rhs": "It may be odd."},
            {"rhs": "So what."},
        ],
    }
    parts = [f'grammar :: """\n{json.dumps(words, indent=1)}\n""";']
    for name, (template, feedback) in COMMANDS.items():
        parts.append(
            f'action {name} {{\n  template :: "{template}";\n  feedback :: "{feedback}";\n}}'
        )
    return {
        "pddl_domain": DOMAIN,
        "grammar": "\n\n".join(parts),
        "pddl_problem": PROBLEM,
        "solvable": True,
    }


if __name__ == "__main__":
    target = Path(__file__).with_name("crates.tw-pddl")
    target.write_text(json.dumps(build(), indent=1) + "\n", encoding="utf-8")
    print(target)
