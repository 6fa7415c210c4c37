"""Tidy scores as a CSV or Parquet file, which ``xeval report`` reads as it reads the store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from xeval.errors import UsageError
from xeval.interop.writers.units import new_file
from xeval.store import read_scores


def export_table(
    root: Path,
    out: Path,
    form: Literal["csv", "parquet"],
    limit: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> int:
    """Write the tidy scores of a store (see :func:`xeval.store.read_scores`); gives the number of rows.

    Numbers are written with all their digits, so that a report on the file equals the report on the store.

    Raises:
        StoreError: the store is missing, empty or damaged, or the file cannot be written.
        UsageError: the file's name does not end in the format, by which it is read again.
    """
    if out.suffix != f".{form}":
        raise UsageError(
            f"--out {out}: give it a name that ends in .{form}, by which `xeval report` knows it."
        )
    frame = read_scores(root, limit, settings)
    with new_file(out) as temporary:
        if form == "csv":
            frame.to_csv(temporary, index=False, lineterminator="\n")
        else:
            frame.to_parquet(temporary, index=False, compression="zstd")
    return len(frame)
