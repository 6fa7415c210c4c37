"""The closed-form interval: against brute force, and its coverage where the truth is known."""

import numpy as np
import pytest

from xeval.analysis.estimate.variance import (
    Block,
    Method,
    Scale,
    Term,
    estimate,
    make_block,
    strata_of,
    transform,
)
from xeval.errors import UsageError

N = 200
ONE_STRATUM = np.zeros(N, dtype=np.int64)


def counts(rng, effects, sizes, runs, seed_sd, base=0.8):
    """(runs, clusters) successes; seed effects on the logit scale."""
    level = base + effects[None] + rng.normal(0, seed_sd, runs)[:, None]
    return rng.binomial(sizes, 1 / (1 + np.exp(-level))).astype(float)


def block(num, sizes, population, clusters=None, deterministic=False) -> Block:
    numbers = np.arange(sizes.size) if clusters is None else clusters
    den = np.tile(sizes, (len(num), 1)).astype(float)
    return make_block(num, den, numbers, range(len(num)), population, deterministic)


def pair(rng, runs=(3, 3), seed_sd=0.1):
    sizes, effects = rng.integers(1, 9, N), rng.normal(0, 1, N)
    return [
        block(counts(rng, effects, sizes, count, seed_sd), sizes, number) for number, count in enumerate(runs)
    ]


def two_way(values):
    """Mean squares of an S x N table, by the textbook."""
    S, N = values.shape
    rows, columns, grand = values.mean(1), values.mean(0), values.mean()
    ms_rows = N * ((rows - grand) ** 2).sum() / (S - 1)
    ms_columns = S * ((columns - grand) ** 2).sum() / (N - 1)
    residual = values - rows[:, None] - columns[None] + grand
    return ms_rows, ms_columns, (residual**2).sum() / ((S - 1) * (N - 1))


def values_of(one: Block):
    """The S x N table of cluster values whose row means are the runs' scores, in points."""
    return 100 * (one.scores[:, None] + one.influence.shape[1] * one.influence)


def test_unpaired_equals_the_mean_squares():
    rng = np.random.default_rng(1)
    treated, base = pair(rng, (3, 5), 0.3)
    got = estimate([Term(1, treated), Term(-1, base)], "points", ONE_STRATUM)
    y1, y0 = values_of(treated), values_of(base)
    items = (y1.mean(0) - y0.mean(0)).var(ddof=1) / N
    seeds, term = 0.0, items**2 / (N - 1)
    for y in (y1, y0):
        S = len(y)
        ms_rows, _, ms_error = two_way(y)
        seeds += max(0, ms_rows - ms_error) / (S * N)
        term += (ms_rows / (S * N)) ** 2 / (S - 1)
    assert got.value == pytest.approx(y1.mean() - y0.mean())
    assert got.variance_items == pytest.approx(items)
    assert got.variance_seeds == pytest.approx(seeds)
    assert got.df == pytest.approx((items + seeds) ** 2 / term)


def test_paired_equals_the_mean_squares_of_the_differences():
    rng = np.random.default_rng(2)
    treated, base = pair(rng, (4, 4), 0.3)
    got = estimate([Term(1, treated), Term(-1, base)], "points", ONE_STRATUM, Method(paired=True))
    S = 4
    rows, columns, error = two_way(values_of(treated) - values_of(base))
    assert got.se**2 == pytest.approx((rows + columns - error) / (S * N))
    # The degrees of freedom are those at a mean square of the seeds one standard error higher.
    raised = rows * (1 + np.sqrt(2 / (S - 1)))
    parts = [(raised, S - 1), (columns, N - 1), (error, (S - 1) * (N - 1))]
    df = (raised + columns - error) ** 2 / sum(ms**2 / degrees for ms, degrees in parts)
    assert got.df == pytest.approx(max(S - 1, df))


def test_paired_needs_equal_seeds():
    treated, base = pair(np.random.default_rng(3), (3, 4))
    with pytest.raises(UsageError, match="same seeds"):
        estimate([Term(1, treated), Term(-1, base)], "points", ONE_STRATUM, Method(paired=True))


