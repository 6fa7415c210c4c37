"""The mixed-model fitter against published data sets, lme4, statsmodels and finite differences.

The frozen values named lme4 come from lme4 1.1-31 in R 4.2.2, optimiser bobyqa, rhoend 1e-10. The three data sets are
those of the R package lme4: penicillin and paste from Davies & Goldsmith 1972, reaction times from Belenky et al. 2003.
"""

import warnings

import numpy as np
import pandas as pd
import pytest

from xeval.analysis.models.fit import random_term
from xeval.analysis.models.reml import mixed_model
from xeval.errors import DataError

# Six samples on each of 24 plates, plate by plate.
PENICILLIN = """
27 23 26 23 23 21 27 23 26 23 23 21 25 21 25 24 24 20 26 23 25 23 23 20 25 22 26 22 23 20 24 22 25 23 22 19
24 20 23 21 22 19 26 22 26 24 24 21 24 21 24 22 22 20 24 21 24 23 22 19 26 23 26 24 24 21 25 22 26 24 24 20
26 24 26 24 25 22 26 23 26 23 23 20 26 23 25 24 24 22 25 22 25 23 23 20 25 21 24 23 23 20 25 22 24 23 23 19
24 21 23 21 21 19 26 23 26 24 24 21 25 21 24 22 22 18 25 22 25 22 22 20 24 21 24 22 24 19 24 21 24 22 21 18
"""
# Two analyses of each of three casks in each of ten batches.
PASTES = """
62.8 62.6 60.1 62.3 62.7 63.1 60.0 61.4 57.5 56.9 61.1 58.9 58.7 57.5 63.9 63.1 65.4 63.7 57.1 56.4
56.9 58.6 64.7 64.5 55.1 55.1 54.7 54.2 58.8 57.5 63.4 64.9 59.3 58.1 60.5 60.0 62.5 62.6 61.0 58.7
56.9 57.7 59.2 59.4 65.2 66.0 64.8 64.1 54.8 54.8 64.0 64.0 57.7 56.8 58.3 59.3 59.2 59.2 58.9 56.6
"""
# Ten days of each of 18 subjects.
SLEEP = """
249.5600 258.7047 250.8006 321.4398 356.8519 414.6901 382.2038 290.1486 430.5853 466.3535
222.7339 205.2658 202.9778 204.7070 207.7161 215.9618 213.6303 217.7272 224.2957 237.3142
199.0539 194.3322 234.3200 232.8416 229.3074 220.4579 235.4208 255.7511 261.0125 247.5153
321.5426 300.4002 283.8565 285.1330 285.7973 297.5855 280.2396 318.2613 305.3495 354.0487
287.6079 285.0000 301.8206 320.1153 316.2773 293.3187 290.0750 334.8177 293.7469 371.5811
234.8606 242.8118 272.9613 309.7688 317.4629 309.9976 454.1619 346.8311 330.3003 253.8644
283.8424 289.5550 276.7693 299.8097 297.1710 338.1665 332.0265 348.8399 333.3600 362.0428
265.4731 276.2012 243.3647 254.6723 279.0244 284.1912 305.5248 331.5229 335.7469 377.2990
241.6083 273.9472 254.4907 270.8021 251.4519 254.6362 245.4523 235.3110 235.7541 237.2466
312.3666 313.8058 291.6112 346.1222 365.7324 391.8385 404.2601 416.6923 455.8643 458.9167
236.1032 230.3167 238.9256 254.9220 250.7103 269.7744 281.5648 308.1020 336.2806 351.6451
256.2968 243.4543 256.2046 255.5271 268.9165 329.7247 379.4445 362.9184 394.4872 389.0527
250.5265 300.0576 269.8939 280.5891 271.8274 304.6336 287.7466 266.5955 321.5418 347.5655
221.6771 298.1939 326.8785 346.8555 348.7402 352.8287 354.4266 360.4326 375.6406 388.5417
271.9235 268.4369 257.2424 277.6566 314.8222 317.2135 298.1353 348.1229 340.2800 366.5131
225.2640 234.5235 238.9008 240.4730 267.5373 344.1937 281.1481 347.5855 365.1630 372.2288
269.8804 272.4428 277.8989 281.7895 279.1705 284.5120 259.2658 304.6306 350.7807 369.4692
269.4117 273.4740 297.5968 310.6316 287.1726 329.6076 334.4818 343.2199 369.1417 364.1236
"""


