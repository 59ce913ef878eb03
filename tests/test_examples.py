"""The examples, and the code of the README, run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ludus.envs.check import ITEMS

ROOT = Path(__file__).resolve().parent.parent
PYTHON_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def run(*args: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *args],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


RUNS = {
    "register_env.py": "'success': True",
    "two_seats.py": "'winner': 'player_1'",
    "tool_env.py": "'success': True",
    "train_selfplay.py": "eval/win_rate/player_0",
    "train_tools.py": "calls an episode",
}
"""Every example, and what it says."""


def test_all_examples_are_run() -> None:
    assert sorted(path.name for path in (ROOT / "examples").glob("*.py")) == sorted(RUNS)


@pytest.mark.parametrize("name", [name for name in RUNS if not name.startswith("train")])
def test_an_environment_takes_under_40_lines(name: str, tmp_path: Path) -> None:
    code = (ROOT / "examples" / name).read_text().partition("if __name__")[0]
    assert sum(bool(line.strip()) for line in code.splitlines()) < 40
    assert RUNS[name] in run(str(ROOT / "examples" / name), cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RUNS if name.startswith("train")])
def test_training(name: str, tmp_path: Path) -> None:
    said = run(str(ROOT / "examples" / name), "here", cwd=tmp_path)
    assert RUNS[name] in said
    assert (tmp_path / "here" / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_the_readme(tmp_path: Path) -> None:
    blocks = PYTHON_BLOCK.findall((ROOT / "README.md").read_text())
    assert len(blocks) == 2
    check = 'import ludus.testing\nludus.testing.check_env("me/CountTo21-v1").raise_for_failures()'
    script = tmp_path / "readme.py"
    script.write_text("\n".join((blocks[0], check, blocks[1])))
    said = run(str(script), cwd=tmp_path)
    assert "eval/win_rate/player_1" in said
    assert (tmp_path / "runs" / "count" / "metrics.jsonl").exists()


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://", target):
            continue
        name, _, section = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        assert not section or section in sections(there), target


def sections(page: Path) -> set[str]:
    """What GitHub calls the headings of a page in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def test_the_page_on_writing_environments(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "writing-environments.md").read_text()
    guess, capitals = PYTHON_BLOCK.findall(page)
    assert "a number from 1 to 3" in run("-c", guess, cwd=tmp_path)
    tried = 'from ludus.testing import check_env\ncheck_env("me/Capitals-v1").raise_for_failures()'
    run("-c", f"{capitals}\n{tried}", cwd=tmp_path)
    for number, (name, check) in ITEMS.items():
        promise = " ".join((check.__doc__ or "").partition("\n\n")[0].split())
        assert f"| {number} | {name} | {promise} |" in page
