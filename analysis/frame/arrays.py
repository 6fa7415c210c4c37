"""A study in arrays: for every (condition, target, language) a block of runs x item clusters.

Which runs are the same random draw? Languages of one target always share their runs. Two targets share them, under
one condition, when any of their runs come from the same checkpoint or the same intermediate checkpoint. Where
the scores do not name the intermediate checkpoint (``parent``), targets under an intermediate condition are taken to
share it, as studies normally train it once per seed. Sharing is the safe side: independent runs that are
treated as shared keep valid intervals and lose degrees of freedom, never the other way round.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from xeval.analysis.estimate import variance
from xeval.analysis.estimate.variance import (
    SCALES,
    Block,
    Estimate,
    Floats,
    Integers,
    Measure,
    Method,
    Scale,
    Term,
    make_block,
    strata_of,
)
from xeval.analysis.frame.tidy import distinct, main_rows
from xeval.conditions import BASELINE, NO_SEED

Cell = tuple[str, str, str]
"""Condition, target, language."""
Weights = Mapping[Cell, float]


@dataclass(frozen=True)
class Target:
    """What is known of a target task from its scores.

    Attributes:
        languages: evaluated languages, sorted; ``clusters``, ``items`` and ``chance`` are per language.
        seeds: for each condition the seeds of its runs.
        given: conditions whose one checkpoint is given, not a random draw (a baseline without training).
        hops: smallest and largest number of hops of its items; 0 where the data do not say.
    """

    name: str
    group: str
    metric: str
    languages: tuple[str, ...]
    items: Mapping[str, int]
    clusters: Mapping[str, int]
    chance: Mapping[str, float | None]
    seeds: Mapping[str, tuple[int, ...]]
    given: tuple[str, ...]
    hops: tuple[int, int]


@dataclass(frozen=True)
class Both:
    """One estimand on both scales."""

    points: Estimate
    logit: Estimate

    def on(self, scale: Scale) -> Estimate:
        return self.points if scale == "points" else self.logit


@dataclass(frozen=True)
class Study:
    """All blocks of a study, and how its intervals are made. ``source`` is the language of training (English)."""

    targets: Mapping[str, Target]
    conditions: tuple[str, ...]
    blocks: Mapping[Cell, Block]
    cluster_count: int
    source: str
    method: Method
    shared_parents: tuple[str, ...]

    @cached_property
    def strata(self) -> Integers:
        return strata_of(self.blocks.values(), self.cluster_count)

    def estimate(self, weights: Weights, scale: Measure) -> Estimate:
        """The weighted sum of transformed scores, with its two-way variance."""
        terms = [Term(weight, self.blocks[cell]) for cell, weight in sorted(weights.items())]
        return variance.estimate(terms, scale, self.strata, self.method)

    def both(self, weights: Weights) -> Both:
        """The weighted sum on both scales."""
        return Both(*(self.estimate(weights, scale) for scale in SCALES))

    def transfer_languages(self, target: str) -> tuple[str, ...]:
        """The target's languages without the language of training."""
        return tuple(lang for lang in self.targets[target].languages if lang != self.source)

    def in_group(self, group: str) -> tuple[str, ...]:
        """Targets of a group that are evaluated in some language other than that of training."""
        return tuple(
            name
            for name, target in self.targets.items()
            if target.group == group and self.transfer_languages(name)
        )

    def conditions_of(self, targets: Iterable[str]) -> tuple[str, ...]:
        """Conditions, without the baseline, that all these targets have."""
        listed = [self.targets[name].seeds for name in targets]
        return tuple(name for name in self.conditions if all(name in seeds for seeds in listed))


_NEEDED = (
    "condition", "target", "group", "seed", "lang", "item_id", "cluster_id", "hops", "metric", "num", "den", "main",
    "chance", "checkpoint", "parent", "phase",
)  # fmt: skip
_OF_TARGET = {
    "condition", "group", "seed", "lang", "item_id", "cluster_id", "hops", "metric", "chance", "phase",
}  # fmt: skip


