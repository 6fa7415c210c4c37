"""The families of tests of a study: they open one after the other, and gains are counted over languages.

A hypothesis is rejected only where both scales say so in the same direction: its p is the larger of the two
(intersection-union test, Berger 1982), and 1 where the signs differ or where a trained condition has a single run.

The families stand in a row, each at the whole level. One opens only if every hypothesis of the one before it is
rejected; then the chance of any false rejection in F0 to F2 together stays below the level (serial
gatekeeping, Westfall & Krishen 2001). Adjusted p-values of closed families are descriptive. F3 controls the share of
false discoveries within one condition and target, not the chance of any.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xeval.analysis.estimate.arrays import Estimates
from xeval.analysis.estimate.estimands import KEY, REST, SAME_FORMAT, Contrast
from xeval.analysis.estimate.gains import Gains
from xeval.analysis.estimate.variance import SCALES, Estimate, Floats, Scale
from xeval.analysis.tests.multiplicity import adjust, adjust_jointly, count_false
from xeval.conditions import CLASSIFICATION, MULTI_HOP_QA, SINGLE_HOP_QA


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
        return all(hypothesis.rejected for hypothesis in self.hypotheses)


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


def families(
    contrasts: Mapping[str, Contrast],
    gains: Gains,
    confidence: float,
    replicates: Mapping[Scale, Floats] | None = None,
) -> Families:
    """The families F0 (C), F1 (its parts), F2 (C of each condition) and F3 (cells), tested in this order.

    A family without members is passed over. F3 has a family for every condition and target.

    Args:
        contrasts: by name, as :func:`.estimate.estimands.contrasts` gives them.
        confidence: 1 - the level of every family.
        replicates: scale -> (B, conditions) joint replicates of :func:`.estimate.estimands.condition_contrasts`, in
            its order; then F2 is adjusted with their dependence (all C(k) share the baseline runs), otherwise by
            Holm's method.
    """
    alpha = round(1.0 - confidence, 10)
    made: list[Family] = []

    def add(
        name: str, title: str, parent: Family | None, method: str, members: Mapping[str, Estimates]
    ) -> None:
        if members:
            adjusted = _adjusted(members, method, replicates)
            made.append(_family(name, title, parent, method, members, adjusted, alpha))

    key = contrasts.get(KEY.name)
    cells = gains.by_language()
    add("F0", "C, on both scales", None, "none", {KEY.name: key} if key else {})
    add("F1", "parts of C and gains by group", made[-1] if made else None, "holm", _parts(contrasts, gains))
    by_condition = {f"C({name})": key.by_condition[name] for name in key.conditions} if key else {}
    joint = "minP" if replicates else "holm"
    add("F2", "C of each intermediate task", made[-1] if made else None, joint, by_condition)
    gate = made[-1] if made else None
    for (condition, target), members in cells.items():
        add(f"F3 {condition} {target}", f"{condition} on {target}, by language", gate, "bh", members)
    counts = tuple(
        _count(condition, target, members, alpha) for (condition, target), members in cells.items()
    )
    return Families(alpha, tuple(made), counts)


def _parts(contrasts: Mapping[str, Contrast], gains: Gains) -> dict[str, Estimates]:
    parts = {form.name: contrasts[form.name] for form in (SAME_FORMAT, REST) if form.name in contrasts}
    means = gains.mean_of_groups()
    groups = (MULTI_HOP_QA, SINGLE_HOP_QA, CLASSIFICATION)
    return parts | {f"G({group})": means[group] for group in groups if group in means}


def _adjusted(
    members: Mapping[str, Estimates], method: str, replicates: Mapping[Scale, Floats] | None
) -> tuple[Floats, Floats]:
    """Adjusted p-values and the stricter ones."""
    p = np.array([p_on_both_scales(gain) for gain in members.values()])
    if method == "bh":
        return adjust(p, "fdr_bh"), adjust(p, "fdr_by")
    if method == "minP" and replicates is not None:
        by_scale = []
        for scale in SCALES:
            estimates = [gain[scale] for gain in members.values()]
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
    members: Mapping[str, Estimates],
    adjusted: tuple[Floats, Floats],
    alpha: float,
) -> Family:
    opened = parent is None or parent.rejected
    hypotheses = tuple(
        Hypothesis(
            name=member,
            value=gain.points.value,
            p=p_on_both_scales(gain),
            adjusted=float(corrected),
            strict=float(strict),
            rejected=bool(opened and corrected <= alpha),
        )
        for (member, gain), corrected, strict in zip(members.items(), *adjusted, strict=True)
    )
    return Family(name, title, method, parent.name if parent else "", opened, hypotheses)


def p_on_both_scales(estimates: Estimates) -> float:
    """p of "0 on at least one scale, or of different signs": the larger p; 1 where the signs differ."""
    if estimates.points.value * estimates.logit.value < 0.0:
        return 1.0
    return max(_p(estimates.points), _p(estimates.logit))


def _p(estimate: Estimate) -> float:
    """Two-sided p over new seeds and items; 1 where the seeds' part is unknown."""
    return estimate.p_value if estimate.seeds_estimable else 1.0


def _count(condition: str, target: str, cells: Mapping[str, Estimates], alpha: float) -> LanguageCount:
    """Half the level for either direction, as in a two-sided interval; languages share items and runs: Bonferroni."""
    higher, lower = (
        [max(_one_sided(estimate, sign) for estimate in gain) for gain in cells.values()]
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
