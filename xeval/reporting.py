"""From scores, wherever they come from, to a report on disk and its summary on the console."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from xeval import __version__
from xeval.console.display import console, print_json, spinner
from xeval.digests import text_digest
from xeval.errors import StoreError, remarks_to
from xeval.evaluation.evaluator import software

BROWSED_UNITS, BROWSED_ROWS = 10_000, 4_000_000

if TYPE_CHECKING:
    import pandas as pd

    from xeval.analysis import Analysis
    from xeval.analysis.report import Report, Widget


def report(
    source: Path,
    out: Path,
    *,
    title: str,
    limit: int | None = None,
    settings: Mapping[str, str] | None = None,
    data: Path | None = None,
    mapping: Path | None = None,
    incomplete: bool = False,
    as_json: bool = False,
) -> None:
    """Analyse scores, write the report and print its summary.

    Args:
        source: a store, a file of tidy scores, or results of another tool (:mod:`xeval.interop.readers`).
        limit, settings: of the units to read from a store.
        data: folder with the texts of the items that changed; None where the tasks are built in.
        mapping: says which condition and seed each model of another tool is.
        incomplete: go on where runs lack languages or targets, see :func:`.frame.tidy.check`.
    """
    notes: list[str] = []
    foreign = _is_foreign(source, mapping)
    if foreign:
        from xeval.interop import readers

        found = readers.read(source, mapping)
        notes += found.notes
        if found.frame is None:
            from xeval.analysis.report.aggregate import aggregate_report

            command = f"xeval report {source} -o {out}" + (f" --map {mapping}" if mapping else "")
            _finish(
                aggregate_report(
                    found.scores, title=title, command=command, missing=found.missing, notes=notes
                ),
                out,
                as_json=as_json,
            )
            return
        frame = found.frame
    else:
        with remarks_to(notes.append):
            frame = read_frame(source, limit, settings=settings)
    result = analyse_frame(frame, incomplete=incomplete, quiet=as_json)
    widgets: tuple[Widget, ...] = ()
    if source.is_dir() and not foreign:
        result = replace(result, totals=items_in_full(source, result.limits))
        units = frame["unit"].nunique()
        if units > BROWSED_UNITS or len(frame) > BROWSED_ROWS:
            notes.append(
                f"The items that changed are not shown: the store holds {units:,} results with {len(frame):,} scores "
                f"of items, more than the {BROWSED_UNITS:,} and {BROWSED_ROWS:,} that are gone through for it."
            )
        else:
            with remarks_to(lambda _: None):  # the same ones again
                widgets = changed_items(source, data, limit, settings, quiet=as_json)
    write(result, frame, out, title=title, notes=notes, widgets=widgets, as_json=as_json)


def report_published(name: str, out: Path, *, as_json: bool) -> None:
    """Analyse published scores, write the report and print its summary."""
    from xeval.analysis.published import published_report

    _finish(published_report(name), out, as_json=as_json)


def read_frame(
    source: Path,
    limit: int | None = None,
    mapping: Path | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    main_only: bool = False,
) -> "pd.DataFrame":
    """Tidy scores of a store, of a CSV or Parquet file, or of another tool's results.

    Args:
        main_only: of a store, only the rows of each task's main metric.
    """
    from xeval.analysis.frame.tidy import load

    if _is_foreign(source, mapping):
        from xeval.interop.readers import item_scores

        return item_scores(source, mapping)
    return load(source, limit, settings, main_only=main_only)


def analyse_frame(
    frame: "pd.DataFrame",
    margin_points: float = 1.0,
    margin_logit: float = 0.05,
    *,
    incomplete: bool = False,
    quiet: bool = False,
) -> "Analysis":
    """The analysis of tidy scores."""
    from xeval.analysis import analyse

    with spinner("analysing", quiet=quiet):
        return analyse(
            frame,
            margin_points=margin_points,
            margin_logit=margin_logit,
            incomplete="drop" if incomplete else "refuse",
        )


def items_in_full(store: Path, tasks: Iterable[str]) -> dict[str, int]:
    """Items of a language of each task, where the store also holds results on all of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[str, int] = {}
    for task in tasks:
        counts = []
        for folder in sorted((store / "units" / task).glob("*/")):
            for path in sorted(folder.glob("*.parquet"))[:1]:
                with suppress(OSError, pa.ArrowException):  # what is damaged is told where scores are read
                    counts.append(pq.read_metadata(path).num_rows)
        if counts:
            found[task] = max(counts)
    return found


def changed_items(
    store: Path,
    data: Path | None,
    limit: int | None,
    settings: Mapping[str, str] | None = None,
    *,
    quiet: bool = False,
) -> "tuple[Widget, ...]":
    """The item browser, where items changed between a condition and the baseline."""
    from xeval.items import browser

    with spinner("collecting the items that changed", quiet=quiet):
        made = browser(store, data, limit, settings)
    return () if made is None else (made,)


def write(
    result: "Analysis",
    frame: "pd.DataFrame",
    out: Path,
    *,
    title: str,
    notes: Sequence[str] = (),
    widgets: "Sequence[Widget]" = (),
    study_file: Path | None = None,
    as_json: bool = False,
) -> None:
    """Write the report on an analysis and print its summary, or its numbers as JSON.

    Raises:
        StoreError: the files cannot be written.
    """
    provenance = {"study file": study_file.name} if study_file else {}
    with spinner("computing what the report shows", quiet=as_json):
        made = build(result, frame, title=title, notes=notes, provenance=provenance, widgets=widgets)
    _finish(made, out, as_json=as_json)


def build(
    result: "Analysis",
    frame: "pd.DataFrame",
    *,
    title: str,
    notes: Sequence[str] = (),
    provenance: Mapping[str, str] | None = None,
    widgets: "Sequence[Widget]" = (),
) -> "Report":
    """The report on an analysis; versions and a digest of the scores are added to ``provenance``."""
    from xeval.analysis.report import analysis_report

    known = _provenance(frame) | dict(provenance or {})
    return analysis_report(result, title=title, notes=notes, provenance=known, widgets=widgets)


def save(made: "Report", out: Path) -> None:
    """Write a report's files.

    Raises:
        StoreError: the files cannot be written.
    """
    from xeval.analysis.report import write as write_files

    try:
        write_files(made, out)
    except OSError as error:
        raise StoreError(f"{out}: the report cannot be written ({error.strerror}).") from error


def _finish(made: "Report", out: Path, *, as_json: bool) -> None:
    from xeval.analysis.report.render.console import summary

    with spinner("writing the report", quiet=as_json):
        save(made, out)
    if as_json:
        print_json(made.numbers.get("analysis", {"title": made.title, **made.numbers}))
        return
    screen = console()
    screen.print(summary(made))
    screen.print(f"report: {out / 'report.html'}", markup=False)


def _is_foreign(source: Path, mapping: Path | None) -> bool:
    """Whether another tool wrote the source; a map file says that it did."""
    from xeval.interop.readers import recognise

    return mapping is not None or recognise(source) is not None


def _provenance(frame: "pd.DataFrame") -> dict[str, str]:
    """What the numbers come from: versions and a digest of the scores."""
    columns = ["condition", "target", "lang", "seed", "item_id", "metric", "num", "den"]
    if "unit" in frame:
        scores = text_digest(*sorted(frame["unit"].unique()))
    else:
        scores = text_digest(frame[columns].to_csv(index=False))
    used = {name: version for name, version in software().items() if name != "xeval"}
    return {"xeval": __version__, "scores": scores, **used}
