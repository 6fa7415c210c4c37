"""Mined sentence pairs against gold pairs: precision, recall and F1, and the threshold that extracts them.

``gold`` and ``predicted`` are sets of (source id, target id), as in BUCC 2018 and XTREME's ``bucc2018``: a pair
counts once however often it is listed. A pair is extracted when its score is at least the threshold.
"""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xeval.errors import UsageError
from xeval.metrics.labels import Items

Pairs = Iterable[tuple[Hashable, Hashable]]


def pair_f1(gold: Pairs, predicted: Pairs, sources: Sequence[Hashable]) -> Items:
    """Per source sentence (2 tp, predicted + gold); the ratio of the sums is 2 P R / (P + R)."""
    right, found, wanted = _pairs_by_source(gold, predicted, sources)
    return 2 * right, found + wanted


def pair_precision(gold: Pairs, predicted: Pairs, sources: Sequence[Hashable]) -> Items:
    """Per source sentence (tp, predicted)."""
    right, found, _ = _pairs_by_source(gold, predicted, sources)
    return right, found


def pair_recall(gold: Pairs, predicted: Pairs, sources: Sequence[Hashable]) -> Items:
    """Per source sentence (tp, gold)."""
    right, _, wanted = _pairs_by_source(gold, predicted, sources)
    return right, wanted


def best_threshold(scores: ArrayLike, right: ArrayLike, gold_count: int) -> float:
    """The threshold with the highest F1, halfway between the neighbouring scores, as in LASER and XTREME.

    Where several are best it is the highest one; without a right candidate it is 0. Unlike theirs it never
    cuts between equal scores (no threshold can), and may lie at the last candidate, where theirs fails; it is
    then that candidate's score.

    Args:
        scores: score of every candidate pair, in any order.
        right: whether the candidate is a gold pair.
        gold_count: number of gold pairs, candidates or not.
    """
    values, correct = _candidates(scores, right, gold_count)
    order = np.argsort(-values, kind="stable")
    values, correct = values[order], correct[order]
    if not correct.any():
        return 0.0
    # LASER's order of operations: thresholds whose F1 differ by rounding alone are ranked as there.
    precision = correct.cumsum() / np.arange(1, len(values) + 1)
    recall = correct.cumsum() / gold_count
    f1 = 2 * precision * recall / np.where(recall > 0, precision + recall, 1)
    last_of_equals = np.append(values[:-1] != values[1:], True)
    best = int(np.argmax(np.where(last_of_equals, f1, -1.0)))
    if best + 1 == len(values):
        return float(values[best])
    middle = (values[best] + values[best + 1]) / 2
    # Between two neighbouring floats there is no middle.
    return float(middle if middle > values[best + 1] else values[best])


def f1_at_threshold(scores: ArrayLike, right: ArrayLike, gold_count: int, threshold: float) -> float:
    """F1 (0 to 1) of the candidates with a score of at least ``threshold``; arguments as ``best_threshold``."""
    values, correct = _candidates(scores, right, gold_count)
    extracted = values >= threshold
    total = int(extracted.sum()) + gold_count
    return 2 * int(correct[extracted].sum()) / total if total else 0.0


def _candidates(
    scores: ArrayLike, right: ArrayLike, gold_count: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    # A float32 score and the middle of two are exact in float64.
    values, correct = np.asarray(scores, np.float64), np.asarray(right, np.bool_)
    if values.shape != correct.shape:
        raise UsageError(f"{values.size} scores of candidate pairs, but {correct.size} marks of right ones.")
    if not np.isfinite(values).all():
        raise UsageError("A candidate pair has a score that is not a number; mine the pairs again.")
    if correct.sum() > gold_count:
        raise UsageError(f"{correct.sum()} candidate pairs are gold, but there are {gold_count} gold pairs.")
    return values, correct


def _pairs_by_source(
    gold: Pairs, predicted: Pairs, sources: Sequence[Hashable]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Right, predicted and gold pairs of every source sentence."""
    row = {source: number for number, source in enumerate(sources)}
    if len(row) != len(sources):
        raise UsageError("A source sentence is listed twice; give every id once.")
    gold, predicted = set(gold), set(predicted)
    counts = []
    for pairs in (gold & predicted, predicted, gold):
        unknown = next((source for source, _ in pairs if source not in row), None)
        if unknown is not None:
            raise UsageError(f"A pair names the source sentence {unknown!r}, which is not one of the items.")
        rows = np.asarray([row[source] for source, _ in pairs], np.int64)
        counts.append(np.bincount(rows, minlength=len(row)).astype(np.float64))
    return counts[0], counts[1], counts[2]
