"""What counts as above chance: the interval of the analysis, and one of twenty guessers passes."""

import numpy as np

from xeval.analysis.estimate.variance import Term, estimate, make_block, strata_of
from xeval.metrics.chance import above_chance


def test_the_bound_is_the_lower_end_of_the_analysis_own_interval_over_items() -> None:
    generator = np.random.default_rng(4)
    for _ in range(20):
        clusters = np.sort(generator.integers(0, 30, 200))
        den = generator.integers(1, 9, 200).astype(float)
        num = generator.binomial(den.astype(int), 0.4).astype(float)
        names, codes = np.unique(clusters, return_inverse=True)
        sums = [np.bincount(codes, weights=part)[None, :] for part in (num, den)]
        block = make_block(*sums, np.arange(len(names)), (0,), 0, deterministic=True)
        low = (
            estimate([Term(1.0, block)], "points", strata_of([block], len(names))).items_interval(0.9)[0]
            / 100
        )
        assert above_chance(num, den, clusters, low - 1e-9)
        assert not above_chance(num, den, clusters, low + 1e-9)


def test_one_of_twenty_guessers_passes() -> None:
    generator = np.random.default_rng(5)
    guesses = (generator.random((2000, 300)) < 1 / 3).astype(float)
    items = np.arange(300)
    passed = sum(above_chance(row, np.ones(300), items, 1 / 3) for row in guesses)
    assert 0.035 < passed / 2000 < 0.065


def test_a_constant_score_and_a_single_cluster() -> None:
    ones = np.ones(20)
    assert above_chance(ones, ones, np.arange(20), 0.5)
    assert not above_chance(0 * ones, ones, np.arange(20), 0.0)
    assert not above_chance(ones, ones, np.zeros(20), 0.5)
