"""Several sources in one: read together, or the first that has the data."""

from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from xeval.digests import text_digest
from xeval.examples import Example
from xeval.sources.base import MissingDataError, NotDownloadedError, Source
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


@dataclass(frozen=True)
class FirstOf:
    """One data set in several layouts: the first source that has files of the language and split counts.

    A layout that is there but damaged, or whose download fails, is an error and never passed over for the next
    one; with the hub switched off, what is in its cache counts.
    """

    sources: tuple[Source, ...]

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The files of the first source that has some.

        Raises:
            MissingDataError: none has; the message names everything that was tried.
            NotDownloadedError: none has, and the hub is switched off.
        """
        return self._first(root, language, split)[1]

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """The chosen source's digest."""
        return self._first(root, language, split)[0].digest(root, language, split)

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The chosen source's examples."""
        return self._first(root, language, split)[0].load(root, language, split)

    def _first(self, root: Path | None, language: str, split: str) -> tuple[Source, tuple[Path, ...]]:
        missing: list[MissingDataError] = []
        offline: list[NotDownloadedError] = []
        for source in self.sources:
            try:
                return source, source.files(root, language, split)
            except MissingDataError as error:
                missing.append(error)
            except NotDownloadedError as error:
                offline.append(error)
        if offline:
            raise offline[0]
        tried = dict.fromkeys(pattern for error in missing for pattern in error.tried)
        raise MissingDataError(missing[0].language, split, missing[0].root, tuple(tried))
