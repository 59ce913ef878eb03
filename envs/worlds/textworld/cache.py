"""Compiled games on disk: made once, safe under parallel workers, bounded in size.

An entry is a folder with `game.z8` and `game.json`. It is made beside its final place and renamed,
so it is there whole or not at all. Workers that want the same game wait for the one that makes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

from ludus.envs.worlds.textworld.maker import REFUSED, Order

# Read once, at import: an environment reads no variables while it plays.
_ENVIRON = dict(os.environ)
tempfile.gettempdir()  # remembers where that is; jericho asks for it
FOLDER = Path(
    _ENVIRON.get("LUDUS_TEXTWORLD_CACHE")
    or Path(_ENVIRON.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ludus" / "textworld"
)
"""Where compiled games are kept."""
MOST_BYTES = 2**30
"""Size from which the games that were not used for longest are removed, down to nine tenths."""
SECONDS = 600
"""Longest time for a game to be made."""
_STALE = 3600.0
_LENGTH_AT = 0x1A
"""Where a story file of version 8 has its length, in units of eight bytes. Z-Machine Standards
Document 1.1, section 11."""


def compiled(order: Order) -> Path:
    """The folder of a game, made if need be.

    Raises:
        ValueError: If there is no such game, in one line.
        OSError: If it cannot be kept, such as for want of space.
        RuntimeError: If TextWorld fails or takes too long.
    """
    name = f"1|{version('textworld')}|{order.to_text()}"  # 1: the version of our maker
    key = blake2b(name.encode(), digest_size=16).hexdigest()
    entry = FOLDER / key
    if not _use(entry):
        try:
            (FOLDER / "locks").mkdir(parents=True, exist_ok=True)
            with _locked(FOLDER / "locks" / key[:2]):
                if not _use(entry):
                    shutil.rmtree(entry, ignore_errors=True)  # if damaged
                    _make(order, entry)
            _evict(keep=entry)
        except OSError as error:
            said = f"TextWorld's cache: {error.strerror}"
            raise OSError(error.errno, said, error.filename or str(FOLDER)) from None
    return entry


def _use(entry: Path) -> bool:
    """Whether an entry is there, whole; notes that it was used, where that may be written down."""
    try:
        with (entry / "game.z8").open("rb") as file:
            header, size = file.read(_LENGTH_AT + 2), os.fstat(file.fileno()).st_size
        described = (entry / "game.json").stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return False
    length = 8 * int.from_bytes(header[_LENGTH_AT:], "big")
    if not (described and 0 < length <= size):
        return False  # the interpreter would end this process
    with contextlib.suppress(OSError):
        os.utime(entry)
    return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given up when the file is closed, or its process dies
        yield


def _make(order: Order, entry: Path) -> None:
    work = Path(tempfile.mkdtemp(prefix="making-", dir=FOLDER))
    try:
        (work / "game").mkdir()
        try:
            done = subprocess.run(
                [sys.executable, "-m", "ludus.envs.worlds.textworld.maker", str(work / "game")],
                input=order.to_text(),
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
                env={
                    **_ENVIRON,
                    "PYTHONHASHSEED": "0",
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    "PYTHONWARNINGS": "ignore",
                    "TMPDIR": str(work),
                },
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"TextWorld made no game in {SECONDS} s: {order.settings}") from None
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            refused = done.returncode == REFUSED
            raise (ValueError if refused else RuntimeError)(f"TextWorld: {lines[-1]}")
        (work / "game").rename(entry)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _evict(keep: Path) -> None:
    """Remove what was not used for longest, and what killed processes left behind."""
    with _locked(FOLDER / "locks" / "evict"):
        entries = []
        for path in FOLDER.iterdir():
            with contextlib.suppress(FileNotFoundError):
                used = path.stat().st_mtime
                if path.name.startswith("making-"):
                    if time.time() - used > max(_STALE, SECONDS):
                        shutil.rmtree(path, ignore_errors=True)
                elif path.name != "locks" and path.is_dir():
                    entries.append((used, path, sum(f.stat().st_size for f in path.iterdir())))
        total = sum(size for _, _, size in entries)
        if total <= MOST_BYTES:
            return
        for _, path, size in sorted(entries):
            if total <= 0.9 * MOST_BYTES:
                return
            if path != keep:
                gone = path.with_name(f"making-{path.name}")
                path.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)
                total -= size
