"""Branching rollouts: budgets, sharing, determinism, and the strategies' own arithmetic."""

import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ludus.agents.engines import make_engine
from ludus.agents.engines.base import SamplingParams
from ludus.envs.games.guess_number import GuessNumber
from ludus.envs.task import Task
from ludus.trainer.advantages import SPO, TreeGRPO, TreeRL
from ludus.trainer.batch import pack
from ludus.trainer.branching import AEPO, ARPO, Branching, Growth, Point, TreeSearch
from ludus.trainer.config import TrainConfig
from ludus.trainer.learner import Learner
from ludus.trainer.loss import reinforce
from ludus.trainer.trajectory import Episode, Stop, TokenNode, Trajectory, Turn
from ludus.trainer.tree_rollout import TreeRollout

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import chat, tiny

STRATEGIES: dict[str, Branching] = {
    "arpo": ARPO(),
    "after": ARPO(entropy="after"),
    "aepo": AEPO(),
    "tree": TreeSearch(),
    "surprise": TreeSearch(rounds=2, choose="surprise"),
}


class Patient(GuessNumber):
    """Guesses that are no numbers are forgiven, so that episodes have many turns."""

    ENV_ID = "test/Patient-v1"
    MAX_TURNS = 5
    ON_INVALID = "noop"


class Replayed(Patient):
    """The same, forked by playing it again."""

    ENV_ID = "test/Patient-v1"
    metadata = {**Patient.metadata, "fork": "replay"}  # noqa: RUF012


def rollout_of(
    branching: Branching, *, env: type[Patient] = Patient, leaves: int = 6,
    needs: Sequence[str] = (), engine: Any = None,
) -> TreeRollout:  # fmt: skip
    params = SamplingParams(max_tokens=6, stop_ids=chat().stop_ids)
    return TreeRollout(
        engine or make_engine(tiny()[0]), chat(), env, params,
        branching=branching, leaves=leaves, needs=needs,
    )  # fmt: skip


def tasks_of(groups: int, leaves: int = 6) -> list[Task]:
    train = Patient().tasks("train")
    return [train[i] for i in range(groups) for _ in range(leaves)]


def played(
    branching: Branching, *, groups: int = 2, seed: int = 0, leaves: int = 6, **settings: Any
) -> list[Episode]:
    rollout = rollout_of(branching, leaves=leaves, **settings)
    return rollout.play(tasks_of(groups, leaves), seed=seed)


def ids(episode: Episode) -> list[int]:
    return [token for node in episode.trajectories[0].leaf.path() for token in node.ids]


def replies(episode: Episode) -> list[TokenNode]:
    return [node for node in episode.trajectories[0].leaf.path() if node.is_action]


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_task_gets_its_leaves(name: str) -> None:
    episodes = played(STRATEGIES[name])
    assert [e.number for e in episodes] == list(range(12))
    assert len({e.task_key for e in episodes[:6]}) == 1
    assert all(e.stop is not Stop.ERROR for e in episodes)
    for group in (episodes[:6], episodes[6:]):
        for e in group:
            assert len(replies(e)) == len(e.trajectories[0].turns)
        given = Counter(id(node) for e in group for node in replies(e))
        assert max(given.values()) > 1  # some reply has several futures
        leaves = [replies(e)[-1] for e in group]
        assert len(set(map(id, leaves))) == 6  # and every episode an end of its own


class Unforkable(Patient):
    """Breaks where it is forked."""

    ENV_ID = "test/Patient-v1"

    def fork(self, n: int = 1, *, reseed: int | None = None) -> list[Any]:
        raise RuntimeError("no copy")


@pytest.mark.parametrize("name", ["arpo", "tree"])
def test_a_fork_that_fails_is_an_episode_that_failed(name: str) -> None:
    episodes = played(STRATEGIES[name], env=Unforkable)
    assert [e.number for e in episodes] == list(range(12))
    failed = [e for e in episodes if e.stop is Stop.ERROR]
    assert failed
    assert {e.reason for e in failed} == {"RuntimeError: no copy"}


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_is_decided_depends_on_the_seed_alone(name: str) -> None:
    alone = [ids(e) for e in played(STRATEGIES[name], groups=1)]
    among = [ids(e) for e in played(STRATEGIES[name], groups=3)]
    assert among[:6] == alone
    assert [ids(e) for e in played(STRATEGIES[name], groups=1, seed=1)] != alone
    again = [ids(e) for e in played(STRATEGIES[name], groups=1, env=Replayed)]
    assert again == alone  # forks by state and by replay are one


@pytest.mark.parametrize("name", STRATEGIES)
def test_nothing_is_left_of_an_earlier_rollout(name: str) -> None:
    """Reported elsewhere: a batch was measured against the first entropies of the one before."""
    rollout = rollout_of(STRATEGIES[name])
    first = [ids(e) for e in rollout.play(tasks_of(2), seed=0)]
    rollout.play(tasks_of(3)[6:], seed=5)
    assert [ids(e) for e in rollout.play(tasks_of(2), seed=0)] == first


