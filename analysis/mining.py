"""Uncertainty of mined sentence pairs (BUCC), whose threshold is itself chosen from data.

In every replicate the sources of dev and of test are drawn with replacement, each by itself; the threshold is
chosen anew on the dev replicate and applied to the test replicate. Candidates are sorted by score once; cumulative
sums of the weights then give the F1 of all thresholds. Scores stay as they are, so all claims are conditional on
the collections that were mined. The threshold's definition is that of :func:`xeval.metrics.best_threshold`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeval.analysis.estimate.bootstrap import BLOCK, COLUMN_BYTES, Counts, multinomial, stream
from xeval.analysis.estimate.variance import Floats, Integers
from xeval.errors import DataError
from xeval.metrics import best_threshold, f1_at_threshold

BYTES_PER_CANDIDATE = 32  # weights, two cumulative sums, F1


@dataclass(frozen=True)
class Mined:
    """Candidate pairs of one split, best first or in any order.

    Attributes:
        source: (candidates,) row of the source sentence, 0 to sources - 1.
        score: (candidates,) a pair is extracted when its score is at least the threshold.
        right: (candidates,) whether the pair is a gold pair.
        gold: (sources,) number of gold pairs of every source sentence, mined or not.
    """

    source: Integers
    score: Floats
    right: NDArray[np.bool_]
    gold: Integers

    def __post_init__(self) -> None:
        if not self.source.shape == self.score.shape == self.right.shape:
            raise DataError(
                "mined pairs: source, score and right have different lengths; give one of each per pair."
            )
        if not np.isfinite(self.score).all():
            raise DataError("mined pairs: a score is not a number; mine the pairs again.")
        if self.source.size and not (self.source.min() >= 0 and self.source.max() < self.gold.size):
            raise DataError(
                "mined pairs: a source is not among the rows of gold; list every source sentence there."
            )
        if (np.bincount(self.source, weights=self.right, minlength=self.gold.size) > self.gold).any():
            raise DataError("mined pairs: a source has more right pairs than gold pairs; count a pair once.")
        if self.gold.sum() == 0:
            raise DataError("mined pairs: there is no gold pair, so that F1 is not defined.")

    @cached_property
    def order(self) -> Integers:
        """Candidates by falling score."""
        return np.argsort(-self.score, kind="stable")

    @cached_property
    def distinct(self) -> Floats:
        """The different scores, falling."""
        return np.unique(self.score)[::-1]

    @cached_property
    def last(self) -> Integers:
        """For each distinct score the place of its last candidate in ``order``: no threshold cuts between equals."""
        return np.searchsorted(-self.score[self.order], -self.distinct, side="right") - 1

    @property
    def threshold(self) -> float:
        """The threshold with the highest F1 on these pairs."""
        return best_threshold(self.score, self.right, int(self.gold.sum()))

    def f1(self, threshold: float) -> float:
        """In percent."""
        return 100.0 * f1_at_threshold(self.score, self.right, int(self.gold.sum()), threshold)


@dataclass(frozen=True)
class MinedF1:
    """F1 in percent with its percentile interval.

    Attributes:
        threshold: chosen on dev, or on the scored pairs themselves where there is no dev.
        optimism: only without dev: how much F1 at a threshold chosen on the scored pairs exceeds the F1 of that
            threshold on the data they were drawn from, by the bootstrap (Efron 1983); subtract it from ``f1``.
    """

    f1: float
    threshold: float
    se: float
    low: float
    high: float
    optimism: float | None
    count: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def with_dev(
    dev: Mined, test: Mined, count: int, seed: int, confidence: float = 0.95, *, name: str = ""
) -> MinedF1:
    """F1 on test at the threshold chosen on dev, chosen anew in every replicate."""
    threshold = dev.threshold
    values = replicates(dev, test, count, seed, name=name)
    return _summary(test.f1(threshold), threshold, values, None, confidence)


def without_dev(test: Mined, count: int, seed: int, confidence: float = 0.95, *, name: str = "") -> MinedF1:
    """F1 at the best threshold for the very same pairs (an oracle), chosen anew in every replicate; its optimism."""
    threshold = test.threshold
    values, honest = [], []
    for (weights,) in _weights([test], count, seed, name):
        thresholds, best = choose(test, weights)
        values.append(best)
        honest.append(at(test, np.ones_like(weights), thresholds))
    drawn = np.concatenate(values)
    optimism = float((drawn - np.concatenate(honest)).mean())
    return _summary(test.f1(threshold), threshold, drawn, optimism, confidence)


def replicates(dev: Mined, test: Mined, count: int, seed: int, *, name: str = "") -> Floats:
    """(count,) F1 in percent on drawn test sources, at the threshold chosen on drawn dev sources.

    Systems whose dev and test have the same source sentences draw the same ones under one ``seed`` and ``name``:
    the difference of their replicates is the paired bootstrap of their difference.
    """
    drawn = _weights([test, dev], count, seed, name)
    return np.concatenate([at(test, of_test, choose(dev, of_dev)[0]) for of_test, of_dev in drawn])


def choose(mined: Mined, weights: Counts) -> tuple[Floats, Floats]:
    """For every row of ``weights`` (replicates, sources) the best threshold and its F1 in percent.

    As :func:`xeval.metrics.best_threshold` on the drawn pairs: halfway to the next score that was drawn, the
    highest of equally good ones, 0 without a right pair. Equal F1 are compared exactly, not as rounded.
    """
    if not mined.score.size:
        return np.zeros(len(weights)), np.zeros(len(weights))
    extracted, right, gold = _sums(mined, weights)
    f1 = np.divide(2.0 * right, extracted + gold[:, None], out=np.zeros(right.shape), where=extracted > 0)
    best = f1.argmax(axis=1)
    row = np.arange(len(weights))
    # The next score with a drawn candidate; where there is none, the threshold is the best score itself.
    further = extracted > extracted[row, best][:, None]
    follower = np.where(further.any(axis=1), further.argmax(axis=1), best)
    upper, lower = mined.distinct[best], mined.distinct[follower]
    middle = (upper + lower) / 2.0
    thresholds = np.where((middle > lower) & (follower > best), middle, upper)
    return np.where(right[:, -1] > 0, thresholds, 0.0), 100.0 * f1[row, best]


def at(mined: Mined, weights: Counts, thresholds: Floats) -> Floats:
    """F1 in percent of every row of ``weights`` (replicates, sources) at its own threshold."""
    place = np.searchsorted(-mined.distinct, -thresholds, side="right") - 1
    if not mined.score.size:
        return np.zeros(len(weights))
    extracted, right, gold = _sums(mined, weights)
    row, kept = np.arange(len(weights)), place >= 0
    found = np.where(kept, extracted[row, place], 0)
    total = found + gold
    correct = np.where(kept, right[row, place], 0)
    return np.divide(200.0 * correct, total, out=np.zeros(len(weights)), where=total > 0)


def _sums(mined: Mined, weights: Counts) -> tuple[Counts, Counts, Counts]:
    """Extracted and right pairs at each distinct score (replicates, scores), and gold pairs (replicates,)."""
    drawn = weights[:, mined.source[mined.order]]
    extracted = drawn.cumsum(axis=1, dtype=np.int32)[:, mined.last]
    drawn *= mined.right[mined.order]
    return (
        extracted,
        drawn.cumsum(axis=1, dtype=np.int32)[:, mined.last],
        weights @ mined.gold.astype(np.int32),
    )


def _weights(mined: Sequence[Mined], count: int, seed: int, name: str) -> Iterator[list[Counts]]:
    """For each split (replicates, sources) how often each source is drawn, few replicates at a time."""
    widest = max(max(one.gold.size, one.score.size) for one in mined)
    rows = max(1, COLUMN_BYTES // (BYTES_PER_CANDIDATE * widest))
    for block in range(-(-count // BLOCK)):
        generators = [stream(seed, "mining", name, str(place), block=block) for place in range(len(mined))]
        left = min(BLOCK, count - block * BLOCK)
        while left > 0:
            yield [
                multinomial(generator, one.gold.size, one.gold.size, min(rows, left))
                for generator, one in zip(generators, mined, strict=True)
            ]
            left -= rows


def _summary(
    f1: float, threshold: float, values: Floats, optimism: float | None, confidence: float
) -> MinedF1:
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return MinedF1(f1, threshold, float(values.std()), float(low), float(high), optimism, values.size)
