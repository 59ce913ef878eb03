"""Evaluation: how exploitable a policy is, how it does against opponents, what it solves."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from ludus.agents.policy import ModelAgent
from ludus.agents.solvers.best_response import best_response
from ludus.agents.solvers.best_response import evaluate as expected_returns
from ludus.agents.solvers.game_tree import GameTree, Infoset
from ludus.envs import registry
from ludus.envs.base import TextEnv
from ludus.envs.manifest import drawn, held_out
from ludus.envs.task import Task, derive_seed
from ludus.trainer.arena import Arena
from ludus.trainer.intervals import mean_ci, wilson
from ludus.trainer.metrics import env_metrics
from ludus.trainer.opponent import make_opponent
from ludus.trainer.rollout import Rollout
from ludus.trainer.trajectory import Episode, Stop, usable


@dataclass(frozen=True, slots=True)
class Exploitability:
    """How much best responses win against a policy, computed over the whole game."""

    exploitability: float
    """NashConv divided by the number of seats: what a best response gains, per game and seat, in
    the game's own unit. 0 for an equilibrium."""
    nash_conv: float
    value: float
    """Expected return of the first seat when the policy plays itself."""
    best_responses: Mapping[str, float]
    """Expected return of a best response in each seat."""
    information_sets: int
    min_legal_mass: float
    """Smallest probability, over information sets, of a legal action's exact text. Probabilities
    are those given a legal action."""

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def exploitability(
    agent: ModelAgent, tree: GameTree
) -> tuple[Exploitability, dict[str, dict[str, float]]]:
    """Query the policy once at every information set, and solve for best responses.

    Returns:
        The result, and the policy as {information set: {action: probability}}.
    """
    places = [(infoset.env(), infoset.seat) for infoset in tree.infosets]
    asked = agent.action_probs(places)
    policy = {i.key: choice.probs for i, choice in zip(tree.infosets, asked, strict=True)}
    on_policy = expected_returns(tree, policy)
    best = {seat: best_response(tree, policy, seat)[0] for seat in tree.seats}
    gains = [best[seat] - on_policy[seat] for seat in tree.seats]
    result = Exploitability(
        exploitability=sum(gains) / len(gains),
        nash_conv=sum(gains),
        value=on_policy[tree.seats[0]],
        best_responses=best,
        information_sets=len(places),
        min_legal_mass=min(choice.legal_mass for choice in asked),
    )
    table = {
        _name(env, infoset): dict(zip(infoset.moves, choice.probs, strict=True))
        for infoset, (env, _), choice in zip(tree.infosets, places, asked, strict=True)
    }
    return result, table


def _name(env: TextEnv, infoset: Infoset) -> str:
    """An information set in a line: who acts, what only that seat knows, and the moves so far."""
    moves = [action for _, action in env.replay().actions]
    return " ".join((infoset.seat, *env._secrets(infoset.seat), " ".join(moves) or "-"))


def validation(env: TextEnv) -> list[str]:
    """The splits to watch a run by: those named for it, else the one it is judged on."""
    return [name for name in env.SPLITS if name.startswith("valid")] or [held_out(env)]


@dataclass(frozen=True, slots=True)
class SeatResult:
    """A policy in one seat against one opponent."""

    opponent: str
    seat: str
    episodes: int
    mean_return: float
    mean_ci: float
    """Half width of the 95 % confidence interval of the mean return (Student's t); infinite for
    one episode."""
    win_rate: float
    win_low: float
    win_high: float
    """95 % confidence interval of the win rate (Wilson)."""
    draw_rate: float
    invalid_rate: float
    """Share of the policy's replies that the rules could not use."""
    turns_mean: float
    errors: int
    """Episodes that broke, left out of the rest."""
    first_error: str
    """What the first of them ended with."""

    def to_json(self) -> dict[str, Any]:
        """As JSON types; JSON has no infinity, so an infinite interval is null."""
        return {**asdict(self), "mean_ci": self.mean_ci if isfinite(self.mean_ci) else None}


