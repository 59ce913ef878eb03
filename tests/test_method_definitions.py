"""Every estimator against its definition, written again in numpy: random steps of several games,
levels, seats and tasks, groups of one, equal returns, turns without reward, and trees."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from math import cos, pi, sin, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy.stats import beta

from ludus.trainer.advantages import ADVANTAGES
from ludus.trainer.modulation import MODULATIONS
from ludus.trainer.parts import make_part
from ludus.trainer.shaping import SHAPING
from ludus.trainer.trajectory import Episode, Stop, TokenNode, Trajectory, Turn

Rows = list[Any]
"""For every trajectory a number a turn, or for all of its turns."""

# ---- random steps -------------------------------------------------------------------------------


def step(seed: int, *, binary: bool = False) -> list[Episode]:
    rng = np.random.default_rng(seed)
    roles = ("a", "b")[: rng.integers(1, 3)]
    places = [("x/A-v0", ""), ("x/B-v0", "small"), ("x/B-v0", "large")][: rng.integers(1, 4)]
    equal, found = rng.random() < 0.2, list[Episode]()
    for env_id, level in places:
        for task in range(rng.integers(1, 4)):
            for _ in range(rng.integers(1, 6)):
                number = len(found)
                own = [
                    _trajectory(rng, env_id, level, f"t{task}", role, number, binary, equal)
                    for role in roles
                ]
                returns = {t.role: t.ret for t in own}
                stop = Stop.TRUNCATED if rng.random() < 0.2 else Stop.TERMINATED
                rng.shuffle(own)
                found.append(
                    Episode(env_id, f"t{task}", number, returns, tuple(own), stop, level=level)
                )
    return [found[i] for i in rng.permutation(len(found))]


def _trajectory(
    rng: np.random.Generator, env_id: str, level: str, task: str, role: str, number: int,
    binary: bool, equal: bool,
) -> Trajectory:  # fmt: skip
    leaf, turns = TokenNode(None, (1, 2)), []
    count = int(rng.integers(1, 5))
    for k in range(count):
        n = int(rng.integers(1, 5))
        logps = -2 * rng.random(n)
        leaf = TokenNode(leaf, (3,) * n, k, tuple(logps), tuple(2 * rng.random(n)), 0)
        reward = 0.0 if binary else float(rng.choice([0.0, rng.normal()]))
        if binary and k == count - 1:
            reward = float(rng.integers(2))
        turns.append(
            Turn(
                0.1 / count if equal else reward,
                "",
                invalid="bad" if rng.random() < 0.2 else "",
                state_key=f"s{rng.integers(3)}",
                golden_logp=float(-3 * rng.random()),
                called="t" if rng.random() < 0.5 else "",
                sum_squares=tuple(np.exp(2 * logps) + 0.1 * rng.random(n)),
                values=tuple(rng.normal(size=n)),
            )
        )
        leaf = TokenNode(leaf, (4,)) if k < count - 1 else leaf
    return Trajectory(env_id, task, role, number, leaf, tuple(turns), level)


def tree(seed: int) -> list[Episode]:
    """Episodes that branch; some trees have one leaf."""
    rng, found = np.random.default_rng(seed), list[Episode]()

    def grow(before: TokenNode, turn: int, task: str) -> None:
        for _ in range(rng.integers(1, 3)):
            node = TokenNode(before, (5,), turn, (-1.0,), (float(rng.random()),), 0)
            if turn < 2 and rng.random() < 0.6:
                grow(TokenNode(node, (6,)), turn + 1, task)
                continue
            ret, number = float(rng.integers(2)), len(found)
            turns = (*[Turn(0.0, "")] * turn, Turn(ret, ""))
            t = Trajectory("e", task, "a", number, node, turns)
            found.append(Episode("e", task, number, {"a": ret}, (t,), Stop.TERMINATED))

    for task in "xy":
        for _ in range(rng.integers(1, 4)):
            grow(TokenNode(None, (1,)), 0, task)
    return [found[i] for i in rng.permutation(len(found))]


# ---- what definitions are written in ------------------------------------------------------------


def only(episodes: Sequence[Episode]) -> list[Trajectory]:
    return [t for e in episodes for t in e.trajectories]


def replies(t: Trajectory) -> list[TokenNode]:
    return [node for node in t.leaf.path() if node.is_action]


def rewards(t: Trajectory) -> np.ndarray:
    return np.array([turn.reward for turn in t.turns])


def ahead(r: ArrayLike, gamma: float = 1.0) -> np.ndarray:
    r = np.asarray(r, float)
    return np.array([sum(gamma ** (k - t) * r[k] for k in range(t, len(r))) for t in range(len(r))])


def z(x: ArrayLike, eps: float = 1e-6) -> np.ndarray:
    x = np.asarray(x, float)
    if len(x) < 2 or np.ptp(x) == 0:
        return 0 * x
    return np.asarray((x - x.mean()) / (x.std(ddof=1) + eps))


def centred(x: ArrayLike) -> np.ndarray:
    x = np.asarray(x, float)
    return np.asarray(x - x.mean())


def in_groups(
    episodes: Sequence[Episode], rule: Callable[[list[Trajectory]], Any], *, alone: bool = False
) -> Rows:
    """The rule on the siblings of every task, seat by seat; a group of one gets 0."""
    trajectories, groups = only(episodes), dict[Hashable, list[int]]()
    for i, t in enumerate(trajectories):
        groups.setdefault((t.env_id, t.level, t.task_key, t.role), []).append(i)
    out: Rows = [0.0] * len(trajectories)
    for members in groups.values():
        if alone or len(members) > 1:
            for i, a in zip(members, rule([trajectories[i] for i in members]), strict=True):
                out[i] = a
    return out


def rets(members: Sequence[Trajectory]) -> np.ndarray:
    return np.array([rewards(t).sum() for t in members])


def lengths(t: Trajectory) -> list[int]:
    return [len(node.ids) for node in replies(t)]


def whitened(rows: Rows, counts: Rows) -> Rows:
    x, n = np.concatenate(rows), np.concatenate(counts)
    middle = (n * x).sum() / n.sum()
    return [(row - middle) / sqrt((n * (x - middle) ** 2).sum() / n.sum() + 1e-8) for row in rows]


# ---- the definitions ----------------------------------------------------------------------------


def rloo(members: list[Trajectory]) -> Any:
    r = rets(members)
    return [r[i] - np.delete(r, i).mean() for i in range(len(r))]


def opo(members: list[Trajectory]) -> Any:
    n = np.array([sum(lengths(t)) for t in members])
    return rets(members) - (n * rets(members)).sum() / n.sum()


def pass_k(members: list[Trajectory]) -> Any:
    r = rets(members)
    return np.where(np.arange(len(r)) == r.argmax(), np.sort(r)[-1] - np.sort(r)[-2], 0.0)


def canon(members: list[Trajectory], mu: float = 0.5) -> Any:
    r = rets(members)
    h = [np.mean([np.mean(node.entropies) for node in replies(t)]) for t in members]
    low = np.argsort(np.argsort(h, kind="stable")) < len(r) // 2
    same = low[:, None] == low
    means = [(r[~same[i]].mean(), r[same[i]].mean()) for i in range(len(r))]
    return [x - mu * other - (1 - mu) * own for x, (other, own) in zip(r, means, strict=True)]


def max_rl(members: list[Trajectory]) -> Any:
    r = rets(members)
    return (r - r.mean()) / r.mean() if r.mean() > 0 else 0 * r


def bnpo(episodes: list[Episode]) -> Rows:
    rate: dict[Hashable, float] = {}
    for t, p in zip(
        only(episodes),
        in_groups(episodes, lambda m: [rets(m).mean()] * len(m), alone=True),
        strict=True,
    ):
        rate[t.env_id, t.level, t.task_key, t.role] = p
    p = np.array(list(rate.values()))
    v = p.var(ddof=1) if len(p) > 1 else 0.0
    shape = np.ones(2)
    if 0 < v < p.mean() * (1 - p.mean()):
        scale = p.mean() * (1 - p.mean()) / v - 1
        shape = np.maximum(1, 1 + scale * np.array([p.mean(), 1 - p.mean()]) / 3)

    def rule(members: list[Trajectory]) -> Any:
        q = rets(members).mean()
        density = beta.pdf(np.clip(q, 1e-12, 1 - 1e-12), *shape)
        return (rets(members) - q) * min(1 / max(density, 1e-12), 1e6)

    return in_groups(episodes, rule)


def reinforce_pp(episodes: list[Episode], gamma: float = 1.0, baseline: bool = False) -> Rows:
    trajectories = only(episodes)
    rows: Rows = [ahead(rewards(t), gamma) for t in trajectories]
    if baseline:
        gains = in_groups(episodes, lambda m: centred(rets(m)))
        rows = [np.full(len(t.turns), a) for t, a in zip(trajectories, gains, strict=True)]
    return whitened(rows, [lengths(t) for t in trajectories])


def rae(episodes: list[Episode], gamma: float = 1.0, paper: bool = False) -> Rows:
    b: dict[Hashable, float] = {}
    out: Rows = []
    for e in episodes:
        key = {role: (e.env_id, e.level, role) for role in e.returns}
        before = dict(b)
        for role, ret in e.returns.items():
            b[key[role]] = 0.95 * b.get(key[role], 0.0) + 0.05 * ret
        for t in e.trajectories:
            a = e.returns[t.role] - (b if paper else before).get(key[t.role], 0.0)
            out.append(a * gamma ** np.arange(len(t.turns))[::-1])
    return out


def role_mean(episodes: list[Episode], turns: bool = False) -> Rows:
    trajectories = only(episodes)
    rows = [ahead(rewards(t)) if turns else rewards(t).sum()[None] for t in trajectories]
    seats = [(t.env_id, t.level, t.role) for t in trajectories]
    means = {
        seat: np.concatenate([r for r, s in zip(rows, seats, strict=True) if s == seat]).mean()
        for seat in seats
    }
    return [row - means[seat] for row, seat in zip(rows, seats, strict=True)]


def gigpo(std: bool = False, per_row: bool = False, omega: float = 1.0) -> Any:
    norm = z if std else centred

    def rule(members: list[Trajectory]) -> Any:
        episode = norm(rets(members))
        if per_row:
            rows = np.concatenate([[rewards(t).sum()] * len(t.turns) for t in members])
            spread = rows.std(ddof=1) + 1e-6 if std else 1.0
            episode = (rets(members) - rows.mean()) / spread
        visits: dict[str, list[tuple[int, int, float]]] = {}
        for i, t in enumerate(members):
            for k, g in enumerate(ahead(rewards(t), 0.95)):
                visits.setdefault(t.turns[k].state_key, []).append((i, k, g))
        out = [np.full(len(t.turns), a) for t, a in zip(members, episode, strict=True)]
        for of in visits.values():
            for (i, k, _), a in zip(of, norm([g for *_, g in of]), strict=True):
                out[i][k] += omega * a
        return out

    return rule


def at_index(members: list[Trajectory], numbers: Rows, rule: Callable[[Any], Any]) -> Rows:
    """The rule among those that have a number at the same index."""
    out = [np.zeros(len(t.turns)) for t in members]
    for k in range(max(map(len, numbers), default=0)):
        have = [i for i, row in enumerate(numbers) if len(row) > k]
        for i, a in zip(have, rule([numbers[i][k] for i in have]), strict=True):
            out[i][k] = a
    return out


def mt_grpo(members: list[Trajectory]) -> Any:
    outcome = z([rewards(t)[-1] for t in members], 1e-4)
    turns = at_index(members, [rewards(t)[:-1] for t in members], lambda x: z(x, 1e-4))
    return [o + row for o, row in zip(outcome, turns, strict=True)]


def igpo(joint: bool = False, prob: bool = False, gamma: float = 1.0) -> Any:
    def rule(members: list[Trajectory]) -> Any:
        levels = [np.array([turn.golden_logp for turn in t.turns], float) for t in members]
        gains = [np.diff(np.exp(row) if prob else row) for row in levels]
        outcomes = [-2.0 if t.turns[-1].invalid else rewards(t).sum() for t in members]
        pools = [np.concatenate(gains), np.array(outcomes)]
        if joint:
            pools = [np.concatenate(pools)] * 2

        def standard(x: ArrayLike, pool: np.ndarray) -> np.ndarray:
            x = np.asarray(x, float)
            spread = sqrt(pool.var() + 1e-8) + 1e-6 if len(pool) > 1 else np.inf
            return (x - pool.mean()) / spread if len(pool) else x

        return [
            ahead([*standard(g, pools[0]), standard(o, pools[1])], gamma)
            for g, o in zip(gains, outcomes, strict=True)
        ]

    return rule


def below(trajectories: Sequence[Trajectory], node: TokenNode) -> np.ndarray:
    return rets([t for t in trajectories if any(n is node for n in replies(t))])


def values(members: list[Trajectory], t: Trajectory) -> np.ndarray:
    """V at the start and after every turn."""
    return np.array([rets(members).mean(), *(below(members, n).mean() for n in replies(t))])


def tree_rl(members: list[Trajectory]) -> Any:
    found = []
    for t in members:
        v = values(members, t)
        under = [len(below(members, n)) for n in replies(t)]
        found.append((2 * v[1:] - v[0] - v[:-1]) / np.sqrt(under))
    return found


def tree_grpo(members: list[Trajectory]) -> Any:
    roots = [id(t.leaf.path()[0]) for t in members]
    own = {
        root: z(rets([t for t, r in zip(members, roots, strict=True) if r == root]))
        for root in roots
    }
    rest = {root: iter(row) for root, row in own.items()}
    return [a + next(rest[root]) for a, root in zip(z(rets(members)), roots, strict=True)]


def arpo_hard(members: list[Trajectory]) -> Any:
    given = list(zip(members, z(rets(members)), strict=True))
    return [
        [np.mean([a for u, a in given if any(n is m for m in replies(u))]) for n in replies(t)]
        for t in members
    ]


GROUPED: dict[str, Callable[[list[Trajectory]], Any]] = {
    "grpo": lambda m: z(rets(m)),
    "grpo:std=none": lambda m: centred(rets(m)),
    "group_mean": lambda m: centred(rets(m)),
    "rloo": rloo,
    "opo": opo,
    "pass_k": pass_k,
    "canon": canon,
    "canon:mu=0.8": lambda m: canon(m, 0.8),
    "gigpo": gigpo(),
    "gigpo:norm=std,omega=0.5": gigpo(std=True, omega=0.5),
    "gigpo:norm=std,per_row=true": gigpo(std=True, per_row=True),
    "mt_grpo": mt_grpo,
    "igpo": igpo(),
    "igpo:norm=joint,kind=prob,gamma=0.9": igpo(joint=True, prob=True, gamma=0.9),
    "turn_returns:gamma=0.5": lambda m: at_index(m, [ahead(rewards(t), 0.5) for t in m], centred),
    "tree_grpo": tree_grpo,
    "tree_rl": tree_rl,
    "spo": lambda m: [np.diff(values(m, t)) for t in m],
    "arpo": lambda m: z(rets(m)),
    "arpo:shared=hard": arpo_hard,
}  # fmt: skip
WHOLE: dict[str, Callable[[list[Episode]], Rows]] = {
    "grpo:std=batch": lambda e: [
        a / (np.std(rets(only(e)), ddof=1) + 1e-6) if len(only(e)) > 1 else 0.0
        for a in in_groups(e, lambda m: centred(rets(m)))
    ],
    "reinforce++": reinforce_pp,
    "reinforce++:gamma=0.7": lambda e: reinforce_pp(e, 0.7),
    "reinforce++:baseline=true": lambda e: reinforce_pp(e, baseline=True),
    "rae": rae,
    "rae:order=paper,gamma=0.5": lambda e: rae(e, 0.5, paper=True),
    "role_mean": role_mean,
    "role_mean:turns=true": lambda e: role_mean(e, turns=True),
    "returns": lambda e: list(rets(only(e))),
}
BINARY: dict[str, Callable[[list[Episode]], Rows]] = {
    "max_rl": lambda e: in_groups(e, max_rl),
    "bnpo": bnpo,
}
DEFINED: dict[str, Callable[[list[Episode]], Rows]] = {
    **{name: partial(in_groups, rule=rule) for name, rule in GROUPED.items()},
    **WHOLE,
    **BINARY,
}
TREES = ("tree_grpo", "tree_rl", "spo", "arpo", "arpo:shared=hard", "grpo")


def assert_defined(found: Rows, expected: Rows) -> None:
    for own, by_definition in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            own, np.broadcast_to(by_definition, len(own)), rtol=1e-6, atol=1e-7
        )


seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("name", DEFINED)
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_advantages_are_defined(name: str, seed: int) -> None:
    branched = name in TREES and seed % 2
    episodes = tree(seed) if branched else step(seed, binary=name in BINARY)
    assert_defined(make_part("advantage", name, ADVANTAGES)(episodes), DEFINED[name](episodes))


def test_all_estimators_are_defined_here_or_where_tokens_are() -> None:
    here = {name.partition(":")[0] for name in DEFINED}
    assert set(ADVANTAGES) - here == {"gae", "bi_level_gae", "turn_gae", "otb"}


# ---- what comes before and after ----------------------------------------------------------------


def entropies(t: Trajectory) -> np.ndarray:
    return np.array([np.mean(node.entropies) for node in replies(t)])


def empg(episodes: list[Episode], rows: Rows) -> Rows:
    h = [entropies(t) for t in only(episodes)]
    low, high = np.concatenate(h).min(), np.concatenate(h).max()
    h = [(x - low) / (high - low + 1e-8) for x in h]
    norm = np.exp(-np.concatenate(h)).mean()
    out = [
        np.array(a) * np.exp(-x) / norm + 0.05 * np.append(np.exp(-x)[1:], 0.0)
        for a, x in zip(rows, h, strict=True)
    ]
    return [row - np.concatenate(out).mean() for row in out]


def entropy_aware(episodes: list[Episode], rows: Rows) -> Rows:
    trajectories = only(episodes)
    tokens = np.concatenate([np.repeat(entropies(t), lengths(t)) for t in trajectories])
    spread = tokens.std(ddof=1) if len(tokens) > 1 else 0.0
    return [
        np.array(a) * (1 + 0.2 * (entropies(t) - tokens.mean()) / (spread + 1e-8))
        for a, t in zip(rows, trajectories, strict=True)
    ]


def style(episodes: list[Episode], rows: Rows) -> Rows:
    given = iter(rows)
    first = {id(t): next(given)[0] for t in only(episodes)}

    def rule(members: list[Trajectory]) -> Any:
        good = [t for t in members if rewards(t).sum() > 0]
        mean = np.mean([len(t.turns) for t in good]) if len(good) > 1 else np.nan
        return [
            np.clip(-2 * (len(t.turns) - mean) / mean, *(first[id(t)] * np.array([-0.7, 0.7])))
            if len(good) > 1 and t in good and first[id(t)] > 0
            else 0.0
            for t in members
        ]

    return [np.array(a) + b for a, b in zip(rows, in_groups(episodes, rule), strict=True)]


MODULATED: dict[str, Callable[[list[Episode], Rows], Rows]] = {
    "empg": empg,
    "entropy_aware": entropy_aware,
    "style": style,
    "negatives": lambda _, rows: [np.where(np.array(a) < 0, 0.5, 1.0) * a for a in rows],
    "centre": lambda _, rows: [np.array(a) - np.concatenate(rows).mean() for a in rows],
}


def test_all_modulations_are_defined_here() -> None:
    assert MODULATED.keys() == MODULATIONS.keys()


@pytest.mark.parametrize("name", MODULATED)
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_modulations_are_defined(name: str, seed: int) -> None:
    episodes = step(seed)
    advantages = ADVANTAGES["igpo" if seed % 2 else "grpo"]()(episodes)
    found = MODULATIONS[name]()(episodes, advantages)
    assert_defined(found, MODULATED[name](episodes, advantages))


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_tool_economy_is_defined(seed: int) -> None:
    """Over two steps, in which the fewest calls are remembered."""
    part, fewest = SHAPING["otc"](), dict[Hashable, int]()
    for again in range(2):
        episodes = step(seed + again)
        calls = [sum(bool(turn.called) for turn in t.turns) for t in only(episodes)]
        keys = [(t.env_id, t.level, t.task_key, t.role) for t in only(episodes)]
        for t, m, key in zip(only(episodes), calls, keys, strict=True):
            if rewards(t).sum() > 0:
                fewest[key] = min(m, fewest.get(key, m))
        expected: Rows = []
        for t, m, key in zip(only(episodes), calls, keys, strict=True):
            n, factor = fewest.get(key), 1.0
            if n is not None and rewards(t).sum() >= 0 and (m or n):
                factor = sin(m / (m + n) * pi) if n else cos(m * pi / (2 * m + 4))
            expected.append(factor * rewards(t))
        assert_defined([rewards(t) for t in only(part(episodes))], expected)
