"""A report of what scores without items can show: gains as they are, and what cannot be said from them.

Written as Markdown, JSON and one figure (SVG and PDF); same input, same bytes.
"""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xeval.analysis.estimate.aggregates import (
    MEASURE_NAMES,
    MEASURES,
    AggregateGain,
    AggregateScore,
    GroupDifference,
    Measure,
    aggregate_gains,
    difference,
)
from xeval.analysis.report.plots import (
    COLOURS,
    INK,
    LINE,
    MUTED,
    PAPER,
    Figure,
    finish,
    limits,
    new_figure,
    number,
    only_bottom,
    short,
    styled,
)
from xeval.analysis.report.tables import Table
from xeval.analysis.verdict import HEADLINES
from xeval.conditions import CLASSIFICATION, GROUPS, MULTI_HOP_QA, SINGLE_HOP_QA
from xeval.errors import DataError, StoreError

if TYPE_CHECKING:
    from rich.console import Group

NO_ITEMS = (
    "Aggregate scores only: no interval here covers new test items, so nothing is said about multi-hop targets against "
    "classification beyond these very numbers."
)
ALL = "all"
"""Stands for the languages of a published mean over them."""
DIGITS: Mapping[Measure, int] = {"points": 2, "logit": 3, "error_reduction": 3}
ROW, TOP, BOTTOM = 0.24, 0.1, 0.52
"""Inches of the figure."""


@dataclass(frozen=True)
class Brief:
    """What is printed.

    Attributes:
        headline, sentences: the verdict's place: that there is none, and what is there instead.
        command: what makes this report.
        numbers: everything in the tables, unrounded, ready for JSON.
        missing: what the scores cannot show; ``sources``: where they are from.
    """

    title: str
    command: str
    headline: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    figure: Figure
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    sources: tuple[str, ...]
    numbers: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "command": self.command,
            "headline": self.headline,
            "sentences": list(self.sentences),
            "cannot_show": list(self.missing),
            "notes": list(self.notes),
            "sources": list(self.sources),
            **self.numbers,
        }


def aggregate_brief(
    scores: Sequence[AggregateScore],
    *,
    title: str,
    command: str,
    missing: Sequence[str],
    notes: Sequence[str],
    source: str = "en",
) -> Brief:
    """The report on aggregate scores of one study.

    Args:
        missing: what the files lack; ``notes``: what was left out of them.
        source: language of training; its scores are no transfer.

    Raises:
        DataError: there is no gain to show.
    """
    gains, left_out = aggregate_gains(scores, source=source)
    if not gains:
        raise DataError(f"there is no gain to show: {' '.join(left_out)}")
    estimable = sum(gain.interval is not None for gain in gains)
    sentences = [
        NO_ITEMS,
        f"Gains over the baseline: {len(gains)}, of which {estimable} with two runs or more per side.",
    ]
    if estimable:
        sentences.append(
            "Intervals are Welch's t over runs: unbiased for new runs of the same design on these items."
        )
    found = [
        (condition, one)
        for condition in sorted({gain.condition for gain in gains})
        for plus in ((MULTI_HOP_QA,), (SINGLE_HOP_QA,))
        if (
            one := difference(
                [gain for gain in gains if gain.condition == condition], plus, (CLASSIFICATION,)
            )
        )
    ]
    tables = [gain_table(gains)]
    if found:
        tables.append(difference_table([one for _, one in found], [name for name, _ in found], "condition"))
    return Brief(
        title=title,
        command=command,
        headline=HEADLINES["no contrast"],
        sentences=tuple(sentences),
        tables=tuple(tables),
        figure=gain_figure(gains),
        missing=tuple(missing),
        notes=(*notes, *left_out),
        sources=(),
        numbers=finite(
            {
                "gains": [asdict(g) for g in gains],
                "differences": [{"condition": name} | asdict(one) for name, one in found],
            }
        ),
    )


