"""Reading Parquet files as the Hugging Face hub has them: rows, and tagged sentences.

Readers of other kinds take such rows beside those of the authors' own files, so that both become the same
examples.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xeval.errors import DataError
from xeval.examples import TaggedSentence
from xeval.sources.text import checked

_NO_NAMES: Mapping[str, tuple[str, ...]] = {}


def parquet_rows(
    path: Path, needed: Sequence[str], names: Mapping[str, tuple[str, ...]] = _NO_NAMES
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row numbers from 1, and the needed columns of every row; class numbers become class names.

    The names of classes stand in the file's own ``huggingface`` metadata. ``names`` gives, by column, those of
    the data set in the order of their numbers; it decodes files without metadata, and other names in the
    metadata are refused.

    Raises:
        DataError: no or a truncated Parquet file, a column is missing, other class names, or a class number
            that has no name, such as the -1 of test sets without labels.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            if absent := [name for name in needed if name not in schema.names]:
                raise DataError(
                    f"{path}: the column {absent[0]!r} is missing; it has {', '.join(schema.names)}."
                )
            classes = {column: _classes(path, schema, column, known) for column, known in names.items()}
            number = 0
            for batch in file.iter_batches(columns=list(needed)):
                for row in batch.to_pylist():
                    number += 1
                    for column, known in classes.items():
                        row[column] = _named(row[column], known, f"{path}, row {number}: {column!r}")
                    yield number, row
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        raise DataError(f"{path}: no whole Parquet file ({reason}); load it again.") from None


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


def _classes(path: Path, schema: Any, column: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """The class names of a column by number: the file's own, if it says, else the known ones."""
    metadata = (schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return known
    try:
        found = _class_names(json.loads(metadata)["info"]["features"][column])
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path}: its 'huggingface' metadata do not describe {column!r}.") from None
    if found is not None and sorted(found) != sorted(known):
        raise DataError(
            f"{path}: the classes of {column!r} are {', '.join(found)}, not {', '.join(known)}; "
            "this is another data set or another version of it."
        )
    return found or known


def _class_names(feature: Any) -> tuple[str, ...] | None:
    """The names of a class label, or of a list of them; None for another feature."""
    if isinstance(feature, list):
        return _class_names(feature[0]) if len(feature) == 1 else None
    if feature.get("_type") == "ClassLabel":
        return tuple(feature["names"])
    return _class_names(feature["feature"]) if "feature" in feature else None


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
