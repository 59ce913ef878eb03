"""The claims' harness: its statistics against rliable's, and one claim from end to end."""

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap, trim_mean

pytest.importorskip("trl")

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "claims"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the scripts' folder one that can be imported from."""
    if not FOLDER.exists():
        pytest.skip("the benchmarks are not part of an installed package")
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def aggregates(scripts: None) -> ModuleType:
    return importlib.import_module("aggregates")


# What rliable 1.2.0 gave (arch 7.2, pandas 2.3): get_interval_estimates with aggregate_iqm and
# 50,000 resamples. Its own seed, so the ends of the intervals differ in the second digit.
FIVE = [0.1, 0.4, 0.35, 0.8, 0.2]
TWO_TASKS = (np.arange(16.0).reshape(8, 2) ** 1.5 / 60).tolist()
RLIABLE = [(FIVE, 0.31666667, (0.13333333, 0.66666667)), (TWO_TASKS, 0.35443876, (0.169, 0.581))]


@pytest.mark.parametrize(("scores", "middle", "ends"), RLIABLE)
def test_iqm_and_interval_are_rliables(
    aggregates: ModuleType, scores: list[float], middle: float, ends: tuple[float, float]
) -> None:
    assert aggregates.iqm(scores) == pytest.approx(middle, abs=1e-7)
    assert aggregates.interval(scores, draws=50_000) == pytest.approx(ends, abs=0.01)


