"""Parquet files as the Hugging Face hub has them, read by its library ``datasets``: rows, and tagged sentences.

Readers of other kinds take such rows beside those of the authors' own files, so that both become the same
examples.
"""

import glob
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from xeval.errors import DataError
from xeval.examples import TaggedSentence
from xeval.sources.text import checked

if TYPE_CHECKING:
    from datasets import Features, IterableDataset

ROWS_AT_ONCE = 10_000
_NO_NAMES: Mapping[str, tuple[str, ...]] = {}


def parquet_rows(
    path: Path, needed: Sequence[str] | None = None, names: Mapping[str, tuple[str, ...]] = _NO_NAMES
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row numbers from 1, and the needed columns of every row; class numbers become class names.

    The names of classes are those of the file's own features. ``names`` gives, by column, those of the data set in
    the order of their numbers; it decodes files without features, and other names in a file are refused.

    Args:
        needed: columns; None takes all.

    Raises:
        DataError: no or a truncated Parquet file, a column is missing, other class names, or a class number
            that has no name, such as the -1 of test sets without labels.
    """
    with _opened(path) as rows:
        columns = rows.column_names if needed is None else list(needed)
        if absent := [name for name in columns if name not in rows.column_names]:
            raise DataError(
                f"{path}: the column {absent[0]!r} is missing; it has {', '.join(rows.column_names)}."
            )
        classes = {column: _classes(path, rows.features, column, known) for column, known in names.items()}
        number = 0
        for table in rows.select_columns(columns).with_format("arrow").iter(ROWS_AT_ONCE):
            for row in table.to_pylist():
                number += 1
                for column, known in classes.items():
                    row[column] = _named(row[column], known, f"{path}, row {number}: {column!r}")
                yield number, row


@contextmanager
def _opened(path: Path) -> Iterator["IterableDataset"]:
    """The file as a data set that is read row group by row group; what fails while it is read is one sentence."""
    import datasets
    import pyarrow

    verbosity = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # it logs what it raises
    try:
        # A cache of its own, which stays empty: the user's may be read-only, and would get a lock a file.
        with TemporaryDirectory() as cache:
            yield datasets.load_dataset(
                "parquet",
                data_files=[glob.escape(str(path.absolute()))],
                split="train",
                streaming=True,
                cache_dir=cache,
            )
    except (pyarrow.ArrowException, OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        raise DataError(f"{path}: no whole Parquet file ({reason}); load it again.") from None
    finally:
        datasets.logging.set_verbosity(verbosity)


@dataclass(frozen=True)
class ParquetTags:
    """Reader of sentences cut in words, one tag a word.

    Ids are the running numbers of the sentences with the language, as ``read_word_tags`` gives them.

    Attributes:
        words, tags: the columns.
        names: the tags in the order of their numbers.
        removed: characters that are taken out of the words.
    """

    words: str
    tags: str
    names: tuple[str, ...]
    removed: str = ""

    def __call__(self, paths: Sequence[Path], language: str) -> list[TaggedSentence]:
        """The sentences of all files, in order."""
        table = str.maketrans("", "", self.removed)
        examples: list[TaggedSentence] = []
        for path in paths:
            for number, row in parquet_rows(path, (self.words, self.tags), {self.tags: self.names}):
                words, tags = row[self.words] or [], row[self.tags] or []
                if len(words) != len(tags) or not words:
                    raise DataError(f"{path}, row {number}: {len(words)} words and {len(tags)} tags.")
                item = f"{language}-{len(examples) + 1}"
                cleaned = tuple(word.translate(table).strip() for word in words)
                examples.append(TaggedSentence(item, item, cleaned, tuple(tags)))
        return checked(examples, paths)


def _classes(path: Path, features: "Features", column: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """The class names of a column by number: the file's own, if it has some, else the known ones."""
    import datasets

    feature = features[column]
    while isinstance(feature, datasets.List | datasets.LargeList):
        feature = feature.feature
    if not isinstance(feature, datasets.ClassLabel):
        return known
    if sorted(feature.names) != sorted(known):
        raise DataError(
            f"{path}: the classes of {column!r} are {', '.join(feature.names)}, not {', '.join(known)}; "
            "this is another data set or another version of it."
        )
    return tuple(feature.names)


def _named(value: Any, names: tuple[str, ...], where: str) -> Any:
    """Names for class numbers, one or a list of them; texts stay as they are if they are names."""
    if isinstance(value, list):
        return [_named(each, names, where) for each in value]
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    if value in names:
        return value
    raise DataError(
        f"{where} is {value!r}, none of the classes {', '.join(names)}; "
        "a test file without labels cannot be scored."
    )