def test_multi_bootstrap_agrees_with_its_closed_form():
    """Crossed bootstrap of seeds and clusters of one system: V = s2_S/S + s2_N/N + s2_SN/(SN), divisor-n variances."""
    rng = np.random.default_rng(4)
    S, B = 5, 6000
    one, _ = pair(rng, (S, S), 0.3)
    got = estimate([Term(1, one)], "points", ONE_STRATUM, Method(clip=False))
    between = got.variance_seeds + (_residual := two_way(values_of(one))[2] / (S * N))
    closed = (
        between * (S - 1) / S + got.variance_items * (N - 1) / N + _residual * (S - 1) * (N - 1) / (S * N)
    )
    y = values_of(one)
    seed_weights = rng.multinomial(S, np.full(S, 1 / S), B)
    item_weights = rng.multinomial(N, np.full(N, 1 / N), B)
    replicates = np.einsum("bs,sn,bn->b", seed_weights, y, item_weights, optimize=True) / (S * N)
    assert replicates.std() / np.sqrt(closed) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("scale", ["points", "logit"])
def test_item_part_agrees_with_the_cluster_bootstrap_of_a_ratio(scale: Scale):
    """Unequal denominators that vary with the system, as in micro-averaged F1: 2 tp / (2 tp + fp + fn)."""
    rng = np.random.default_rng(5)
    B, S = 6000, 3
    gold = rng.poisson(3, N) + 1
    quality = rng.beta(4, 2, N)

    def system():
        correct = rng.binomial(gold, quality, (S, N))
        spurious = rng.poisson(0.7, (S, N))
        return 2.0 * correct, (correct + spurious + gold).astype(float)

    systems = [system(), system()]
    blocks = [
        make_block(num, den, np.arange(N), range(S), number) for number, (num, den) in enumerate(systems)
    ]
    got = estimate([Term(1, blocks[0]), Term(-1, blocks[1])], scale, ONE_STRATUM)
    weights = rng.multinomial(N, np.full(N, 1 / N), B).astype(float)
    levels = []
    for num, den in systems:
        scores = ((weights @ num.T) / (weights @ den.T)).mean(axis=1)
        total = den.sum(axis=1).mean()
        levels.append([transform(score, total, scale)[0] for score in scores])
    replicates = np.subtract(*map(np.array, levels))
    assert replicates.std() / np.sqrt(got.variance_items) == pytest.approx(1, abs=0.035)


def test_logit_is_finite_at_both_ends_and_equals_the_counts_formula():
    assert transform(1.0, 50, "logit")[0] == pytest.approx(np.log(50.5 / 0.5))
    assert transform(0.0, 50, "logit")[0] == pytest.approx(np.log(0.5 / 50.5))
    value, slope = transform(0.4, 50, "logit")
    assert value == pytest.approx(np.log((20 + 0.5) / (30 + 0.5)))
    step = 1e-6
    numeric = (transform(0.4 + step, 50, "logit")[0] - transform(0.4 - step, 50, "logit")[0]) / (2 * step)
    assert slope == pytest.approx(numeric, rel=1e-6)


@pytest.mark.parametrize("scale", ["points", "logit", "probit", "log error"])
def test_slopes_are_derivatives_and_levels_rise(scale):
    for score, denominator in ((0.0, 50), (0.4, 50), (0.97, 800.5), (1.0, 3)):
        step = 1e-7
        levels = [transform(score + change, denominator, scale)[0] for change in (-step, 0.0, step)]
        assert levels[0] < levels[1] < levels[2]
        assert transform(score, denominator, scale)[1] == pytest.approx(
            (levels[2] - levels[0]) / (2 * step), rel=1e-5
        )


def coverage(runs, seed_sd, studies=500, scale: Scale = "points", **method):
    rng = np.random.default_rng(6)
    hits = np.zeros(2)
    for _ in range(studies):
        treated, base = pair(rng, runs, seed_sd)
        got = estimate([Term(1, treated), Term(-1, base)], scale, ONE_STRATUM, Method(**method))
        for number, (low, high) in enumerate((got.interval(), got.items_interval())):
            hits[number] += low < 0 < high
    return hits / studies


@pytest.mark.parametrize("runs", [(3, 3), (3, 9), (5, 5)])
@pytest.mark.parametrize("seed_sd", [0.0, 0.05, 0.2])
def test_unpaired_interval_covers(runs, seed_sd):
    """Truth 0; nominal 0.95, Monte-Carlo error 0.01: never below 0.92; conservative without seed noise."""
    assert 0.92 <= coverage(runs, seed_sd)[0] <= 0.995


@pytest.mark.parametrize("options", [{"scale": "logit"}, {"clip": False}, {"paired": True}])
def test_other_forms_cover(options):
    assert 0.92 <= coverage((5, 5), 0.1, **options)[0] <= 0.99


