"""Reading files row by row, with errors that name the file and the line; and checks of what was read."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from xeval.errors import DataError
from xeval.examples import Example, MultipleChoice, Question, TaggedSentence, TextPair

# From this many items on, a single label for all of them is a placeholder, not an accident.
FEWEST_ITEMS_TO_JUDGE_LABELS = 20

ExampleT = TypeVar("ExampleT", bound=Example)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1, and lines without their end; only a line feed ends a line.

    Raises:
        DataError: the file is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, 1):
                yield number, line.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise _not_utf8(path) from None


def first_line(path: Path) -> str:
    """The first line; empty for an empty file."""
    return next(numbered_lines(path), (1, ""))[1]


def tsv_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a tab-separated file with a header and no quoting; trailing unneeded columns may be missing."""
    lines = numbered_lines(path)
    header = next(lines, (1, ""))[1].split("\t")
    if absent := [name for name in needed if name not in header]:
        raise DataError(f"{path}: its header lacks the column {absent[0]!r}; it has {', '.join(header)}.")
    fewest = max(header.index(name) for name in needed) + 1
    for number, line in lines:
        cells = line.split("\t")
        if not fewest <= len(cells) <= len(header):
            raise DataError(f"{path}, line {number}: {len(cells)} columns instead of {len(header)}.")
        yield number, dict(zip(header, cells, strict=False))


def csv_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a comma-separated file with a header and quoting; the number is that of a row's last line."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            yield from _csv_rows(path, reader, needed)
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.reader.line_num}: {error}.") from None
        except UnicodeDecodeError:
            raise _not_utf8(path) from None


def _csv_rows(
    path: Path, reader: "csv.DictReader[str]", needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    header = reader.fieldnames or ()
    if absent := [name for name in needed if name not in header]:
        raise DataError(f"{path}: its header lacks the column {absent[0]!r}; it has {', '.join(header)}.")
    for row in reader:
        if None in row or None in row.values():
            raise DataError(f"{path}, line {reader.line_num}: not {len(header)} columns.")
        yield reader.line_num, row


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of a file with one JSON object a line."""
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {number}: not JSON ({error.msg}).") from None
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
    labels = _labels(examples)
    if len(labels) == 1 and len(examples) >= FEWEST_ITEMS_TO_JUDGE_LABELS:
        raise DataError(
            f"{where}: all {len(examples)} items have the label {labels.pop()!r}, "
            "which is a placeholder; use a file with the true labels."
        )
    return examples


def _labels(examples: Sequence[Example]) -> set[object]:
    """The different labels; empty where items have none to compare."""
    match examples[0]:
        case TextPair() | MultipleChoice():
            return {example.label for example in examples if isinstance(example, TextPair | MultipleChoice)}
        case TaggedSentence():
            return {
                tag for example in examples if isinstance(example, TaggedSentence) for tag in example.tags
            }
        case Question():
            answered = any(example.answers for example in examples if isinstance(example, Question))
            return set() if answered else {"no answer"}
        case _:
            return set()


def _not_utf8(path: Path) -> DataError:
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return DataError(f"{path}, line {line}: not UTF-8 text; convert the file to UTF-8.")
    return DataError(f"{path}: changed while it was read.")
