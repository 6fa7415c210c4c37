"""The charts as files for print: matplotlib's SVG and PDF of what the page shows interactively."""

from typing import Any

import numpy as np

from xeval.analysis.estimate.variance import SCALES
from xeval.analysis.report import plots
from xeval.analysis.report.charts import Chart, Record
from xeval.analysis.report.plots import (
    BAND,
    INK,
    LINE,
    MUTED,
    PAPER,
    ROW_INCHES,
    Figure,
    finish,
    limits,
    new_figure,
    number,
    only_bottom,
    short,
    styled,
)
from xeval.analysis.result import Analysis

COLOURS = {"ink": INK, "muted": MUTED} | {
    f"group-{place}": colour for place, colour in enumerate(plots.COLOURS.values())
}
SEEDS, ITEMS = plots.COLOURS["multi-hop QA"], plots.COLOURS["classification"]
WIDTH = 8.4


def figures(analysis: Analysis, charts: dict[str, Chart]) -> dict[str, Figure]:
    """Every figure of the report by name: the charts, the narrow forest plot, and a heat map for each condition."""
    drawn = [plots.verdict_strip(analysis, scale) for scale in SCALES if f"verdict-{scale}" in charts]
    if "forest" in charts:
        drawn += [plots.forest(analysis), plots.forest(analysis, narrow=True)]
    drawn += [plots.heat_map(analysis, condition) for condition in analysis.conditions]
    drawn.append(plots.specifications(analysis))
    found = {figure.name: figure for figure in drawn if figure is not None}
    return found | {name: draw(chart) for name, chart in charts.items() if name not in found}


def draw(chart: Chart) -> Figure:
    """One chart of a kind that needs nothing but its records."""
    drawers = {"intervals": _intervals, "scatter": _scatter, "histogram": _histogram, "shares": _shares}
    figure: Figure = drawers[chart.kind](chart)
    return figure


@styled
def _intervals(chart: Chart) -> Figure:
    records, scales = chart.records, chart.options["scales"]
    top, bottom, left = 0.1, 0.5, 2.35
    height = top + bottom + ROW_INCHES * len(records)
    figure, axes = new_figure(WIDTH, height)
    axes.remove()
    wide = (WIDTH - left - 0.1) / len(scales)
    for place, scale in enumerate(scales):
        panel = figure.add_axes(
            (
                (left + place * wide) / WIDTH,
                bottom / height,
                (wide - 0.25) / WIDTH,
                1 - (top + bottom) / height,
            )
        )
        panel.set_facecolor("none")
        panel.set_ylim(len(records) - 0.5, -0.5)
        margin = chart.options.get("margin", {}).get(scale)
        if margin:
            panel.axvspan(-margin, margin, color=BAND, zorder=0)
        panel.axvline(0, color=MUTED, linewidth=0.9, zorder=1)
        panel.set_xlim(*limits([one for record in records for one in record[scale] if one is not None]))
        for line, record in enumerate(records):
            _bars(panel, line, record, scale)
        names = [short(record["row"], 34) for record in records]
        panel.set_yticks(range(len(records)), names if place == 0 else [""] * len(records))
        only_bottom(panel)
        panel.tick_params(axis="y", length=0, labelcolor=INK)
        panel.set_xlabel(chart.options["axis"][scale], color=MUTED)
    return finish(figure, chart.name, chart.title)


def _bars(panel: Any, line: int, record: Record, scale: str) -> None:
    value, low, high, inner_low, inner_high = record[scale]
    colour = COLOURS[record["colour"]]
    if low is not None:
        panel.plot([low, high], [line, line], color=colour, linewidth=1.1, solid_capstyle="butt")
    panel.plot([inner_low, inner_high], [line, line], color=colour, linewidth=3.2, solid_capstyle="butt")
    panel.plot([value], [line], marker="D" if record.get("diamond") else "o", markersize=5.0,
               color=PAPER if record["hollow"] else colour, markeredgecolor=colour, markeredgewidth=1.1)  # fmt: skip


