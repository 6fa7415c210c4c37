"""The report: one self-contained page, the same in Markdown, LaTeX tables, figures, and every number as JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from xeval.analysis.report.model import Report, Widget
from xeval.analysis.report.render import write
from xeval.analysis.report.sections import analysis_report
from xeval.analysis.result import Analysis


def write_report(
    analysis: Analysis,
    out: Path,
    *,
    title: str,
    notes: Sequence[str] = (),
    provenance: Mapping[str, str] | None = None,
    items: bool = True,
    widgets: Sequence[Widget] = (),
) -> list[Path]:
    """Write the report on an analysis into ``out``; see :func:`analysis_report` and :func:`write`."""
    report = analysis_report(
        analysis, title=title, notes=notes, provenance=provenance, items=items, widgets=widgets
    )
    return write(report, out)


__all__ = ["Report", "Widget", "analysis_report", "write", "write_report"]
