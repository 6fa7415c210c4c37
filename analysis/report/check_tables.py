"""Tables of what stands beside the verdict; each is None where the analysis has no such part."""

from collections.abc import Callable, Sequence
from statistics import median

from xeval.analysis.checks.sensitivity import Specification
from xeval.analysis.estimate.arrays import Estimates
from xeval.analysis.estimate.estimands import KEY
from xeval.analysis.estimate.variance import SCALES, Estimate, Scale
from xeval.analysis.report.from_items import FromItems
from xeval.analysis.report.model import Table
from xeval.analysis.report.tables import row_key, scale_columns
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

HopsRow = tuple[str, str, str, str, Estimates]
"""Target, condition, hops, items, value."""


def conditions(analysis: Analysis) -> Table | None:
    """C of every single intermediate task with simultaneous bands."""
    bands = analysis.robustness.bands
    if bands is None or len(bands) < 2:
        return None
    answer = _answers(analysis)
    (family,) = [family for family in analysis.families.families if family.name == "F2"]
    tests = {test.name: test for test in family.hypotheses}
    if analysis.robustness.joint:
        how = (
            f"max-T over {replicates(analysis)} joint Multi-Bootstrap replicates, which know that all C(k) share the "
            "baseline's runs; p adjusted by step-down minP from the same replicates"
        )
    else:
        how = "Bonferroni's bound; p adjusted by Holm's method"
    return Table.of(
        bands,
        [
            ("condition", lambda band: band.condition),
            (f"points [{level(analysis)} alone]", lambda band: interval(band.estimates, "points")),
            ("band, points", lambda band: bounds(*band.intervals["points"], DIGITS["points"])),
            ("band, log-odds", lambda band: bounds(*band.intervals["logit"], DIGITS["logit"])),
            ("p", lambda band: p_value(tests[f"C({band.condition})"].p)),
            ("adjusted p", lambda band: p_value(tests[f"C({band.condition})"].adjusted)),
            ("shown", lambda band: answer(tests[f"C({band.condition})"].rejected, family.opened)),
        ],
        title="C of each intermediate task",
        caption=(
            f"C(k) = {KEY.formula}, for one intermediate task at a time. The bands hold for all {len(bands)} at once "
            f"with {percent(analysis)} confidence ({how}). p: the larger of the two scales', over "
            f"new seeds and new items. {size_of_contrast(analysis)}"
        ),
        name="conditions",
    )


