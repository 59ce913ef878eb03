"""The claims' harness: its statistics against rliable's, and one claim from end to end."""

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType

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


def test_difference_has_the_sign_and_an_interval_around_it(aggregates: ModuleType) -> None:
    middle, low, high = aggregates.difference(
        [0.9, 0.8, 0.85, 0.95, 0.7], [0.1, 0.3, 0.2, 0.25, 0.4]
    )
    assert middle == pytest.approx(0.85 - 0.25)
    assert 0 < low < middle < high
    same = aggregates.difference(FIVE, FIVE)
    assert same[0] == 0
    assert same[1] < 0 < same[2]


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
    small = rae.replace(rae.BASE, episodes=16, warmstart_episodes=32, warmstart_steps=10)
    monkeypatch.setattr(rae, "BASE", small)
    args = ["--seeds", "1", "--tune-seeds", "1", "--steps", "2", "--publish"]
    rae.main(args)
    page = (tmp_path / "claims.md").read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "| shared | Kuhn, fee 1 |" in page
    record = json.loads((tmp_path / "claims" / "rae.json").read_text())
    assert len(record["runs"]) == 9  # three estimators, of which each tried two learning rates
    assert sum(run["tuning"] for run in record["runs"]) == 6
    assert all(run["seed"] == run["tuning"] for run in record["runs"])  # chosen on another seed
    assert "| RAE | " in page
    assert all(run["steps"] == 2 and run["episodes"] == 32 for run in record["runs"])
    assert record["extra"]["Kuhn"][0]["shared"]["bias"] >= 0
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
        search.in_world("grpo", search.WORLD),
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


@pytest.mark.parametrize(
    ("script", "claim"),
    [
        ("rae", "rae"),
        ("households", "households"),
        ("search", "search"),
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
