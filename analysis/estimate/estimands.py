"""What is estimated, as weights on the scores of (condition, target, language).

- cell gain ``g(k,t,l)``: score under condition k minus score of the baseline, seeds averaged first;
- task gain ``G(k,t)``: unweighted mean of ``g`` over the languages other than English;
- group gain ``G(k,T)``: unweighted mean of ``G(k,t)`` over the tasks of group T; ``G(T)``: its mean over the single
  intermediate tasks (mixtures of intermediate tasks, written with ``+``, are reported apart);
- contrasts of group gains, task by task on the languages that the compared tasks share. The key contrast is
  ``C = G(multi-hop QA) - G(classification)``. For each condition it leaves out the tasks, of any group, whose own
  English training data the condition holds (see :mod:`.frame.same_source`): their gain is no transfer from another
  task.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import stdtrit

from xeval.analysis.estimate.arrays import Cell, Estimates, Study, Weights
from xeval.analysis.estimate.selection import common_conditions, select
from xeval.analysis.estimate.variance import Scale
from xeval.conditions import (
    BASELINE,
    CLASSIFICATION,
    MULTI_HOP_CLASSIFICATION,
    MULTI_HOP_QA,
    SINGLE_HOP_QA,
    single_conditions,
)

Signs = Mapping[str, float]
"""Group -> its factor in a contrast; factor 0 only narrows the languages."""


@dataclass(frozen=True)
class ContrastForm:
    """A contrast's name, its formula in words, and the factors of the groups."""

    name: str
    formula: str
    signs: Signs


KEY = ContrastForm("C", "multi-hop QA − classification", {MULTI_HOP_QA: 1.0, CLASSIFICATION: -1.0})
SAME_FORMAT = ContrastForm(
    "C_QA",
    "multi-hop QA − single-hop QA",
    {MULTI_HOP_QA: 1.0, SINGLE_HOP_QA: -1.0, CLASSIFICATION: 0.0},
)
REST = ContrastForm(
    "C − C_QA",
    "single-hop QA − classification",
    {MULTI_HOP_QA: 0.0, SINGLE_HOP_QA: 1.0, CLASSIFICATION: -1.0},
)
CLASSIFICATION_HOPS = ContrastForm(
    "C_CLS",
    "multi-hop classification − classification",
    {MULTI_HOP_CLASSIFICATION: 1.0, CLASSIFICATION: -1.0},
)
QA_HOPS = ContrastForm("C_QA", "multi-hop QA − single-hop QA", {MULTI_HOP_QA: 1.0, SINGLE_HOP_QA: -1.0})


def _grid(name: str, formula: str, *factors: float) -> ContrastForm:
    groups = (CLASSIFICATION, MULTI_HOP_CLASSIFICATION, SINGLE_HOP_QA, MULTI_HOP_QA)
    return ContrastForm(name, formula, dict(zip(groups, factors, strict=True)))


GRID = (
    _grid("hops in classification", "multi-hop classification − classification", -1, 1, 0, 0),
    _grid("hops in QA", "multi-hop QA − single-hop QA", 0, 0, -1, 1),
    _grid("format at one hop", "single-hop QA − classification", -1, 0, 1, 0),
    _grid("format at several hops", "multi-hop QA − multi-hop classification", 0, -1, 0, 1),
    _grid("hops", "multi-hop − single-hop, mean of both answer formats", -0.5, 0.5, -0.5, 0.5),
    _grid("format", "QA − classification, mean of both hop levels", -0.5, -0.5, 0.5, 0.5),
    _grid("hops x format", "hops in QA − hops in classification", 1, -1, -1, 1),
)


def combine(parts: Iterable[tuple[float, Weights]]) -> dict[Cell, float]:
    """Sum of weights, each times a factor; cells that cancel stay with weight 0."""
    total: defaultdict[Cell, float] = defaultdict(float)
    for factor, weights in parts:
        for cell, weight in weights.items():
            total[cell] += factor * weight
    return dict(total)


def mean(parts: Sequence[Weights]) -> dict[Cell, float]:
    """Unweighted mean of estimands."""
    return combine((1.0 / len(parts), part) for part in parts)


def cell_gain(condition: str, target: str, lang: str) -> dict[Cell, float]:
    """g(k,t,l)."""
    return {(condition, target, lang): 1.0, (BASELINE, target, lang): -1.0}


def task_gain(conditions: Sequence[str], target: str, languages: Sequence[str]) -> dict[Cell, float]:
    """G(k,t), averaged over ``conditions``; the baseline enters once, with the summed weight."""
    return mean([cell_gain(condition, target, lang) for condition in conditions for lang in languages])


def group_gain(study: Study, conditions: Sequence[str], group: str) -> dict[Cell, float]:
    """G(k,T), each task over all its languages other than English."""
    return mean(
        [task_gain(conditions, target, study.transfer_languages(target)) for target in study.in_group(group)]
    )


@dataclass(frozen=True)
class Matched:
    """Group gains on matched languages: for each combination of one task per group, the languages they share.

    Attributes:
        gains: group -> weights of its gain; sums of these over groups are contrasts.
        conditions, targets, languages: everything that enters.
        unmatched: combinations of tasks without a shared language; they do not enter.
    """

    gains: Mapping[str, Weights]
    conditions: tuple[str, ...]
    targets: tuple[str, ...]
    languages: tuple[str, ...]
    unmatched: tuple[tuple[str, ...], ...]

    def contrast(self, signs: Signs) -> dict[Cell, float]:
        return combine((factor, self.gains[group]) for group, factor in signs.items() if factor != 0.0)


