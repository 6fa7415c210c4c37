"""Power against published figures, against the real test, and against numerical integration."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats
from support import synthetic

from xeval.analysis.design.pilot import pilot
from xeval.analysis.design.power import (
    ASSUMED,
    SETTINGS,
    Design,
    Seeds,
    Side,
    best_split,
    detectable,
    detectable_by_formula,
    needed_items,
    needed_seeds,
    power,
)
from xeval.analysis.estimate.arrays import build
from xeval.analysis.estimate.variance import Estimate, Method, Term, estimate, make_block, strata_of
from xeval.analysis.frame.tidy import check
from xeval.analysis.tests.evidence import bayes_factor, evidence, needed_se
from xeval.errors import DataError, UsageError

# Smallest C found with power 0.80 at the assumed variances and 9 conditions, by multi-hop items and seeds (baseline /
# condition) 3/3, 5/5, 9/3, 10/10, 15/5, from an independent calculation with the non-central t distribution.
REFERENCE = {
    500: (3.53, 3.04, 2.79, 2.66, 2.58),
    1000: (2.95, 2.44, 2.17, 2.05, 1.97),
    3000: (2.60, 1.96, 1.65, 1.52, 1.43),
}


def design(seeds, items=1000, conditions=9):
    return Design((replace(ASSUMED[0], clusters=items), ASSUMED[1]), conditions, seeds)


@pytest.mark.parametrize("items", REFERENCE)
def test_the_formula_gives_the_reference_table(items):
    found = [detectable_by_formula(design(seeds, items)) for seeds in SETTINGS]
    assert found == pytest.approx(REFERENCE[items], rel=0.02)


def test_simulated_power_at_the_formula_s_contrast_is_lower():
    """Reference, 20,000 simulations: power .70, .77, .79 at 3/3, 5/5, 9/3; type-I error .057, .052, .051."""
    for seeds, published, contrast in zip(SETTINGS, (0.70, 0.77, 0.79), REFERENCE[1000], strict=False):
        one = design(seeds)
        assert power(one, contrast, simulations=20_000) == pytest.approx(published, abs=0.02)
        assert power(one, 0.0, simulations=20_000) == pytest.approx(0.05, abs=0.01)


def simulated_study(one, true, rng):
    """The real interval of one study drawn from the design: sides with own items, runs shared by condition."""
    terms, blocks, first = [], [], 0
    K, seeds = one.conditions, one.seeds
    runs = {0: seeds.baseline} | dict.fromkeys(range(1, K + 1), seeds.condition)
    for number, side in enumerate(one.sides):
        clusters = np.arange(first, first + side.clusters)
        first += side.clusters
        gain = rng.normal(0.0, np.sqrt(side.item_variance), side.clusters)
        for condition, count in runs.items():
            points = rng.normal(0.0, np.sqrt(side.run_variance), count)[:, None]
            points = points + rng.normal(0.0, np.sqrt(side.residual_variance), (count, side.clusters))
            if condition:
                points = points + gain + (true if number == 0 else 0.0)
            population = condition if condition else 100 + number
            block = make_block(
                points / 100 + 0.5, np.ones_like(points), clusters, tuple(range(count)), population
            )
            blocks.append(block)
            weight = (1.0 / K if condition else -1.0) * (1.0 if number == 0 else -1.0)
            terms.append(Term(weight, block))
    return estimate(terms, "points", strata_of(blocks, first), Method())


SMALL = Design((Side(1.0, 40.0, 60.0, 60), Side(0.16, 20.0, 20.0, 80)), 2, Seeds(3, 3))


def real_power(one, true, studies, seed):
    rng = np.random.default_rng(seed)
    return np.mean([simulated_study(one, true, rng).low > 0.0 for _ in range(studies)])


def test_the_simulation_stands_for_the_real_test():
    """300 whole studies: within 3 Monte-Carlo errors of the simulated mean squares."""
    true = detectable(SMALL, 0.7)
    assert power(SMALL, true) == pytest.approx(0.7, abs=0.001)
    assert real_power(SMALL, true, 300, 0) == pytest.approx(0.7, abs=3 * np.sqrt(0.7 * 0.3 / 300))


@pytest.mark.slow
def test_the_simulation_stands_for_the_real_test_in_many_studies():
    for seeds in (Seeds(3, 3), Seeds(9, 3)):
        one = replace(SMALL, seeds=seeds)
        true = detectable(one, 0.8)
        found = real_power(one, true, 5000, 1)
        print(f"{seeds}: {found:.4f} at {true:.2f} points")
        assert found == pytest.approx(0.8, abs=3 * np.sqrt(0.8 * 0.2 / 5000))


def test_more_of_anything_finds_less():
    found = [detectable(design(seeds)) for seeds in (Seeds(3, 3), Seeds(6, 3), Seeds(6, 6), Seeds(12, 6))]
    assert found == sorted(found, reverse=True)
    found = [detectable(design(Seeds(9, 3)).with_items(multiple)) for multiple in (0.5, 1.0, 2.0)]
    assert found == sorted(found, reverse=True)
    assert power(design(Seeds(9, 3)), 1.0) < power(design(Seeds(9, 3)), 2.0)
    assert power(design(Seeds(9, 3)), -2.0) == power(design(Seeds(9, 3)), 2.0)


def test_needed_seeds_are_enough_and_no_fewer_runs_are():
    found = needed_seeds(design(Seeds(3, 3)), 2.0)
    assert power(design(found), 2.0) >= 0.8
    runs = found.runs(9)
    fewer = [
        Seeds(baseline, condition)
        for condition in range(3, runs // 9 + 1)
        for baseline in range(3, 31)
        if Seeds(baseline, condition).runs(9) < runs
    ]
    assert fewer
    assert all(power(design(seeds), 2.0) < 0.8 for seeds in fewer)
    assert needed_seeds(design(Seeds(3, 3)), 0.5) is None


def test_needed_items_are_enough():
    one = design(Seeds(9, 3))
    multiple = needed_items(one, 2.0)
    assert power(one.with_items(multiple), 2.0) >= 0.8
    assert power(one.with_items(multiple * 0.97), 2.0) < 0.8
    assert needed_items(one, 0.5) is None
    assert needed_items(one, 4.0) < 1.0


def test_many_conditions_ask_for_more_baseline_runs():
    assert best_split(design(Seeds(4, 4)), 60).baseline > 12
    assert best_split(design(Seeds(4, 4)), 29) is None
    alone = best_split(design(Seeds(4, 4), conditions=1), 10)
    assert abs(alone.baseline - alone.condition) <= 2


def test_no_variance_finds_everything():
    nothing = Design((Side(0.0, 0.0, 0.0, 10), Side(0.0, 0.0, 0.0, 10)), 1, Seeds(3, 3))
    assert detectable(nothing) == 0.0
    assert detectable_by_formula(nothing) == 0.0
    assert power(nothing, 0.1) == 1.0
    assert power(nothing, 0.0) == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Seeds(1, 3),
        lambda: Side(1.0, 1.0, 1.0, 1),
        lambda: Side(-1.0, 1.0, 1.0, 10),
        lambda: Side(float("nan"), 1.0, 1.0, 10),
        lambda: design(Seeds(3, 3), conditions=0),
        lambda: detectable(design(Seeds(3, 3)), 1.0),
        lambda: needed_seeds(design(Seeds(3, 3)), 1.0, 0.0),
        lambda: needed_se(0.0),
        lambda: bayes_factor(1.0, 0.0, 1.0),
    ],
)
def test_wrong_use_is_refused(wrong):
    with pytest.raises(UsageError):
        wrong()


# --- pilot -------------------------------------------------------------------------------------------------


def test_a_pilot_gives_back_what_its_study_shows():
    """The design that was run has the study's own item variance, whatever its components."""
    frame = synthetic.study(np.random.default_rng(0), seeds={"none": 4, "mnli": 3, "squad": 3})
    study = build(check(frame))
    found = pilot(study)
    assert (found.conditions, found.targets, found.languages) == (
        ("mnli", "squad"),
        ("chains", "pairs"),
        ("de", "sw"),
    )
    assert found.df == (3 + 2 + 2, 3 + 2 + 2)
    assert [side.clusters for side in found.sides] == [40, 40]
    from xeval.analysis import analyse

    key = analyse(frame).contrasts["C"].points
    one = Design(found.sides, 2, Seeds(4, 3))
    assert one.items.sum() == pytest.approx(key.variance_items)
    upper = [side.run_variance for side in found.upper_sides()]
    factor = 7 / stats.chi2.ppf(0.2, 7)
    assert upper == pytest.approx([side.run_variance * factor for side in found.sides])