def build(frame: pd.DataFrame, *, source: str = "en", method: Method | None = None) -> Study:
    """Blocks from checked tidy scores (see :func:`.frame.tidy.check`); uses each target's main metric."""
    rows = main_rows(frame[[name for name in _NEEDED if name in frame.columns]])
    named = rows["cluster_id"].astype("category").cat
    used = np.bincount(named.codes, minlength=len(named.categories)) > 0
    cluster_of = (np.cumsum(used) - 1)[named.codes.to_numpy()]
    populations, shared_parents = _populations(rows)
    condition_names = rows["condition"].astype("category").cat
    condition_of = condition_names.codes.to_numpy()
    seed_of, num_of, den_of = (rows[name].to_numpy() for name in ("seed", "num", "den"))
    targets: dict[str, Target] = {}
    blocks: dict[Cell, Block] = {}
    for name, found in rows.groupby("target", observed=True).indices.items():
        of_target = np.asarray(found, np.int64)
        target, part = str(name), rows[list(_OF_TARGET & set(rows.columns))].take(of_target)
        targets[target] = _target(target, part)
        for lang, of_lang in part.groupby("lang", observed=True).indices.items():
            places = of_target[np.asarray(of_lang, np.int64)]
            clusters, column = np.unique(cluster_of[places], return_inverse=True)
            for code in np.unique(condition_of[places]):
                condition, own = str(condition_names.categories[code]), condition_of[places] == code
                here = places[own]
                seeds, row = np.unique(seed_of[here], return_inverse=True)
                place = row * clusters.size + column[own]
                shape = (seeds.size, clusters.size)
                num, den = (_sums(place, values[here], shape) for values in (num_of, den_of))
                blocks[condition, target, str(lang)] = make_block(
                    num,
                    den,
                    clusters,
                    seeds.tolist(),
                    populations[condition, target],
                    deterministic=condition in targets[target].given,
                )
    conditions = sorted({condition for condition, _, _ in blocks} - {BASELINE})
    return Study(
        targets, tuple(conditions), blocks, int(used.sum()), source, method or Method(), shared_parents
    )


def _sums(place: Integers, values: Floats, shape: tuple[int, int]) -> Floats:
    sums = np.bincount(place, weights=values, minlength=shape[0] * shape[1])
    return sums.astype(np.float64).reshape(shape)


def _target(name: str, rows: pd.DataFrame) -> Target:
    by_language = rows.groupby("lang", observed=True)
    chance = by_language["chance"].first()
    baseline = rows[rows["condition"] == BASELINE]
    given = bool((baseline["seed"] == NO_SEED).all())
    if "phase" in rows.columns:
        given = given and not (baseline["phase"] == "target").any()
    return Target(
        name=name,
        group=str(rows["group"].iloc[0]),
        metric=str(rows["metric"].iloc[0]),
        languages=tuple(str(lang) for lang in chance.index),
        items={str(lang): int(count) for lang, count in by_language["item_id"].nunique().items()},
        clusters={str(lang): int(count) for lang, count in by_language["cluster_id"].nunique().items()},
        chance={str(lang): None if pd.isna(value) else float(value) for lang, value in chance.items()},
        seeds={
            str(condition): tuple(sorted(int(seed) for seed in seeds.unique()))
            for condition, seeds in rows.groupby("condition", observed=True)["seed"]
        },
        given=(BASELINE,) if given else (),
        hops=(int(rows["hops"].min()), int(rows["hops"].max())),
    )


def _populations(rows: pd.DataFrame) -> tuple[dict[tuple[str, str], int], tuple[str, ...]]:
    """A population number for each (condition, target), and the conditions whose seeds share one parent."""
    knows_parent = "parent" in rows.columns and bool((rows["parent"] != "").any())
    lineage = [name for name in ("checkpoint", "parent") if name in rows.columns]
    runs = distinct(rows, ["condition", "target", "seed", *lineage])
    numbers: dict[tuple[str, str], int] = {}
    one_parent = []
    for name, part in runs.groupby("condition", observed=True):
        condition = str(name)
        marks: dict[str, set[str]] = {}
        for run in part.itertuples(index=False):
            known = {str(getattr(run, column)) for column in lineage} - {""}
            if condition == BASELINE:  # its parent is the base checkpoint, which is given, not drawn
                known -= {str(getattr(run, "parent", ""))}
            elif not knows_parent and run.seed != NO_SEED:
                known.add("the condition's intermediate checkpoints")
            marks.setdefault(str(run.target), set()).update(known)
        for component in _components(marks):
            number = len(set(numbers.values()))
            numbers.update({(condition, target): number for target in component})
        if knows_parent and condition != BASELINE:
            trained = (
                part[part["parent"] != ""].groupby(["target", "parent"], observed=True)["seed"].nunique()
            )
            if (trained > 1).any():
                one_parent.append(condition)
    return numbers, tuple(one_parent)


def _components(marks: Mapping[str, set[str]]) -> list[list[str]]:
    """Names grouped so that names with a common mark, directly or through others, are together."""
    components: list[tuple[set[str], set[str]]] = []
    for name in sorted(marks):
        joined = ({name}, set(marks[name]))
        separate = []
        for names, known in components:
            if known & joined[1]:
                joined = (joined[0] | names, joined[1] | known)
            else:
                separate.append((names, known))
        components = [*separate, joined]
    return [sorted(names) for names, _ in components]
