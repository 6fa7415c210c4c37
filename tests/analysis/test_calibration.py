"""Whether the intervals and the verdict keep what they promise, where the truth is known; and what must not matter.

The long simulations (marker ``slow``) have the sizes of the figures they are held against; the quick ones are the
same functions with fewer studies and wider limits.
"""

import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from support import synthetic

from xeval.analysis import Analysis, analyse
from xeval.analysis.estimate.variance import SCALES, Method, Term, estimate, make_block

PAIRED = Method(paired=True)


def inverse_logit(level):
    return 1.0 / (1.0 + np.exp(-level))


def one_stratum(clusters: int):
    return np.zeros(clusters, dtype=np.int64)


# Coverage of nominal 95 % intervals


def paired_coverage(studies: int, runs: int, seed_sd: float, clusters: int = 1000) -> float:
    """Differences with normal seed, cluster and residual parts of 24 and 31 points; truth 0."""
    rng = np.random.default_rng(int(1000 * seed_sd) + runs)
    hits = 0
    for _ in range(studies):
        values = (
            rng.normal(0, seed_sd, (runs, 1))
            + rng.normal(0, 24, clusters)
            + rng.normal(0, 31, (runs, clusters))
        )
        block = make_block(values / 100, np.ones((runs, clusters)), np.arange(clusters), range(runs), 0)
        low, high = estimate([Term(1, block)], "points", one_stratum(clusters), PAIRED).interval()
        hits += low < 0 < high
    return hits / studies


def within(rate: float, low: float, high: float, studies: int) -> bool:
    """Inside the limits, give or take three Monte-Carlo errors at 0.95."""
    slack = 3 * math.sqrt(0.95 * 0.05 / studies)
    return low - slack <= rate <= high + slack


@pytest.mark.parametrize(("runs", "seed_sd", "clusters"), [(3, 1.0, 200), (10, 1.0, 200), (3, 3.0, 1000)])
def test_paired_interval_covers(runs: int, seed_sd: float, clusters: int) -> None:
    assert within(paired_coverage(500, runs, seed_sd, clusters), 0.93, 0.97, 500)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [3, 5, 10])
@pytest.mark.parametrize("seed_sd", [0.2, 1.0, 3.0])
def test_paired_interval_covers_on_the_grid(runs: int, seed_sd: float) -> None:
    """Three seeds whose noise dominates are the hardest case: .939 in 400,000 studies, .95 and more elsewhere."""
    assert within(paired_coverage(2000, runs, seed_sd), 0.93, 0.97, 2000)


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)


def expected_accuracy(level: float, spread: float) -> float:
    """Mean of the inverse logit of a normal variable."""
    return float(WEIGHTS @ inverse_logit(level + spread * NODES) / WEIGHTS.sum())


LANGUAGE_LEVELS = (1.2, 0.6, 0.0)
"""Of the classification task, in log-odds: the languages differ in difficulty, as transfer does."""


def cross_task_coverage(studies: int, runs: tuple[int, int], seed_sd: float, clusters: int = 150):
    """C of entity F1 (unequal denominators, no gain) against accuracy (0.3 log-odds gain), three languages each.

    Gives the coverage of C in points and in log-odds. Clusters are shared by languages, seed effects by a run's
    languages; ``runs`` are those of the condition and of the baseline.
    """
    rng = np.random.default_rng([*runs, int(1000 * seed_sd)])
    spread = math.hypot(1.0, seed_sd)
    before, after = (
        [expected_accuracy(level + gain, spread) for level in LANGUAGE_LEVELS] for gain in (0.0, 0.3)
    )
    gain_in_points = 100 * np.subtract(after, before).mean()
    gain_in_log_odds = np.mean(
        [math.log(a / (1 - a) / (b / (1 - b))) for a, b in zip(after, before, strict=True)]
    )
    truth = {"points": -gain_in_points, "logit": -gain_in_log_odds}
    strata = np.repeat([0, 1], clusters)
    hits = dict.fromkeys(SCALES, 0)
    for _ in range(studies):
        sizes, effects, entity_effects = (
            rng.integers(1, 9, clusters), rng.normal(0, 1, clusters), rng.normal(0, 1, clusters)
        )  # fmt: skip
        gold = rng.poisson(3, clusters) + 1
        terms = []
        for side, (count, gain, sign) in enumerate(zip(runs, (0.3, 0.0), (1, -1), strict=True)):
            noise, entity_noise = rng.normal(0, seed_sd, (2, count, 1))
            for language_level in LANGUAGE_LEVELS:
                weight = sign / len(LANGUAGE_LEVELS)
                right = rng.binomial(sizes, inverse_logit(language_level + gain + effects + noise)).astype(
                    float
                )
                den = np.tile(sizes, (count, 1)).astype(float)
                terms.append(
                    Term(-weight, make_block(right, den, np.arange(clusters), range(count), 2 * side))
                )
                found = rng.binomial(gold, inverse_logit(language_level + entity_effects + entity_noise))
                wrong = rng.poisson(0.7, (count, clusters))
                entities = make_block(
                    2.0 * found, (found + wrong + gold).astype(float), np.arange(clusters, 2 * clusters),
                    range(count), 2 * side + 1,
                )  # fmt: skip
                terms.append(Term(weight, entities))
        for scale in SCALES:
            low, high = estimate(terms, scale, strata).interval()
            hits[scale] += low < truth[scale] < high
    return {scale: count / studies for scale, count in hits.items()}


