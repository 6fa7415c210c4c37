"""Mined pairs: the threshold of every replicate by brute force, the optimism of an oracle, and wrong input."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xeval.analysis import mining
from xeval.analysis.mining import Mined, at, choose, replicates, with_dev, without_dev
from xeval.errors import DataError
from xeval.metrics import best_threshold


def mined(source, score, right, gold) -> Mined:
    return Mined(
        np.asarray(source, np.int64),
        np.asarray(score, float),
        np.asarray(right, bool),
        np.asarray(gold, np.int64),
    )


def simulated(rng: np.random.Generator, sources: int, quality: float = 1.5, decimals: int = 2) -> Mined:
    """Half of the sources have a gold pair; right candidates score higher; rounding makes ties."""
    gold = (rng.random(sources) < 0.5).astype(np.int64)
    right = (gold == 1) & (rng.random(sources) < 0.9)
    score = np.round(rng.normal(0, 1, sources) + quality * right, decimals)
    return mined(np.arange(sources), score, right, gold)


def brute(drawn: Mined, weights) -> tuple[float, Fraction]:
    """Best threshold and F1 (0 to 1) of a table in which every drawn source stands as often as it was drawn."""
    times = weights[drawn.source]
    table = sorted(zip(drawn.score.repeat(times), drawn.right.repeat(times), strict=True), reverse=True)
    gold = int(weights @ drawn.gold)
    best, chosen = Fraction(0), 0.0
    scores = sorted({score for score, _ in table}, reverse=True)
    for number, score in enumerate(scores):
        taken = [right for other, right in table if other >= score]
        f1 = Fraction(2 * sum(taken), len(taken) + gold)
        if f1 > best:
            best = f1
            chosen = score if number + 1 == len(scores) else (score + scores[number + 1]) / 2
    return chosen, best


def brute_f1(drawn: Mined, weights, threshold) -> float:
    """In percent."""
    times, kept = weights[drawn.source], drawn.score >= threshold
    total = int(times[kept].sum() + weights @ drawn.gold)
    return 200.0 * int(times[kept & drawn.right].sum()) / total if total else 0.0


@st.composite
def tables(draw):
    """Few sources with several candidates each and many equal scores."""
    sources = draw(st.integers(1, 6))
    pairs = draw(
        st.lists(st.tuples(st.integers(0, sources - 1), st.integers(0, 4), st.booleans()), max_size=12)
    )
    right = np.bincount([source for source, _, good in pairs if good], minlength=sources)
    gold = right + draw(st.lists(st.integers(0, 1), min_size=sources, max_size=sources))
    gold[0] += not gold.sum()
    source, score, good = zip(*pairs, strict=True) if pairs else ((), (), ())
    weights = draw(st.lists(st.integers(0, 3), min_size=sources, max_size=sources))
    return mined(source, score, good, gold), np.array([weights], np.int32)


@settings(max_examples=300, deadline=None)
@given(tables(), st.integers(0, 9))
def test_threshold_and_f1_equal_the_brute_force_scan_with_ties(table, half):
    drawn, weights = table
    thresholds, f1 = choose(drawn, weights)
    threshold, best = brute(drawn, weights[0])
    assert (thresholds[0], f1[0]) == (threshold, pytest.approx(100 * float(best), rel=1e-12))
    for one in (threshold, half / 2):
        assert at(drawn, weights, np.array([one]))[0] == pytest.approx(brute_f1(drawn, weights[0], one))


def test_brute_force_scan_equals_the_sums_on_many_candidates():
    rng = np.random.default_rng(1)
    dev = simulated(rng, 150, decimals=1)
    weights = rng.multinomial(150, np.full(150, 1 / 150), 40).astype(np.int32)
    thresholds, f1 = choose(dev, weights)
    expected = [brute(dev, row) for row in weights]
    assert thresholds.tolist() == [threshold for threshold, _ in expected]
    np.testing.assert_allclose(f1, [100 * float(best) for _, best in expected], rtol=1e-12)


def test_the_sample_itself_has_the_metrics_threshold():
    dev = simulated(np.random.default_rng(2), 500)
    once = np.ones((1, 500), np.int32)
    thresholds, f1 = choose(dev, once)
    assert thresholds[0] == dev.threshold == best_threshold(dev.score, dev.right, int(dev.gold.sum()))
    assert f1[0] == pytest.approx(dev.f1(dev.threshold))


def test_replicates_choose_on_dev_and_score_on_test():
    rng = np.random.default_rng(3)
    dev, test = simulated(rng, 200), simulated(rng, 300)
    got = with_dev(dev, test, 700, 1)
    assert got.threshold == dev.threshold
    assert got.f1 == test.f1(dev.threshold)
    assert got.low < got.f1 < got.high
    assert (got.optimism, got.count) == (None, 700)
    assert got.to_dict()["f1"] == got.f1
    values = replicates(dev, test, 700, 1)
    assert values.std() == got.se
    np.testing.assert_array_equal(values[:30], replicates(dev, test, 30, 1))
    assert not np.array_equal(values, replicates(dev, test, 700, 2))


def test_spread_equals_a_fresh_draw_of_both_sets():
    """Against the spread of F1 over 400 new dev and test sets; Monte-Carlo error 3.5 %, that of one sample's more."""
    rng = np.random.default_rng(4)
    truth = []
    for _ in range(400):
        dev, test = simulated(rng, 400), simulated(rng, 400)
        truth.append(test.f1(dev.threshold))
    estimates = [with_dev(simulated(rng, 400), simulated(rng, 400), 300, 1).se for _ in range(10)]
    assert np.mean(estimates) / np.std(truth) == pytest.approx(1, abs=0.15)


