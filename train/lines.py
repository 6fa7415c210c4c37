"""Lines of text in several languages, for masked language modelling."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xeval.digests import value_digest
from xeval.errors import DataError
from xeval.examples import TextPair
from xeval.sources import Source

MLM = "mlm"
"""Stands for masked language modelling in the name of a condition: ``mnli+mlm``."""

MLM_LENGTH = 256  # tokens of a line where the recipe names no length, as jiant's default


@dataclass(frozen=True)
class MlmData:
    """Text for masked language modelling.

    Attributes:
        source: gives lines, the ``first`` text of its examples, as split ``train`` of every language.
        languages: codes; lines count equally, whatever their language.
    """

    source: Source
    languages: tuple[str, ...]
    name: str = MLM

    def digest(self, root: Path | None) -> str:
        """Digest of the text as it is on this disk."""
        return value_digest({code: self.source.digest(root, code, "train") for code in self.languages})

    def lines(self, root: Path | None) -> list[str]:
        """Every line that is not blank.

        Raises:
            DataError: a language has none, or the source gives other things than texts.
        """
        lines = []
        for code in self.languages:
            found = self.source.load(root, code, "train")
            texts = [example.first for example in found if isinstance(example, TextPair)]
            if len(texts) < len(found) or not any(text.strip() for text in texts):
                raise DataError(f"{self.name}, {code}: there are no lines of text; give a file with some.")
            lines += [text for text in texts if text.strip()]
        return lines


def read_lines(paths: Sequence[Path], language: str) -> list[TextPair]:
    """A reader of plain text, UTF-8: every line that is not blank is one example without a label.

    Raises:
        DataError: a file is not UTF-8.
    """
    del language
    examples = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: is not UTF-8 at byte {error.start}; convert it.") from error
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                name = f"{path.name}:{number}"
                examples.append(TextPair(name, name, line.strip(), None, ""))
    return examples
