"""The conformance checker: what `ludus check ID` runs. For tests, see `ludus.testing`.

Each item is a function whose docstring names the failure, met in the wild, that motivates it.
Two kinds of check are no items: against the rules and solvers of others (tests of each
environment), and against a model (`ludus eval`).
"""

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ludus.envs import registry
from ludus.envs.base import TextEnv
from ludus.envs.check.branching import forks, round_trips
from ludus.envs.check.contract import rewards_and_ends, standard_apis
from ludus.envs.check.determinism import global_rng, no_leaks, repeatable
from ludus.envs.check.hostile import hostile_replies
from ludus.envs.check.knowledge import golden_answers, hidden_information, pure_observation
from ludus.envs.check.names import taken
from ludus.envs.check.outside import no_network, throughput
from ludus.envs.check.report import CheckFailed, Item, Report, Status
from ludus.envs.check.scoring import empty_talk, splits_apart
from ludus.envs.check.subject import (
    Broken,
    Skipped,
    Subject,
    broken,
    choose,
    said,
)

__all__ = ["ITEMS", "CheckFailed", "Item", "Report", "check_env"]

Check = Callable[[Subject], str | tuple[str, dict[str, float]]]

ITEMS: dict[int, tuple[str, Check]] = {
    1: ("standard APIs", standard_apis),
    2: ("same seed, same episode", repeatable),
    3: ("global randomness", global_rng),
    4: ("episode leaks, memory", no_leaks),
    5: ("pure observation", pure_observation),
    6: ("forks", forks),
    7: ("hostile replies", hostile_replies),
    8: ("rewards and endings", rewards_and_ends),
    9: ("golden answers", golden_answers),
    10: ("hidden information", hidden_information),
    11: ("splits apart", splits_apart),
    12: ("network, imports", no_network),
    13: ("round trips", round_trips),
    14: ("throughput", throughput),
    15: ("empty talk", empty_talk),
}
"""Number -> name and check, in the order they run."""

_LONGEST = 10_000  # turns; no conversation is longer


def check_env(
    env: str | type[TextEnv] | TextEnv,
    env_args: Mapping[str, Any] | None = None,
    *,
    items: Iterable[int] | None = None,
    episodes: int = 20,
    seed: int = 0,
    on_item: Callable[[Item], None] | None = None,
) -> Report:
    """Check that an environment keeps the promises of the protocol.

    Args:
        env: An id, a class, or an object (which is not touched: others are made like it).
        env_args: Constructor arguments, where it is no object.
        items: Numbers of `ITEMS`; by default all.
        episodes: How many episodes an item plays, roughly. Fewer for slow environments.
        seed: Another seed looks at other episodes.
        on_item: Called after each item, to show progress.

    Returns:
        The report; `raise_for_failures` makes it a test. If an episode cannot be played at all,
        item 0 says why, and there are no others.

    Raises:
        UnknownEnv: If nothing has the id.
        ValueError: If there is no item of a number, or fewer than one episode.
    """
    numbers = list(ITEMS) if items is None else list(items)
    if unknown := [number for number in numbers if number not in ITEMS]:
        raise ValueError(f"unknown item {unknown[0]}, allowed: {', '.join(map(str, ITEMS))}")
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    subject = _subject(env, env_args or {}, episodes, seed)
    results = []
    first = _run(0, "playing it", _playable, subject)
    if first.status == "failed":  # so would all others, and for the same reason
        return Report(env_id=subject.env_id, settings=subject.kwargs, items=(first,))
    for number in numbers:
        results.append(_run(number, *ITEMS[number], subject))
        if on_item is not None:
            on_item(results[-1])
    return Report(env_id=subject.env_id, settings=subject.kwargs, items=tuple(results))


def _subject(
    env: str | type[TextEnv] | TextEnv, env_args: Mapping[str, Any], episodes: int, seed: int
) -> Subject:
    if isinstance(env, str):
        spec = registry.spec(env)
        env_class = spec.load()
        return Subject(
            env_class, {**env_class.CHECK, **spec.kwargs, **env_args}, spec.id, episodes, seed
        )
    if isinstance(env, TextEnv):
        return Subject(type(env), env.replay().config, env.ENV_ID, episodes, seed)
    return Subject(env, {**env.CHECK, **env_args}, env.ENV_ID or env.__name__, episodes, seed)


def _playable(subject: Subject) -> str:
    """One episode, started and played to its end by chance."""
    if clash := taken(subject.env_class):
        broken(clash)
    env, rng = subject.make(), subject.rng("playing it")
    if "_base_names" not in vars(env):
        broken(f"the __init__ of {type(env).__name__} does not call TextEnv's")
    if env.MAX_TURNS < 1:
        broken(f"MAX_TURNS is {env.MAX_TURNS}, at least 1 is needed")
    env.reset(seed=subject.seed)
    env.state_hash()
    if env.metadata["fork"] != "none":
        env.fork()
    for turns in range(min(_LONGEST, env.MAX_TURNS) + 1):
        if not env.acting:
            return f"{turns} turns"
        seat = rng.choice(env.acting)
        reply = choose(env, seat, rng)
        try:
            env.step(reply, seat=seat)
        except Exception as error:
            told = f"{said(error, subject.env_class)}; the reply was {reply!r}"
            if env.legal_actions(seat) is None:
                told += ": refuse what means nothing by InvalidMove, in _parse"
            broken(told)
    broken(f"random play has not ended after {turns} turns, MAX_TURNS is {env.MAX_TURNS}")


def _run(number: int, name: str, check: Check, subject: Subject) -> Item:
    status: Status = "passed"
    detail, figures = "", dict[str, float]()
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Gymnasium and PettingZoo warn of every text space
            result = check(subject)
        detail, figures = (result, figures) if isinstance(result, str) else result
    except Skipped as reason:
        status, detail = "skipped", str(reason)
    except registry.MissingExtra as missing:
        status, detail = "skipped", str(missing)
    except Broken as fault:
        status, detail = "failed", str(fault)
    # The environment's own, or another library's assertion.
    except (Exception, SystemExit) as error:
        status, detail = "failed", said(error, subject.env_class)
    finally:
        subject.close()
    return Item(
        number=number,
        name=name,
        status=status,
        detail=detail,
        seconds=time.perf_counter() - start,
        figures=figures,
    )
