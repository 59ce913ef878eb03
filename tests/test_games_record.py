"""Games on record say what was played, by whom and in which position."""

import json

import pytest

from ludus.envs import registry
from ludus.envs.base import TextEnv
from ludus.envs.games.kuhn import KuhnPoker
from ludus.envs.games.tictactoe import TicTacToe
from ludus.trainer.games import record_game, record_games
from ludus.trainer.trajectory import Episode, Stop, TokenNode, Trajectory, Turn


def played(
    env: TextEnv, replies: list[str], *, policy: tuple[str, ...], keep: bool = True
) -> Episode:
    """An episode as a rollout would leave it; the policy samples two tokens a reply."""
    env.reset(seed=0)
    leaves: dict[str, TokenNode] = {}
    turns: dict[str, list[Turn]] = {}
    reason = ""
    for reply in replies:
        seat = env.acting[0]
        info = env.step(reply)[4]
        turn = len(turns.setdefault(seat, []))
        turns[seat].append(Turn(0.0, reply, info["invalid"]))
        context = TokenNode(leaves.get(seat), (1, 2, 3))
        leaves[seat] = TokenNode(context, (4, 5), turn, (-0.5 - turn, -0.25), (0.2, 0.6), 0)
        reason = info.get("outcome", {}).get("reason", "")
    trajectories = tuple(
        Trajectory(env.ENV_ID, env.task.key, seat, 0, leaves[seat], tuple(turns[seat]))
        for seat in policy
    )
    replay = env.replay().to_json() if keep else {}
    return Episode(
        env.ENV_ID, env.task.key, 0, env.returns, trajectories, Stop.TERMINATED, reason, replay
    )


def test_records_every_move_with_its_position() -> None:
    episode = played(KuhnPoker(deal="KQ"), ["check", "bet", "call"], policy=KuhnPoker.ROLES)
    record = record_game(KuhnPoker, episode)
    assert [move["seat"] for move in record["moves"]] == ["player_0", "player_1", "player_0"]
    assert [move["reply"] for move in record["moves"]] == ["check", "bet", "call"]
    assert record["start"] == "player_0 [K]   pot 2   player_1 [Q]   moves: -"
    assert record["moves"][2]["board"].endswith("pot 4   player_1 [Q]   moves: check bet call")
    assert "Your card is Q." in record["moves"][1]["shown"]
    assert "player_1: bet" in record["moves"][2]["shown"]
    assert record["returns"] == {"player_0": 2.0, "player_1": -2.0}
    assert record["reason"] == "player_0 wins 2 at showdown"
    assert record["stop"] == "terminated"
    assert json.loads(json.dumps(record)) == record


def test_each_reply_has_its_own_log_probabilities() -> None:
    episode = played(KuhnPoker(deal="KQ"), ["check", "bet", "call"], policy=("player_0",))
    first, opponent, second = record_game(KuhnPoker, episode)["moves"]
    assert first["logps"] == [-0.5, -0.25]
    assert second["logps"] == [-1.5, -0.25]
    assert first["entropy"] == pytest.approx(0.4)
    assert "logps" not in opponent


def test_marks_replies_that_were_no_moves() -> None:
    episode = played(TicTacToe(format="boxed"), ["5", r"\boxed{5}"], policy=("player_0",))
    record = record_game(TicTacToe, episode)
    bad, good = record["moves"]
    assert bad["invalid"]
    assert not good["invalid"]
    assert bad["board"] == record["start"]
    assert "X" in good["board"]
    assert "Invalid action" in good["shown"]


def test_forks_with_chance_of_their_own_are_run_as_they_were() -> None:
    env = TicTacToe()
    env.reset(seed=3)
    env.step("1")
    (twin,) = env.fork(reseed=7)
    twin.step("5")
    replay = twin.replay().to_json()
    episode = Episode(
        env.ENV_ID, env.task.key, 0, twin.returns, (), Stop.TRUNCATED, "turn limit", replay
    )
    record = record_game(TicTacToe, episode)
    assert record["moves"][-1]["board"] == twin._render()


def test_only_episodes_with_a_replay_are_recorded() -> None:
    kept = played(KuhnPoker(), ["bet", "fold"], policy=KuhnPoker.ROLES)
    other = played(KuhnPoker(), ["bet", "call"], policy=KuhnPoker.ROLES, keep=False)

    def make(**kwargs: object) -> TextEnv:
        return registry.make("ludus/KuhnPoker-v1", **kwargs)

    (record,) = record_games([kept, other], make)
    assert [move["reply"] for move in record["moves"]] == ["bet", "fold"]
    with pytest.raises(ValueError, match="without keeping its replay"):
        record_game(make, other)
