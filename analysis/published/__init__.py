"""Re-analyses of published scores, as far as they allow: a module of this package for each paper."""

from xeval.analysis.published import phang2020
from xeval.analysis.report.model import Report
from xeval.errors import UsageError

_REPORTS = {"phang2020": phang2020.report}


def published_report(name: str) -> Report:
    """The report on published scores.

    Raises:
        UsageError: no scores of that name.
    """
    if name not in _REPORTS:
        raise UsageError(f"no published scores named {name!r}; use {', '.join(_REPORTS)}.")
    return _REPORTS[name]()


__all__ = ["published_report"]