def gain_table(gains: Sequence[AggregateGain]) -> Table:
    """Every gain, on the three measures; without the columns that say the same, or nothing, in all rows."""
    one_condition = len({gain.condition for gain in gains}) == 1
    bare = all(gain.interval is None for gain in gains)
    columns = ["target", "metric", *(() if one_condition else ("condition",)), "group", "languages"]
    labels = len(columns) - 1
    columns += [*(() if bare else ("runs",)), "baseline", "score", "points", "log-odds", "error reduction"]
    rows = []
    for gain in gains:
        row = [gain.target, gain.metric, *(() if one_condition else (gain.condition,)), gain.group or "–"]
        row += [_languages(gain), *(() if bare else (f"{gain.baseline_runs}/{gain.runs}",))]
        row += [*(number(value, 1).lstrip("+") for value in (gain.baseline, gain.score))]
        row += [shown(gain.on(measure), measure) for measure in MEASURES]
        if not bare:
            row.append("–" if gain.interval is None else _interval(gain.interval))
        rows.append(tuple(row))
    caption = "Mean over languages. Error reduction: share of the baseline's errors that is gone. "
    if bare:
        caption += "A side has a single run everywhere, so there is no interval."
    else:
        columns.append("CI over runs")
        caption += (
            "Runs: baseline/condition. CI: 95 % interval of the points over runs, on these items; – where a side has a "
            "single run."
        )
    return Table("Gains over the baseline", caption, tuple(columns), tuple(rows), labels=labels)


def difference_table(found: Sequence[GroupDifference], of: Sequence[str] = (), heading: str = "") -> Table:
    """Mean gains of groups against each other; ``of`` says of each what it is of, below ``heading``."""
    rows = []
    for place, one in enumerate(found):
        values = list(one.without.values())
        left = "–"
        if values:
            low, high = (shown(value, one.measure) for value in (min(values), max(values)))
            left = f"{low} to {high}"
        rows.append(
            (
                *of[place : place + 1],
                f"{one.plus} − {one.minus}",
                MEASURE_NAMES[one.measure],
                shown(one.plus_mean, one.measure),
                shown(one.minus_mean, one.measure),
                shown(one.value, one.measure),
                left,
                shown(one.spread, one.measure).lstrip("+"),
                f"{one.p_value:.2f}",
                f"{one.smallest:.2f}",
            )
        )
    return Table(
        "Groups of targets against each other",
        "Means over targets. Leave one out: smallest and largest difference when one target is left out. SD: of gains "
        "between targets of one group, pooled. p: exact permutation of the targets over the two groups; the last "
        "column is the smallest p that so few targets can give.",
        (
            *((heading,) if of else ()),
            "groups",
            "measure",
            "first",
            "second",
            "difference",
            "leave one out",
            "SD",
            "p",
            "least p",
        ),
        tuple(rows),
        labels=3 if of else 2,
    )


@styled
def gain_figure(
    gains: Sequence[AggregateGain], others: Mapping[tuple[str, str], Sequence[AggregateGain]] | None = None
) -> Figure:
    """Gains in points and in log-odds by group of targets; hollow: ``others``, the same gain by other sources."""
    lines = _lines(gains)
    conditions = {gain.condition for gain in gains}
    height = TOP + BOTTOM + ROW * len(lines)
    figure, axes = new_figure(7.6, height)
    inside = (BOTTOM / height, 1 - (TOP + BOTTOM) / height)
    axes.set_axis_off()
    labels = figure.add_axes((0.0, inside[0], 1.0, inside[1]))
    labels.set_axis_off()
    labels.set_xlim(0, 1)
    labels.set_ylim(len(lines) - 0.5, -0.5)
    for line, one in enumerate(lines):
        if isinstance(one, str):
            labels.text(
                0.006, line, one or "other", va="center", color=COLOURS.get(one, MUTED), fontweight="bold"
            )
            labels.axhline(line - 0.5, color=LINE, linewidth=0.6)
        else:
            name = f"{one.target} ({one.metric})" + (f" · {one.condition}" if len(conditions) > 1 else "")
            labels.text(0.02, line, short(name, 34), va="center", color=INK)
    placed = [(line, one) for line, one in enumerate(lines) if not isinstance(one, str)]
    measures: tuple[Measure, Measure] = ("points", "logit")
    for measure, left in zip(measures, (0.33, 0.69), strict=True):
        panel = figure.add_axes((left, inside[0], 0.29, inside[1]))
        panel.set_facecolor("none")
        held = [value for gain in gains if (value := gain.on(measure)) is not None]
        for gain in gains:
            held += [v for other in _others(gain, others) if (v := other.on(measure)) is not None]
            held += gain.interval if gain.interval and measure == "points" else ()
        panel.set_xlim(*limits(held or [0.0]))
        panel.set_ylim(len(lines) - 0.5, -0.5)
        panel.axvline(0, color=MUTED, linewidth=0.9)
        for line, gain in placed:
            colour = COLOURS.get(gain.group, MUTED)
            if measure == "points" and gain.interval:
                panel.plot(gain.interval, [line, line], color=colour, linewidth=1.3)
            for other in _others(gain, others):
                if (value := other.on(measure)) is not None:
                    panel.plot([value], [line], marker="o", markersize=5, markerfacecolor=PAPER,
                               markeredgecolor=colour)  # fmt: skip
            if (value := gain.on(measure)) is not None:
                panel.plot([value], [line], marker="o", markersize=5, color=colour)
        panel.set_yticks([])
        only_bottom(panel)
        panel.set_xlabel(f"gain in {MEASURE_NAMES[measure]}", color=MUTED)
    return finish(figure, "gains", "Gains over the baseline per target; the same numbers are in the tables.")


