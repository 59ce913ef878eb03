"""Draws follow the distribution that they report, one independent stream a session."""

import numpy as np
import pytest
import torch

from ludus.agents.engines import sampling
from ludus.agents.engines.base import SamplingParams
from ludus.agents.engines.sampling import BITS, Floats, Rule, draw, stream_key, uniforms

LOGITS = torch.tensor([[1.0, 0.5, -1.0, 2.0, 0.0], [0.0, 0.0, 3.0, 0.0, -torch.inf]])


def expected(row: int, rule: Rule) -> Floats:
    logits = LOGITS[row].double().numpy() / rule.temperature
    p = np.exp(logits - logits.max())
    p /= p.sum()
    order = np.argsort(-p, kind="stable")[: rule.top_k or None]
    mass = p[order].cumsum() / p[order].sum()
    kept = order[: int(np.searchsorted(mass, rule.top_p)) + 1]
    cut: Floats = np.zeros(len(p))
    cut[kept] = p[kept] / p[kept].sum()
    return cut


@pytest.mark.parametrize(
    "rule",
    [Rule(1.0, 0, 1.0), Rule(0.5, 0, 1.0), Rule(2.0, 3, 1.0), Rule(1.0, 0, 0.7), Rule(1.5, 4, 0.8)],
)
def test_frequencies(rule: Rule) -> None:
    n = 20_000
    rows = np.repeat([0, 1], n)
    keys = np.full(2 * n, stream_key(11), np.uint64)
    tokens, logps, _ = draw(LOGITS, rows, uniforms(keys, np.arange(2 * n)), rule)
    for row in (0, 1):
        p = expected(row, rule)
        counts = np.bincount(tokens[rows == row], minlength=5)
        assert not counts[p == 0].any()
        some = p > 0
        chi2 = ((counts[some] - n * p[some]) ** 2 / (n * p[some])).sum()
        assert chi2 < 25  # 4 degrees of freedom: p is below 1e-4
        assert logps[rows == row] == pytest.approx(np.log(p[tokens[rows == row]]), abs=1e-6)


def test_every_quantile_finds_its_token() -> None:
    p = torch.tensor([[0.25, 0.0, 0.5, 0.25]], dtype=torch.float64)
    near = 2**26  # logits are float32, so edges are known to about 2**-24 of the whole
    edges = np.array([0, 2**46 - near, 2**46 + near, 3 * 2**46 - near, 3 * 2**46 + near])
    grid = np.append(edges, 2**BITS - 1)
    tokens, _, _ = draw(p.log(), np.zeros(6, np.int64), grid, Rule(1.0, 0, 1.0))
    assert tokens.tolist() == [0, 0, 2, 2, 3, 3]


def test_point_distributions() -> None:
    rows, grid = np.array([0, 1, 1]), np.array([2**47, 0, 2**48 - 1])
    tokens, logps, entropies = draw(LOGITS, rows, grid, Rule(0.0, 0, 1.0))
    assert tokens.tolist() == [3, 2, 2]
    model = torch.log_softmax(LOGITS.double(), -1)
    assert logps == pytest.approx([model[0, 3].item(), model[1, 2].item(), model[1, 2].item()])
    p = model.exp()
    whole = -(p * model.nan_to_num(neginf=0)).sum(-1)
    assert entropies == pytest.approx(whole[rows].tolist(), abs=1e-6)
    tokens, logps, entropies = draw(LOGITS, rows, grid, Rule(1.0, 1, 1.0))
    assert tokens.tolist() == [3, 2, 2]
    assert logps == pytest.approx([0, 0, 0])
    assert entropies == pytest.approx(whole[rows].tolist(), abs=1e-6)


def test_more_rows_than_one_search_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(1))
    rng = np.random.default_rng(1)
    rows, grid = rng.integers(0, 50, 300), rng.integers(0, 2**BITS, 300)
    whole = draw(logits, rows, grid, Rule(1.0, 0, 1.0))
    monkeypatch.setattr(sampling, "MAX_ROWS", 16)
    for a, b in zip(whole, draw(logits, rows, grid, Rule(1.0, 0, 1.0)), strict=True):
        assert a.tolist() == b.tolist()


def test_one_key_mixes_as_many_do() -> None:
    seeds = np.array([0, 1, 2**63, 2**64 - 1], np.uint64)
    with np.errstate(over="ignore"):
        many = sampling._mix(sampling._mix(seeds) + sampling.GOLDEN)
    assert [stream_key(seed) for seed in seeds.tolist()] == many.tolist()


def test_uniforms() -> None:
    seeds = [0, 1, 2, -1, 2**64, 2**80 + 3]
    keys = np.array([stream_key(seed) for seed in seeds], np.uint64)
    assert len(set(keys.tolist())) == 5  # 2**64 is 0 again
    n = 4000
    draws = np.array([uniforms(np.full(n, key), np.arange(n)) for key in keys[[0, 1, 2, 3, 5]]])
    assert draws.min() >= 0
    assert draws.max() < 2**BITS
    x = draws / 2**BITS
    assert x.mean(1) == pytest.approx(0.5, abs=0.025)
    assert x.var(1) == pytest.approx(1 / 12, abs=0.01)
    assert np.abs(np.corrcoef(x) - np.eye(5)).max() < 0.07
    assert np.abs(np.corrcoef(x[:, 1:].ravel(), x[:, :-1].ravel())[0, 1]) < 0.03


@pytest.mark.parametrize(
    "wrong",
    [{"max_tokens": 0}, {"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 2.0}],
)
def test_params_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        SamplingParams(**wrong)  # type: ignore[arg-type]
