"""Reading files row by row, with errors that name the file and the line; and checks of what was read."""

import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import ValidationError

from xeval.errors import DataError
from xeval.examples import Example
from xeval.files import is_regular

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE = re.compile(f"{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}")
# From this many items on, a single label for all of them is a placeholder, not an accident.
FEWEST_ITEMS_TO_JUDGE_LABELS = 20

ResultT = TypeVar("ResultT")
ExampleT = TypeVar("ExampleT", bound=Example)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1, and lines without their end; only a line feed ends a line. A byte order mark is left out.

    Raises:
        DataError: no file that can be read, or not UTF-8.
    """
    with _opened(path, "\n") as lines:
        for number, line in enumerate(lines, 1):
            yield number, line.removesuffix("\n").removesuffix("\r")


@contextmanager
def _opened(path: Path, newline: str) -> Iterator[Iterator[str]]:
    """The lines of a text file; whatever is wrong with it is a DataError."""

    def checked_lines(file: IO[str]) -> Iterator[str]:
        for line in file:
            if "\0" in line:
                raise _not_text(path)
            yield line

    _require_file(path)
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as file:
            yield checked_lines(file)
    except UnicodeDecodeError:
        raise _not_text(path) from None
    except OSError as error:
        raise unreadable(path, error) from None


def whole_text(path: Path) -> str:
    """The text of a file without a byte order mark, its line ends as they are.

    Raises:
        DataError: no file that can be read, or not UTF-8.
    """
    with _opened(path, "") as lines:
        return "".join(lines)


def validated_json(path: Path, validate: Callable[[bytes], ResultT]) -> ResultT:
    """What a validator of pydantic makes of a JSON file.

    Raises:
        DataError: no file that can be read, or not JSON, as in :func:`parse_json`.
        ValidationError: JSON of another form.
    """
    content = _json_bytes(path)
    try:
        return validate(content)
    except ValidationError as error:
        if error.errors(include_url=False)[0]["type"] == "json_invalid":
            parse_json(content.decode("utf-8", "replace"), str(path))
        raise


def _json_bytes(path: Path) -> bytes:
    _require_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    if content.startswith(_UTF16_MARKS) or b"\0" in content:
        raise _not_text(path)
    return content.removeprefix(codecs.BOM_UTF8)


def parse_json(text: str, where: str) -> Any:
    """A JSON value whose texts are whole characters.

    Raises:
        DataError: not JSON, nested deeper or with longer numbers than is read, or half a character (a lone surrogate
            such as ``\\ud83d``), which no tokenizer takes.
    """
    try:
        value = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if "\n" in text else ""
        raise DataError(f"{where}{line}: not JSON ({error.msg}).") from None
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        line = _line_of(text, _LONE.search(text))
        raise DataError(
            f"{where}{line}: holds half a character ({half} without its other half), which is no text; repair it."
        ) from None
    except RecursionError:
        raise DataError(f"{where}: lists and objects are nested too deeply to be data; repair it.") from None
    except ValueError:
        raise DataError(f"{where}: a number has thousands of digits; repair it.") from None
    return value


def _line_of(text: str, found: re.Match[str] | None) -> str:
    """``, line 3`` of something found in a text of several lines."""
    return "" if found is None or "\n" not in text else f", line {text.count(chr(10), 0, found.start()) + 1}"


def first_line(path: Path) -> str:
    """The first line; empty for an empty file."""
    return next(numbered_lines(path), (1, ""))[1]


def tsv_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a tab-separated file with a header and no quoting; trailing unneeded columns may be missing."""
    lines = numbered_lines(path)
    header = header_with(path, next(lines, (1, ""))[1].split("\t"), needed)
    for number, line in lines:
        yield number, row_of(path, number, header, line.split("\t"), needed)


def header_with(path: Path, header: Sequence[str], needed: Sequence[str]) -> Sequence[str]:
    """The column names, if those that are needed are among them and none occurs twice."""
    if absent := [name for name in needed if name not in header]:
        raise DataError(f"{path}: its header lacks the column {absent[0]!r}; it has {', '.join(header)}.")
    if twice := [name for name in needed if header.count(name) > 1]:
        raise DataError(f"{path}: its header has the column {twice[0]!r} twice; leave one.")
    return header


