"""Several environments, levels and past selves: who plays what; a resume changes nothing."""

import dataclasses
import json
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ludus import cli
from ludus.agents.engines import make_engine
from ludus.agents.engines.base import SamplingParams
from ludus.agents.policy import ModelAgent
from ludus.envs.registry import make, suite
from ludus.trainer.advantages import GROUPS
from ludus.trainer.arena import make_arenas
from ludus.trainer.config import RECIPES, TrainConfig
from ludus.trainer.credit import Credited
from ludus.trainer.load import load_policy
from ludus.trainer.metrics import rollout_metrics
from ludus.trainer.pool import Pool
from ludus.trainer.rollout import Rollout
from ludus.trainer.sampler import points
from ludus.trainer.spread import SEC, Ladder
from ludus.trainer.train import Trainer
from ludus.trainer.trajectory import Episode, Stop

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import chat, tiny

LEVELS = json.dumps([{"high": 2}, {"high": 4}, {"high": 8}])
BASE = TrainConfig(
    model="small:hidden=32,layers=1,heads=2,kv_heads=1",
    episodes=12,
    steps=4,
    eval_episodes=2,
    eval_every=4,
    checkpoint_every=1,
    warmstart_episodes=12,
    warmstart_steps=0,
    threads=1,
)
GAMES = dataclasses.replace(BASE, env="ludus/KuhnPoker-v1,ludus/TicTacToe-v1")
TASKS = dataclasses.replace(BASE, env="ludus/GuessNumber-v1", env_args=LEVELS)


def at(config: TrainConfig, folder: Path, **changes: Any) -> TrainConfig:
    return dataclasses.replace(config, out=str(folder), **changes)


def names(trainer: Trainer, step: int) -> list[str]:
    return [arena.name for arena, _ in trainer.sampler.tasks(step)]


# ---- several environments -----------------------------------------------------------------------


def test_a_step_plays_all_games_and_rae_keeps_a_baseline_for_each_seat(tmp_path: Path) -> None:
    own = Trainer(at(GAMES, tmp_path / "run"))
    assert names(own, 0) == ["KuhnPoker-v1", "TicTacToe-v1"] * 6
    metrics = own.train_step()
    assert {f"return/{g}/player_{i}" for g in ("KuhnPoker-v1", "TicTacToe-v1") for i in (0, 1)} <= (
        metrics.keys()
    )
    assert metrics.keys() >= {
        f"credit/baseline/{game}/player_{i}"
        for game in ("KuhnPoker-v1", "TicTacToe-v1")
        for i in (0, 1)
    }
    baselines = own.credit.estimator.state_dict()["baselines"]
    assert {(env, role) for env, role, *_ in baselines} == {
        (env, f"player_{i}") for env in ("ludus/KuhnPoker-v1", "ludus/TicTacToe-v1") for i in (0, 1)
    }
    assert {
        "eval/exploitability/KuhnPoker-v1", "eval/win_rate/TicTacToe-v1/player_0",
    } <= own.evaluate().keys()  # fmt: skip


def test_fewer_groups_than_games_take_turns(tmp_path: Path) -> None:
    own = Trainer(at(GAMES, tmp_path / "run", episodes=3, group_size=3, advantage="grpo"))
    assert [set(names(own, step)) for step in range(3)] == [
        {"KuhnPoker-v1"}, {"TicTacToe-v1"}, {"KuhnPoker-v1"},
    ]  # fmt: skip


def test_the_end_of_a_run_judges_each_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = "ludus/KuhnPoker-v1,ludus/Pig-v1"
    assert Trainer(at(GAMES, tmp_path / "run", steps=1, env=env)).run()
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert set(result["arenas"]["KuhnPoker-v1"]) >= {"exploitability", "policy"}
    assert {row["arena"] for row in result["opponents"]} == {"KuhnPoker-v1", "Pig-v1"}
    games = json.loads((tmp_path / "run" / "games.json").read_text())
    assert {game["env"] for game in games} == {"ludus/KuhnPoker-v1", "ludus/Pig-v1"}
    assert "random in Pig-v1" in (tmp_path / "run" / "report.html").read_text()
    with pytest.raises(ValueError, match="several: name one with --env, of ludus/KuhnPoker-v1, "):
        load_policy(str(tmp_path / "run"))
    assert load_policy(str(tmp_path / "run"), env="ludus/Pig-v1").env == "ludus/Pig-v1"


