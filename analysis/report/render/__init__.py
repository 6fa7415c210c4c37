"""Renderers: a page, Markdown, LaTeX tables, JSON and the console, all of the same report."""

from pathlib import Path

from xeval.analysis.report.model import Report
from xeval.analysis.report.render import html, json, latex, markdown
from xeval.analysis.report.vega import draw


def write(report: Report, out: Path) -> list[Path]:
    """Write the report into ``out``; same report, same bytes, those of the PDF figures excepted.

    report.html, report.md, results.json, tables/*.tex, figures/*.svg and figures/*.pdf. Files of an earlier report in
    the same folder that this one does not have stay.

    Returns:
        The files written.
    """
    drawn = {figure.name: draw(figure, report.banner) for figure in report.figures()}
    files: dict[str, str | bytes] = {
        "report.html": html.page(report, drawn),
        "report.md": markdown.text(report),
        "results.json": json.text(report),
        **{f"tables/{name}.tex": text for name, text in latex.tables(report).items()},
        **{f"figures/{name}.svg": drawing.svg for name, drawing in drawn.items()},
        **{f"figures/{name}.pdf": drawing.pdf for name, drawing in drawn.items()},
    }
    for name, content in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [out / name for name in files]
