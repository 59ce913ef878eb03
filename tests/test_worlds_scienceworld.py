"""ScienceWorld behind our protocol, against the package itself; and that no Java is left behind."""

import gc
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ludus
from ludus.commands import check
from ludus.envs.worlds import jvm, scienceworld
from ludus.envs.worlds.jvm import POOL, Simulator, World
from ludus.envs.worlds.scienceworld import VARIATIONS, ScienceWorld, variations
from ludus.testing import check_env

pytest.importorskip("scienceworld")
if jvm.JAVA is None:
    pytest.skip("no java", allow_module_level=True)

ID = "ludus/ScienceWorld-v1"


def javas(parent: int | None = None) -> list[int]:
    """Java processes that a process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "stat").read_text()
            except OSError:
                continue
            name, rest = line.partition("(")[2].rpartition(")")[::2]
            state, ppid = rest.split()[:2]
            if name == "java" and state != "Z" and int(ppid) == (parent or os.getpid()):
                found.append(int(entry.name))
    return found


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    scienceworld._TURNS._answers.clear()
    assert javas() == []
    yield
    gc.collect()
    assert javas() == []


def play_golden(task: str) -> Any:
    env: Any = ludus.make(ID, task=task)
    _, info = env.reset(seed=3, options={"split": "test", "index": 0})
    plan = env.golden().plan
    for action in plan:
        *_, info = env.step(action)
    outcome = info["outcome"]
    assert (outcome["success"], outcome["reason"]) == (True, "score 100")
    assert outcome["returns"]["player_0"] == pytest.approx(1.0)
    env.close()
    return env


@pytest.mark.parametrize("task", ["find-plant", "power-component"])
def test_the_golden_path_wins(task: str) -> None:
    env = play_golden(task)
    assert env.task.params == {"task": task, "variation": variations(task, "test")[0]}


def test_tasks_and_splits_are_scienceworlds() -> None:
    simulator = Simulator()
    try:
        java = simulator.java
        assert set(java.getTaskNames()) == set(VARIATIONS)
        for task, count in VARIATIONS.items():
            assert java.getTaskMaxVariations(task) == count
        for task in ("boil", "identify-life-stages-1", "lifespan-longest-lived", "find-plant"):
            java.load(task, 0, "", False)
            assert list(java.getVariationsTrain()) == list(variations(task, "train"))
            assert list(java.getVariationsDev()) == list(variations(task, "valid"))
            assert list(java.getVariationsTest()) == list(variations(task, "test"))
        assert set(java.getPossibleSimplifications().split(", ")) | {"easy"} == set(
            scienceworld.SIMPLIFICATIONS
        )
    finally:
        simulator.end()
    sizes = [len(ScienceWorld.tasks(split)) for split in ("train", "valid", "test")]
    assert sum(sizes) == sum(VARIATIONS.values())
    keys = {t.key for s in ("train", "valid", "test") for t in ScienceWorld.tasks(s, task="boil")}
    assert len(keys) == VARIATIONS["boil"]


def test_two_processes_tell_the_same() -> None:
    """Without -XX:hashCode=2 the order of paints and seeds differs from process to process."""
    first, second = Simulator(), Simulator()
    try:
        rng = random.Random(0)
        for task, number in (("chemistry-mix-paint-tertiary-color", 14), ("grow-plant", 61)):
            world = World(task, number)
            told = [first.go(world, [])]
            offered = list(first.java.getValidActionObjectCombinations())
            commands = ["look around", *rng.sample(offered, 8)]
            told += [first.go(world, commands[:n]) for n in range(1, 10)]
            assert [second.go(world, commands[:n]) for n in range(10)] == told
            first.start(world)
            assert [first.go(world, commands[:n]) for n in range(10)] == told
    finally:
        first.end()
        second.end()


def test_passes_the_checker() -> None:
    env = ScienceWorld(task="find-plant", turns=3)
    check_env(env, items=(5, 8), episodes=1).raise_for_failures()


def test_forks_share_a_few_processes_and_go_their_own_ways() -> None:
    env: Any = ludus.make(ID, task="boil")
    env.reset(seed=0, options={"split": "train", "index": 0})
    env.step("open door to kitchen")
    twins = env.fork(6)
    assert len(javas()) == 1
    told = [twin.step(f"wait{i % 2 or ''}")[0] for i, twin in enumerate(twins)]
    assert told[0] == told[2] != told[1] == told[3]
    assert "kitchen" in env.step("go to kitchen")[0]
    for twin in twins:
        twin.step("look around")
    assert 1 <= len(javas()) <= POOL.limit
    assert env.from_replay(env.replay()).state_hash() == env.state_hash()


def test_hostile_and_admissible_commands() -> None:
    env: Any = ludus.make(ID, task="find-plant", on_invalid="noop")
    env.reset(seed=0)
    for text in ("", "\x00", "\ud800", "nan inf -0", "zork\nlook around", "\u0663 \u00b2"):
        _, reward, terminated, _, info = env.step(text)
        assert (reward, terminated, info["invalid"]) == (0.0, False, "")
    assert "at most 200 characters" in env.step("x" * 200_000)[4]["invalid"]
    listed: Any = ludus.make(ID, task="find-plant", admissible=True, show_legal=False)
    listed.reset(seed=0)
    legal = listed.legal_actions()
    assert len(legal) > 100
    assert listed.step(legal[0])[4]["invalid"] == ""
    assert "not a legal action" in listed.step("zork")[4]["invalid"]


def test_a_process_that_dies_is_replaced() -> None:
    env: Any = ludus.make(ID, task="boil")
    env.reset(seed=0)
    (pid,) = javas()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Exception, match=r"(?i)answer|connect|network|java|pipe|reset"):
        env.step("look around")
    assert javas() == []
    env.reset(seed=0)
    assert "agent" in env.step("look around")[0]
    env.close()


def test_java_ends_with_its_environments() -> None:
    env: Any = ludus.make(ID, task="boil")
    env.reset(seed=0)
    assert len(javas()) == 1
    env.close()
    assert javas() == []
    env.step("look around")
    assert len(javas()) == 1
    twin = env.fork()[0]
    twin.step("wait")
    del env
    gc.collect()
    assert javas()  # the twin is there
    del twin
    gc.collect()
    assert javas() == []


@pytest.mark.parametrize(
    "how", ["raise RuntimeError", "os._exit(3)", "os.kill(os.getpid(), 9)", "0"]
)
def test_java_ends_with_python(how: str) -> None:
    """Also when it is killed: the simulator reads its standard input, which closes."""
    code = (
        "import os, sys, ludus\n"
        f"env = ludus.make({ID!r}, task='boil')\n"
        "env.reset(seed=0)\n"
        "from ludus.envs.worlds.jvm import POOL\n"
        "print(POOL._idle[0].process.pid, flush=True)\n"
        f"{how}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    process = Path("/proc") / done.stdout.split()[0]
    for _ in range(100):
        if not process.exists() or ") Z " in (process / "stat").read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"java {process.name} outlives python, which said {done.stderr[-300:]}")


def test_missing_java_and_wrong_settings_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="unknown task 'boil water', allowed: '', boil"):
        ludus.make(ID, task="boil water")
    with pytest.raises(ValueError, match="unknown simplification 'hard', allowed: easy"):
        ludus.make(ID, simplifications="hard")
    with pytest.raises(ValueError, match="turns is at least 1, got 0"):
        ludus.make(ID, turns=0)
    monkeypatch.setattr(jvm, "JAVA", None)
    said = r"^ludus/ScienceWorld-v1 needs Java: apt-get install default-jre-headless$"
    with pytest.raises(ludus.envs.registry.MissingExtra, match=said):
        ludus.make(ID)


@pytest.mark.filterwarnings("ignore")  # py4j leaves its pipes to the collector then
def test_a_java_that_does_not_start_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'Unrecognized VM option hashCode=2' >&2\nexit 1\n")
    java.chmod(0o700)
    monkeypatch.setattr(jvm, "JAVA", str(java))
    env = ludus.make(ID, task="boil")
    said = r"java does not start ScienceWorld.*\(Unrecognized VM option hashCode=2\): apt-get"
    with pytest.raises(ludus.envs.registry.MissingExtra, match=said):
        env.reset(seed=0)
    java.unlink()
    with pytest.raises(ludus.envs.registry.MissingExtra, match="No such file"):
        env.reset(seed=0)


def test_check_all_lists_it_as_skipped_without_java(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jvm, "JAVA", None)
    monkeypatch.setattr(check, "specs", lambda: [ludus.spec(ID)])
    assert check.main(["--all", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    command = "apt-get install default-jre-headless"
    assert said == {"reports": [], "skipped": {ID: f"{ID} needs Java: {command}"}}
    with pytest.raises(ludus.envs.registry.MissingExtra):
        check.main([ID])
