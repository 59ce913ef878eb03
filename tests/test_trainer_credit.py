"""Credit: the order of operations, what each station may see, and what is remembered."""

import dataclasses
import json
import random
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ludus.agents.engines import make_engine
from ludus.agents.engines.base import SamplingParams
from ludus.envs import Golden, Outcome, Task, TextEnv
from ludus.envs.games.guess_number import GuessNumber
from ludus.envs.registry import make
from ludus.trainer.advantages import ADVANTAGES, GRPO, GroupMean, ReinforcePlusPlus
from ludus.trainer.advantages.base import std, turn_tokens, zscore
from ludus.trainer.advantages.compare import length_weighted, max_likelihood, pass_at_k, whiten
from ludus.trainer.advantages.trees import node_values, segment_advantages, step_rewards
from ludus.trainer.advantages.values import discounted_returns, masked_gae, truncated_gae
from ludus.trainer.config import RECIPES, TrainConfig
from ludus.trainer.credit import Credit
from ludus.trainer.curriculum import Elo, allocate, prioritized
from ludus.trainer.filters import FILTERS, spread
from ludus.trainer.modulation import MODULATIONS
from ludus.trainer.rollout import Rollout
from ludus.trainer.shaping import SHAPING, Overlong
from ludus.trainer.train import Trainer
from ludus.trainer.trajectory import Episode, Stop, TokenNode, Turn

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import chat, path, tiny, trajectory

SMALL = "small:hidden=32,layers=1,heads=2,kv_heads=1"


def single(
    ret: float, *, task: str = "task", number: int = 0, turns: int = 1, stop: Stop = Stop.TERMINATED
) -> Episode:
    """An episode of one seat, paid at the end."""
    t = trajectory(
        path(*[[1], [2, 3]] * turns), *[0.0] * (turns - 1), ret, task_key=task, episode=number
    )
    return Episode(t.env_id, task, number, {"a": ret}, (t,), stop)


def group(*returns: float, task: str = "task") -> list[Episode]:
    return [single(r, task=task, number=i) for i, r in enumerate(returns)]


# ---- the order --------------------------------------------------------------------------------


def test_the_stations_are_called_in_order() -> None:
    said: list[str] = []

    class Noting:
        """Every station, and only a note of its call."""

        group = "batch"
        needs = frozenset[str]()

        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(self, first: Any, advantages: Any = None) -> Any:
            said.append(self.name)
            if self.name == "filter":
                assert list(first.values()) == [[[1.0], [0.0]]]  # raw: shaping added 5
                return {}
            if self.name == "shaping":
                return [
                    dataclasses.replace(
                        e,
                        returns={"a": e.returns["a"] + 5},
                        trajectories=tuple(
                            dataclasses.replace(t, turns=(Turn(t.ret + 5, ""),))
                            for t in e.trajectories
                        ),
                    )
                    for e in first
                ]
            if self.name == "estimator":
                assert [e.trajectories[0].ret for e in first] == [6.0, 5.0]
                return [(6.0,), (5.0,)]
            if self.name == "modulation":
                return [(2 * a,) for (a,) in advantages]
            assert advantages == [(12.0,), (10.0,)]
            return [(True,), (False,)]

        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            assert state == {}

    names = ("estimator", "shaping", "filter", "modulation", "edit")
    stations: dict[str, Any] = {name: Noting(name) for name in names}
    credit = Credit(
        stations["estimator"],
        shaping=[stations["shaping"]],
        filters=[stations["filter"]],
        modulation=[stations["modulation"]],
        edits=[stations["edit"]],
    )
    credited = credit(group(1.0, 0.0))
    assert said == ["shaping", "filter", "estimator", "modulation", "edit"]
    assert credited.advantages == [(12.0,)]
    assert [t.ret for t in credited.trajectories] == [6.0]
    credit.load_state_dict(json.loads(json.dumps(credit.state_dict())))


