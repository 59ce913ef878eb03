# ruff: noqa: E501
"""Writes `workshop.tw-pddl`: a small game that uses what ALFWorld's own domain leaves out.

Type hierarchies with grandchildren, constants, derived predicates, universal conditions, `when`
and `forall` effects, equality, implications, commands that change with the state, two actions with
one command, and every construct of the text grammar.
"""

import json
from pathlib import Path

DOMAIN = """
(define (domain workshop)
 (:requirements :adl :typing :derived-predicates)
 (:types agent place thing - object
         box item - thing
         tool fruit - item
         lamp - tool)
 (:constants bench - place)
 (:predicates
   (at ?a - agent ?p - place) (in ?t - thing ?b - box) (on ?t - thing ?p - place)
   (open ?b - box) (holding ?a - agent ?t - thing) (free ?a - agent)
   (lit ?l - lamp) (dusty ?t - thing) (ripe ?f - fruit) (door ?p ?q - place)
   (visible ?t - thing) (tidy ?p - place) (noted ?x) (counted) (sealed ?b - box))
 (:functions (total-cost) - number)
 (:derived (visible ?t - thing)
   (or (exists (?p - place) (on ?t ?p))
       (exists (?b - box) (and (in ?t ?b) (open ?b) (visible ?b)))))
 (:derived (tidy ?p - place)
   (forall (?t - thing) (imply (on ?t ?p) (not (dusty ?t)))))
 (:action walk
   :parameters (?a - agent ?p - place ?q - place)
   :precondition (and (at ?a ?p) (or (door ?p ?q) (door ?q ?p)) (not (= ?p ?q)))
   :effect (and (not (at ?a ?p)) (at ?a ?q) (increase (total-cost) 3)
                (forall (?t - thing) (when (holding ?a ?t) (noted ?t)))))
 (:action lift
   :parameters (?a - agent ?t - item ?p - place)
   :precondition (and (at ?a ?p) (on ?t ?p) (free ?a))
   :effect (and (not (on ?t ?p)) (holding ?a ?t) (not (free ?a))))
 (:action fetch
   :parameters (?a - agent ?t - item ?b - box ?p - place)
   :precondition (and (at ?a ?p) (on ?b ?p) (in ?t ?b) (visible ?t) (free ?a))
   :effect (and (not (in ?t ?b)) (holding ?a ?t) (not (free ?a))))
 (:action drop
   :parameters (?a - agent ?t - item ?p - place)
   :precondition (and (at ?a ?p) (holding ?a ?t))
   :effect (and (on ?t ?p) (not (holding ?a ?t)) (free ?a)
                (when (dusty ?t) (dusty chest))))
 (:action stow
   :parameters (?a - agent ?t - item ?b - box ?p - place)
   :precondition (and (at ?a ?p) (holding ?a ?t) (on ?b ?p) (open ?b))
   :effect (and (in ?t ?b) (not (holding ?a ?t)) (free ?a)))
 (:action flip
   :parameters (?a - agent ?l - lamp ?p - place)
   :precondition (and (at ?a ?p) (or (on ?l ?p) (holding ?a ?l)))
   :effect (and (when (lit ?l) (not (lit ?l))) (when (not (lit ?l)) (lit ?l))))
 (:action unlatch
   :parameters (?a - agent ?b - box ?p - place)
   :precondition (and (at ?a ?p) (on ?b ?p) (not (open ?b)) (not (sealed ?b)))
   :effect (and (open ?b) (noted ?b)))
 (:action latch
   :parameters (?a - agent ?b - box ?p - place)
   :precondition (and (at ?a ?p) (on ?b ?p) (open ?b))
   :effect (not (open ?b)))
 (:action wipe
   :parameters (?a - agent ?t - thing ?p - place)
   :precondition (and (at ?a ?p) (dusty ?t) (or (on ?t ?p) (holding ?a ?t)))
   :effect (and (not (dusty ?t)) (noted ?t)))
 (:action dust
   :parameters (?a - agent ?p - place)
   :precondition (and (at ?a ?p) (not (tidy ?p)))
   :effect (and (counted) (forall (?t - thing ?b - box) (when (and (on ?t ?p) (in ?b ?b)) (noted ?t)))
                (forall (?t - thing) (when (on ?t ?p) (not (dusty ?t))))))
 (:action survey
   :parameters (?a - agent ?p - place)
   :precondition (at ?a ?p)
   :effect (noted ?p))
 (:action ponder
   :parameters ()
   :precondition (forall (?l - lamp) (lit ?l))
   :effect (counted))
 (:action peer
   :parameters (?a - agent ?t - thing)
   :precondition (and (visible ?t) (exists (?p - place ?q - place) (and (at ?a ?p) (door ?q ?p))))
   :effect (noted ?t))
)
"""

