"""The report: one self-contained page, the same in Markdown, LaTeX tables, figures, and every number as JSON."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xeval.analysis.report import parts, robustness, tables
from xeval.analysis.report.charts import Chart, all_charts, numbers
from xeval.analysis.report.from_items import from_items
from xeval.analysis.report.plots import condition_slugs
from xeval.analysis.report.size import sample, smoke
from xeval.analysis.result import Analysis
from xeval.digests import cache_root
from xeval.files import write_whole

if TYPE_CHECKING:
    from rich.console import Group

DARK = """--paper: #12171e; --ink: #e6ebf1; --muted: #9aa7b6; --line: #333d4a; --band: #242d38; --tint: #1a212a;
  --accent: #8fc1ea; --gain: #2f86c6; --loss: #c96f22; --group-0: #58a8e0; --group-1: #8ccbf5; --group-2: #d994bf;
  --group-3: #e0ac3a; --group-4: #f08a45; --group-5: #3fc59b; color-scheme: dark;"""


@dataclass(frozen=True)
class Section:
    """A section that stands after the thirteen parts.

    Attributes:
        id: of its element; letters, digits and hyphens. ``title``: its heading.
        html: what stands below the heading, as it is: whoever makes it escapes what it quotes.
        script: a JavaScript module that runs after those of the page; empty for none. It may listen to the document's
            event ``xeval:cell``, whose ``detail`` holds the ``condition``, ``target`` and ``lang`` of a heat-map cell.
        data: anything that JSON holds, to be read from the element with the id ``ID-data``; None for none.
    """

    id: str
    title: str
    html: str
    script: str = ""
    data: Any = None


def write_report(
    analysis: Analysis,
    out: Path,
    *,
    title: str,
    notes: Sequence[str] = (),
    provenance: Mapping[str, str] | None = None,
    items: bool = True,
    sections: Sequence[Section] = (),
) -> list[Path]:
    """Write the report into ``out``; same input, same bytes.

    report.html, report.md, results.json, tables/*.tex, figures/*.svg and figures/*.pdf. Files of an earlier report in
    the same folder that this one does not have stay.

    Args:
        title: heading of the report.
        notes: plain sentences that a reader must know, printed after the analysis's own.
        provenance: name -> value, printed as given (versions, digests, dates, commands).
        items: make the parts that need items: the bootstrap distribution, hops within a target, C(k) with pairs of
            one source. Without them the report says that these are missing.
        sections: what stands after the thirteen parts, in the page only.

    Returns:
        The files written.
    """
    from xeval.analysis.report.drawings import figures

    from_scores = from_items(analysis) if items else None
    banner = smoke(analysis)
    charts = {
        name: parts.said_before(chart, banner) for name, chart in all_charts(analysis, from_scores).items()
    }
    drawn = figures(analysis, charts)
    all_notes = [*analysis.notes, *notes]
    listed = parts.parts(analysis, from_scores, charts, drawn, all_notes, dict(provenance or {}))
    context = {
        "analysis": analysis,
        "verdict": analysis.verdict,
        "title": title,
        "sample": sample(analysis),
        "smoke": banner,
        "parts": listed,
        "sections": sections,
        "strips": parts.strips(charts, drawn),
        "filters": _filters(analysis),
        "data": _embedded({"charts": {one.name: _chart(one) for one in charts.values()}}),
        "css": _text("report.css").replace("{{ dark }}", DARK),
        "script": _text("report.js"),
        "library": _library(),
    }
    results = {
        "title": title,
        "smoke_run": banner or None,
        "notes": all_notes,
        "provenance": dict(provenance or {}),
        "analysis": analysis.to_dict(),
        "parts": parts.numbers(listed),
        "charts": numbers(list(charts.values())),
    }
    environment = _environment()
    files: dict[str, str | bytes] = {
        "report.html": environment.get_template("report.html.jinja").render(context),
        "report.md": environment.get_template("report.md.jinja").render(context),
        "results.json": json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    }
    files |= {f"tables/{name}.tex": text for name, text in _latex(analysis).items()}
    files |= {f"figures/{figure.name}.svg": figure.standalone() for figure in drawn.values()}
    files |= {f"figures/{figure.name}.pdf": figure.pdf for figure in drawn.values()}
    written = []
    for name, content in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        written.append(path)
    return written


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("xeval.analysis.report", ""),
        autoescape=lambda name: bool(name) and ".html" in str(name),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _markdown_cell
    environment.filters["embedded"] = _embedded
    return environment