def test_interval_is_scipys(aggregates: ModuleType) -> None:
    scores = np.random.default_rng(3).normal(size=12)
    found = bootstrap(
        (scores,), lambda x, axis: trim_mean(x, 0.25, axis=axis), n_resamples=50_000,
        method="percentile", random_state=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert aggregates.interval(scores, draws=50_000) == pytest.approx(
        (found.low, found.high), abs=0.02
    )


def test_interval_covers_what_it_says(aggregates: ModuleType) -> None:
    """Of normal scores the interval of 20 runs has the true middle in most of 200 draws."""
    rng = np.random.default_rng(0)
    ends = [aggregates.interval(rng.normal(size=20), draws=300) for _ in range(200)]
    covered = np.mean([low <= 0 <= high for low, high in ends])
    assert 0.85 < covered < 0.99


def test_differences_are_of_pairs(aggregates: ModuleType) -> None:
    """What a seed makes easy for both arms is not noise; scipy's interval of the differences."""
    rng = np.random.default_rng(1)
    theirs = rng.normal(size=10)
    ours = theirs + 0.1 + 0.01 * rng.normal(size=10)
    middle, low, high = aggregates.difference(ours, theirs)
    assert middle == pytest.approx(trim_mean(ours - theirs, 0.25))
    assert 0.08 < low < middle < high < 0.12  # the seeds' own spread is a hundred times as wide
    found = bootstrap(
        (ours - theirs,), lambda x, axis: trim_mean(x, 0.25, axis=axis), n_resamples=50_000,
        method="percentile", random_state=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert (low, high) == pytest.approx((found.low, found.high), abs=1e-3)
    assert aggregates.difference(FIVE, FIVE) == (0, 0, 0)


def test_one_claim_from_end_to_end(
    scripts: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two steps of RAE with one seed: what is published is what was run, and is found again."""
    rae, training, report = map(importlib.import_module, ("rae", "training", "report"))
    monkeypatch.setattr(training, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    begin, end = "<!-- rae: made by benchmarks/claims/rae.py -->", "<!-- end of rae -->"
    (tmp_path / "claims.md").write_text(f"before\n{begin}\n{end}\nafter\n")
    for name in ("PLAIN", "BASE"):
        base = getattr(rae, name)
        small = rae.replace(base, episodes=16, warmstart_episodes=32, warmstart_steps=10)
        monkeypatch.setattr(rae, name, small)
    args = ["--seeds", "1", "--tune-seeds", "1", "--steps", "2", "--publish"]
    rae.main(args)
    page = (tmp_path / "claims.md").read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "| shared | fee 1 |" in page
    record = json.loads((tmp_path / "claims" / "rae.json").read_text())
    # Three estimators in two games, of which each tried three learning rates on another seed.
    assert len(record["runs"]) == 6 + 18
    assert all(run["seed"] == 1000 * run["tuning"] for run in record["runs"])
    assert all(bool(run["curves"]) != run["tuning"] for run in record["runs"])
    counted = {run["arm"]: run["lr"] for run in record["runs"] if not run["tuning"]}
    for arm, lr in counted.items():
        tried = [run for run in record["runs"] if run["tuning"] and run["arm"] == arm]
        assert lr == max(tried, key=lambda run: run["score"])["lr"]
    assert "| RAE, fee 4 − none, fee 4 | " in page
    assert all(run["steps"] == 2 and run["episodes"] == 32 for run in record["runs"])
    assert record["extra"]["fee 0"][0]["shared"]["bias"] >= 0
    capsys.readouterr()
    monkeypatch.setattr(training, "Trainer", None)  # all runs are remembered
    rae.main(args)
    assert (tmp_path / "claims.md").read_text() == page
    rae.main([*args, "--report"])
    assert (tmp_path / "claims.md").read_text() == page


def test_a_run_is_judged_at_its_end_and_kept(
    scripts: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With random weights no question is answered, in the splits that were asked for."""
    search, training = map(importlib.import_module, ("search", "training"))
    monkeypatch.setattr(training, "CACHE", tmp_path)
    config = search.replace(
        search.in_world("grpo", search.world(2)),
        steps=1,
        episodes=8,
        warmstart_steps=0,
        eval_episodes=4,
    )
    run = training.train("one", config, config, ["rollout/success"], ["train", "test"])
    assert run.solved == {"train": 0.0, "test": 0.0}
    assert run.curves == {"rollout/success": [0.0]}
    monkeypatch.setattr(training, "Trainer", None)
    assert training.train("one", config, config, ["rollout/success"], ["train", "test"]) == run


def test_several_runs_at_a_time_are_the_same_runs(
    scripts: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In other processes, which keep them where this one would."""
    claim, rae, training = map(importlib.import_module, ("claim", "rae", "training"))
    small = rae.replace(rae.PLAIN, episodes=16, steps=1, warmstart_episodes=32, warmstart_steps=2)
    orders: list[Any] = []
    for seed in range(2):
        config = rae.replace(small, seed=seed, lr=1e-3, lr_end=1e-3)
        orders.append(("one", config, config, ["loss/grad_norm"], []))
    monkeypatch.setattr(training, "CACHE", tmp_path / "two")
    two = list(claim.trained(orders, 2))
    assert len(list((tmp_path / "two").glob("*.json"))) == 2
    monkeypatch.setattr(training, "CACHE", tmp_path / "one")
    one = list(claim.trained(orders, 1))
    assert [run.seed for run in two] == [0, 1]
    assert [run.curves for run in two] == [run.curves for run in one]


def test_rewards_on_the_way_are_given_in_the_same_houses(scripts: None) -> None:
    """And add up to what is given at the goal."""
    import ludus

    settings, rewards = map(importlib.import_module, ("settings", "rewards"))
    told, returns = [], []
    for args in (settings.HOUSES.env_args, rewards.DENSE_HOUSES):
        env = ludus.make("claims/FewHouses-v1", **json.loads(args))
        for index in range(8):
            seen, _ = env.reset(seed=0, options={"split": "train", "index": index})
            told.append(str(seen))
            paid = []
            for action in env.golden().plan:
                paid.append(env.step(action)[1])
            assert all(paid) == (args == rewards.DENSE_HOUSES)
            returns.append(sum(paid))
    assert told[:8] == told[8:]
    assert returns == pytest.approx([1.0] * 16)


def test_a_shorter_curve_is_of_means(scripts: None) -> None:
    training = importlib.import_module("training")
    run = training.Run("a", 0.1, 0, 41, 1, 1, 0.0, {"m": [float(i) for i in range(41)]})
    assert run.thin("m") == [1.0 + 3 * i for i in range(13)] + [39.5]


# That the constants of EPO's paper cannot turn entropy around is said whenever they are used.
@pytest.mark.filterwarnings("ignore:epo. alpha")
@pytest.mark.parametrize(
    ("script", "claim"),
    [
        ("rae", "rae"),
        ("rae", "rae-plain"),
        ("households", "households"),
        ("search", "search-2"),
        ("search", "search-3"),
        ("search", "search-4"),
        ("search", "search-4-readers"),
        ("rewards", "rewards"),
        ("rewards", "rewards-houses"),
        ("warmstart", "warmstart"),
    ],
)
def test_the_page_says_what_the_stored_runs_say(
    scripts: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, claim: str
) -> None:
    module, report = map(importlib.import_module, (script, "report"))
    stored = report.RESULTS
    shutil.copytree(stored / "claims", tmp_path / "claims")
    shutil.copy(stored / "claims.md", tmp_path)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    module.main(["--claim", claim, "--report"])
    assert (tmp_path / "claims.md").read_text() == (stored / "claims.md").read_text()
    for drawn in (stored / "claims").glob("*.svg"):
        assert (tmp_path / "claims" / drawn.name).read_text() == drawn.read_text()
