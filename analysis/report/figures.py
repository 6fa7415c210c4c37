"""What every figure shows, as records; :mod:`.vega` draws them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xeval.analysis.checks.robustness import Band
from xeval.analysis.checks.sensitivity import Specification
from xeval.analysis.estimate.arrays import Estimates
from xeval.analysis.estimate.estimands import GRID, KEY
from xeval.analysis.estimate.variance import SCALES, Floats, Scale
from xeval.analysis.frame.same_source import same_source
from xeval.analysis.models.languages import covariate
from xeval.analysis.report.from_items import FromItems, Histogram, histogram
from xeval.analysis.report.model import Figure, Record
from xeval.analysis.report.wording import (
    DIGITS,
    NOT_TESTED,
    SHOWN,
    UNITS,
    bounds,
    condition_slugs,
    interval,
    number,
    percent,
    sample,
    size_of_contrast,
)
from xeval.analysis.result import Analysis
from xeval.analysis.verdict import equivalence_level
from xeval.conditions import CLASSIFICATION, GROUPS, MEAN, MULTI_HOP_QA

INK, MUTED = "ink", "muted"
COLOURS = {group: f"group-{place}" for place, group in enumerate(GROUPS)}
"""Group -> the name of its colour."""


def intervals(both: Estimates) -> Record:
    """``points`` and ``logit`` as [value, low, high, items low, items high]; low and high are None for one run."""
    found: Record = {}
    for scale in SCALES:
        estimate = both[scale]
        ends = estimate.interval() if estimate.seeds_estimable else (None, None)
        found[scale] = [estimate.value, *ends, *estimate.items_interval()]
    return found


def _line(row: str, both: Estimates, *, colour: str, label: str = "", **more: Any) -> Record:
    texts = {scale: f"{label or row}: {interval(both, scale)} {UNITS[scale]}" for scale in SCALES}
    hollow = not both.points.seeds_estimable
    return {"row": row, "colour": colour, "hollow": hollow, "text": texts, **intervals(both), **more}


def verdict(analysis: Analysis, scale: Scale) -> Figure | None:
    """C with its interval, that of the equivalence test, and the margin."""
    contrast = analysis.contrasts.get(KEY.name)
    if contrast is None:
        return None
    estimate, margin = contrast[scale], analysis.verdict.margins[scale]
    record = _line("C", contrast, colour=COLOURS[MULTI_HOP_QA], label=f"C, {KEY.formula}", diamond=True)
    if estimate.seeds_estimable:
        record[scale][3:] = estimate.interval(equivalence_level(contrast))
    level = f"{100 * equivalence_level(contrast):g} %"
    bars = (
        f"Thin bar: its {percent(analysis)} two-way (seed × item cluster) t interval; thick bar: its {level} interval, "
        "which the test of no difference uses."
        if estimate.seeds_estimable
        else f"Bar: its {percent(analysis)} interval over new items only, as a condition has one run."
    )
    margins = ", ".join(f"{analysis.verdict.margins[name]:g} {UNITS[name]}" for name in SCALES)
    return Figure(
        name=f"verdict-{scale}",
        kind="intervals",
        title=f"C in {UNITS[scale]}: {interval(contrast, scale)}; margin ±{margin:g}",
        caption=(
            f"C: mean gain on multi-hop QA minus mean gain on classification. {bars} Shaded: the margin of ±{margins} "
            f"that counts as no difference. {size_of_contrast(analysis)}"
        ),
        records=(record,),
        options={"scales": [scale], "margin": {scale: margin}, "axis": {scale: f"C in {UNITS[scale]}"}},
    )


def forest(analysis: Analysis) -> Figure | None:
    """G(k,t) by target within group, means of groups, contrasts; None without transfer."""
    records = [record for group in GROUPS for record in _group_lines(analysis, group)]
    for name, contrast in analysis.contrasts.items():
        if contrast.form not in GRID:
            label = f"{name}, {contrast.form.formula}"
            records.append(_line(name, contrast, colour=INK, label=label, legend="contrasts", diamond=True))
    if not records:
        return None
    return Figure(
        name="forest",
        kind="intervals",
        title="Gains over the baseline by target and condition, with intervals",
        caption=(
            "G(k,t): gain over the baseline, unweighted mean over the transfer languages. Thick bars: new test items "
            "for these very runs. Thin bars: new training seeds and new test items. Diamonds: means of groups, and "
            "contrasts on shared languages. Open: one run, items only. "
            f"{sample(analysis)} Two-way (seed × item cluster) t intervals, {percent(analysis)}, not corrected for "
            "their number."
        ),
        records=tuple(records),
        options={"scales": list(SCALES), "axis": _axes("gain"), "legend": True},
    )


def _group_lines(analysis: Analysis, group: str) -> list[Record]:
    """The gains on the targets of a group, and their mean."""
    colour, records = COLOURS[group], []
    gains = [
        gain
        for target in analysis.group(group)
        for gain in analysis.gains.tasks
        if gain.subject == target.name and gain.condition != MEAN
    ]
    for gain in gains:
        kept = " (its own training data)" if same_source(gain.condition, gain.subject) else ""
        label = f"{gain.subject} after {gain.condition}{kept}"
        keys = {"legend": group, "target": gain.subject, "condition": gain.condition}
        row = f"{gain.subject} · {gain.condition}"
        records.append(_line(row, gain, colour=colour, label=label, **keys))
    means = [gain for gain in analysis.gains.groups if (gain.condition, gain.subject) == (MEAN, group)]
    if means and len(gains) > 1:
        label = f"mean of {group}, {len(gains)} gains"
        records.append(
            _line(f"mean: {group}", means[0], colour=colour, label=label, legend=group, diamond=True)
        )
    return records


def conditions(analysis: Analysis, items: FromItems) -> Figure | None:
    """C(k) with simultaneous bands; open points keep the pairs of one source."""
    key, bands = analysis.contrasts.get(KEY.name), analysis.robustness.bands
    if key is None:
        return None
    found = {band.condition: band for band in bands or ()}
    same = items.same_source
    records = []
    for name in dict.fromkeys([*key.conditions, *same, *key.by_condition]):
        if name in key.by_condition:
            records.append(_condition_line(name, key.by_condition[name], found.get(name)))
        if name in same:
            label = f"C({name}) with targets whose own training data it holds"
            row = f"{name}, own source kept"
            record = _line(row, same[name], colour=MUTED, label=label, condition=name)
            records.append(_one_bar(record) | {"hollow": True})
    how = (
        "Thin bars: simultaneous bands for the single tasks ("
        + (
            "max-T over joint Multi-Bootstrap replicates"
            if analysis.robustness.joint
            else "Bonferroni's bound"
        )
        + f", {percent(analysis)}); thick bars: each task's own two-way t interval."
        if found
        else f"Bars: each task's own two-way t interval, {percent(analysis)}."
    )
    kept = " Open grey points keep targets whose own English training data the condition holds."
    return Figure(
        name="conditions",
        kind="intervals",
        title="C of each intermediate task, with simultaneous bands",
        caption=f"C(k): {KEY.formula}, for one intermediate task at a time. {how}{kept} {size_of_contrast(analysis)}",
        records=tuple(records),
        options={"scales": list(SCALES), "axis": _axes("C(k)"), "margin": dict(analysis.verdict.margins)},
    )


def _condition_line(name: str, both: Estimates, band: Band | None) -> Record:
    """C of a task: its own interval, and thinner the band that holds together with those of the others."""
    record = _one_bar(_line(name, both, colour=COLOURS[MULTI_HOP_QA], label=f"C({name})", condition=name))
    if band is None:
        return record
    for scale in SCALES:
        low, high = band.intervals[scale]
        record[scale][1:3] = low, high
        record["text"][scale] += f", together with the others {bounds(low, high, DIGITS[scale])}"
    return record


def _one_bar(record: Record) -> Record:
    """With the whole interval, where it is known, as the thick bar."""
    for scale in SCALES:
        if record[scale][1] is not None:
            record[scale][3:] = record[scale][1:3]
    return record


def baseline(analysis: Analysis) -> Figure | None:
    """Gain against baseline with the split-seed slope and the curves of equal gain on other scales."""
    found = analysis.robustness.slope
    if found is None:
        return None
    x, y = (np.array([point[place] for point in found.points]) for place in (2, 3))
    records = tuple(
        {
            "x": score,
            "y": gain,
            "target": target,
            "lang": lang,
            "legend": analysis.targets[target].group,
            "colour": COLOURS[analysis.targets[target].group],
            "text": f"{target}, {lang}: baseline {score:.1f}, gain {number(gain, 2)} points",
        }
        for target, lang, score, gain in found.points
    )
    centre = (float(x.mean()), float(y.mean()))
    low, high = max(0.5, float(x.min()) - 2.0), min(99.5, float(x.max()) + 2.0)
    grid = np.linspace(low, high, 61)
    ends = bounds(found.low, found.high, 3).strip("[]")
    return Figure(
        name="baseline",
        kind="scatter",
        title="Gain against baseline score, by target and language",
        caption=(
            "One point per target and transfer language, mean of the single intermediate tasks, all runs. Line and "
            f"band: slope {number(found.slope, 3)} ({percent(analysis)} {ends}) "
            "points per point through the middle of the points, from baseline runs split in halves so that the axes "
            "share no noise. Dashed: gains equal to the mean gain in relative error reduction; dotted: in log-odds. "
            f"Points along such a curve differ in points only. {sample(analysis)}"
        ),
        records=records,
        options={
            "line": [
                {"x": float(at), "y": line, "low": min(ends), "high": max(ends)}
                for at in (low, high)
                for line, *ends in [
                    [centre[1] + s * (at - centre[0]) for s in (found.slope, found.low, found.high)]
                ]
            ],
            "curves": _equal_gains(centre, grid),
            "axis": {"x": "baseline score", "y": "gain in points"},
            "legend": True,
        },
    )


def _equal_gains(centre: tuple[float, float], grid: Floats) -> list[Record]:
    """Gains in points that are the same relative error reduction, or log-odds, as the gain at the centre."""
    base, after = centre[0] / 100.0, min(0.999, max(0.001, sum(centre) / 100.0))
    reduction = (after - base) / (1.0 - base)
    odds = np.log(after / (1.0 - after)) - np.log(base / (1.0 - base))
    share = grid / 100.0
    shifted = 1.0 / (1.0 + np.exp(-(np.log(share / (1.0 - share)) + odds)))
    curves = {"equal error reduction": reduction * (1.0 - share), "equal log-odds": shifted - share}
    return [
        {"curve": name, "x": float(at), "y": float(100.0 * gain)}
        for name, gains in curves.items()
        for at, gain in zip(grid, gains, strict=True)
    ]


def bootstrap(analysis: Analysis, items: FromItems, scale: Scale) -> Figure | None:
    """The distribution of the Multi-Bootstrap replicates of C."""
    found = analysis.robustness.bootstrap
    if found is None or items.distribution is None:
        return None
    estimate, margin = found[scale], analysis.verdict.margins[scale]
    return Figure(
        name=f"bootstrap-{scale}",
        kind="histogram",
        title=f"Multi-Bootstrap distribution of C in {UNITS[scale]}",
        caption=(
            f"{estimate.count:,} replicates of C in {UNITS[scale]}, drawn by resampling runs and item clusters, "
            f"crossed. Bar below: the {percent(analysis)} percentile interval; line: 0; shaded: the margin "
            f"±{margin:g} that counts as no difference. {size_of_contrast(analysis)}"
        ),
        records=_bins(items.distribution[scale], "replicates"),
        options={
            "axis": {"x": f"C in {UNITS[scale]}", "y": "replicates"},
            "margin": margin,
            "interval": [estimate.value, estimate.low, estimate.high],
        },
    )


def _bins(bins: Histogram, noun: str) -> tuple[Record, ...]:
    return tuple(
        {"low": low, "high": high, "count": count, "text": f"{low:.3g} to {high:.3g}: {count:,} {noun}"}
        for low, high, count in zip(bins.edges, bins.edges[1:], bins.counts, strict=False)
    )


def hops(analysis: Analysis, items: FromItems) -> Figure | None:
    """Gain by number of hops within a multi-hop target."""
    if not items.hop_gains:
        return None
    targets = list(dict.fromkeys(gain.target for gain in items.hop_gains))
    several = len(targets) > 1
    records = []
    for gain in items.hop_gains:
        place = f"{gain.target}, " if several else ""
        name = "mean" if gain.condition == MEAN else gain.condition
        records.append(
            _line(
                f"{place}{name} · {gain.hops} hops",
                gain,
                colour=INK if gain.condition == MEAN else COLOURS[MULTI_HOP_QA],
                label=f"{gain.target} after {name}, {gain.items:,} items of {gain.hops} hops",
                target=gain.target,
                diamond=gain.condition == MEAN,
                **({} if gain.condition == MEAN else {"condition": gain.condition}),
            )
        )
    listed = "; ".join(
        f"{target}: " + ", ".join(f"{count:,} of {level}" for level, count in sorted(levels.items()))
        for target, levels in items.hops.items()
        if target in targets
    )
    return Figure(
        name="hops",
        kind="intervals",
        title="Gain by number of hops, within one target",
        caption=(
            "Gain over the baseline on the items of each number of hops, mean over the transfer languages; format, "
            "metric and training data do not change with them, so this is the least confounded evidence on hops, and "
            f"observational all the same. Items by hops: {listed}. Two-way (seed × item cluster) t intervals, "
            f"{percent(analysis)}; thick: items only. {sample(analysis, targets)}"
        ),
        records=tuple(records),
        options={"scales": list(SCALES), "axis": _axes("gain")},
    )


def choices(analysis: Analysis) -> Figure | None:
    """The specification curve."""
    curve = analysis.robustness.specifications
    if curve is None or curve.varied in ((), ("scale",)):
        return None
    shown = curve.at("points")
    varied = [name for name in curve.varied if name != "scale"]
    records = [_specification(place, specification, varied) for place, specification in enumerate(shown)]
    levels = [
        f"{name}: {value}"
        for name in varied
        for value in dict.fromkeys(sorted(specification.choices[name] for specification in shown))
    ]
    return Figure(
        name="specifications",
        kind="choices",
        title=f"C in points under {len(shown)} combinations of choices",
        caption=(
            f"Above: C in points and its {percent(analysis)} two-way t interval (items only where a trained condition "
            "has one run) under every combination of choices, from the lowest to the highest; orange where it lies "
            "below 0, blue above, grey where it holds 0. Diamond: the choices of the verdict. Below: the choices made. "
            "All specifications share the same data: how many of them agree is no test. "
            f"{size_of_contrast(analysis)}"
        ),
        records=tuple(records),
        options={"levels": levels, "axis": {"y": "C in points"}},
    )


def _specification(place: int, specification: Specification, varied: Sequence[str]) -> Record:
    estimate, choices = specification.estimate, specification.choices
    low, high = estimate.interval() if estimate.seeds_estimable else estimate.items_interval()
    below = COLOURS[MULTI_HOP_QA if estimate.value < 0 else CLASSIFICATION]
    lead = "The verdict’s choices: " if specification.primary else ""
    made = ", ".join(f"{name} {choices[name]}" for name in varied)
    return {
        "place": place,
        "value": estimate.value,
        "low": low,
        "high": high,
        "primary": specification.primary,
        "colour": below if specification.significant else MUTED,
        "choices": [f"{name}: {choices[name]}" for name in varied],
        "text": f"{lead}C {number(estimate.value, 2)} {bounds(low, high, 2)} points with {made}",
    }


def leave_one_out(analysis: Analysis) -> Figure | None:
    """C without each of its parts."""
    found, key = analysis.robustness.leave_one_out, analysis.contrasts.get(KEY.name)
    if found is None or key is None:
        return None
    records = [_line("nothing left out", key, colour=COLOURS[MULTI_HOP_QA], diamond=True, label="C")]
    for part in found:
        row = f"{part.kind} {part.name}"
        records.append(_line(f"without {row}", part, colour=INK, label=f"C without {row}"))
    return Figure(
        name="leave-one-out",
        kind="intervals",
        title="C without one target, language or condition",
        caption=(
            "C with one target, language or intermediate task left out, each with its own two-way (seed × item "
            f"cluster) t interval, {percent(analysis)}; thick: items only. {size_of_contrast(analysis)}"
        ),
        records=tuple(records),
        options={"scales": list(SCALES), "axis": _axes("C"), "margin": dict(analysis.verdict.margins)},
    )


def control(analysis: Analysis) -> Figure | None:
    """C between halves of the baseline runs."""
    found = analysis.robustness.control
    if found is None or not found.contrasts:
        return None
    return Figure(
        name="control",
        kind="histogram",
        title="C between halves of the baseline's runs",
        caption=(
            f"C in points between two halves of the {found.runs} baseline runs, over {found.splits} splits; nothing is "
            f"there to be found, so it should lie around 0. Shaded: the margin. {size_of_contrast(analysis)} The "
            "splits share runs and are no independent tests."
        ),
        records=_bins(histogram(np.array(found.contrasts), bins=min(30, 3 + found.splits)), "splits"),
        options={
            "axis": {"x": "C in points, baseline against itself", "y": "splits"},
            "margin": analysis.verdict.margins["points"],
        },
    )


def shares(analysis: Analysis) -> Figure | None:
    """How much of each variance comes from new items and from new seeds."""
    listed: list[tuple[str, Estimates, Record]] = [
        (name, contrast, {}) for name, contrast in analysis.contrasts.items() if contrast.form not in GRID
    ]
    listed += [(f"G({gain.subject})", gain, {}) for gain in analysis.gains.groups if gain.condition == MEAN]
    listed += [
        (
            f"{gain.subject} · {gain.condition}",
            gain,
            {"target": gain.subject, "condition": gain.condition},
        )
        for gain in analysis.gains.tasks
        if gain.condition != MEAN
    ]
    records = []
    for row, both, keys in listed:
        points = both.points
        if points.seeds_estimable and points.se > 0.0:
            for part, share in (
                ("new seeds", points.share_seeds),
                ("new items", 1.0 - points.share_seeds),
            ):
                text = f"{row}: {100 * share:.0f} % of the variance from {part} (SE {points.se:.2f} points)"
                records.append({"row": row, "part": part, "share": 100.0 * share, "text": text, **keys})
    if not records:
        return None
    return Figure(
        name="variance",
        kind="shares",
        title="Share of the variance from new seeds and from new items",
        caption=(
            "Of the variance of each contrast, group gain and gain in points, the share that comes from training seeds "
            "and from the choice of test items, by the two-way (seed × item cluster) decomposition that the intervals "
            f"stand on. {sample(analysis)}"
        ),
        records=tuple(records),
        options={"axis": {"x": "% of the variance"}},
    )


def _axes(what: str) -> dict[str, str]:
    return {scale: f"{what} in {UNITS[scale]}" for scale in SCALES}


def heat_map(analysis: Analysis, condition: str) -> Figure:
    """Gain in points per language and target, for one condition."""
    gains = {(gain.subject, gain.lang): gain for gain in analysis.gains.cells if gain.condition == condition}
    signs, largest = marks(analysis), largest_gain(analysis)
    records = []
    for lang in languages_by_distance(analysis):
        for target in (target for group in GROUPS for target in analysis.group(group)):
            both = gains.get((target.name, lang))
            record: Record = {
                "condition": condition, "target": target.name, "lang": lang, "legend": target.group,
                "colour": COLOURS[target.group], "text": f"{target.name}, {lang}, {condition}: not evaluated",
            }  # fmt: skip
            if both is not None:
                sign = signs.get((condition, target.name, lang), "")
                value = ", ".join(f"{interval(both, scale)} {UNITS[scale]}" for scale in SCALES)
                record |= {
                    "share": round(both.points.value / largest, 3),
                    "shown": number(both.points.value, 1) + sign,
                    "sure": sign == SHOWN,
                    "text": f"{target.name}, {lang}, {condition}: {value}",
                }
            records.append(record)
    return Figure(
        name=f"gains-{condition_slugs(analysis.conditions)[condition]}",
        kind="heat",
        title=f"Gain in points per language and target, condition {condition}; the same numbers are in results.json.",
        caption="",
        records=tuple(records),
        options={"largest": largest, "source": analysis.source},
    )


def languages_by_distance(analysis: Analysis) -> list[str]:
    """All languages by syntactic distance to English (URIEL), those of unknown distance after them, English last."""
    distances = covariate("syntactic")
    found = {lang for target in analysis.targets.values() for lang in target.languages}
    listed = sorted(found - {analysis.source}, key=lambda lang: (distances.get(lang, 2.0), lang))
    return [*listed, *({analysis.source} & found)]


def largest_gain(analysis: Analysis) -> float:
    """The largest gain or loss of a cell, in points: the end of the colour scale."""
    return max((abs(gain.points.value) for gain in analysis.gains.cells), default=1.0) or 1.0


def marks(analysis: Analysis) -> dict[tuple[str, str, str], str]:
    """Condition, target, language -> a sign where the cell's gain is shown.

    ``SHOWN``: by the Benjamini-Hochberg method within condition and target, after all families before it;
    ``NOT_TESTED``: so would be, but a family before it is not shown, so that the cells are not tested.
    """
    families = {family.name: family for family in analysis.families.families}
    return {
        (condition, target, test.name): SHOWN if test.rejected else NOT_TESTED
        for condition in analysis.conditions
        for target in analysis.targets
        if (family := families.get(f"F3 {condition} {target}"))
        for test in family.hypotheses
        if test.adjusted <= analysis.families.alpha
    }
