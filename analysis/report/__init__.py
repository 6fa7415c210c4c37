"""The report: one self-contained page, the same in Markdown, LaTeX tables, figures, and every number as JSON."""

from xeval.analysis.report.model import Report, Widget
from xeval.analysis.report.render import write
from xeval.analysis.report.sections import analysis_report

__all__ = ["Report", "Widget", "analysis_report", "write"]
