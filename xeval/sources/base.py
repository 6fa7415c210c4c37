"""What every source of examples offers, where data roots lie, and the error of data that are not there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from xeval.errors import DataError
from xeval.examples import Example

HUB_NAME = "hub"
HUB = Path("hf:")
"""The data root that stands for the Hugging Face hub. Users write ``hub``; a folder of that name is ``./hub``."""


def data_root(text: str, base: Path | None = None) -> Path:
    """The data root that a user means: the hub, or a folder, relative to ``base`` where one is given."""
    if text == HUB_NAME:
        return HUB
    return base / text if base is not None else Path(text)


class MissingDataError(DataError):
    """There are no data of a language and split where a source looks; other layouts may be tried.

    Attributes:
        tried: the patterns that were looked for, relative to the data root.
    """

    def __init__(self, language: str, split: str, root: Path, tried: Sequence[str]) -> None:
        self.language, self.split, self.root, self.tried = language, split, root, tuple(tried)
        where = "on the hub" if root == HUB else f"below {root}"
        then = (
            f"tried {', '.join(tried)}" if tried else "load its own files and name their folder as data root"
        )
        super().__init__(f"No {split} data for {language} {where}; {then}.")


def no_data_root(pattern: str) -> DataError:
    """What to say where data are read from files, and nobody said where these lie."""
    return DataError(
        f"No folder with the data is named: give one with --data DIR, below which {pattern} is looked for; "
        f"--data {HUB_NAME} loads what the Hugging Face hub has."
    )


class NotDownloadedError(DataError):
    """The hub is switched off and the data are not in its cache."""


class Source(Protocol):
    """Examples by language and split; ``root`` is the data root, which only sources in files need."""

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The files that will be read; empty for generated data."""

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Changes whenever the examples can change."""

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The examples."""
