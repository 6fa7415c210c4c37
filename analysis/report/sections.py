"""The thirteen sections of a report with a verdict: what stands in each, or in a sentence why nothing does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from xeval.analysis.checks.robustness import REPLICATES, ROOT_SEED
from xeval.analysis.estimate.estimands import KEY
from xeval.analysis.estimate.variance import SCALES
from xeval.analysis.models.collection import RegressionTable
from xeval.analysis.report import check_tables, figures, tables, wording
from xeval.analysis.report.from_items import FromItems, from_items
from xeval.analysis.report.model import (
    Block,
    Facts,
    Figure,
    Figures,
    Paragraph,
    Report,
    Section,
    Sentences,
    Table,
    Widget,
    with_banner,
)
from xeval.analysis.report.wording import number
from xeval.analysis.result import Analysis
from xeval.conditions import MULTI_HOP

MOST_ROWS = 12
"""Longer tables are folded where a figure, or the text, has what they say."""
Blocks = Iterable[Block | None]


def analysis_report(
    analysis: Analysis,
    *,
    title: str,
    notes: Sequence[str] = (),
    provenance: Mapping[str, str] | None = None,
    widgets: Sequence[Widget] = (),
) -> Report:
    """The report on an analysis.

    Args:
        title: heading of the report.
        notes: plain sentences that a reader must know, printed after the analysis's own.
        provenance: name -> value, printed as given (versions, digests, dates, commands).
        widgets: what stands after the thirteen sections, in the page only.
    """
    banner, all_notes, known = wording.smoke(analysis), [*analysis.notes, *notes], dict(provenance or {})
    listed = _sections(analysis, from_items(analysis), all_notes, known, banner)
    sections = tuple(
        Section(name, tuple(with_banner(block, banner) for block in blocks if block))
        for name, blocks in listed
    )
    strips = _figures(*(figures.verdict(analysis, scale) for scale in SCALES))
    strips = strips and replace(strips, caption=f"{banner} {strips.caption}".strip())
    plural = "" if len(analysis.conditions) == 1 else "s"
    return Report(
        title=title,
        about=f"{len(analysis.conditions)} intermediate condition{plural} ({', '.join(analysis.conditions)}) against "
        f"the baseline. {wording.sample(analysis)}",
        headline=analysis.verdict.headline,
        sentences=analysis.verdict.sentences,
        sections=sections,
        numbers={
            "smoke_run": banner or None,
            "notes": all_notes,
            "provenance": known,
            "analysis": analysis.to_dict(),
        },
        banner=banner,
        strips=strips,
        filters=_filters(analysis),
        widgets=tuple(widgets),
    )


def _sections(
    analysis: Analysis,
    items: FromItems,
    notes: Sequence[str],
    provenance: Mapping[str, str],
    banner: str,
) -> list[tuple[str, Blocks]]:
    """Title and content of each."""
    return [
        ("Verdict", _verdict(analysis, notes)),
        ("Mean gains and contrasts", _gains(analysis)),
        ("Gains by target", _targets(analysis)),
        ("C of each intermediate task", _conditions(analysis, items)),
        ("Gain against baseline", _baseline(analysis)),
        ("Gains by language and target", _languages(analysis, banner)),
        ("Bootstrap distribution of C", _bootstrap(analysis, items)),
        ("Hops within one target", _hops(analysis, items)),
        ("Specification curve", _choices(analysis)),
        ("C without one part", _leave_one_out(analysis)),
        ("Baseline against itself", _control(analysis)),
        ("Variance components and regressions", _variance(analysis)),
        ("Versions, seeds and settings", _provenance(analysis, provenance)),
    ]


def _filters(analysis: Analysis) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    languages = sorted({lang for target in analysis.targets.values() for lang in target.languages})
    found = (
        ("condition", "Conditions", tuple(analysis.conditions)),
        ("target", "Targets", tuple(analysis.targets)),
        ("lang", "Languages", tuple(languages)),
    )
    return tuple(choice for choice in found if len(choice[2]) > 1)


def _figures(*drawn: Figure | None) -> Figures | None:
    """The figures that exist, under the caption of the first one."""
    found = tuple(figure for figure in drawn if figure)
    return Figures(found, found[0].caption) if found else None


def _short(table: Table | None) -> Table | None:
    """The table, folded where it is long."""
    return table and replace(table, folded=table.folded or len(table.rows) > MOST_ROWS)


def _missing(text: str) -> Paragraph:
    return Paragraph(text, missing=True)


def _no_contrast(analysis: Analysis, what: str) -> Paragraph | None:
    """Why what is made of C is missing, where there is no C."""
    if KEY.name in analysis.contrasts:
        return None
    return _missing(f"There is no C in this study, so there is no {what}: {analysis.verdict.sentences[0]}")


def _verdict(analysis: Analysis, notes: Sequence[str]) -> Blocks:
    """What follows the verdict itself."""
    if collapse := tables.collapsed(analysis):
        yield Paragraph(wording.collapsed_sentence(analysis), main=True)
        yield from (_short(table) for table in collapse if table.rows)
    yield Sentences("What this study cannot tell apart", analysis.verdict.confounds)
    yield Sentences("Notes on these data", tuple(notes), main=True) if notes else None
    yield Sentences("How to read the numbers", wording.READING)


def _gains(analysis: Analysis) -> Blocks:
    yield _short(tables.summary(analysis)) or _missing(
        "No group of targets has a gain in a transfer language."
    )
    kept = wording.retention(analysis)
    yield Paragraph(kept) if kept else None
    yield _short(tables.grid(analysis))
    yield _short(check_tables.tests(analysis))
    yield _short(check_tables.counts(analysis)) or _missing(
        "No target has a transfer language, so no number of languages with a gain (K̂) is given."
    )


def _targets(analysis: Analysis) -> Blocks:
    if not analysis.gains.tasks:
        yield _missing("No target has a gain in a transfer language.")
    yield _figures(figures.forest(analysis))
    yield tables.task_gains(analysis)
    scores, source = tables.mean_scores(analysis), tables.source_scores(analysis)
    yield scores
    yield _short(source and replace(source, folded=scores is not None, main=scores is None))
    yield _short(tables.retrieval(analysis))


def _conditions(analysis: Analysis, items: FromItems) -> Blocks:
    yield _no_contrast(analysis, "C(k)")
    yield _figures(figures.conditions(analysis, items))
    yield _short(check_tables.conditions(analysis))
    bands = analysis.robustness.bands
    if KEY.name in analysis.contrasts and bands is None:
        yield _missing("A trained condition has one run: there are no simultaneous bands.")
    elif bands is not None and len(bands) < 2:
        yield _missing("One intermediate task enters C, so its band is its own interval.")


def _baseline(analysis: Analysis) -> Blocks:
    found, text = analysis.robustness.slope, wording.slope(analysis)
    if found is None or text is None:
        yield _missing(
            "No slope of gain on baseline: it needs 2 baseline seeds common to the trained targets, and 3 pairs of "
            "target and language with different baselines."
        )
        return
    yield _figures(figures.baseline(analysis))
    yield Paragraph(text)
    yield Table(
        title="Baseline and gain of every point",
        caption="Mean over runs, in points; gain: mean of the single intermediate tasks.",
        columns=("target", "language", "baseline", "gain"),
        rows=tuple(
            (target, lang, f"{score:.1f}", number(gain, 2)) for target, lang, score, gain in found.points
        ),
        labels=2,
        keys=tuple({"target": target, "lang": lang} for target, lang, *_ in found.points),
        folded=True,
    )


def _languages(analysis: Analysis, banner: str) -> Blocks:
    yield Paragraph(
        f"{banner} Points over the baseline; blue is a gain, orange a loss, one colour scale for all conditions. "
        f"{wording.CELL_MARKS} Languages by syntactic distance to English (URIEL), those of unknown distance after "
        f"them, the language of training below the rule. Grey: not evaluated. {wording.sample(analysis)} Two-way (seed "
        "× item cluster) t intervals show on pointing at a cell.".strip()
    )
    for condition in analysis.conditions:
        drawn = figures.heat_map(analysis, condition)
        table = tables.cell_gains(analysis, condition)
        yield Figures((drawn,), heading=condition, condition=condition, table=table)
    yield from tables.language_scores(analysis)


def _bootstrap(analysis: Analysis, items: FromItems) -> Blocks:
    if KEY.name not in analysis.contrasts:
        yield _no_contrast(analysis, "bootstrap of it")
        return
    if analysis.robustness.bootstrap is None:
        yield _missing(
            "There is no bootstrap of C; the notes on these data say why. The verdict does not need it."
        )
        return
    yield _figures(*(figures.bootstrap(analysis, items, scale) for scale in SCALES))
    yield _short(check_tables.bootstrap(analysis))
    factors = wording.bayes_factors(analysis)
    yield (
        Paragraph(factors)
        if factors
        else _missing("No Bayes factor of C: it has no standard error over new seeds and items.")
    )


def _hops(analysis: Analysis, items: FromItems) -> Blocks:
    if items.hop_gains:
        yield _figures(figures.hops(analysis, items))
        yield check_tables.hops(analysis, items)
    else:
        yield _missing(f"Nothing on hops within a target: {_why_no_hops(analysis, items)}.")
    yield from map(_missing, items.left_out)


def _why_no_hops(analysis: Analysis, items: FromItems) -> str:
    if items.left_out:
        return "no multi-hop target has two numbers of hops with enough items"
    names = {target.name for group in MULTI_HOP for target in analysis.group(group)}
    listed = "; ".join(
        f"{name}: " + (", ".join(map(str, sorted(levels))) if set(levels) != {0} else "unknown")
        for name, levels in items.hops.items()
        if name in names
    )
    if listed:
        return f"no multi-hop target has items with different numbers of hops ({listed})"
    return "there is no multi-hop target"


def _choices(analysis: Analysis) -> Blocks:
    if analysis.robustness.specifications is None:
        none = _missing("No specification of C can be computed.")
        yield _no_contrast(analysis, "specification curve") or none
        return
    yield _figures(figures.choices(analysis))
    yield _short(check_tables.choices(analysis)) or _missing(
        "These data leave one specification of C, that of the verdict: no choice changes anything in them."
    )
    yield _short(check_tables.other_scales(analysis))


def _leave_one_out(analysis: Analysis) -> Blocks:
    yield _no_contrast(analysis, "part of it to leave out")
    if KEY.name in analysis.contrasts and analysis.robustness.leave_one_out is None:
        yield _missing(
            "C rests on one target of either group, one language and one condition: none can be left out."
        )
    yield _figures(figures.leave_one_out(analysis))
    yield check_tables.leave_one_out(analysis)


def _control(analysis: Analysis) -> Blocks:
    text = wording.control(analysis)
    yield (
        Paragraph(text)
        if text
        else _missing(
            "No check of the baseline against itself (A/A): it needs 4 baseline seeds that all trained targets have."
        )
    )
    yield _figures(figures.control(analysis))


def _variance(analysis: Analysis) -> Blocks:
    drawn = _figures(figures.shares(analysis))
    yield drawn or _missing("Every trained condition has one run: no variance between seeds is known.")
    yield replace(check_tables.components(analysis), folded=drawn is not None)
    yield from map(_regression, analysis.models)
    if not analysis.models:
        yield _missing("No regression was fitted.")


def _regression(found: RegressionTable) -> Block:
    """A table with its diagnostics, or in sentences why there is none."""
    if not found.rows:
        reasons = (*found.notes, *found.diagnostics)
        why = next((reason for reason in reasons if reason.startswith("Not ")), "Not used")
        others = (reason for reason in reasons if reason != why)
        return Sentences(found.title, (why, found.what, *others), why.partition(":")[0].lower())
    rows = tuple(
        (
            term.name,
            number(term.estimate, 3),
            f"{term.se:.3f}",
            wording.bounds(term.low, term.high, 3),
            f"{term.df:,.0f}",
            wording.p_value(term.p),
        )
        for term in found.rows
    )
    return Table(
        title=found.title,
        caption=" ".join([found.what + ("" if found.used else " Not to be quoted."), *found.notes]),
        columns=("term", "estimate", "SE", "interval", "df", "p"),
        rows=rows,
        folded=True,
        line=f"{rows[0][0]}: {rows[0][1]} {rows[0][3]}{'' if found.used else ' not to be quoted'}",
        below=found.diagnostics,
    )


def _provenance(analysis: Analysis, provenance: Mapping[str, str]) -> Blocks:
    method, margins = analysis.method, analysis.verdict.margins
    seeds = {
        f"seeds of {target.name}": "; ".join(
            f"{name}: {', '.join(map(wording.seed_name, listed))}" for name, listed in target.seeds.items()
        )
        for target in analysis.targets.values()
    }
    bootstrap = f"{REPLICATES:,} replicates, seed {ROOT_SEED}" if analysis.robustness.bootstrap else "none"
    yield Facts(
        {
            **provenance,
            "confidence": wording.percent(analysis),
            "margins": ", ".join(f"±{margins[scale]:g} {wording.UNITS[scale]}" for scale in SCALES),
            "seed parts": "clipped at 0" if method.clip else "not clipped",
            "runs": "paired by seed" if method.paired else "unpaired",
            "bootstrap": bootstrap,
            **seeds,
        }
    )
    if not any("elapsed" in name or "seconds" in name for name in provenance):
        yield _missing(
            "Elapsed time is not printed here, so that the same scores and version give the same bytes; each stored "
            "unit carries its own."
        )