def test_few_replicates_at_a_time_draw_the_same(monkeypatch):
    rng = np.random.default_rng(5)
    dev, test = simulated(rng, 200), simulated(rng, 300)
    whole = replicates(dev, test, 520, 1)
    monkeypatch.setattr(mining, "COLUMN_BYTES", 32 * 300 * 7)
    np.testing.assert_array_equal(replicates(dev, test, 520, 1), whole)


def test_order_of_candidates_does_not_matter():
    rng = np.random.default_rng(6)
    dev, test = simulated(rng, 200, decimals=1), simulated(rng, 300, decimals=1)
    order = rng.permutation(300)
    mixed = mined(test.source[order], test.score[order], test.right[order], test.gold)
    np.testing.assert_array_equal(replicates(dev, test, 100, 1), replicates(dev, mixed, 100, 1))
    assert without_dev(test, 100, 1) == without_dev(mixed, 100, 1)


def test_systems_on_the_same_sentences_are_compared_on_the_same_draws():
    rng = np.random.default_rng(7)
    dev, test = simulated(rng, 300), simulated(rng, 300)
    noise = rng.normal(0, 0.01, (2, 300))
    other = [
        mined(one.source, one.score + extra, one.right, one.gold)
        for one, extra in zip((dev, test), noise, strict=True)
    ]
    ours, theirs = replicates(dev, test, 500, 1), replicates(*other, 500, 1)
    assert (ours - theirs).std() < 0.5 * ours.std()
    np.testing.assert_array_equal(ours - replicates(dev, test, 500, 1), 0)
    apart = replicates(dev, test, 500, 1, name="ru")
    assert abs(np.corrcoef(ours, apart)[0, 1]) < 0.15


def test_optimism_of_the_oracle_is_positive_and_shrinks():
    """Estimated by the bootstrap, and true: F1 at the oracle's threshold minus F1 of that threshold on 200,000."""
    rng = np.random.default_rng(8)
    population = simulated(rng, 200_000, quality=1.0, decimals=6)
    estimated, true = [], []
    for sources, samples in ((100, 40), (400, 40), (1600, 20)):
        drawn = [simulated(rng, sources, quality=1.0, decimals=6) for _ in range(samples)]
        estimated.append(np.mean([without_dev(one, 100, 1).optimism for one in drawn]))
        true.append(np.mean([one.f1(one.threshold) - population.f1(one.threshold) for one in drawn]))
    assert estimated[0] > 1.5 * estimated[1] > 1.5**2 * estimated[2] > 0
    assert true[0] > true[2] > 0


def test_without_right_pairs_or_candidates_the_f1_is_zero():
    for empty in (mined([0, 1], [1, 2], [False, False], [1, 1]), mined([], [], [], [1, 1])):
        got = with_dev(empty, empty, 50, 1)
        assert (got.f1, got.threshold, got.low, got.high) == (0.0, 0.0, 0.0, 0.0)
        assert without_dev(empty, 50, 1).optimism == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": [1.0]}, "different lengths"),
        ({"score": [1.0, np.nan]}, "not a number"),
        ({"source": [0, 2]}, "not among the rows"),
        ({"source": [0, 0]}, "more right pairs than gold"),
        ({"right": [False, False], "gold": [0, 0]}, "no gold pair"),
    ],
)
def test_wrong_tables(changes, message):
    with pytest.raises(DataError, match=message):
        mined(**({"source": [0, 1], "score": [1.0, 2.0], "right": [True, True], "gold": [1, 1]} | changes))