def row_of(
    path: Path, number: int, header: Sequence[str], cells: Sequence[str], needed: Sequence[str]
) -> dict[str, str]:
    """A row's cells by column; trailing columns that are not needed may be missing."""
    fewest = max(header.index(name) for name in needed) + 1
    if not fewest <= len(cells) <= len(header):
        raise DataError(f"{path}, line {number}: {len(cells)} columns instead of {len(header)}.")
    return dict(zip(header, cells, strict=False))


def csv_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a comma-separated file with a header and quoting; the number is that of a row's last line."""
    with _opened(path, "") as lines:
        reader = csv.DictReader(lines, strict=True)
        try:
            yield from _csv_rows(path, reader, needed)
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.reader.line_num}: not CSV ({error}).") from None


def _csv_rows(
    path: Path, reader: "csv.DictReader[str]", needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    header = header_with(path, reader.fieldnames or (), needed)
    for row in reader:
        if None in row or None in row.values():
            raise DataError(f"{path}, line {reader.line_num}: not {len(header)} columns.")
        yield reader.line_num, row


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of a file with one JSON object a line."""
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        row = parse_json(line, f"{path}, line {number}")
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: a JSON object is needed, not {type(row).__name__}.")
        yield number, row


def text_of(row: Mapping[str, Any], name: str, path: Path, line: int) -> str:
    """A text or number of a row as stripped text; missing and empty ones are refused."""
    value = row.get(name)
    text = str(value).strip() if isinstance(value, str | int) else ""
    if not text:
        raise DataError(f"{path}, line {line}: {name!r} is missing or empty.")
    return text


def label_of(row: Mapping[str, Any], name: str, names: Mapping[str, str], path: Path, line: int) -> str:
    """The label name of a row's raw label; anything not in ``names`` is refused."""
    raw = row.get(name)
    if (label := names.get(str(raw).strip())) is None:
        raise DataError(
            f"{path}, line {line}: {name!r} is {raw!r}, not one of {', '.join(names)}; "
            "a test file without labels cannot be scored."
        )
    return label


def checked(examples: list[ExampleT], paths: Sequence[Path]) -> list[ExampleT]:
    """The examples, if there are any, their ids are unique, and their labels are no placeholders.

    Raises:
        DataError: no examples; two with one id; one label for all of at least 20 items.
    """
    where = " + ".join(map(str, paths))
    if not examples:
        raise DataError(f"{where}: holds no example.")
    ids = Counter(example.item_id for example in examples)
    repeated, times = ids.most_common(1)[0]
    if times > 1:
        raise DataError(f"{where}: the id {repeated!r} occurs {times} times; ids must be unique.")
    labels = {key for example in examples for key in example.answer_keys()}
    if len(labels) == 1 and len(examples) >= FEWEST_ITEMS_TO_JUDGE_LABELS:
        raise DataError(
            f"{where}: all {len(examples)} items have the label {labels.pop()!r}, "
            "which is a placeholder; use a file with the true labels."
        )
    return examples


def _require_file(path: Path) -> None:
    """Reading a folder fails, and reading a pipe waits for ever."""
    if not is_regular(path):
        what = "no such file" if not path.exists() else "a folder" if path.is_dir() else "no regular file"
        raise DataError(f"{path}: {what}; a file with data is needed there.")


def unreadable(path: Path, error: OSError) -> DataError:
    """What to say of a file that the system does not give."""
    return DataError(
        f"{path}: cannot be read ({error.strerror or error}); check the file and its permissions."
    )


def _not_text(path: Path) -> DataError:
    """What to say of a file that is not UTF-8, or holds bytes that no text has."""
    content = path.read_bytes()
    if content.startswith(_UTF16_MARKS):
        return DataError(f"{path}: UTF-16 text; convert the file to UTF-8.")
    try:
        content.decode("utf-8")
        start, what = content.index(b"\0"), "a NUL byte, which no text has; the file is damaged or UTF-16:"
    except UnicodeDecodeError as error:
        start, what = error.start, "not UTF-8 text;"
    except ValueError:
        return DataError(f"{path}: changed while it was read.")
    line = content.count(b"\n", 0, start) + 1
    return DataError(f"{path}, line {line}: {what} convert the file to UTF-8.")
