"""Pair metrics against XTREME's formulas, thresholds against every possible one.

The golden thresholds come from running ``bucc_optimize`` of third_party/utils_retrieve.py, google-research/xtreme
at 838c13b.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeval.errors import UsageError
from xeval.metrics import METRICS, best_threshold, f1_at_threshold, pair_f1, pair_precision, pair_recall

SOURCES = ("s0", "s1", "s2", "s3")
PAIRS = st.lists(st.tuples(st.sampled_from(SOURCES), st.sampled_from(("t0", "t1", "t2"))), max_size=8)
CANDIDATES = st.lists(
    st.tuples(st.sampled_from((0.5, 0.75, 1.0, 1.25, 1.5, 2.0)), st.booleans()), max_size=10
)


def corpus(items: tuple[np.ndarray, np.ndarray]) -> float:
    return float(items[0].sum() / items[1].sum()) if items[1].sum() else 0.0


@given(PAIRS, PAIRS)
def test_ratios_are_those_of_sets_of_pairs(
    gold: list[tuple[str, str]], predicted: list[tuple[str, str]]
) -> None:
    # bucc_f1 of XTREME's evaluate.py
    correct = len(set(gold) & set(predicted))
    precision = correct / len(set(predicted)) if correct else 0.0
    recall = correct / len(set(gold)) if correct else 0.0
    f1 = 2 * precision * recall / (precision + recall) if correct else 0.0
    assert corpus(pair_precision(gold, predicted, SOURCES)) == precision
    assert corpus(pair_recall(gold, predicted, SOURCES)) == recall
    assert corpus(pair_f1(gold, predicted, SOURCES)) == pytest.approx(f1, abs=1e-15)


def test_every_source_sentence_has_its_own_counts() -> None:
    gold = [("s0", "t0"), ("s1", "t1"), ("s1", "t2")]
    predicted = [("s0", "t0"), ("s0", "t0"), ("s1", "t2"), ("s3", "t1")]
    num, den = pair_f1(gold, predicted, SOURCES)
    assert (num.tolist(), den.tolist()) == ([2, 2, 0, 0], [2, 3, 0, 1])
    assert num.dtype == den.dtype == np.float64
    assert [values.tolist() for values in pair_precision(gold, predicted, SOURCES)] == [
        [1, 1, 0, 0],
        [1, 1, 0, 1],
    ]
    assert [values.tolist() for values in pair_recall(gold, predicted, SOURCES)] == [
        [1, 1, 0, 0],
        [1, 2, 0, 0],
    ]


def test_row_numbers_are_ids_too() -> None:
    assert corpus(METRICS["pair_f1_oracle"]([(0, 7), (1, 8)], [(0, 7)], range(2))) == pytest.approx(2 / 3)


def test_wrong_sources_are_refused() -> None:
    with pytest.raises(UsageError, match="'s9', which is not one of the items"):
        pair_f1([("s9", "t0")], [], SOURCES)
    with pytest.raises(UsageError, match="listed twice"):
        pair_f1([], [], ("s0", "s0"))


@pytest.mark.parametrize(
    ("candidates", "gold_count", "threshold"),
    [
        ([(1.31, 1), (1.27, 1), (1.19, 0), (1.16, 1), (1.08, 0), (1.05, 0)], 4, 1.12),
        ([(1.05, 0), (1.16, 0), (1.31, 1)], 2, 1.2349999999999999),
        ([(0.4, 0), (0.3, 0)], 3, 0.0),
        ([], 3, 0.0),
    ],
)
def test_threshold_golden(candidates: list[tuple[float, int]], gold_count: int, threshold: float) -> None:
    scores, right = [score for score, _ in candidates], [bool(gold) for _, gold in candidates]
    assert best_threshold(scores, right, gold_count) == threshold


@given(CANDIDATES, st.integers(0, 4))
def test_no_threshold_is_better(candidates: list[tuple[float, bool]], missing: int) -> None:
    scores, right = [score for score, _ in candidates], [gold for _, gold in candidates]
    gold_count = sum(right) + missing
    chosen = f1_at_threshold(scores, right, gold_count, best_threshold(scores, right, gold_count))
    for threshold in (0.0, *scores, 9.0):
        extracted = [gold for score, gold in candidates if score >= threshold]
        total = len(extracted) + gold_count
        f1 = 2 * sum(extracted) / total if total else 0.0
        assert f1_at_threshold(scores, right, gold_count, threshold) == f1
        assert chosen >= f1 - 1e-15


def test_the_last_candidate_may_be_the_best() -> None:
    # The reference reads one candidate further and fails.
    assert best_threshold([0.9, 0.7], [True, True], 2) == 0.7
    assert f1_at_threshold([0.9, 0.7], [True, True], 2, 0.7) == 1.0


def test_a_threshold_never_cuts_between_equal_scores() -> None:
    assert best_threshold([0.9, 0.7, 0.7, 0.5], [True, True, False, False], 2) == pytest.approx(0.6)


def test_between_neighbouring_floats_the_upper_one_is_the_threshold() -> None:
    low, high = 1.0, np.nextafter(1.0, 2)
    threshold = best_threshold([high, low], [True, False], 1)
    assert f1_at_threshold([high, low], [True, False], 1, threshold) == 1.0
    single = np.float32([high * 1.5, 1.5, 1.4])  # float32 scores are compared exactly
    assert best_threshold(single, [True, True, False], 2) == (1.5 + float(np.float32(1.4))) / 2


@pytest.mark.parametrize(
    ("scores", "right", "gold_count", "message"),
    [
        ([1.0, 2.0], [True], 2, "2 scores of candidate pairs, but 1 marks"),
        ([float("nan")], [True], 1, "not a number"),
        ([1.0, 0.5], [True, True], 1, "2 candidate pairs are gold, but there are 1"),
    ],
)
def test_candidates_that_do_not_belong_together_are_refused(
    scores: list[float], right: list[bool], gold_count: int, message: str
) -> None:
    for function in (best_threshold, lambda *arguments: f1_at_threshold(*arguments, 0.5)):
        with pytest.raises(UsageError, match=message):
            function(scores, right, gold_count)
