"""Tables of what stands beside the verdict; each is None where the analysis has no such part."""

from collections.abc import Callable
from statistics import median

from xeval.analysis.estimate.estimands import KEY
from xeval.analysis.estimate.variance import SCALES
from xeval.analysis.frame.arrays import Both
from xeval.analysis.report.from_items import FromItems
from xeval.analysis.report.model import Table
from xeval.analysis.report.wording import (
    DIGITS,
    UNITS,
    bounds,
    condition_name,
    interval,
    items_only,
    level,
    number,
    p_value,
    percent,
    replicates,
    size_of_contrast,
    with_interval,
)
from xeval.analysis.result import Analysis
from xeval.conditions import MEAN


def conditions(analysis: Analysis) -> Table | None:
    """C of every single intermediate task with simultaneous bands."""
    bands = analysis.robustness.bands
    if bands is None or len(bands) < 2:
        return None
    answer = _answers(analysis)
    (family,) = [one for one in analysis.families.families if one.name == "F2"]
    tests = {one.name: one for one in family.hypotheses}
    rows = []
    for band in bands:
        test = tests[f"C({band.condition})"]
        rows.append(
            (
                band.condition,
                interval(band.both, "points"),
                *(bounds(*band.on(scale), DIGITS[scale]) for scale in SCALES),
                p_value(test.p),
                p_value(test.adjusted),
                answer(test.rejected, family.opened),
            )
        )
    if analysis.robustness.joint:
        how = (
            f"max-T over {replicates(analysis)} joint Multi-Bootstrap replicates, which know that all C(k) share the "
            "baseline's runs; p adjusted by step-down minP from the same replicates"
        )
    else:
        how = "Bonferroni's bound; p adjusted by Holm's method"
    return Table(
        title="C of each intermediate task",
        caption=(
            f"C(k) = {KEY.formula}, for one intermediate task at a time. The bands hold for all {len(bands)} at once "
            f"with {percent(analysis)} confidence ({how}). p: the larger of the two scales', over "
            f"new seeds and new items. {size_of_contrast(analysis)}"
        ),
        columns=(
            "condition",
            f"points [{level(analysis)} alone]",
            "band, points",
            "band, log-odds",
            "p",
            "adjusted p",
            "shown",
        ),
        rows=tuple(rows),
        name="conditions",
    )


def tests(analysis: Analysis) -> Table | None:
    """The families of tests in their order, without those of single cells."""
    rows, answer = [], _answers(analysis)
    for family in analysis.families.families:
        if not family.name.startswith("F3"):
            rows += [
                (
                    family.title if place == 0 else "",
                    one.name,
                    number(one.value, 2),
                    p_value(one.p),
                    p_value(one.adjusted),
                    answer(one.rejected, family.opened),
                )
                for place, one in enumerate(family.hypotheses)
            ]
    if not rows:
        return None
    why = {
        "at chance": " A compared target stays at chance, so none of this is a claim.",
        "copied runs": " Runs of a compared target are copies of one another, so none of this is a claim.",
    }
    return Table(
        title="Tests in their order",
        caption=(
            f"Each family is tested at the level {analysis.families.alpha:g} and opens only if everything before it is "
            "shown (serial gatekeeping): the chance of any false claim in these families stays below the level. p: "
            "the larger of the two scales', two-sided; 1 where the signs differ or a trained condition has one run. "
            "Adjusted within the family by Holm's method, C of each intermediate task "
            f"{'jointly (minP)' if analysis.robustness.joint else 'too'}. Closed: not tested, its p-values describe "
            "only." + why.get(analysis.verdict.outcome, "")
        ),
        columns=("family", "difference from 0", "points", "p", "adjusted p", "shown"),
        rows=tuple(rows),
        labels=2,
    )


def counts(analysis: Analysis) -> Table | None:
    """In how many languages a gain is shown, per target and condition."""
    rows = tuple(
        (one.target, one.condition, str(one.languages), str(one.higher), str(one.lower))
        for one in sorted(analysis.families.counts, key=lambda one: (one.target, one.condition))
    )
    if not rows:
        return None
    return Table(
        title="In how many languages",
        caption=(
            f"With {percent(analysis)} confidence the gain is above (below) 0 on both scales in at "
            "least so many of the transfer languages: partial-conjunction counts by Bonferroni, as languages share "
            "items and runs; each direction at half the level. Which languages they are is not said."
        ),
        columns=("target", "condition", "languages", "above 0 in at least", "below 0 in at least"),
        rows=rows,
        labels=2,
        keys=tuple({"target": row[0], "condition": row[1]} for row in rows),
    )