@styled
def _scatter(chart: Chart) -> Figure:
    figure, axes = new_figure(WIDTH, 4.2)
    axes.set_position((0.075, 0.12, 0.66, 0.85))
    axes.axhline(0, color=MUTED, linewidth=0.9)
    line = chart.options["line"]
    across = [one["x"] for one in line]
    axes.fill_between(
        across, [one["low"] for one in line], [one["high"] for one in line], color=BAND, zorder=0
    )
    axes.plot(across, [one["y"] for one in line], color=INK, linewidth=1.2, label="slope")
    for name, style in (("equal error reduction", "--"), ("equal log-odds", ":")):
        curve = [one for one in chart.options["curves"] if one["curve"] == name]
        axes.plot([one["x"] for one in curve], [one["y"] for one in curve], style, color=MUTED, linewidth=1.2,
                  label=name)  # fmt: skip
    for group in dict.fromkeys(record["legend"] for record in chart.records):
        own = [record for record in chart.records if record["legend"] == group]
        axes.plot([one["x"] for one in own], [one["y"] for one in own], linestyle="none", marker="o", markersize=4.5,
                  color=COLOURS[own[0]["colour"]], markeredgecolor=PAPER, markeredgewidth=0.5, label=group)  # fmt: skip
    _plain(axes)
    axes.set_xlabel(chart.options["axis"]["x"], color=MUTED)
    axes.set_ylabel(chart.options["axis"]["y"], color=MUTED)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8, labelcolor=INK)
    return finish(figure, chart.name, chart.title)


@styled
def _histogram(chart: Chart) -> Figure:
    figure, axes = new_figure(4.6, 2.5)
    axes.set_position((0.13, 0.2, 0.84, 0.77))
    lows = np.array([record["low"] for record in chart.records])
    highs = np.array([record["high"] for record in chart.records])
    counts = [record["count"] for record in chart.records]
    margin = chart.options["margin"]
    axes.axvspan(-margin, margin, color=BAND, zorder=0)
    axes.bar(lows, counts, width=highs - lows, align="edge", color=SEEDS, alpha=0.55, linewidth=0)
    axes.axvline(0, color=MUTED, linewidth=0.9)
    if "interval" in chart.options:
        value, low, high = chart.options["interval"]
        level = -0.05 * max(counts)
        axes.plot([low, high], [level, level], color=INK, linewidth=1.6)
        axes.plot([value], [level], marker="D", markersize=5, color=INK)
    axes.set_xlim(*limits([float(lows.min()), float(highs.max()), -margin, margin]))
    _plain(axes)
    axes.set_xlabel(chart.options["axis"]["x"], color=MUTED)
    axes.set_ylabel(chart.options["axis"]["y"], color=MUTED)
    return finish(figure, chart.name, chart.title)


@styled
def _shares(chart: Chart) -> Figure:
    rows = list(dict.fromkeys(record["row"] for record in chart.records))
    left, bottom, top = 2.6, 0.5, 0.35
    height = bottom + top + ROW_INCHES * len(rows)
    figure, axes = new_figure(WIDTH, height)
    axes.set_position((left / WIDTH, bottom / height, 1 - (left + 0.15) / WIDTH, 1 - (bottom + top) / height))
    start = dict.fromkeys(rows, 0.0)
    for part, colour in (("new seeds", SEEDS), ("new items", ITEMS)):
        own = {record["row"]: record["share"] for record in chart.records if record["part"] == part}
        axes.barh([rows.index(row) for row in own], list(own.values()), left=[start[row] for row in own], height=0.62,
                  color=colour, label=part)  # fmt: skip
        start |= {row: start[row] + share for row, share in own.items()}
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    only_bottom(axes)
    axes.set_yticks(range(len(rows)), [short(row, 36) for row in rows])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_xlabel(chart.options["axis"]["x"], color=MUTED)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, frameon=False, fontsize=8, labelcolor=INK)
    return finish(figure, chart.name, chart.title)


def _plain(axes: Any) -> None:
    """Lines at the left and at the bottom only, numbers with a true minus sign."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LINE)
    axes.tick_params(color=LINE, labelcolor=MUTED, length=3)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(
            lambda value, _: number(value, 10).rstrip("0").rstrip(".").lstrip("+") or "0"
        )
    axes.locator_params(nbins=6)
