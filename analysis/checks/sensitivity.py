"""How much the key contrast C hangs on single targets, languages and conditions, and on choices of the analysis.

The variants share their data, so that their agreement is no evidence of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from xeval.analysis.estimate.arrays import Cell, Estimates, Study, build
from xeval.analysis.estimate.estimands import KEY, combine, match, mean, task_gain
from xeval.analysis.estimate.selection import common_conditions, select
from xeval.analysis.estimate.variance import SCALES, Estimate, Scale
from xeval.analysis.frame.tidy import ROUNDING, distinct
from xeval.conditions import BASELINE, single_conditions

GROUPS = tuple(KEY.signs)
DIVERGED_POINTS = 2.0
"""A run whose score in the language of training is less than that above chance has diverged."""

Kind = Literal["target", "language", "condition"]


def restrict(
    study: Study,
    *,
    targets: Sequence[str] = (),
    languages: Sequence[str] = (),
    conditions: Sequence[str] = (),
) -> Study:
    """The study as if these targets, languages and conditions were not in it; its blocks stay."""
    kept = {
        name: replace(target, languages=tuple(lang for lang in target.languages if lang not in languages))
        for name, target in study.targets.items()
        if name not in targets
    }
    return replace(
        study, targets=kept, conditions=tuple(name for name in study.conditions if name not in conditions)
    )


def contrast_weights(
    study: Study, *, common_languages: bool = True, keep_same_source: bool = False
) -> dict[Cell, float] | None:
    """C averaged over the single intermediate tasks, as weights; None where it does not exist.

    Args:
        common_languages: each pair of targets on the languages that both have; otherwise each target on all its own.
        keep_same_source: also targets whose own English training data the condition holds.
    """
    conditions = single_conditions(common_conditions(study, GROUPS))
    if common_languages:
        matched = match(study, conditions, GROUPS, keep_same_source=keep_same_source)
        return matched.contrast(KEY.signs) if matched else None
    parts = []
    for condition in conditions:
        pairs = select(study, groups=GROUPS, conditions=(condition,), keep_same_source=keep_same_source)
        gains = {
            group: [
                task_gain((condition,), pair.target, pair.languages) for pair in pairs if pair.group == group
            ]
            for group in GROUPS
        }
        if all(gains.values()):
            parts.append(combine((sign, mean(gains[group])) for group, sign in KEY.signs.items()))
    return mean(parts) if parts else None


# --- leave one out -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LeftOut(Estimates):
    """C without one target, language or condition."""

    kind: Kind
    name: str

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "points": self.points.to_dict(),
            "logit": self.logit.to_dict(),
        }


def leave_one_out(study: Study) -> tuple[LeftOut, ...]:
    """C without each target, language and condition that enters it, where something is left to compare."""
    whole = contrast_weights(study)
    if whole is None:
        return ()
    used = [cell for cell, weight in whole.items() if weight != 0.0]
    found = []
    for place, kind in ((1, "target"), (2, "language"), (0, "condition")):
        for name in sorted({cell[place] for cell in used} - {BASELINE}):
            weights = contrast_weights(restrict(study, **{f"{kind}s": (name,)}))
            if weights is not None:
                left = study.estimates(weights)
                found.append(LeftOut(left.points, left.logit, kind, name))  # type: ignore[arg-type]
    return tuple(found)


# --- other scales ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnScale:
    """C with the choices of the verdict on one scale; ``unit`` is that of the estimate."""

    scale: str
    unit: str
    estimate: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"scale": self.scale, "unit": self.unit, "estimate": self.estimate.to_dict()}


def other_scales(study: Study) -> tuple[OnScale, ...]:
    """C as probit, as log ratio of errors, and in points of what lies between chance and 100; empty without a C.

    A difference of gains on one scale is one on another only if it is no effect of where the baselines lie (Loftus
    1978), so that a sign that changes here must be told. The last scale needs the chance level of every target.
    """
    weights = contrast_weights(study)
    if weights is None:
        return ()
    found = [
        OnScale("probit", "normal quantiles", study.estimate(weights, "probit")),
        OnScale("log error", "log ratio of errors", study.estimate(weights, "log error")),
    ]
    chances = {cell: study.targets[cell[1]].chance.get(cell[2]) for cell, weight in weights.items() if weight}
    known = {cell: chance for cell, chance in chances.items() if chance is not None and chance < 1.0}
    if len(known) == len(chances):
        stretched = {cell: weights[cell] / (1.0 - chance) for cell, chance in known.items()}
        unit = "points of the range above chance"
        found.append(OnScale("above chance", unit, study.estimate(stretched, "points")))
    return tuple(found)


# --- specification curve -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Specification:
    """C under one combination of choices. ``primary``: the choices of the verdict (one on each scale)."""

    choices: Mapping[str, str]
    estimate: Estimate
    primary: bool

    @property
    def significant(self) -> bool:
        """Whether the interval over seeds and items excludes 0."""
        return self.estimate.seeds_estimable and (self.estimate.low > 0.0 or self.estimate.high < 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "choices": dict(self.choices),
            "primary": self.primary,
            "significant": self.significant,
            "estimate": self.estimate.to_dict(),
        }


@dataclass(frozen=True)
class SpecificationCurve:
    """All specifications, by scale and value."""

    specifications: tuple[Specification, ...]

    def at(self, scale: Scale) -> tuple[Specification, ...]:
        """Those of one scale, from the lowest C to the highest."""
        return tuple(
            specification for specification in self.specifications if specification.choices["scale"] == scale
        )

    @property
    def varied(self) -> tuple[str, ...]:
        """Choices that take more than one value."""
        names = self.specifications[0].choices if self.specifications else ()
        return tuple(
            name
            for name in names
            if len({specification.choices[name] for specification in self.specifications}) > 1
        )

    def counts(self, scale: Scale) -> dict[str, int]:
        """How many specifications there are, lie below 0, and are significantly below and above 0."""
        listed = self.at(scale)
        return {
            "all": len(listed),
            "below": sum(spec.estimate.value < 0.0 for spec in listed),
            "significantly_below": sum(spec.significant and spec.estimate.value < 0.0 for spec in listed),
            "significantly_above": sum(spec.significant and spec.estimate.value > 0.0 for spec in listed),
        }

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "varied": list(self.varied),
            "counts": {scale: self.counts(scale) for scale in SCALES},
            "specifications": [specification.to_dict() for specification in self.specifications],
        }


def specification_curve(frame: pd.DataFrame, study: Study) -> SpecificationCurve:
    """C under every combination of scale, languages, same-source rule, pairing, runs and metric.

    Subsets of targets (all but one) are crossed with scale, languages and same-source rule. Choices that change
    nothing in this study are not counted twice.

    Args:
        frame: checked tidy scores; ``study`` is built from them.
    """
    if contrast_weights(study, keep_same_source=True) is None:
        return SpecificationCurve(())
    found: list[Specification] = []
    for number, (runs, metric, variant) in enumerate(_variants(frame, study)):
        for paired in (study.method.paired, not study.method.paired):
            if paired and not _pairable(variant):
                continue
            used = replace(variant, method=replace(study.method, paired=paired))
            plain = number == 0 and paired == study.method.paired
            subsets = [("all", used), *(_subsets(used) if plain else ())]
            shared = {"seeds": "paired" if paired else "unpaired", "runs": runs, "metric": metric}
            for targets, subset in subsets:
                for choices, weights in _rules(subset):
                    estimates = used.estimates(weights)
                    first = choices == {"languages": "common", "same source": "dropped"}
                    found += [
                        Specification(
                            {"scale": scale, **choices, **shared, "targets": targets},
                            estimates[scale],
                            primary=plain and targets == "all" and first,
                        )
                        for scale in SCALES
                    ]
    found.sort(key=lambda spec: (spec.choices["scale"] != "points", spec.estimate.value))
    return SpecificationCurve(tuple(found))


def _rules(study: Study) -> Iterator[tuple[dict[str, str], dict[Cell, float]]]:
    """Language and same-source rules with their weights; each distinct estimand once."""
    seen: list[dict[Cell, float]] = []
    for languages in ("common", "all"):
        for rule in ("dropped", "kept"):
            weights = contrast_weights(
                study, common_languages=languages == "common", keep_same_source=rule == "kept"
            )
            if weights is None or any(_equal(weights, known) for known in seen):
                continue
            seen.append(weights)
            yield {"languages": languages, "same source": rule}, weights


def _equal(first: Mapping[Cell, float], second: Mapping[Cell, float]) -> bool:
    return all(
        abs(first.get(cell, 0.0) - second.get(cell, 0.0)) < 1e-12 for cell in first.keys() | second.keys()
    )


def _subsets(study: Study) -> Iterator[tuple[str, Study]]:
    for group in GROUPS:
        members = study.in_group(group)
        for name in members if len(members) > 1 else ():
            yield f"without {name}", restrict(study, targets=(name,))


def _pairable(study: Study) -> bool:
    """Whether all trained runs that C could use have the same seeds."""
    blocks = [
        block
        for (_, target, _), block in study.blocks.items()
        if study.targets[target].group in GROUPS and not block.deterministic
    ]
    return len({block.seeds for block in blocks}) == 1


def _variants(frame: pd.DataFrame, study: Study) -> Iterator[tuple[str, str, Study]]:
    """Names of runs and metric, and the study on them; the study itself comes first."""
    wanted = frame["group"].isin(GROUPS)
    rows = frame if wanted.all() else frame[wanted]
    yield "all", "main", study
    for metric, measured in _metrics(rows):
        for runs, kept in _runs(measured, study.source):
            if runs == "all" and metric == "main":
                continue
            variant = build(kept, source=study.source, method=study.method)
            if contrast_weights(variant, keep_same_source=True) is not None:
                yield runs, metric, variant


def _metrics(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The main metrics, then for each further one of any target a version in which it takes the main one's place.

    Targets with fewer metrics keep the last they have; only proportions that every run has can stand in.
    """
    yield "main", rows
    proportion = (rows["num"] >= 0.0) & (rows["num"] <= rows["den"] + ROUNDING)
    table = rows.assign(proportion=proportion).groupby(["target", "metric"], observed=True)
    facts = table.agg(main=("main", "first"), usable=("proportion", "all"), size=("den", "size"))
    lists: dict[str, list[str]] = {}
    for target, part in facts.reset_index().groupby("target", observed=True):
        size = part.loc[part["main"], "size"].iloc[0]
        others = part[~part["main"] & part["usable"] & (part["size"] == size)]
        main = part.loc[part["main"], "metric"].astype(str).tolist()
        lists[str(target)] = main + sorted(others["metric"].astype(str))
    for place in range(1, max(map(len, lists.values()))):
        chosen = {target: names[min(place, len(names) - 1)] for target, names in lists.items()}
        label = ", ".join(dict.fromkeys(chosen.values()))
        wanted = [
            ((rows["target"] == target) & (rows["metric"] == metric)).to_numpy()
            for target, metric in chosen.items()
        ]
        yield label, rows.assign(main=np.any(wanted, axis=0))