WORDS = {
    "intro": [{"rhs": "The workshop.\n\n#scene#\n\n  #task#"}],
    "task": [{"rhs": "Your task: put something ripe (or the wrench) into a shut chest; tidy up."}],
    "scene": [
        {
            "condition": "at(a:agent, p:place) & on(t:thing, p:place)",
            "rhs": "You are at {p.name | at(a:agent, p:place)}{#x#}. Here: [{#a(t)# | at(a:agent, p:place) & on(t:thing, p:place)}].",
        },
        {
            "condition": "at(a:agent, q:place)",
            "rhs": "You are somewhere. [{q | at(a:agent, q:place)}]",
        },
        {"rhs": "Nowhere."},
    ],
    "x": [{"rhs": ""}],
    "a(t)": [
        {"condition": "dusty(t:thing)", "rhs": "{t.indefinite} dusty {t.name.upper()}"},
        {"condition": "lit(t:lamp)", "rhs": "{t.name} (lit)"},
        {"condition": "not_lit(t:lamp)", "rhs": "{t.name} (dark again)"},
        {"rhs": "{t.definite + ' ' + t.name}"},
    ],
    "moved": [{"rhs": "You reach {q.name}. #scene#\n"}],
    "boxed": [
        {
            "condition": "open(b:box)",
            "rhs": "In {b.name}: [{i.name | in(i:item, b:box)}] \tand a lid.",
        },
        {"rhs": "{b.name} is shut. // so it is; never said"},
    ],
    "held": [
        {"condition": "!free(a:agent)", "rhs": "Held: {t.name | holding(a:agent, t:thing)}."},
        {"condition": "free(a:agent)", "rhs": '"Empty" hands'},
        {"rhs": "Held at last: [{t | holding(a:agent, t:thing)}]"},
    ],
    "seen": [
        {"condition": "ripe(t:fruit)", "rhs": "{t.name} is ripe."},
        {"condition": "visible(t:thing) & in(t:thing, b:box)", "rhs": "{t.name}, in {b.name}."},
        {"rhs": "{'a lamp' if t.type == 'lamp' else t.name[:4]} [{n | noted(n:thing)}]"},
    ],
    "broken": [{"rhs": "[{o | on(o:item, p:place) & in(o:thing, b:box)}]"}],
    "list_empty": [{"rhs": "nothing"}],
    "list_separator": [{"condition": "counted()", "rhs": "; "}, {"rhs": ", "}],
    "list_last_separator": [{"rhs": " and "}],
}
COMMANDS = {
    "walk": ("walk to {q.name}", "#moved#"),
    "lift": ("take {t}", "You lift {t.name}. #held#"),
    "fetch": ("take {t}", "You fetch {t.name} from {b.name}. #held#"),
    "drop": ("drop {t}{ here | dusty(t:thing)}", "Dropped. #scene#"),
    "stow": ("stow {t} in [{b.name | open(b:box)}]", "#boxed# #held#"),
    "flip": ("flip {l} #state#", "Click: #a(l)#."),
    "unlatch": ("open {b}", "#boxed#"),
    "latch": ("close {b}", "#boxed#"),
    "wipe": ("wipe {t}", "Wiped {t.name}. #held#"),
    "dust": ("dust", "Dusted, #scene#"),
    "survey": ("look", "#scene##held#"),
    "ponder": ("ponder", "All is light."),
    "peer": ("peer at {t}", "#seen#"),
}


def build() -> dict[str, object]:
    """The game's JSON."""
    words = {
        **WORDS,
        "state": [{"condition": "lit(l:lamp)", "rhs": "off"}, {"rhs": "on"}],
        "a(l)": [{"condition": "lit(l:lamp)", "rhs": "light"}, {"rhs": "{l.name} stays dark"}],
    }
    commands = {**COMMANDS, "drop": ("drop {t}#here#", "Dropped. #scene#")}
    words["here"] = [{"condition": "dusty(t:item)", "rhs": "{' dustily'}"}, {"rhs": ""}]
    parts = [f'grammar :: """\n{json.dumps(words, indent=1)}\n""";']
    for name, (template, feedback) in commands.items():
        parts.append(
            f'action {name.title()} {{\n  template :: "{template}";  # how it is called\n'
            f'  feedback :: "{feedback}";\n}}'
        )
    problem = """
(define (problem tidy) (:domain workshop)
 (:objects p - agent yard shed - place
   lamp_bar_1 lamp_bar_2 - lamp wrench_bar_1 - tool plum_bar_1 pear_bar_1 - fruit
   chest crate_bar_basin_1 crate_bar_2 - box)
 (:init (= (total-cost) 0)
   (at p yard) (free p) (door yard bench) (door bench shed) (ripe pear_bar_1)
   (on chest bench) (on crate_bar_basin_1 shed) (on crate_bar_2 yard) (open crate_bar_2)
   (on lamp_bar_1 bench) (in lamp_bar_2 crate_bar_2) (in wrench_bar_1 crate_bar_basin_1)
   (in plum_bar_1 crate_bar_basin_1) (on pear_bar_1 shed) (dusty pear_bar_1) (dusty chest)
   (dusty crate_bar_2) (lit lamp_bar_1) (sealed crate_bar_2))
 (:goal (and (exists (?i - item) (and (in ?i chest) (or (ripe ?i) (= ?i wrench_bar_1))))
             (not (open chest)) (forall (?l - lamp) (lit ?l))
             (forall (?q - place) (tidy ?q))))
 (:metric minimize (total-cost)))
"""
    return {
        "pddl_domain": DOMAIN.replace("(dusty chest)", "(noted bench)"),
        "grammar": "\n\n".join(parts),
        "pddl_problem": problem,
        "solvable": True,
    }


if __name__ == "__main__":
    target = Path(__file__).with_name("workshop.tw-pddl")
    target.write_text(json.dumps(build(), indent=1) + "\n", encoding="utf-8")
    print(target)
