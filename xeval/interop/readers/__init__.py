"""Scores that other tools wrote: which tool, and what its files hold. Nothing that they lack is made up."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xeval.conditions import BASELINE
from xeval.errors import DataError, UsageError
from xeval.interop.readers import euroeval, harness, mteb
from xeval.interop.readers.base import Foreign, read_json, read_json_lines
from xeval.interop.readers.mapping import missing_baseline, read_mapping

if TYPE_CHECKING:
    import pandas as pd

Tool = Literal["lm-evaluation-harness", "EuroEval", "mteb"]

__all__ = ["Foreign", "item_scores", "read", "recognise"]


def recognise(source: Path) -> Tool | None:
    """The tool that wrote a file or folder; None where it is none of these (a store, tidy scores, anything else)."""
    if source.is_dir() and next(source.rglob("*.parquet"), None) is not None:
        return None
    for value in _samples(source):
        if harness.is_results(value):
            return "lm-evaluation-harness"
        if euroeval.is_record(value):
            return "EuroEval"
        if mteb.is_result(value) or mteb.is_old_result(value):
            return "mteb"
    return None


def read(source: Path, mapping: Path | None = None) -> Foreign:
    """What the files of another tool hold, for a report: with a baseline.

    Args:
        source: a file or folder that :func:`recognise` knows.
        mapping: a map file, see :mod:`xeval.interop.readers.mapping`.

    Raises:
        DataError: no tool's files, or damaged ones.
        UsageError: the map is wrong or lacks something.
    """
    found = _read(source, mapping)
    conditions = found.conditions()
    if BASELINE not in conditions:
        raise UsageError(missing_baseline(conditions))
    return found


def item_scores(source: Path, mapping: Path | None = None) -> "pd.DataFrame":
    """Tidy scores of another tool, for what needs a score per item but no baseline.

    Raises:
        DataError: the files hold none; the message says what is missing.
        UsageError: the map is wrong or lacks something.
    """
    found = _read(source, mapping)
    if found.frame is None:
        raise DataError(f"{source}: {found.missing[0]}")
    return found.frame


def _read(source: Path, mapping: Path | None) -> Foreign:
    rules = read_mapping(mapping)
    match recognise(source):
        case "lm-evaluation-harness":
            return harness.read(source, rules)
        case "EuroEval":
            return euroeval.read(source, rules)
        case "mteb":
            return mteb.read(source, rules)
    raise DataError(
        f"{source}: holds no results of lm-evaluation-harness, EuroEval or mteb; give a folder or file that they wrote."
    )


def _samples(source: Path) -> Iterator[Any]:
    """Values by which the files of a tool are known: whole JSON files, first lines of JSON-lines files."""
    files = [source] if source.is_file() else sorted(source.rglob("*.json*")) if source.is_dir() else []
    for file in files:
        try:
            if file.suffix == ".json":
                yield read_json(file)
            elif file.suffix == ".jsonl":
                yield next(read_json_lines(file), (0, None))[1]
        except DataError:
            if file == source:
                raise
