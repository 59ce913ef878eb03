"""`ludus new` writes an environment that works."""

import subprocess
import sys
from pathlib import Path

import pytest

from ludus.commands.new import Kind, write

KINDS: tuple[Kind, ...] = ("two-seats", "one-seat", "tools")


@pytest.mark.parametrize(("kind", "tests"), [("two-seats", 3), ("one-seat", 3), ("tools", 2)])
def test_what_it_writes_passes_its_own_test(tmp_path: Path, kind: Kind, tests: int) -> None:
    """That test runs the checker, and the rules by hand."""
    folder = tmp_path / "new"
    said = run("new", "CountOn", "--kind", kind, "--folder", str(folder), cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "pytest test_count_on.py; ludus check count_on:me/CountOn-v1" in said.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["count_on.py", "test_count_on.py"]
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_count_on.py"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    assert f"{tests} passed" in tested.stdout


@pytest.mark.parametrize(
    ("name", "module"), [("my_game2", "my_game2"), ("TicTacDough", "tic_tac_dough")]
)
def test_names_may_be_in_either_case(tmp_path: Path, name: str, module: str) -> None:
    env, test = write(name, tmp_path, "us")
    assert (env.name, test.name) == (f"{module}.py", f"test_{module}.py")
    assert f"import {module}\n" in test.read_text()


def run(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ludus.cli", *args], cwd=cwd, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", ["", "2games", "a-b", "a b", "../x", "x" * 99, "while", "None"])
def test_bad_names_write_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="a name is"):
        write(name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["ludus", "Random", "Json", "sys", "Pytest"])
def test_no_module_is_hidden(tmp_path: Path, name: str) -> None:
    """A ludus.py in one's folder would be imported instead of the package, by every command."""
    with pytest.raises(ValueError, match=f"hide the module '{name.lower()}'"):
        write(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("mine")
    with pytest.raises(ValueError, match=r"test_mine\.py exists already"):
        write("Mine", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test_mine.py"]
    with pytest.raises(ValueError, match="registered already"):
        write("KuhnPoker", tmp_path, "ludus")
    with pytest.raises(ValueError, match="namespace"):
        write("Mine", tmp_path / "x", "a/b")
    said = run("new", "Mine", cwd=tmp_path)
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_writes_is_formatted_and_typed(tmp_path: Path, kind: Kind) -> None:
    files = [str(path) for path in write("TidyGame", tmp_path, kind=kind)]
    rules = "--select=E,F,UP,B,SIM,RUF,C4,N"
    for command in (
        ["ruff", "format", "--isolated", "--line-length=100", "--check"],
        ["ruff", "check", "--isolated", "--line-length=100", rules],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command, *files], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
