"""Reader of line-aligned translations: Tatoeba as LASER publishes it."""

from collections.abc import Sequence
from pathlib import Path

from xeval.errors import DataError
from xeval.examples import Translation
from xeval.sources.text import checked, numbered_lines


def read_tatoeba(paths: Sequence[Path], language: str) -> list[Translation]:
    """``tatoeba.deu-eng.deu`` and ``tatoeba.deu-eng.eng``: line n of one translates line n of the other.

    Not for XTREME's prepared ``de-en.en``, whose lines are sorted to hide the alignment. Ids are line
    numbers, prefixed with the language because lines of different languages have nothing in common.

    Raises:
        DataError: a side is missing, has another number of lines, or an empty line.
    """
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