def test_groups_are_filtered_by_raw_returns() -> None:
    # Equal outcomes; only the length penalty tells them apart, and it must not save the group.
    episodes = [
        *group(1.0, 0.0, task="mixed"),
        single(1.0, task="solved", number=0),
        single(1.0, task="solved", number=1, turns=3),
    ]
    credit = Credit(GRPO(), shaping=[Overlong(longest=6, buffer=4)], filters=[FILTERS["dynamic"]()])
    credited = credit(episodes)
    assert {t.task_key for t in credited.trajectories} == {"mixed"}
    assert credited.metrics["credit/groups_dropped"] == 0.5
    assert credited.metrics["credit/dropped/all equal"] == 0.5
    assert credit.groups(episodes) == 2
    assert credit.groups(episodes, filtered=True) == 1


def branched(*roots: Sequence[float], task: str) -> list[Episode]:
    """For each root the trajectories that grew from its first reply."""
    found: list[Episode] = []
    for returns in roots:
        trunk = path([1], [2, 3])
        for ret in returns:
            leaf = TokenNode(TokenNode(trunk, (4,)), (5,), 1, (-1.0,), (1.0,), 0)
            number = len(found)
            t = trajectory(leaf, 0.0, ret, task_key=task, episode=number)
            found.append(Episode(t.env_id, task, number, {"a": ret}, (t,), Stop.TERMINATED))
    return found


@pytest.mark.parametrize("name", ["starpo_s:keep=0.5", "snr:p=0.5"])
def test_filters_count_roots_and_not_leaves(name: str) -> None:
    """A root that failed and one that succeeded, against two of equal worth. Leaf by leaf the
    first group varies less, since seven of its eight leaves share one beginning."""
    apart = branched([1.0], [0.0] * 7, task="apart")
    alike = branched([1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0], task="alike")
    credited = Credit.named("grpo", filters=[name])([*apart, *alike])
    assert {t.task_key for t in credited.trajectories} == {"apart"}


def test_branches_that_differ_say_something() -> None:
    kept = Credit.named("grpo", filters=["dynamic"])(
        [*branched([1.0, 0.0], [0.0, 1.0], task="x"), *branched([1.0, 1.0], [1.0], task="y")]
    )
    assert {t.task_key for t in kept.trajectories} == {"x"}


def test_the_spread_of_branches_is_that_of_the_return() -> None:
    """Roots lead to success with probability 0.2 or 0.9, one has one leaf and one three: on
    average over all that may happen, the variance of the return."""
    total = 0.0
    for chances in product((0.2, 0.9), repeat=2):
        for leaves in product((0.0, 1.0), repeat=4):
            roots = [leaves[:1], leaves[1:]]
            weight = 0.25
            for chance, own in zip(chances, roots, strict=True):
                weight *= prod(chance if leaf else 1 - chance for leaf in own)
            total += weight * spread(roots) ** 2
    assert total == pytest.approx(0.55 * 0.45)


def test_a_group_of_one_is_counted_and_not_trained() -> None:
    credited = Credit(GRPO())([*group(1.0, 0.0), single(1.0, task="alone")])
    assert len(credited.trajectories) == 2
    assert credited.metrics["credit/singletons"] == 1.0
    assert credited.metrics["credit/trajectories_dropped"] == pytest.approx(1 / 3)


def test_a_running_baseline_does_not_need_siblings() -> None:
    credited = Credit.named("rae")([single(1.0)])
    assert credited.advantages == [(1.0,)]


def test_everything_may_be_left_out() -> None:
    credited = Credit.named("grpo", filters=["dynamic"])(group(1.0, 1.0))
    assert credited.trajectories == []
    assert credited.metrics["credit/trajectories_dropped"] == 1.0


def test_group_statistics_are_of_all_rollouts() -> None:
    """Reported elsewhere: only the first rollout entered the mean, and training still kind of
    worked."""
    returns = [0.3, 1.7, -0.4, 0.0, 2.2]
    credited = Credit(GRPO(eps=0.0))(group(*returns))
    x = torch.tensor(returns, dtype=torch.float64)
    expected = (x - x.mean()) / x.std()
    assert [a for (a,) in credited.advantages] == pytest.approx(expected.tolist())
    assert credited.metrics["advantage/mean"] == pytest.approx(0.0, abs=1e-12)


