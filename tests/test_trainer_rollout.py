"""Rollouts: what the engine sampled is what is recorded, and every reward finds its reply."""

import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ludus.agents.base import make_agent
from ludus.agents.engines.base import SamplingParams
from ludus.agents.engines.embedded import EmbeddedEngine, EmbeddedSession
from ludus.agents.policy import sampling_for
from ludus.envs import InvalidMove, Outcome, Replay, Task, TextEnv
from ludus.envs.registry import make
from ludus.envs.toolenv import with_tools
from ludus.trainer.advantages import RAE
from ludus.trainer.metrics import rollout_metrics
from ludus.trainer.rollout import Rollout
from ludus.trainer.trajectory import Episode, Stop, Trajectory, usable

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import ScriptedEngine, ScriptedSession, chat, tiny

PARAMS = sampling_for(chat(), SamplingParams(max_tokens=6))


def scripted(*texts: str, **settings: Any) -> ScriptedEngine:
    """An engine whose sessions all say these texts, one a turn, the last again and again."""

    def reply(session: ScriptedSession) -> Sequence[int]:
        return chat().reply(texts[min(session.replies, len(texts) - 1)])

    return ScriptedEngine(reply, **settings)


def rollout(engine: Any, env: Callable[[], TextEnv], **settings: Any) -> Rollout:
    return Rollout(engine, chat(), env, PARAMS, **settings)


def play(engine: Any, env: Callable[[], TextEnv], n: int = 1, **settings: Any) -> list[Episode]:
    seed = settings.pop("seed", 0)
    return rollout(engine, env, **settings).play([None] * n, seed=seed)


def tokens(trajectory: Trajectory) -> list[int]:
    return [i for node in trajectory.leaf.path() for i in node.ids]


class Paid(TextEnv):
    """Two seats in turn. A move pays its seat 1 and takes a quarter from the other; the last one
    also pays player_0 10."""

    ENV_ID = "test/Paid-v0"
    ROLES = ("player_0", "player_1")
    PARAMS: ClassVar[Mapping[str, Any]] = {"moves": 5, "broken": ""}

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._moved = 0
        self._breaks("setup")

    def _breaks(self, place: str) -> None:
        if self.params["broken"] == place:
            raise RuntimeError(f"broken at {place}")

    def _rules(self, seat: str) -> str:
        return f"You are {seat}."

    def _acting(self) -> tuple[str, ...]:
        return (self.ROLES[self._moved % 2],)

    def _observe(self, seat: str) -> str:
        return f"Move {self._moved}."

    def _parse(self, text: str, seat: str) -> str:
        if "bad" in text:
            raise InvalidMove("bad")
        return text

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, _),) = moves.items()
        self._moved += 1
        if self._moved == 3:
            self._breaks("step")
        rewards = {role: 1.0 if role == seat else -0.25 for role in self.ROLES}
        over = self._moved == self.params["moves"]
        if over:
            rewards["player_0"] += 10.0
        return Outcome(rewards, terminated=over, reason="all moved" if over else "")


class Blind(Paid):
    """Cannot be looked at after its second move."""

    def observe(self, seat: str) -> Any:
        if self._moved == 2:
            raise KeyError(seat)
        return super().observe(seat)


class Both(Paid):
    """Two seats that move at once, three times."""

    PARAMS: ClassVar[Mapping[str, Any]] = {"moves": 3, "broken": ""}

    def _acting(self) -> tuple[str, ...]:
        return self.ROLES

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        self._moved += 1
        rewards = {role: float(len(move)) for role, move in moves.items()}
        return Outcome(rewards, terminated=self._moved == self.params["moves"])


