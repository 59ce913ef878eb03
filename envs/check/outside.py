"""Items 12 and 14: what an environment needs from outside, and what it costs."""

import importlib.util
import time
from statistics import median

from ludus.envs.check.child import Job, import_seconds, run_children
from ludus.envs.check.subject import Subject, broken, choose, reach

_IMPORT_BUDGET_S = 0.5
_MEASURE_S = 0.3
_SLOWDOWN_LIMIT = 3.0


def no_network(subject: Subject) -> str:
    """Making, resetting and stepping need no network and read no environment variable.

    25 of 95 TextArena games do not start on a machine without network: NLTK downloads, API keys.
    Imports of 1.5 to 5 seconds (GEM, verifiers, OpenEnv) are paid by every worker process.
    """
    seeds = subject.seeds(min(5, subject.episodes))
    (touched,) = run_children([Job("guard", subject, seeds)])
    if touched:
        broken("; ".join(touched[:3]))
    module = subject.env_class.__module__
    if module == "__main__" or importlib.util.find_spec(module) is None:
        return f"{len(seeds)} episodes under guard; defined in a script, its import is not timed"
    seconds = import_seconds(module)
    if seconds > _IMPORT_BUDGET_S:
        broken(f"import takes {seconds:.2f} s over Gymnasium, at most {_IMPORT_BUDGET_S} s")
    return f"{len(seeds)} episodes under guard; import takes {seconds:.2f} s over Gymnasium"


def throughput(subject: Subject) -> tuple[str, dict[str, float]]:
    """Steps a second, fork time and bytes a turn are reported; an object must not tire.

    TextArena's steps fall from 35,000 to 1,300 a second when an object is used again.
    """
    figures = measure(subject)
    parts = [f"{figures['steps_per_s']:,.0f} steps/s", f"{figures['bytes_per_turn']:.0f} B/turn"]
    if "fork_us" in figures:
        parts.insert(1, f"fork {figures['fork_us']:.0f} us")
    if figures.get("slowdown", 1.0) > _SLOWDOWN_LIMIT:
        broken(f"steps become {figures['slowdown']:.0f} times slower with use; {', '.join(parts)}")
    return ", ".join(parts), figures


def measure(subject: Subject, seconds: float = _MEASURE_S) -> dict[str, float]:
    """Random play, resets included: steps/s, how many times slower the last tenth was than the
    first (of ten episodes or more), fork time in microseconds, UTF-8 bytes a turn."""
    env, rng = subject.make(), subject.rng("throughput")
    env.reset(seed=subject.seed)
    costs: list[float] = []  # seconds a step, per episode
    steps, shown, start = 0, 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        begun, before = time.process_time(), steps
        obs, _ = env.reset()
        shown += len(obs.encode("utf-8", "surrogatepass"))
        while env.acting:
            obs, *_ = env.step(choose(env, env.acting[0], rng))
            shown += len(obs.encode("utf-8", "surrogatepass"))
            steps += 1
        costs.append((time.process_time() - begun) / max(1, steps - before))
    figures = {"steps_per_s": steps / spent, "bytes_per_turn": shown / max(1, steps)}
    if tenth := len(costs) // 10:  # of fewer episodes than ten, one alone may be a long one
        figures["slowdown"] = median(costs[-tenth:]) / max(1e-9, median(costs[:tenth]))
    if env.metadata["fork"] != "none":
        reach(env, rng, 4)
        forks, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds / 3:
            env.fork()
            forks += 1
        figures["fork_us"] = spent / forks * 1e6
    return figures
