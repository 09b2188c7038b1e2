"""The scores of a distribution of images, against the formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.search import first_moment, two_moments
from lib_gmi.base.vectors import unit
from lib_gmi.search.content import Statistics, monte_carlo, product_of_experts, standard

Array = NDArray[np.float32]


@pytest.fixture
def groups() -> list[Array]:
    """Unit vectors of three checkpoints, of different numbers."""
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((3, 6))
    return [
        unit((centre + 0.6 * rng.standard_normal((count, 6))).astype(np.float32))
        for centre, count in zip(centres, (9, 30, 5), strict=True)
    ]


def covariance(statistics: Statistics, number: int) -> NDArray[np.float64]:
    factor = statistics.factors[number].astype(np.float64)
    return factor.T @ factor + float(statistics.floors[number]) * np.eye(factor.shape[1])


def test_monte_carlo_is_the_mean_of_the_kernel(groups: list[Array]) -> None:
    query = unit(np.ones((1, 6), np.float32))[0]
    starts = np.cumsum([0, *[len(g) for g in groups[:-1]]])
    got = monte_carlo(np.concatenate(groups) @ query, starts, 7.0)
    wanted = [np.log(np.exp(7.0 * g.astype(np.float64) @ query).mean()) for g in groups]
    assert np.allclose(got, wanted, atol=1e-5)


def test_monte_carlo_survives_a_large_kappa(groups: list[Array]) -> None:
    starts = np.cumsum([0, *[len(g) for g in groups[:-1]]])
    assert np.isfinite(monte_carlo(np.concatenate(groups)[:, 0], starts, 1e4)).all()


def test_moments_are_those_of_the_samples(groups: list[Array]) -> None:
    statistics = Statistics.of(groups)
    query = groups[1][0]
    first = first_moment(statistics, query, 5.0)
    assert np.allclose(first, [5.0 * g.mean(axis=0) @ query for g in groups], atol=1e-5)
    wanted = [
        first[i] + 12.5 * query @ covariance(statistics, i) @ query for i in range(len(groups))
    ]
    assert np.allclose(two_moments(statistics, query, 5.0), wanted, atol=1e-5)


def test_density_is_that_of_a_normal_distribution(groups: list[Array]) -> None:
    statistics = Statistics.of(groups)
    query = groups[0][2]
    wanted = []
    for number, group in enumerate(groups):
        full = covariance(statistics, number)
        away = query - group.mean(axis=0)
        wanted.append(-(away @ np.linalg.inv(full) @ away + np.linalg.slogdet(full)[1]) / 12)
    assert np.allclose(statistics.density(query), wanted, atol=1e-4)


def test_shrinkage_keeps_the_variance_and_leaves_nothing_singular(groups: list[Array]) -> None:
    statistics = Statistics.of(groups)
    for number, group in enumerate(groups):
        full = covariance(statistics, number)
        assert np.trace(full) == pytest.approx(np.cov(group.T).trace(), rel=1e-3)
        assert np.linalg.eigvalsh(full).min() > 1e-4


def test_a_single_sample_has_the_usual_scatter(groups: list[Array]) -> None:
    statistics = Statistics.of([groups[0], groups[1], groups[2][:1]])
    usual = np.mean([np.cov(g.T).trace() for g in groups[:2]])
    assert statistics.floors[2] * 6 == pytest.approx(usual, rel=1e-3)
    assert np.isfinite(statistics.density(groups[0][0])).all()


def test_an_expert_counts_by_its_weight_and_not_by_its_scale() -> None:
    small = np.asarray([0.0, 0.001, 0.0005], np.float32)
    large = np.asarray([900.0, 100.0, 500.0], np.float32)
    assert product_of_experts([(small, 2.0), (large, 1.0)]).argmax() == 1
    assert product_of_experts([(small, 1.0), (large, 2.0)]).argmax() == 0


def test_an_expert_that_knows_nothing_says_nothing() -> None:
    assert np.array_equal(standard(np.full(4, 3.3, np.float32)), np.zeros(4, np.float32))
