"""Examples in files: where a split of a language lies below a data root, and which reader understands it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from xeval.digests import file_digest, text_digest
from xeval.errors import UsageError
from xeval.examples import Example
from xeval.files import matching
from xeval.languages import language as known_language
from xeval.sources.base import HUB, MissingDataError, no_data_root
from xeval.sources.text import unreadable

Reader = Callable[[Sequence[Path], str], Sequence[Example]]


@dataclass(frozen=True)
class FileSource:
    """Files below a data root.

    Attributes:
        patterns: paths relative to the root, tried in order, the first that matches counts; ``{lang}``,
            ``{iso3}``, ``{name}`` (in English) and ``{split}`` are filled in; ``*`` and ``?`` may match
            several files, which are read together in sorted order.
        reader: from (paths, language code) to examples.
        split_names: what a data set calls its splits where it is not train, dev and test.
    """

    patterns: tuple[str, ...]
    reader: Reader
    split_names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            path = PurePosixPath(pattern)
            if path.is_absolute() or ".." in path.parts:
                raise UsageError(f"The pattern {pattern!r} leaves the data root; make it relative to it.")
            try:
                pattern.format(lang="", iso3="", name="", split="")
            except (KeyError, IndexError, ValueError):
                raise UsageError(
                    f"The pattern {pattern!r} may hold {{lang}}, {{iso3}}, {{name}} and {{split}}, nothing else."
                ) from None

    def paths(self, language: str, split: str) -> tuple[str, ...]:
        """The patterns of a split of a language, filled in."""
        known = known_language(language)
        split = self.split_names.get(split, split)
        if not re.fullmatch(r"[\w.-]+", split) or split.startswith("."):
            raise UsageError(f"{split!r} is no name of a split.")
        values = {"lang": known.code, "iso3": known.iso3, "name": known.name, "split": split}
        return tuple(pattern.format(**values) for pattern in self.patterns)

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The files of a split, sorted.

        Raises:
            MissingDataError: there are none; the message names every pattern that was tried.
            DataError: no data root is given, or a folder below it cannot be read.
        """
        if root is None:
            raise no_data_root(self.paths(language, split)[0])
        tried = self.paths(language, split)
        name = known_language(language).name
        split = self.split_names.get(split, split)
        if root == HUB:
            raise MissingDataError(name, split, root, ())
        try:
            for pattern in tried:
                if found := matching(root, pattern):
                    return tuple(found)
        except OSError as error:
            raise unreadable(Path(error.filename), error) from None
        raise MissingDataError(name, split, root, tried)

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of the files' names and contents, and of what is taken from them."""
        return files_digest(self.files(root, language, split), language, split)

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The examples of a split."""
        return list(self.reader(self.files(root, language, split), language))


def files_digest(paths: Sequence[Path], language: str, split: str) -> str:
    """Digest of the names and contents of files that a split of a language is read from."""
    parts = [(path.name, data_digest(path)) for path in paths]
    return text_digest(language, split, *(text for part in parts for text in part))


def data_digest(path: Path) -> str:
    """Digest of a data file's content; a DataError where it cannot be read."""
    try:
        return file_digest(path)
    except OSError as error:
        raise unreadable(path, error) from None
