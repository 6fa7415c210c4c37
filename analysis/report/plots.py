"""Figures as SVG text and as PDF: same analysis, same bytes; text stays text; colours for colour-blind eyes.

``standalone`` figures carry plain colours. ``inline`` turns a figure's colours into CSS variables, so that a page can
show it in its light and in its dark theme, and makes its ids unique within the page.
"""

import functools
import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar
from xml.sax.saxutils import escape

from xeval.analysis.estimate.estimands import GRID
from xeval.analysis.estimate.variance import SCALES, Estimate, Scale
from xeval.analysis.frame.arrays import Both
from xeval.analysis.models.languages import covariate
from xeval.analysis.result import Analysis
from xeval.analysis.verdict import equivalence_level
from xeval.conditions import (
    CLASSIFICATION,
    GROUPS,
    MEAN,
    MULTI_HOP_CLASSIFICATION,
    MULTI_HOP_QA,
    RETRIEVAL,
    SINGLE_HOP_QA,
    STRUCTURED,
)

INK, MUTED, LINE, BAND, PAPER = "#1c2431", "#5f6b7a", "#cfd6de", "#e9eef3", "#fefefe"
GAIN, LOSS = "#4a9bd4", "#e58a3c"
COLOURS = {  # after Okabe & Ito (2008)
    CLASSIFICATION: "#0072b2",
    MULTI_HOP_CLASSIFICATION: "#3d9fd8",
    STRUCTURED: "#b4679a",
    SINGLE_HOP_QA: "#cc8a00",
    MULTI_HOP_QA: "#d55e00",
    RETRIEVAL: "#009e73",
}
VARIABLES = {
    INK: "ink", MUTED: "muted", LINE: "line", BAND: "band", PAPER: "paper", GAIN: "gain", LOSS: "loss",
    **{colour: f"group-{number}" for number, colour in enumerate(COLOURS.values())},
}  # fmt: skip
AXIS_NAMES: dict[Scale, str] = {"points": "gain in points", "logit": "gain in log-odds"}
Draw = ParamSpec("Draw")
Drawn = TypeVar("Drawn")
MINUS = "−"
SHOWN, CLOSED = "•", "°"
ROW_INCHES = 0.235
FONTS = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
STYLE = {
    "font.size": 9.0,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 9.0,
    "text.parse_math": False,  # a name with dollar signs is a name
}


@dataclass(frozen=True)
class Figure:
    """A drawn figure. ``width`` and ``height`` are in CSS pixels; ``description`` is its text for screen readers."""

    name: str
    description: str
    svg: str
    pdf: bytes
    width: float
    height: float

    def standalone(self) -> str:
        """A complete SVG file."""
        return self.svg

    def inline(self) -> str:
        """An ``<svg>`` element for a page: colours as variables, unique ids, the page's font, a text alternative."""
        body = self.svg[self.svg.index("<svg") :]
        for colour, variable in VARIABLES.items():
            body = body.replace(colour, f"var(--{variable})")
        body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
        body = re.sub(r'\bid="([^"]+)"', rf'id="{self.name}-\1"', body)
        body = re.sub(r'(href="#|url\(#)', rf"\g<1>{self.name}-", body)
        body = re.sub(r'\s(?:xmlns(?::xlink)?|version)="[^"]*"', "", body)
        opening = (
            f'<svg role="img" aria-label="{escape(self.description, {chr(34): "&quot;"})}" viewBox="0 0 '
            f'{self.width * 0.75:g} {self.height * 0.75:g}" width="{self.width:g}" height="{self.height:g}">'
        )
        return re.sub(r"<svg[^>]*>", lambda _: opening, body, count=1).strip()


