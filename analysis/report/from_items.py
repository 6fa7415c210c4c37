"""What the report draws from single items: the bootstrap distribution of C, and gains by hops within one target."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xeval.analysis.checks.robustness import Missing
from xeval.analysis.estimate.arrays import Estimates, Study, build
from xeval.analysis.estimate.estimands import KEY, combine, match, task_gain
from xeval.analysis.estimate.variance import SCALES, Floats, Scale
from xeval.analysis.frame.same_source import same_source
from xeval.analysis.frame.tidy import main_rows
from xeval.analysis.result import Analysis
from xeval.conditions import MEAN, MULTI_HOP, single_conditions

BINS = 60


@dataclass(frozen=True)
class Histogram:
    """Numbers of replicates in ``len(edges) - 1`` bins of equal width."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class HopGain(Estimates):
    """The gain of one condition (or ``mean``) on the items of a target that need ``hops`` hops."""

    target: str
    condition: str
    hops: int
    items: int


@dataclass(frozen=True)
class HopSlope(Estimates):
    """Gain on the items of most hops minus gain on those of fewest, divided by the hops between."""

    target: str
    condition: str
    hops: tuple[int, int]


@dataclass(frozen=True)
class FromItems:
    """What needs items.

    Attributes:
        same_source: C(k) with the targets whose own training data the condition holds, for conditions that have such.
        distribution: the Multi-Bootstrap replicates of C by scale; None where there is no bootstrap.
        hop_gains: of multi-hop targets whose items have different numbers of hops; ``hop_slopes`` beside them.
        hops: target -> items per number of hops, of every multi-hop target.
        left_out: sentences on the numbers of hops whose gain has no interval.
    """

    same_source: Mapping[str, Estimates]
    distribution: Mapping[Scale, Histogram] | None
    hop_gains: tuple[HopGain, ...]
    hop_slopes: tuple[HopSlope, ...]
    hops: Mapping[str, Mapping[int, int]]
    left_out: tuple[str, ...] = ()


def from_items(analysis: Analysis) -> FromItems:
    """Everything that needs items, with the method of the analysis."""
    multi = analysis.checked[analysis.checked["group"].isin(MULTI_HOP)]
    known, left_out = _levels(multi, analysis.source)
    gains, slopes = _by_hops(known, analysis)
    return FromItems(
        _same_source(analysis.study), _distribution(analysis), gains, slopes, _hops(multi), left_out
    )


def _same_source(study: Study) -> dict[str, Estimates]:
    groups = tuple(KEY.signs)
    pairs = [name for group in groups for name in study.in_group(group)]
    found = {}
    for condition in study.conditions_of(pairs):
        if any(same_source(condition, name) for name in pairs):
            matched = match(study, (condition,), groups, keep_same_source=True)
            if matched:
                found[condition] = study.estimates(matched.contrast(KEY.signs))
    return found


def _distribution(analysis: Analysis) -> dict[Scale, Histogram] | None:
    """Replicates of C: the mean over conditions of those of C(k), which are drawn jointly."""
    resampled = analysis.resampled
    if isinstance(resampled, Missing):
        return None
    return {scale: histogram(resampled.conditions[scale].mean(axis=1)) for scale in SCALES}


def histogram(values: Floats, bins: int = BINS) -> Histogram:
    """Counts in bins over the whole range."""
    counts, edges = np.histogram(values, bins=bins)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))


def _hops(multi: pd.DataFrame) -> dict[str, dict[int, int]]:
    items = main_rows(multi)[["target", "item_id", "hops"]].drop_duplicates()
    found: dict[str, dict[int, int]] = {}
    for row in items.groupby(["target", "hops"], observed=True).size().reset_index(name="items").itertuples():
        found.setdefault(str(row.target), {})[int(str(row.hops))] = int(str(row.items))
    return found


def _levels(multi: pd.DataFrame, source: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The transfer rows of known hops, without the numbers of hops that are too rare for an interval; and which."""
    known = main_rows(multi)
    known = known[(known["hops"] > 0) & (known["lang"] != source)]
    level = ["target", "hops"]
    runs = known.groupby([*level, "lang", "condition", "seed"], observed=True).agg(
        clusters=("cluster_id", "nunique"), den=("den", "sum")
    )
    rare = runs[(runs["clusters"] < 2) | (runs["den"] <= 0.0)].reset_index()
    kept, sentences = np.ones(len(known), dtype=bool), []
    for (target, hops), rows in rare.groupby(level, observed=True):
        languages = ", ".join(sorted(rows["lang"].astype(str).unique()))
        sentences.append(
            f"{target}: its items of {hops} {'hop' if hops == 1 else 'hops'} are fewer than two item clusters, or have "
            f"nothing to score, in {languages}; this number of hops is left out here."
        )
        kept &= ((known["target"] != target) | (known["hops"] != hops)).to_numpy()
    return known[kept], tuple(sentences)


def _by_hops(known: pd.DataFrame, analysis: Analysis) -> tuple[tuple[HopGain, ...], tuple[HopSlope, ...]]:
    """Gains by hops with the two-way variance: the items of each number of hops stand as a target of their own."""
    varies = known.groupby("target", observed=True)["hops"].nunique()
    known = known[known["target"].isin(varies[varies > 1].index)]
    if known.empty:
        return (), ()
    levels = known[["target", "hops"]].drop_duplicates()
    pairs = sorted((str(row.target), int(str(row.hops))) for row in levels.itertuples(index=False))
    names = {pair: f"{pair[0]} at {pair[1]} hops" for pair in pairs}
    label = [
        names[target, hops] for target, hops in zip(known["target"].astype(str), known["hops"], strict=True)
    ]
    study = build(
        known.assign(target=label).reset_index(drop=True), source=analysis.source, method=analysis.method
    )
    gains, slopes = [], []
    for target in dict.fromkeys(target for target, _ in pairs):
        listed = [hops for name, hops in pairs if name == target]
        conditions = study.conditions_of(names[target, hops] for hops in listed)
        languages = [set(study.transfer_languages(names[target, hops])) for hops in listed]
        common = sorted(set.intersection(*languages))
        if not common or not conditions:
            continue
        alone = {name: (name,) for name in conditions}
        chosen = {MEAN: single_conditions(conditions)} | alone if len(conditions) > 1 else alone
        for condition, members in chosen.items():
            weights = {hops: task_gain(members, names[target, hops], common) for hops in listed}
            for hops, weight in weights.items():
                items = max(study.targets[names[target, hops]].items.values())
                found = study.estimates(weight)
                gains.append(HopGain(found.points, found.logit, target, condition, hops, items))
            ends = (listed[0], listed[-1])
            step = 1.0 / (ends[1] - ends[0])
            difference = combine([(step, weights[ends[1]]), (-step, weights[ends[0]])])
            found = study.estimates(difference)
            slopes.append(HopSlope(found.points, found.logit, target, condition, ends))
    return tuple(gains), tuple(slopes)
