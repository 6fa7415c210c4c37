"""The report: one self-contained page, the same in Markdown, every number as JSON, and the figures as SVG."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.analysis import Analysis
from analysis.report import robustness, tables

if TYPE_CHECKING:
    from rich.console import Group

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
    "Cell-level marks are not corrected for the number of cells; count nothing on a single cell.",
)


def write_report(
    analysis: Analysis,
    out: Path,
    *,
    title: str,
    notes: Sequence[str] = (),
    provenance: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write report.html, report.md, results.json and figures/*.svg into ``out``; same input, same bytes.

    Args:
        title: heading of the report.
        notes: plain sentences that a reader must know, printed after the analysis's own.
        provenance: name -> value, printed as given (versions, digests, dates, commands).

    Returns:
        The files written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from analysis.plots import figures

    drawn = {figure.name: figure for figure in figures(analysis)}
    context = {
        "analysis": analysis,
        "verdict": analysis.verdict,
        "title": title,
        "notes": [*analysis.notes, *notes],
        "reading": READING,
        "provenance": dict(provenance or {}),
        "figures": drawn,
        "strips": [figure for name, figure in drawn.items() if name.startswith("verdict-")],
        "maps": [figure for name, figure in drawn.items() if name.startswith("gains-")],
        "summary": tables.summary(analysis),
        "retention": tables.retention(analysis),
        "grid": tables.grid(analysis),
        "retrieval": tables.retrieval(analysis),
        "task_gains": tables.task_gains(analysis),
        "mean_scores": tables.mean_scores(analysis),
        "language_scores": tables.language_scores(analysis),
        "bootstrap": robustness.bootstrap(analysis),
        "bayes_factors": robustness.bayes_factors(analysis),
        "by_condition": robustness.conditions(analysis),
        "tests": robustness.tests(analysis),
        "counts": robustness.counts(analysis),
        "choices": robustness.choices(analysis),
        "leave_one_out": robustness.leave_one_out(analysis),
        "control": robustness.control(analysis),
        "slope": robustness.slope(analysis),
    }
    environment = Environment(
        loader=PackageLoader("analysis.report", ""),
        autoescape=lambda name: bool(name) and ".html" in str(name),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _markdown_cell
    results = {"title": title, "notes": context["notes"], "provenance": context["provenance"]} | {
        "analysis": analysis.to_dict()
    }
    files = {
        "report.html": environment.get_template("report.html.jinja").render(context),
        "report.md": environment.get_template("report.md.jinja").render(context),
        "results.json": json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    } | {f"figures/{figure.name}.svg": figure.standalone() for figure in drawn.values()}
    written = []
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)
    return written


def console(analysis: Analysis) -> "Group":
    """The verdict and the main tables for a terminal, to be printed by rich."""
    from rich.console import Group
    from rich.markup import escape
    from rich.panel import Panel
    from rich.text import Text

    from xeval.display import table

    verdict = Panel(
        Text("\n".join(analysis.verdict.sentences)),
        title=Text(analysis.verdict.headline, style="bold"),
        title_align="left",
        padding=(1, 2),
    )
    sources = (
        tables.summary(analysis),
        tables.mean_scores(analysis),
        tables.grid(analysis),
        tables.task_gains(analysis),
    )
    shown = [
        table(
            f"\n{source.title}",
            source.columns,
            [[escape(value) for value in row] for row in source.rows],
            right=source.labels,
        )
        for source in sources
        if source is not None
    ]
    notes = [Text(f"\nNote: {note}") for note in analysis.notes]
    return Group(verdict, *shown, *notes)


def _markdown_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("\n", " ")
