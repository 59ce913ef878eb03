"""PettingZoo's environments with discrete actions as ours:
`make("ludus/PettingZoo-v1", env="pettingzoo.classic.tictactoe.tictactoe:raw_env")`.

Named by "module:NAME", which makes an AEC or a parallel environment. Seats take turns in the one,
and move at once in the other. What a seat sees is its own observation in words (`Words`); legal
moves are those of its action mask, all where there is none. A seat that is out is not asked again.

The world is the task's, `reset(seed=)`; chance after that is the environment's own and so the
task's too, because PettingZoo has no common place for it. Needs the extra `marl`.
"""

import contextlib
import importlib
import io
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from gymnasium.spaces import Discrete

from ludus.envs.adapters.hosted import Box, Hosted, Words, check_names, legal_names, words_of
from ludus.envs.outcome import Outcome
from ludus.envs.registry import MissingExtra
from ludus.envs.task import Task

MOST_TURNS = 200


def _board(rows: int, columns: int) -> Any:
    def describe(obs: Any, env: Any) -> str:
        own, other = obs["observation"][..., 0], obs["observation"][..., 1]
        return "\n".join(
            "".join("X" if own[r][c] else "O" if other[r][c] else "." for c in range(columns))
            for r in range(rows)
        )

    return describe


def _cells(obs: Any, env: Any) -> str:
    """PettingZoo's tic-tac-toe counts its cells down the columns."""
    rows = _board(3, 3)(obs, env).split("\n")
    return "\n".join("".join(line) for line in zip(*rows, strict=True))


def _last_hand(obs: Any, env: Any) -> str:
    names = ("rock", "paper", "scissors")
    return f"The other seat last played {names[int(obs)]}." if int(obs) < 3 else "The first round."


_CLASSIC = "pettingzoo.classic"
WORDS: Mapping[str, Words] = {
    f"{_CLASSIC}.tictactoe.tictactoe:raw_env": Words(
        "Tic-tac-toe. X is you, O the other. Three in a line win.",
        _cells,
        tuple(f"row {cell % 3} column {cell // 3}" for cell in range(9)),
    ),
    f"{_CLASSIC}.connect_four.connect_four:raw_env": Words(
        "Connect four. X is you, O the other. Pieces fall down a column; four in a line win.",
        _board(6, 7),
        tuple(f"column {i}" for i in range(7)),
    ),
    f"{_CLASSIC}.rps.rps:raw_env": Words(
        "Rock, paper, scissors, 15 rounds. Each win pays 1, each loss -1.",
        _last_hand,
        ("rock", "paper", "scissors"),
    ),
}
"""PettingZoo's environments that are described here. None `copies`: they are EzPickle, so that
`copy.deepcopy` gives a new environment at the start."""


def make_theirs(name: str, arguments: Mapping[str, Any]) -> Any:
    """An AEC or parallel environment.

    Raises:
        MissingExtra: If PettingZoo, or what its environment needs, is not installed.
        ValueError: If there is no such environment, or it cannot be made.
    """
    module, _, attribute = str(name).partition(":")
    try:
        importlib.import_module("pettingzoo")
        with contextlib.redirect_stdout(io.StringIO()):  # pygame greets
            maker = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing != "pettingzoo" and f"{module}.".startswith(f"{missing}."):
            raise ValueError(f"no module {missing!r} to make {name!r} from") from None
        raise MissingExtra(
            f"ludus/PettingZoo-v1 needs {error.name}: pip install 'ludus[marl]'", name=error.name
        ) from None
    except (AttributeError, ValueError) as error:
        raise ValueError(f"env={name!r} is not 'module:NAME': {error}") from None
    try:
        return maker(**dict(arguments))
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"PettingZoo cannot make {name!r}: {error}") from None


