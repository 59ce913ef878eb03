"""The numbers of the papers: worked examples of every method, computed elsewhere in numpy and
rounded to six digits."""

import json
import random
import sys
import warnings
from collections.abc import Mapping, Sequence
from math import cos, exp, log, pi
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ludus.trainer.advantages import GRPO, IGPO, MTGRPO, RAE, RLOO, GiGPO, TreeGRPO
from ludus.trainer.advantages.base import std, zscore
from ludus.trainer.advantages.compare import beta_pdf, beta_shape, halves, leave_one_out
from ludus.trainer.advantages.trees import shared_means, tree_grpo
from ludus.trainer.advantages.turns import gigpo, igpo, information_gains, turn_and_outcome
from ludus.trainer.advantages.values import (
    bi_level_gae,
    discounted_returns,
    gae,
    optimal_token_baselines,
)
from ludus.trainer.branching import AEPO, ARPO, Growth, Point, uncertainty
from ludus.trainer.corrections import StepTokens, geometric, k3, sequence_tis, tis
from ludus.trainer.curriculum import Bandit, allocate, rollout_value
from ludus.trainer.filters import Groups, Nucleus, TopSpread, spread
from ludus.trainer.loss import PolicyLoss, Segments, aepo, cispo, gspo, ppo
from ludus.trainer.modulation import empg, style_bonus
from ludus.trainer.regularizers import EPO
from ludus.trainer.shaping import ToolEconomy, overlong_penalty, renormalize, tool_economy
from ludus.trainer.trajectory import Episode, Stop, TokenNode, Trajectory, Turn

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import micro_batch, path, trajectory


def near(expected: Any, tolerance: float = 2e-6) -> Any:
    """Equal to the digits given, however nested."""
    if isinstance(expected, (list, tuple)) and expected and isinstance(expected[0], (list, tuple)):
        return [near(row, tolerance) for row in expected]
    return pytest.approx(list(expected) if isinstance(expected, tuple) else expected, abs=tolerance)


def episode(*trajectories: Trajectory, number: int = 0, **returns: float) -> Episode:
    first = trajectories[0]
    all_returns = returns or {t.role: t.ret for t in trajectories}
    return Episode(first.env_id, first.task_key, number, all_returns, trajectories, Stop.TERMINATED)


def siblings(*rewards: Sequence[float], **fields: Sequence[Sequence[Any]]) -> list[Episode]:
    """Episodes of one task: rewards turn by turn, and further fields of the turns."""
    made = []
    for i, row in enumerate(rewards):
        leaf = path(*[[1], [2]] * len(row))
        extra = {name: values[i] for name, values in fields.items()}
        turns = tuple(
            Turn(reward, "", **{name: values[t] for name, values in extra.items()})
            for t, reward in enumerate(row)
        )
        made.append(episode(Trajectory("test/Env-v0", "task", "a", i, leaf, turns), number=i))
    return made


# ---- 9.1 RAE ------------------------------------------------------------------------------------

