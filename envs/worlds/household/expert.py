"""Plays a game from any state to its goal, knowing nothing but the game's own rules.

Greedy best-first search with the heuristic of Hoffmann and Nebel 2001 ("The FF planning system",
JAIR 14): the length of a plan for the same problem without deletions. The actions of that relaxed
plan that are possible now are tried first. A plan found is shortened by leaving out what the goal
does not need.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from ludus.envs.worlds.household.engine import Game, State
from ludus.envs.worlds.household.operators import bits_of, derive

MAX_NODES = 5_000
"""States looked at before the search gives up."""


@dataclass(frozen=True, slots=True)
class _Move:
    """An operator (or one of its conditional effects, or a derivation) without its order."""

    yes: int
    no: int
    makes_true: int
    makes_false: int
    operator: int
    """Its number, or -1 for a derivation, which costs nothing."""


class Expert:
    """A planner for one game. Building one costs about as much as a few plans.

    >>> Expert(game).plan(game.initial)                               # doctest: +SKIP
    ['go to desk 1', 'take mug 1 from desk 1', ...]
    """

    def __init__(self, game: Game) -> None:
        self.game = game
        self._moves = list(_moves(game))
        self._base = self._relevant(game.problem.goal[0])

    def plan(self, state: State, max_nodes: int = MAX_NODES) -> list[str] | None:
        """Commands from a state to the goal; empty if it holds already, None if none was found."""
        few = self._base + self._undoing(state[0])
        numbers = self._search(state[0], few, max_nodes // 20)
        if numbers is None:
            numbers = self._search(state[0], self._moves, max_nodes)
        if numbers is None:
            return None
        return self._commands(state, numbers)

    def action(self, state: State, max_nodes: int = MAX_NODES) -> str | None:
        """The first command of a plan, or None where there is none."""
        plan = self.plan(state, max_nodes)
        return plan[0] if plan else None

    # --- search -----------------------------------------------------------------------------------

    def _search(self, facts: int, moves: list[_Move], max_nodes: int) -> list[int] | None:
        won = self.game.won
        if won((facts, 0)):
            return []
        estimate, helpful = self._relaxed(facts, moves)
        if estimate is None:
            return None
        order = count()
        paths: dict[int, tuple[int, int] | None] = {facts: None}
        heap = [(estimate, next(order), facts, helpful, True)]
        looked_at = 0
        while heap and looked_at < max_nodes:
            rank, _, here, candidates, preferred = heappop(heap)
            named = self.game.choices((here, 0)).operators
            for number in candidates:
                # Of operators with one command only one can be carried out.
                number = named.get(self.game.command(number, 0), number)
                after = self._after(here, number)
                if after in paths:
                    continue
                paths[after] = (here, number)
                if won((after, 0)):
                    return self._shortened(facts, _path(paths, after))
                looked_at += 1
                estimate, helpful = self._relaxed(after, moves)
                if estimate is not None:
                    heappush(heap, (estimate, next(order), after, helpful, True))
            if preferred:  # everything else that is possible here, when nothing better is left
                heappush(heap, (rank + 1000, next(order), here, list(named.values()), False))
        return None

    def _shortened(self, facts: int, numbers: list[int]) -> list[int]:
        """The plan without stretches that can be left out, the longest first."""
        for length in range(min(len(numbers) - 1, 8), 0, -1):
            at = 0
            while at + length <= len(numbers):
                shorter = numbers[:at] + numbers[at + length :]
                if self._solves(facts, shorter):
                    numbers = shorter
                else:
                    at += 1
        return numbers

    def _solves(self, facts: int, numbers: list[int]) -> bool:
        for number in numbers:
            if number not in self.game.choices((facts, 0)).operators.values():
                return False
            facts = self._after(facts, number)
        return self.game.won((facts, 0))

    def _after(self, facts: int, number: int) -> int:
        return self.game.after((facts, 0), number)[0]

    def _commands(self, state: State, numbers: list[int]) -> list[str] | None:
        """What to send for operators; None if a command is that of another one at its place."""
        commands = []
        for number in numbers:
            commands.append(self.game.command(number, state[1]))
            if self.game.choices(state).operators.get(commands[-1]) != number:
                return None
            state = self.game.after(state, number)
        return commands

    # --- the relaxed problem ----------------------------------------------------------------------

    def _relevant(self, bits: int) -> list[_Move]:
        """The moves that a plan may need, found backwards from the goal."""
        chosen: list[_Move] = []
        left, wanted, before = self._moves, bits, -1
        while wanted != before:
            before, rest = wanted, []
            for move in left:
                if move.makes_true & before:
                    chosen.append(move)
                    wanted |= move.yes
                else:
                    rest.append(move)
            left = rest
        return chosen

    def _undoing(self, facts: int) -> list[_Move]:
        """Moves that clear what stands in the way now, such as putting something else down."""
        blocked = wanted = 0
        for move in self._base:
            blocked |= move.no
            wanted |= move.yes
        blocked |= self.game.problem.goal[1]
        known = facts | wanted
        chosen = set(self._base)
        return [
            move
            for move in self._moves
            if move.makes_false & blocked & facts and not move.yes & ~known and move not in chosen
        ]

    def _relaxed(self, facts: int, moves: list[_Move]) -> tuple[int | None, list[int]]:
        """The length of a relaxed plan and its first moves; (None, []) for a dead end."""
        goal_yes, goal_no = self.game.problem.goal
        true = derive(facts, self.game.problem.layers)
        false = ~true
        layers: list[list[_Move]] = []
        left = moves
        while goal_yes & ~true or goal_no & ~false:
            layer, rest = [], []
            new_true = new_false = 0
            for move in left:
                if move.yes & true == move.yes and move.no & false == move.no:
                    if move.makes_true & ~true or move.makes_false & ~false:
                        layer.append(move)
                        new_true |= move.makes_true
                        new_false |= move.makes_false
                else:
                    rest.append(move)
            if not layer:
                return None, []
            layers.append(layer)
            true |= new_true
            false |= new_false
            left = rest
        return self._extract(facts, layers)

    def _extract(self, facts: int, layers: list[list[_Move]]) -> tuple[int, list[int]]:
        goal_yes, goal_no = self.game.problem.goal
        facts = derive(facts, self.game.problem.layers)
        reached = [(facts, ~facts)]
        for layer in layers:
            true, false = reached[-1]
            for move in layer:
                true |= move.makes_true
                false |= move.makes_false
            reached.append((true, false))
        need_true, need_false = goal_yes, goal_no
        chosen: set[int] = set()
        first: list[int] = []
        for depth in range(len(layers), 0, -1):
            true, false = reached[depth - 1]
            due_true, due_false = need_true & ~true, need_false & ~false
            for move in layers[depth - 1]:
                if move.makes_true & due_true or move.makes_false & due_false:
                    due_true &= ~move.makes_true
                    due_false &= ~move.makes_false
                    need_true = need_true & ~move.makes_true | move.yes
                    need_false = need_false & ~move.makes_false | move.no
                    if move.operator >= 0 and move.operator not in chosen:
                        chosen.add(move.operator)
                        if depth == 1 or self._possible(move, facts):
                            first.append(move.operator)
                    if not due_true and not due_false:
                        break
        return len(chosen), first

    def _possible(self, move: _Move, facts: int) -> bool:
        return facts & move.yes == move.yes and not facts & move.no


def _moves(game: Game) -> Iterator[_Move]:
    everything = (1 << len(game.problem.fluents)) - 1
    for number, op in enumerate(game.problem.operators):
        yield _Move(op.yes, op.no, op.add, everything & ~op.keep, number)
        for effect in op.conditional:
            yield _Move(op.yes | effect.yes, op.no | effect.no, effect.add, effect.delete, number)
    denied = game.problem.goal[1]
    for operator in game.problem.operators:
        denied |= operator.no
    for rule in game.problem.rules:
        denied |= rule.no
    for rule in game.problem.rules:
        head = 1 << rule.head
        yield _Move(rule.yes, rule.no, head, 0, -1)
        if head & denied:  # optimistic: one of its reasons gone, and it is gone
            for bit in bits_of(rule.yes):
                yield _Move(0, bit, 0, head, -1)
            for bit in bits_of(rule.no):
                yield _Move(bit, 0, 0, head, -1)


def _path(paths: dict[int, tuple[int, int] | None], at: int) -> list[int]:
    numbers = []
    while (step := paths[at]) is not None:
        at, number = step
        numbers.append(number)
    return numbers[::-1]