def test_groups_are_keys_not_places() -> None:
    episodes = [*group(1.0, 0.0, task="x"), *group(5.0, 3.0, task="y")]
    shuffled = [episodes[i] for i in (2, 0, 3, 1)]
    assert GroupMean()(shuffled) == [(1.0,), (0.5,), (-1.0,), (-0.5,)]


def test_edits_say_what_stays() -> None:
    episodes = [*group(1.0, 0.0), single(0.5, number=2, stop=Stop.TRUNCATED)]
    kept = Credit.named("grpo", edits=["not_truncated", "not_zero"])(episodes)
    assert [t.ret for t in kept.trajectories] == [1.0, 0.0]
    broken = dataclasses.replace(single(9.0), stop=Stop.ERROR)
    assert len(Credit.named("returns")([*group(1.0, 0.0), broken]).trajectories) == 2


def test_lengths_are_those_of_sampled_tokens() -> None:
    """Reported elsewhere: the span with what tools said was taken for the length."""
    chatty = trajectory(path([1] * 50, [2, 3], [4] * 50, [5, 6]), 0.0, 1.0)
    episode = Episode(chatty.env_id, "task", 0, {"a": 1.0}, (chatty,), Stop.TERMINATED)
    (same,) = Overlong(longest=8, buffer=4)([episode])
    assert same.returns == {"a": 1.0}
    (less,) = Overlong(longest=4, buffer=2)([episode])
    assert less.returns == {"a": 0.0}
    assert [turn.reward for turn in less.trajectories[0].turns] == [0.0, 0.0]


def test_tokens_that_tools_said_are_no_transitions() -> None:
    """Reported elsewhere: a reward on a masked last token was decayed or lost."""
    ends_with_tool = masked_gae([0, 0, 0, 1], [0.5, 0.2, 9.0, 9.0], [True, True, False, False])
    assert ends_with_tool == [*masked_gae([0, 1], [0.5, 0.2], [True, True]), 0.0, 0.0]
    assert discounted_returns([0, 0, 1], [True, True, False], 0.5) == [0.5, 1.0, 0.0]
    with pytest.raises(ValueError, match="belongs to no reply"):
        discounted_returns([1, 0], [False, True])


def test_reinforce_plus_plus_reaches_the_first_turn() -> None:
    episodes = [single(1.0, turns=3), single(0.0, number=1, turns=3)]
    first, second = ReinforcePlusPlus()(episodes)
    assert first == pytest.approx((1.0,) * 3, abs=1e-6)
    assert second == pytest.approx((-1.0,) * 3, abs=1e-6)


# ---- laws ---------------------------------------------------------------------------------------

returns_of_a_group = st.lists(st.floats(0, 1), min_size=2, max_size=8)


@given(returns=returns_of_a_group)
def test_group_functions(returns: list[float]) -> None:
    assert sum(zscore(returns)) == pytest.approx(0, abs=1e-6)
    weighted = length_weighted(returns, [3] * len(returns))
    mean = sum(returns) / len(returns)
    assert weighted == pytest.approx([r - mean for r in returns], abs=1e-9)
    best = pass_at_k(returns)
    assert sum(a > 0 for a in best) <= 1
    assert min(best) >= 0
    if mean > 1e-3:
        assert sum(max_likelihood(returns)) == pytest.approx(0, abs=1e-6)
    assert abs(sum(whiten(returns))) < 1e-6 * len(returns) or max(returns) - min(returns) < 1e-3


@pytest.mark.parametrize("name", ADVANTAGES)
def test_a_group_of_one_says_nothing(name: str) -> None:
    """Also where its turns come by the same state, or have different gains."""
    turns = tuple(
        Turn(reward, "", state_key="s", golden_logp=logp, sum_squares=(0.5, 0.5))
        for reward, logp in ((0.25, -1.0), (0.0, -2.0), (0.5, -0.5))
    )
    alone = dataclasses.replace(single(0.75, turns=3).trajectories[0], turns=turns)
    estimator = ADVANTAGES[name]()
    episode = Episode("test/Env-v0", "task", 0, {"a": 0.75}, (alone,), Stop.TERMINATED)
    if estimator.group.startswith("task"):
        assert estimator([episode]) == [(0.0,) * 3]
        assert Credit(estimator)([episode]).trajectories == []


