"""Many tests at once: adjusted p-values, families that open one after the other, and counts of languages.

A hypothesis is rejected only where both scales say so in the same direction: its p is the larger of the two
(intersection-union test, Berger 1982), and 1 where the signs differ or where a trained condition has a single run.

The families stand in a row, each at the whole level. One opens only if every hypothesis of the one before it is
rejected; then the chance of any false rejection in F0 to F2 together stays below the level (serial
gatekeeping, Westfall & Krishen 2001). Adjusted p-values of closed families are descriptive. F3 controls the share of
false discoveries within one condition and target, not the chance of any.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.special import chdtrc, fdtrc, ndtr, ndtri

from xeval.analysis.estimate.estimands import KEY, REST, SAME_FORMAT, contrast, match
from xeval.analysis.estimate.variance import SCALES, Estimate, Floats, Scale
from xeval.analysis.frame.arrays import Both, Cell, Study
from xeval.analysis.tests.sign_flips import max_t
from xeval.conditions import CLASSIFICATION, MEAN, MULTI_HOP_QA, SINGLE_HOP_QA
from xeval.errors import UsageError

if TYPE_CHECKING:
    from xeval.analysis.result import Analysis

Adjustment = Literal["bonferroni", "holm", "bh", "by"]


def adjust(p_values: Sequence[float] | Floats, method: Adjustment) -> Floats:
    """Adjusted p-values, in the given order.

    ``holm`` (1979) and ``bonferroni`` control the chance of any false rejection, ``bh`` (Benjamini & Hochberg 1995)
    the expected share of false ones among independent or positively dependent tests, ``by`` (Benjamini &
    Yekutieli 2001) among any.

    Raises:
        UsageError: a p-value is not between 0 and 1.
    """
    p = _checked(p_values)
    m = p.size
    order = np.argsort(p, kind="stable")
    ranks = np.arange(1, m + 1)
    adjusted = np.empty(m)
    if method == "bonferroni":
        adjusted[order] = m * p[order]
    elif method == "holm":
        adjusted[order] = np.maximum.accumulate((m - ranks + 1) * p[order])
    else:
        factor = float((1.0 / ranks).sum()) if method == "by" else 1.0
        scaled = factor * m / ranks * p[order]
        adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return np.minimum(adjusted, 1.0)


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
        return tuple(one.interval(1.0 - (1.0 - confidence) / m) for one in estimates)
    reach = max_t(np.zeros(m), _normal_scores(replicates, m), confidence).high
    wider = np.maximum(1.0 - 2.0 * ndtr(-reach), confidence)
    return tuple(one.interval(float(own)) for one, own in zip(estimates, wider, strict=True))


def _normal_scores(replicates: Floats, size: int) -> Floats:
    """The replicates' ranks, column by column, as quantiles of the normal distribution."""
    if replicates.ndim != 2 or replicates.shape[1] != size or replicates.shape[0] < 2:
        raise UsageError(
            f"replicates have the shape {replicates.shape}; give at least 2 rows of {size} estimates."
        )
    ranks = replicates.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    scores: Floats = ndtri((ranks + 0.5) / len(replicates))
    return scores


def partial_conjunction(p_values: Sequence[float] | Floats, *, independent: bool = False) -> Floats:
    """(n,) p-values of "fewer than u of the n hypotheses are false", for u = 1 to n (Benjamini & Heller 2008).

    ``(n - u + 1) p_(u)`` (Bonferroni), valid under any dependence; with ``independent``, which only the caller
    can know, Fisher's combination of ``p_(u)`` to ``p_(n)``. Both made monotone in u (Dror et al. 2017, section 4).
    """
    p = np.sort(_checked(p_values))
    left = p.size - np.arange(p.size)
    if independent:
        sums = np.cumsum(np.log(np.maximum(p, np.finfo(float).tiny))[::-1])[::-1]
        combined = chdtrc(2.0 * left, -2.0 * sums)
    else:
        combined = np.minimum(left * p, 1.0)
    return np.maximum.accumulate(combined)


def count_false(p_values: Sequence[float] | Floats, alpha: float = 0.05, *, independent: bool = False) -> int:
    """K-hat: with confidence 1 - alpha at least that many of the hypotheses are false (Dror et al. 2017)."""
    return int((partial_conjunction(p_values, independent=independent) <= alpha).sum())


