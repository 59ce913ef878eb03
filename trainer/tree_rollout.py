"""Rollouts that branch: each task's episodes grow as a tree that a strategy decides on.

A branch is a fork of the environment and of its conversation, cache included. What the branches
have in common is one chain of token nodes: its tokens are computed once, in the rollout and in
training.
"""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from ludus.agents.chat import Chat
from ludus.agents.engines.base import Engine, SamplingParams, Session
from ludus.envs.base import TextEnv
from ludus.envs.task import Task, derive_seed
from ludus.envs.text import Message
from ludus.trainer.branching import Branching, Growth, Point
from ludus.trainer.rollout import Rollout
from ludus.trainer.seats import Facts, Play
from ludus.trainer.trajectory import Episode, TokenNode


@dataclass(slots=True)
class _Group:
    """A task's episodes."""

    first: int
    """Number of its first episode."""
    task: Task | None
    growth: Growth
    rng: random.Random
    live: dict[int, Play] = field(default_factory=dict)
    """Episodes under way, by number."""
    ready: dict[int, Play] = field(default_factory=dict)
    """Those of them that wait to be asked."""
    at: dict[int, Point] = field(default_factory=dict)
    """Where each of them is."""
    trunks: dict[int, TokenNode] = field(default_factory=dict)
    """Root -> its opening."""
    growing: bool = False


class TreeRollout(Rollout):
    """As `Rollout`, for environments of one seat; the episodes of a task share beginnings.

    Args:
        engine, chat, make_env, sampling, keep_replays, needs, level: As of `Rollout`.
        branching: Decides what begins where.
        leaves: Episodes of a task. `play` takes every task as often in a row.
    """

    def __init__(
        self,
        engine: Engine[Session],
        chat: Chat,
        make_env: Callable[[], TextEnv],
        sampling: SamplingParams,
        *,
        branching: Branching,
        leaves: int,
        keep_replays: int = 0,
        needs: Collection[str] = (),
        level: str = "",
    ) -> None:
        super().__init__(
            engine, chat, make_env, sampling, keep_replays=keep_replays, needs=needs, level=level
        )
        branching.check(leaves)
        self.branching, self.leaves = branching, leaves

    def _begin(self, tasks: Sequence[Task | None]) -> None:
        self._groups = []
        for first in range(0, len(tasks), self.leaves):
            growth = Growth(min(self.leaves, len(tasks) - first), self._policy.chat.vocabulary)
            rng = random.Random(derive_seed(self._seed, "branching", first))
            self._groups.append(_Group(first, tasks[first], growth, rng))
        for group in self._groups:
            self._grow(group)

    def _group(self, play: Play) -> _Group:
        return self._groups[play.number // self.leaves]

    # ---- growing ----------------------------------------------------------------------------

    def _grow(self, group: _Group) -> None:
        """Once all episodes of a task wait: ask the strategy, then let them go on."""
        if group.growing:  # an episode ended while others were being asked
            return
        group.growing = True
        growth = group.growth
        while len(group.ready) == len(group.live) and (group.live or growth.room):
            growth.active = [group.at[number] for number in sorted(group.ready)]
            start = self.branching.grow(growth, group.rng)
            growth.answered = []
            for point in start.points[: growth.room]:
                self._branch(group, point)
            roots = min(start.roots, growth.room)
            if not group.live and growth.room:
                roots = max(roots, 1)
            for _ in range(roots):
                self._root(group)
            ready, group.ready = group.ready, {}
            for number in sorted(ready):
                self._ask(ready[number])
        group.growing = False
        if self.branching.looks_back and not growth.room:
            self._thaw(growth)

    def _thaw(self, growth: Growth) -> None:
        """Let go of the places kept to branch from: there is no room for more."""
        for point in growth.points:
            if point.play is not None:
                for own in point.play.seats.values():
                    self.engine.close(own.session)
                point.play = None

    def _number(self, group: _Group) -> int:
        group.growth.started += 1
        return group.first + group.growth.started - 1

    def _root(self, group: _Group) -> None:
        number = self._number(group)
        play = self._start(number, group.task)
        if play is not None:
            group.live[number] = play
            self._wait(group, play, number)

    def _branch(self, group: _Group, point: Point) -> None:
        """Another episode from a place."""
        source: Play = point.play
        number = self._number(group)
        seed = derive_seed(self._seed, number)
        play = Play(number, source.env, seed, metrics=dict(source.metrics))
        try:
            (play.env,) = source.env.fork(reseed=seed)
        except Exception as error:
            return self._fail(play, error)
        for role, own in source.seats.items():
            session = self.engine.fork(own.session, seed=derive_seed(self._seed, number, role))
            play.seats[role] = own.twin(session)
        growth = group.growth
        growth.sizes[point.root] += 1
        group.live[number] = group.ready[number] = play
        group.at[number] = replace(point, reply=None)

    def _prompt(self, play: Play, seat: str, messages: tuple[Message, ...], facts: Facts) -> bool:
        asked = super()._prompt(play, seat, messages, facts)
        if asked and play.seats[seat].leaf.parent is None:
            # An episode that branched before its first reply belongs to the same tree.
            group, own = self._group(play), play.seats[seat]
            trunk = group.trunks.setdefault(group.at[play.number].root, own.leaf)
            own.leaf = trunk if trunk.ids == own.leaf.ids else own.leaf
        return asked

    # ---- what happens to an episode -----------------------------------------------------------

    def _wait(self, group: _Group, play: Play, root: int) -> None:
        """Note where an episode is, before it is asked for a reply."""
        own = next(iter(play.seats.values()), None)
        before = own.leaf if own is not None else None
        turn = len(own.texts) if own is not None else 0
        place: Play | None = play
        if self.branching.looks_back:
            try:
                place = self._frozen(play) if group.growth.room else None
            except Exception as error:  # as where an environment fails to step
                return self._fail(play, error)
        point = Point(root, turn, before, place)
        if not turn:
            group.growth.sizes[root] = 1
        group.growth.points.append(point)
        group.at[play.number] = point
        group.ready[play.number] = play

    def _frozen(self, play: Play) -> Play:
        """The episode as it stands, to branch from later; its session shares the other's cache."""
        (env,) = play.env.fork()
        seats = {
            role: own.twin(self.engine.fork(own.session, seed=0))
            for role, own in play.seats.items()
        }
        return replace(play, env=env, seats=seats, metrics=dict(play.metrics))

    def _note_reply(self, play: Play) -> None:
        point = self._group(play).at[play.number]
        (own,) = play.seats.values()
        if own.leaf.is_action and len(own.texts) > point.turn and point.reply is not own.leaf:
            point.reply = own.leaf
            self._group(play).growth.answered.append(point)

    def _go_on(self, play: Play) -> None:
        group = self._group(play)
        self._note_reply(play)
        self._wait(group, play, group.at[play.number].root)
        self._grow(group)

    def _finish(self, play: Play, episode: Episode) -> None:
        super()._finish(play, episode)
        group = self._group(play)
        if group.live.pop(play.number, None) is not None:
            if play.seats:
                self._note_reply(play)
            self._grow(group)