def number(value: float, digits: int) -> str:
    """A signed number with a true minus sign; a rounded zero has no sign."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)


def interval(both: Both, scale: Scale) -> str:
    """``+1.20 [−0.30, 2.70]``; marked where it covers new items only."""
    return with_interval(both.on(scale), 2 if scale == "points" else 3)


def with_interval(estimate: Estimate, digits: int) -> str:
    """The same of an estimate on any scale."""
    low, high = estimate.interval() if estimate.seeds_estimable else estimate.items_interval()
    ends = ", ".join(number(bound, digits).lstrip("+") for bound in (low, high))
    return f"{number(estimate.value, digits)} [{ends}]{'' if estimate.seeds_estimable else '*'}"


def styled(draw: Callable[Draw, Drawn]) -> Callable[Draw, Drawn]:
    """Draw in the project's style, whatever the user's matplotlib settings are."""

    @functools.wraps(draw)
    def drawn(*args: Draw.args, **kwargs: Draw.kwargs) -> Drawn:
        from matplotlib import style

        with style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return drawn


@styled
def verdict_strip(analysis: Analysis, scale: Scale) -> Figure | None:
    """C on one scale: 95 % interval, 90 % interval, zero, and the equivalence margin."""
    contrast = analysis.contrasts.get("C")
    if contrast is None:
        return None
    estimate = contrast.mean.on(scale)
    margin = analysis.verdict.margins[scale]
    figure, axes = new_figure(4.3, 0.92)
    axes.set_position((0.04, 0.5, 0.92, 0.46))
    whole = bounds(contrast.mean, scale)
    axes.axvspan(-margin, margin, color=BAND, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=0.9, zorder=1)
    axes.plot(whole, [0, 0], color=COLOURS[MULTI_HOP_QA], linewidth=1.4, solid_capstyle="round", zorder=2)
    if estimate.seeds_estimable:
        inner = estimate.interval(equivalence_level(contrast.mean))
        axes.plot(inner, [0, 0], color=COLOURS[MULTI_HOP_QA], linewidth=4.2, solid_capstyle="butt", zorder=3)
    axes.plot([estimate.value], [0], marker="D", markersize=6.5, color=COLOURS[MULTI_HOP_QA],
              markeredgecolor=PAPER, markeredgewidth=1.0, zorder=4)  # fmt: skip
    axes.set_xlim(*limits([*whole, -1.4 * margin, 1.4 * margin]))
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    only_bottom(axes)
    axes.set_xlabel("C in points" if scale == "points" else "C in log-odds", color=MUTED)
    text = f"C in {scale}: {interval(contrast.mean, scale)}; margin ±{margin:g}"
    return finish(figure, f"verdict-{scale}", text)


@dataclass(frozen=True)
class _Row:
    """A line of the forest plot; ``both`` is None for a heading."""

    label: str
    colour: str
    both: Both | None = None
    second: str = ""
    summary: bool = False


@styled
def forest(analysis: Analysis, *, narrow: bool = False) -> Figure:
    """G(k,t) by group with diamonds for groups and contrasts; thick: new items, thin: new seeds and items."""
    rows = _forest_rows(analysis)
    width = 3.75 if narrow else 10.6
    top, bottom = 0.32, 0.5
    height = top + bottom + ROW_INCHES * len(rows)
    figure, axes = new_figure(width, height)
    panels: list[tuple[Scale, float, float]] = (
        [("points", 0.45, 0.53)] if narrow else [("points", 0.265, 0.27), ("logit", 0.69, 0.14)]
    )
    axes.remove()
    inside = (bottom / height, 1 - (top + bottom) / height)
    labels = figure.add_axes((0.0, inside[0], 1.0, inside[1]))
    labels.set_axis_off()
    labels.set_xlim(0, 1)
    labels.set_ylim(len(rows) - 0.5, -0.5)
    for line, row in enumerate(rows):
        heading = row.both is None
        label = " · ".join(part for part in (row.label, row.second) if part) if narrow else row.label
        labels.text(0.0 if heading else 0.012, line, short(label, 24), va="center",
                    color=row.colour if heading else INK if row.label else MUTED,
                    fontweight="bold" if heading or row.summary else "normal")  # fmt: skip
        if row.second and not narrow:
            labels.text(0.158, line, short(row.second, 18), color=MUTED, va="center")
        if row.both is None and line:
            labels.axhline(line - 0.5, color=LINE, linewidth=0.6)
    for scale, left, share in panels:
        panel = figure.add_axes((left, inside[0], share, inside[1]))
        panel.set_facecolor("none")
        shown = [row.both for row in rows if row.both is not None]
        panel.set_xlim(*limits([bound for both in shown for bound in bounds(both, scale)]))
        panel.set_ylim(len(rows) - 0.5, -0.5)
        panel.axvline(0, color=MUTED, linewidth=0.9)
        for line, row in enumerate(rows):
            if row.both is not None:
                _interval_mark(panel, line, row, scale)
        panel.set_yticks([])
        only_bottom(panel)
        panel.set_xlabel(AXIS_NAMES[scale], color=MUTED)
        if not narrow:
            level = f"{100 * analysis.method.confidence:g} % CI"
            labels.text(left + share + 0.012, -0.95, f"{'points' if scale == 'points' else 'log-odds'} [{level}]",
                        color=MUTED, va="center", fontsize=8)  # fmt: skip
            for line, row in enumerate(rows):
                if row.both is not None:
                    labels.text(left + share + 0.012, line, interval(row.both, scale), color=INK, va="center",
                                fontsize=8)  # fmt: skip
    return finish(
        figure,
        "forest-narrow" if narrow else "forest",
        "Gains over the baseline by group and target with intervals; the same numbers are in the tables.",
    )


@styled
def heat_map(analysis: Analysis, condition: str) -> Figure:
    """Gain in points per language and target, for one condition; see :func:`marks` for what is bold."""
    targets = [target for group in GROUPS for target in analysis.group(group)]
    cells = {
        (gain.subject, gain.lang): gain.both.points for gain in analysis.cells if gain.condition == condition
    }
    languages = languages_by_distance(analysis)
    shown = marks(analysis)
    largest = largest_gain(analysis)
    wide, high, left, top = 0.48, 0.25, 0.42, 0.95
    figure, axes = new_figure(left + wide * len(targets) + 0.7, top + high * len(languages) + 0.1)
    size = figure.get_size_inches()
    axes.set_position(
        (left / size[0], 0.1 / size[1], wide * len(targets) / size[0], high * len(languages) / size[1])
    )
    axes.set_xlim(0, len(targets))
    axes.set_ylim(len(languages), 0)
    for column, target in enumerate(targets):
        axes.text(column + 0.42, -0.55, short(target.name, 18), rotation=38, ha="left", va="bottom",
                  rotation_mode="anchor", color=INK, fontsize=8)  # fmt: skip
        axes.plot([column + 0.04, column + 0.96], [-0.2, -0.2], color=COLOURS[target.group], linewidth=3,
                  solid_capstyle="butt", clip_on=False)  # fmt: skip
        for row, lang in enumerate(languages):
            estimate = cells.get((target.name, lang))
            if estimate is None:
                _cell(axes, column, row, None)
                continue
            mark = shown.get((condition, target.name, lang), "")
            _cell(axes, column, row, estimate.value / largest)
            axes.text(column + 0.5, row + 0.52, number(estimate.value, 1) + mark, ha="center", va="center",
                      fontsize=7.5, color=INK, fontweight="bold" if mark == SHOWN else "normal")  # fmt: skip
    if languages[-1] == analysis.source:
        axes.axhline(len(languages) - 1, color=INK, linewidth=0.9)
    axes.set_xticks([])
    axes.set_yticks([row + 0.5 for row in range(len(languages))], languages)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    for side in axes.spines.values():
        side.set_visible(False)
    text = f"Gain in points per language and target, condition {condition}; the same numbers are in results.json."
    return finish(figure, f"gains-{condition_slugs(analysis.conditions)[condition]}", text)


def languages_by_distance(analysis: Analysis) -> list[str]:
    """All languages by syntactic distance to English (URIEL), those of unknown distance after them, English last."""
    distances = covariate("syntactic")
    found = {lang for target in analysis.targets.values() for lang in target.languages}
    listed = sorted(found - {analysis.source}, key=lambda lang: (distances.get(lang, 2.0), lang))
    return [*listed, *({analysis.source} & found)]


def largest_gain(analysis: Analysis) -> float:
    """The largest gain or loss of a cell, in points: the end of the colour scale."""
    return max((abs(gain.both.points.value) for gain in analysis.cells), default=1.0) or 1.0


def marks(analysis: Analysis) -> dict[tuple[str, str, str], str]:
    """Condition, target, language -> a sign where the cell's gain is shown.

    ``SHOWN``: by the Benjamini-Hochberg method within condition and target, after all families before it;
    ``CLOSED``: so would be, but a family before it is not shown, so that the cells are not tested.
    """
    families = {family.name: family for family in analysis.families.families}
    return {
        (condition, target, one.name): SHOWN if one.rejected else CLOSED
        for condition in analysis.conditions
        for target in analysis.targets
        if (family := families.get(f"F3 {condition} {target}"))
        for one in family.hypotheses
        if one.adjusted <= analysis.families.alpha
    }


@styled
def specifications(analysis: Analysis) -> Figure | None:
    """C in points under every combination of choices, from the lowest to the highest, and the choices below."""
    curve = analysis.robustness.specifications
    if curve is None or curve.varied in ((), ("scale",)):
        return None
    shown = curve.on("points")
    levels = [
        (choice, level)
        for choice in curve.varied
        if choice != "scale"
        for level in dict.fromkeys(sorted(one.choices[choice] for one in shown))
    ]
    width, top, bottom, left = 10.2, 2.3, 0.1, 2.25
    height = top + 0.25 + 0.2 * len(levels) + bottom
    figure, axes = new_figure(width, height)
    axes.set_position((left / width, 1 - top / height, 1 - (left + 0.1) / width, (top - 0.1) / height))
    axes.axhline(0, color=MUTED, linewidth=0.9, zorder=1)
    thick = min(3.5, 320.0 / len(shown))
    for place, one in enumerate(shown):
        colour = (
            MUTED
            if not one.significant
            else COLOURS[MULTI_HOP_QA if one.estimate.value < 0 else CLASSIFICATION]
        )
        low, high = one.estimate.interval() if one.estimate.seeds_estimable else one.estimate.items_interval()
        axes.plot(
            [place, place], [low, high], color=colour, linewidth=thick, alpha=0.45, solid_capstyle="butt"
        )
        axes.plot([place], [one.estimate.value], marker="D" if one.primary else "o", linestyle="none",
                  markersize=7.0 if one.primary else min(4.0, thick + 1.5), color=INK if one.primary else colour,
                  zorder=3 if one.primary else 2)  # fmt: skip
    axes.set_xticks([])
    axes.set_ylabel("C in points", color=MUTED)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "left")
        spine.set_color(LINE)
    axes.tick_params(axis="y", color=LINE, labelcolor=MUTED, length=3)
    axes.yaxis.set_major_formatter(
        lambda value, _: number(value, 10).rstrip("0").rstrip(".").lstrip("+") or "0"
    )
    axes.locator_params(axis="y", nbins=6)
    dots = figure.add_axes(
        (left / width, bottom / height, 1 - (left + 0.1) / width, 0.2 * len(levels) / height)
    )
    dots.set_facecolor("none")
    dots.set_xlim(axes.get_xlim())
    dots.set_ylim(len(levels) - 0.5, -0.5)
    for line, (choice, level) in enumerate(levels):
        if line and levels[line - 1][0] != choice:
            dots.axhline(line - 0.5, color=LINE, linewidth=0.6)
        places = [place for place, one in enumerate(shown) if one.choices[choice] == level]
        dots.plot(places, [line] * len(places), marker="s", linestyle="none", color=MUTED,
                  markersize=min(3.6, thick + 0.6))  # fmt: skip
    dots.set_xticks([])
    dots.set_yticks(range(len(levels)), [short(f"{choice}: {level}", 34) for choice, level in levels])
    dots.tick_params(axis="y", length=0, labelcolor=INK, labelsize=8)
    for spine in dots.spines.values():
        spine.set_visible(False)
    text = f"C in points under {len(shown)} combinations of choices; a table of them follows."
    return finish(figure, "specifications", text)


def figures(analysis: Analysis) -> list[Figure]:
    """All figures of the report, in its order."""
    strips = [strip for scale in SCALES if (strip := verdict_strip(analysis, scale)) is not None]
    maps = [heat_map(analysis, condition) for condition in analysis.conditions]
    curve = specifications(analysis)
    return [*strips, forest(analysis), forest(analysis, narrow=True), *maps, *([curve] if curve else [])]


def _forest_rows(analysis: Analysis) -> list[_Row]:
    rows: list[_Row] = []
    groups = {(gain.condition, gain.subject): gain.both for gain in analysis.groups}
    several = len(analysis.conditions) > 1
    for group in GROUPS:
        listed = [gain for target in analysis.group(group) for gain in analysis.tasks
                  if gain.subject == target.name and gain.condition != MEAN]  # fmt: skip
        if not listed:
            continue
        colour = COLOURS[group]
        rows.append(_Row(group, colour))
        previous = ""
        for gain in listed:
            label = gain.subject if gain.subject != previous else ""
            rows.append(_Row(label, colour, gain.both, gain.condition))
            previous = gain.subject
        if (MEAN, group) in groups and len(listed) > 1:
            rows.append(_Row("mean", colour, groups[MEAN, group], summary=True))
    if analysis.contrasts:
        rows.append(_Row("contrasts", INK))
    for name, contrast in analysis.contrasts.items():
        if contrast.form in GRID:  # it has its own table
            continue
        rows.append(_Row(name, INK, contrast.mean, summary=True))
        if name == "C" and several:
            rows += [_Row("", MUTED, both, condition) for condition, both in contrast.by_condition.items()]
    return rows


def _interval_mark(axes: Any, line: int, row: _Row, scale: Scale) -> None:
    assert row.both is not None
    estimate = row.both.on(scale)
    if estimate.seeds_estimable:
        axes.plot(estimate.interval(), [line, line], color=row.colour, linewidth=1.1, solid_capstyle="butt")
    axes.plot(estimate.items_interval(), [line, line], color=row.colour, linewidth=3.4, solid_capstyle="butt")
    sure = estimate.seeds_estimable
    axes.plot(
        [estimate.value],
        [line],
        marker="D" if row.summary else "o",
        markersize=5.6 if row.summary else 4.2,
        color=row.colour if sure else PAPER,
        markeredgecolor=PAPER if sure else row.colour,
        markeredgewidth=0.6 if sure else 1.1,
    )


def bounds(both: Both, scale: Scale) -> tuple[float, float]:
    """The interval that is printed: over new items only where the seeds' part is unknown."""
    estimate = both.on(scale)
    return estimate.interval() if estimate.seeds_estimable else estimate.items_interval()