@dataclass(frozen=True)
class Friedman:
    """Systems ranked on several data sets: mean ranks (1 is best), and the test that all systems are equal.

    Attributes:
        chi_square: Friedman's statistic without correction for ties; ``f``: Iman & Davenport's (1980), less
            conservative, with k - 1 and (k - 1)(n - 1) degrees of freedom; ``p_value`` belongs to ``f``.
    """

    ranks: Floats
    chi_square: float
    f: float
    p_value: float


def friedman(scores: Floats) -> Friedman:
    """Friedman's test of (n data sets, k systems) scores, higher being better (Demsar 2006, section 3.2.2).

    Raises:
        UsageError: fewer than 2 data sets or systems, or a score that is not a number.
    """
    from scipy.stats import rankdata

    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        raise UsageError("a comparison of ranks needs scores of 2 or more systems on 2 or more data sets.")
    n, k = values.shape
    ranks: Floats = rankdata(-values, axis=1).mean(axis=0)
    chi_square = 12.0 * n / (k * (k + 1.0)) * float((ranks**2).sum() - k * (k + 1.0) ** 2 / 4.0)
    left = n * (k - 1.0) - chi_square
    f = (n - 1.0) * chi_square / left if left > 1e-9 * n * k else np.inf
    p_value = float(fdtrc(k - 1.0, (k - 1.0) * (n - 1.0), max(0.0, f))) if np.isfinite(f) else 0.0
    return Friedman(ranks, chi_square, float(f), p_value)


def _checked(p_values: Sequence[float] | Floats) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0.0) & (p <= 1.0)).all():
        raise UsageError("a p-value is missing or not between 0 and 1; give one number per hypothesis.")
    return p


# --- the families of a study -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hypothesis:
    """One "the difference is 0 on one of the scales".

    Attributes:
        value: the estimate in points.
        p, adjusted: larger of the two scales' p; ``adjusted`` within its family.
        strict: in F3, adjusted for any dependence (BY) as sensitivity; elsewhere as ``adjusted``.
        rejected: the family is open and ``adjusted`` is at most the level.
    """

    name: str
    value: float
    p: float
    adjusted: float
    strict: float
    rejected: bool


@dataclass(frozen=True)
class Family:
    """Hypotheses that are adjusted together; ``parent`` is the family that must be rejected first."""

    name: str
    title: str
    method: str
    parent: str
    opened: bool
    hypotheses: tuple[Hypothesis, ...]

    @property
    def rejected(self) -> bool:
        """Whether all its hypotheses are rejected, which opens the next family."""
        return all(one.rejected for one in self.hypotheses)


@dataclass(frozen=True)
class LanguageCount:
    """With the study's confidence the gain is above (below) 0 in at least ``higher`` (``lower``) of the languages."""

    condition: str
    target: str
    languages: int
    higher: int
    lower: int


