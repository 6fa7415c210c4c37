"""Readers of aligned translations: Tatoeba as LASER publishes it, and as Parquet."""

from collections.abc import Sequence
from pathlib import Path

from xeval.errors import DataError
from xeval.examples import Translation
from xeval.sources.parquet import parquet_rows
from xeval.sources.text import checked, numbered_lines, text_of


def read_tatoeba(paths: Sequence[Path], language: str) -> list[Translation]:
    """``tatoeba.deu-eng.deu`` and ``tatoeba.deu-eng.eng``: line n of one translates line n of the other.

    Ids are line numbers, prefixed with the language because lines of different languages have nothing in
    common.

    Raises:
        DataError: a side is missing, has another number of lines, or an empty line; or the files are those
            that XTREME prepares (``de-en.en``), where the English lines are sorted to hide the alignment.
    """
    if any(path.suffix == ".en" for path in paths):
        raise DataError(
            f"{paths[0]}: XTREME's download script sorts the English lines to hide which belongs to which; "
            f"put LASER's tatoeba.*-eng.* files beside them."
        )
    english = [path for path in paths if path.suffix == ".eng"]
    foreign = [path for path in paths if path.suffix != ".eng"]
    if len(english) != 1 or len(foreign) != 1:
        raise DataError(
            f"{' + '.join(map(str, paths))}: one .eng file and one in the other language are needed."
        )
    sides = [[line.strip() for _, line in numbered_lines(path)] for path in (foreign[0], english[0])]
    if len(sides[0]) != len(sides[1]):
        raise DataError(
            f"{foreign[0]} has {len(sides[0])} lines but {english[0].name} has {len(sides[1])}; "
            "they are not aligned."
        )
    examples = []
    for number, (source, target) in enumerate(zip(*sides, strict=True), 1):
        if not source or not target:
            raise DataError(f"{foreign[0] if not source else english[0]}, line {number}: empty.")
        item = f"{language}-{number}"
        examples.append(Translation(item, item, source, target))
    return checked(examples, paths)


def read_tatoeba_parquet(paths: Sequence[Path], language: str) -> list[Translation]:
    """Tatoeba in the hub's copy of XTREME: source_sentence and target_sentence in the order of LASER's files."""
    examples: list[Translation] = []
    columns = ("source_sentence", "target_sentence")
    for path in paths:
        for number, row in parquet_rows(path, columns):
            item = f"{language}-{len(examples) + 1}"
            source, target = (text_of(row, name, path, number) for name in columns)
            examples.append(Translation(item, item, source, target))
    return checked(examples, paths)