def test_equal_returns_are_equal_whatever_is_added_to_their_spread() -> None:
    thirds = [0.1, 0.1, 0.1]  # whose mean is not 0.1
    assert std(thirds) == 0.0
    assert zscore(thirds, eps=0.0) == [0.0] * 3
    assert GRPO(eps=0.0)(group(*thirds)) == [(0.0,)] * 3


@pytest.mark.parametrize(("name", "least"), [("bnpo", "in \\[0, 1\\]"), ("max_rl", "of 0 or more")])
def test_returns_that_an_estimator_cannot_take(name: str, least: str) -> None:
    with pytest.raises(ValueError, match=f"{name} needs returns {least}, got -1.5 in test/Env-v0"):
        ADVANTAGES[name]()(group(1.0, -1.5))


def test_values_of_nodes() -> None:
    parents: dict[Hashable, Hashable] = {"l": "root", "r": "root", "l1": "l", "l2": "l"}
    values, counts = node_values(parents, {"l1": 1.0, "l2": 0.0, "r": 0.0})
    assert values["root"] == pytest.approx(1 / 3)
    assert (values["l"], counts["l"], counts["root"]) == (0.5, 2, 3)
    steps = step_rewards(parents, {"l1": 1.0, "l2": 0.0, "r": 0.0})
    assert steps["l"] == pytest.approx(2 * (0.5 - 1 / 3) / 2**0.5)
    assert steps["l1"] == pytest.approx((1 - 1 / 3) + 0.5)
    assert segment_advantages([values["root"], values["l"], 1.0]) == pytest.approx([1 / 6, 0.5])
    assert truncated_gae([], []) == []


@given(rates=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=3), extra=st.integers(0, 12))
def test_greedy_budgets_are_optimal(rates: list[float], extra: int) -> None:
    from ludus.trainer.curriculum import rollout_value

    n, budget = len(rates), 2 * len(rates) + min(extra, 6 * len(rates))
    found = allocate(rates, budget, low=2, high=8)
    assert sum(found) == budget

    def value(counts: Sequence[int]) -> float:
        return sum(rollout_value(c, p) for c, p in zip(counts, rates, strict=True))

    best = max(value(c) for c in product(range(2, 9), repeat=n) if sum(c) == budget)
    assert value(found) == pytest.approx(best, abs=1e-12)


def test_budgets_leave_the_solved_and_try_the_unknown() -> None:
    assert allocate([1.0, 0.0], 10, low=2, high=8) == [2, 8]
    with pytest.raises(ValueError, match="cannot use a budget"):
        allocate([0.5], 1)


def test_elo_and_opponents() -> None:
    elo = Elo()
    for points in (1.0, 0.5, 0.0, 1.0):
        elo.record("a", "b", points)
    assert sum(elo.ratings.values()) == pytest.approx(2000)
    # The favourite gains little: 400 points are 10 to 1.
    ahead = Elo(k=11)
    ahead.ratings = {"a": 1400.0, "b": 1000.0}
    ahead.record("a", "b", 1.0)
    assert ahead.ratings == pytest.approx({"a": 1401.0, "b": 999.0})
    twin = Elo()
    twin.load_state_dict(json.loads(json.dumps(elo.state_dict())))
    assert twin.ratings == elo.ratings
    assert sum(prioritized({"a": 0.2, "b": 0.6}).values()) == pytest.approx(1.0)
    assert prioritized({"a": 1.0, "b": 1.0}) == {"a": 0.5, "b": 0.5}


# ---- what is remembered --------------------------------------------------------------------------

TWO_TASKS = [
    *group(1.0, 0.25, task="x"), *group(0.5, 0.0, task="y"), single(1.0, task="x", turns=2),
]  # fmt: skip


