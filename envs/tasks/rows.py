"""Files of questions: JSON lines, or one JSON list, read with the place of whatever is wrong."""

import json
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


def read_rows(path: str | Path, understand: Callable[[Row], Row]) -> tuple[Row, ...]:
    """The rows of a file, each as `understand` makes it. Kept while the file stays as it is.

    Args:
        path: JSON lines, or a JSON list.
        understand: Makes one row of another; raises ValueError or KeyError if it cannot.

    Raises:
        ValueError: If the file or a row cannot be read: file, line and what is wrong.
    """
    try:
        stat = os.stat(path)
        return _read(str(path), stat.st_mtime_ns, stat.st_size, understand)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error


@lru_cache(maxsize=8)
def _read(path: str, changed: int, size: int, understand: Callable[[Row], Row]) -> tuple[Row, ...]:
    content = Path(path).read_bytes()
    rows = []
    for place, raw in _entries(path, content):
        try:
            row = json.loads(raw) if isinstance(raw, bytes) else raw
            if not isinstance(row, dict):
                raise ValueError(f"a row is an object, not {json.dumps(row)[:40]}")
            rows.append(understand(row))
        except KeyError as error:
            raise ValueError(f"{path} {place}: no {error.args[0]}") from None
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{path} {place}: {error}") from None
    if not rows:
        raise ValueError(f"{path} has no rows")
    return tuple(rows)


def _entries(path: str, content: bytes) -> list[tuple[str, Any]]:
    if not content.lstrip().startswith(b"["):
        lines = enumerate(content.split(b"\n"), 1)
        return [(f"line {number}", line) for number, line in lines if line.strip()]
    try:
        return [(f"entry {number}", row) for number, row in enumerate(json.loads(content), 1)]
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from None