def match(
    study: Study, conditions: Sequence[str], groups: Sequence[str], *, keep_same_source: bool = False
) -> Matched | None:
    """Gains of ``groups`` on common languages, or None where no combination of tasks shares a language.

    The mean over ``conditions``, each without the targets whose own training data it holds unless ``keep_same_source``;
    a condition with no combination left takes no part.
    """
    parts: dict[str, list[Weights]] = {group: [] for group in groups}
    used: list[str] = []
    languages: set[str] = set()
    targets: set[str] = set()
    unmatched: dict[tuple[str, ...], None] = {}
    for condition in conditions:
        pairs = select(study, groups=groups, conditions=(condition,), keep_same_source=keep_same_source)
        gains: dict[str, list[Weights]] = {group: [] for group in groups}
        for combination in product(*([pair for pair in pairs if pair.group == group] for group in groups)):
            names = tuple(pair.target for pair in combination)
            common = sorted(set.intersection(*(set(pair.languages) for pair in combination)))
            if not common:
                unmatched[names] = None
                continue
            languages.update(common)
            targets.update(names)
            for pair in combination:
                gains[pair.group].append(task_gain((condition,), pair.target, common))
        if gains[groups[0]]:
            used.append(condition)
            for group in groups:
                parts[group].append(mean(gains[group]))
    if not used:
        return None
    return Matched(
        gains={group: mean(listed) for group, listed in parts.items()},
        conditions=tuple(used),
        targets=tuple(sorted(targets)),
        languages=tuple(sorted(languages)),
        unmatched=tuple(unmatched),
    )


def retention(
    study: Study, numerator: Weights, denominator: Weights, scale: Scale
) -> tuple[float, float, float] | None:
    """G(MH) / G(CLS) with its Fieller interval; None unless the denominator's interval lies above 0.

    The covariance comes from Var(a - b) = Var(a) + Var(b) - 2 Cov(a, b) (Fieller 1954).
    """
    top, bottom = study.estimate(numerator, scale), study.estimate(denominator, scale)
    if bottom.low <= 0.0 or not (top.seeds_estimable and bottom.seeds_estimable):
        return None
    difference = study.estimate(combine([(1.0, numerator), (-1.0, denominator)]), scale)
    t = float(stdtrit(min(difference.df, bottom.df), 1.0 - (1.0 - difference.confidence) / 2.0))
    covariance = (top.se**2 + bottom.se**2 - difference.se**2) / 2.0
    a, b = bottom.value**2 - (t * bottom.se) ** 2, top.value * bottom.value - t**2 * covariance
    c = top.value**2 - (t * top.se) ** 2
    if a <= 0.0 or b**2 < a * c:
        return None
    root = float(np.sqrt(b**2 - a * c))
    return top.value / bottom.value, (b - root) / a, (b + root) / a


@dataclass(frozen=True)
class Contrast(Estimates):
    """A contrast between group gains: mean over the single intermediate tasks, and for every condition.

    ``parts`` holds each group's gain on the same matched languages, so that the contrast is exactly their
    signed sum. ``conditions`` are those that the mean is over; ``dropped`` are the (condition, target) pairs of one
    source, of every condition, which take no part.
    """

    form: ContrastForm
    by_condition: Mapping[str, Estimates]
    parts: Mapping[str, Estimates]
    conditions: tuple[str, ...]
    targets: tuple[str, ...]
    languages: tuple[str, ...]
    unmatched: tuple[tuple[str, ...], ...]
    dropped: tuple[tuple[str, str], ...]
    retention: Mapping[str, tuple[float, float, float] | None]


def contrast(study: Study, form: ContrastForm) -> Contrast | None:
    """The contrast, or None where a group, a common condition or a common language is missing.

    A condition that holds the own training data of all targets of a group takes no part; None where none is left.
    """
    groups = tuple(form.signs)
    conditions = common_conditions(study, groups)
    matched = match(study, single_conditions(conditions), groups) if conditions else None
    if matched is None:
        return None
    alone = {condition: match(study, (condition,), groups) for condition in conditions}
    kept: dict[str, tuple[float, float, float] | None] = {}
    if form is KEY:
        top, bottom = matched.gains[MULTI_HOP_QA], matched.gains[CLASSIFICATION]
        kept = {scale: retention(study, top, bottom, scale) for scale in ("points", "logit")}
    mean_contrast = study.estimates(matched.contrast(form.signs))
    return Contrast(
        points=mean_contrast.points,
        logit=mean_contrast.logit,
        form=form,
        by_condition={
            condition: study.estimates(matched_alone.contrast(form.signs))
            for condition, matched_alone in alone.items()
            if matched_alone
        },
        parts={group: study.estimates(gain) for group, gain in matched.gains.items()},
        conditions=matched.conditions,
        targets=matched.targets,
        languages=matched.languages,
        unmatched=matched.unmatched,
        dropped=tuple(
            (condition, pair.target)
            for condition in conditions
            for pair in select(study, groups=groups, conditions=(condition,))
            if pair.same_source
        ),
        retention=kept,
    )


def contrasts(study: Study) -> dict[str, Contrast]:
    """Every contrast that the groups of the study allow, by name."""
    forms = [KEY, SAME_FORMAT, REST] if study.in_group(CLASSIFICATION) else [QA_HOPS]
    found = {form.name: contrast(study, form) for form in (*forms, CLASSIFICATION_HOPS, *GRID)}
    return {name: found_contrast for name, found_contrast in found.items() if found_contrast is not None}


def condition_contrasts(study: Study) -> dict[str, dict[Cell, float]]:
    """C(k) of every single intermediate task, as weights."""
    found = contrast(study, KEY)
    weights = {}
    for condition in found.conditions if found else ():
        matched = match(study, (condition,), tuple(KEY.signs))
        assert matched is not None  # the contrast exists
        weights[condition] = matched.contrast(KEY.signs)
    return weights