@dataclass(frozen=True)
class Families:
    """All families in their order, and K-hat of every condition and target. ``alpha``: level of every family."""

    alpha: float
    families: tuple[Family, ...]
    counts: tuple[LanguageCount, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def families(analysis: "Analysis", replicates: Mapping[Scale, Floats] | None = None) -> Families:
    """The families F0 (C), F1 (its parts), F2 (C of each condition) and F3 (cells), tested in this order.

    A family without members is passed over. F3 has a family for every condition and target.

    Args:
        replicates: scale -> (B, conditions) joint replicates of :func:`condition_contrasts`, in its order; then F2
            is adjusted with their dependence (all C(k) share the baseline runs), otherwise by Holm's method.
    """
    alpha = round(1.0 - analysis.method.confidence, 10)
    made: list[Family] = []

    def add(name: str, title: str, parent: Family | None, method: str, members: Mapping[str, Both]) -> None:
        if members:
            adjusted = _adjusted(members, method, replicates)
            made.append(_family(name, title, parent, method, members, adjusted, alpha))

    key = analysis.contrasts.get(KEY.name)
    add("F0", "C, on both scales", None, "none", {KEY.name: key.mean} if key else {})
    add("F1", "parts of C and gains by group", made[-1] if made else None, "holm", _parts(analysis))
    by_condition = {f"C({name})": key.by_condition[name] for name in key.conditions} if key else {}
    joint = "minP" if replicates else "holm"
    add("F2", "C of each intermediate task", made[-1] if made else None, joint, by_condition)
    gate = made[-1] if made else None
    for (condition, target), cells in _cells(analysis).items():
        add(f"F3 {condition} {target}", f"{condition} on {target}, by language", gate, "bh", cells)
    counts = tuple(
        _count(condition, target, cells, alpha) for (condition, target), cells in _cells(analysis).items()
    )
    return Families(alpha, tuple(made), counts)


def condition_contrasts(study: Study) -> dict[str, dict[Cell, float]]:
    """C(k) of every single intermediate task, as weights: what joint replicates for :func:`families` are drawn of."""
    found = contrast(study, KEY)
    weights = {}
    for condition in found.conditions if found else ():
        matched = match(study, (condition,), tuple(KEY.signs))
        assert matched is not None  # the contrast exists
        weights[condition] = matched.contrast(KEY.signs)
    return weights


def _parts(analysis: "Analysis") -> dict[str, Both]:
    parts = {
        form.name: analysis.contrasts[form.name].mean
        for form in (SAME_FORMAT, REST)
        if form.name in analysis.contrasts
    }
    gains = {gain.subject: gain.both for gain in analysis.groups if gain.condition == MEAN}
    for group in (MULTI_HOP_QA, SINGLE_HOP_QA, CLASSIFICATION):
        if group in gains:
            parts[f"G({group})"] = gains[group]
    return parts


def _cells(analysis: "Analysis") -> dict[tuple[str, str], dict[str, Both]]:
    """Gains by condition and target, then language; without the language of training."""
    cells: dict[tuple[str, str], dict[str, Both]] = {}
    for gain in analysis.cells:
        if gain.lang != analysis.source:
            cells.setdefault((gain.condition, gain.subject), {})[gain.lang] = gain.both
    return cells


def _adjusted(
    members: Mapping[str, Both], method: str, replicates: Mapping[Scale, Floats] | None
) -> tuple[Floats, Floats]:
    """Adjusted p-values and the stricter ones."""
    p = np.array([p_on_both_scales(both) for both in members.values()])
    if method == "bh":
        return adjust(p, "bh"), adjust(p, "by")
    if method == "minP" and replicates is not None:
        by_scale = []
        for scale in SCALES:
            estimates = [both.on(scale) for both in members.values()]
            alone = np.array([_p(estimate) for estimate in estimates])
            signs = np.array([estimate.value for estimate in estimates])
            by_scale.append(adjust_jointly(alone, signs, replicates[scale]))
        joint = np.maximum(p, np.max(by_scale, axis=0))
        return joint, joint
    holm = adjust(p, "holm")
    return holm, holm


def _family(
    name: str,
    title: str,
    parent: Family | None,
    method: str,
    members: Mapping[str, Both],
    adjusted: tuple[Floats, Floats],
    alpha: float,
) -> Family:
    opened = parent is None or parent.rejected
    hypotheses = tuple(
        Hypothesis(
            name=member,
            value=both.points.value,
            p=p_on_both_scales(both),
            adjusted=float(own),
            strict=float(strict),
            rejected=bool(opened and own <= alpha),
        )
        for (member, both), own, strict in zip(members.items(), *adjusted, strict=True)
    )
    return Family(name, title, method, parent.name if parent else "", opened, hypotheses)


def p_on_both_scales(both: Both) -> float:
    """p of "0 on at least one scale, or of different signs": the larger p; 1 where the signs differ."""
    if both.points.value * both.logit.value < 0.0:
        return 1.0
    return max(_p(both.points), _p(both.logit))


def _p(estimate: Estimate) -> float:
    """Two-sided p over new seeds and items; 1 where the seeds' part is unknown."""
    return estimate.p_value if estimate.seeds_estimable else 1.0


def _count(condition: str, target: str, cells: Mapping[str, Both], alpha: float) -> LanguageCount:
    """Half the level for either direction, as in a two-sided interval; languages share items and runs: Bonferroni."""
    higher, lower = (
        [max(_one_sided(both.on(scale), sign) for scale in SCALES) for both in cells.values()]
        for sign in (1.0, -1.0)
    )
    return LanguageCount(
        condition, target, len(cells), count_false(higher, alpha / 2.0), count_false(lower, alpha / 2.0)
    )


def _one_sided(estimate: Estimate, sign: float) -> float:
    if not estimate.seeds_estimable:
        return 1.0
    half = estimate.p_value / 2.0
    return half if estimate.value * sign > 0.0 else 1.0 - half