GAMES = [(1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (-1.5, 0.5)]
FIRST = [1.000000, 0.950000, -1.097500, 0.957375, -1.590494]
FIRST_PAPER = [0.950000, 0.902500, -1.042625, 0.909506, -1.510969]
SECOND = [-1.000000, -0.950000, 1.097500, -0.957375, 0.590494]


def game(returns: tuple[float, float], number: int = 0, env_id: str = "g") -> Episode:
    leaf = path([1], [2])
    seats = [
        trajectory(leaf, ret, role=role, env_id=env_id, episode=number)
        for role, ret in zip("ab", returns, strict=True)
    ]
    return episode(*seats, number=number)


def test_rae_in_both_orders() -> None:
    rae, paper = RAE(), RAE(order="paper")
    read_first = rae([game(r) for r in GAMES])
    paper_order = paper([game(r) for r in GAMES])
    assert [a for (a,) in read_first[::2]] == near(FIRST)
    assert [a for (a,) in read_first[1::2]] == near(SECOND)
    assert [a for (a,) in paper_order[::2]] == near(FIRST_PAPER)
    assert [a for (a,) in paper_order] == near([0.95 * a for (a,) in read_first], 1e-12)
    assert rae.baseline("g", "a") == near(0.010969)
    assert rae.baseline("g", "b") == near(-0.060969)


def test_rae_games_do_not_share_a_baseline_and_their_order_matters() -> None:
    rae = RAE()
    rae([game((1.0, -1.0))])
    assert rae([game((1.0, -1.0), env_id="other")]) == [(1.0,), (-1.0,)]
    forth, back = RAE(), RAE()
    forth([game(r) for r in GAMES])
    back([game(r) for r in reversed(GAMES)])
    assert forth.baselines != back.baselines


def test_rae_in_two_parts_is_rae_in_one() -> None:
    whole, parts = RAE(), RAE()
    games = [game(r) for r in GAMES]
    assert parts(games[:2]) + parts(games[2:]) == whole(games)


def test_rae_discounts_and_debiases() -> None:
    leaf = path([1], [2], [1], [2])
    long = episode(trajectory(leaf, 0.0, 1.0))
    assert RAE(gamma=0.5)([long]) == [(0.5, 1.0)]
    rae = RAE(debias=True)
    rae([long])
    assert rae.baseline("test/Env-v0", "a") == pytest.approx(1.0)


# ---- 9.2 EPO ------------------------------------------------------------------------------------

ENTROPIES = (1.5, 0.4, 0.9, 2.6)  # two turns of two tokens


@pytest.fixture
def plain_entropies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regularizers read an entropy where a distribution would stand."""
    monkeypatch.setattr(
        "ludus.trainer.regularizers.entropy.entropies", lambda logps_UV: logps_UV[:, 0]
    )


def epo(**settings: Any) -> EPO:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return EPO(**settings)


def on_entropies(part: EPO, entropies: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    noted = entropies.detach()
    batch = micro_batch(rows=(0, 0, 0, 0), turns=(0, 0, 1, 1), entropy_N=noted)
    part.begin([batch])
    return part(entropies[:, None], batch)


@pytest.mark.parametrize(
    ("low", "high", "hinge", "indicator"), [(0.8, 1.2, 0.525, 0.75), (0.0, 2.0, 0.15, 0.25)]
)
@pytest.mark.usefixtures("plain_entropies")
def test_epo_penalties(low: float, high: float, hinge: float, indicator: float) -> None:
    for penalty, expected in (("hinge", hinge), ("indicator", indicator)):
        part = epo(alpha=1.0, low=low, high=high, steps=120, penalty=penalty)
        part.total, part.done = 30.0, 30  # a history of 1.0 nats
        h = torch.tensor(ENTROPIES, requires_grad=True)
        _, values = on_entropies(part, h)
        assert float(values["epo/smooth"].detach()) == near(expected)
        if penalty == "indicator":
            assert not values["epo/smooth"].requires_grad  # no gradient at all


def test_epo_beta() -> None:
    part = epo(steps=120)
    assert [part.beta(k) for k in (0, 30, 60, 120)] == near([2.0, 1.223130, 1.049787, 1.002479])


@pytest.mark.parametrize(
    ("alpha", "beta_at", "expected", "gradient"),
    [
        (0.05, 30, -0.00131789, (-2.347e-4, -2.653e-4, -2.5e-4, -2.347e-4)),
        (1.0, None, None, (1.25e-4, -6.25e-4, -2.5e-4, 1.25e-4)),
    ],
)
@pytest.mark.usefixtures("plain_entropies")
def test_epo_term_and_gradient(
    alpha: float, beta_at: int | None, expected: float | None, gradient: tuple[float, ...]
) -> None:
    part = epo(weight=0.001, alpha=alpha, low=0.8, high=1.2, steps=120)
    part.total, part.done = 30.0, 30
    if beta_at is None:
        part.beta = lambda k: 1.5  # type: ignore[method-assign]
    h = torch.tensor(ENTROPIES, requires_grad=True)
    term, values = on_entropies(part, h)
    assert float(values["epo/entropy"].detach()) == near(1.35)
    if expected is not None:
        assert float(values["epo/smooth"].detach()) == near(0.02625)
        assert float(term.detach()) == near(expected, 1e-8)
    (found,) = torch.autograd.grad(term, h)
    assert found.tolist() == near(gradient, 5e-8)


@pytest.mark.usefixtures("plain_entropies")
def test_epo_history_leaves_out_the_step_itself() -> None:
    part = epo(low=0.8, high=1.2)
    _, first = on_entropies(part, torch.tensor(ENTROPIES))
    assert "epo/smooth" not in first
    assert part.end()["epo/history"] == 0.0
    assert part.history == near(1.35)
    on_entropies(part, torch.full((4,), 9.0))
    assert part.history == near(1.35)
    part.end()
    assert part.history == near((1.35 + 9.0) / 2)


@pytest.mark.usefixtures("plain_entropies")
def test_epo_reference_of_turns_counts_the_steps_that_had_them() -> None:
    part = epo(alpha=1.0, low=0.8, high=1.2, reference="turn")
    on_entropies(part, torch.tensor((1.0, 1.0, 2.0, 2.0)))
    part.end()
    # The second step has one turn: the mean of the other stays, it is not averaged with a zero.
    short = micro_batch(rows=(0, 0), turns=(0, 0), entropy_N=torch.full((2,), 3.0))
    part.begin([short])
    part(torch.full((2, 1), 3.0), short)
    part.end()
    assert part.turns == {0: (4.0, 2), 1: (2.0, 1)}
    # Means 2 and 2: outside [1.6, 2.4] by 0.6, 0, 0, 0.1, and nothing is known of a third turn.
    batch = micro_batch(rows=(0,) * 5, turns=(0, 0, 1, 1, 2))
    part.begin([batch])
    _, values = part(torch.tensor((3.0, 2.0, 2.0, 2.5, 9.0))[:, None], batch)
    assert float(values["epo/smooth"]) == near((0.6 / 2 + 0.1 / 2 + 0.0) / 3)
    twin = epo(reference="turn")
    twin.load_state_dict(json.loads(json.dumps(part.state_dict())))
    assert twin.turns == part.turns


# ---- 9.3 IGPO -----------------------------------------------------------------------------------

LOGPS = [[-3.0, -2.0, -0.5], [-3.0, -3.4]]


def test_igpo() -> None:
    gains = [information_gains(row) for row in LOGPS]
    assert gains == near([[1.0, 1.5], [-0.4]], 1e-12)
    pool = [*gains[0], *gains[1]]
    assert sum(pool) / 3 == near(0.7)
    assert std(pool, unbiased=False) == near(0.804156)
    separate = [[2.367894, 1.994832, 1.0], [-2.367894, -1.0]]
    assert igpo(gains, [0.8, 0.0]) == near(separate, 5e-6)
    joint = [[2.266829, 1.656529, 0.319681], [-2.266829, -0.842795]]
    assert igpo(gains, [0.8, 0.0], norm="joint") == near(joint, 5e-6)


def test_igpo_as_an_estimator() -> None:
    episodes = siblings((0.0, 0.0, 0.8), (0.0, 0.0), golden_logp=LOGPS)
    found = [list(a) for a in IGPO()(episodes)]
    assert found == near([[2.367894, 1.994832, 1.0], [-2.367894, -1.0]], 5e-6)


def test_igpo_of_one_turn_is_the_outcome_and_a_gain_of_zero_keeps_its_turn() -> None:
    assert igpo([[], []], [1.0, 0.0]) == near([[1.0], [-1.0]], 1e-4)
    found = igpo([[0.0, 1.0], [1.0, 0.0]], [1.0, 0.0])
    assert [len(row) for row in found] == [3, 3]
    equal = igpo([[1.0], [0.0]], [1.0, 1.0])
    assert equal[0][0] > 0.9
    assert equal[0][1] == 0.0  # all outcomes equal: the turns still differ


def test_igpo_bad_format_costs_more_than_a_wrong_answer() -> None:
    logps = [[-1.0], [-1.0], [-1.0]]
    invalid = [[""], [""], ["no answer"]]
    a, b, c = IGPO()(siblings((1.0,), (0.0,), (0.0,), golden_logp=logps, invalid=invalid))
    assert a > b > c
    assert [a[0], b[0], c[0]] == near(zscore([1.0, 0.0, -2.0], unbiased=False), 1e-4)


# ---- 9.4 ARPO, AEPO -----------------------------------------------------------------------------


def test_arpo_advantages() -> None:
    unbiased = zscore([1.0, 0.0, 0.0], eps=0.0)
    assert unbiased == near([1.154701, -0.577350, -0.577350])
    assert zscore([1.0, 0.0, 0.0], eps=0.0, unbiased=False) == near(
        [1.414214, -0.707107, -0.707107]
    )
    soft = [[z, z] for z in unbiased]
    hard = shared_means(soft, [["shared", 1], ["shared", 2], [3, 4]])
    assert hard[0] == near([0.288675, 1.154701])
    assert hard[1] == near([0.288675, -0.577350])
    assert soft[0][0] + soft[1][0] == near(2 * hard[0][0])


def replied(entropy: float, tokens: int = 20) -> TokenNode:
    """A reply whose first 20 tokens have so much entropy together."""
    own = (entropy / 20,) * tokens
    return TokenNode(TokenNode(None, (1,)), (2,) * tokens, 0, (-1.0,) * tokens, own, 0)


class Drawn(random.Random):
    """What it draws is given."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


def branches(strategy: ARPO, entropy: float, drawn: float, *, streak: int = 0) -> bool:
    """Whether an episode branches whose root began with an entropy of 6."""
    tree = Growth(16, vocabulary=151_936, started=2, streak=streak)
    tree.points = [Point(0, 0, None, None, reply=replied(6.0, 30))]
    tree.active = [Point(0, 1, replied(entropy), None)]
    return bool(strategy.grow(tree, Drawn(drawn)).points)


def probability(strategy: ARPO, entropy: float, *, streak: int = 0) -> float:
    """Where the draws that branch end."""
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (
            (middle, high) if branches(strategy, entropy, middle, streak=streak) else (low, middle)
        )
    return low


def test_arpo_branching() -> None:
    assert log(151_936) == near(11.931215)
    assert uncertainty(replied(6.0), 151_936, 20) == near(0.502883)
    assert uncertainty(replied(22.0, 30), 151_936, 20) == near(1.843903)
    assert probability(ARPO(), 22.0) == near(0.768204)
    assert [branches(ARPO(), 22.0, u) for u in (0.3, 0.6, 0.9)] == [True, True, False]
    of_rise = [probability(ARPO(), 6.0 + d * log(151_936)) for d in (-0.5, 0, 1, 2.5, 3)]
    assert of_rise == near([0.4, 0.5, 0.7, 1.0, 1.0])
    assert ARPO().chance(-1.0, 0) == near(0.3)


def test_every_root_has_its_own_first_entropy() -> None:
    """Reported elsewhere: it was that of whatever came first into a slot."""
    sure, unsure = replied(0.0), replied(5 * log(100))
    tree = Growth(16, vocabulary=100, started=2)
    tree.points = [Point(0, 0, None, None, sure), Point(1, 0, None, None, unsure)]
    # What the second root says is no surprise: it has been as unsure from the start.
    for root, expected in ((0, True), (1, False)):
        tree.active = [Point(root, 1, unsure, None)]
        assert bool(ARPO().grow(tree, Drawn(0.6)).points) == expected


def test_aepo_branching() -> None:
    found = [probability(AEPO(), 22.0, streak=streak) for streak in (0, 4, 10)]
    assert found == near([0.768204, 0.643204, 0.268204])
    tree = Growth(16, vocabulary=100, started=2)
    tree.points, tree.active = (
        [Point(0, 0, None, None, replied(1.0))],
        [Point(0, 1, replied(1.0), None)],
    )
    strategy, streaks = AEPO(roots=2), []
    for drawn in (0.0, 0.0, 0.9, 0.0):  # rounds in a row that branched: one that did not ends them
        strategy.grow(tree, Drawn(drawn))
        streaks.append(tree.streak)
    assert streaks == [1, 2, 0, 1]
    tree, scale = Growth(16, vocabulary=100, started=1), log(100)
    tree.points = [
        Point(0, 0, None, None, replied(0.5 * scale)),
        Point(0, 1, None, None, replied(0.6 * scale)),
        Point(0, 2, None, None, replied(0.8 * scale)),
    ]
    assert AEPO().balanced(tree) == 8  # 16 sigmoid(-0.1) = 7.600


# ---- 9.5 GiGPO ----------------------------------------------------------------------------------

REWARDS = [[0.0, 0.0, 10.0], [0.0, 0.0, 0.0], [0.0, 10.0]]
STATES = [["s0", "s1", "s2"], ["s0", "s1", "s1"], ["s0", "s2"]]
TOTAL_Z = [
    [1.109764, 1.732050, 0.577350],
    [-2.308264, -1.732051, -1.732051],
    [1.198499, 0.577350],
]


def test_gigpo() -> None:
    episode_only, _ = gigpo(REWARDS, STATES, omega=0.0)
    assert [row[0] for row in episode_only] == near([3.333333, -6.666667, 3.333333])
    with_std, _ = gigpo(REWARDS, STATES, omega=0.0, norm="std")
    assert [row[0] for row in with_std] == near([0.577350, -1.154701, 0.577350])
    rows, _ = gigpo(REWARDS, STATES, omega=0.0, norm="std", per_row=True)
    assert [row[0] for row in rows] == near([0.724569, -1.207615, 0.724569])
    total, counts = gigpo(REWARDS, STATES, norm="std")
    assert total == near(TOTAL_Z)
    assert counts == {"state_groups": 3.0, "state_singletons": 0.0}
    plain, _ = gigpo(REWARDS, STATES)
    steps = [[a - e[0] for a in row] for row, e in zip(plain, episode_only, strict=True)]
    assert steps == near([[2.85, 6.333333, 0], [-6.175, -3.166667, -3.166667], [3.325, 0]])


def test_gigpo_as_an_estimator_and_in_any_order() -> None:
    estimator = GiGPO(norm="std")
    assert estimator.needs == {"state_key"}
    found = [list(a) for a in estimator(siblings(*REWARDS, state_key=STATES))]
    assert found == near(TOTAL_Z)
    back = estimator(siblings(*REWARDS[::-1], state_key=STATES[::-1]))
    assert [list(a) for a in back[::-1]] == near(TOTAL_Z)


def test_gigpo_never_compares_states_of_different_tasks() -> None:
    own, other = siblings((1.0,), state_key=[["s"]]), siblings((0.0,), state_key=[["s"]])
    t = other[0].trajectories[0]
    moved = Trajectory(t.env_id, "other task", t.role, t.episode, t.leaf, t.turns)
    assert GiGPO()([own[0], episode(moved)]) == [(0.0,), (0.0,)]


# ---- 9.6 others ---------------------------------------------------------------------------------


def test_grpo_and_rloo() -> None:
    episodes = siblings((1.0,), (0.0,), (0.0,), (0.0,))
    assert [a for (a,) in GRPO(eps=0.0)(episodes)] == near([1.5, -0.5, -0.5, -0.5], 1e-12)
    assert GRPO()(episodes)[0][0] == near(1.499997, 1e-6)
    assert zscore([1.0, 0, 0, 0], eps=0, unbiased=False) == near([1.732051] + [-0.577350] * 3)
    assert [a for (a,) in RLOO()(episodes)] == near([1, -1 / 3, -1 / 3, -1 / 3], 1e-12)
    mean = leave_one_out([0.3, 2.0, -1.0])
    assert mean == near([r - (1.3 - r) / 2 for r in (0.3, 2.0, -1.0)], 1e-12)


def test_mt_grpo() -> None:
    turn, outcome = [[0.5], [0.0], [0.5], [0.0]], [1.0, 0.0, 0.0, 1.0]
    found = turn_and_outcome(turn, outcome)
    assert [row[0] for row in found] == near([1.731601, -1.731601, -0.000150, 0.000150])
    assert [row[1] for row in found] == near([0.865875, -0.865875, -0.865875, 0.865875])
    episodes = siblings(*[(t[0], o) for t, o in zip(turn, outcome, strict=True)])
    assert [list(a) for a in MTGRPO()(episodes)] == near(found)


def test_tree_grpo() -> None:
    found = tree_grpo([1, 1, 0, 0, 0, 1], [0, 0, 0, 1, 1, 1])
    assert found[:3] == near([1.490219, 1.490219, -2.067568])
    assert found[3:] == near([-1.490219, -1.490219, 2.067568])
    roots = [path([1]), path([1])]
    leaves = []
    for i, ret in enumerate([1, 1, 0, 0, 0, 1]):
        grown = path([7], [8])
        node = type(grown)(roots[i // 3], (5,), 0, (-1.0,), (1.0,), 0)
        leaves.append(episode(trajectory(node, float(ret), episode=i), number=i))
    assert [a for (a,) in TreeGRPO()(leaves)] == near(found)


def test_tree_grpo_without_branches_is_grpo() -> None:
    episodes = siblings((1.0,), (0.0,), (0.5,))
    assert TreeGRPO()(episodes) == GRPO()(episodes)


def test_empg() -> None:
    advantages, entropies = [[1.0, 1.0], [-1.0, -1.0]], [[0.2, 0.6], [1.0, 0.4]]
    before = empg(advantages, entropies, centre=False)
    assert before == near([[1.483176, 0.881198], [-0.495533, -1.131480]])
    after = [[1.298836, 0.696858], [-0.679873, -1.315820]]
    assert empg(advantages, entropies) == near(after)
    scale = empg([[1.0, 1.0], [1.0, 1.0]], entropies, bonus=0.0, centre=False)
    assert scale == near([[1.452849, 0.881198], [0.534473, 1.131480]])


def test_bi_level_gae() -> None:
    values = [i / 10 for i in range(1, 11)]
    rewards = [0.0] * 10
    rewards[4] = rewards[9] = 1.0
    turns = [0] * 5 + [1] * 5
    found = bi_level_gae(rewards, values, turns, gamma_turn=0.95)
    assert found == near([1.85, 1.75, 1.65, 1.55, 1.45, 0.4, 0.3, 0.2, 0.1, 0.0])


def test_bi_level_gae_keeps_a_last_turn_without_reward() -> None:
    found = bi_level_gae([1.0, 0.0], [0.0, 0.5], [0, 1], gamma_turn=1.0)
    assert found == near([1.0, -0.5])


def test_turn_gae() -> None:
    found = gae([0, 0, 1], [0.2, 0.5, 0.6], gamma=0.99, lam=0.9)
    assert found == near([0.696306, 0.450400, 0.400000])


def test_bnpo() -> None:
    rates = [0.25, 0.5, 0.75, 0.5]
    assert sum(rates) / 4 == 0.5
    assert std(rates) ** 2 == near(0.0416667)
    shape = beta_shape(rates)
    assert shape == near((1.833333, 1.833333))
    assert beta_pdf(0.25, *shape) == near(1.123800)
    assert (1 - 0.25) / beta_pdf(0.25, *shape) == near(0.667379)
    assert (0 - 0.25) / beta_pdf(0.25, *shape) == near(-0.222460)
    assert (1 - 0.5) / beta_pdf(0.5, *shape) == near(0.350079)
    assert beta_shape([0.5, 0.5]) == beta_shape([0.0, 1.0]) == (1.0, 1.0)  # no division by 0
    assert beta_shape([0.3, 0.1 + 0.2]) == (1.0, 1.0)  # a spread of rounding's


def test_otc() -> None:
    cases = [(0, 0), (1, 0), (3, 0), (1, 2), (2, 2), (4, 2)]
    found = [tool_economy(m, n, 4) for m, n in cases]
    assert found == near([1, 0.8660, 0.5878, 0.8660, 1, 0.8660], 5e-5)
    assert found[2] == near(cos(3 * pi / 10))
    assert tool_economy(0, 2, 4) == 0.0  # why the fewest must be up to date before scoring


def test_otc_updates_the_fewest_before_it_scores() -> None:
    shaping = ToolEconomy(most=4)
    calls = [("python", "python", ""), ("python", "")]
    first = siblings((0.0, 0.0, 1.0), (0.0, 1.0), called=calls)  # both right
    assert [e.trajectories[0].ret for e in shaping(first)] == near([0.866025, 1.0])
    (now,) = shaping(siblings((1.0,)))  # right without any call: now the best
    assert now.trajectories[0].ret == 1.0
    (wrong,) = shaping(siblings((0.0, 0.0)))
    assert wrong.trajectories[0].ret == 0.0
    (worse,) = shaping(siblings((-1.0, -0.5), called=calls))
    assert worse.trajectories[0].ret == -1.5  # calls do not pay for a penalty


def test_aspo() -> None:
    assert style_bonus([0.8, 0.8], [200, 1000], [1500, 2500]) == near([1.2, 0.4])
    assert style_bonus([0.8], [200], [1500]) == [0.8]
    assert style_bonus([-0.5, 0.8], [0, 1000], [1000, 1000])[0] == -0.5


def test_canon() -> None:
    returns, metric = [1.0, 0.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]
    assert halves(returns, metric, 1.0) == near([0, -1, 0.5, 0.5])
    assert halves(returns, metric, 0.0) == near([0.5, -0.5, 0, 0])
    mean = sum(returns) / 4
    assert halves(returns, metric, 0.5) == near([r - mean for r in returns])


def test_knapsack() -> None:
    rates = [0.05, 0.3, 0.9]
    counts = allocate(rates, 24, low=2, high=20)
    assert counts == [12, 10, 2]
    value = sum(rollout_value(n, p) for n, p in zip(counts, rates, strict=True))
    assert value == near(0.165208)
    assert sum(rollout_value(8, p) for p in rates) == near(0.158830)


def test_sec() -> None:
    bandit = Bandit(["a", "b", "c"], lr=0.5)
    bandit.values = {"a": 0.4, "b": 0.1, "c": 0.0}
    bandit.learn({"a": 0.2, "b": 0.8, "c": 0.0})
    assert list(bandit.values.values()) == near([0.3, 0.45, 0.0])
    assert list(bandit.probs().values()) == near([0.344512, 0.400266, 0.255221])
    bandit.learn({"b": 0.45})  # the others were not played
    assert list(bandit.values.values()) == near([0.3, 0.45, 0.0])
    fading = Bandit(["a", "b"], lr=0.5, decay_all=True)
    fading.values = {"a": 0.4, "b": 0.1}
    fading.learn({"b": 0.3})
    assert list(fading.values.values()) == near([0.2, 0.2])
    bandit.temperature = 0.4
    assert list(bandit.probs().values()) == near([0.341605, 0.497032, 0.161363])


def one(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def test_gspo_ratio() -> None:
    at = Segments(torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64))
    log_ratios = torch.tensor([0.02, -0.01, 0.005], dtype=torch.float64)
    losses, _ = gspo(1.0, 1.0)(log_ratios, torch.zeros_like(log_ratios), log_ratios * 0 - 1, at)
    assert losses.tolist() == near([1.005013] * 3)


def gradient_factor(loss: PolicyLoss, ratio: float, advantage: float) -> float:
    """d objective / d log-probability."""
    logp = one(log(ratio)).requires_grad_()
    losses, _ = loss(logp, one(0.0), one(advantage))
    (gradient,) = torch.autograd.grad(-losses.sum(), logp)
    return float(gradient)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (1.5, 1.0, (0.0, 1.28, 1.28)),
        (1.5, -1.0, (-1.5, -1.28, -1.5)),
        (0.5, 1.0, (0.5, 0.8, 0.5)),
        (0.5, -1.0, (0.0, -0.8, 0.0)),
    ],
)
def test_gradient_factors(ratio: float, advantage: float, expected: tuple[float, ...]) -> None:
    losses = (ppo(0.2, 0.28), cispo(0.2, 0.28), aepo(0.2, 0.28))
    found = [gradient_factor(loss, ratio, advantage) for loss in losses]
    assert found == near(expected, 1e-9)


def test_dual_clip() -> None:
    given = (one(log(5.0)), one(0.0), one(-1.0))
    assert ppo(dual_clip=3.0)(*given)[0].item() == near(3.0)
    assert ppo()(*given)[0].item() == near(5.0)


def test_tis() -> None:
    d = torch.tensor([0.5, -0.2, 1.0], dtype=torch.float64)
    zeros = torch.zeros(3, dtype=torch.int64)
    tokens = StepTokens(d, d * 0, d * 0, Segments(zeros, zeros))
    assert tis(2.0)(tokens)[0].tolist() == near([1.648721, 0.818731, 2.0])
    assert exp(1.3) == near(3.669297)
    assert sequence_tis(2.0, mean=False)(tokens)[0].tolist() == near([2.0] * 3)
    assert sequence_tis(2.0)(tokens)[0].tolist() == near([1.542390] * 3)
    assert not geometric()(tokens)[1].any()
    mean_k3 = float((d.exp() - 1 - d).mean())
    assert mean_k3 == near(0.295245)
    assert k3(0.2953)(tokens)[1].all()
    assert not k3(0.2952)(tokens)[1].any()


def test_dapo_overlong() -> None:
    found = [overlong_penalty(n, 20_480, 4_096) for n in (16_384, 18_432, 20_000, 20_480)]
    assert found == near([0, -0.5, -0.882813, -1])


def test_reinforce_plus_plus_passes_over_what_tools_said() -> None:
    mask = [True, True, False, False, True, True]
    found = discounted_returns([0, 0, 0, 0, 0, 1], mask)
    assert found == [1, 1, 0, 0, 1, 1]
    assert discounted_returns([0, 0, 1], [True, False, True], 0.5) == [0.5, 0, 1]


def apart(groups: Mapping[int, Sequence[float]]) -> Groups:
    """Groups without branches."""
    return {key: [[r] for r in returns] for key, returns in groups.items()}


def test_starpo_s() -> None:
    groups = {0: [1, 0, 1, 0], 1: [0, 0, 0, 0], 2: [1, 1, 1, 0], 3: [1, 1, 1, 1]}
    assert [std(r) for r in groups.values()] == near([0.577350, 0, 0.5, 0])
    assert [spread(r) for r in apart(groups).values()] == near([0.577350, 0, 0.5, 0])
    assert set(TopSpread(0.25)(apart(groups))) == {1, 2, 3}


def test_snr() -> None:
    groups = {0: [1, 0], 1: [0, 0], 2: [0.19**0.5 * 2, 0], 3: [0, 0], 4: [0.06**0.5 * 2, 0]}
    assert set(Nucleus(0.9)(apart(groups))) == {1, 3, 4}


def test_optimal_token_baseline() -> None:
    found = optimal_token_baselines([[1, 1], [0, 0]], [[0.2, 0.5], [0.6, 0.7]])
    assert found == near([0.25, 0.416667])
    assert optimal_token_baselines([[1, 1], [0]], [[1, 1], [1]]) == [0.5, 0.0]


def test_renorm_never_rewards_a_failure() -> None:
    assert renormalize([0.5, 1.0, 0.0], 0.0) == [-0.5, 0.0, -1.0]
    assert renormalize([0.5, 1.0, 0.0], 1.0) == [0.5, 1.0, 0.0]