def test_a_suite_is_a_list_of_environments() -> None:
    arenas = make_arenas(dataclasses.replace(RECIPES["spiral"], env="spiral-train"))
    assert tuple(arena.env_id for arena in arenas) == suite("spiral-train")


def test_arguments_by_environment() -> None:
    args = json.dumps({"ludus/GuessNumber-v1": {"high": 4}})
    config = TrainConfig(env="ludus/GuessNumber-v1,ludus/KuhnPoker-v1", env_args=args)
    guess, kuhn = make_arenas(config)
    assert (guess.env.params["high"], kuhn.name) == (4, "KuhnPoker-v1")
    with pytest.raises(ValueError, match="name the same twice"):
        make_arenas(TrainConfig(env="ludus/KuhnPoker-v1,ludus/KuhnPoker-v1"))


def test_where_nobody_can_be_imitated_the_warm_start_is_of_the_other_games(tmp_path: Path) -> None:
    said: list[str] = []
    config = at(BASE, tmp_path / "run", env="ludus/SimpleNegotiation-v1,ludus/KuhnPoker-v1")
    own = Trainer(dataclasses.replace(config, warmstart_steps=1), say=said.append)
    assert said[0] == "warm start: nothing to imitate in ludus/SimpleNegotiation-v1"
    assert "12 conversations" in said[1]  # of 6 games of two seats
    assert own.train_step()["rollout/errors"] == 0


def test_what_an_opponent_gets_is_no_baseline(tmp_path: Path) -> None:
    """The policy's own returns alone say what it gets in a seat, and are logged."""
    own = Trainer(at(BASE, tmp_path / "run", env="ludus/TicTacToe-v1", opponent="random"))
    episodes = own.sampler.sample(0)
    own.credit(episodes)
    b = {"player_0": 0.0, "player_1": 0.0}
    got: dict[str, list[float]] = {role: [] for role in b}
    for e in episodes:
        (t,) = e.trajectories
        assert {*e.opponents, t.role} == {"player_0", "player_1"}
        got[t.role].append(e.returns[t.role])
        b[t.role] = 0.95 * b[t.role] + 0.05 * e.returns[t.role]
    baselines = own.credit.estimator.state_dict()["baselines"]
    assert {role: value for _, role, value, _ in baselines} == pytest.approx(b)
    metrics = rollout_metrics(episodes, 1.0)
    for role, returns in got.items():
        assert metrics[f"return/{role}"] == pytest.approx(sum(returns) / len(returns))


# ---- levels -------------------------------------------------------------------------------------


def test_the_bandit_moves_to_what_is_learnt(tmp_path: Path) -> None:
    own = Trainer(at(TASKS, tmp_path / "run", curriculum="sec:temperature=0.1"))
    assert isinstance(own.curriculum, SEC)
    own.curriculum.learn({"high=4": [0.5, 1.5], "high=8": [0.1]}, {})
    assert own.curriculum.values == {"high=2": 0.0, "high=4": 0.5, "high=8": 0.05}
    drawn = [name for step in range(20) for name in names(own, step)]
    assert drawn.count("high=4") > 0.9 * len(drawn)
    assert own.train_step()["curriculum/high=4"] > 0.9
    # What it learnt from a step is the mean |advantage| of the arenas that were played.
    assert own.curriculum.values["high=4"] != 0.5
    assert own.curriculum.values["high=2"] == 0.0


def test_an_arena_of_which_nothing_is_trained_taught_nothing(tmp_path: Path) -> None:
    """Else one that is solved, whose groups filters leave out, would keep its chance for ever."""
    own = Trainer(at(TASKS, tmp_path / "run", curriculum="sec"))
    assert isinstance(own.curriculum, SEC)
    own.curriculum.values = dict.fromkeys(own.curriculum.values, 1.0)
    episodes = own.sampler.sample(0)
    played = {e.level for e in episodes}
    own.sampler.learn(episodes, Credited([], [], [], {}))
    assert own.curriculum.values == {
        name: 0.5 if name in played else 1.0 for name in ("high=2", "high=4", "high=8")
    }
    own.sampler.learn(episodes, own.credit(episodes))
    assert all(own.curriculum.values[name] > 0.5 for name in played)


