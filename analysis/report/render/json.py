"""Every number of the report as JSON."""

import json
import math
from collections.abc import Mapping
from typing import Any

from xeval.analysis.report.model import Report


def text(report: Report) -> str:
    """The numbers behind the report, its sections as printed, and the records of its figures."""
    return json.dumps(finite(results(report)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def results(report: Report) -> dict[str, Any]:
    """The same as a dictionary."""
    return {
        "title": report.title,
        **report.numbers,
        "parts": [
            {"part": place, "title": section.title, "blocks": [block.to_dict() for block in section.blocks]}
            for place, section in enumerate(report.sections, 1)
        ],
        "charts": {
            figure.name: {"records": list(figure.records), "options": dict(figure.options)}
            for figure in report.figures()
            if figure.kind != "heat"  # its cells stand in its section
        },
    }


def finite(value: Any) -> Any:
    """The same structure with None for numbers that are not finite, and lists for tuples."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
