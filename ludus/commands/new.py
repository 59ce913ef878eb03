"""`ludus new`: a working environment, and its test, to start from."""

import importlib.util
import keyword
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from ludus.cli import parse
from ludus.envs import specs

Kind = Literal["two-seats", "one-seat", "tools"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class NewOptions:
    """Write a working environment and its test: NAME.py and test_NAME.py, in snake case."""

    name: Positional[Annotated[str, arg(metavar="NAME")]]
    """In CamelCase or snake_case."""
    kind: Kind = "two-seats"
    """What it is to begin with: a game for two, a question for one, or one with a tool."""
    folder: str = "."
    """Where; made if it does not exist."""
    namespace: str = "me"
    """The environment's id is namespace/Name-v1."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    options = parse(NewOptions, args, "new")
    paths = write(options.name, Path(options.folder), options.namespace, options.kind)
    env, test = (str(path) for path in paths)
    module = paths[0].stem
    print(f"written: {env}, {test}")
    print(f"in that folder: pytest {paths[1].name}; ludus check {module}:{_id(options)}")
    return 0


def _id(options: NewOptions) -> str:
    return f"{options.namespace}/{_camel(options.name)}-v1"


def write(
    name: str, folder: Path, namespace: str = "me", kind: Kind = "two-seats"
) -> tuple[Path, Path]:
    """Write both files.

    Returns:
        The environment's file and its test's.

    Raises:
        ValueError: If the name is no identifier, or taken, or a module's, or a file exists.
    """
    camel, module = _camel(name), _snake(name)
    if not _NAME.fullmatch(name) or keyword.iskeyword(module) or keyword.iskeyword(camel):
        raise ValueError(f"a name is letters, digits and _, such as CountOn, not {name!r}")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", namespace):
        raise ValueError(f"a namespace is letters, digits, _ and -, not {namespace!r}")
    id = f"{namespace}/{camel}-v1"
    if id in {spec.id for spec in specs()}:
        raise ValueError(f"{id} is registered already, take another name")
    env, test = folder / f"{module}.py", folder / f"test_{module}.py"
    for path in (env, test):
        if path.exists():
            raise ValueError(f"{path} exists already, nothing written")
    if _hides(module):
        raise ValueError(f"{env} would hide the module {module!r}, take another name")
    words = {
        "name": camel, "module": module, "id": id, "title": module.replace("_", " ").capitalize()
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for path, template in ((env, "{}.py.txt"), (test, "{}_test.py.txt")):
        text = (_TEMPLATES / template.format(kind.replace("-", "_"))).read_text()
        path.write_text(string.Template(text).substitute(words))
    return env, test


def _hides(module: str) -> bool:
    """Whether a module of this name is there already, other than in the folder one is in."""
    found = importlib.util.find_spec(module)
    at = found.origin if found else None
    return at is not None and Path(at).parent != Path.cwd()


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_") if part)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_")
