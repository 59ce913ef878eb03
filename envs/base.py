"""The environment protocol: a `gymnasium.Env` over text that knows seats, tasks and forks.

An author writes the hooks of `definition.py` (`_setup`, `_rules`, `_observe`, `_legal`, `_acting`,
`_apply`); here are reset, step, the policy on bad replies, limits and replays, in `conversation.py`
what seats are shown, and in `episode.py` the state they share and how it forks. What other
libraries want to see (PettingZoo, one seat against opponents) are functions in `ludus.envs.views`,
not methods here.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Self

import gymnasium

from ludus.envs.conversation import Conversation
from ludus.envs.definition import OnInvalid, blame, like, one_of
from ludus.envs.formats import FORMATS
from ludus.envs.outcome import InvalidMove, Outcome, Replay
from ludus.envs.skin import make_skin, skinned
from ludus.envs.task import Task, derive_seed
from ludus.envs.text import Message, Obs, TextSpace

Info = dict[str, Any]

_HELD = Outcome()  # a simultaneous move that waits for the others


class TextEnv(Conversation):
    """A text environment with one, two or many seats.

    Gymnasium's contract holds for the seat to act: `step` takes its reply and returns the
    observation of the next seat to act with the reward of the seat that acted; `info["rewards"]`
    has every seat's. A reply the rules cannot use never raises: it is answered by `on_invalid`.

    Args:
        render_mode: "ansi" (the position) or "transcript" (all that was said), or None.
        split: Where `reset` draws tasks from when it is given none.
        format: How actions are written in replies, a key of `FORMATS`.
        show_legal: Whether prompts list the legal moves.
        on_invalid: "retry" tells the seat what was wrong and asks again, up to `max_invalid`
            times in a row, then it forfeits; "penalize" does so and takes `penalty` each time;
            "forfeit" ends the episode at once; "noop" tells and asks again, without limit.
        max_invalid: Second chances in a row.
        penalty: Reward of a bad reply under "penalize".
        forfeit: Rewards (of the seat that forfeits, of each other seat). SPIRAL trains with
            (-1.5, 0.5), arXiv:2506.24119.
        skin: "obfuscated:K" renames the words of the game, for every number K otherwise; see
            `ludus.envs.skin`.
        **params: The environment's own parameters, those named in `PARAMS`.

    Raises:
        ValueError: If an argument has a value that is not allowed.
        TypeError: If a parameter is unknown.
    """

    def __init__(
        self,
        *,
        render_mode: str | None = None,
        split: str = "train",
        format: str = "plain",
        show_legal: bool = True,
        on_invalid: OnInvalid | None = None,
        max_invalid: int | None = None,
        penalty: float = -0.1,
        forfeit: Sequence[float] | None = None,
        skin: str | None = None,
        **params: Any,
    ) -> None:
        one_of("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        one_of("split", split, self.SPLITS)
        one_of("format", format, FORMATS)
        self.on_invalid = self.ON_INVALID if on_invalid is None else on_invalid
        one_of("on_invalid", self.on_invalid, ("retry", "penalize", "forfeit", "noop"))
        if unknown := params.keys() - self.PARAMS.keys():
            kind, name = type(self).__name__, sorted(unknown)[0]
            raise TypeError(f"{kind} has no parameter {name!r}, it has: {sorted(self.PARAMS)}")
        for name, value in params.items():
            default = self.PARAMS[name]
            # These would be played with: half a round, and "no" for yes.
            if isinstance(default, bool) or (
                isinstance(default, int) and isinstance(value, bool | float)
            ):
                like(name, value, default)
        like("show_legal", show_legal, True)
        like("penalty", penalty, -0.1)
        self.render_mode, self.split, self.show_legal = render_mode, split, show_legal
        self.skin = None if skin is None else make_skin(skin, self.VOCABULARY, self.ENV_ID)
        self.format = FORMATS[format] if self.skin is None else skinned(FORMATS[format], self.skin)
        self.max_invalid = self.MAX_INVALID if max_invalid is None else max_invalid
        like("max_invalid", self.max_invalid, 2)
        self.penalty = penalty
        like("forfeit", self.FORFEIT if forfeit is None else forfeit, [-1.0, 1.0])
        self.forfeit = tuple(self.FORFEIT if forfeit is None else forfeit)
        if len(self.forfeit) != 2:
            raise ValueError(f"forfeit is two rewards (own, each other's), got {self.forfeit}")
        for reward in self.forfeit:
            like("forfeit", reward, -1.0)
        self.params = {**self.PARAMS, **params}
        self._config = {
            "split": split, "format": format, "show_legal": show_legal,
            "on_invalid": self.on_invalid, "max_invalid": self.max_invalid, "penalty": penalty,
            "forfeit": list(self.forfeit), "skin": skin, **params,
        }  # fmt: skip
        self.observation_space: TextSpace = TextSpace()
        self._action_space: TextSpace | None = None
        self._np_random = None
        self._resets = 0
        self._task_sets = {}
        self._no_rewards = dict.fromkeys(self.ROLES, 0.0)
        self._begin(Task(self.ENV_ID, split, -1, 0), 0)
        self.__dict__.update(dict.fromkeys(self.DERIVED))
        self._base_names = frozenset(self.__dict__) | {"_base_names", "_np_random_seed", "spec"}

    # ---- Gymnasium --------------------------------------------------------------------------

    @property
    def action_space(self) -> TextSpace:  # type: ignore[override]
        """Texts; `sample` draws a legal action of the seat to act."""
        if self._action_space is None:
            self._action_space = TextSpace(legal=self.legal_actions)
        return self._action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, Info]:
        """Start an episode.

        Args:
            seed: Decides chance in the episode, and the task where none is given. Without it,
                episodes go on from the last seed: the same sequence after the same seed.
            options: {"task": Task}, or {"split": str} with or without {"index": int}.

        Returns:
            The observation of the first seat to act, and info.

        Raises:
            ValueError: If the seed is below 0, or options name an unknown split or an index
                outside it.
        """
        if seed is not None:
            if isinstance(seed, int) and seed < 0:
                raise ValueError(f"a seed is a whole number from 0, got {seed}")
            super().reset(seed=seed)
            self._resets = 0
        chance_seed = derive_seed("episode", self.np_random_seed, self._resets)
        self._resets += 1
        return self.start(self._choose_task(options or {}, chance_seed), chance_seed)

    def start(self, task: Task, chance_seed: int) -> tuple[Obs, Info]:
        """Start an episode from exactly what decides it. `reset` and replay end up here."""
        self._begin(task, chance_seed)
        try:
            self._setup(task, random.Random(task.seed))
        except Exception as error:
            blame(error, task.params, self.PARAMS)
            raise
        for role, inbox in self._inbox.items():
            inbox.append(self._opening(role))
        self._next_turn()
        seat = self._waiting[0]
        return self.observe(seat), self._info(seat, "", {}, "")

    def _next_turn(self) -> None:
        """Find out who is to act, and prompt them."""
        self._waiting = tuple(self._acting())
        if not self._waiting or not self._inbox.keys() >= {*self._waiting}:
            raise ValueError(f"_acting must give seats of {self.ROLES}, got {self._acting()!r}")
        for seat in self._waiting:
            self._prompt(seat)

    def step(self, action: str, *, seat: str | None = None) -> tuple[Obs, float, bool, bool, Info]:
        """Take one seat's reply.

        Where moves are simultaneous, replies are held until the last seat has moved.

        Args:
            action: The reply, any text.
            seat: Who replies; by default the first seat still to act.

        Returns:
            Observation of the next seat to act (at the end, of the seat that acted), reward of
            the seat that acted, terminated, truncated, info.

        Raises:
            gymnasium.error.ResetNeeded: If the episode is over or was never started.
            TypeError: If the action is no text.
            ValueError: If it is not that seat's turn.
        """
        if not self._waiting:
            raise gymnasium.error.ResetNeeded("the episode is over: call reset before step")
        if not isinstance(action, str):
            raise TypeError(f"an action is a text, got {action!r}")
        actor = self._waiting[0] if seat is None else seat
        if actor not in self._waiting:
            raise ValueError(f"{actor!r} is not to act now, {list(self._waiting)} are")
        self._log.append((actor, action))
        self._transcripts[actor].append(Message("assistant", action))
        problem = ""
        try:
            move = self.format.read(action)
            if move is None:
                raise InvalidMove(f"no action found. {self.format.instruction}")
            self._moves[actor] = self._parse(move, actor)
        except InvalidMove as error:
            problem = str(error) or "not a legal action"
            outcome = self._answer_invalid(actor, problem)
        else:
            if self._mistakes:
                self._mistakes.pop(actor, None)
            if len(self._waiting) > 1:
                self._waiting = tuple([s for s in self._waiting if s != actor])
                outcome = _HELD
            else:
                moves, self._moves = self._moves, {}
                if len(moves) > 1:  # in the order of seats, not of replies, which is a race's
                    moves = {role: moves[role] for role in self.ROLES if role in moves}
                outcome = self._apply(moves)
                if not isinstance(outcome, Outcome):
                    raise TypeError(f"_apply must return an Outcome, it gave {outcome!r}")
        return self._finish_step(actor, outcome, problem)

    def _answer_invalid(self, actor: str, problem: str) -> Outcome:
        mistakes = self._mistakes[actor] = self._mistakes.get(actor, 0) + 1
        if self.on_invalid == "forfeit" or (
            self.on_invalid != "noop" and mistakes > self.max_invalid
        ):
            offender, others = self.forfeit
            return Outcome(
                rewards={role: offender if role == actor else others for role in self.ROLES},
                terminated=True,
                text=f"{actor} forfeits: invalid action.",
                success=False,
                reason=f"{actor} forfeits: {problem}",
            )
        self._inbox[actor].append(f"Invalid action: {problem}")
        return Outcome({actor: self.penalty} if self.on_invalid == "penalize" else {})

    def _finish_step(
        self, actor: str, outcome: Outcome, problem: str
    ) -> tuple[Obs, float, bool, bool, Info]:
        try:
            for role, reward in outcome.rewards.items():
                self._returns[role] += reward
            if news := outcome.text:
                told = dict.fromkeys(self.ROLES, news) if isinstance(news, str) else news
                for role, said in told.items():
                    if said:
                        self._inbox[role].append(said)
        except KeyError as error:
            seats = ", ".join(self.ROLES)
            raise ValueError(f"an Outcome names seat {error}, seats: {seats}") from None
        terminated = outcome.terminated
        truncated = not terminated and len(self._log) >= self.MAX_TURNS
        if terminated or truncated:
            self._waiting = ()
            for role, inbox in self._inbox.items():
                if inbox:
                    self._flush(role, inbox)
        elif problem:
            self._prompt(actor)
        elif outcome is not _HELD:
            self._next_turn()
        seat = self._waiting[0] if self._waiting else ""
        info = self._info(seat, actor, outcome.rewards, problem)
        if outcome.parts:
            info["reward_parts"] = outcome.parts
        if outcome.metrics:
            info["metrics"] = outcome.metrics
        if terminated or truncated:
            summary = info["outcome"] = self._summary(outcome, truncated)
            summary["reason"] = self._worded(summary["reason"])
        reward = float(outcome.rewards.get(actor, 0.0))
        return self.observe(seat or actor), reward, terminated, truncated, info

    def _info(self, seat: str, actor: str, rewards: Mapping[str, float], problem: str) -> Info:
        return {
            "seat": seat,
            "acting": self._waiting,
            "actor": actor,
            "rewards": {**self._no_rewards, **rewards},
            "legal_actions": self.legal_actions(seat) if seat else None,
            "task_key": self._task_key,
            "split": self.task.split,
            "turn": len(self._log),
            "invalid": self._worded(problem),
        }

    # ---- seats ------------------------------------------------------------------------------

    def step_all(
        self, actions: Mapping[str, str]
    ) -> tuple[dict[str, Obs], dict[str, float], bool, bool, Info]:
        """Take the replies of all acting seats at once.

        Returns:
            Observations and rewards of every seat, terminated, truncated, the last info.

        Raises:
            ValueError: If the seats are not exactly those to act.
        """
        if set(actions) != set(self._waiting):
            raise ValueError(f"seats to act are {list(self._waiting)}, got {sorted(actions)}")
        rewards = dict.fromkeys(self.ROLES, 0.0)
        terminated, truncated, info = False, False, Info()
        for seat in self._waiting:
            _, _, terminated, truncated, info = self.step(actions[seat], seat=seat)
            for role, reward in info["rewards"].items():
                rewards[role] += reward
            if terminated or truncated:
                break
        return {r: self.observe(r) for r in self.ROLES}, rewards, terminated, truncated, info

    # ---- replay -----------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """The episode and all that decides how it goes on; picklable. For `set_state`."""
        if self.metadata["fork"] != "replay":
            return super().get_state()
        return {
            "replay": self.replay() if self._waiting or self._log else None,
            "config": self._config,
            # What decides the episodes after this one.
            "after": {
                "_np_random_seed": self._np_random_seed,
                "_resets": self._resets,
                "render_mode": self.render_mode,
                "spec": self.spec,
            },
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go back to what `get_state` gave. The state may be set any number of times."""
        if self.metadata["fork"] != "replay":
            return super().set_state(state)
        self.__dict__.clear()
        type(self).__init__(self, **state["config"])
        if state["replay"] is not None:
            self._run(state["replay"])
        self.__dict__.update(state["after"])

    @classmethod
    def from_replay(cls, replay: Replay) -> Self:
        """Run an episode again, up to where the record ends."""
        env = cls(**replay.config)
        env._run(replay)
        return env

    def _run(self, replay: Replay) -> None:
        self.start(replay.task, replay.chance_seed)
        reseeds = list(replay.reseeds)
        for at in range(len(replay.actions) + 1):
            while reseeds and reseeds[0][0] == at:
                self._reseed(reseeds.pop(0)[1])
            if at < len(replay.actions):
                seat, action = replay.actions[at]
                self.step(action, seat=seat)