def bootstrap(analysis: Analysis) -> Table | None:
    """The Multi-Bootstrap interval of C beside the closed form."""
    found, key = analysis.robustness.bootstrap, analysis.contrasts.get(KEY.name)
    if found is None or key is None:
        return None
    rows = []
    for scale in SCALES:
        one, closed, digits = found[scale], key.mean.on(scale), DIGITS[scale]
        rows.append(
            (
                UNITS[scale],
                interval(key.mean, scale),
                f"{closed.se if closed.seeds_estimable else closed.variance_items**0.5:.{digits}f}",
                bounds(one.low, one.high, DIGITS[scale]) + ("" if one.seeds_estimable else "*"),
                f"{one.se:.{digits}f}",
            )
        )
    return Table(
        title="C by the Multi-Bootstrap",
        caption=(
            f"Percentile interval of {replicates(analysis)} replicates that draw runs and item clusters anew, "
            "crossed, beside the closed form that the verdict stands on. With few runs the percentile interval is too "
            f"short where runs differ much, and too long where they do not. {size_of_contrast(analysis)}"
            + items_only(not key.mean.points.seeds_estimable)
        ),
        columns=(
            "C in",
            f"closed form [{level(analysis)}]",
            "SE",
            f"Multi-Bootstrap [{level(analysis)}]",
            "SE",
        ),
        rows=tuple(rows),
    )


def choices(analysis: Analysis) -> Table | None:
    """C in points over all specifications, by the value of each choice that varies."""
    curve = analysis.robustness.specifications
    if curve is None or curve.varied in ((), ("scale",)):
        return None
    rows = []
    for name in ("", *curve.varied):
        shown = curve.specifications if name == "scale" else curve.on("points")
        for value in dict.fromkeys(sorted(one.choices.get(name, "all") for one in shown)):
            listed = [one for one in shown if one.choices.get(name, "all") == value]
            values = [one.estimate.value for one in listed]
            digits = DIGITS["logit" if (name, value) == ("scale", "logit") else "points"]
            rows.append(
                (
                    name or "all, in points",
                    value if name else "",
                    str(len(listed)),
                    *(number(one, digits) for one in (min(values), median(values), max(values))),
                    str(sum(one.significant and one.estimate.value < 0.0 for one in listed)),
                    str(sum(one.significant and one.estimate.value > 0.0 for one in listed)),
                )
            )
    return Table(
        title="Specification curve",
        caption=(
            f"C under every combination of choices that changes something in these data, "
            f"{len(curve.on('points'))} on each scale, in points where the scale is not named; subsets of targets are "
            f"crossed with languages and same-source rule only. {size_of_contrast(analysis)} All specifications "
            "share the same data: how many of them agree is no test. Shown: the specification's own "
            f"{percent(analysis)} interval over new seeds and items leaves out 0, not corrected for "
            "their number."
        ),
        columns=(
            "choice",
            "value",
            "number",
            "lowest C",
            "median C",
            "highest C",
            "below 0 shown",
            "above 0 shown",
        ),
        rows=tuple(rows),
        labels=2,
    )


def leave_one_out(analysis: Analysis) -> Table | None:
    """C without one target, language or condition."""
    found, key = analysis.robustness.leave_one_out, analysis.contrasts.get(KEY.name)
    if found is None or key is None:
        return None

    def numbers(both: Both) -> tuple[str, ...]:
        return tuple(interval(both, scale) for scale in SCALES)

    return Table(
        title="C without one part",
        caption=(
            "C with one target, language or intermediate task left out, each with its own two-way t interval. "
            f"{size_of_contrast(analysis)}" + items_only(not key.mean.points.seeds_estimable)
        ),
        columns=("left out", "", *(f"{UNITS[scale]} [{level(analysis)}]" for scale in SCALES)),
        rows=(
            ("nothing", "", *numbers(key.mean)),
            *((one.kind, one.name, *numbers(one.both)) for one in found),
        ),
        labels=2,
        strong=frozenset({0}),
        name="leave-one-out",
        folded=True,
    )


