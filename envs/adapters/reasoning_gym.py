"""Every dataset of reasoning-gym as a one-turn environment:
`make("ludus/ReasoningGym-v1", dataset="countdown")`.

The reply is judged by the dataset's own scorer; the reward is its score, in [0, 1]. The task's seed
is the dataset's, so splits are apart by seed, and small datasets repeat themselves across them.

Needs the extra `reasoning-gym`. Nothing of it is imported until an environment is made.
"""

import functools
import json
import random
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import numpy as np

from ludus.envs.adapters.hosted import unknown
from ludus.envs.adapters.safe_answers import PARSED, TooLongError, bounded, harmless
from ludus.envs.base import TextEnv
from ludus.envs.outcome import Golden, Outcome, Verdict
from ludus.envs.registry import MissingExtra
from ludus.envs.task import Task

_alone = threading.Lock()


@contextmanager
def _fenced() -> Iterator[None]:
    """Leave the process's random generators as they were: pool_matrix seeds numpy's."""
    with _alone:
        python, numpy = random.getstate(), np.random.get_state()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of answers that are no numbers, or of old numpy
                yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@functools.cache
def _datasets() -> Mapping[str, Any]:
    """Name -> (class, class of its settings)."""
    try:
        from reasoning_gym.factory import DATASETS
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "ludus/ReasoningGym-v1 needs reasoning-gym: pip install 'ludus[reasoning-gym]'",
            name=error.name,
        ) from None
    found: Mapping[str, Any] = DATASETS
    return found


def _make(name: str, config: Mapping[str, Any], seed: int) -> Any:
    """A dataset of one question.

    Raises:
        ValueError: If there is none of that name, or its settings are wrong.
    """
    if name not in _datasets():
        raise unknown("reasoning-gym", "dataset", name, _datasets())
    if name == "composite":  # and hides whose scorer would be given an answer
        raise ValueError("reasoning-gym's composite mixes datasets: make one environment of each")
    dataset, settings = _datasets()[name]
    if reserved := {"seed", "size"} & config.keys():
        raise ValueError(f"config of {name} has {min(reserved)!r}, which is the task's to set")
    try:
        with _fenced():
            chosen = settings(**config, seed=seed, size=1)
            if hasattr(chosen, "validate"):
                chosen.validate()
            return dataset(config=chosen)
    except Exception as error:  # whatever it makes of its settings
        raise ValueError(f"reasoning-gym's {name} cannot be made: {error}") from error


@functools.lru_cache(maxsize=8)
def _drawn(name: str, config: str, seed: int) -> tuple[Any, Mapping[str, Any]]:
    """The dataset and its one entry."""
    dataset = _make(name, json.loads(config), seed)
    try:
        with _fenced():
            entry: Mapping[str, Any] = dataset[0]
    except Exception as error:
        raise ValueError(
            f"reasoning-gym's {name} has no question with {config}: {error}"
        ) from error
    return dataset, entry


class ReasoningGym(TextEnv):
    """A question of reasoning-gym and one reply, judged by its own scorer.

    Parameters:
        dataset: Its name there.
        config: Settings of the dataset other than seed and size; JSON.
    """

    ENV_ID = "ludus/ReasoningGym-v1"
    MAX_TURNS = 4
    SPLIT_BY = "seed"
    FORFEIT = (0.0, 0.0)
    PARAMS: ClassVar[Mapping[str, Any]] = {"dataset": "leg_counting", "config": {}}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        _make(self.params["dataset"], self.params["config"], 0)  # tell of bad settings now

    def _setup(self, task: Task, rng: random.Random) -> None:
        p = {**self.PARAMS, **task.params}
        seed = rng.getrandbits(31)  # some datasets seed numpy with it, which takes 32 bits
        self._drawn = (str(p["dataset"]), json.dumps(p["config"], sort_keys=True), seed)
        self._over = False

    def _rules(self, seat: str) -> str:
        return str(_drawn(*self._drawn)[1]["question"])

    def _score(self, answer: str) -> float:
        """What the scorer gives an answer; 0 where it raises, takes too long, or would run it."""
        dataset, entry = _drawn(*self._drawn)
        name = self._drawn[0]
        if answer != entry["answer"] and not harmless(name, answer):
            return 0.0
        try:
            with _fenced(), bounded() if name in PARSED else nullcontext():
                score = float(dataset.score_answer(answer=answer, entry=entry))
        except (Exception, TooLongError):  # a scorer that is not meant for such an answer
            return 0.0
        return min(1.0, max(0.0, score))

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        ((seat, answer),) = moves.items()
        score = self._score(answer)
        self._over = True
        return Outcome(
            {seat: score}, terminated=True, success=score >= 1, reason=f"score {score:g}"
        )

    def golden(self, seat: str | None = None) -> Golden | None:
        """The dataset's answer; None where it has none, or its scorer does not take it."""
        answer = _drawn(*self._drawn)[1]["answer"]
        if self._over or not isinstance(answer, str) or self._score(answer) < 1:
            return None
        if self.format.read(self.format.write(answer)) != answer:
            return Golden(answer=answer)  # the format cannot carry it: braces, outer blanks
        return Golden(action=self.format.write(answer), answer=answer)

    def verify(self, answer: str, seat: str | None = None) -> Verdict:
        """As the reply would be judged."""
        score = self._score(answer)
        return Verdict(score, score >= 1)
