"""Several sources read as one, taking turns, so that the first n examples hold something of each."""

from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from xeval.digests import text_digest
from xeval.examples import Example
from xeval.sources.base import Source
from xeval.sources.text import checked


@dataclass(frozen=True)
class JoinedSource:
    """The examples of ``parts`` in turn: the first of each, the second of each, and so on."""

    parts: tuple[Source, ...]

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The files of all parts."""
        return tuple(path for part in self.parts for path in part.files(root, language, split))

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of the parts' digests, in their order."""
        return text_digest(*(part.digest(root, language, split) for part in self.parts))

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The examples of all parts; an id may occur in one part only."""
        lists = [part.load(root, language, split) for part in self.parts]
        turns = chain.from_iterable(zip_longest(*lists))
        paths = self.files(root, language, split) or (Path("generated data"),)
        return checked([example for example in turns if example is not None], paths)