@pytest.mark.parametrize("name", STRATEGIES)
def test_branches_are_what_the_weights_say(name: str) -> None:
    """The canary: recorded probabilities are the learner's, so forked caches were right."""
    model = tiny()[0]
    trajectories = [t for e in played(STRATEGIES[name]) for t in e.trajectories]
    batches = pack(trajectories, [[1.0] * len(t.turns) for t in trajectories])
    learner = Learner(model, reinforce())
    for batch in batches:
        with torch.no_grad():
            logp_N = learner.logps_UV(model, batch)[batch.slot_N, batch.token_N]
        torch.testing.assert_close(logp_N, batch.logp_sampled_N, atol=1e-4, rtol=0)
    distinct = {id(node): len(node.ids) for t in trajectories for node in t.leaf.path()}
    laid = sum(int((batch.ids_BT != 0).sum()) for batch in batches)
    assert laid <= sum(distinct.values())  # what branches share is computed once


@pytest.mark.parametrize("name", ["arpo", "after", "tree"])
def test_the_cache_is_forked_with_the_conversation(name: str) -> None:
    engine: Any = make_engine(tiny()[0])
    episodes = played(STRATEGIES[name], engine=engine)
    nodes = {id(n): n for e in episodes for n in e.trajectories[0].leaf.path()}.values()
    distinct = sum(len(n.ids) for n in nodes)
    assert engine.tokens_computed <= distinct < sum(len(ids(e)) for e in episodes)
    assert not engine._slots.refs.any()  # every session was closed


@pytest.mark.parametrize("name", ["arpo", "after", "tree"])
def test_layouts_of_a_tree_have_one_gradient(name: str) -> None:
    """In forests of shared beginnings, in rows apart, in a row a turn, and with every action that
    branches share laid once, with the sum of their advantages."""
    trajectories = [t for e in played(STRATEGIES[name]) for t in e.trajectories]
    generator = torch.Generator().manual_seed(0)
    soft = [torch.randn(len(t.turns), generator=generator).tolist() for t in trajectories]
    sums: dict[int, float] = {}
    for t, row in zip(trajectories, soft, strict=True):
        for n, a in zip(actions(t), row, strict=True):
            sums[id(n)] = sums.get(id(n), 0.0) + a
    once = [[sums[id(n)] for n in actions(t)] for t in trajectories]
    seen: set[int] = set()
    keep = [tuple(_first(seen, id(n)) for n in actions(t)) for t in trajectories]
    assert sum(map(sum, keep)) == len(sums) < sum(map(len, keep))
    some = [i for i, kept in enumerate(keep) if any(kept)]
    turns = [
        (Trajectory("e", "t", "a", 0, _only(t, k), (Turn(0.0, ""),)), [row[k]])
        for t, row in zip(trajectories, soft, strict=True)
        for k in range(len(t.turns))
    ]
    whole = step_gradient(trajectories, soft)
    for other in (
        step_gradient(trajectories, soft, bin_tokens=1),
        step_gradient([t for t, _ in turns], [a for _, a in turns], bin_tokens=1),
        step_gradient(
            [trajectories[i] for i in some], [once[i] for i in some], keep=[keep[i] for i in some]
        ),
    ):
        scale = float(whole.abs().max())
        torch.testing.assert_close(other, whole, atol=1e-5 * scale, rtol=1e-4)


def _first(seen: set[int], key: int) -> bool:
    new = key not in seen
    seen.add(key)
    return new


def actions(t: Trajectory) -> list[TokenNode]:
    return [n for n in t.leaf.path() if n.is_action]


def _only(t: Trajectory, turn: int) -> TokenNode:
    """One reply, after all that came before it as context."""
    reply = actions(t)[turn]
    before = tuple(i for n in t.leaf.path()[: t.leaf.path().index(reply)] for i in n.ids)
    return TokenNode(
        TokenNode(None, before), reply.ids, 0, reply.logps, reply.entropies, reply.version
    )


def step_gradient(trajectories: Any, advantages: Any, **packing: Any) -> torch.Tensor:
    """Of REINFORCE, with a constant denominator."""
    model = tiny()[0]
    learner = Learner(model, reinforce())
    batches = pack(
        trajectories, advantages, aggregation="seq-mean-token-sum-norm", norm=10.0, **packing
    )
    for batch in batches:
        logp_N = learner.logps_UV(model, batch)[batch.slot_N, batch.token_N]
        (-(batch.weight_N * batch.advantage_N * logp_N).sum()).backward()  # type: ignore[no-untyped-call]
    return torch.cat([p.grad.flatten() for p in learner.parameters if p.grad is not None])


def test_golden_answers_are_scored_in_branches_too() -> None:
    for e in played(ARPO(), needs=("golden_logp", "state_key")):
        turns = e.trajectories[0].turns
        assert all(t.golden_logp is not None and t.state_key for t in turns)