def test_contrast_across_tasks_and_metrics_covers() -> None:
    for rate in cross_task_coverage(200, (3, 6), 0.1).values():
        assert within(rate, 0.93, 0.99, 200)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [(3, 3), (3, 9), (5, 5)])
@pytest.mark.parametrize("seed_sd", [0.0, 0.05, 0.2])
def test_contrast_across_tasks_and_metrics_covers_on_the_grid(runs: tuple[int, int], seed_sd: float) -> None:
    for rate in cross_task_coverage(1500, runs, seed_sd).values():
        assert 0.93 <= rate <= 0.99


def rare_coverage(studies: int, probability: float, clusters: int = 200, languages: int = 2) -> float:
    """The condition is right on a rare kind of item that the baseline has wrong, and equal elsewhere."""
    rng = np.random.default_rng(int(1e6 * probability))
    hits = 0
    for _ in range(studies):
        base = (rng.random((1, clusters)) < 0.7).astype(float)
        treated = np.where(rng.random((1, clusters)) < probability, 1.0, base)
        blocks = [
            make_block(num, np.ones((1, clusters)), np.arange(clusters), [0], side)
            for side, num in enumerate((base, treated))
            for _ in range(languages)
        ]
        weights = [-1 / languages] * languages + [1 / languages] * languages
        got = estimate(map(Term, weights, blocks), "points", one_stratum(clusters))
        low, high = got.items_interval()
        hits += low <= 100 * probability * 0.3 <= high
    return hits / studies


@pytest.mark.parametrize("probability", [0.0, 0.0005, 0.002])
def test_no_difference_seen_is_not_no_difference(probability: float) -> None:
    """Most samples show no difference at all; an interval of width 0 would cover almost never."""
    assert rare_coverage(300, probability) >= 0.93


def test_a_score_without_variation_has_the_binomial_bound() -> None:
    """0 of 200 clusters differ: at most 1 - 0.025^(1/200) = 1.83 % do (Clopper & Pearson), hence 1.83 points."""
    ones = np.ones((3, 200))
    blocks = [make_block(ones, ones, np.arange(200), range(3), number) for number in range(2)]
    for method in (Method(), PAIRED):
        got = estimate([Term(1, blocks[0]), Term(-1, blocks[1])], "points", one_stratum(200), method)
        assert got.interval() == pytest.approx((-1.8276, 1.8276), abs=1e-3)
        assert got.p_value == 1.0
        assert got.detectable() > 1.8276


# Type-I error with parallel languages


def false_positives(
    studies: int, passages: int, size: int, runs: int, seed_sd: float, languages: int = 10
) -> dict[str, float]:
    """Share of nominal 5 % tests that reject a true null.

    Items belong to passages and are the same in all languages; either system is better on some passages and items,
    in every language, and equal on average. ``passages`` and ``passages, paired`` are the tests of this package;
    the others leave something out: the runs, the passages, or that languages share items.
    """
    rng = np.random.default_rng([passages, runs, int(100 * seed_sd)])
    items = passages * size
    passage = np.repeat(np.arange(passages), size)
    apart = np.repeat(np.arange(languages), items)
    rejected: Counter[str] = Counter()
    for _ in range(studies):
        common = rng.normal(0, 1, items)
        terms: dict[str, list[Term]] = {"passages": [], "items": [], "rows": []}
        for side, sign in enumerate((1, -1)):
            own = common + rng.normal(0, 0.6, passages)[passage] + rng.normal(0, 0.7, items)
            level = 0.5 + own + rng.normal(0, seed_sd, (runs, 1))
            for language in range(languages):
                right = (rng.random((runs, items)) < inverse_logit(level)).astype(float)
                by_passage = right.reshape(runs, passages, size).sum(axis=2)
                grouped = {
                    "passages": (by_passage, np.arange(passages), size),
                    "items": (right, np.arange(items), 1),
                    "rows": (right, np.arange(items) + items * language, 1),
                }
                for name, (num, numbers, full) in grouped.items():
                    block = make_block(num, np.full(num.shape, float(full)), numbers, range(runs), side)
                    terms[name].append(Term(sign / languages, block))
        strata = {"passages": one_stratum(passages), "items": one_stratum(items), "rows": apart}
        for name, listed in terms.items():
            got = estimate(listed, "points", strata[name])
            low, high = got.items_interval()
            rejected[name if name != "passages" else "runs left out"] += not low < 0 < high
            if name == "passages":
                low, high = got.interval()
                rejected["passages"] += not low < 0 < high
        if runs > 1:
            low, high = estimate(terms["passages"], "points", strata["passages"], PAIRED).interval()
            rejected["passages, paired"] += not low < 0 < high
    return {name: count / studies for name, count in rejected.items()}