def against(
    agent: ModelAgent,
    env_id: str,
    opponent: str,
    *,
    episodes: int,
    seed: int,
    split: str = "",
    env_kwargs: Mapping[str, Any] | None = None,
    tasks: Sequence[Task] = (),
) -> list[SeatResult]:
    """Play every seat against an opponent that plays all others.

    Args:
        agent: The policy.
        env_id: Environment.
        opponent: Spec of an agent, or the folder of a model, see `make_opponent`.
        episodes: Per seat.
        seed: Same seed, same episodes.
        split: Where the tasks come from; by default `held_out`.
        env_kwargs: Constructor arguments of the environment.
        tasks: Played one after the other, and again; by default drawn from the split.

    Returns:
        One result a seat; none where there is one seat only, see `solve`.

    Raises:
        ValueError: If the environment or the opponent is unknown, or do not fit.
    """
    kwargs = dict(env_kwargs or {})
    kwargs["split"] = split or held_out(registry.spec(env_id).load())
    env = registry.make(env_id, **kwargs)
    if len(env.ROLES) < 2:
        return []
    other = make_opponent(opponent, env)
    results = []
    for seat in env.ROLES:
        others = {role: other for role in env.ROLES if role != seat}
        rollout = Rollout(
            agent.engine,
            agent.chat,
            lambda: registry.make(env_id, **kwargs),
            agent.sampling,
            opponents=others,
        )
        played = rollout.play(
            [tasks[i % len(tasks)] if tasks else None for i in range(episodes)],
            seed=derive_seed(seed, env_id, opponent, seat),
        )
        results.append(_seat_result(played, seat, opponent))
    return results


def _seat_result(played: Sequence[Episode], seat: str, opponent: str) -> SeatResult:
    good = usable(played)
    returns = [episode.returns[seat] for episode in good]
    best_other = [
        max((r for role, r in e.returns.items() if role != seat), default=0.0) for e in good
    ]
    wins = sum(r > other for r, other in zip(returns, best_other, strict=True))
    draws = sum(r == other for r, other in zip(returns, best_other, strict=True))
    turns = [turn for e in good for t in e.trajectories for turn in t.turns]
    low, high = wilson(wins, len(good))
    return SeatResult(
        opponent=opponent,
        seat=seat,
        episodes=len(good),
        mean_return=_mean(returns),
        mean_ci=mean_ci(returns),
        win_rate=wins / max(len(good), 1),
        win_low=low,
        win_high=high,
        draw_rate=draws / max(len(good), 1),
        invalid_rate=_mean([float(bool(turn.invalid)) for turn in turns]),
        turns_mean=_mean([float(len(t.turns)) for e in good for t in e.trajectories]),
        errors=len(played) - len(good),
        first_error=_first_error(played),
    )


def _first_error(played: Sequence[Episode]) -> str:
    return next((episode.reason for episode in played if episode.stop is Stop.ERROR), "")


@dataclass(frozen=True, slots=True)
class TaskResult:
    """A policy at the tasks of an environment with one seat."""

    split: str
    episodes: int
    success_rate: float
    """Share of the episodes whose outcome the environment calls a success."""
    success_low: float
    success_high: float
    """95 % confidence interval (Wilson)."""
    mean_return: float
    mean_ci: float
    """As in `SeatResult`."""
    turns_mean: float
    invalid_rate: float
    errors: int
    first_error: str
    """As in `SeatResult`."""
    metrics: Mapping[str, float]
    """What the environment measured, see `env_metrics`."""

    def to_json(self) -> dict[str, Any]:
        """As JSON types; an infinite interval is null."""
        return {**asdict(self), "mean_ci": self.mean_ci if isfinite(self.mean_ci) else None}


