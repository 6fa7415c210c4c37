"""Corrections for many tests at once: adjusted p-values, simultaneous intervals, partial conjunctions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from xeval.analysis.estimate.variance import Estimate, Floats
from xeval.errors import UsageError

Adjustment = Literal["bonferroni", "holm", "fdr_bh", "fdr_by"]


def adjust(p_values: Sequence[float] | Floats, method: Adjustment) -> Floats:
    """Adjusted p-values, in the given order, by :func:`statsmodels.stats.multitest.multipletests`.

    ``holm`` (1979) and ``bonferroni`` control the chance of any false rejection, ``fdr_bh`` (Benjamini & Hochberg 1995)
    the expected share of false ones among independent or positively dependent tests, ``fdr_by`` (Benjamini &
    Yekutieli 2001) among any.

    Raises:
        UsageError: a p-value is not between 0 and 1.
    """
    from statsmodels.stats.multitest import multipletests

    p = _checked(p_values)
    adjusted: Floats = multipletests(p, method=method)[1] if p.size else p
    return adjusted


@dataclass(frozen=True)
class MaxT:
    """Several estimands tested together from their joint null distribution (Westfall & Young 1993, ch. 2).

    Attributes:
        step_down: (m,) p-values that control the chance of any false rejection.
        half_width: (m,) of the simultaneous band: all true values lie inside with the given confidence.
    """

    step_down: Floats
    half_width: Floats


def max_t(values: Floats, null: Floats, confidence: float = 0.95) -> MaxT:
    """Max-T over a family.

    Args:
        values: (m,) the estimates.
        null: (B, m) joint draws with the estimand at 0, such as bootstrap replicates minus ``values``;
            p = (b + 1) / (B + 1).

    An estimand that never varies has p = 1 if its value is 0, else the smallest p possible, and a band of no width.

    Raises:
        UsageError: too few draws for a band of that confidence.
    """
    B, m = null.shape
    place = int(np.ceil(confidence * (B + 1)))
    if place > B:
        raise UsageError(f"{B} draws are too few for a band of confidence {confidence}; give at least 1000.")
    spread = np.sqrt((null**2).mean(axis=0))
    steady = spread == 0.0
    divisor = np.where(steady, 1.0, spread)
    observed = np.where(steady & (values != 0.0), np.inf, np.abs(values) / divisor)
    resampled = np.abs(null) / divisor
    # Draws equal to the sample but for rounding count as equal, also where the sample is 0 but for rounding: the
    # draws' spread is 1 here, so that sums of clusters' shares are off by far less.
    reached = observed * (1.0 - 1e-12) - 1e-10

    order = np.argsort(-observed, kind="stable")
    remaining = np.maximum.accumulate(resampled[:, order[::-1]], axis=1)[:, ::-1]
    hits = (remaining >= reached[order]).sum(axis=0)
    step_down = np.empty(m)
    step_down[order] = np.maximum.accumulate((hits + 1.0) / (B + 1.0))
    # Of B + 1 values, the sample's own included, at most a share of 1 - confidence lies above this one.
    return MaxT(step_down, np.sort(resampled.max(axis=1))[place - 1] * spread)


def adjust_jointly(p_values: Sequence[float] | Floats, signs: Floats, replicates: Floats) -> Floats:
    """Step-down adjusted p-values that use how the estimates hang together (Westfall & Young 1993, minP).

    Each p keeps its own reference distribution (t with few degrees of freedom); only the dependence is taken from the
    replicates, whose columns are turned into normal scores for that.

    Args:
        p_values: (m,) two-sided; ``signs`` are the signs of the estimates.
        replicates: (B, m) joint bootstrap replicates of the estimates.

    Raises:
        UsageError: a p-value is not between 0 and 1, or the replicates do not fit.
    """
    p = _checked(p_values)
    null = _normal_scores(replicates, p.size)
    observed = np.sign(signs) * -ndtri(np.maximum(p, np.finfo(float).tiny) / 2.0)
    return np.maximum(p, max_t(observed, null).step_down)


def simultaneous(
    estimates: Sequence[Estimate], replicates: Floats | None = None
) -> tuple[tuple[float, float], ...]:
    """Intervals that together hold all true values with the estimates' confidence.

    Each keeps its own t distribution; how far they must reach comes from the largest of the replicates' normal scores
    (max-T, Westfall & Young 1993, as in :func:`adjust_jointly`), or, without replicates, from Bonferroni's bound.

    Args:
        replicates: (B, m) joint bootstrap replicates of the estimates.
    """
    confidence = estimates[0].confidence
    m = len(estimates)
    if m == 1 or replicates is None:
        return tuple(estimate.interval(1.0 - (1.0 - confidence) / m) for estimate in estimates)
    reach = max_t(np.zeros(m), _normal_scores(replicates, m), confidence).half_width
    wider = np.maximum(1.0 - 2.0 * ndtr(-reach), confidence)
    return tuple(estimate.interval(float(level)) for estimate, level in zip(estimates, wider, strict=True))


def _normal_scores(replicates: Floats, size: int) -> Floats:
    """The replicates' ranks, column by column, as quantiles of the normal distribution."""
    if replicates.ndim != 2 or replicates.shape[1] != size or replicates.shape[0] < 2:
        raise UsageError(
            f"replicates have the shape {replicates.shape}; give at least 2 rows of {size} estimates."
        )
    ranks = replicates.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    scores: Floats = ndtri((ranks + 0.5) / len(replicates))
    return scores


def partial_conjunction(p_values: Sequence[float] | Floats) -> Floats:
    """(n,) p-values of "fewer than u of the n hypotheses are false", for u = 1 to n (Benjamini & Heller 2008).

    ``(n - u + 1) p_(u)`` (Bonferroni), valid under any dependence, made monotone in u (Dror et al. 2017, section 4).
    """
    p = np.sort(_checked(p_values))
    return np.maximum.accumulate(np.minimum((p.size - np.arange(p.size)) * p, 1.0))


def count_false(p_values: Sequence[float] | Floats, alpha: float = 0.05) -> int:
    """K-hat: with confidence 1 - alpha at least that many of the hypotheses are false (Dror et al. 2017)."""
    return int((partial_conjunction(p_values) <= alpha).sum())


def _checked(p_values: Sequence[float] | Floats) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0.0) & (p <= 1.0)).all():
        raise UsageError("a p-value is missing or not between 0 and 1; give one number per hypothesis.")
    return p