def test_levels_have_baselines_and_groups_of_their_own(tmp_path: Path) -> None:
    own = Trainer(at(TASKS, tmp_path / "run"))
    own.train_step()
    baselines = own.credit.estimator.state_dict()["baselines"]
    assert [game for game, *_ in baselines] == [
        f"ludus/GuessNumber-v1 high={high}" for high in (2, 4, 8)
    ]
    # Tasks that lie in a file have one key at every level.
    episodes = own.sampler.sample(0)
    first, last = episodes[0].trajectories[0], episodes[-1].trajectories[0]
    twins = [dataclasses.replace(t, task_key="same") for t in (first, last)]
    assert len({GROUPS["task+role"](t) for t in twins}) == 2


def test_the_ladder_goes_up_when_enough_is_solved(tmp_path: Path) -> None:
    own = Ladder(("a", "b"), up=0.5, over=4)
    rng = random.Random(0)
    for solved, rung in (([1, 0, 0], 0), ([0], 0), ([1, 1], 0), ([0, 0], 1), ([1] * 9, 1)):
        assert own.draw(0, 2, rng) == [own.rung] * 2
        own.learn({}, {"a" if own.rung == 0 else "b": [float(s) for s in solved]})
        assert own.rung == rung
    with pytest.raises(ValueError, match="0 < up <= 1"):
        TrainConfig(curriculum="ladder:up=0")
    run = Trainer(at(TASKS, tmp_path / "run", curriculum="ladder:up=0.01,over=12", steps=9))
    rungs = []
    for _ in range(6):
        rungs.append(run.train_step()["curriculum/rung"])
        run.step += 1
        assert set(names(run, run.step)) == {("high=2", "high=4", "high=8")[int(rungs[-1])]}
    assert rungs == sorted(rungs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"curriculum": "sec", "env_args": "{}"}, "needs several environments"),
        (
            {"curriculum": "ladder", "env": GAMES.env, "env_args": "{}"},
            "a ladder without an opponent",
        ),
    ],
)
def test_a_curriculum_that_says_nothing_is_refused(
    tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Trainer(at(TASKS, tmp_path / "run", **changes))
    assert list(tmp_path.iterdir()) == []


def test_points_of_an_episode() -> None:
    def ended(success: bool | None = None, **returns: float) -> Episode:
        return Episode("test/Env-v0", "task", 0, returns, (), Stop.TERMINATED, success=success)

    assert points(ended(True, a=0.0), "a") == 1
    assert points(ended(None, a=5.0), "a") == 0
    assert [points(ended(a=r, b=1.0), "a") for r in (2.0, 1.0, 0.0)] == [1, 0.5, 0]


# ---- past selves --------------------------------------------------------------------------------


def agent(seed: int) -> ModelAgent:
    model, _ = tiny(seed=seed, max_positions=4096)
    return ModelAgent(make_engine(model), chat(), SamplingParams(max_tokens=4))


@pytest.mark.parametrize("env", ["ludus/KuhnPoker-v1", "ludus/RockPaperScissors-v1"])
def test_a_model_as_opponent_is_batched_and_not_trained(env: str) -> None:
    own, other = agent(0), agent(1)
    steps = 0
    step = other.engine.step

    def counted() -> Any:
        nonlocal steps
        steps += 1
        return step()

    other.engine.step = counted  # type: ignore[method-assign]
    rollout = Rollout(
        own.engine, own.chat, lambda: make(env, on_invalid="retry"), own.sampling,
        opponents={"player_1": other},
    )  # fmt: skip
    limited = rollout.play([None] * 16, seed=1)
    assert {t.role for e in limited for t in e.trajectories} == {"player_0"}
    assert all(set(e.returns) == {"player_0", "player_1"} for e in limited)
    # A game alone takes about as many steps of the opponent's engine: they are played together.
    assert 0 < steps < 100
    for t in (t for e in limited for t in e.trajectories):
        assert all(node.version == own.engine.version for node in t.leaf.path() if node.is_action)


def test_whose_engine_runs_first_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def episodes() -> list[tuple[Mapping[str, float], list[tuple[int, ...]]]]:
        own, other = agent(0), agent(1)
        played = Rollout(
            own.engine, own.chat, lambda: make("ludus/KuhnPoker-v1"), own.sampling,
            opponents={"player_0": other},
        ).play([None] * 24, seed=3)  # fmt: skip
        return [(e.returns, [n.ids for t in e.trajectories for n in t.leaf.path()]) for e in played]

    first = episodes()
    engines = Rollout._engines
    monkeypatch.setattr(Rollout, "_engines", lambda self: engines(self)[::-1])
    assert episodes() == first


def test_whom_a_pool_meets(tmp_path: Path) -> None:
    model, tokenizer = tiny()
    for how, expected in (
        ("latest", {"step-000003"}),
        ("uniform", {"step-000002", "step-000003"}),
        ("pfsp", {"step-000002"}),
    ):
        own = Pool(draw=how, size=2)
        (tmp_path / how).mkdir()
        own.open(tmp_path / how, lambda path: agent(0))
        for step in range(4):
            own.add(step, model, tokenizer)
        assert list(own.win_rates) == ["step-000002", "step-000003"]
        own.win_rates = {"step-000002": 0.3, "step-000003": 1.0}
        rng = random.Random(0)
        assert {own.pick(rng) for _ in range(40)} == expected
        own.record("step-000002", [1.0, 0.0, 1.0])
        assert own.win_rates["step-000002"] == pytest.approx(0.9 * 0.3 + 0.1 * 2 / 3)
        assert own.elo.ratings["now"] > 1000 > own.elo.ratings["step-000002"]
        total = sum(own.elo.ratings.values())
        assert total == pytest.approx(1000 * len(own.elo.ratings))
        own.checkpointed()
        kept = {path.name for path in (tmp_path / how).iterdir()}
        assert kept == {"step-000002", "step-000003"}
        own.add(4, model, tokenizer)
        own.checkpointed()  # the checkpoint before knows step 2
        assert (tmp_path / how / "step-000002").exists()
        own.checkpointed()
        assert not (tmp_path / how / "step-000002").exists()


@pytest.mark.parametrize(
    ("opponent", "message"),
    [
        ("pool:draw=best", "unknown draw 'best', nearest: latest, allowed: latest, uniform, pfsp"),
        ("pool:size=0", "a pool needs size >= 1"),
        ("pool:sise=3", "opponent pool has no setting 'sise', it has: draw, size, every"),
    ],
)
def test_a_pool_refuses(opponent: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(opponent=opponent)


def test_a_dry_run_with_a_pool_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", BASE.model, "--episodes", "4", "--out", str(tmp_path / "run"),
               "--opponent", "pool", "--warmstart-steps", "0"]  # fmt: skip
    assert cli.run(["train", "spiral", *options, "--dry-run"]) == 0
    assert list(tmp_path.iterdir()) == []
    assert "KuhnPoker" in capsys.readouterr().out


# ---- resume -------------------------------------------------------------------------------------

RUNS: Mapping[str, TrainConfig] = {
    "even": dataclasses.replace(GAMES, env="ludus/KuhnPoker-v1,ludus/RockPaperScissors-v1"),
    "sec": dataclasses.replace(TASKS, curriculum="sec:temperature=0.2"),
    "ladder": dataclasses.replace(TASKS, curriculum="ladder:up=0.05,over=12"),
    "pool": dataclasses.replace(
        BASE, env="ludus/KuhnPoker-v1", opponent="pool:draw=pfsp,size=2,every=1", lr=3e-3
    ),
}


def end(run: Path) -> tuple[bytes, list[dict[str, Any]], dict[str, Any]]:
    (newest,) = sorted((run / "checkpoints").glob("step-*"))[-1:]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]

    def timed(name: str) -> bool:
        return name.startswith("time") or name.endswith("_per_s")

    result = json.loads((run / "result.json").read_text())
    return (
        (newest / "model" / "model.safetensors").read_bytes(),
        [{k: v for k, v in line.items() if not timed(k)} for line in lines],
        {k: v for k, v in result.items() if k != "time_s"},
    )


@pytest.mark.parametrize("name", RUNS)
def test_a_stopped_run_goes_on_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    assert Trainer(at(RUNS[name], tmp_path / "whole")).run()
    config = at(RUNS[name], tmp_path / "cut")
    first = Trainer(config)
    assert not first.run(should_stop=lambda: first.step == 2)
    # Work after the last checkpoint that is lost with the process, and done again.
    lost = Trainer(config, resume=True)
    lost.train_step()
    assert Trainer(config, resume=True).run()
    assert end(tmp_path / "cut") == end(tmp_path / "whole")
    if name == "pool":
        for run in ("cut", "whole"):
            kept = {path.name for path in (tmp_path / run / "pool").iterdir()}
            assert kept == {"step-000002", "step-000003", "step-000004"}
