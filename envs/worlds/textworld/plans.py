"""Plans: the way back to the game's own walkthrough, or TextWorld's tracking of its quests."""

from __future__ import annotations

import copy
import functools
import heapq
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ludus.envs.worlds.textworld.play import Game

_KEPT = 64  # positions whose plan is remembered
_ROOMS = 400  # rooms looked at on the way back


class Planner:
    """Plans from any position of a game.

    First choice is to walk (and open doors) to where some rest of the walkthrough still leads to
    the end; this repairs detours of every kind of game. Where no rest does, because something the
    quest needs was carried off, the dependency trees of TextWorld's `GameProgression` are asked,
    which undo such things. Either way the plan is tried out in the logic before it is given.
    """

    def __init__(self, game: Game) -> None:
        self.game = game
        self.plan = functools.lru_cache(_KEPT)(self._plan)
        self._progression = functools.lru_cache(_KEPT)(self._track)

    @functools.cached_property
    def walkthrough(self) -> tuple[tuple[str, Any], ...]:
        """(room the player is in, action) for every turn of the game's own solution."""
        state, turns = self.game.game.world.state.copy(), []
        for command in self.game.game.walkthrough or ():
            actions = [c.action for c in self.game.choices_of(state) if c.command == command]
            if not actions:
                return ()
            turns.append((_room(state), actions[0]))
            state.apply(actions[0])
        return tuple(turns)

    def _plan(self, happened: tuple[str, ...]) -> tuple[str, ...] | None:
        node = self.game.node(happened)
        if self.game.failed(node.state) or self.game.is_won(node.done):
            return None
        routes = self._routes(node.state)
        candidates = []
        for i, (room, _) in enumerate(self.walkthrough):
            if room in routes:
                candidates.append([*routes[room], *(action for _, action in self.walkthrough[i:])])
        candidates.sort(key=len)
        tracked: Sequence[Any] = ()
        for actions in itertools.chain(candidates, self._tracked(happened)):
            length = self._solves(node, actions)
            if length:
                tracked = actions[:length]
                break
        return tuple(self.game.commands(tracked)) if tracked else None

    def _solves(self, node: Any, actions: Sequence[Any]) -> int:
        """After how many of the actions the game is won; 0 if it is not."""
        state, done = node.state.copy(), node.done
        for number, action in enumerate(actions, 1):
            if not state.is_applicable(action):
                return 0
            state.apply(action)
            done = self.game.completed(state, done)
            if self.game.failed(state):
                return 0
            if self.game.is_won(done):
                return number
        return 0

    def _routes(self, state: Any) -> dict[str, list[Any]]:
        """The shortest way to every room that walking, and opening doors, leads to."""
        order = itertools.count()
        waiting: list[tuple[int, int, Any, list[Any]]] = [(0, next(order), state, [])]
        routes: dict[str, list[Any]] = {}
        while waiting and len(routes) < _ROOMS:
            _, _, here, way = heapq.heappop(waiting)
            if _room(here) in routes:
                continue
            routes[_room(here)] = way
            for door, there in [(None, here), *self._opened(here)]:
                for _, action, _ in self.game.choices_of(there):
                    if action.name.startswith("go/"):
                        after = there.copy()
                        after.apply(action)
                        steps = [*way, *([door] if door else []), action]
                        heapq.heappush(waiting, (len(steps), next(order), after, steps))
        return routes

    def _opened(self, state: Any) -> list[tuple[Any, Any]]:
        """(action, state after it) for every door that can be opened here."""
        found = []
        for _, action, _ in self.game.choices_of(state):
            if action.name == "open/d":
                after = state.copy()
                after.apply(action)
                found.append((action, after))
        return found

    def _tracked(self, happened: tuple[str, ...]) -> list[Sequence[Any]]:
        """TextWorld's own policy, made only when it is asked for."""
        policy = self._progression(happened).winning_policy
        return [policy] if policy else []

    def _track(self, happened: tuple[str, ...]) -> Any:
        if not happened:
            from textworld.generator.game import GameProgression

            return GameProgression(self.game.game)
        # TextWorld's own copy works out the actions of the start again each time.
        before = self._progression(happened[:-1])
        after = copy.copy(before)
        after.state = before.state.copy()
        after.quest_progressions = [quest.copy() for quest in before.quest_progressions]
        after.update(self.game.last(happened))
        return after


def _room(state: Any) -> str:
    """Where the player is."""
    return next(
        str(f.arguments[1].name)
        for f in state.facts
        if f.name == "at" and f.arguments[0].type == "P"
    )
