"""The report as one self-contained page."""

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import resources
from importlib.metadata import version
from typing import Any

from xeval.analysis.report.model import Report
from xeval.analysis.report.vega import THEME, Drawing
from xeval.digests import cache_root
from xeval.files import write_whole


def page(report: Report, drawn: Mapping[str, Drawing]) -> str:
    """The page; ``drawn`` are the report's figures by name, for paper and for browsers without scripts."""
    return str(
        template("render/report.html.jinja").render(
            report=report,
            drawn=drawn,
            specifications={"charts": {name: drawing.spec for name, drawing in drawn.items()}},
            theme=THEME,
            css=_text("report.css"),
            script=_text("report.js"),
            library=_library(),
        )
    )


def template(name: str) -> Any:
    """A template of the report, which escapes what it is given."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("xeval.analysis.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["embedded"] = embedded
    return found.get_template(name)


def embedded(value: Any) -> str:
    """JSON that may stand inside a ``script`` element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _text(name: str) -> str:
    return resources.files("xeval.analysis.report.render").joinpath(name).read_text(encoding="utf-8")


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