def solve(
    agent: ModelAgent,
    env_id: str,
    *,
    episodes: int,
    seed: int,
    split: str = "",
    env_kwargs: Mapping[str, Any] | None = None,
    tasks: Sequence[Task] = (),
) -> TaskResult:
    """Play tasks alone.

    Args:
        agent: The policy.
        env_id: An environment with one seat.
        episodes: How many. Tasks differ until all of the split have been played.
        seed: Same seed, same tasks.
        split: Where the tasks come from; by default `held_out`.
        env_kwargs: Constructor arguments of the environment.
        tasks: Played one after the other, and again; by default `drawn` from the split.

    Raises:
        ValueError: If the environment is unknown, has more seats, or has no such split.
    """
    kwargs = dict(env_kwargs or {})
    kwargs["split"] = split or held_out(registry.spec(env_id).load())
    env = registry.make(env_id, **kwargs)
    if len(env.ROLES) > 1:
        raise ValueError(f"{env_id} has {len(env.ROLES)} seats: it is played against opponents")
    rollout = Rollout(
        agent.engine, agent.chat, lambda: registry.make(env_id, **kwargs), agent.sampling
    )
    tasks = tasks or drawn(env, kwargs["split"], episodes, seed)
    played = rollout.play(
        [tasks[i % len(tasks)] for i in range(episodes)],
        seed=derive_seed(seed, env_id, kwargs["split"]),
    )
    good = usable(played)
    solved = sum(episode.success is True for episode in good)
    low, high = wilson(solved, len(good))
    returns = [episode.returns[env.ROLES[0]] for episode in good]
    turns = [t.turns for e in good for t in e.trajectories]
    return TaskResult(
        split=kwargs["split"],
        episodes=len(good),
        success_rate=solved / max(len(good), 1),
        success_low=low,
        success_high=high,
        mean_return=_mean(returns),
        mean_ci=mean_ci(returns),
        turns_mean=_mean([float(len(row)) for row in turns]),
        invalid_rate=_mean([float(bool(turn.invalid)) for row in turns for turn in row]),
        errors=len(played) - len(good),
        first_error=_first_error(played),
        metrics=env_metrics(good),
    )


def evaluate(
    agent: ModelAgent, arenas: Sequence[Arena], *, episodes: int, seed: int
) -> dict[str, float]:
    """What a run logs; where there are several arenas, "eval/NAME/ARENA/..."."""
    metrics = {}
    for arena in arenas:
        for name, value in _evaluate(agent, arena, episodes=episodes, seed=seed).items():
            _, what, *rest = name.split("/")
            metrics["/".join(filter(None, ("eval", what, arena.name, *rest)))] = value
    return metrics


def _evaluate(agent: ModelAgent, arena: Arena, *, episodes: int, seed: int) -> dict[str, float]:
    """Of one arena: exploitability where the game is small enough to solve; of other
    games, results against random play; of tasks, what is solved, by split."""
    if arena.tree is not None:
        found, _ = exploitability(agent, arena.tree)
        return {
            "eval/exploitability": found.exploitability,
            "eval/value": found.value,
            "eval/min_legal_mass": found.min_legal_mass,
        }
    metrics: dict[str, float] = {}
    splits = validation(arena.env)
    settings: dict[str, Any] = {"episodes": episodes, "seed": seed, "env_kwargs": arena.kwargs}
    if len(arena.env.ROLES) > 1:
        for seat in against(agent, arena.env_id, "random", split=splits[0], **settings):
            metrics[f"eval/win_rate/{seat.seat}"] = seat.win_rate
            metrics[f"eval/return/{seat.seat}"] = seat.mean_return
        return metrics
    for split in splits:
        own = f"/{split}" if len(splits) > 1 else ""
        result = solve(agent, arena.env_id, split=split, **settings)
        metrics |= {
            f"eval/success{own}": result.success_rate,
            f"eval/return{own}": result.mean_return,
            f"eval/turns{own}": result.turns_mean,
            **{f"eval/{name}{own}": value for name, value in result.metrics.items()},
        }
    return metrics


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