class Watched(EmbeddedEngine):
    """Notes the tokens of every session that is closed."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.seen: list[list[int]] = []

    def close(self, session: EmbeddedSession) -> None:
        if not session.closed:
            self.seen.append(list(session.ids))
        super().close(session)


def guesses() -> TextEnv:
    return make("ludus/GuessNumber-v1", on_invalid="retry", max_invalid=2)


def test_recorded_tokens_are_the_engines() -> None:
    engine = Watched(tiny()[0])
    episodes = play(engine, guesses, 6)
    recorded = [tokens(t) for episode in episodes for t in episode.trajectories]
    assert len(recorded) == 6
    # A session may have been told more than it answered; what is recorded ends with an answer.
    seen = sorted(engine.seen)
    for own, whole in zip(sorted(recorded), seen, strict=True):
        assert whole[: len(own)] == own
    for episode in episodes:
        (trajectory,) = episode.trajectories
        assert len(trajectory.turns) == 3  # two second chances, then it forfeits
        assert all(turn.invalid for turn in trajectory.turns)
        assert trajectory.leaf.is_action
        actions = [node for node in trajectory.leaf.path() if node.is_action]
        for node, turn in zip(actions, trajectory.turns, strict=True):
            assert chat().text(node.ids) == turn.text
            assert node.version == 0
            assert all(logp <= 0 for logp in node.logps)
            assert len(node.ids) <= PARAMS.max_tokens
    assert not any(engine.step())


def test_a_reward_goes_to_the_reply_it_follows() -> None:
    engine = scripted("a", "b", "c")
    (episode,) = play(engine, Paid)
    assert episode.returns == {"player_0": 12.5, "player_1": 1.25}
    by_role = {t.role: t for t in episode.trajectories}
    # player_0 moves 1st, 3rd and 5th; what the other's moves take from it is of its latest reply.
    assert [turn.reward for turn in by_role["player_0"].turns] == [0.75, 0.75, 11.0]
    # The first move took a quarter from player_1, who had not yet said anything.
    assert [turn.reward for turn in by_role["player_1"].turns] == [0.75, 0.75]
    assert [turn.text for turn in by_role["player_0"].turns] == ["a", "b", "c"]
    assert episode.stop is Stop.TERMINATED
    assert episode.reason == "all moved"
    assert all(session.closed for session in engine.sessions)


def test_a_bad_reply_forfeits() -> None:
    def kuhn() -> TextEnv:
        return make("ludus/KuhnPoker-v1", on_invalid="forfeit", forfeit=(-1.5, 0.5))

    engine = scripted("nonsense")
    (episode,) = play(engine, kuhn)
    assert episode.stop is Stop.FORFEIT
    assert episode.returns == {"player_0": -1.5, "player_1": 0.5}
    (offender,) = episode.trajectories  # the other never said anything
    assert offender.role == "player_0"
    assert offender.ret == -1.5
    assert offender.turns[0].invalid
    estimator = RAE()
    assert estimator([episode]) == [(-1.5,)]
    assert estimator.baselines["ludus/KuhnPoker-v1", "player_1"] == pytest.approx(0.025)

    def reply(session: ScriptedSession) -> Sequence[int]:
        return chat().reply(
            "nonsense" if "player_1" in chat().text(tuple(session.ids)) else "check"
        )

    (episode,) = play(ScriptedEngine(reply), kuhn)
    assert episode.returns == {"player_0": 0.5, "player_1": -1.5}
    assert {t.role: [turn.reward for turn in t.turns] for t in episode.trajectories} == {
        "player_0": [0.5], "player_1": [-1.5],
    }  # fmt: skip
    assert all(session.closed for session in engine.sessions)


def test_a_forfeit_without_a_loss_is_still_one() -> None:
    (episode,) = play(scripted("bad"), lambda: Paid(on_invalid="forfeit", forfeit=(0.0, 0.0)))
    assert episode.stop is Stop.FORFEIT


@pytest.mark.parametrize("policy", ["penalize", "noop"])
def test_the_turn_limit_is_no_forfeit(policy: Any) -> None:
    class Short(Paid):
        MAX_TURNS = 4

    (episode,) = play(scripted("bad"), lambda: Short(on_invalid=policy, max_invalid=9))
    assert episode.stop is Stop.TRUNCATED
    assert episode.reason == "turn limit"
    assert len(episode.trajectories[0].turns) == 4


@pytest.mark.parametrize("place", ["setup", "step", "observe", "opponent"])
def test_a_broken_episode_is_left_out_and_counted(place: str) -> None:
    class Broken:
        def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
            raise ConnectionError("no server")

    built = 0

    def make_env() -> TextEnv:
        nonlocal built
        built += 1
        if built != 2:
            return Paid()
        return Blind() if place == "observe" else Paid(broken=place)

    healthy = play(scripted("a"), Paid, 3)
    if place == "opponent":
        episodes = play(scripted("a"), Paid, 3, opponents={"player_1": Broken()})
        assert [e.stop for e in episodes] == [Stop.ERROR] * 3
        assert episodes[0].reason == "ConnectionError: no server"
        assert rollout_metrics(episodes, 1.0)["rollout/errors"] == 3
        return
    engine = scripted("a")
    episodes = play(engine, make_env, 3)
    assert [e.stop for e in episodes] == [Stop.TERMINATED, Stop.ERROR, Stop.TERMINATED]
    broken = episodes[1]
    assert broken.trajectories == ()
    assert broken.reason == (
        "KeyError: 'player_0'" if place == "observe" else f"RuntimeError: broken at {place}"
    )
    assert usable(episodes) == [episodes[0], episodes[2]]
    for own, other in zip(usable(episodes), healthy[::2], strict=True):
        assert list(map(tokens, own.trajectories)) == list(map(tokens, other.trajectories))
    metrics = rollout_metrics(episodes, 2.0)
    assert metrics["rollout/errors"] == 1
    assert metrics["stop/error"] == pytest.approx(1 / 3)
    assert metrics["return/player_0"] == 12.5  # a broken episode is no return of zero
    assert metrics["rollout/turns_mean"] == 2.5
    assert all(session.closed for session in engine.sessions)


def test_collapse_to_one_token_shows() -> None:
    (mark,) = chat().reply("!")[:-1]
    engine = ScriptedEngine(lambda session: [mark] * 7 + list(chat().reply("a")))
    assert rollout_metrics(play(engine, Paid), 1.0)["rollout/longest_repeat"] == 7


def test_turns_have_curves_of_their_own() -> None:
    episodes = play(scripted("a", "bb bb", "a"), lambda: Paid(moves=40), 2)
    metrics = rollout_metrics(episodes, 1.0)
    first, second = (len(chat().reply(text)) for text in ("a", "bb bb"))
    assert [metrics[f"turn/{i}/tokens"] for i in range(3)] == [first, second, first]
    assert metrics["turn/7/entropy"] == 0.5  # of every token of this engine
    assert "turn/8/tokens" not in metrics
    one = rollout_metrics(play(scripted("a"), lambda: Paid(moves=2)), 1.0)
    assert not any(name.startswith("turn/") for name in one)


def test_what_the_environment_measures_is_logged() -> None:
    def tools() -> TextEnv:
        return with_tools("ludus/GuessNumber-v1", tools=["calculator"], call_format="tags")

    call = "<calculator>1 + 1</calculator>"
    episodes = play(scripted(call, call, "1"), tools, 3)
    assert [episode.metrics["calls"] for episode in episodes] == [2, 2, 2]
    assert all(episode.trajectories[0].turns[0].invalid == "" for episode in episodes)
    assert rollout_metrics(episodes, 1.0)["env/calls"] == 2
    once = play(scripted("1"), tools)
    assert rollout_metrics([*episodes, *once], 1.0)["env/calls"] == 1.5
    assert not any(
        name.startswith("env/") for name in rollout_metrics(play(scripted("a"), Paid), 1)
    )


def test_same_seed_same_episodes() -> None:
    model = tiny()[0]
    player = rollout(EmbeddedEngine(model), guesses)
    runs = [player.play([None] * 5, seed=seed) for seed in (1, 1, 2)]
    said = [[tokens(t) for e in run for t in e.trajectories] for run in runs]
    assert said[0] == said[1] != said[2]
    logps = [[n.logps for e in run for n in e.trajectories[0].leaf.path()] for run in runs]
    assert logps[0] == logps[1]
    assert len({tuple(ids) for ids in said[0]}) == 5  # equal prompts, draws of their own
    # An episode depends on its seed and number, not on what is played beside it.
    assert [tokens(e.trajectories[0]) for e in player.play([None] * 2, seed=1)] == said[0][:2]


def test_episodes_come_in_the_order_of_their_tasks() -> None:
    env = make("ludus/GuessNumber-v1")
    tasks = list(env.tasks("train").shuffle(0, 7))

    def reply(session: ScriptedSession) -> Sequence[int]:  # some take long, others are done at once
        return chat().reply("bad" if session.seed % 3 else "1")

    for newest_first in (False, True):
        engine = ScriptedEngine(reply, newest_first=newest_first)
        episodes = rollout(engine, guesses).play(tasks, seed=3)
        assert [e.task_key for e in episodes] == [task.key for task in tasks]
        assert [e.number for e in episodes] == list(range(7))
        assert all(t.episode == e.number for e in episodes for t in e.trajectories)


def test_opponents_play_their_seats() -> None:
    def kuhn() -> TextEnv:
        return make("ludus/KuhnPoker-v1", on_invalid="forfeit")

    for own, other in (("player_0", "player_1"), ("player_1", "player_0")):
        engine = EmbeddedEngine(tiny()[0])
        settings = {"opponents": {other: make_agent("random")}, "keep_replays": 2}
        episodes, again = (play(engine, kuhn, 8, **settings) for _ in range(2))
        assert {t.role for e in episodes for t in e.trajectories} == {own}
        assert [e.returns for e in episodes] == [e.returns for e in again]
        assert [bool(e.replay) for e in episodes] == [True] * 2 + [False] * 6
        env = kuhn()
        replay = Replay.from_json(episodes[0].replay)
        assert {seat for seat, _ in replay.actions} <= set(env.ROLES)
        assert type(env).from_replay(replay).returns == episodes[0].returns


def test_a_full_conversation_ends_truncated() -> None:
    first = len(chat().open(Paid().reset(seed=0)[0].messages))
    engine = scripted("a long reply", max_positions=first + 30)
    (episode,) = play(engine, lambda: Paid(moves=50))
    assert episode.stop is Stop.TRUNCATED
    assert episode.reason == "token limit"
    assert sum(t.ret for t in episode.trajectories) > 0  # what was earned is kept
    assert all(len(s.tokens) <= engine.max_positions and s.closed for s in engine.sessions)
    (nothing,) = play(scripted("a", max_positions=first), Paid)
    assert nothing.stop is Stop.TRUNCATED
    assert nothing.trajectories == ()


def test_a_real_engine_is_filled_up() -> None:
    engine = EmbeddedEngine(tiny(max_positions=150)[0])

    def endless() -> TextEnv:
        return make("ludus/GuessNumber-v1", on_invalid="noop")

    for episode in play(engine, endless, 3):
        assert (episode.stop, episode.reason) == (Stop.TRUNCATED, "token limit")
        assert len(tokens(episode.trajectories[0])) <= 150


@pytest.mark.parametrize("newest_first", [False, True])
def test_simultaneous_seats(newest_first: bool) -> None:
    engine = scripted("a", "bb", "ccc", newest_first=newest_first)
    (episode,) = play(engine, Both)
    assert episode.returns == {"player_0": 6.0, "player_1": 6.0}
    for trajectory in episode.trajectories:
        assert [turn.text for turn in trajectory.turns] == ["a", "bb", "ccc"]
        # The last of the three moves of each round brings both rewards.
        assert [turn.reward for turn in trajectory.turns] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("newest_first", [False, True])
def test_one_seat_forfeits_while_the_other_replies(newest_first: bool) -> None:
    engine = scripted("bad", newest_first=newest_first)
    (episode,) = play(engine, lambda: Both(on_invalid="forfeit"))
    assert episode.stop is Stop.FORFEIT
    (offender,) = episode.trajectories
    assert offender.role == f"player_{int(newest_first)}"
    assert all(session.closed for session in engine.sessions)
    assert engine.step() == []


def test_an_opponent_beside_the_policy_in_simultaneous_play() -> None:
    class Says:
        def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
            return "dddd"

    for other in ("player_0", "player_1"):
        (episode,) = play(scripted("a"), Both, opponents={other: Says()})
        assert episode.returns[other] == 12.0
        (trajectory,) = episode.trajectories
        assert trajectory.ret == 3.0
