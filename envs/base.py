"""The environment protocol: a `gymnasium.Env` over text that knows seats, tasks and forks.

An author writes hooks (`_setup`, `_rules`, `_observe`, `_legal`, `_acting`, `_apply`); the base
class gives reset, step, transcripts, the policy on bad replies, limits, forks, hashes and replay.
What other libraries want to see (PettingZoo, one seat against opponents) are functions in
`ludus.envs.views`, not methods here.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import gymnasium

from ludus.envs.formats import FORMATS
from ludus.envs.outcome import Golden, InvalidMove, Outcome, Replay, Verdict
from ludus.envs.state import copy_value, hash_value
from ludus.envs.task import Task, TaskSet, derive_seed
from ludus.envs.text import Message, Obs, TextSpace

Info = dict[str, Any]
OnInvalid = Literal["retry", "penalize", "forfeit", "noop"]

_HELD = Outcome()  # a simultaneous move that waits for the others


class TextEnv(gymnasium.Env[str, str]):
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
        **params: The environment's own parameters, those named in `PARAMS`.

    Raises:
        ValueError: If an argument has a value that is not allowed.
        TypeError: If a parameter is unknown.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  # Gymnasium's own name and type
        "render_modes": ["ansi", "transcript"],
        "render_fps": 1,
        "deterministic": True,
        "fork": "state",
        "blocking": False,
    }
    """`fork`: "state" copies, "replay" runs the episode again, "none" refuses. `blocking`: a step
    waits for something outside, so rollouts give it a thread."""
    ENV_ID: ClassVar[str] = ""
    ROLES: ClassVar[tuple[str, ...]] = ("player_0",)
    ZERO_SUM: ClassVar[bool] = False
    MAX_TURNS: ClassVar[int] = 64
    """Replies, of all seats together, after which the episode is truncated."""
    SPLITS: ClassVar[Mapping[str, int]] = {"train": 2**31, "valid": 500, "test": 500}
    SPLIT_BY: ClassVar[Literal["content", "seed", "none"]] = "seed"
    """What keeps splits apart: the content of worlds, only their seeds, or nothing, because there
    are too few worlds. The checker measures it."""
    ON_INVALID: ClassVar[OnInvalid] = "retry"
    MAX_INVALID: ClassVar[int] = 2
    FORFEIT: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    PARAMS: ClassVar[Mapping[str, Any]] = {}
    """Names and defaults of the environment's own parameters; JSON."""

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
        **params: Any,
    ) -> None:
        _one_of("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        _one_of("split", split, self.SPLITS)
        _one_of("format", format, FORMATS)
        self.on_invalid = self.ON_INVALID if on_invalid is None else on_invalid
        _one_of("on_invalid", self.on_invalid, ("retry", "penalize", "forfeit", "noop"))
        if unknown := params.keys() - self.PARAMS.keys():
            raise TypeError(
                f"{type(self).__name__} has no parameter {sorted(unknown)[0]!r}, "
                f"it has: {sorted(self.PARAMS)}"
            )
        self.render_mode, self.split, self.show_legal = render_mode, split, show_legal
        self.format = FORMATS[format]
        self.max_invalid = self.MAX_INVALID if max_invalid is None else max_invalid
        self.penalty = penalty
        self.forfeit = tuple(self.FORFEIT if forfeit is None else forfeit)
        self.params: dict[str, Any] = {**self.PARAMS, **params}
        self._config: dict[str, Any] = {
            "split": split, "format": format, "show_legal": show_legal,
            "on_invalid": self.on_invalid, "max_invalid": self.max_invalid, "penalty": penalty,
            "forfeit": list(self.forfeit), **params,
        }  # fmt: skip
        self.observation_space: TextSpace = TextSpace()
        self._action_space: TextSpace | None = None
        self._np_random = None
        self._resets = 0
        self._task_sets: dict[str, TaskSet] = {}
        self._no_rewards = dict.fromkeys(self.ROLES, 0.0)
        self._begin(Task(self.ENV_ID, split, -1, 0), 0)
        self._base_names = frozenset(self.__dict__) | {"_base_names", "_np_random_seed", "spec"}

    def _begin(self, task: Task, chance_seed: int) -> None:
        self.task = task
        self._chance_seed = chance_seed
        self._chance: random.Random | None = None
        self._reseeds: list[tuple[int, int]] = []
        self._log: list[tuple[str, str]] = []
        self._waiting: tuple[str, ...] = ()
        self._moves: dict[str, Any] = {}
        self._mistakes: dict[str, int] = {}
        self._returns = self._no_rewards.copy()
        self._transcripts: dict[str, list[Message]] = {role: [] for role in self.ROLES}
        self._inbox: dict[str, list[str]] = {role: [] for role in self.ROLES}

    # ---- what an author writes --------------------------------------------------------------

    def _setup(self, task: Task, rng: random.Random) -> None:
        """Build the world from `{**self.PARAMS, **task.params}` and `rng`, which is seeded by
        `task.seed`. State lives in attributes of plain Python data; any attribute set here or
        later is state."""
        raise NotImplementedError

    def _rules(self, seat: str) -> str:
        """The first thing a seat is told: the rules, and what only it may know. Short and fixed
        first, private and varying last, so that prompts share their beginning."""
        raise NotImplementedError

    def _observe(self, seat: str) -> str:
        """What a seat sees when it is to act, beyond the news (`Outcome.text`) since its last
        turn. Empty by default."""
        return ""

    def _legal(self, seat: str) -> Sequence[str] | None:
        """Moves a seat may make now; None where any text is a move."""
        return None

    def _acting(self) -> tuple[str, ...]:
        """Seats to act now: one if turns alternate, several if moves are simultaneous."""
        return self.ROLES[:1]

    def _parse(self, text: str, seat: str) -> Any:
        """The move a text means. By default one of `_legal`, in any case.

        Raises:
            InvalidMove: If it means none; the message goes to the agent.
        """
        legal = self._legal(seat)
        if legal is None or text in legal:
            return text
        folded = text.casefold()
        for move in legal:
            if move.casefold() == folded:
                return move
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise InvalidMove(f"{shown!r} is not a legal action")

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        """The transition: the move of every seat that was to act, all legal."""
        raise NotImplementedError

    def _secrets(self, seat: str) -> Sequence[str]:
        """Texts that no other seat may be shown before the end. For the checker."""
        return ()

    def _render(self) -> str:
        """The position, for people."""
        return self.observe(self._waiting[0] if self._waiting else self.ROLES[0])

    # ---- Gymnasium --------------------------------------------------------------------------

    @property  # type: ignore[override]
    def action_space(self) -> TextSpace:
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
            ValueError: If options name an unknown split or an index outside it.
        """
        if seed is not None:
            super().reset(seed=seed)
            self._resets = 0
        chance_seed = derive_seed("episode", self.np_random_seed, self._resets)
        self._resets += 1
        return self.start(self._choose_task(options or {}, chance_seed), chance_seed)

    def _choose_task(self, options: Mapping[str, Any], draw: int) -> Task:
        if unknown := options.keys() - {"task", "split", "index"}:
            raise ValueError(f"reset options are task, split, index, not {sorted(unknown)[0]!r}")
        if (task := options.get("task")) is not None:
            if not isinstance(task, Task) or task.env_id != self.ENV_ID:
                raise ValueError(f"options['task'] must be a Task of {self.ENV_ID}, got {task!r}")
            return task
        split = options.get("split", self.split)
        _one_of("split", split, self.SPLITS)
        if split not in self._task_sets:
            self._task_sets[split] = self.tasks(split, **self.params)
        tasks = self._task_sets[split]
        index = options.get("index", draw % len(tasks))
        if not 0 <= index < len(tasks):
            raise ValueError(f"split {split!r} has tasks 0 to {len(tasks) - 1}, not {index}")
        return tasks[index]

    def start(self, task: Task, chance_seed: int) -> tuple[Obs, Info]:
        """Start an episode from exactly what decides it. `reset` and replay end up here."""
        self._begin(task, chance_seed)
        self._setup(task, random.Random(task.seed))
        for role in self.ROLES:
            self._inbox[role].append(f"{self._rules(role)}\n{self.format.instruction}")
        self._waiting = self._acting()
        for seat in self._waiting:
            self._prompt(seat)
        seat = self._waiting[0]
        return self.observe(seat), self._info(seat, "", {}, "")

    def step(
        self, action: str, *, seat: str | None = None
    ) -> tuple[Obs, float, bool, bool, Info]:
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
            ValueError: If it is not that seat's turn.
        """
        if not self._waiting:
            raise gymnasium.error.ResetNeeded("the episode is over: call reset before step")
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
            problem = str(error)
            outcome = self._answer_invalid(actor, problem)
        else:
            if self._mistakes:
                self._mistakes.pop(actor, None)
            if len(self._waiting) > 1:
                self._waiting = tuple([s for s in self._waiting if s != actor])
                outcome = _HELD
            else:
                moves, self._moves = self._moves, {}
                outcome = self._apply(moves)
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
        rewards = {actor: self.penalty} if self.on_invalid == "penalize" else {}
        return Outcome(rewards=rewards)

    def _finish_step(
        self, actor: str, outcome: Outcome, problem: str
    ) -> tuple[Obs, float, bool, bool, Info]:
        for role, reward in outcome.rewards.items():
            self._returns[role] += reward
        if outcome.text:
            for role in self.ROLES:
                news = outcome.text if isinstance(outcome.text, str) else outcome.text.get(role)
                if news:
                    self._inbox[role].append(news)
        terminated = outcome.terminated
        truncated = not terminated and len(self._log) >= self.MAX_TURNS
        if terminated or truncated:
            self._waiting = ()
            for role in self.ROLES:
                if self._inbox[role]:
                    self._flush(role)
        elif problem:
            self._prompt(actor)
        elif outcome is not _HELD:
            self._waiting = self._acting()
            for seat in self._waiting:
                self._prompt(seat)
        seat = self._waiting[0] if self._waiting else ""
        info = self._info(seat, actor, outcome.rewards, problem)
        if outcome.parts:
            info["reward_parts"] = outcome.parts
        if outcome.metrics:
            info["metrics"] = outcome.metrics
        if terminated or truncated:
            info["outcome"] = self._summary(outcome, truncated)
        reward = float(outcome.rewards.get(actor, 0.0))
        return self.observe(seat or actor), reward, terminated, truncated, info

    def _prompt(self, seat: str) -> None:
        inbox = self._inbox[seat]
        if sight := self._observe(seat):
            inbox.append(sight)
        if self.show_legal and (legal := self._legal(seat)) is not None:
            inbox.append(f"Legal actions: {', '.join(legal)}")
        self._flush(seat)

    def _flush(self, seat: str) -> None:
        self._transcripts[seat].append(Message("user", "\n".join(self._inbox[seat])))
        self._inbox[seat] = []

    def _info(self, seat: str, actor: str, rewards: Mapping[str, float], problem: str) -> Info:
        return {
            "seat": seat,
            "acting": self._waiting,
            "actor": actor,
            "rewards": {**self._no_rewards, **rewards},
            "legal_actions": self.legal_actions(seat) if seat else None,
            "task_key": self.task.key,
            "split": self.task.split,
            "turn": len(self._log),
            "invalid": problem,
        }

    def _summary(self, outcome: Outcome, truncated: bool) -> Info:
        ranking = sorted(self.ROLES, key=self._returns.__getitem__, reverse=True)
        draw = len(ranking) < 2 or self._returns[ranking[0]] == self._returns[ranking[1]]
        return {
            "returns": self._returns.copy(),
            "winner": "" if draw else ranking[0],
            "success": outcome.success,
            "reason": outcome.reason or ("turn limit" if truncated else ""),
        }

    def render(self) -> str | None:  # type: ignore[override]
        """The position ("ansi") or all that was said ("transcript"); None without a mode."""
        if self.render_mode == "ansi":
            return self._render()
        if self.render_mode == "transcript":
            return "\n".join(
                f"[{role}] {message.role}: {message.content}"
                for role in self.ROLES
                for message in self._transcripts[role]
            )
        return None

    # ---- seats ------------------------------------------------------------------------------

    @property
    def acting(self) -> tuple[str, ...]:
        """Seats whose reply is awaited; () when the episode is over."""
        return self._waiting

    @property
    def returns(self) -> dict[str, float]:
        """Sum of rewards so far, per seat."""
        return dict(self._returns)

    def observe(self, seat: str) -> Obs:
        """What a seat has been shown since it last acted. Pure."""
        spoken = self._transcripts[seat]
        if spoken and spoken[-1].role == "user":
            return Obs(spoken[-1].content, (spoken[-1],))
        if self._inbox[seat]:
            news = Message("user", "\n".join(self._inbox[seat]))
            return Obs(news.content, (news,))
        return Obs()

    def legal_actions(self, seat: str | None = None) -> list[str] | None:
        """Exact texts a seat (by default the next to act) may reply; None if any text may do."""
        if seat is None:
            if not self._waiting:
                return None
            seat = self._waiting[0]
        legal = self._legal(seat)
        if legal is None:
            return None
        write = self.format.write
        return list(legal) if write is str else [write(move) for move in legal]

    def transcript(self, seat: str) -> tuple[Message, ...]:
        """All that was said to and by a seat. It only ever grows."""
        return tuple(self._transcripts[seat])

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

    # ---- tasks, golden answers --------------------------------------------------------------

    @classmethod
    def tasks(cls, split: str = "train", **params: Any) -> TaskSet:
        """The tasks of a split, for given parameters. Tasks name only what differs from `PARAMS`,
        so that their keys stay when an environment gains a parameter."""
        _one_of("split", split, cls.SPLITS)
        own = {name: value for name, value in params.items() if value != cls.PARAMS.get(name)}
        return TaskSet(cls.ENV_ID, split, cls.SPLITS[split], own)

    @classmethod
    def worlds(cls, **params: Any) -> Sequence[tuple[float, Task]] | None:
        """Every distinct world with its probability, where they are few: what exact solvers and
        exploitability are computed over. None where they are many."""
        return None

    @property
    def chance(self) -> random.Random:
        """The stream for chance during the episode. The only randomness `_apply` may use."""
        if self._chance is None:
            self._chance = random.Random(self.task.seed << 64 | self._chance_seed)
        return self._chance

    def golden(self, seat: str | None = None) -> Golden | None:
        """What a perfect agent knows now; None where the environment does not say. Pure."""
        return None

    def verify(self, answer: str, seat: str | None = None) -> Verdict:
        """Judge an answer without sending it. Pure. By default: equals the golden answer or one
        of its aliases, in any case.

        Raises:
            ValueError: If the environment has no golden answer.
        """
        golden = self.golden(seat)
        if golden is None or golden.answer is None:
            raise ValueError(f"{self.ENV_ID} has no golden answer to verify against")
        accepted = {text.strip().casefold() for text in (golden.answer, *golden.aliases)}
        passed = answer.strip().casefold() in accepted
        return Verdict(float(passed), passed)

    # ---- branching --------------------------------------------------------------------------

    def fork(self, n: int = 1, *, reseed: int | None = None) -> list[Self]:
        """Independent copies of the episode as it stands.

        Args:
            n: How many.
            reseed: Gives copy i a chance stream of its own, from (reseed, i); by default all go on
                with the stream of the original.

        Raises:
            ValueError: If the environment cannot be forked.
        """
        how = self.metadata["fork"]
        if how == "none":
            raise ValueError(f"{self.ENV_ID} cannot be forked")
        twins = [self._copy() if how == "state" else self.from_replay(self.replay()) for _ in range(n)]
        if reseed is not None:
            for i, twin in enumerate(twins):
                twin._reseed(derive_seed("fork", reseed, i))
        return twins

    def _reseed(self, seed: int) -> None:
        self._chance = random.Random(self.task.seed << 64 | seed)
        self._reseeds.append((len(self._log), seed))

    def _copy(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.get_state())
        return twin

    def get_state(self) -> dict[str, Any]:
        """The episode and all that decides how it goes on; picklable. For `set_state`."""
        base = self._base_names
        state = {k: v if k in base else copy_value(v) for k, v in self.__dict__.items()}
        # Of the base class's own attributes only these are changed in place.
        state["_log"] = self._log.copy()
        state["_reseeds"] = self._reseeds.copy()
        state["_moves"] = copy_value(self._moves)
        state["_mistakes"] = self._mistakes.copy()
        state["_returns"] = self._returns.copy()
        state["_transcripts"] = {role: said.copy() for role, said in self._transcripts.items()}
        state["_inbox"] = {role: news.copy() for role, news in self._inbox.items()}
        state["_chance"] = None if self._chance is None else copy_value(self._chance)
        state["_action_space"] = None  # it draws from the legal actions of one object
        state["_np_random"] = None  # only its seed is used, see reset
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go back to what `get_state` gave. The state may be set any number of times."""
        self.__dict__.clear()
        self.__dict__.update(state)
        self.__dict__.update(self.get_state())  # so that playing on leaves `state` as it is

    __getstate__ = get_state

    def replay(self) -> Replay:
        """The episode so far as its causes."""
        return Replay(
            self._config, self.task, self._chance_seed, tuple(self._log), tuple(self._reseeds)
        )

    @classmethod
    def from_replay(cls, replay: Replay) -> Self:
        """Run an episode again, up to where the record ends."""
        env = cls(**replay.config)
        env.start(replay.task, replay.chance_seed)
        reseeds = list(replay.reseeds)
        for at in range(len(replay.actions) + 1):
            while reseeds and reseeds[0][0] == at:
                env._reseed(reseeds.pop(0)[1])
            if at < len(replay.actions):
                seat, action = replay.actions[at]
                env.step(action, seat=seat)
        return env

    def state_hash(self) -> str:
        """Equal for equal positions: all that the author's hooks stored, who is to act, and moves
        held. Not how the position came about, nor the chance to come."""
        own = {k: v for k, v in self.__dict__.items() if k not in self._base_names}
        return hash_value((own, self._waiting, self._moves))


def _one_of(name: str, value: object, allowed: Any) -> None:
    if value not in allowed:
        raise ValueError(f"unknown {name} {value!r}, allowed: {', '.join(map(str, allowed))}")
