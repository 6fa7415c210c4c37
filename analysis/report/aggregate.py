"""A report of what scores without items can show: gains as they are, and what cannot be said from them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

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
from xeval.analysis.estimate.variance import SCALES
from xeval.analysis.report.figures import COLOURS, MUTED
from xeval.analysis.report.model import (
    Block,
    Facts,
    Figure,
    Figures,
    Record,
    Report,
    Section,
    Sentences,
    Table,
)
from xeval.analysis.report.wording import NO_ITEMS, number
from xeval.analysis.verdict import HEADLINES
from xeval.conditions import CLASSIFICATION, GROUPS, MULTI_HOP_QA, SINGLE_HOP_QA
from xeval.errors import DataError

ALL = "all"
"""Stands for the languages of a published mean over them."""
DIGITS: Mapping[Measure, int] = {"points": 2, "logit": 3, "error_reduction": 3}


def aggregate_report(
    scores: Sequence[AggregateScore],
    *,
    title: str,
    command: str,
    missing: Sequence[str],
    notes: Sequence[str],
    source: str = "en",
) -> Report:
    """The report on aggregate scores of one study.

    Args:
        command: what makes this report.
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
    found = _differences(gains)
    tables = [gain_table(gains)]
    if found:
        names, differences = zip(*found, strict=True)
        tables.append(difference_table(differences, names, "condition"))
    return gains_report(
        title=title,
        command=command,
        sentences=sentences,
        figure=gain_figure(gains),
        tables=tables,
        missing=missing,
        notes=[*notes, *left_out],
        numbers={
            "gains": [asdict(gain) for gain in gains],
            "differences": [{"condition": name} | asdict(apart) for name, apart in found],
        },
    )


def _differences(gains: Sequence[AggregateGain]) -> list[tuple[str, GroupDifference]]:
    """Of every condition, question answering of several hops, and of one, against classification."""
    found = []
    for condition in sorted({gain.condition for gain in gains}):
        chosen = [gain for gain in gains if gain.condition == condition]
        for plus in ((MULTI_HOP_QA,), (SINGLE_HOP_QA,)):
            if apart := difference(chosen, plus, (CLASSIFICATION,)):
                found.append((condition, apart))
    return found


def gains_report(
    *,
    title: str,
    command: str,
    sentences: Sequence[str],
    figure: Figure,
    tables: Sequence[Table],
    missing: Sequence[str],
    notes: Sequence[str],
    numbers: Mapping[str, Any],
    sources: Sequence[str] = (),
) -> Report:
    """A report without a verdict.

    Args:
        command: what makes this report.
        sentences: what stands in the verdict's place.
        missing: what the scores cannot show; ``sources``: where they are from.
        numbers: everything in the tables, unrounded, ready for JSON.
    """
    lists = (
        Sentences("What these scores cannot show", tuple(missing), folded=False, main=True),
        Sentences("Notes on these scores", tuple(notes), folded=False, main=True),
    )
    origin: list[Block] = [Facts({"command": command})]
    if sources:
        origin.append(Sentences("Sources", tuple(sources), folded=False))
    return Report(
        title=title,
        about=f"Made by {command}.",
        headline=HEADLINES["no contrast"],
        sentences=tuple(sentences),
        sections=(
            Section("Verdict", tuple(block for block in lists if block.sentences)),
            Section("Gains by target", (Figures((figure,), figure.caption), *tables)),
            Section("Where the scores are from", tuple(origin)),
        ),
        numbers={
            "command": command,
            "headline": HEADLINES["no contrast"],
            "sentences": list(sentences),
            "cannot_show": list(missing),
            "notes": list(notes),
            "sources": list(sources),
            **numbers,
        },
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
        row += [shown(gain[measure], measure) for measure in MEASURES]
        if not bare:
            row.append(
                "–" if gain.interval is None else f"[{', '.join(number(end, 2) for end in gain.interval)}]"
            )
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
    return Table(
        "Gains over the baseline",
        caption,
        tuple(columns),
        tuple(rows),
        labels=labels,
        name="gains",
        main=True,
    )


def difference_table(found: Sequence[GroupDifference], of: Sequence[str] = (), heading: str = "") -> Table:
    """Mean gains of groups against each other; ``of`` says of each what it is of, below ``heading``."""
    rows = []
    for place, apart in enumerate(found):
        values = list(apart.without.values())
        left = "–"
        if values:
            low, high = (shown(value, apart.measure) for value in (min(values), max(values)))
            left = f"{low} to {high}"
        rows.append(
            (
                *of[place : place + 1],
                f"{apart.plus} − {apart.minus}",
                MEASURE_NAMES[apart.measure],
                shown(apart.plus_mean, apart.measure),
                shown(apart.minus_mean, apart.measure),
                shown(apart.value, apart.measure),
                left,
                shown(apart.spread, apart.measure).lstrip("+"),
                f"{apart.p_value:.2f}",
                f"{apart.smallest:.2f}",
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
        name="differences",
        main=True,
    )


def gain_figure(
    gains: Sequence[AggregateGain], others: Mapping[tuple[str, str], AggregateGain] | None = None
) -> Figure:
    """Gains in points and in log-odds by group of targets; open: ``others``, the same gain by another source."""
    several = len({gain.condition for gain in gains}) > 1
    places = {group: place for place, group in enumerate(GROUPS)}
    ordered = sorted(
        gains, key=lambda g: (places.get(g.group, len(places)), g.group, g.target, g.metric, g.condition)
    )
    records = []
    for gain in ordered:
        row = f"{gain.target} ({gain.metric})" + (f" · {gain.condition}" if several else "")
        if other := (others or {}).get((gain.target, gain.metric)):
            records.append(_record(row, other) | {"hollow": True, "other": True})
        records.append(_record(row, gain))
    axis = {scale: f"gain in {MEASURE_NAMES[scale]}" for scale in SCALES}
    return Figure(
        name="gains",
        kind="intervals",
        title="Gains over the baseline per target; the same numbers are in the tables.",
        caption="Gain over the baseline, mean over languages. Bars: intervals over runs, where there are any."
        + (" Open: the same gain by another source." if others else ""),
        records=tuple(records),
        options={"scales": list(SCALES), "axis": axis, "legend": True},
    )


def _record(row: str, gain: AggregateGain) -> Record:
    low, high = gain.interval or (None, None)
    text = {scale: f"{row}: {shown(gain[scale], scale)} {MEASURE_NAMES[scale]}" for scale in SCALES}
    return {
        "row": row, "target": gain.target, "condition": gain.condition, "legend": gain.group or "other",
        "colour": COLOURS.get(gain.group, MUTED), "hollow": False, "text": text,
        "points": [gain.points, low, high, gain.points, gain.points],
        "logit": [gain.logit, None, None, gain.logit, gain.logit],
    }  # fmt: skip


def shown(value: float | None, measure: Measure) -> str:
    """A gain with its sign; – where it does not exist."""
    return "–" if value is None else number(value, DIGITS[measure])


def _languages(gain: AggregateGain) -> str:
    return ALL if gain.languages == (ALL,) else str(len(gain.languages))
