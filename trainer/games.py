"""Games on record: episodes of a rollout, move by move, as JSON for people to look at.

An episode keeps only what caused it (`Replay`). Here it is run again, which gives what each seat
was shown and how the position looked; what the policy thought of its replies is in the trajectory.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ludus.envs.base import TextEnv
from ludus.envs.outcome import Replay
from ludus.trainer.trajectory import Episode, TokenNode

GameRecord = dict[str, Any]


def record_game(make_env: Callable[..., TextEnv], episode: Episode) -> GameRecord:
    """One episode, move by move.

    Args:
        make_env: The environment's class, or whatever builds it from its constructor arguments.
        episode: One whose replay was kept, see `Rollout(keep_replays=...)`.

    Returns:
        {"env", "task_key", "seats", "returns", "reason", "stop", "start", "moves"}, JSON types.
        "start" is the position before the first move; a move is {"seat", "shown", "reply",
        "invalid", "board"}, where "shown" is what the seat was told since it last acted, "invalid"
        what was wrong with the reply, if anything, and "board" the position after it ("" where
        the environment draws none). Replies of the policy also have "logps" (nats, per sampled
        token) and "entropy" (nats, mean per sampled token).

    Raises:
        ValueError: If the episode has no replay.
    """
    if not episode.replay:
        raise ValueError(f"episode {episode.number} was played without keeping its replay")
    replay = Replay.from_json(episode.replay)
    env = make_env(**replay.config)
    env.start(replay.task, replay.chance_seed)
    sampled = {t.role: iter(_actions(t.leaf)) for t in episode.trajectories}
    reseeds = list(replay.reseeds)
    start, moves = env._render(), []
    for at, (seat, reply) in enumerate(replay.actions):
        while reseeds and reseeds[0][0] == at:
            env._reseed(reseeds.pop(0)[1])
        shown = str(env.observe(seat))
        info = env.step(reply, seat=seat)[4]
        move: GameRecord = {
            "seat": seat,
            "shown": shown,
            "reply": reply,
            "invalid": info["invalid"],
            "board": env._render(),
        }
        if seat in sampled:
            node = next(sampled[seat])
            move["logps"] = list(node.logps)
            move["entropy"] = sum(node.entropies) / len(node.entropies)
        moves.append(move)
    return {
        "env": episode.env_id,
        "task_key": episode.task_key,
        "seats": list(env.ROLES),
        "returns": dict(episode.returns),
        "reason": episode.reason,
        "stop": str(episode.stop),
        "start": start,
        "moves": moves,
    }


def record_games(episodes: Sequence[Episode], make_env: Callable[..., TextEnv]) -> list[GameRecord]:
    """Those of the episodes that kept their replay, each as `record_game` gives it."""
    return [record_game(make_env, episode) for episode in episodes if episode.replay]


def _actions(leaf: TokenNode) -> list[TokenNode]:
    return [node for node in leaf.path() if node.is_action]
