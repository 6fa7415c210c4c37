"""A study in arrays: for every (condition, target, language) a block of runs x item clusters.

Which runs are the same random draw? Languages of one target always share their runs. Two targets share them, under
one condition, when any of their runs come from the same checkpoint or the same intermediate checkpoint. Where
the scores do not name the intermediate checkpoint (``parent``), targets under an intermediate condition are taken to
share it, as studies normally train it once per seed. Sharing is the safe side: independent runs that are
treated as shared keep valid intervals and lose degrees of freedom, never the other way round.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

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
        fixed: conditions whose one checkpoint is fixed, not a random draw (a baseline without training).
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
    fixed: tuple[str, ...]
    hops: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; ``given`` is the name of ``fixed`` in files."""
        facts = asdict(self)
        return {"given" if name == "fixed" else name: value for name, value in facts.items()}


@dataclass(frozen=True)
class Estimates:
    """One estimand on both scales."""

    points: Estimate
    logit: Estimate

    def __getitem__(self, scale: Scale) -> Estimate:
        return self.points if scale == "points" else self.logit

    def __iter__(self) -> Iterator[Estimate]:
        """Points, then log-odds."""
        return iter((self.points, self.logit))


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

    def estimates(self, weights: Weights) -> Estimates:
        """The weighted sum on both scales."""
        return Estimates(*(self.estimate(weights, scale) for scale in SCALES))

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

    @cached_property
    def trained_targets(self) -> tuple[str, ...]:
        """Targets whose baseline was trained, so that its runs are random draws."""
        return tuple(name for name, target in self.targets.items() if BASELINE not in target.fixed)

    def conditions_of(self, targets: Iterable[str]) -> tuple[str, ...]:
        """Conditions, without the baseline, that all these targets have."""
        listed = [self.targets[name].seeds for name in targets]
        return tuple(name for name in self.conditions if all(name in seeds for seeds in listed))


_NEEDED = (
    "condition", "target", "group", "seed", "lang", "item_id", "cluster_id", "hops", "metric", "num", "den", "main",
    "chance", "checkpoint", "parent", "phase",
)  # fmt: skip


class _Coded:
    """Rows of main metrics as arrays, with names as codes."""

    def __init__(self, rows: pd.DataFrame) -> None:
        names = ("target", "condition", "lang", "item_id", "cluster_id", "group", "metric")
        self.named = {name: rows[name].astype("category").cat for name in names}
        self.codes = {name: column.codes.to_numpy() for name, column in self.named.items()}
        numbers = ("seed", "num", "den", "chance", "hops")
        self.seed, self.num, self.den, self.chance, self.hops = (rows[name].to_numpy() for name in numbers)
        used = np.bincount(self.codes["cluster_id"], minlength=len(self.named["cluster_id"].categories)) > 0
        self.cluster_count = int(used.sum())
        self.cluster = (np.cumsum(used) - 1)[self.codes["cluster_id"]]
        on_target = rows["phase"] == "target" if "phase" in rows.columns else pd.Series(False, rows.index)
        self.trained = on_target.to_numpy() | (self.seed != NO_SEED)

    def split(self, name: str, places: Integers) -> dict[str, Integers]:
        """The places of some rows by their name in a column, sorted."""
        codes = self.codes[name][places]
        categories = self.named[name].categories
        return {str(categories[code]): places[codes == code] for code in np.unique(codes)}

    def target(self, name: str, places: Integers, languages: Mapping[str, Integers]) -> Target:
        """What is known of a target from its rows."""
        conditions = self.split("condition", places)
        baseline = conditions.get(BASELINE)
        items = self.codes["item_id"]
        return Target(
            name=name,
            group=next(iter(self.split("group", places[:1]))),
            metric=next(iter(self.split("metric", places[:1]))),
            languages=tuple(languages),
            items={lang: np.unique(items[here]).size for lang, here in languages.items()},
            clusters={lang: np.unique(self.cluster[here]).size for lang, here in languages.items()},
            chance={lang: _first_known(self.chance[here]) for lang, here in languages.items()},
            seeds={
                condition: tuple(np.unique(self.seed[here]).tolist())
                for condition, here in conditions.items()
            },
            fixed=() if baseline is None or self.trained[baseline].any() else (BASELINE,),
            hops=(int(self.hops[places].min()), int(self.hops[places].max())),
        )

    def block(self, places: Integers, clusters: Integers, population: int, *, fixed: bool) -> Block:
        """The sums of a condition, target and language by run and cluster."""
        seeds, row = np.unique(self.seed[places], return_inverse=True)
        place = row * clusters.size + np.searchsorted(clusters, self.cluster[places])
        shape = (seeds.size, clusters.size)
        num, den = (_sums(place, values[places], shape) for values in (self.num, self.den))
        return make_block(num, den, clusters, seeds.tolist(), population, fixed)


def build(frame: pd.DataFrame, *, source: str = "en", method: Method | None = None) -> Study:
    """Blocks from checked tidy scores (see :func:`.frame.tidy.check`); uses each target's main metric."""
    rows = main_rows(frame[[name for name in _NEEDED if name in frame.columns]])
    coded = _Coded(rows)
    populations, shared_parents = _populations(rows)
    targets: dict[str, Target] = {}
    blocks: dict[Cell, Block] = {}
    for name, of_target in coded.split("target", np.arange(len(rows))).items():
        languages = coded.split("lang", of_target)
        targets[name] = coded.target(name, of_target, languages)
        for lang, in_language in languages.items():
            clusters = np.unique(coded.cluster[in_language])
            for condition, places in coded.split("condition", in_language).items():
                population, fixed = populations[condition, name], condition in targets[name].fixed
                blocks[condition, name, lang] = coded.block(places, clusters, population, fixed=fixed)
    conditions = tuple(sorted({condition for condition, _, _ in blocks} - {BASELINE}))
    return Study(targets, conditions, blocks, coded.cluster_count, source, method or Method(), shared_parents)


def _sums(place: Integers, values: Floats, shape: tuple[int, int]) -> Floats:
    sums = np.bincount(place, weights=values, minlength=shape[0] * shape[1])
    return sums.astype(np.float64).reshape(shape)


def _first_known(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known[0]) if known.size else None


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
            if condition == BASELINE:  # its parent is the base checkpoint, which is fixed
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
