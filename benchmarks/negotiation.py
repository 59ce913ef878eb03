"""What scripted traders achieve against each other: python benchmarks/negotiation.py [--games 200]

Both reward rules of simple negotiation, every ordered pair of agents, the same tasks for all; a
table in Markdown. Scores are exact, see `ludus.envs.games.bargaining`.
"""

import random
import statistics
import time
from dataclasses import dataclass
from itertools import product

import tyro

from ludus.agents.base import Agent, make_agent
from ludus.envs.base import TextEnv
from ludus.envs.registry import make
from ludus.trainer.intervals import mean_ci

ENVS = ("ludus/SimpleNegotiation-v1", "ludus/NegotiationForGain-v1")
SCORES = ("gain_player_0", "gain_player_1", "welfare", "nash", "pareto")


@dataclass(frozen=True)
class Args:
    """Play the agents against each other."""

    agents: tuple[str, ...] = ("random", "negotiator", "bargainer")
    """Specs."""
    games: int = 200
    """Per pair."""


def game(env: TextEnv, agents: dict[str, Agent], index: int) -> tuple[float, dict[str, float]]:
    """One game: the first seat's return, and the metrics."""
    _, info = env.reset(seed=index, options={"split": "test", "index": index})
    rng = random.Random(index)
    while env.acting:
        seat = env.acting[0]
        _, _, _, _, info = env.step(agents[seat].act(env, seat, rng), seat=seat)
    return env.returns["player_0"], info["metrics"]


def main() -> None:
    """Print the table."""
    args = tyro.cli(Args)
    columns = ("env", "player_0", "player_1", "return of player_0", *SCORES, "s a game")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for env_id, first, second in product(ENVS, args.agents, args.agents):
        env, start = make(env_id), time.perf_counter()
        agents = {"player_0": make_agent(first), "player_1": make_agent(second)}
        played = [game(env, agents, i % 500) for i in range(args.games)]
        returns = [result for result, _ in played]
        means = [statistics.fmean(m[f"negotiation/{name}"] for _, m in played) for name in SCORES]
        cells = (
            env_id, first, second, f"{statistics.fmean(returns):+.2f} ± {mean_ci(returns):.2f}",
            *(f"{mean:.1f}" for mean in means[:2]), *(f"{mean:.2f}" for mean in means[2:]),
            f"{(time.perf_counter() - start) / args.games:.2f}",
        )  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