def _runs(rows: pd.DataFrame, source: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """All runs; those of seeds that every target has, and those that did not diverge, where that is fewer."""
    yield "all", rows
    seeds = distinct(rows, ["condition", "seed", "target"])
    targets = seeds.groupby(["condition", "seed"], observed=True)["target"].nunique()
    apart = [run for run in targets.index[targets < targets.max()] if run[1] >= 0]
    if apart:
        pairs = pd.MultiIndex.from_frame(rows[["condition", "seed"]])
        yield "seeds of every target", _with_baseline(rows[~pairs.isin(apart)])
    at_source = rows[rows["main"] & (rows["lang"] == source) & rows["chance"].notna()]
    run = ["target", "condition", "seed"]
    sums = at_source.groupby(run, observed=True).agg(
        num=("num", "sum"), den=("den", "sum"), chance=("chance", "first")
    )
    diverged = sums.index[100.0 * (sums["num"] / sums["den"] - sums["chance"]) < DIVERGED_POINTS]
    if len(diverged):
        kept = ~pd.MultiIndex.from_frame(rows[run]).isin(diverged)
        yield "without diverged", _with_baseline(rows[kept])


def _with_baseline(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of targets that still have a baseline."""
    have = rows.loc[rows["condition"] == BASELINE, "target"].unique()
    return rows[rows["target"].isin(have)].reset_index(drop=True)
