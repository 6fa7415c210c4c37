"""The resampling engine: against closed forms, scipy, statsmodels and brute force; what must not change its numbers."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import synthetic

from xeval.analysis.estimate import bootstrap as resampling
from xeval.analysis.estimate.arrays import Study, build
from xeval.analysis.estimate.bootstrap import intervals, multinomial, percentile_p, replicates, stream
from xeval.analysis.estimate.estimands import KEY, cell_gain, combine, match, mean, task_gain
from xeval.analysis.estimate.variance import Block, Method, make_block
from xeval.analysis.frame.tidy import check
from xeval.analysis.tests.multiplicity import max_t
from xeval.analysis.tests.paired import mcnemar
from xeval.errors import DataError, UsageError

GAIN = {("new", "t", "de"): 1.0, ("none", "t", "de"): -1.0}


def study_of(blocks, clusters: int, **method) -> Study:
    """A study from arrays: blocks by (condition, target, language), clusters numbered 0 to clusters - 1."""
    conditions = tuple(sorted({cell[0] for cell in blocks} - {"none"}))
    return Study({}, conditions, blocks, clusters, "en", Method(**method), ())


def block(num, den=None, population=0, clusters=None, deterministic=False) -> Block:
    num = np.asarray(num, dtype=float)
    den = np.ones_like(num) if den is None else np.broadcast_to(np.asarray(den, dtype=float), num.shape)
    numbers = np.arange(num.shape[1]) if clusters is None else clusters
    return make_block(num, den, numbers, range(len(num)), population, deterministic)


def two_systems(seed=0, runs=(5, 5), seed_sd=0.3) -> Study:
    """Clusters of 1 to 8 items that are right or wrong; cluster effects shared by both systems."""
    N = 150
    rng = np.random.default_rng(seed)
    sizes, effect = rng.integers(1, 9, N), rng.normal(0, 1, N)
    blocks = {}
    for population, (name, count) in enumerate(zip(("new", "none"), runs, strict=True)):
        level = 0.8 + effect + rng.normal(0, seed_sd, (count, 1))
        blocks[name, "t", "de"] = block(rng.binomial(sizes, 1 / (1 + np.exp(-level))), sizes, population)
    return study_of(blocks, N)


def bootstrap(study: Study, weights, count: int, scale: str):
    """The interval of one estimand."""
    drawn = replicates(study, {"gain": weights}, count, 1, scale)
    return intervals(study, {"gain": weights}, drawn, scale)["gain"]


def small(num_new, num_none) -> Study:
    new, none = np.atleast_2d(num_new), np.atleast_2d(num_none)
    return study_of({("new", "t", "de"): block(new), ("none", "t", "de"): block(none, None, 1)}, new.shape[1])


def parts(one: Block):
    """Divisor-n variances of a block's table in points: seeds / S, clusters' means, residual / (S N)."""
    values = 100 * (one.scores[:, None] + one.influence.shape[1] * one.influence)
    S, N = values.shape
    rows, columns = values.mean(1), values.mean(0)
    residual = values - rows[:, None] - columns + values.mean()
    return rows.var() / S, columns, (residual**2).sum() / (S * N) ** 2


MC_SD = 0.007  # relative Monte-Carlo error of a standard deviation from 10,000 replicates


@pytest.mark.parametrize("runs", [(5, 5), (3, 9)])
def test_multi_bootstrap_has_the_closed_forms_spread(runs):
    """V = s2_N/N of the differences + for each system s2_S/S + s2_SN/(S N), all with divisor n (statistics 2.2)."""
    study = two_systems(runs=runs)
    new, none = (parts(study.blocks[name, "t", "de"]) for name in ("new", "none"))
    N = new[1].size
    closed = new[0] + none[0] + new[2] + none[2] + (new[1] - none[1]).var() / N
    drawn = replicates(study, {"gain": GAIN}, 10_000, 1, "points")
    assert drawn.std() / np.sqrt(closed) == pytest.approx(1, abs=3 * MC_SD)


def test_agrees_with_scipys_paired_bootstrap_of_a_ratio():
    from scipy.stats import bootstrap as scipy_bootstrap

    study = two_systems(seed=3, runs=(1, 1))
    new, none = (study.blocks[name, "t", "de"] for name in ("new", "none"))

    def gain(a, b, size, axis):
        return 100 * (a.sum(axis=axis) - b.sum(axis=axis)) / size.sum(axis=axis)

    data = (new.num[0], none.num[0], new.den[0])
    theirs = scipy_bootstrap(
        data, gain, paired=True, vectorized=True, n_resamples=10_000, method="percentile", rng=1, batch=500
    )
    ours = bootstrap(study, GAIN, 10_000, "points")
    assert ours.se / theirs.standard_error == pytest.approx(1, abs=0.02)
    assert (ours.low, ours.high) == pytest.approx(theirs.confidence_interval, abs=0.15 * ours.se)


@pytest.mark.parametrize("equal_denominators", [True, False])
def test_every_replicate_is_the_estimand_of_the_drawn_sample(equal_denominators):
    """Plain double-precision arithmetic on the very same draws, for graded and for whole scores."""
    rng = np.random.default_rng(4)
    N, S = 60, 3
    den = rng.poisson(4, (S, N)) + 1.0
    if equal_denominators:
        den[:] = den[0]
    num = den * rng.beta(4, 2, (S, N))
    base_num = np.floor(den[:2] * rng.beta(3, 3, (2, N)))
    blocks = {("new", "t", "de"): block(num, den, 0), ("none", "t", "de"): block(base_num, den[:2], 1)}
    study = study_of(blocks, N)
    drawn = replicates(study, {"gain": GAIN}, 700, 5, "logit")[:, 0]
    expected = []
    for part in range(2):
        clusters = multinomial(stream(5, "items", "", "t", "de", block=part), N, N)
        levels = []
        for name, own_num, own_den in (("new", num, den), ("none", base_num, den[:2])):
            runs = len(own_num)
            share = multinomial(stream(5, "runs", name, "t", block=part), runs, runs) / runs
            score = (share * (clusters @ own_num.T) / (clusters @ own_den.T)).sum(1)
            size = (share * (clusters @ own_den.T)).sum(1)
            levels.append(np.log((score * size + 0.5) / (size - score * size + 0.5)))
        expected.append(levels[0] - levels[1])
    np.testing.assert_allclose(drawn, np.concatenate(expected)[:700], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("clusters", "kind", "packed"),
    [
        (1, "float64", 1),
        (30, "float32", 2),
        (1000, "float32", 4),
        (4095, "float64", 2),
        (6000, "float64", 3),
        (300_000, "float32", 7),
    ],
)
def test_packed_columns_give_the_same_whole_sums(clusters, kind, packed):
    """Sums up to 2 N take 2, 6, 11, 13, 14 or 20 bits of 24 or 53; the largest possible sum is among them."""
    rng = np.random.default_rng(5)
    rows = [rng.integers(0, 3, clusters).astype(np.float32) for _ in range(6)]
    rows.append(np.full(clusters, 2.0, np.float32))
    bits, matrix = resampling._packed(rows, 2.0 * clusters)
    assert (str(matrix.dtype), len(matrix)) == (kind, packed)
    columns = resampling._Columns((), 7, bits, matrix, {})
    weights = multinomial(stream(1, "x"), clusters, clusters, 20)
    expected = weights.astype(np.int64) @ np.array(rows, np.int64).T
    np.testing.assert_array_equal(columns._sums(weights), expected)


def test_multinomial_draws_as_many_as_asked_in_any_number_of_calls():
    whole = multinomial(stream(1, "x"), 7, 5)
    assert (whole.sum(axis=1) == 5).all()
    assert whole.mean(axis=0) == pytest.approx(5 / 7, abs=0.2)
    generator = stream(1, "x")
    split = [multinomial(generator, 7, 5, rows) for rows in (1, 199, 300)]
    np.testing.assert_array_equal(np.concatenate(split), whole)
    assert not np.array_equal(whole, multinomial(stream(1, "x", block=1), 7, 5))
    assert not np.array_equal(whole, multinomial(stream(2, "x"), 7, 5))
    assert not np.array_equal(whole, multinomial(stream(1, "y"), 7, 5))


# What must not change the numbers.


def estimands(study: Study):
    matched = match(study, ("mnli", "squad"), tuple(KEY.signs))
    assert matched is not None
    return {
        "C": matched.contrast(KEY.signs),
        "pairs": task_gain(("mnli",), "pairs", ("de", "sw")),
        "retrieval": cell_gain("squad", "sentences", "sw"),
    }


def graded(frame):
    """The same scores with fractions that no float holds exactly."""
    return frame.assign(num=frame["num"] * (1 + frame["hops"]) / 3.1)


@pytest.fixture(scope="module")
def frame():
    return synthetic.study(np.random.default_rng(7))


@pytest.mark.parametrize("scale", ["points", "logit"])
@pytest.mark.parametrize("change", [lambda frame: frame, graded])
def test_order_of_rows_does_not_matter(frame, scale, change):
    whole = build(check(change(frame)))
    mixed = build(check(change(frame).sample(frac=1, random_state=1)))
    names = estimands(whole)
    backwards = {name: dict(reversed(weights.items())) for name, weights in reversed(names.items())}
    ours, theirs = replicates(whole, names, 600, 1, scale), replicates(mixed, backwards, 600, 1, scale)
    np.testing.assert_allclose(ours, theirs[:, ::-1], rtol=0, atol=1e-11)
    if change is not graded:  # there a cluster's rows are added up in another order
        np.testing.assert_array_equal(ours, theirs[:, ::-1])


def test_other_estimands_and_other_targets_do_not_matter(frame):
    whole = build(check(frame))
    part = build(check(frame[frame["target"].isin(["chains", "sentences"])]))
    weights = cell_gain("squad", "sentences", "sw")
    alone = replicates(part, {"retrieval": weights}, 600, 1, "points")
    np.testing.assert_array_equal(alone[:, 0], replicates(whole, estimands(whole), 600, 1, "points")[:, 2])


def test_the_first_replicates_do_not_depend_on_their_number(frame):
    study = build(check(frame))
    names = estimands(study)
    np.testing.assert_array_equal(
        replicates(study, names, 30, 1, "logit"), replicates(study, names, 501, 1, "logit")[:30]
    )


def test_splitting_a_clusters_rows_does_not_matter(frame):
    joined = frame.assign(num=2 * frame["num"], den=2.0)
    halves = [frame.assign(item_id=frame["item_id"] + mark) for mark in "ab"]
    import pandas as pd

    split = pd.concat(halves, ignore_index=True)
    one, two = build(check(joined)), build(check(split))
    names = estimands(one)
    np.testing.assert_array_equal(
        replicates(one, names, 500, 1, "logit"), replicates(two, names, 500, 1, "logit")
    )


def test_the_size_of_the_matrices_does_not_matter(frame, monkeypatch):
    study = build(check(graded(frame)))
    names = estimands(study)
    whole = replicates(study, names, 600, 1, "logit")
    monkeypatch.setattr(resampling, "COLUMN_BYTES", 100_000)
    np.testing.assert_allclose(replicates(study, names, 600, 1, "logit"), whole, rtol=0, atol=1e-12)


def drawn_by_threads() -> str:
    """Digest of replicates of whole and of graded scores."""
    rng = np.random.default_rng(1)
    digest = hashlib.sha256()
    for num in (rng.integers(0, 2, (2, 6, 900)), rng.random((2, 6, 900))):
        blocks = {("new", "t", "de"): block(num[0]), ("none", "t", "de"): block(num[1], population=1)}
        study = study_of(blocks, 900)
        digest.update(replicates(study, {"gain": GAIN}, 500, 1, "logit").tobytes())
    return digest.hexdigest()


def test_threads_do_not_matter():
    here = Path(__file__).parent
    other = "2" if os.environ.get("OMP_NUM_THREADS") == "1" else "1"
    variables = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), other)
    paths = [str(here), str(here.parent)]
    code = f"import sys; sys.path[:0] = {paths}; import test_resampling as t; print(t.drawn_by_threads())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables,
        cwd=here.parents[1], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == drawn_by_threads()


def test_swapping_the_conditions_turns_the_sign():
    study = two_systems()
    back = {cell: -weight for cell, weight in GAIN.items()}
    for scale in ("points", "logit"):
        drawn = replicates(study, {"gain": GAIN, "loss": back}, 500, 1, scale)
        np.testing.assert_array_equal(drawn[:, 0], -drawn[:, 1])


def test_a_system_of_constant_score_changes_nothing():
    study = two_systems()
    N = study.cluster_count
    constant = block(np.ones((3, N)), None, 2)
    more = replace(study, blocks=dict(study.blocks) | {("same", "t", "de"): constant})
    weights = combine([(1.0, GAIN), (1.0, {("same", "t", "de"): 1.0}), (-1.0, {("same", "t", "de"): 1.0})])
    np.testing.assert_array_equal(
        replicates(more, {"gain": weights}, 500, 1, "points"),
        replicates(study, {"gain": GAIN}, 500, 1, "points"),
    )


def test_targets_on_the_same_clusters_draw_the_same_ones():
    """Equal outcomes on two targets that share clusters: their difference never varies; on others it does."""
    rng = np.random.default_rng(2)
    num = rng.integers(0, 2, (1, 80))
    difference = {("new", "s", "de"): 1.0, ("new", "t", "sw"): -1.0}
    shared = {("new", "s", "de"): block(num), ("new", "t", "sw"): block(num)}
    own = shared | {("new", "t", "sw"): block(num, clusters=np.arange(80, 160))}
    assert not replicates(study_of(shared, 80), {"d": difference}, 500, 1, "points").any()
    assert replicates(study_of(own, 160), {"d": difference}, 500, 1, "points").std() > 1


def test_runs_of_one_population_are_drawn_together_and_paired_runs_too():
    """Two languages with equal scores of every run: no spread of the difference. Unpaired systems do not cancel."""
    num = np.repeat(np.array([[0.2], [0.5], [0.9]]), 30, axis=1)
    blocks = {("new", "t", "de"): block(num), ("new", "t", "sw"): block(num, clusters=np.arange(30, 60))}
    drawn = replicates(
        study_of(blocks, 60), {"d": {("new", "t", "de"): 1.0, ("new", "t", "sw"): -1.0}}, 500, 1, "points"
    )
    np.testing.assert_allclose(drawn, 0, atol=1e-9)
    blocks = {("new", "t", "de"): block(num), ("none", "t", "de"): block(num, population=1)}
    assert replicates(study_of(blocks, 30), {"d": GAIN}, 500, 1, "points").std() > 10
    paired = study_of(blocks, 30, paired=True)
    np.testing.assert_allclose(replicates(paired, {"d": GAIN}, 500, 1, "points"), 0, atol=1e-9)


# Degenerate and wrong input.


def test_equal_systems_and_constant_scores_give_no_interval_but_p_one():
    num = np.random.default_rng(1).integers(0, 2, (1, 40))
    for values in (num, np.ones((1, 40))):
        study = study_of({("new", "t", "de"): block(values), ("none", "t", "de"): block(values, None, 1)}, 40)
        ours = bootstrap(study, GAIN, 200, "logit")
        assert (ours.value, ours.low, ours.high, ours.p_value) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("scale", ["points", "logit"])
def test_rounding_is_no_difference(scale):
    """A mean of three systems that equal the baseline is off it by rounding: p = 1, and an interval of 0."""
    rng = np.random.default_rng(2)
    blocks = {}
    for lang in ("de", "sw", "zh"):
        num = rng.integers(0, 2, (1, 37))
        blocks |= {
            (name, "t", lang): block(num, None, place) for place, name in enumerate(("none", "a", "b", "c"))
        }
    study = study_of(blocks, 37)
    weights = mean([cell_gain(name, "t", lang) for name in "abc" for lang in ("de", "sw", "zh")])
    ours = bootstrap(study, weights, 500, scale)
    assert (ours.value, ours.low, ours.high, ours.se, ours.p_value) == (0.0, 0.0, 0.0, 0.0, 1.0)


def test_one_trained_run_is_said_so():
    ours = bootstrap(two_systems(runs=(1, 3)), GAIN, 200, "points")
    assert not ours.seeds_estimable
    assert ours.to_dict()["seeds_estimable"] is False


def test_wrong_calls():
    study = two_systems()
    with pytest.raises(UsageError, match="at least 1"):
        replicates(study, {"gain": GAIN}, 0, 1, "points")
    with pytest.raises(UsageError, match="no estimand"):
        replicates(study, {}, 10, 1, "points")
    with pytest.raises(UsageError, match="no scores of condition 'new', target 't', language 'fr'"):
        replicates(study, {"gain": cell_gain("new", "t", "fr")}, 10, 1, "points")
    with pytest.raises(UsageError, match="give 0 or more"):
        replicates(study, {"gain": GAIN}, 10, -1, "points")
    with pytest.raises(UsageError, match="weights are 0"):
        replicates(study, {"gain": dict.fromkeys(GAIN, 0.0)}, 10, 1, "points")
    with pytest.raises(UsageError, match="too few"):
        max_t(np.zeros(1), np.zeros((10, 1)))


def test_a_population_with_different_seeds_is_refused():
    N = 30
    blocks = {("new", "s", "de"): block(np.ones((3, N))), ("new", "t", "de"): block(np.ones((2, N)))}
    weights = {("new", "s", "de"): 1.0, ("new", "t", "de"): 1.0}
    with pytest.raises(UsageError, match=r"has the seeds \[0, 1\].*closed-form"):
        replicates(study_of(blocks, N), {"sum": weights}, 10, 1, "points")


def test_a_cell_that_a_replicate_leaves_empty_is_refused():
    blocks = {
        ("new", "s", "de"): block(np.ones((1, 40))),
        ("new", "t", "sw"): block(np.ones((1, 2)), clusters=np.arange(2)),
    }
    with pytest.raises(DataError, match=r"target 't', language 'sw'.*few clusters"):
        replicates(study_of(blocks, 40), {"t": {("new", "t", "sw"): 1.0}}, 500, 1, "points")


def test_percentile_p_counts_the_sample_once():
    assert percentile_p(np.array([1.0, 2.0, 3.0])) == 2 * 1 / 4
    assert percentile_p(np.array([-1.0, 2.0, 3.0, 4.0])) == 2 * 2 / 5
    assert percentile_p(np.zeros(9)) == 1.0


# Families.


def naive_max_t(values, null):
    """Step-down by loops over hypotheses (Westfall & Young 1993, algorithm 2.8)."""
    B, m = null.shape
    spread = np.sqrt((null**2).mean(0))
    observed, drawn = np.abs(values) / spread, np.abs(null) / spread
    order = sorted(range(m), key=lambda number: -observed[number])
    down, floor = [0.0] * m, 0.0
    for place, number in enumerate(order):
        rest = order[place:]
        floor = max(floor, (sum(max(row[rest]) >= observed[number] for row in drawn) + 1) / (B + 1))
        down[number] = floor
    return down


def test_max_t_equals_the_loops():
    rng = np.random.default_rng(11)
    null = rng.multivariate_normal(np.zeros(4), 0.5 + 0.5 * np.eye(4), 300) * [1, 2, 3, 0.5]
    values = np.array([1.9, -5.5, 0.4, 1.4])
    family = max_t(values, null)
    assert family.step_down.tolist() == naive_max_t(values, null)
    covered = (np.abs(null) <= family.half_width + 1e-12).all(axis=1).mean()
    assert 0.95 <= covered <= 0.96


def test_max_t_of_one_estimand_is_its_own_test_and_a_steady_one_does_no_harm():
    rng = np.random.default_rng(12)
    null = rng.normal(0, 1, (999, 1))
    family = max_t(np.array([2.1]), null)
    assert family.step_down == (np.sum(np.abs(null) >= 2.1) + 1) / 1000
    steady = max_t(np.array([2.1, 0.0, 5.0]), np.hstack([null, np.zeros((999, 2))]))
    assert steady.step_down.tolist() == [family.step_down[0], 1.0, 1 / 1000]
    assert steady.half_width.tolist() == [family.half_width[0], 0.0, 0.0]


def test_simultaneous_bands_of_the_bootstrap_cover_all_conditions_at_once(frame):
    study = build(check(frame))
    family_of = {name: task_gain((name,), "pairs", ("de", "sw")) for name in ("mnli", "squad")}
    drawn = replicates(study, family_of, 4000, 1, "points")
    values = np.array([study.estimate(weights, "points").value for weights in family_of.values()])
    family = max_t(values, drawn - values)
    inside = (np.abs(drawn - values) <= family.half_width).all(axis=1).mean()
    assert inside == pytest.approx(0.95, abs=0.002)
    alone = max_t(values[:1], drawn[:, :1] - values[:1])
    assert family.half_width[0] > alone.half_width[0]


# McNemar.


def test_mcnemar_equals_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar as reference

    rng = np.random.default_rng(13)
    new, none = rng.integers(0, 2, (2, 90)) * 1.0
    ours = mcnemar(small(new, none), GAIN)
    table = [[int(((new == a) & (none == b)).sum()) for b in (1, 0)] for a in (1, 0)]
    assert ours == pytest.approx(reference(table, exact=True).pvalue, rel=1e-12)
    back = mcnemar(small(new, none), {cell: -weight for cell, weight in GAIN.items()})
    assert back == ours
    assert mcnemar(small(new, new), GAIN) == 1.0


def test_mcnemar_is_refused_where_it_does_not_hold():
    items = np.ones((1, 30))
    two_runs = study_of({("new", "t", "de"): block(np.ones((2, 30))), ("none", "t", "de"): block(items)}, 30)
    with pytest.raises(UsageError, match="one run per condition"):
        mcnemar(two_runs, GAIN)
    with pytest.raises(UsageError, match="clusters of several items"):
        mcnemar(two_systems(runs=(1, 1)), GAIN)
    with pytest.raises(UsageError, match="graded"):
        mcnemar(small(np.full(30, 0.5), np.ones(30)), GAIN)
    with pytest.raises(UsageError, match="weighs 4 cells"):
        mcnemar(small(items, items), task_gain(("new",), "t", ("de", "sw")))
    with pytest.raises(UsageError, match="one target and language"):
        mcnemar(small(items, items), {("new", "t", "de"): 1.0, ("none", "t", "sw"): -1.0})


# Type-I error with parallel languages.

LANGUAGES = 10


def null_study(rng, passages, per_passage, runs, seed_sd):
    """Two equally good systems, 600 items in parallel languages; each system has items and passages it finds easy.

    Returns the study and the first runs' outcomes (2, languages, items).
    """
    N = passages * per_passage
    passage = np.repeat(np.arange(passages), per_passage)
    common = rng.normal(0.5, 1, N)
    blocks, firsts = {}, []
    for population, name in enumerate(("new", "none")):
        own = rng.normal(0, 0.8, N) + (rng.normal(0, 0.8, passages)[passage] if per_passage > 1 else 0.0)
        level = common + own + rng.normal(0, seed_sd, (runs, 1))
        chance = 1 / (1 + np.exp(-level))
        right = rng.random((LANGUAGES, runs, N)) < chance
        sums = right.reshape(LANGUAGES, runs, passages, per_passage).sum(axis=3)
        for lang in range(LANGUAGES):
            blocks[name, "t", f"l{lang}"] = block(sums[lang], np.full(passages, per_passage), population)
        firsts.append(right[:, 0])
    return study_of(blocks, passages), np.array(firsts)


def rejections(simulations, passages, per_passage, runs, seed_sd):
    """Shares of p <= .05: McNemar pooled over languages and items, the Multi-Bootstrap, two-way t."""
    from scipy.stats import binomtest, norm

    rng = np.random.default_rng(20)
    weights = {"gain": task_gain(("new",), "t", [f"l{lang}" for lang in range(LANGUAGES)])}
    counts = np.zeros(3)
    for number in range(simulations):
        study, (new, none) = null_study(rng, passages, per_passage, runs, seed_sd)
        wins, losses = int((new > none).sum()), int((new < none).sum())
        closed = study.estimate(weights["gain"], "points")
        drawn = replicates(study, weights, 500, number, "points")
        p_values = [
            binomtest(wins, wins + losses).pvalue,
            2 * norm.sf(abs(closed.value) / drawn.std()),
            closed.p_value,
        ]
        counts += np.array(p_values) <= 0.05
    return counts / simulations


def test_cluster_tests_hold_their_level_and_pooled_mcnemar_does_not():
    """The quick guard: 200 simulations, 120 passages of 5 items, one run; Monte-Carlo error .015."""
    pooled, resampled, two_way = rejections(200, 120, 5, 1, 0.0)
    assert pooled > 0.09
    assert resampled < 0.09
    assert two_way < 0.09


@pytest.mark.slow
@pytest.mark.parametrize(
    ("passages", "per_passage", "runs", "seed_sd"),
    [(600, 1, 1, 0.0), (120, 5, 1, 0.0), (120, 5, 3, 0.0), (120, 5, 3, 0.15), (120, 5, 5, 0.15)],
)
def test_type_one_error_with_parallel_languages(passages, per_passage, runs, seed_sd):
    """1,000 simulations each (Monte-Carlo error .007): what leaves out passages or seeds fails, the rest holds."""
    pooled, resampled, two_way = shares = rejections(1000, passages, per_passage, runs, seed_sd)
    print(dict(zip(("pooled McNemar", "bootstrap", "two-way t"), shares.tolist(), strict=True)))
    assert pooled > 0.09
    assert 0.02 <= two_way <= 0.075
    if runs == 1:
        assert 0.03 <= resampled <= 0.075