class PettingZoo(Hosted):
    """An environment of PettingZoo with discrete actions; rewards are its own.

    Parameters:
        env: "module:NAME" of what makes it.
        env_kwargs: Arguments to make it with; JSON.
        words: "module:NAME" of its `Words`, where `WORDS` has none.
        turns: Replies, of all seats together, after which the episode is cut.
    """

    ENV_ID = "ludus/PettingZoo-v1"
    SOLVABLE: bool | None = False
    ROLES: tuple[str, ...] = ("player_0", "player_1")
    PARAMS: ClassVar[Mapping[str, Any]] = {
        "env": f"{_CLASSIC}.tictactoe.tictactoe:raw_env",
        "env_kwargs": {},
        "words": "",
        "turns": MOST_TURNS,
    }

    def __init__(self, **settings: Any) -> None:
        params = {**self.PARAMS, **settings}
        env = make_theirs(params["env"], params["env_kwargs"])
        self._theirs = words_of(self.ENV_ID, params["env"], params["words"], WORDS)
        self._names = tuple(env.possible_agents)
        for agent in self._names:
            space = env.action_space(agent)
            if not isinstance(space, Discrete):
                raise ValueError(f"{agent} of {params['env']} acts in {space}, not Discrete")
            check_names(self._theirs, int(space.n), f"{agent} of {params['env']}")
        self._parallel = not hasattr(env, "agent_iter")
        self.ROLES = tuple(f"player_{i}" for i in range(len(self._names)))
        self.FORFEIT = (-1.0, 1.0 if len(self.ROLES) == 2 else 0.0)
        self.MAX_TURNS = params["turns"]
        env.close()
        super().__init__(**settings)

    def _copies(self) -> bool:
        return self._theirs.copies

    @property
    def _env(self) -> Any:
        return self._box.content

    def _setup(self, task: Task, rng: random.Random) -> None:
        self.MAX_TURNS = self.params["turns"]
        env = make_theirs(self.params["env"], self.params["env_kwargs"])
        self._box = Box(env, self._theirs.fixed)
        begun = env.reset(seed=rng.getrandbits(31))
        self._seen: dict[str, Any] = begun[0] if self._parallel else {}
        self._told: dict[str, Any] = begun[1] if self._parallel else {}
        self._history: list[Any] = []
        if not self._parallel:
            self._pass_the_dead()

    def _pass_the_dead(self) -> None:
        """In an AEC environment a seat that is out still takes a turn, in which it does nothing."""
        env = self._env
        while env.agents and (
            env.terminations[env.agent_selection] or env.truncations[env.agent_selection]
        ):
            env.step(None)

    def _agent(self, seat: str) -> Any:
        return self._names[self.ROLES.index(seat)]

    def _obs(self, seat: str) -> Any:
        agent = self._agent(seat)
        return self._seen.get(agent) if self._parallel else self._env.observe(agent)

    def _rules(self, seat: str) -> str:
        return f"{self._theirs.rules} You are {seat}."

    def _observe(self, seat: str) -> str:
        return self._theirs.describe(self._obs(seat), self._env.unwrapped)

    def _acting(self) -> tuple[str, ...]:
        if self._parallel:
            return tuple(self.ROLES[i] for i, a in enumerate(self._names) if a in self._env.agents)
        return (self.ROLES[self._names.index(self._env.agent_selection)],)

    def _legal(self, seat: str) -> Sequence[str]:
        obs = self._obs(seat)
        told = (self._told if self._parallel else self._env.infos).get(self._agent(seat), {})
        own = obs if isinstance(obs, dict) else {}
        return legal_names(self._theirs, own.get("action_mask", told.get("action_mask")))

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        actions = {}
        for seat, move in moves.items():
            agent = self._agent(seat)
            first = int(self._env.action_space(agent).start)
            actions[agent] = first + self._theirs.actions.index(move)
        gains, cut = self._step(actions)
        rewards = {role: gains.get(agent, 0.0) for role, agent in zip(self.ROLES, self._names,
                                                                      strict=True)}  # fmt: skip
        over = not self._env.agents
        self._history.append((dict(moves), rewards, over))
        if over and cut:
            self.MAX_TURNS = len(self._log)  # its limit is reached, so ours is
        result = ", ".join(f"{role} {gain:g}" for role, gain in rewards.items())
        return Outcome(
            rewards, terminated=over and not cut, reason=f"last rewards: {result}" if over else ""
        )

    def _step(self, actions: Mapping[Any, int]) -> tuple[dict[Any, float], bool]:
        """Rewards of this turn, and whether a limit ended it for all."""
        env = self._env
        if self._parallel:
            self._seen, gains, ended, cut, self._told = env.step(dict(actions))
            return {a: float(g) for a, g in gains.items()}, any(cut.values()) and not any(
                ended.values()
            )
        ((_, action),) = actions.items()
        env.step(action)
        gains = {agent: float(gain) for agent, gain in env.rewards.items()}
        cut = any(env.truncations.values()) and not any(env.terminations.values())
        self._pass_the_dead()
        return gains, cut

    def close(self) -> None:
        """Close theirs."""
        if "_box" in self.__dict__:
            self._env.close()
        super().close()