def limits(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis that holds all values and 0."""
    low, high = min([*values, 0.0]), max([*values, 0.0])
    space = 0.06 * (high - low) or 1.0
    return low - space, high + space


def _cell(axes: Any, column: int, row: int, share: float | None) -> None:
    """A coloured cell; grey where nothing was evaluated."""
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (column + 0.03, row + 0.05),
            0.94,
            0.9,
            facecolor=BAND if share is None else GAIN if share >= 0 else LOSS,
            linewidth=0,
            alpha=1.0 if share is None else round(0.06 + 0.74 * abs(share), 3),
        )
    )


def new_figure(width: float, height: float) -> tuple[Any, Any]:
    """An empty drawing of so many inches, and its axes."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(width, height), facecolor="none")
    axes = canvas.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.set_facecolor("none")
    return canvas, axes


def only_bottom(axes: Any) -> None:
    """Axes with a line at the bottom only, and numbers with a true minus sign."""
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LINE)
    axes.tick_params(axis="x", color=LINE, labelcolor=MUTED, length=3)
    axes.xaxis.set_major_formatter(
        lambda value, _: number(value, 10).rstrip("0").rstrip(".").lstrip("+") or "0"
    )
    axes.locator_params(axis="x", nbins=5)


def finish(canvas: Any, name: str, description: str) -> Figure:
    """The finished drawing as SVG and PDF, without dates or random ids."""
    import matplotlib

    stream, paper = io.StringIO(), io.BytesIO()
    # Type 42, as journals and conferences refuse Type 3 fonts.
    with (
        matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "pdf.fonttype": 42}),
        warnings.catch_warnings(),
    ):
        # Letters that the font lacks are boxes in the PDF; the SVG holds the text for a reader that has them.
        warnings.filterwarnings("ignore", message=".*Glyph .* missing from font")
        canvas.savefig(stream, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
        canvas.savefig(
            paper, format="pdf", metadata={"CreationDate": None, "Producer": None}, transparent=True
        )
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<!DOCTYPE[^>]*>\s*", "", stream.getvalue(), flags=re.DOTALL)
    svg = re.sub(r" font-family: [^;\"]*;| transform=\"rotate\(-0 [^\"]*\"", "", svg)
    svg = svg.replace("</style>", f" text {{font-family: {FONTS}}}</style>", 1)
    width, height = canvas.get_size_inches() * 96
    return Figure(name, description, svg, paper.getvalue(), round(float(width), 2), round(float(height), 2))


def short(text: str, length: int) -> str:
    """The text, cut to so many characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def condition_slugs(conditions: Sequence[str]) -> dict[str, str]:
    """Condition -> letters, digits and hyphens, different for each: a part of its files' names."""
    found: dict[str, str] = {}
    for name in conditions:
        slug = re.sub(r"[^A-Za-z0-9]+", "-", name)[:80].strip("-").lower() or "condition"
        taken = sum(other == slug or other.startswith(f"{slug}--") for other in found.values())
        found[name] = f"{slug}--{taken + 1}" if taken else slug
    return found