def tests(analysis: Analysis) -> Table | None:
    """The families of tests in their order, without those of single cells."""
    answer = _answers(analysis)
    rows = [
        (
            family.title if place == 0 else "",
            test.name,
            number(test.value, 2),
            p_value(test.p),
            p_value(test.adjusted),
            answer(test.rejected, family.opened),
        )
        for family in analysis.families.families
        if not family.name.startswith("F3")
        for place, test in enumerate(family.hypotheses)
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
    found = sorted(analysis.families.counts, key=lambda count: (count.target, count.condition))
    if not found:
        return None
    return Table.of(
        found,
        [
            ("target", lambda count: count.target),
            ("condition", lambda count: count.condition),
            ("languages", lambda count: str(count.languages)),
            ("above 0 in at least", lambda count: str(count.higher)),
            ("below 0 in at least", lambda count: str(count.lower)),
        ],
        keys=lambda count: {"target": count.target, "condition": count.condition},
        title="In how many languages",
        caption=(
            f"With {percent(analysis)} confidence the gain is above (below) 0 on both scales in at "
            "least so many of the transfer languages: partial-conjunction counts by Bonferroni, as languages share "
            "items and runs; each direction at half the level. Which languages they are is not said."
        ),
        labels=2,
    )


def bootstrap(analysis: Analysis) -> Table | None:
    """The Multi-Bootstrap interval of C beside the closed form."""
    found, key = analysis.robustness.bootstrap, analysis.contrasts.get(KEY.name)
    if found is None or key is None:
        return None

    def closed_form_error(scale: Scale) -> str:
        closed = key[scale]
        return f"{closed.se if closed.seeds_estimable else closed.variance_items**0.5:.{DIGITS[scale]}f}"

    def percentiles(scale: Scale) -> str:
        ends = bounds(found[scale].low, found[scale].high, DIGITS[scale])
        return ends + ("" if found[scale].seeds_estimable else "*")

    return Table.of(
        SCALES,
        [
            ("C in", lambda scale: UNITS[scale]),
            (f"closed form [{level(analysis)}]", lambda scale: interval(key, scale)),
            ("SE", closed_form_error),
            (f"Multi-Bootstrap [{level(analysis)}]", percentiles),
            ("SE", lambda scale: f"{found[scale].se:.{DIGITS[scale]}f}"),
        ],
        title="C by the Multi-Bootstrap",
        caption=(
            f"Percentile interval of {replicates(analysis)} replicates that draw runs and item clusters anew, "
            "crossed, beside the closed form that the verdict stands on. With few runs the percentile interval is too "
            f"short where runs differ much, and too long where they do not. {size_of_contrast(analysis)}"
            + items_only(not key.points.seeds_estimable)
        ),
    )


def choices(analysis: Analysis) -> Table | None:
    """C in points over all specifications, by the value of each choice that varies."""
    curve = analysis.robustness.specifications
    if curve is None or curve.varied in ((), ("scale",)):
        return None
    rows = []
    for name in ("", *curve.varied):
        shown = curve.specifications if name == "scale" else curve.at("points")
        for value in dict.fromkeys(sorted(made.choices.get(name, "all") for made in shown)):
            listed = [made for made in shown if made.choices.get(name, "all") == value]
            rows.append((name or "all, in points", value if name else "", listed))
    return Table(
        title="Specification curve",
        caption=(
            f"C under every combination of choices that changes something in these data, "
            f"{len(curve.at('points'))} on each scale, in points where the scale is not named; subsets of targets are "
            f"crossed with languages and same-source rule only. {size_of_contrast(analysis)} All specifications "
            "share the same data: how many of them agree is no test. Shown: the specification's own "
            f"{percent(analysis)} interval over new seeds and items leaves out 0, not corrected for "
            "their number."
        ),
        columns=(
            *("choice", "value", "number", "lowest C", "median C", "highest C"),
            *("below 0 shown", "above 0 shown"),
        ),
        rows=tuple((name, value, *_spread(listed, name, value)) for name, value, listed in rows),
        labels=2,
    )


def _spread(listed: Sequence[Specification], name: str, value: str) -> tuple[str, ...]:
    """How many specifications, their lowest, median and highest C, and how many lie below and above 0."""
    values = [made.estimate.value for made in listed]
    digits = DIGITS["logit" if (name, value) == ("scale", "logit") else "points"]
    shown = [made.estimate.value for made in listed if made.significant]
    return (
        str(len(listed)),
        *(number(found, digits) for found in (min(values), median(values), max(values))),
        str(sum(found < 0.0 for found in shown)),
        str(sum(found > 0.0 for found in shown)),
    )


def leave_one_out(analysis: Analysis) -> Table | None:
    """C without one target, language or condition."""
    found, key = analysis.robustness.leave_one_out, analysis.contrasts.get(KEY.name)
    if found is None or key is None:
        return None
    parts = [("nothing", "", key), *((part.kind, part.name, part) for part in found)]

    def both(part: tuple[str, str, Estimates]) -> Estimates:
        return part[2]

    return Table.of(
        parts,
        [("left out", lambda part: part[0]), ("", lambda part: part[1]), *scale_columns(analysis, both)],
        title="C without one part",
        caption=(
            "C with one target, language or intermediate task left out, each with its own two-way t interval. "
            f"{size_of_contrast(analysis)}" + items_only(not key.points.seeds_estimable)
        ),
        labels=2,
        strong=frozenset({0}),
        name="leave-one-out",
        folded=True,
    )


def other_scales(analysis: Analysis) -> Table | None:
    """C on the scales that the verdict does not use."""
    scales, key = analysis.robustness.scales, analysis.contrasts.get(KEY.name)
    if not scales or key is None:
        return None
    return Table(
        title="C on other scales",
        caption=(
            "A difference of gains that changes its sign with the scale may tell no more than where the baselines lie. "
            "The verdict uses points and log-odds; these stand beside it, each with its own two-way t interval. "
            f"{size_of_contrast(analysis)}" + items_only(not key.points.seeds_estimable)
        ),
        columns=("scale", "unit", f"C [{level(analysis)}]"),
        rows=tuple((found.scale, found.unit, with_interval(found.estimate, 3)) for found in scales),
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
    rows: list[HopsRow] = [
        (gain.target, gain.condition, str(gain.hops), f"{gain.items:,}", gain) for gain in items.hop_gains
    ]
    rows += [
        (slope.target, slope.condition, f"per hop, {slope.hops[0]} to {slope.hops[1]}", "", slope)
        for slope in items.hop_slopes
    ]

    def both(row: HopsRow) -> Estimates:
        return row[4]

    return Table.of(
        rows,
        [
            ("target", lambda row: row[0]),
            ("condition", lambda row: condition_name(row[1])),
            ("hops", lambda row: row[2]),
            ("items", lambda row: row[3]),
            *scale_columns(analysis, both),
        ],
        keys=lambda row: row_key(row[0], row[1]),
        title="Gain by hops",
        caption=(
            "Gain over the baseline on the items of each number of hops, mean over the transfer languages that all of "
            "them have. Per hop: difference between the ends divided by the hops between. Two-way (seed × item "
            "cluster) t intervals."
        ),
        labels=3,
        strong=frozenset(range(len(items.hop_gains), len(rows))),
        folded=True,
    )


def components(analysis: Analysis) -> Table:
    """Standard errors from items and from seeds, in points."""
    rows: list[tuple[str, str, Estimate, dict[str, str]]] = [
        (name, "", contrast.points, {}) for name, contrast in analysis.contrasts.items()
    ]
    rows += [
        (f"G({gain.subject})", condition_name(gain.condition), gain.points, {})
        for gain in analysis.gains.groups
        if gain.condition == MEAN
    ]
    rows += [
        (gain.subject, gain.condition, gain.points, row_key(gain.subject, gain.condition))
        for gain in analysis.gains.tasks
        if gain.condition != MEAN
    ]
    return Table(
        title="Standard errors by their source",
        caption=(
            "In points. Items: for new test items and these very runs. Seeds: for new training seeds. – : a trained "
            "condition has one run."
        ),
        columns=("", "condition", "SE, items", "SE, seeds", "SE", "seeds", "df"),
        rows=tuple((name, condition, *_errors(points)) for name, condition, points, _ in rows),
        labels=2,
        keys=tuple(key for *_, key in rows),
    )


def _errors(points: Estimate) -> tuple[str, ...]:
    """Standard errors from items, from seeds and from both, the seeds' share of the variance, degrees of freedom."""
    items = f"{points.variance_items**0.5:.3f}"
    if not points.seeds_estimable:
        return (items, "–", "–", "–", f"{points.df_items:.1f}")
    seeds, share = max(0.0, points.variance_seeds) ** 0.5, 100 * points.share_seeds
    return (items, f"{seeds:.3f}", f"{points.se:.3f}", f"{share:.0f} %", f"{points.df:.1f}")