def other_scales(analysis: Analysis) -> Table | None:
    """C on the scales that the verdict does not use."""
    found, key = analysis.robustness.scales, analysis.contrasts.get(KEY.name)
    if not found or key is None:
        return None
    return Table(
        title="C on other scales",
        caption=(
            "A difference of gains that changes its sign with the scale may tell no more than where the baselines lie. "
            "The verdict uses points and log-odds; these stand beside it, each with its own two-way t interval. "
            f"{size_of_contrast(analysis)}" + items_only(not key.mean.points.seeds_estimable)
        ),
        columns=("scale", "unit", f"C [{level(analysis)}]"),
        rows=tuple((one.scale, one.unit, with_interval(one.estimate, 3)) for one in found),
        labels=2,
        name="scales",
    )


def _answers(analysis: Analysis) -> Callable[[bool, bool], str]:
    """What a test says; nothing where the compared targets allow no claim."""
    claims = analysis.verdict.outcome not in ("at chance", "copied runs")
    return lambda rejected, opened: (
        "closed" if not opened else "–" if not claims else "yes" if rejected else "no"
    )


def hops(analysis: Analysis, items: FromItems) -> Table:
    """Gain by hops within each multi-hop target, and the change per hop."""
    rows: list[tuple[str, ...]] = []
    keys = []
    strong = set()
    for gain in items.hop_gains:
        own = (str(gain.hops), f"{gain.items:,}")
        rows.append(
            (gain.target, condition_name(gain.condition), *own, *(interval(gain.both, s) for s in SCALES))
        )
        keys.append(_key(gain.target, gain.condition))
    for slope in items.hop_slopes:
        strong.add(len(rows))
        own = (f"per hop, {slope.hops[0]} to {slope.hops[1]}", "")
        rows.append(
            (slope.target, condition_name(slope.condition), *own, *(interval(slope.both, s) for s in SCALES))
        )
        keys.append(_key(slope.target, slope.condition))
    return Table(
        title="Gain by hops",
        caption=(
            "Gain over the baseline on the items of each number of hops, mean over the transfer languages that all of "
            "them have. Per hop: difference between the ends divided by the hops between. Two-way (seed × item "
            "cluster) t intervals."
        ),
        columns=(
            "target",
            "condition",
            "hops",
            "items",
            *(f"{UNITS[scale]} [{level(analysis)}]" for scale in SCALES),
        ),
        rows=tuple(rows),
        labels=3,
        strong=frozenset(strong),
        keys=tuple(keys),
        folded=True,
    )


def components(analysis: Analysis) -> Table:
    """Standard errors from items and from seeds, in points."""
    listed: list[tuple[str, str, Both, dict[str, str]]] = [
        (name, "", one.mean, {}) for name, one in analysis.contrasts.items()
    ]
    listed += [
        (f"G({gain.subject})", condition_name(gain.condition), gain.both, {})
        for gain in analysis.groups
        if gain.condition == MEAN
    ]
    listed += [
        (gain.subject, gain.condition, gain.both, _key(gain.subject, gain.condition))
        for gain in analysis.tasks
        if gain.condition != MEAN
    ]
    rows = []
    for name, condition, both, _ in listed:
        one = both.points
        known = one.seeds_estimable
        rows.append(
            (
                name,
                condition,
                f"{one.variance_items**0.5:.3f}",
                f"{max(0.0, one.variance_seeds) ** 0.5:.3f}" if known else "–",
                f"{one.se:.3f}" if known else "–",
                f"{100 * one.share_seeds:.0f} %" if known else "–",
                f"{one.df if known else one.df_items:.1f}",
            )
        )
    return Table(
        title="Standard errors by their source",
        caption=(
            "In points. Items: for new test items and these very runs. Seeds: for new training seeds. – : a trained "
            "condition has one run."
        ),
        columns=("", "condition", "SE, items", "SE, seeds", "SE", "seeds", "df"),
        rows=tuple(rows),
        labels=2,
        keys=tuple(key for *_, key in listed),
    )


def _key(target: str, condition: str) -> dict[str, str]:
    return {"target": target} | ({} if condition == MEAN else {"condition": condition})
