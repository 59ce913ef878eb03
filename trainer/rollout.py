"""Rollouts: play episodes with one policy in many seats, all conversations in one batch.

There are no rounds: every conversation has its own state, a reply that is done is played at once,
and its next prompt joins the batch while the others are still being sampled.
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from ludus.agents.base import Agent
from ludus.agents.chat import Chat
from ludus.agents.engines.base import Completion, Engine, SamplingParams, Session
from ludus.agents.policy import ModelAgent
from ludus.envs.base import TextEnv
from ludus.envs.task import Task, derive_seed
from ludus.envs.text import Message
from ludus.trainer.seats import Facts, Play, Seat
from ludus.trainer.trajectory import Episode, Stop, TokenNode, Trajectory


class Rollout:
    """Plays episodes.

    Args:
        engine: Samples the replies; its sessions are closed when an episode ends.
        chat: Renders for the engine's model.
        make_env: Builds an environment; one is built per episode under way.
        sampling: How replies are drawn.
        opponents: Seats that are not the policy's, and who plays them. Language models among them
            are batched as the policy is; what they sample is not trained.
        keep_replays: How many of the first episodes keep the record of their moves.
        needs: Fields of `Turn` to fill beyond what every method uses: "state_key", "golden_logp",
            "sum_squares".
        level: Of the environment, where a run has several.
    """

    def __init__(
        self,
        engine: Engine[Session],
        chat: Chat,
        make_env: Callable[[], TextEnv],
        sampling: SamplingParams,
        *,
        opponents: Mapping[str, Agent] | None = None,
        keep_replays: int = 0,
        needs: Collection[str] = (),
        level: str = "",
    ) -> None:
        self.engine, self.make_env = engine, make_env
        if "sum_squares" in needs:
            sampling = replace(sampling, sum_squares=True)
        self._policy = ModelAgent(engine, chat, sampling)
        self.opponents = opponents or {}
        self.keep_replays = keep_replays
        self.needs = needs
        self.level = level
        self._envs: list[TextEnv] = []
        self._unscored: list[tuple[Seat, Facts]] = []

    def play(
        self, tasks: Sequence[Task | None], *, seed: int, hints: Sequence[str] = ()
    ) -> list[Episode]:
        """Play one episode a task.

        Args:
            tasks: What to play; None lets the environment draw.
            seed: Decides chance, draws and opponents: same seed and weights, same episodes.
            hints: For each task what stands after its first prompt; none by default.

        Returns:
            The episodes, in the order of `tasks`.
        """
        self._seed, self._hints = seed, hints
        done: list[Episode | None] = [None] * len(tasks)
        waiting: dict[int, tuple[Play, str]] = {}  # id(session) -> whose reply it is
        self._done, self._waiting = done, waiting
        while len(self._envs) < len(tasks):
            self._envs.append(self.make_env())
        self._begin(tasks)
        while waiting:
            if self._unscored:
                self._score()
            for engine in self._engines():
                for session, completion in engine.step():
                    asked = waiting.pop(id(session), None)
                    if asked is not None:  # else the episode ended by another seat's reply just now
                        self._answer(*asked, completion)
        return [episode for episode in done if episode is not None]

    def _begin(self, tasks: Sequence[Task | None]) -> None:
        """Start all episodes."""
        for number, task in enumerate(tasks):
            if (play := self._start(number, task)) is not None:
                self._ask(play)

    def _start(self, number: int, task: Task | None) -> Play | None:
        """An episode at its start; None if the environment fails."""
        env = self._envs[number]
        play = Play(number, env, derive_seed(self._seed, number))
        try:
            env.reset(seed=play.seed, options=None if task is None else {"task": task})
        except Exception as error:  # the boundary: whatever an environment raises is recorded
            self._fail(play, error)
            return None
        return play

    def _engines(self) -> list[Engine[Session]]:
        """Of the policy, and of the models that play other seats."""
        models = [a.engine for a in self.opponents.values() if isinstance(a, ModelAgent)]
        return list({id(engine): engine for engine in (self.engine, *models)}.values())

    def _scripted(self, seat: str) -> bool:
        """Whether the seat is played by an opponent that answers at once."""
        return seat in self.opponents and not isinstance(self.opponents[seat], ModelAgent)

    def _ask(self, play: Play) -> None:
        """Let opponents move until only replies of the policy are awaited; ask for those."""
        env = play.env
        while env.acting and self._scripted(env.acting[0]):
            seat = env.acting[0]
            if play.rng is None:
                play.rng = random.Random(play.seed)
            try:
                text = self.opponents[seat].act(env, seat, play.rng)
            except Exception as error:
                return self._fail(play, error)
            if not self._step(play, seat, text):
                return
        for seat in env.acting:
            if self._scripted(seat) or self._is_waiting(play, seat):
                continue
            try:
                messages, facts = env.observe(seat).messages, self._facts(env, seat)
            except Exception as error:
                return self._fail(play, error)
            if not self._prompt(play, seat, messages, facts):
                return self._end(play, Stop.TRUNCATED, "token limit")

    def _is_waiting(self, play: Play, seat: str) -> bool:
        return seat in play.seats and id(play.seats[seat].session) in self._waiting

    def _prompt(self, play: Play, seat: str, messages: tuple[Message, ...], facts: Facts) -> bool:
        """Ask a seat for its reply; False if its conversation leaves no room for one, or for the
        right one where it is known."""
        own = play.seats.get(seat)
        room = max(map(len, facts.golden), default=1)
        if own is None:
            model = self.opponents.get(seat)
            agent = model if isinstance(model, ModelAgent) else self._policy
            if self._hints and (hint := self._hints[play.number]):
                told = messages[-1]
                messages = (*messages[:-1], Message(told.role, f"{told.content}\n{hint}"))
            ids = agent.chat.open(messages)
            if len(ids) + room > agent.engine.max_positions:
                return False
            session = agent.engine.open(ids, seed=derive_seed(self._seed, play.number, seat))
            own = play.seats[seat] = Seat(agent, session, TokenNode(None, ids))
        else:
            ids = own.agent.chat.bridge(messages, own.leaf.ids[-1])
            if len(own.session.ids) + len(ids) + room > own.agent.engine.max_positions:
                return False
            own.agent.engine.extend(own.session, ids)
            own.leaf = TokenNode(own.leaf, ids)
        own.states.append(facts.state_key)
        own.golden.append(None)
        if facts.golden:
            self._unscored.append((own, facts))
        else:
            own.agent.engine.submit(own.session, own.agent.sampling)
        self._waiting[id(own.session)] = (play, seat)
        return True

    def _facts(self, env: TextEnv, seat: str) -> Facts:
        """Before a reply: what some estimators compare or reward."""
        if seat in self.opponents:
            return Facts()
        state_key = env.state_hash() if "state_key" in self.needs else ""
        golden = env.golden(seat) if "golden_logp" in self.needs else None
        if golden is None or golden.answer is None:
            return Facts(state_key)
        reply = self._policy.chat.reply
        scaffold = reply(golden.prefix)[:-1]
        answers = (golden.answer, *golden.aliases)
        return Facts(state_key, tuple(scaffold + reply(a)[:-1] for a in answers), len(scaffold))

    def _score(self) -> None:
        """Score the reference answers after all prompts that are new, in one batch; then let the
        replies begin. Of an answer with aliases, the one that is likeliest after the first prompt
        is scored throughout."""
        asked = [(own, f) for own, f in self._unscored if id(own.session) in self._waiting]
        self._unscored.clear()
        wanted = [range(len(f.golden)) if own.answer is None else (own.answer,) for own, f in asked]
        scores = iter(
            self.engine.score(
                [
                    (own.session, facts.golden[i])
                    for (own, facts), some in zip(asked, wanted, strict=True)
                    for i in some
                ]
            )
        )
        for (own, facts), some in zip(asked, wanted, strict=True):
            means = {i: fmean(next(scores)[facts.scaffold :]) for i in some}
            own.answer = max(means, key=means.__getitem__)
            own.golden[-1] = means[own.answer]
            self.engine.submit(own.session, self._policy.sampling)

    def _answer(self, play: Play, seat: str, completion: Completion) -> None:
        """Play a reply."""
        own = play.seats[seat]
        own.leaf = TokenNode(
            own.leaf,
            completion.ids,
            len(own.texts),
            completion.logps,
            completion.entropies,
            completion.version,
        )
        own.squares.append(completion.sum_squares)
        own.texts.append(own.agent.chat.text(completion.ids))
        own.rewards.append(0.0)
        if self._step(play, seat, own.texts[-1]):
            self._go_on(play)

    def _go_on(self, play: Play) -> None:
        """After a reply that did not end the episode."""
        self._ask(play)

    def _step(self, play: Play, seat: str, text: str) -> bool:
        """Play what a seat said; False if the episode is over with it."""
        try:
            _, _, _, truncated, info = play.env.step(text, seat=seat)
        except Exception as error:
            self._fail(play, error)
            return False
        play.metrics |= info.get("metrics", {})
        if seat in play.seats:
            play.seats[seat].invalid.append(info["invalid"])
            play.seats[seat].called.append(info.get("tool_call", {}).get("name", ""))
        for role, reward in info["rewards"].items():  # each to the seat's latest reply
            if reward and role in play.seats and play.seats[role].rewards:
                play.seats[role].rewards[-1] += reward
        if "outcome" not in info:
            return True
        stop = Stop.FORFEIT if info["invalid"] else Stop.TERMINATED
        outcome = info["outcome"]
        stop = Stop.TRUNCATED if truncated else stop
        self._end(play, stop, str(outcome["reason"]), outcome["success"])
        return False

    def _end(self, play: Play, stop: Stop, reason: str, success: bool | None = None) -> None:
        env, key = play.env, play.env.task.key
        trajectories = tuple(
            Trajectory(
                env.ENV_ID,
                key,
                role,
                play.number,
                own.last_action(),
                own.turns(),
                self.level,
            )
            for role, own in play.seats.items()
            if own.texts and role not in self.opponents
        )
        kept = play.number < self.keep_replays
        self._finish(
            play,
            Episode(
                env.ENV_ID,
                key,
                play.number,
                env.returns,
                trajectories,
                stop,
                reason,
                env.replay().to_json() if kept else {},
                success,
                play.metrics,
                tuple(self.opponents),
                self.level,
                bool(self._hints and self._hints[play.number]),
            ),
        )

    def _fail(self, play: Play, error: Exception) -> None:
        """A fault that is not the agent's: recorded, counted, never a return of zero."""
        env = play.env
        reason = f"{type(error).__name__}: {error}"
        zeros = dict.fromkeys(env.ROLES, 0.0)
        failed = Episode(env.ENV_ID, env.task.key, play.number, zeros, (), Stop.ERROR, reason)
        self._finish(play, replace(failed, opponents=tuple(self.opponents), level=self.level))

    def _finish(self, play: Play, episode: Episode) -> None:
        for own in play.seats.values():
            self._waiting.pop(id(own.session), None)
            own.agent.engine.close(own.session)
        self._done[play.number] = episode