def noted(episodes: Sequence[Episode]) -> list[Episode]:
    return [
        dataclasses.replace(
            e,
            trajectories=tuple(
                dataclasses.replace(
                    t,
                    turns=tuple(
                        dataclasses.replace(
                            u,
                            state_key="s",
                            golden_logp=-1.0,
                            magnet_logp=-1.5,
                            values=(0.5,) * tokens,
                            sum_squares=(0.5,) * tokens,
                        )
                        for u, tokens in zip(t.turns, turn_tokens(t), strict=True)
                    ),
                )
                for t in e.trajectories
            ),
        )
        for e in episodes
    ]


@pytest.mark.parametrize("name", ADVANTAGES)
def test_credit_goes_on_from_its_state(name: str) -> None:
    # Some shapings leave [0, 1], which returns must not everywhere.
    shaping = ["otc"] if name in ("bnpo", "max_rl") else list(SHAPING)

    def build() -> Credit:
        return Credit.named(name, shaping=shaping, modulation=list(MODULATIONS))

    first, then = noted(TWO_TASKS[::-1]), noted(TWO_TASKS)
    whole, before, after = build(), build(), build()
    whole(first)
    before(first)
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    found, expected = after(then), whole(then)
    assert found.advantages == expected.advantages
    assert (found.keep, found.metrics) == (expected.keep, expected.metrics)


# ---- what rollouts note --------------------------------------------------------------------------


class Framed(GuessNumber):
    """Its answer is to be written in a frame."""

    def golden(self, seat: str | None = None) -> Golden:
        known = super().golden(seat)
        assert known is not None
        return dataclasses.replace(known, prefix="The number is ")


def play(needs: Sequence[str], env: type[GuessNumber] = GuessNumber) -> list[Episode]:
    model = tiny()[0]
    rollout = Rollout(
        make_engine(model),
        chat(),
        lambda: env(on_invalid="retry"),
        SamplingParams(max_tokens=4, stop_ids=chat().stop_ids),
        needs=needs,
    )
    tasks = make("ludus/GuessNumber-v1").tasks("train")
    return rollout.play([tasks[0]] * 3 + [tasks[1]], seed=3)


def test_rollouts_note_only_what_is_asked_for() -> None:
    plain, full = play(()), play(("state_key", "golden_logp"))
    for e, f in zip(plain, full, strict=True):
        for t, u in zip(e.trajectories, f.trajectories, strict=True):
            assert [n.ids for n in t.leaf.path()] == [n.ids for n in u.leaf.path()]
            assert all((turn.state_key, turn.golden_logp) == ("", None) for turn in t.turns)
            assert all(turn.state_key and turn.golden_logp is not None for turn in u.turns)
    first = [e.trajectories[0].turns[0].state_key for e in full]
    assert first[0] == first[1] == first[2] != first[3]  # other task, other number


@pytest.mark.parametrize("kind", [GuessNumber, Framed])
def test_golden_answers_are_scored_where_the_reply_begins(kind: type[GuessNumber]) -> None:
    """After their scaffold, which is read and does not count."""
    model = tiny()[0]
    env = kind()
    for e in play(("golden_logp",), kind):
        t = e.trajectories[0]
        env.reset(options={"task": next(k for k in env.tasks("train") if k.key == t.task_key)})
        golden = env.golden()
        assert golden is not None
        assert golden.answer is not None
        answer = list(chat().reply(golden.answer)[:-1])
        scaffold = list(chat().reply(golden.prefix)[:-1])
        assert bool(scaffold) == (kind is Framed)
        before: list[int] = []
        for node in t.leaf.path():
            if node.is_action:
                ids = torch.tensor([before + scaffold + answer])
                with torch.no_grad():
                    logps = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
                first = len(before) + len(scaffold) - 1
                places = range(first, first + len(answer))
                found = sum(float(logps[p, token]) for p, token in zip(places, answer, strict=True))
                assert t.turns[node.turn].golden_logp == pytest.approx(
                    found / len(answer), abs=1e-4
                )
            before += node.ids


