"""How fast tools are: `python benchmarks/tools.py [--calls 100] [--documents 100000]`.

For every sandbox that works here: a stateless call when a session is warm, one when none is, a
call of a kernel; calls a second from 16 threads. Beside them a fresh `python -c` for each call,
and smolagents' local executor, which shuts nobody in, where it is installed. Then search: time to
build and to load an index, its size, queries a second. Times are on the clock.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ludus.tools.sandbox import BACKENDS, Sandbox, SandboxError, open_sandbox

CODE = "print(sum(range(100)))"
THREADS = 16


def milliseconds(call: Callable[[], object], times: int, pause: float = 0.0) -> str:
    """Median and 95th percentile of a call."""
    spent = []
    for _ in range(times):
        time.sleep(pause)
        start = time.perf_counter()
        call()
        spent.append((time.perf_counter() - start) * 1e3)
    spent.sort()
    return f"{statistics.median(spent):.2f} ({spent[int(0.95 * len(spent))]:.2f})"


def rate(call: Callable[[], object], times: int) -> str:
    """Calls a second from 16 threads."""
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(call) for _ in range(times)]:
            done.result()
    return f"{times / (time.perf_counter() - start):.0f}"


def fresh() -> None:
    """A process for each call, as many executors have it."""
    subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True)


def sandbox_rows(table: Table, calls: int) -> None:
    """A row for each backend."""
    for name in BACKENDS:
        try:
            with open_sandbox(name) as warm, open_sandbox(name, warm=0) as cold:
                _check(warm)
                few = calls if name != "docker" else max(5, calls // 10)
                pause = 0.05 if name != "docker" else 1.0  # until the next session is ready
                with warm.session() as session:
                    session.run(CODE)
                    kernel = milliseconds(lambda: session.run(CODE), calls)
                table.add_row(
                    name,
                    milliseconds(lambda: warm.run(CODE), few, pause),
                    milliseconds(lambda: cold.run(CODE), few),
                    kernel,
                    rate(lambda: cold.run(CODE, seconds=60), few),
                )
        except SandboxError as error:
            table.add_row(name, str(error))


def _check(sandbox: Sandbox) -> None:
    done = sandbox.run(CODE)
    assert done.stdout == "4950\n", done


def search_rows(table: Table, count: int) -> None:
    """Search over made-up documents."""
    from ludus.tools.search import Index

    rng = random.Random(0)
    vocabulary = [f"w{i}" for i in range(50_000)]
    weights = list(accumulate(1 / (i + 10) for i in range(len(vocabulary))))
    with tempfile.TemporaryDirectory() as folder:
        corpus, cache = Path(folder) / "corpus.txt", Path(folder) / "cache"
        with corpus.open("w") as file:
            for _ in range(count):
                file.write(" ".join(rng.choices(vocabulary, cum_weights=weights, k=60)) + "\n\n")
        start = time.perf_counter()
        Index.open(str(corpus), cache=str(cache))
        table.add_row("documents", f"{count:,}")
        table.add_row("build, s", f"{time.perf_counter() - start:.1f}")
        start = time.perf_counter()
        index = Index.open(str(corpus), cache=str(cache))
        table.add_row("load, s", f"{time.perf_counter() - start:.2f}")
        size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
        table.add_row("index, MB", f"{size / 1e6:.0f}")
        queries = [" ".join(rng.choices(vocabulary, cum_weights=weights, k=4)) for _ in range(200)]
        start = time.perf_counter()
        for query in queries:
            index.search(query, 3)
        table.add_row("queries/s", f"{len(queries) / (time.perf_counter() - start):.0f}")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--documents", type=int, default=100_000)
    options = parser.parse_args()
    console = Console()
    load = os.getloadavg()[0]
    console.print(f"{os.cpu_count()} cores, load {load:.1f}; ms: median (95th percentile)")
    table = Table("backend", "warm, ms", "cold, ms", "kernel, ms", f"calls/s, {THREADS} threads")
    sandbox_rows(table, options.calls)
    table.add_row("python -c", "", milliseconds(fresh, options.calls), "", rate(fresh, 50))
    try:
        from smolagents import LocalPythonExecutor
    except ModuleNotFoundError:
        table.add_row("smolagents", "not installed")
    else:
        executor = LocalPythonExecutor([])
        executor.send_tools({})
        table.add_row("smolagents", "", "", milliseconds(lambda: executor(CODE), options.calls))
    console.print(table)
    found = Table("search", "")
    search_rows(found, options.documents)
    console.print(found)


if __name__ == "__main__":
    main()
