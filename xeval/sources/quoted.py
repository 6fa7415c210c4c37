"""Tab-separated files of the user's own, quoted or not.

The ending ``.tsv`` does not say whether a cell in quotation marks is quoted, as data-frame libraries and spreadsheets
write it, or whether the marks belong to the text. A file is taken for quoted where its header is, or where a writer
that quotes would have written exactly this; for unquoted where marks stand in cells that every such writer would have
quoted. Everything else is refused rather than guessed.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from xeval.errors import DataError
from xeval.sources.text import header_with, row_of, whole_text

Cells = tuple[int, list[str]]
_NEEDS_QUOTES = re.compile(r'["\t\r\n]')


def _minimal(cell: str) -> bool:
    """Python's csv module and pandas quote what could not be read without."""
    return bool(_NEEDS_QUOTES.search(cell))


def _with_commas(cell: str) -> bool:
    """Excel quotes cells with commas too, though tabs are between them."""
    return "," in cell or _minimal(cell)


def own_tsv_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a tab-separated file with a header, as :func:`xeval.sources.text.tsv_rows`, unquoted if it is quoted.

    The number of a row is that of its last line.

    Raises:
        DataError: also where it cannot be told whether the file is quoted.
    """
    rows, _ = _table(path)
    header = header_with(path, rows[0][1], needed)
    for number, cells in rows[1:]:
        yield number, row_of(path, number, header, cells, needed)


def is_quoted(path: Path) -> bool:
    """Whether :func:`own_tsv_rows` unquotes a file; as there, a DataError where that cannot be told."""
    return _table(path)[1]


def _table(path: Path) -> tuple[list[Cells], bool]:
    """The header and the rows, and whether they were quoted."""
    text = whole_text(path).replace("\r\n", "\n").removesuffix("\n")
    plain = [(number, line.split("\t")) for number, line in enumerate(text.split("\n"), 1)]
    if not any(cell.startswith('"') for _, cells in plain for cell in cells):
        return plain, False
    rows = _rows(path, text, plain)
    return rows, rows is not plain


def _rows(path: Path, text: str, plain: list[Cells]) -> list[Cells]:
    """The rows of a file in which cells begin with a quotation mark."""
    quoted = _unquoted(text)
    first = next(number for number, cells in plain if any(cell.startswith('"') for cell in cells))
    if all(map(_enclosed, plain[0][1])):
        if quoted is None:
            raise DataError(
                f"{path}: its header is quoted, but a quoted cell below never ends; write it again."
            )
        return quoted
    even = len({len(cells) for _, cells in plain}) == 1
    if quoted is not None and _written(quoted, _minimal) == text:
        if even and len(quoted) != len(
            plain
        ):  # a text from one lone mark to another, or a cell of several lines
            raise _ambiguous(path, first)
        return [row for row in quoted if row[1]]
    marked = [cell for _, cells in plain for cell in cells if '"' in cell]
    doubled = any(_enclosed(cell) and '""' in cell[1:-1] for cell in marked)
    if quoted is not None and doubled and _written(quoted, _with_commas) == text:
        return [row for row in quoted if row[1]]
    if doubled or all(map(_enclosed, marked)):
        raise _ambiguous(path, first)
    return plain


def _enclosed(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _unquoted(text: str) -> list[Cells] | None:
    """Line numbers and cells if ``text`` is read as quoted; None where a quoted cell goes on behind its end."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader]
    except csv.Error:
        return None


def _written(rows: list[Cells], quotes: Callable[[str], bool]) -> str:
    """The file as a writer that quotes such cells would have written it."""

    def written(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if quotes(cell) else cell

    return "\n".join("\t".join(map(written, cells)) for _, cells in rows)


def _ambiguous(path: Path, line: int) -> DataError:
    return DataError(
        f"{path}, line {line}: a cell begins with a quotation mark, and whether the file is quoted cannot be told; "
        "write it as .csv, which always is, or as .jsonl."
    )