def test_parallel_languages_passages_and_runs_must_all_count() -> None:
    rates = false_positives(120, 60, 5, 3, 0.2, languages=5)
    assert rates["passages"] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 120)
    assert min(rates["items"], rates["rows"]) > 0.14


DESIGNS = {
    "independent items, one run": (600, 1, 1, 0.0),
    "passages, one run": (120, 5, 1, 0.0),
    "passages, 3 runs, no seed noise": (120, 5, 3, 0.0),
    "passages, 3 runs": (120, 5, 3, 0.15),
    "passages, 5 runs": (120, 5, 5, 0.15),
}


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_type_one_error_on_the_grid(design: str) -> None:
    passages, size, runs, seed_sd = DESIGNS[design]
    rates = false_positives(1000, passages, size, runs, seed_sd)
    assert rates["passages"] <= 0.075
    assert rates["rows"] > 0.09
    if runs == 1:
        assert rates["passages"] >= 0.03
    else:
        assert 0.03 <= rates["passages, paired"] <= 0.08
    if size > 1:
        assert rates["items"] > 0.09
    if seed_sd:
        assert rates["runs left out"] > 0.075


# The verdict, end to end


Check = Callable[[Analysis], bool]


def study(rng, gains: tuple[float, float], base: tuple[float, float] = (60, 60), clusters: int = 60):
    """One classification and one multi-hop target with these true gains in points; two languages, 6 and 3 runs."""
    tasks = [
        synthetic.Task(name, group, level, {"mnli": gain}, ("de", "sw"), clusters, 3, seed_sd=0.5)
        for name, group, level, gain in zip(
            ("pairs", "chains"), ("classification", "multi-hop QA"), base, gains, strict=True
        )
    ]
    return synthetic.frame(tasks, rng, {"none": 6, "mnli": 3}, cluster_sd=3.0)


CLAIMS = ("diminishes", "larger", "harmed more", "harmed less")


def verdicts(studies: int, *args, margin_points: float = 1.0, margin_logit: float = 0.05, **options):
    """How often each outcome was given, and beside them: crossover, and C's 95 % interval covers the truth."""
    rng = np.random.default_rng(8)
    (classification, multi_hop), *_ = args
    found: Counter[str] = Counter()
    for _ in range(studies):
        analysis = analyse(
            study(rng, *args, **options),
            margin_points=margin_points,
            margin_logit=margin_logit,
        )
        found[analysis.verdict.outcome] += 1
        found["crossover"] += analysis.verdict.crossover
        found["claims"] += analysis.verdict.outcome in CLAIMS
        low, high = analysis.contrasts["C"].points.interval()
        found["covered"] += low < multi_hop - classification < high
    print(studies, args, dict(found))
    return found


def allowed(studies: int, rate: float) -> float:
    """Events of this probability that may occur, with three Monte-Carlo errors."""
    return studies * (rate + 3 * math.sqrt(rate * (1 - rate) / studies))


@pytest.mark.slow
class TestThousandStudies:
    """1,000 studies in all; a claim that is not true may occur at most as often as the level says."""

    def test_no_difference(self) -> None:
        found = verdicts(300, (4.0, 4.0))
        assert found["claims"] <= allowed(300, 0.05)
        assert found["covered"] >= 300 - allowed(300, 0.05)

    def test_one_point_less(self) -> None:
        found = verdicts(200, (4.0, 3.0))
        assert found["larger"] + found["harmed less"] <= allowed(200, 0.025)
        assert found["covered"] >= 200 - allowed(200, 0.05)

    def test_a_difference_as_large_as_the_margin_is_not_called_equivalent(self) -> None:
        found = verdicts(100, (8.0, 4.0), clusters=400, margin_points=4.0, margin_logit=1.0)
        assert found["equivalent"] <= allowed(100, 0.05)

    def test_a_large_difference(self) -> None:
        found = verdicts(150, (20.0, 0.0), base=(60, 55))
        assert found["diminishes"] >= 0.95 * 150
        assert found["covered"] >= 150 - allowed(150, 0.05)

    def test_equal_points_near_the_ceiling(self) -> None:
        """+10 points from 86 and from 50: equal in points, 1.36 against 0.41 in log-odds."""
        found = verdicts(150, (10.0, 10.0), base=(86, 50), clusters=150)
        assert found["claims"] <= allowed(150, 0.05)
        assert found["scale-dependent"] >= 0.9 * 150

    def test_crossover(self) -> None:
        found = verdicts(100, (14.0, -14.0))
        assert found["diminishes"] >= 95
        assert found["crossover"] >= 95