class Named(TextEnv):
    """Three questions whose answer has three names, and a way to write it."""

    ENV_ID = "test/Named-v0"
    NAMES = ("Bo", "the longest of its names", "Ida")

    def _setup(self, task: Task, rng: random.Random) -> None:
        self._asked = 0

    def _rules(self, seat: str) -> str:
        return "Who?"

    def _apply(self, moves: Mapping[str, Any]) -> Outcome:
        self._asked += 1
        return Outcome(text=f"No, who? {self._asked}", terminated=self._asked == 3)

    def golden(self, seat: str | None = None) -> Golden | None:
        return Golden(prefix="It is ", answer=self.NAMES[0], aliases=self.NAMES[1:])


def test_of_an_answers_names_the_likeliest_at_first_is_scored_throughout() -> None:
    model = tiny()[0]
    rollout = Rollout(
        make_engine(model),
        chat(),
        Named,
        SamplingParams(max_tokens=4, stop_ids=chat().stop_ids),
        needs=("golden_logp",),
    )
    scaffold = chat().reply("It is ")[:-1]
    answers = [(*scaffold, *chat().reply(name)[:-1]) for name in Named.NAMES]

    def score(before: Sequence[int], answer: Sequence[int]) -> float:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*before, *answer]]), use_cache=False).logits[0]
        at = range(len(before) + len(scaffold) - 1, len(before) + len(answer) - 1)
        own = answer[len(scaffold) :]
        logps = logits.log_softmax(-1)
        return sum(float(logps[p, token]) for p, token in zip(at, own, strict=True)) / len(own)

    for e in rollout.play([None] * 3, seed=0):
        (t,) = e.trajectories
        before: list[int] = []
        likeliest: tuple[int, ...] = ()
        for node in t.leaf.path():
            if node.is_action:
                likeliest = likeliest or max(answers, key=lambda a: score(before, a))
                found = t.turns[node.turn].golden_logp
                assert found == pytest.approx(score(before, likeliest), abs=1e-4)
            before += node.ids
        assert len(t.turns) == 3


def test_a_conversation_without_room_for_the_answer_ends() -> None:
    # Scoring it would pass the model's last position.
    first = len(chat().open(Named().reset(seed=0)[0].messages))
    longest = len(chat().reply("It is ")) - 1 + len(chat().reply(Named.NAMES[1])) - 1
    for positions, turns in ((first + longest - 1, 0), (first + longest, 1)):
        rollout = Rollout(
            make_engine(tiny(max_positions=positions)[0]),
            chat(),
            Named,
            SamplingParams(max_tokens=2, stop_ids=chat().stop_ids),
            needs=("golden_logp",),
        )
        (episode,) = rollout.play([None], seed=0)
        assert (episode.stop, episode.reason) == (Stop.TRUNCATED, "token limit")
        assert sum(len(t.turns) for t in episode.trajectories) == turns


# ---- recipes -------------------------------------------------------------------------------------

Build = Callable[..., Trainer]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def make_one(config: TrainConfig, *, resume: bool = False, **changes: Any) -> Trainer:
        changes = {
            "out": str(tmp_path / "run"), "model": SMALL, "warmstart_steps": 0, "eval_episodes": 2,
            "warmstart_episodes": 0, **changes,
        }  # fmt: skip
        return Trainer(dataclasses.replace(config, **changes), resume=resume)

    return make_one


def test_a_composed_run_resumes_to_the_same_bytes(build: Build, tmp_path: Path) -> None:
    config = dataclasses.replace(
        RECIPES["spiral+epo"], episodes=16, steps=4, eval_every=9, shaping=("otc:calls=turns",)
    )
    whole = build(config, out=str(tmp_path / "whole"))
    for _ in range(2):
        whole.train_step()
        whole.step += 1
    whole.save()
    for _ in range(2):
        whole.train_step()
        whole.step += 1
    resumed = build(config, resume=True, out=str(tmp_path / "whole"))
    assert resumed.step == 2
    for _ in range(2):
        resumed.train_step()
        resumed.step += 1
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert resumed.credit.state_dict() == whole.credit.state_dict()