def test_an_interval_over_items_only_fails_under_seed_noise():
    """The guard that the simulation has teeth: leaving seeds out must be seen."""
    both, items_only = coverage((3, 3), 0.2)
    assert items_only < 0.7 < 0.92 < both


def test_terms_that_share_runs_or_clusters_are_not_independent():
    """The same system twice is one system: its weight doubles, and a difference with itself is exactly 0."""
    one, _ = pair(np.random.default_rng(7))
    single = estimate([Term(2, one)], "points", ONE_STRATUM)
    double = estimate([Term(1, one), Term(1, one)], "points", ONE_STRATUM)
    assert double.se == pytest.approx(single.se)
    assert double.df == pytest.approx(single.df)
    nothing = estimate([Term(1, one), Term(-1, one)], "points", ONE_STRATUM)
    assert nothing.value == pytest.approx(0, abs=1e-12)
    assert nothing.se == pytest.approx(0, abs=1e-12)


def test_separate_runs_and_clusters_add_their_variances():
    rng = np.random.default_rng(8)
    sizes, effects = rng.integers(1, 9, N), rng.normal(0, 1, N)
    first = block(counts(rng, effects, sizes, 3, 0.2), sizes, 0)
    second = block(counts(rng, effects, sizes, 4, 0.2), sizes, 1, clusters=np.arange(N, 2 * N))
    strata = strata_of([first, second], 2 * N)
    parts = [estimate([Term(weight, one)], "points", strata) for weight, one in ((0.5, first), (-2, second))]
    both = estimate([Term(0.5, first), Term(-2, second)], "points", strata)
    assert both.variance_items == pytest.approx(sum(part.variance_items for part in parts))
    assert both.variance_seeds == pytest.approx(sum(part.variance_seeds for part in parts))
    assert len(set(strata)) == 2


def test_shared_seed_noise_across_two_targets_is_seen():
    """Two targets from the same three checkpoints: as separate populations their mean would undercover."""
    rng = np.random.default_rng(9)
    strata = np.repeat([0, 1], N)
    hits = {True: 0, False: 0}
    studies = 500
    for _ in range(studies):
        sizes = rng.integers(1, 9, N)
        terms: dict[bool, list[Term]] = {True: [], False: []}
        for side, sign in enumerate((1, -1)):
            seed_effect = rng.normal(0, 0.25, 3)
            for target in range(2):
                effects = np.random.default_rng(target).normal(0, 1, N)
                level = 0.8 + effects[None] + seed_effect[:, None]
                num = rng.binomial(sizes, 1 / (1 + np.exp(-level))).astype(float)
                for shared in (True, False):
                    population = side if shared else 2 * side + target
                    terms[shared].append(
                        Term(sign / 2, block(num, sizes, population, np.arange(N) + N * target))
                    )
        for shared, listed in terms.items():
            low, high = estimate(listed, "points", strata).interval()
            hits[shared] += low < 0 < high
    assert hits[True] / studies >= 0.92
    assert hits[False] / studies < 0.9


def test_deterministic_baseline_adds_no_seed_part_and_one_trained_run_is_marked():
    rng = np.random.default_rng(10)
    sizes, effects = rng.integers(1, 9, N), rng.normal(0, 1, N)
    treated = block(counts(rng, effects, sizes, 3, 0.2), sizes, 0)
    num = counts(rng, effects, sizes, 1, 0)
    given, trained = block(num, sizes, 1, deterministic=True), block(num, sizes, 1)
    with_given = estimate([Term(1, treated), Term(-1, given)], "points", ONE_STRATUM)
    alone = estimate([Term(1, treated)], "points", ONE_STRATUM)
    assert with_given.seeds_estimable
    assert with_given.variance_seeds == pytest.approx(alone.variance_seeds)
    assert not estimate([Term(1, treated), Term(-1, trained)], "points", ONE_STRATUM).seeds_estimable


def test_detectable_difference_is_found_with_the_stated_power():
    """80 % power at the formula's value for a normal estimate with known degrees of freedom."""
    rng = np.random.default_rng(11)
    treated, base = pair(rng, (5, 5), 0.1)
    got = estimate([Term(1, treated), Term(-1, base)], "points", ONE_STRATUM)
    draws = got.detectable() + got.se * rng.standard_normal(20000)
    errors = got.se * np.sqrt(rng.chisquare(got.df, 20000) / got.df)
    low = draws - (got.interval()[1] - got.value) / got.se * errors
    assert np.mean(low > 0) == pytest.approx(0.8, abs=0.02)