# What must not matter


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return synthetic.study(np.random.default_rng(0), contrast=-2.0)


@pytest.fixture(scope="module")
def analysis(frame: pd.DataFrame) -> Analysis:
    return analyse(frame)


def test_order_of_rows_and_columns_does_not_matter(frame: pd.DataFrame, analysis: Analysis) -> None:
    shuffled = frame.sample(frac=1, random_state=1)[sorted(frame.columns, reverse=True)]
    assert analyse(shuffled).to_dict() == analysis.to_dict()


def test_names_of_conditions_do_not_matter(frame: pd.DataFrame, analysis: Analysis) -> None:
    """The new names sort the other way round."""
    names = {"none": "none", "mnli": "zebra", "squad": "ant"}
    other = analyse(frame.assign(condition=frame["condition"].map(names)))
    assert other.verdict.outcome == analysis.verdict.outcome
    for name, contrast in analysis.contrasts.items():
        for scale in SCALES:
            assert_same(other.contrasts[name][scale], contrast[scale])
            for condition, both in contrast.by_condition.items():
                assert_same(other.contrasts[name].by_condition[names[condition]][scale], both[scale])


def assert_same(one, other) -> None:
    for name in ("value", "variance_items", "variance_seeds", "df"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_a_system_without_any_gain_changes_no_other(
    frame: pd.DataFrame, analysis: Analysis, score: float
) -> None:
    """As a mixture it takes no part in the means either."""
    constant = frame[frame["condition"] == "mnli"].assign(condition="a+b", num=score)
    other = analyse(pd.concat([frame, constant], ignore_index=True))
    assert other.verdict == analysis.verdict
    for name, contrast in analysis.contrasts.items():
        assert (*other.contrasts[name],) == (*contrast,)
        for condition, both in contrast.by_condition.items():
            assert other.contrasts[name].by_condition[condition] == both


def test_number_of_threads_does_not_matter(frame: pd.DataFrame, tmp_path) -> None:
    frame.to_parquet(tmp_path / "scores.parquet")
    code = (
        "import json, sys; from pathlib import Path; from xeval.analysis import analyse\n"
        "from xeval.analysis.frame.tidy import load\n"
        "print(json.dumps(analyse(load(Path(sys.argv[1]))).to_dict()))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "scores.parquet")],
            capture_output=True,
            check=True,
            env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads),
        ).stdout
        for threads in ("1", "2")
    }
    assert len(outputs) == 1


# Input that has no answer, or only a degenerate one


def two_targets(**changes: object) -> pd.DataFrame:
    return study(np.random.default_rng(3), (4.0, 4.0)).assign(**changes)


@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_a_constant_metric_supports_no_claim(score: float) -> None:
    analysis = analyse(two_targets(num=score))
    assert analysis.verdict.outcome == "inconclusive"
    low, high = analysis.contrasts["C"].points.interval()
    assert low < -1 < 1 < high


@pytest.mark.parametrize("paired", [False, True])
def test_all_equal_systems_support_no_claim(paired: bool) -> None:
    frame = two_targets()
    base = frame[(frame["condition"] == "none") & (frame["seed"] == 0)]
    runs = [base.assign(seed=seed, condition=name) for seed in range(3) for name in ("none", "mnli")]
    analysis = analyse(pd.concat(runs, ignore_index=True), paired=paired)
    assert analysis.verdict.outcome == "copied runs"
    for cell in analysis.gains.cells:
        assert cell.points.value == pytest.approx(0, abs=1e-9)
        assert cell.points.p_value == pytest.approx(1)
        assert cell.points.low < -1 < 1 < cell.points.high


def test_one_perfect_task_does_not_lend_its_certainty_to_the_contrast() -> None:
    frame = two_targets()
    perfect = frame.assign(num=frame["num"].where(frame["target"] != "pairs", 1.0))
    one, other = (analyse(given).contrasts["C"].points for given in (frame, perfect))
    (gain,) = (g for g in analyse(perfect).gains.cells if g.subject == "pairs" and g.lang == "de")
    assert gain.points.low < -1 < 1 < gain.points.high
    assert other.variance_items > gain.points.variance_items > 0
    assert one.clusters == other.clusters
