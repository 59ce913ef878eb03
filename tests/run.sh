#!/usr/bin/env bash
# What CI runs, in the environment that `make test` has set up.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
$bin/ruff check .
$bin/ruff format --check .
$bin/mypy
# One thread a worker: the models are tiny, and threads that wait for each other cost more.
OMP_NUM_THREADS=1 $bin/python -m pytest -q -n 2 --dist loadfile "$@"