def test_a_pilot_of_shared_items_uses_the_variance_of_the_difference():
    gains = dict.fromkeys(
        ("classification", "multi-hop classification", "single-hop QA", "multi-hop QA"), 2.0
    )
    # Gains without an item part of their own often leave nothing to scale; here some is left.
    frame = synthetic.crossed(np.random.default_rng(6), gains, {"none": 3, "mnli": 3})
    found = pilot(build(check(frame)))
    from xeval.analysis import analyse

    key = analyse(frame).contrasts["C"].points
    assert Design(found.sides, 1, Seeds(3, 3)).items.sum() == pytest.approx(key.variance_items)


def test_pilots_recover_the_variance_between_runs():
    """Run SD 4 and 1 points; 5 studies of 14 degrees of freedom."""
    rng = np.random.default_rng(2)
    tasks = [
        synthetic.Task("pairs", "classification", 60, {}, ("de", "sw"), 40, seed_sd=1.0),
        synthetic.Task("chains", "multi-hop QA", 60, {}, ("de", "sw"), 40, seed_sd=4.0),
    ]
    sides = [
        pilot(build(check(synthetic.frame(tasks, rng, {"none": 8, "mnli": 8}, cluster_sd=2.0)))).sides
        for _ in range(5)
    ]
    multi_hop, classification = np.array([[side.run_variance for side in pair] for pair in sides]).T
    # Each estimate has SD (run + residual) sqrt(2 / 14); the run part of an item score of 60 % in 240 items is 10.
    assert multi_hop.mean() == pytest.approx(16.0, abs=3 * 26 * np.sqrt(2 / 14 / 5))
    assert classification.mean() < 10.0
    residual = np.array([[side.residual_variance / side.clusters for side in pair] for pair in sides])
    assert residual.mean() == pytest.approx(10_000 * 0.6 * 0.4 / 240, rel=0.1)