def test_chance_decides_how_much_branches() -> None:
    never = played(ARPO(probability=0.0, weight=0.0))
    assert len({id(e.trajectories[0].leaf.path()[0]) for e in never}) == 12
    always = played(ARPO(roots=1, probability=1.0, weight=0.0))
    assert len({id(e.trajectories[0].leaf.path()[0]) for e in always}) == 2
    assert len({id(node) for e in always for node in replies(e)}) < len(
        {id(node) for e in never for node in replies(e)}
    )


def test_trees_are_of_one_size() -> None:
    for choose in ("random", "surprise"):
        episodes = played(TreeSearch(trees=2, rounds=2, choose=choose))
        roots = Counter(id(e.trajectories[0].leaf.path()[0]) for e in episodes)
        assert set(roots.values()) == {3}
        assert len(roots) == 4


def node(entropy: float, logp: float = -1.0) -> TokenNode:
    return TokenNode(TokenNode(None, (1,)), (2, 3), 0, (logp, -0.1), (entropy, entropy), 0)


def test_arpo_by_hand() -> None:
    """P = clip(0.5 + 0.2 (H - H_first)), H summed over the first tokens, over ln V."""
    tree = Growth(4, vocabulary=100, started=2)
    first, later = node(1.0), node(4.0)
    begun = Point(0, 0, None, None, reply=first)
    tree.points = [begun]
    tree.active = [Point(0, 1, later, None)]
    rise = (8.0 - 2.0) / 4.605170186
    hits = 0
    for seed in range(4000):
        hits += len(ARPO().grow(tree, random.Random(seed)).points)
    assert hits / 4000 == pytest.approx(0.5 + 0.2 * rise, abs=0.02)
    assert ARPO().grow(Growth(16, 100), random.Random(0)).roots == 8
    assert len(ARPO(probability=1.0, beam=9).grow(tree, random.Random(0)).points) == 2  # the room


def test_aepo_by_hand() -> None:
    assert AEPO().chance(0.0, 0) == pytest.approx(0.5)
    assert AEPO().chance(1.0, 4) == pytest.approx(1 + 0.2 - 0.5 / 0.8)
    assert AEPO().chance(0.0, 20) == 0.0
    tree = Growth(8, vocabulary=100, started=1)
    tree.points = [Point(0, 0, None, None, node(4.0)), Point(0, 1, None, None, node(1.0))]
    # 8 sigmoid(0.5 * (8 - 2) / ln 100) = 5.26
    assert AEPO().balanced(tree) == 6
    assert AEPO().grow(tree, random.Random(0)).roots == 5
    tree.points[1].reply = node(40.0)
    assert AEPO().balanced(tree) == 1


def leaf(*nodes: TokenNode, ret: float, number: int) -> Episode:
    turns = (*(Turn(0.0, "") for _ in nodes[:-1]), Turn(ret, ""))
    t = Trajectory("e", "task", "player_0", number, nodes[-1], turns)
    return Episode("e", "task", number, {"player_0": ret}, (t,), Stop.TERMINATED, "")


def test_credit_of_a_tree_by_hand() -> None:
    root = TokenNode(None, (1,))

    def act(parent: TokenNode, turn: int) -> TokenNode:
        return TokenNode(parent, (2,), turn, (-1.0,), (1.0,), 0)

    a = act(root, 0)
    a1, a2 = act(TokenNode(a, (3,)), 1), act(TokenNode(a, (3,)), 1)
    b = act(TokenNode(None, (1,)), 0)
    episodes = [
        leaf(a, a1, ret=1.0, number=0), leaf(a, a2, ret=0.0, number=1), leaf(b, ret=0.0, number=2),
    ]  # fmt: skip
    # V(start) = 1/3, V(a) = 1/2: a gets (1/6 + 1/6) / sqrt 2, a1 gets 2/3 + 1/2.
    assert TreeRL()(episodes)[0] == pytest.approx((2 / 6 / 2**0.5, 2 / 3 + 1 / 2))
    assert SPO()(episodes)[0] == pytest.approx((1 / 6, 1 / 2))
    assert SPO()(episodes)[2] == pytest.approx((-1 / 3,))
    # Two trees; the second has one leaf and adds nothing.
    z = (1 - 1 / 3) / (1 / 3) ** 0.5
    assert TreeGRPO()(episodes)[0][0] == pytest.approx(z + 0.5 / 0.5**0.5, rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"branching": "arpo:roots=9"}, "roots=9, more than the 8"),
        ({"branching": "tree:trees=3"}, "trees=3, which 8"),
        ({"branching": "arpo:entropy=never"}, "entropy"),
        ({"branching": "apro"}, "nearest: arpo"),
    ],
)
def test_it_refuses(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        TrainConfig(group_size=8, advantage="arpo", **settings)