def numbers(text):
    return np.array([float(one) for one in text.split()])


def penicillin():
    y = numbers(PENICILLIN)
    place = np.arange(y.size)
    terms = [random_term("plate", (place // 6).tolist()), random_term("sample", (place % 6).tolist())]
    return mixed_model(y, np.ones((y.size, 1)), ("mean",), terms)


def pastes():
    y = numbers(PASTES)
    place = np.arange(y.size)
    terms = [random_term("batch", (place // 6).tolist()), random_term("sample", (place // 2).tolist())]
    return mixed_model(y, np.ones((y.size, 1)), ("mean",), terms)


def sleep():
    y = numbers(SLEEP)
    X = np.column_stack([np.ones(180), np.tile(np.arange(10.0), 18)])
    return mixed_model(y, X, ("mean", "days"), [random_term("subject", (np.arange(180) // 10).tolist())])


def test_penicillin_restricted():
    """lme4: published .8467, 1.9316, .5499, 330.8606, 22.97; more digits from the version above."""
    fit = penicillin().fit()
    spread = [np.sqrt(fit.components[name]) for name in ("plate", "sample")]
    assert spread == pytest.approx([0.8467043995, 1.9315587007], rel=1e-4)
    assert np.sqrt(fit.residual) == pytest.approx(0.5499231265, rel=1e-5)
    assert fit.deviance == pytest.approx(330.860588991, abs=1e-6)
    assert fit.beta[0] == pytest.approx(22.9722222222)
    assert fit.standard_errors[0] == pytest.approx(0.808573511676, rel=1e-4)
    assert fit.converged
    assert not fit.singular
    assert fit.problems == ()


def test_pastes_is_nested_so_that_mean_squares_give_the_answer():
    """Balanced nested data: REML variances are (MS - MS) / size; lme4 published 2.9041, 1.2874, .8234, 246.99."""
    fit = pastes().fit()
    table = numbers(PASTES).reshape(10, 3, 2)
    within = table.var(axis=2, ddof=1).mean()
    casks = 2 * table.mean(axis=2).var(axis=1, ddof=1).mean()
    batches = 6 * table.mean(axis=(1, 2)).var(ddof=1)
    assert fit.residual == pytest.approx(within, rel=1e-5)
    assert fit.components["sample"] == pytest.approx((casks - within) / 2, rel=1e-5)
    assert fit.components["batch"] == pytest.approx((batches - casks) / 6, rel=1e-4)
    assert fit.standard_errors[0] == pytest.approx(np.sqrt(batches / 60), rel=1e-5)
    assert fit.deviance == pytest.approx(246.990745853, abs=1e-6)


def test_sleep():
    """lme4, published with more or fewer digits: 1378.18, 960.46, SE 9.7467 and .8042, REML 1786.465."""
    fit = sleep().fit()
    assert [fit.components["subject"], fit.residual] == pytest.approx([1378.1785, 960.4566], rel=1e-5)
    assert fit.beta == pytest.approx([251.4051048, 10.4672860])
    assert fit.standard_errors == pytest.approx([9.7467163, 0.8042214], rel=1e-6)
    assert fit.deviance == pytest.approx(1786.46508, abs=1e-5)
    assert fit.fitted + fit.residuals == pytest.approx(numbers(SLEEP))


def crossed(tasks=5, languages=3, conditions=4, seeds=2, seed=2, **spread):
    """Gains of a crossed study and the labels of its random effects."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(range(tasks), range(conditions), range(seeds), range(languages), indexing="ij")
    task, condition, run, language = (axis.ravel() for axis in grid)
    labels = {
        "task": task,
        "condition": condition,
        "language": language,
        "task_condition": task * conditions + condition,
        "task_language": task * languages + language,
        "baseline_cell": (task * languages + language) * seeds + run,
    }
    distance = rng.normal(0, 1, languages)[language]
    multi_hop = (task >= tasks - max(1, tasks // 4)).astype(float)
    y = 2 - multi_hop + 0.3 * distance + rng.normal(0, 1, task.size)
    for name, codes in labels.items():
        y += rng.normal(0, spread.get(name, 0.8), codes.max() + 1)[codes]
    return y, np.column_stack([np.ones(task.size), multi_hop, distance]), labels


def model_of(y, fixed, labels, order=None):
    terms = [random_term(name, labels[name].tolist()) for name in order or labels]
    return mixed_model(y, fixed, ("intercept", "multi_hop", "distance"), terms)


@pytest.mark.parametrize("kind", ["crossed", "known"])
def test_gradient_agrees_with_finite_differences(kind):
    if kind == "crossed":
        model = model_of(*crossed())
    else:
        y, X, labels = crossed()
        rng = np.random.default_rng(3)
        root = rng.normal(size=(y.size, y.size)) / np.sqrt(y.size)
        terms = [random_term("task", labels["task"].tolist()), random_term("row", range(y.size))]
        known = root @ root.T + 0.5 * np.eye(y.size)
        model = mixed_model(y, X, ("a", "b", "c"), terms, residual_covariance=known)
    theta = np.linspace(0.3, 1.1, len(model.terms))
    numeric = [
        (model.evaluate(theta + step).deviance - model.evaluate(theta - step).deviance) / 2e-5
        for step in np.eye(theta.size) * 1e-5
    ]
    assert model.evaluate(theta).gradient == pytest.approx(np.array(numeric), rel=1e-6, abs=1e-5)


def test_criterion_agrees_with_the_marginal_density():
    """-2 log density of y ~ N(X b, s2 (I + sum theta^2 ZZ')) by error contrasts, at the profiled b and s2."""
    y, X, labels = crossed()
    model = model_of(y, X, labels)
    theta = np.linspace(0.3, 1.1, 6)
    V = np.eye(y.size)
    for place, value in zip(model.order, theta, strict=True):
        codes = model.terms[place].codes
        V += value**2 * (codes[:, None] == codes[None, :])
    inverse = np.linalg.inv(V)
    beta = np.linalg.solve(X.T @ inverse @ X, X.T @ inverse @ y)
    error = y - X @ beta
    n, p = X.shape
    s2 = float(error @ inverse @ error) / (n - p)
    value = (n - p) * (1 + np.log(2 * np.pi * s2)) + np.linalg.slogdet(V)[1]
    value += np.linalg.slogdet(X.T @ inverse @ X)[1]
    at = model.evaluate(theta)
    assert at.deviance == pytest.approx(value, rel=1e-12)
    assert at.residual == pytest.approx(s2)
    back = np.linalg.inv(model.triangle)
    assert back @ np.linalg.inv(at.information) @ back.T == pytest.approx(np.linalg.inv(X.T @ inverse @ X))


def test_small_crossed_study_agrees_with_mixedlm():
    """statsmodels' MixedLM with one group and one variance formula per term, each starting with 0."""
    y, X, labels = crossed(6, 5, 3, 2, seed=7)
    del labels["task_condition"], labels["baseline_cell"]
    own = model_of(y, X, labels).fit()
    assert not own.singular  # there MixedLM stops early
    frame = pd.DataFrame({"y": y, "multi_hop": X[:, 1], "distance": X[:, 2], "all": 1, **labels})
    _agrees_with_mixedlm(own, frame, list(labels))


def _agrees_with_mixedlm(own, frame, terms):
    import statsmodels.formula.api as formulas

    deviances = []
    for method in ("lbfgs", "bfgs"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other = formulas.mixedlm(
                "y ~ multi_hop + distance", frame, groups="all", re_formula="0",
                vc_formula={name: f"0 + C({name})" for name in terms},
            ).fit(reml=True, method=[method])  # fmt: skip
        deviances.append(-2 * other.llf)
        if deviances[-1] == min(deviances):
            best = other
    # MixedLM stops a little early; it never finds a better optimum.
    assert own.deviance - 1e-6 <= min(deviances) <= own.deviance + 1e-3
    assert np.asarray(best.fe_params) == pytest.approx(own.beta, abs=1e-3)
    found = dict(zip(best.model.exog_vc.names, best.vcomp, strict=True))
    for name in terms:
        assert found[name] == pytest.approx(own.components[name], rel=0.02, abs=0.02 * own.residual)


@pytest.mark.slow
def test_large_crossed_study_agrees_with_mixedlm():
    y, X, labels = crossed(8, 8, 5, 3, seed=1)
    own = model_of(y, X, labels).fit()
    frame = pd.DataFrame({"y": y, "multi_hop": X[:, 1], "distance": X[:, 2], "all": 1, **labels})
    _agrees_with_mixedlm(own, frame, list(labels))


def test_result_does_not_depend_on_the_order_of_rows_or_terms():
    y, X, labels = crossed(languages=4)
    fit = model_of(y, X, labels).fit()
    order = np.random.default_rng(4).permutation(y.size)
    shuffled = {name: codes[order] for name, codes in labels.items()}
    other = model_of(y[order], X[order], shuffled, list(labels)[::-1]).fit()
    assert other.deviance == pytest.approx(fit.deviance, abs=1e-6)
    assert other.beta == pytest.approx(fit.beta, abs=1e-4)
    assert other.covariance == pytest.approx(fit.covariance, rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_scale_of_the_response_does_not_matter(factor):
    """Proportions or points: variances scale, and what is called singular does not change."""
    y, X, labels = crossed(language=0.0, seed=5)
    fit, scaled = model_of(y, X, labels).fit(), model_of(factor * y, X, labels).fit()
    assert scaled.beta == pytest.approx(factor * fit.beta, rel=1e-4)
    assert scaled.residual == pytest.approx(factor**2 * fit.residual, rel=1e-4)
    assert scaled.singular == fit.singular


def test_a_variance_of_zero_is_said():
    """Residuals that alternate within every level: the between-level variance is below its expectation."""
    y = np.tile([1.0, -1.0, 2.0, -2.0], 10)
    terms = [random_term("level", np.repeat(np.arange(10), 4).tolist())]
    fit = mixed_model(y, np.ones((40, 1)), ("mean",), terms).fit()
    assert fit.singular == ("level",)
    assert fit.converged
    assert "singular" in fit.problems[0]
    assert "level" in fit.problems[0]
    assert fit.residual == pytest.approx(y.var(ddof=1), rel=1e-6)  # ordinary least squares
    assert fit.standard_errors[0] == pytest.approx(np.sqrt(y.var(ddof=1) / 40), rel=1e-6)


def test_a_start_on_the_boundary_is_left_again():
    fit = penicillin().fit(starts=(1e-5, 1e-4))
    assert fit.deviance == pytest.approx(330.860588991, abs=1e-6)
    assert fit.converged


def test_an_unfinished_fit_is_said():
    fit = penicillin().fit(starts=(1.0,))
    assert not fit.converged  # a single start proves nothing
    assert "did not converge" in fit.problems[0]


def test_what_cannot_be_estimated_is_refused():
    y, X, labels = crossed()
    task = random_term("task", labels["task"].tolist())
    refused = [
        ((np.where(y > 2, np.nan, y), X, "abc", [task]), "missing"),
        ((y, np.column_stack([X, X[:, 1] * 2]), "abcd", [task]), "'d' is a combination"),
        ((y, np.column_stack([X, 0 * y]), "abcd", [task]), "'d' is 0 everywhere"),
        ((y, X, "abc", []), "at least one random term"),
        ((y, X, "abc", [random_term("all", [0] * y.size)]), "'all' has a single level"),
        ((y, X, "abc", [random_term("row", range(y.size))]), "'row' has one level per row"),
        ((y, X, "abc", [task, random_term("same", (9 - labels["task"]).tolist())]), "'task' and 'same'"),
        ((y[:3], X[:3], "abc", [task]), "3 rows cannot determine 3"),
    ]
    for (values, fixed, names, terms), message in refused:
        with pytest.raises(DataError, match=message):
            mixed_model(values, fixed, names, terms)
    with pytest.raises(DataError, match="positive definite"):
        mixed_model(y, X, "abc", [task], residual_covariance=np.zeros((y.size, y.size)))
    with pytest.raises(DataError, match="reproduce every value exactly"):
        mixed_model(0 * y + 3, X, "abc", [task]).fit()
    with pytest.raises(DataError, match="random terms reproduce every value exactly"):
        mixed_model(np.sin(1.0 + labels["task"]), X, "abc", [task]).fit()


def test_t_test():
    fit = penicillin().fit()
    test = fit.test("mean - 21", {"mean": 1.0}, df=5)
    assert test.value == fit.beta[0]
    low, high = test.interval
    assert (high - low) / 2 == pytest.approx(2.570581836 * fit.standard_errors[0], rel=1e-8)  # t_(.975, 5)
    assert test.p_value < 1e-4
