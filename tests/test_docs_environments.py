"""The page of environments: every one is on it, and its samples are what would be said today."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from ludus.commands.list import rows

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "environments.md").read_text()
STABLE = ("KuhnPoker", "TicTacToe", "GuessNumber", "Household", "SimpleNegotiation", "Nim")


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location(
        "make_environments", DOCS / "make_environments.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.SECONDS = 0.01  # type: ignore[attr-defined]
    return module


def test_every_environment_has_a_row_and_a_turn() -> None:
    named = {row["id"] for row in rows() if row["id"].startswith("ludus/")}
    assert set(re.findall(r"^\| `(ludus/[^`]+)` \|", PAGE, re.MULTILINE)) == named, (
        "run python docs/make_environments.py"
    )
    assert set(re.findall(r"^### `(ludus/[^`]+)`", PAGE, re.MULTILINE)) == named


@pytest.mark.parametrize("name", STABLE)
def test_samples_are_what_is_said_today(script: Any, name: str) -> None:
    (row,) = (row for row in rows() if row["id"] == f"ludus/{name}-v1")
    cells, turn = script.entry(row)
    assert turn in PAGE, "run python docs/make_environments.py"
    assert cells.split("|")[:7] == next(
        line.split("|")[:7] for line in PAGE.splitlines() if line.startswith(f"| `{row['id']}`")
    )


def test_missing_data_keeps_its_row(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)
    (row,) = (row for row in rows() if row["id"] == "ludus/ALFWorld-v1")
    cells, turn = script.entry(row)
    assert cells.startswith("| `ludus/ALFWorld-v1` | 1 | train 3,553,")
    assert "Not played here: ludus/ALFWorld-v1 needs ALFWorld's games" in turn


def test_links_lead_somewhere() -> None:
    for page in ("environments.md", "adapters.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", (DOCS / page).read_text()):
            assert (DOCS / target).exists(), f"{page}: {target}"
