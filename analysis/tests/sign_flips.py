"""Tests by flipping signs of item clusters, several estimands at once by max-T, and the exact McNemar test.

Signs are drawn from the same kind of streams as the bootstrap's weights (see :mod:`.estimate.bootstrap`), and sums are
exact for the same reason: neither order nor threads change a number.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xeval.analysis.estimate.bootstrap import BLOCK, check_call, on_grid, strata, stream
from xeval.analysis.estimate.variance import Block, Floats, Scale, transform
from xeval.analysis.frame.arrays import Cell, Study, Weights
from xeval.errors import UsageError

EXACT_CLUSTERS = 12


@dataclass(frozen=True)
class Family:
    """Several estimands tested together from their joint null distribution (Westfall & Young 1993, ch. 2).

    Attributes:
        p_values: of each alone; ``single_step`` and ``step_down`` control the chance of any false rejection.
        low, high: simultaneous band: all true values lie inside with the given confidence.
    """

    values: Floats
    p_values: Floats
    single_step: Floats
    step_down: Floats
    low: Floats
    high: Floats
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in asdict(self).items()
        }


def max_t(values: Floats, null: Floats, confidence: float = 0.95, *, exact: bool = False) -> Family:
    """Max-T over a family.

    Args:
        values: (m,) the estimates.
        null: (B, m) joint draws with the estimand at 0: sign flips, or bootstrap replicates minus ``values``.
        exact: ``null`` holds the whole null distribution, the sample itself included; otherwise p = (b+1)/(B+1).

    An estimand that never varies has p = 1 if its value is 0, else the smallest p possible, and a band of no width.

    Raises:
        UsageError: too few draws for a band of that confidence.
    """
    B, m = null.shape
    place = int(np.ceil(confidence * (B if exact else B + 1)))
    if place > B:
        raise UsageError(f"{B} draws are too few for a band of confidence {confidence}; give at least 1000.")
    spread = np.sqrt((null**2).mean(axis=0))
    steady = spread == 0.0
    divisor = np.where(steady, 1.0, spread)
    observed = np.where(steady & (values != 0.0), np.inf, np.abs(values) / divisor)
    drawn = np.abs(null) / divisor
    # Draws equal to the sample but for rounding count as equal, also where the sample is 0 but for rounding: the
    # draws' spread is 1 here, so that sums of clusters' shares are off by far less.
    reached = observed * (1.0 - 1e-12) - 1e-10

    def share(statistic: Floats, bar: Floats) -> Floats:
        hits = (statistic >= bar).sum(axis=0)
        shares: Floats = hits / B if exact else (hits + 1.0) / (B + 1.0)
        return shares

    largest = drawn.max(axis=1)
    order = np.argsort(-observed, kind="stable")
    remaining = np.maximum.accumulate(drawn[:, order[::-1]], axis=1)[:, ::-1]
    step_down = np.empty(m)
    step_down[order] = np.maximum.accumulate(share(remaining, reached[order]))
    # Of B + 1 values, the sample's own included, at most a share of 1 - confidence lies above this one.
    half = np.sort(largest)[place - 1] * spread
    single = share(largest[:, None], reached)
    return Family(values, share(drawn, reached), single, step_down, values - half, values + half, confidence)


@dataclass(frozen=True)
class SignFlips:
    """Sign-flip tests of a family of estimands; ``exact`` when all 2^n sign vectors were enumerated."""

    names: tuple[str, ...]
    family: Family
    draws: int
    clusters: int
    exact: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"family": self.family.to_dict()}


def sign_flip(
    study: Study, estimands: Mapping[str, Weights], count: int, seed: int, scale: Scale
) -> SignFlips:
    """Flips whole clusters, across all languages, seeds and conditions: a test for these very trained models.

    The null hypothesis is sharp: on no cluster does it matter which output is the condition's and which the
    baseline's. With at most 12 clusters all sign vectors are enumerated. Ratios with unequal denominators and
    log-odds are linearised.

    Raises:
        UsageError: no draws or estimands, or weights of a target and language that do not cancel: scores
            are not differences, so that their sign means nothing.
    """
    check_call(study, estimands, count, seed)
    parts = _contributions(study, estimands, scale)
    flipped = sum(int(part.any(axis=1).sum()) for part in parts.values())
    exact = flipped <= EXACT_CLUSTERS
    values = np.asarray(sum(part.sum(axis=0) for part in parts.values()))
    if exact:
        contributions = np.concatenate([part[part.any(axis=1)] for part in parts.values()])
        vectors = np.arange(2**flipped)[:, None] >> np.arange(flipped) & 1
        null = values - 2.0 * (vectors.astype(np.float64) @ contributions)
    else:
        null = np.tile(values, (count, 1))
        for key, part in parts.items():
            for block in range(-(-count // BLOCK)):
                rows = slice(block * BLOCK, min(count, (block + 1) * BLOCK))
                size = (BLOCK, -(-len(part) // 8))
                octets = stream(seed, "signs", *key, block=block).integers(0, 256, size, dtype=np.uint8)
                flips = np.unpackbits(octets[: rows.stop - rows.start], axis=1, count=len(part))
                null[rows] -= 2.0 * (flips.astype(np.float64) @ part)
    family = max_t(values, null, study.method.confidence, exact=exact)
    return SignFlips(tuple(estimands), family, len(null), flipped, exact)


@dataclass(frozen=True)
class McNemar:
    """Discordant items of two systems, and the exact two-sided p of equal numbers (McNemar 1947)."""

    only_first: int
    only_second: int
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def mcnemar(study: Study, weights: Weights) -> McNemar:
    """The exact McNemar test of a difference between two runs on independent items that are right or wrong.

    Raises:
        UsageError: it would not hold its level: several languages, runs per condition, or items per cluster.
    """
    used = {cell: weight for cell, weight in weights.items() if weight}
    instead = "use the two-way interval (Study.estimate) or sign_flip, which take whole clusters."
    if sorted(used.values()) != [-1.0, 1.0]:
        raise UsageError(
            f"McNemar's test compares two runs, but the estimand weighs {len(used)} cells; {instead}"
        )
    (_, *first_place), (_, *second_place) = used
    if first_place != second_place:
        raise UsageError(f"McNemar's test compares two runs on one target and language; {instead}")
    first, second = (study.blocks[cell] for cell in sorted(used, key=lambda cell: -used[cell]))
    where = f"target {first_place[0]!r}, language {first_place[1]!r}"
    if max(len(first.seeds), len(second.seeds)) > 1:
        raise UsageError(f"{where}: McNemar's test takes one run per condition, not several seeds; {instead}")
    if not all(
        (block.den == 1.0).all() and np.isin(block.num, (0.0, 1.0)).all() for block in (first, second)
    ):
        raise UsageError(
            f"{where}: McNemar's test takes independent items that are right or wrong, but here are clusters of "
            f"several items or graded scores; {instead}"
        )
    from scipy.stats import binomtest

    only_first = int((first.num > second.num).sum())
    only_second = int((first.num < second.num).sum())
    discordant = only_first + only_second
    p_value = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return McNemar(only_first, only_second, p_value)


def _contributions(
    study: Study, estimands: Mapping[str, Weights], scale: Scale
) -> dict[tuple[str, str], Floats]:
    """Per stratum (clusters, estimands): what each cluster adds to the estimand; sums over clusters give it.

    A cluster adds the difference between the conditions' numerators over the denominator, times the secant of the
    scale from the mean score to the condition's: exactly nothing where all outputs agree on the cluster. Where
    denominators differ between conditions its influence and its mean share of the denominator stand for it.
    """
    cells = sorted({cell for weights in estimands.values() for cell, weight in weights.items() if weight})
    listed_strata = list(strata(study, cells))
    home = {cell: (key, clusters) for key, members, clusters in listed_strata for cell in members}
    parts = {key: np.zeros((clusters.size, len(estimands))) for key, _, clusters in listed_strata}
    for column, (name, weights) in enumerate(estimands.items()):
        places: defaultdict[tuple[str, str], list[tuple[Cell, float]]] = defaultdict(list)
        for cell, weight in sorted(weights.items()):
            if weight:
                places[cell[1:]].append((cell, weight))
        for (target, lang), listed in places.items():
            if abs(sum(weight for _, weight in listed)) > 1e-9 * sum(abs(weight) for _, weight in listed):
                raise UsageError(
                    f"{name}: its weights for target {target!r}, language {lang!r} do not cancel; sign flips "
                    "test differences between conditions."
                )
            blocks = [study.blocks[cell] for cell, _ in listed]
            share = np.mean(
                [(one.den / one.den.sum(axis=1, keepdims=True)).mean(axis=0) for one in blocks], axis=0
            )
            outputs = [one.influence.mean(axis=0) + one.score * share for one in blocks]
            middle = float(np.mean([one.score for one in blocks]))
            own = np.zeros(blocks[0].clusters.size)
            for (_, weight), block, output in zip(listed, blocks, outputs, strict=True):
                slope = _secant(block, middle, scale)
                own += weight * slope * (output - np.mean(outputs, axis=0))
            key, clusters = home[listed[0][0]]
            parts[key][np.searchsorted(clusters, blocks[0].clusters), column] += own
    bounds = sum(np.abs(part).sum(axis=0) for part in parts.values())
    for part in parts.values():
        for column, bound in enumerate(np.asarray(bounds)):
            # A cluster on which all outputs agree adds rounding errors only.
            part[np.abs(part[:, column]) < 1e-12 * bound / len(part), column] = 0.0
            part[:, column] = on_grid(part[:, column], float(bound))
    return parts


def _secant(block: Block, middle: float, scale: Scale) -> float:
    """Slope of the scale between a mean score and the block's score, or there when they are equal."""
    from_level, slope = transform(middle, block.denominator, scale)
    step = block.score - middle
    if abs(step) < 1e-9:
        return slope
    return (transform(block.score, block.denominator, scale)[0] - from_level) / step