def _text(name: str) -> str:
    return resources.files("xeval.analysis.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _library() -> str:
    """Vega-Lite, Vega and Vega-Embed as one script, from the package that carries them.

    To bundle them takes seconds, so the script is kept in the cache under the package's version.
    """
    import vl_convert

    kept = cache_root() / f"vl-convert-{version('vl-convert-python')}.js"
    try:
        return kept.read_text(encoding="utf-8")
    except OSError:
        bundle: Any = vl_convert.javascript_bundle  # typed as if it needed a snippet to bundle with
        script = str(bundle())
    with suppress(OSError):  # a cache that cannot be written costs time only
        write_whole(kept, lambda stream: stream.write(script.encode()))
    return script


def _filters(analysis: Analysis) -> list[tuple[str, str, list[str]]]:
    languages = sorted({lang for target in analysis.targets.values() for lang in target.languages})
    found = [
        ("condition", "Conditions", list(analysis.conditions)),
        ("target", "Targets", list(analysis.targets)),
        ("lang", "Languages", languages),
    ]
    return [one for one in found if len(one[2]) > 1]


def _chart(chart: Chart) -> dict[str, Any]:
    return {"kind": chart.kind, "records": _rounded(chart.records), "options": _rounded(chart.options)}


def _rounded(value: Any) -> Any:
    """Six digits are more than a pixel; results.json holds all."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def _embedded(value: Any) -> str:
    """JSON that may stand inside a ``script`` element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _latex(analysis: Analysis) -> dict[str, str]:
    """Name -> a LaTeX table."""
    from xeval.analysis.report.latex import latex

    whole = sample(analysis)
    banner = smoke(analysis)
    slugs = condition_slugs(analysis.conditions)
    listed = [
        ("contrasts", tables.summary(analysis), whole),
        ("grid", tables.grid(analysis), whole),
        ("gains", tables.task_gains(analysis), f"Two-way (seed × item cluster) t intervals. {whole}"),
        ("scores", tables.mean_scores(analysis), whole),
        ("scores-source", tables.source_scores(analysis), whole),
        *zip(("collapsed", "collapsed-without"), tables.collapsed(analysis) or (), ("", ""), strict=False),
        ("conditions", robustness.conditions(analysis), ""),
        ("leave-one-out", robustness.leave_one_out(analysis), ""),
        ("scales", robustness.other_scales(analysis), ""),
        *((f"gains-{slugs[name]}", tables.cell_gains(analysis, name), whole) for name in analysis.conditions),
    ]
    return {
        name: latex(parts.said_before(table, banner), name, caption)
        for name, table, caption in listed
        if table is not None and table.rows
    }


def console(analysis: Analysis) -> "Group":
    """The verdict and the main tables for a terminal, to be printed by rich."""
    from rich.console import Group
    from rich.markup import escape
    from rich.panel import Panel
    from rich.text import Text

    from xeval.console.display import table

    verdict = Panel(
        Text("\n".join(analysis.verdict.sentences)),
        title=Text(analysis.verdict.headline, style="bold"),
        title_align="left",
        padding=(1, 2),
    )
    sources = (
        *(tables.collapsed(analysis) or ()),
        tables.summary(analysis),
        tables.mean_scores(analysis) or tables.source_scores(analysis),
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
        if source is not None and source.rows
    ]
    notes = [Text(f"\nNote: {note}") for note in analysis.notes]
    before = [Text(banner, style="bold")] if (banner := smoke(analysis)) else []
    after = [Text(f"\n{sentence}")] if (sentence := tables.collapsed_sentence(analysis)) else []
    return Group(*before, verdict, *after, *shown, *notes)


def _markdown_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("\n", " ")
