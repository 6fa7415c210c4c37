"""The binomial mixed model: lme4's published figures, its gradient, and what it refuses."""

import numpy as np
import pytest

from xeval.analysis.models.fit import random_term
from xeval.analysis.models.laplace import _Likelihood, binomial_mixed
from xeval.errors import DataError

# Contagious bovine pleuropneumonia (Lesnoff et al. 2004), lme4's cbpp: cases among animals, per herd and period.
CASES = (
    [(2, 14), (3, 12), (4, 9), (0, 5)], [(3, 22), (1, 18), (1, 21), None], [(8, 22), (2, 16), (0, 16), (2, 20)],
    [(2, 10), (0, 10), (2, 9), (0, 6)], [(5, 18), (0, 25), (0, 24), (1, 4)], [(3, 17), (0, 17), (0, 18), (1, 20)],
    [(8, 16), (1, 10), (3, 9), (0, 5)], [(12, 34), None, None, None], [(2, 9), (0, 6), (0, 8), (0, 6)],
    [(1, 22), (1, 22), (0, 18), (2, 22)], [(0, 25), (5, 27), (3, 22), (1, 22)], [(2, 10), (1, 8), (0, 6), (0, 5)],
    [(1, 21), (2, 24), (0, 19), (0, 23)], [(11, 19), (0, 2), (0, 3), (0, 2)], [(1, 19), (1, 15), (1, 15), (0, 15)],
)  # fmt: skip
PERIODS = ("intercept", "period 2", "period 3", "period 4")


def cbpp():
    rows = [
        (herd, period, *counts)
        for herd, listed in enumerate(CASES)
        for period, counts in enumerate(listed)
        if counts is not None
    ]
    herd, period, cases, animals = np.array(rows).T
    X = np.column_stack([np.ones(len(rows)), *(period == one for one in (1, 2, 3))]).astype(float)
    return cases.astype(float), animals.astype(float), X, [random_term("herd", herd.tolist())]


def test_cbpp_agrees_with_lme4():
    """lme4's documentation (glmer, Laplace): herd SD 0.6421, these estimates, standard errors and deviance 184.1.

    Its default tolerances stop short of the optimum: with tolPwrss 1e-12 and bobyqa to 1e-9, lme4 1.1-31 gives SD
    0.642261433143, the estimates below and -2 log likelihood 184.052563743.
    """
    cases, animals, X, terms = cbpp()
    assert len(cases) == 56
    found = binomial_mixed(cases, animals, X, PERIODS, terms)
    assert found.converged
    assert not found.singular
    assert found.beta == pytest.approx([-1.3983, -0.9919, -1.1282, -1.5797], abs=7e-4)
    assert found.deviations["herd"] == pytest.approx(0.6421, abs=2e-4)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx([0.2312, 0.3032, 0.3228, 0.4220], rel=0.015)
    assert found.beta == pytest.approx([-1.398532078, -0.992332765, -1.128672080, -1.580313862], abs=2e-6)
    assert found.deviations["herd"] == pytest.approx(0.642261433, abs=1e-6)
    assert found.deviance == pytest.approx(184.052563743, abs=1e-7)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx([0.23247, 0.30664, 0.32664, 0.42744], rel=1e-4)


def crossed():
    """40 items by 12 runs with unequal counts."""
    rng = np.random.default_rng(20)
    item, run = np.repeat(np.arange(40), 12), np.tile(np.arange(12), 40)
    trials = 1 + (item * 7 + run * 3) % 5
    x = ((item % 4) - 1.5) / 1.5 * (run % 2)
    eta = 0.3 + 0.8 * (run % 2) - 0.5 * x + rng.normal(0, 0.9, 40)[item] + rng.normal(0, 0.4, 12)[run]
    successes = rng.binomial(trials, 1 / (1 + np.exp(-eta)))
    X = np.column_stack([np.ones(item.size), run % 2, x])
    terms = [random_term("item", item.tolist()), random_term("run", run.tolist())]
    return successes.astype(float), trials.astype(float), X, terms


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_crossed_effects_agree_with_lme4(order):
    """lme4 1.1-31 on the same counts, tolPwrss 1e-12, bobyqa to 1e-9."""
    successes, trials, X, terms = crossed()
    assert successes.sum() == 803
    found = binomial_mixed(successes, trials, X, ("intercept", "treated", "x"), [terms[one] for one in order])
    assert found.beta == pytest.approx([-0.190848565, 1.014416328, -0.949659728], abs=2e-6)
    assert found.deviations == pytest.approx({"item": 1.168077420, "run": 0.620057478}, abs=2e-6)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(
        [0.325613539, 0.381111956, 0.17041965], rel=5e-5
    )
    assert found.deviance == pytest.approx(1019.33284493, abs=1e-6)
    test = found.test("treated", {"treated": 1.0}, 10.0)
    assert test.p_value == pytest.approx(0.0237, abs=2e-4)  # t = 2.6617 on 10 df


def test_the_gradient_is_that_of_the_deviance():
    successes, trials, X, terms = crossed()
    third = random_term("pair", (terms[0].codes // 4 * 3 + terms[1].codes // 4).tolist())
    likelihood = _Likelihood(successes, trials, X, [*terms, third])
    at = np.array([-0.1, 0.8, -0.7, 0.9, 0.4, 0.6])
    gradient, step = likelihood(at)[1], 1e-5
    numeric = [
        (likelihood(at + step * one)[0] - likelihood(at - step * one)[0]) / (2 * step)
        for one in np.eye(at.size)
    ]
    assert gradient == pytest.approx(numeric, rel=1e-5, abs=1e-5)


def test_without_variance_between_levels_it_is_the_plain_model_and_says_so():
    """Every level has the same counts, so its variance is 0 and the estimates are the log odds."""
    successes, trials = np.tile([3.0, 6.0], 20), np.full(40, 10.0)
    X = np.column_stack([np.ones(40), np.tile([0.0, 1.0], 20)])
    found = binomial_mixed(
        successes, trials, X, ("a", "b"), [random_term("level", (np.arange(40) // 2).tolist())]
    )
    assert found.singular == ("level",)
    odds = np.log([3 / 7, 6 / 4])
    assert found.beta == pytest.approx([odds[0], odds[1] - odds[0]], abs=1e-5)
    errors = [np.sqrt(1 / 60 + 1 / 140), np.sqrt(1 / 60 + 1 / 140 + 1 / 120 + 1 / 80)]
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(errors, rel=1e-3)


def test_what_is_refused():
    successes, trials, X, terms = crossed()
    names = ("intercept", "treated", "x")
    for wrong in (successes + 0.5, successes + trials, -1 - successes):
        with pytest.raises(DataError, match="whole numbers of right answers"):
            binomial_mixed(wrong, trials, X, names, terms)
    always = np.where(X[:, 1] == 1, trials, successes)
    with pytest.raises(DataError, match="always right or always wrong"):
        binomial_mixed(always, trials, X, names, terms)
