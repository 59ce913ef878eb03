"""Planning rules and the text grammar, piece by piece. The expectations are the reference's."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ludus.envs.worlds.household.engine import Game, Play
from ludus.envs.worlds.household.errors import GameError, UnsayableError
from ludus.envs.worlds.household.expert import Expert
from ludus.envs.worlds.household.expressions import Entity, evaluate
from ludus.envs.worlds.household.names import display_names
from ludus.envs.worlds.household.outcome import outcome
from ludus.envs.worlds.household.queries import parse_query
from ludus.envs.worlds.household.symbols import (
    Call,
    Expression,
    Listing,
    Slot,
    Symbol,
    Text,
    parse_symbols,
)

DATA = Path(__file__).parent / "data" / "household"
NAME = Slot(Expression("o.name "), "in(o)")


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("", (Text(""),)),
        (" (is open)", (Text("(is open)"),)),
        ("a\n  b", (Text("a\n  b"),)),
        ("a\n#x#\n  b", (Text("a\n"), Call("x"), Text("\n  b"))),
        ("\n\n#a#", (Call("a"),)),
        ("//hi\nthere", (Text("there"),)),
        ("(* remark *)a", (Text("a"),)),
        ("a;b", (Text("a"),)),
        ('say "hi" you', (Text("say "), Text("hi"), Text(" you"))),
        ("{o.name | in(o)}", (NAME,)),
        ("[{o.name | in(o)}].", (Listing(NAME), Text("."))),
        ("a {b", (Text("a "),)),
        ("x]y", (Text("x"),)),
        ("{o.name\n}", (Text(""),)),
        ("#a#\tb", (Call("a"), Text("b"))),
    ],
)
def test_symbol_strings(text: str, symbols: tuple[Symbol, ...]) -> None:
    assert parse_symbols(text) == symbols


@given(st.text(alphabet='ab .\n\t#{}[]|;"</>(*)\\é', max_size=30))
def test_any_symbol_string_can_be_read(text: str) -> None:
    assert parse_symbols(text)


def test_queries() -> None:
    assert parse_query("!a( x : t ) & b(x:t,y)") == (
        ("not_a", (("x", "t"),)),
        ("b", (("x", "t"), ("y", "y"))),
    )
    assert parse_query("c()") == (("c", ()),)
    with pytest.raises(UnsayableError):
        parse_query("a(x:t) & b(x)")
    for wrong in ("", "a", "a(", "a(x) &", "a(x,)", "a(x) b(x)"):
        with pytest.raises(GameError):
            parse_query(wrong)


def test_expressions() -> None:
    cup = Entity("cup_bar_1", "object", "cup 1")
    assert evaluate("o", {"o": cup}) == "cup 1"
    assert evaluate(" o.name.upper() if o.type == 'object' else o.id", {"o": cup}) == "CUP 1"
    for unsafe in ("().__class__", "open('x')", "[x for x in '']", "o.name.format(o)", "9**9**9"):
        with pytest.raises(GameError):
            evaluate(unsafe, {"o": cup})
    for wrong in ("missing", "o.missing", "", "a b", "o\0", "not " * 30_000 + "o", "int(o.name)"):
        with pytest.raises(GameError) as caught:
            evaluate(wrong, {"o": cup})
        assert len(str(caught.value)) < 300


def test_names_count_down_and_basins_are_named() -> None:
    ids = ["mug_bar_1", "mug_bar_2", "sink_bar_1_bar_sinkbasin", "agent1", "a_minus_b"]
    assert display_names(ids) == {
        "mug_bar_1": "mug 2", "mug_bar_2": "mug 1", "sink_bar_1_bar_sinkbasin": "sinkbasin 1",
        "agent1": "agent1 ", "a_minus_b": "a-b ",
    }  # fmt: skip


def test_outcome_of_effects() -> None:
    p, q = 0, 1
    always, if_q = (), ((q, True),)
    assert outcome([(always, p, False), (always, p, True)], {}) == [(p, True, ())]
    assert outcome([(always, p, True)], {p: True}) == [], "it only restates a precondition"
    assert outcome([(always, p, False)], {}) == [(p, False, ())]
    assert outcome([(if_q, p, False)], {q: True}) == [(p, False, ())]
    assert outcome([(if_q, p, False)], {q: False}) == []
    toggle = outcome([(((p, True),), p, False), (((p, False),), p, True)], {})
    assert sorted(toggle) == [(p, False, ((p, True),)), (p, True, ((p, False),))]


DOMAIN = """(define (domain d) (:types room box)
 (:predicates (at ?r - room) (seen ?x) (lit) (shut ?b - box) (near ?b - box ?r - room) (idle))
 (:action go :parameters (?r - room ?q - room) :precondition (and (at ?r) (not (= ?r ?q)))
   :effect (and (not (at ?r)) (at ?q)))
 (:action flip :parameters () :precondition (idle)
   :effect (and (when (lit) (not (lit))) (when (not (lit)) (lit))))
 (:action spy :parameters (?b - box)
   :precondition (exists (?r - room, ?q - room) (and (near ?b ?r) (at ?r))) :effect (seen ?b))
 (:action rest :parameters () :precondition (idle) :effect (and (seen hall) (not (lit))))
 (:action count :parameters (?r - room) :precondition (not (seen ?r)) :effect (seen ?r)))"""
GRAMMAR = '''grammar :: """ {"intro": [{"rhs": "Hello."}], "ok": [{"rhs": "Done."}],
 "tin": [{"rhs": "{int(r.name)}"}],
 "lamp": [{"condition": "lit()", "rhs": "on"}, {"condition": "!lit()", "rhs": "off, it is said"},
          {"rhs": "unsaid"}], "odd": [{"rhs": "{x | seen(x:room) & lit(x:box)}"}]} """;
action go { template :: "go {q}"; feedback :: "#ok#"; }
action flip { template :: "flip"; feedback :: "#lamp#"; }
action spy { template :: "spy on {b}"; feedback :: "#ok#"; }
action rest { template :: "rest"; feedback :: "#odd#"; }
action count { template :: "count {r}s"; feedback :: "#tin#"; }'''
PROBLEM = """(define (problem p) (:domain d) (:objects hall attic - room chest_bar_1 - box)
 (:init (at hall) (seen attic) (idle) (near chest_bar_1 hall) (shut chest_bar_1)) (:goal GOAL))"""


def build(goal: str = "(at attic)") -> Game:
    problem = PROBLEM.replace("GOAL", goal)
    return Game({"pddl_domain": DOMAIN, "grammar": GRAMMAR, "pddl_problem": problem})


def test_quirks_of_the_reference_are_kept() -> None:
    play = Play(build())
    commands = ["count hall s", "flip", "go attic ", "rest"]
    assert list(play.admissible) == commands, "a comma in a type list hides `spy`"
    assert play.step("flip") == "off, it is said", "what is said: all effects, deletions last"
    assert play.step("go attic") == "Nothing happens.", "a name that ends in a blank cannot be said"
    before = play.state
    assert play.step("rest") == "Nothing happens.", "a query that contradicts itself says nothing"
    assert play.state != before, "but the command was carried out"
    play.reset()
    assert play.step("count hall s") == "Nothing happens.", "as where an expression has no value"
    assert list(play.admissible) == commands[1:], "but this was carried out too"


def test_goals_with_every_connective() -> None:
    for goal in ("(or (lit) (at attic))", "(imply (at hall) (lit))", "(not (at hall))",
                 "(forall (?r - room) (imply (at ?r) (not (= ?r hall))))"):  # fmt: skip
        play = Play(build(goal))
        assert not play.won
        plan = Expert(play.game).plan(play.state)
        assert plan is not None
        assert len(plan) == 1
    with pytest.raises(GameError, match="never"):
        build("(shut attic)")


def test_expert_knows_when_it_is_done() -> None:
    game = build("(lit)")
    assert Expert(game).plan(game.initial) == ["flip"]
    assert Expert(game).plan(game.step(game.initial, "flip")[0]) == []


def test_expert_where_two_actions_have_one_command() -> None:
    """A lamp that lies on two things at once can be switched by two actions."""
    data = json.loads((DATA / "house-5.tw-pddl").read_text())
    (lies,) = re.findall(r"\(in desklamp_bar_01 (\w+)\)", data["pddl_problem"])
    others = re.findall(r"\(stands (\w+) \w+\)", data["pddl_problem"])
    for other in set(others) - {lies}:
        more = f"(:init (in desklamp_bar_01 {other}) (stands {other} by_{lies}) "
        game = Game({**data, "pddl_problem": data["pddl_problem"].replace("(:init", more)})
        play = Play(game)
        for command in Expert(game).plan(game.initial) or ():
            play.step(command)
        assert play.won


def test_an_error_behind_the_production_that_fits_counts() -> None:
    both = '{"rhs": "on"}, {"condition": "seen(x:room) & lit(x:box)", "rhs": "never"}'
    game = Game({
        "pddl_domain": DOMAIN, "pddl_problem": PROBLEM.replace("GOAL", "(at attic)"),
        "grammar": GRAMMAR.replace('{"condition": "lit()", "rhs": "on"}', both),
    })  # fmt: skip
    assert Play(game).step("flip") == "Nothing happens."
