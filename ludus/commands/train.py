"""`ludus train`: one run, by a recipe, or the one that lies in a folder."""

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Sequence
from textwrap import fill
from types import FrameType
from typing import TYPE_CHECKING

from ludus.cli import UsageError, parse, unknown

if TYPE_CHECKING:
    from ludus.trainer.config import TrainConfig

_HELP = """usage: ludus train RECIPE [options]
       ludus train --resume --out FOLDER   goes on with the run in a folder, as it was begun

{recipes}

ludus train RECIPE --help shows the options and what the recipe sets them to."""

_FLAGS = """Also: --resume goes on with the run in --out, if there is one; \
--print-config shows the options and stops; --dry-run builds everything, makes one step, shows \
memory and rates, and writes nothing."""


def main(args: Sequence[str]) -> int:
    """Run the command."""
    from ludus.trainer.config import RECIPES, TrainConfig

    if not args or args[0] in ("-h", "--help"):
        names = f"recipes: {', '.join(RECIPES)}"
        print(_HELP.format(recipes=fill(names, break_on_hyphens=False)), fill(_FLAGS), sep="\n")
        return 0
    flags = {"--resume", "--print-config", "--dry-run"}
    chosen = flags & set(args)
    if "--resume" in args and args[0].startswith("-"):
        command, begun, rest = "train", _begun(args), args
    elif args[0] in RECIPES:
        command, begun, rest = f"train {args[0]}", RECIPES[args[0]], args[1:]
    elif args[0].startswith("-"):
        raise UsageError(f"a recipe comes before {args[0]}, one of: {', '.join(RECIPES)}")
    elif {"+", ","} & set(args[0]):
        raise UsageError(
            f"unknown recipe {args[0]!r}: methods compose by options, as in grpo --regularizers epo"
            f", recipes: {', '.join(RECIPES)}"
        )
    else:
        raise unknown("recipe", args[0], RECIPES)
    config = parse(
        TrainConfig,
        [a for a in rest if a not in flags],
        command,
        begun,
        about=f"{TrainConfig.__doc__}\n\n{_FLAGS}",
    )
    if "--print-config" in chosen:
        print(json.dumps(config.to_json(), indent=1))
        return 0
    if "--dry-run" in chosen:
        from ludus.trainer.dry_run import dry_run

        print(dry_run(config).table())
        return 0
    return _train(config, resume="--resume" in chosen)


def _begun(args: Sequence[str]) -> "TrainConfig":
    """The config of the run in the folder that --out names."""
    from ludus.trainer.run_folder import read_config

    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--out", nargs="?")
    out = options.parse_known_args(args)[0].out
    if not out:
        raise UsageError("--resume without a recipe goes on with the run in a folder: add --out")
    return read_config(out)


def _train(config: "TrainConfig", *, resume: bool) -> int:
    from ludus.trainer.learner import ParityError
    from ludus.trainer.progress import Progress
    from ludus.trainer.train import Trainer

    trainer: Trainer | None = None
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping or trainer is None:  # before the first step there is nothing to save
            raise KeyboardInterrupt
        stopping = True
        print("\nstopping after this step; again to stop at once", flush=True)

    previous = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Progress(config) as progress:
            trainer = Trainer(
                config,
                resume=resume,
                say=progress.say,
                on_step=progress.update,
                on_warm_step=progress.warm,
            )
            finished = trainer.run(should_stop=lambda: stopping)
    except (ParityError, FloatingPointError) as error:
        at = f"step {trainer.step}" if trainer is not None else "warm start"
        print(f"ludus: {at}: {error}", file=sys.stderr)
        return 1
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if not finished:
        again = f"ludus train --resume --out {shlex.quote(config.out)}"
        print(f"stopped at step {trainer.step} of {config.steps}; {again} goes on from there")
    return 0
