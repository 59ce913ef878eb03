"""The package as users get it: a wheel built through the sdist, imported from an empty folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("envs", "agents", "trainer", "tools")

CHECK = """
import sys
from pathlib import Path
import ludus
import ludus.testing
heavy = {"torch", "transformers", "trl"} & set(sys.modules)
assert not heavy, f"imported without need: {heavy}"
assert "KuhnPoker-v1" in ludus.make("ludus/KuhnPoker-v1").ENV_ID
env = ludus.make("ludus/TicTacToe-v1", opponents="minimax")
env.reset(seed=0)
import ludus.trainer.config
import ludus.trainer.train
from ludus.cli import run
assert run(["list", "--json"]) == 0
print(Path(ludus.__file__).parent, file=sys.stderr)
"""


def call(*command: str, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git tracks, links as links."""
    pytest.importorskip("build")
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    copy = tmp_path_factory.mktemp("package") / "copy"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if os.path.lexists(ROOT / name):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    call(sys.executable, "-m", "build", "--no-isolation", cwd=copy)
    (built,) = (copy / "dist").glob("*.whl")
    assert len(list((copy / "dist").glob("*.tar.gz"))) == 1
    return built


def test_the_wheel_holds_every_module_once(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert len(set(names)) == len(names)
    tracked = subprocess.run(
        ["git", "ls-files", *PARTS], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    expected = {f"ludus/{name}" for name in tracked if (ROOT / name).exists()}
    assert expected <= set(names)
    for part in PARTS:
        assert f"ludus/{part}/__init__.py" in names
    assert {"ludus/py.typed", "ludus/cli.py"} <= set(names)
    assert {"ludus/trainer/report/page.css", "ludus/trainer/report/page.js"} <= set(names)
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"ludus", next(top for top in tops if top.endswith(".dist-info"))}


def test_it_works_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    target, empty = tmp_path / "target", tmp_path / "empty"
    empty.mkdir()
    install = ("pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile")
    call(sys.executable, "-m", *install, "--target", str(target), str(wheel), cwd=empty)
    said = call(sys.executable, "-c", CHECK, cwd=empty, PYTHONPATH=str(target))
    assert Path(said.splitlines()[-1]) == target / "ludus"
    entry = (next(target.glob("ludus-*.dist-info")) / "entry_points.txt").read_text()
    assert "ludus = ludus.cli:main" in entry
