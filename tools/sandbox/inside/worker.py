"""The process that runs an agent's code."""

import ast
import builtins
import io
import linecache
import os
import random
import sys
import threading
import traceback
import types
from collections.abc import Mapping
from typing import Any, NoReturn

from ludus.tools.sandbox.inside import frames

_MAX_TRACE = 12  # frames


def work(requests: int, replies: int, config: Mapping[str, Any]) -> NoReturn:
    """Run what is asked for, once, or again and again in one namespace."""
    status = 1
    try:
        _prepare(config)
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        count = 0
        _run("None", {"__builtins__": builtins}, "<python>")  # memory is copied now, not later
        while (request := frames.receive(requests)) is not None:
            count += 1
            name = f"<python {count}>" if config["kernel"] else "<python>"
            done = _run(str(request["code"]), main.__dict__, name)
            if not config["kernel"]:
                threading._shutdown()  # type: ignore[attr-defined]  # the agent's threads too
            _flush()
            os.write(replies, b"0" if done else b"1")
            status = 0
    except BaseException:
        status = 1
    finally:
        os._exit(status)


def _prepare(config: Mapping[str, Any]) -> None:
    sys.stdout = _writer(1)
    sys.stderr = _writer(2)
    sys.path[:] = [*config["paths"], *(path for path in sys.path if "ludus" not in path)]
    sys.argv = ["python"]
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # what `site` would have set
    os.environ.clear()
    os.environ.update(config["environ"])
    random.seed(config["seed"])
    os.umask(0o022)


def _writer(fd: int) -> io.TextIOWrapper:
    raw = io.FileIO(fd, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=fd == 2
    )


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed or replaced by the agent
            continue


def _run(code: str, namespace: dict[str, Any], name: str) -> bool:
    """Run code; print the value of a last expression, as Python's prompt does. Whether it went
    well."""
    try:
        tree = ast.parse(code, name)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
        lines = code.splitlines(keepends=True)
        linecache.cache[name] = (len(code), None, lines, name)
        exec(compile(tree, name, "exec"), namespace)
        if last is not None:
            value = eval(compile(last, name, "eval"), namespace)
            if value is not None:
                print(repr(value))
    except SystemExit as stop:
        if stop.code is not None and not isinstance(stop.code, int):
            print(stop.code, file=sys.stderr)
        return stop.code in (None, 0)
    except BaseException as error:
        _tell(error)
        return False
    return True


def _tell(error: BaseException) -> None:
    """The traceback of the agent's own frames."""
    try:
        own = error.__traceback__
        while own is not None and own.tb_frame.f_code.co_filename == __file__:
            own = own.tb_next
        short = traceback.TracebackException(type(error), error, own, limit=-_MAX_TRACE)
        sys.stdout.flush()
        sys.stderr.write("".join(short.format()))
    except BaseException:  # an exception whose text cannot be made, no memory, no stream
        os.write(2, type(error).__name__.encode("ascii", "replace") + b"\n")