def _lines(gains: Sequence[AggregateGain]) -> list[str | AggregateGain]:
    """The lines of the figure: the gains in the order of their groups, each group below its name."""
    places = {group: place for place, group in enumerate(GROUPS)}
    ordered = sorted(
        gains, key=lambda g: (places.get(g.group, len(places)), g.group, g.target, g.metric, g.condition)
    )
    lines: list[str | AggregateGain] = []
    for group, members in itertools.groupby(ordered, key=lambda g: g.group):
        lines += [group, *members]
    return lines


def write_brief(brief: Brief, out: Path) -> list[Path]:
    """Write report.md, results.json and the figure into ``out``; gives the files written.

    Raises:
        StoreError: the folder cannot be written.
    """
    files: dict[str, str | bytes] = {
        "report.md": markdown(brief),
        "results.json": json.dumps(brief.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        f"figures/{brief.figure.name}.svg": brief.figure.standalone(),
        f"figures/{brief.figure.name}.pdf": brief.figure.pdf,
    }
    written = []
    try:
        for name, content in files.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            written.append(path)
    except OSError as error:
        raise StoreError(f"{out}: the report cannot be written ({error.strerror}).") from error
    return written


def markdown(brief: Brief) -> str:
    """The report as Markdown."""
    parts = [f"# {brief.title}", f"Made by `{brief.command}`.", f"## {brief.headline}", *brief.sentences]
    parts.append(f"![{brief.figure.description}](figures/{brief.figure.name}.svg)")
    for table in brief.tables:
        lines = [_row(table.columns), "|" + "".join(
            " :-- |" if place < table.labels else " --: |" for place in range(len(table.columns))
        )]  # fmt: skip
        parts += [f"## {table.title}", "\n".join([*lines, *(_row(row) for row in table.rows)]), table.caption]
    for heading, sentences in (
        ("What these scores cannot show", brief.missing),
        ("Notes on these scores", brief.notes),
        ("Sources", brief.sources),
    ):
        if sentences:
            parts += [f"## {heading}", "\n".join(f"- {sentence}" for sentence in sentences)]
    return "\n\n".join(parts) + "\n"


def console(brief: Brief) -> "Group":
    """The report for a terminal, to be printed by rich."""
    from rich.console import Group
    from rich.markup import escape
    from rich.panel import Panel
    from rich.text import Text

    from xeval.console.display import table as rich_table

    box = Panel(
        Text("\n".join(brief.sentences)),
        title=Text(brief.headline, style="bold"),
        title_align="left",
        padding=(1, 2),
    )
    tables = [
        rich_table(
            f"\n{table.title}",
            table.columns,
            [[escape(cell) for cell in row] for row in table.rows],
            table.labels,
        )
        for table in brief.tables
    ]
    lines = [Text("\nWhat these scores cannot show:"), *(Text(f"- {line}") for line in brief.missing)]
    return Group(box, *tables, *lines, *(Text(f"Note: {note}") for note in brief.notes))


def shown(value: float | None, measure: Measure) -> str:
    """A gain with its sign; – where it does not exist."""
    return "–" if value is None else number(value, DIGITS[measure])


def finite(value: Any) -> Any:
    """The same structure with None for numbers that are not finite, and lists for tuples."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _languages(gain: AggregateGain) -> str:
    return ALL if gain.languages == (ALL,) else str(len(gain.languages))


def _interval(bounds: tuple[float, float]) -> str:
    return f"[{number(bounds[0], 2)}, {number(bounds[1], 2)}]"


def _others(
    gain: AggregateGain, others: Mapping[tuple[str, str], Sequence[AggregateGain]] | None
) -> Sequence[AggregateGain]:
    return (others or {}).get((gain.target, gain.metric), ())


def _row(cells: Sequence[str]) -> str:
    return (
        "| "
        + " | ".join(cell.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_") for cell in cells)
        + " |"
    )