def test_a_pilot_that_says_nothing_is_refused():
    frame = synthetic.study(np.random.default_rng(3), seeds={"none": 1, "mnli": 1})
    with pytest.raises(DataError, match="a single run of every condition"):
        pilot(build(check(frame)))
    with pytest.raises(DataError, match="no multi-hop QA and classification"):
        pilot(build(check(frame[frame["group"] == "retrieval"])))


# --- evidence ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "se", "tau"), [(0.0, 1.0, 1.0), (2.5, 1.0, 0.5), (-1.3, 0.4, 2.0)])
def test_the_bayes_factor_is_the_ratio_of_marginal_densities(value, se, tau):
    marginal, _ = integrate.quad(
        lambda true: stats.norm.pdf(value, true, se) * stats.norm.pdf(true, 0.0, tau), -30, 30, limit=200
    )
    assert bayes_factor(value, se, tau) == pytest.approx(stats.norm.pdf(value, 0.0, se) / marginal)


def test_evidence_is_a_curve_and_needs_seeds():
    given = Estimate(0.1, 0.01, 0.01, 10.0, 100.0, 0.95, True, 50)
    found = evidence(given)
    assert list(found.factors) == [0.5, 1.0, 2.0]
    assert found.informative
    assert found.to_dict()["bf01"]["0.5"] == found.factors[0.5]
    assert not evidence(replace(given, variance_items=4.0)).informative
    assert evidence(replace(given, seeds_estimable=False)) is None
    assert evidence(replace(given, variance_items=0.0, variance_seeds=0.0)) is None


def test_the_standard_error_that_equivalence_needs():
    """Margin / 2.93; with it, two one-sided z tests at 5 % both reject in 80 % of studies."""
    assert 1.0 / needed_se(1.0) == pytest.approx(2.93, abs=0.005)
    se = needed_se(1.0)
    reach = 1.0 - stats.norm.ppf(0.95) * se
    assert 2 * stats.norm.cdf(reach / se) - 1 == pytest.approx(0.8)
