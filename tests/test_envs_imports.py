"""Imports go one way, and importing the package stays cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("tools", "envs", "agents", "trainer", "cli")  # each may import those before it
FILES = [(layer, path) for layer in LAYERS[:-1] for path in sorted((ROOT / layer).rglob("*.py"))]


def imported(tree: ast.AST) -> set[str]:
    """Modules that are named in import statements, at any depth."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def backward(layer: str, source: str) -> list[str]:
    """Imports of a later layer, or of the whole package, which holds them all."""
    later = LAYERS[LAYERS.index(layer) + 1 :]
    faults = []
    for name in sorted(imported(ast.parse(source))):
        parts = name.split(".")
        if parts[0] in LAYERS[:-1]:
            faults.append(name)  # "envs.base" is another module than "ludus.envs.base"
        elif parts[0] == "ludus" and (len(parts) == 1 or parts[1] in (*later, "commands")):
            faults.append(name)
    return faults


def test_the_walk_sees_arrows_back() -> None:
    assert backward("envs", "from ludus.trainer.loss import clip") == ["ludus.trainer.loss.clip"]
    assert backward("tools", "def f():\n    import ludus.envs") == ["ludus.envs"]
    assert backward("agents", "from ludus import cli") == ["ludus.cli"]
    assert backward("agents", "import ludus") == ["ludus"]
    assert backward("agents", "from envs.base import TextEnv") == ["envs.base.TextEnv"]
    assert backward("trainer", "from ludus.envs import base; import random") == []


@pytest.mark.parametrize(
    ("layer", "path"), FILES, ids=[str(path.relative_to(ROOT)) for _, path in FILES]
)
def test_imports_go_one_way(layer: str, path: Path) -> None:
    assert backward(layer, path.read_text()) == []


def test_importing_ludus_imports_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "trl", "pettingzoo", "pyspiel", "scipy", "tensorboard")
    code = f"import ludus, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.strip() == "[]"
