"""What every source of examples offers."""

from pathlib import Path
from typing import Protocol

from xeval.examples import Example


class Source(Protocol):
    """Examples by language and split; ``root`` is the data root, which only sources in files need."""

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The files that will be read; empty for generated data."""

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Changes whenever the examples can change."""

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The examples."""
