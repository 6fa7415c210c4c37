"""The thirteen parts of the report, in their order: what stands in each, or in a sentence why nothing does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from xeval.analysis.checks.robustness import REPLICATES, ROOT_SEED
from xeval.analysis.estimate.estimands import KEY
from xeval.analysis.estimate.variance import SCALES
from xeval.analysis.models.collection import RegressionTable
from xeval.analysis.report import robustness, tables
from xeval.analysis.report.charts import Chart
from xeval.analysis.report.from_items import FromItems
from xeval.analysis.report.plots import (
    SHOWN,
    Figure,
    condition_slugs,
    interval,
    languages_by_distance,
    largest_gain,
    marks,
    number,
)
from xeval.analysis.report.size import sample, smoke
from xeval.analysis.report.tables import Table
from xeval.analysis.result import Analysis
from xeval.conditions import GROUPS, MULTI_HOP_CLASSIFICATION, MULTI_HOP_QA

READING = (
    "A gain is the score of a condition minus the score of the baseline, on the same target and language, "
    "averaged over runs.",
    "Thick bars and thin bars answer different questions: new test items for these very runs, and new runs "
    "on new items.",
    "Intervals are t intervals with a two-way (seed × item cluster) variance in closed form and "
    "Satterthwaite's degrees of freedom; a baseline that several gains share enters once, and targets that "
    "share runs or clusters are combined before squaring.",
    "Log-odds are log((num + ½) / (den − num + ½)) of each language's total; for F1 this is a convention "
    "that stabilises the variance, not a log odds ratio.",
    "The language of training is reported apart: what happens there is no transfer.",
)

MOST_ROWS = 12
"""Longer tables are folded where a figure, or the text, has what they say."""


@dataclass(frozen=True)
class Text:
    """A paragraph; ``missing`` says why something is not there."""

    text: str
    missing: bool = False
    kind: str = "text"


@dataclass(frozen=True)
class Items:
    """A titled list of sentences, which opens on demand and shows ``line`` before that."""

    title: str
    sentences: tuple[str, ...]
    line: str = ""
    kind: str = "items"


@dataclass(frozen=True)
class Shown:
    """A table; ``folded`` ones open on demand and show ``line`` before that. ``below``: sentences that follow it."""

    table: Table
    folded: bool = False
    line: str = ""
    below: tuple[str, ...] = ()
    kind: str = "table"


@dataclass(frozen=True)
class Graphic:
    """One or two charts side by side under one caption; ``narrow`` replaces the figure on a phone."""

    charts: tuple[Chart, ...]
    figures: tuple[Figure, ...]
    caption: str
    narrow: Figure | None = None
    kind: str = "graphic"


@dataclass(frozen=True)
class Cell:
    """A cell of the heat map: ``share`` of the largest gain (-1 to 1), None where nothing was evaluated."""

    share: float | None
    target: str
    shown: str
    text: str
    key: str
    bold: bool = False


@dataclass(frozen=True)
class HeatMap:
    """Languages x targets of one condition.

    Attributes:
        targets: name and number of the group. ``groups``: those that occur, with their numbers.
        largest: points of a gain or loss with the strongest colour.
    """

    condition: str
    targets: tuple[tuple[str, int], ...]
    groups: tuple[tuple[str, int], ...]
    largest: float
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    source: str
    figure: Figure
    kind: str = "heat"


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    values: Mapping[str, str]
    kind: str = "facts"


Block = Text | Items | Shown | Graphic | HeatMap | Facts


@dataclass(frozen=True)
class Part:
    """One of the thirteen parts."""

    number: int
    id: str
    title: str
    blocks: tuple[Block, ...]


def parts(
    analysis: Analysis,
    items: FromItems | None,
    charts: Mapping[str, Chart],
    figures: Mapping[str, Figure],
    notes: Sequence[str],
    provenance: Mapping[str, str],
) -> tuple[Part, ...]:
    """All thirteen, each with at least one block.

    Args:
        notes: plain sentences on these data, of the analysis and of whoever asked for the report.
        provenance: name -> value, printed as given.
    """
    made: list[tuple[str, str, Iterable[Block | None]]] = [
        ("verdict", "Verdict", _verdict(analysis, notes)),
        ("gains", "Mean gains and contrasts", _gains(analysis)),
        ("targets", "Gains by target", _targets(analysis, charts, figures)),
        ("conditions", "C of each intermediate task", _conditions(analysis, items, charts, figures)),
        ("baseline", "Gain against baseline", _baseline(analysis, charts, figures)),
        ("languages", "Gains by language and target", _languages(analysis, figures)),
        ("bootstrap", "Bootstrap distribution of C", _bootstrap(analysis, items, charts, figures)),
        ("hops", "Hops within one target", _hops(analysis, items, charts, figures)),
        ("choices", "Specification curve", _choices(analysis, charts, figures)),
        ("leave-one-out", "C without one part", _leave_one_out(analysis, charts, figures)),
        ("control", "Baseline against itself", _control(analysis, charts, figures)),
        ("variance", "Variance components and regressions", _variance(analysis, charts, figures)),
        ("provenance", "Versions, seeds and settings", _provenance(analysis, provenance)),
    ]
    banner = smoke(analysis)
    return tuple(
        Part(place, name, title, tuple(_said_before(block, banner) for block in blocks if block is not None))
        for place, (name, title, blocks) in enumerate(made, 1)
    )


Captioned = TypeVar("Captioned", Chart, Table)


def said_before(shown: Captioned, banner: str) -> Captioned:
    """The same with ``banner`` before its caption."""
    return replace(shown, caption=f"{banner} {shown.caption}".strip()) if banner else shown


def _said_before(block: Block, banner: str) -> Block:
    """A table with ``banner``; charts and heat maps have it from the start."""
    return replace(block, table=said_before(block.table, banner)) if isinstance(block, Shown) else block


def _graphic(
    names: Sequence[str], charts: Mapping[str, Chart], figures: Mapping[str, Figure], narrow: str = ""
) -> Graphic | None:
    chosen = tuple(charts[name] for name in names if name in charts)
    if not chosen:
        return None
    drawn = tuple(figures[chart.name] for chart in chosen)
    return Graphic(chosen, drawn, chosen[0].caption, figures[narrow] if narrow else None)


def _table(table: Table | None, *, folded: bool = False) -> Shown | None:
    return Shown(table, folded or len(table.rows) > MOST_ROWS) if table else None


def _no_contrast(analysis: Analysis, what: str) -> Text | None:
    """Why what is made of C is missing, where there is no C."""
    if KEY.name in analysis.contrasts:
        return None
    return Text(f"There is no C in this study, so there is no {what}: {analysis.verdict.sentences[0]}", True)


def strips(charts: Mapping[str, Chart], figures: Mapping[str, Figure]) -> Graphic | None:
    """C on both scales, for the verdict box."""
    return _graphic([f"verdict-{scale}" for scale in SCALES], charts, figures)


def _verdict(analysis: Analysis, notes: Sequence[str]) -> Iterable[Block | None]:
    """What follows the box itself, which the templates set."""
    if collapse := tables.collapsed(analysis):
        yield Text(tables.collapsed_sentence(analysis))
        for table in collapse:
            yield _table(table) if table.rows else None
    yield Items("What this study cannot tell apart", analysis.verdict.confounds)
    yield Items("Notes on these data", tuple(notes)) if notes else None
    yield Items("How to read the numbers", READING)


def _gains(analysis: Analysis) -> Iterable[Block | None]:
    yield _table(tables.summary(analysis)) or Text(
        "No group of targets has a gain in a transfer language.", True
    )
    kept = tables.retention(analysis)
    yield Text(kept) if kept else None
    yield _table(tables.grid(analysis))
    yield _table(robustness.tests(analysis))
    yield _table(robustness.counts(analysis)) or Text(
        "No target has a transfer language, so no number of languages with a gain (K̂) is given.", True
    )


def _targets(
    analysis: Analysis, charts: Mapping[str, Chart], figures: Mapping[str, Figure]
) -> Iterable[Block | None]:
    if not analysis.tasks:
        yield Text("No target has a gain in a transfer language.", True)
    yield _graphic(["forest"], charts, figures, "forest-narrow")
    yield _table(tables.task_gains(analysis), folded=True)
    scores = tables.mean_scores(analysis)
    yield Shown(scores) if scores else None
    yield _table(tables.source_scores(analysis), folded=scores is not None)
    yield _table(tables.retrieval(analysis))


def _conditions(
    analysis: Analysis, items: FromItems | None, charts: Mapping[str, Chart], figures: Mapping[str, Figure]
) -> Iterable[Block | None]:
    yield _no_contrast(analysis, "C(k)")
    yield _graphic(["conditions"], charts, figures)
    yield _table(robustness.conditions(analysis))
    bands = analysis.robustness.bands
    if KEY.name in analysis.contrasts and bands is None:
        yield Text("A trained condition has one run: there are no simultaneous bands.", True)
    elif bands is not None and len(bands) < 2:
        yield Text("One intermediate task enters C, so its band is its own interval.", True)
    if items is None and KEY.name in analysis.contrasts:
        yield Text(
            "Without the scores of single items, C(k) with pairs of one source kept is not drawn.", True
        )


def _baseline(
    analysis: Analysis, charts: Mapping[str, Chart], figures: Mapping[str, Figure]
) -> Iterable[Block | None]:
    text = robustness.slope(analysis)
    if text is None:
        yield Text(
            "No slope of gain on baseline: it needs 2 baseline seeds common to the trained targets, and 3 pairs of "
            "target and language with different baselines.",
            True,
        )
        return
    yield _graphic(["baseline"], charts, figures)
    yield Text(text)
    found = analysis.robustness.slope
    if found:
        rows = tuple(
            (target, lang, f"{level:.1f}", number(gain, 2)) for target, lang, level, gain in found.points
        )
        yield Shown(
            Table(
                title="Baseline and gain of every point",
                caption="Mean over runs, in points; gain: mean of the single intermediate tasks.",
                columns=("target", "language", "baseline", "gain"),
                rows=rows,
                labels=2,
                keys=tuple({"target": row[0], "lang": row[1]} for row in rows),
            ),
            folded=True,
        )


def _languages(analysis: Analysis, figures: Mapping[str, Figure]) -> Iterable[Block | None]:
    banner = f"{said} " if (said := smoke(analysis)) else ""
    yield Text(
        f"{banner}Points over the baseline; blue is a gain, orange a loss, one colour scale for all conditions. "
        f"{tables.CELL_MARKS} Languages by syntactic distance to English (URIEL), those of unknown distance after "
        f"them, the language of training below the rule. Grey: not evaluated. {sample(analysis)} Two-way (seed × item "
        "cluster) t intervals show on pointing at a cell."
    )
    slugs = condition_slugs(analysis.conditions)
    for condition in analysis.conditions:
        yield heat_map(analysis, condition, figures[f"gains-{slugs[condition]}"])
    for table in tables.language_scores(analysis):
        yield Shown(table, folded=True)


def heat_map(analysis: Analysis, condition: str, figure: Figure) -> HeatMap:
    """The cells of one condition."""
    targets = [target for group in GROUPS for target in analysis.group(group)]
    order = {group: place for place, group in enumerate(GROUPS)}
    gains = {(gain.subject, gain.lang): gain.both for gain in analysis.cells if gain.condition == condition}
    shown, largest = marks(analysis), largest_gain(analysis)
    rows = []
    for lang in languages_by_distance(analysis):
        cells = []
        for target in targets:
            both, key = gains.get((target.name, lang)), f"{condition}|{target.name}|{lang}"
            if both is None:
                text = f"{target.name}, {lang}, {condition}: not evaluated"
                cells.append(Cell(None, target.name, "", text, key))
                continue
            mark = shown.get((condition, target.name, lang), "")
            numbers_shown = f"{interval(both, 'points')} points, {interval(both, 'logit')} log-odds"
            text = f"{target.name}, {lang}, {condition}: {numbers_shown}"
            share = round(both.points.value / largest, 3)
            cells.append(
                Cell(share, target.name, number(both.points.value, 1) + mark, text, key, bold=mark == SHOWN)
            )
        rows.append((lang, tuple(cells)))
    columns = tuple((target.name, order[target.group]) for target in targets)
    groups = tuple((group, order[group]) for group in dict.fromkeys(target.group for target in targets))
    return HeatMap(condition, columns, groups, largest, tuple(rows), analysis.source, figure)


def _bootstrap(
    analysis: Analysis, items: FromItems | None, charts: Mapping[str, Chart], figures: Mapping[str, Figure]
) -> Iterable[Block | None]:
    if KEY.name not in analysis.contrasts:
        yield _no_contrast(analysis, "bootstrap of it")
        return
    if analysis.robustness.bootstrap is None:
        yield Text(
            "There is no bootstrap of C; the notes on these data say why. The verdict does not need it.", True
        )
        return
    if items is None:
        yield Text("Without the scores of single items the distribution is not drawn.", True)
    yield _graphic(["bootstrap-points", "bootstrap-logit"], charts, figures)
    yield _table(robustness.bootstrap(analysis))
    factors = robustness.bayes_factors(analysis)
    yield Text(
        factors or "No Bayes factor of C: it has no standard error over new seeds and items.", factors is None
    )


def _hops(
    analysis: Analysis, items: FromItems | None, charts: Mapping[str, Chart], figures: Mapping[str, Figure]
) -> Iterable[Block | None]:
    if items is None:
        yield Text("Without the scores of single items there is nothing on hops within a target.", True)
        return
    if not items.hop_gains:
        names = {
            target.name
            for group in (MULTI_HOP_QA, MULTI_HOP_CLASSIFICATION)
            for target in analysis.group(group)
        }
        listed = "; ".join(
            f"{name}: " + (", ".join(map(str, sorted(levels))) if set(levels) != {0} else "unknown")
            for name, levels in items.hops.items()
            if name in names
        )
        why = f"no multi-hop target has items with different numbers of hops ({listed})" if listed else ""
        if items.left_out:
            why = "no multi-hop target has two numbers of hops with enough items"
        yield Text(f"Nothing on hops within a target: {why or 'there is no multi-hop target'}.", True)
    yield _graphic(["hops"], charts, figures)
    yield _table(robustness.hops(analysis, items), folded=True) if items.hop_gains else None
    for sentence in items.left_out:
        yield Text(sentence, True)


def _choices(
    analysis: Analysis, charts: Mapping[str, Chart], figures: Mapping[str, Figure]
) -> Iterable[Block | None]:
    curve = analysis.robustness.specifications
    if curve is None:
        yield _no_contrast(analysis, "specification curve") or Text(
            "No specification of C can be computed.", True
        )
        return
    yield _graphic(["specifications"], charts, figures)
    yield _table(robustness.choices(analysis)) or Text(
        "These data leave one specification of C, that of the verdict: no choice changes anything in them.",
        True,
    )
    yield _table(robustness.other_scales(analysis))


def _leave_one_out(
    analysis: Analysis, charts: Mapping[str, Chart], figures: Mapping[str, Figure]
) -> Iterable[Block | None]:
    yield _no_contrast(analysis, "part of it to leave out")
    if KEY.name in analysis.contrasts and analysis.robustness.leave_one_out is None:
        yield Text(
            "C rests on one target of either group, one language and one condition: none can be left out.",
            True,
        )
    yield _graphic(["leave-one-out"], charts, figures)
    yield _table(robustness.leave_one_out(analysis), folded=True)


def _control(
    analysis: Analysis, charts: Mapping[str, Chart], figures: Mapping[str, Figure]
) -> Iterable[Block | None]:
    text = robustness.control(analysis)
    yield (
        Text(text)
        if text
        else Text(
            "No check of the baseline against itself (A/A): it needs 4 baseline seeds that all trained targets have.",
            True,
        )
    )
    yield _graphic(["control"], charts, figures)


def _variance(
    analysis: Analysis, charts: Mapping[str, Chart], figures: Mapping[str, Figure]
) -> Iterable[Block | None]:
    graphic = _graphic(["variance"], charts, figures)
    yield graphic or Text("Every trained condition has one run: no variance between seeds is known.", True)
    yield Shown(robustness.components(analysis), folded=graphic is not None)
    for table in analysis.regressions:
        yield _regression(table)
    if not analysis.regressions:
        yield Text("No regression was fitted.", True)


def _regression(found: RegressionTable) -> Block:
    """A table with its diagnostics, or in sentences why there is none."""
    used = "" if found.used else " Not to be quoted."
    if not found.rows:
        reasons = (*found.notes, *found.diagnostics)
        why = next((one for one in reasons if one.startswith("Not ")), "Not used")
        others = (one for one in reasons if one != why)
        return Items(found.title, (why, found.what, *others), why.partition(":")[0].lower())
    rows = tuple(
        (
            term.name,
            number(term.estimate, 3),
            f"{term.se:.3f}",
            f"[{number(term.low, 3).lstrip('+')}, {number(term.high, 3).lstrip('+')}]",
            f"{term.df:,.0f}",
            robustness.p_value(term.p),
        )
        for term in found.rows
    )
    return Shown(
        Table(
            title=found.title,
            caption=" ".join([found.what + used, *found.notes]),
            columns=("term", "estimate", "SE", "interval", "df", "p"),
            rows=rows,
        ),
        folded=True,
        line=f"{rows[0][0]}: {rows[0][1]} {rows[0][3]}{used.lower().rstrip('.')}",
        below=found.diagnostics,
    )


def _provenance(analysis: Analysis, provenance: Mapping[str, str]) -> Iterable[Block | None]:
    method = analysis.method
    seeds = {
        f"seeds of {target.name}": "; ".join(
            f"{name}: {', '.join('given' if seed < 0 else str(seed) for seed in listed)}"
            for name, listed in target.seeds.items()
        )
        for target in analysis.targets.values()
    }
    bootstrap = analysis.robustness.bootstrap
    yield Facts(
        {
            **provenance,
            "confidence": f"{100 * method.confidence:g} %",
            "margins": ", ".join(
                f"±{value:g} {charts_unit}"
                for value, charts_unit in zip(
                    analysis.verdict.margins.values(), ("points", "log-odds"), strict=True
                )
            ),
            "seed parts": "clipped at 0" if method.clip else "not clipped",
            "runs": "paired by seed" if method.paired else "unpaired",
            "bootstrap": f"{REPLICATES:,} replicates, seed {ROOT_SEED}" if bootstrap else "none",
            **seeds,
        }
    )
    if not any("elapsed" in name or "seconds" in name for name in provenance):
        yield Text(
            "Elapsed time is not printed here, so that the same scores and version give the same bytes; each stored "
            "unit carries its own.",
            True,
        )


def numbers(all_parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Every part with its sentences and tables as printed, for results.json."""
    return [
        {"part": one.number, "title": one.title, "blocks": [_block(block) for block in one.blocks]}
        for one in all_parts
    ]


def _block(block: Block) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"text": block.text}
    if isinstance(block, Items):
        return {"title": block.title, "sentences": list(block.sentences)}
    if isinstance(block, Shown):
        table = block.table
        return {
            "table": table.title,
            "caption": table.caption,
            "columns": list(table.columns),
            "rows": [list(row) for row in table.rows],
            "below": list(block.below),
        }
    if isinstance(block, Graphic):
        return {"charts": [chart.name for chart in block.charts], "caption": block.caption}
    if isinstance(block, HeatMap):
        cells = {cell.key: cell.shown for _, row in block.rows for cell in row if cell.share is not None}
        return {"heat_map": block.condition, "cells": cells}
    return {"facts": dict(block.values)}
