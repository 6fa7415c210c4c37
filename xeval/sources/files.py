"""Examples in files: where a split of a language lies below a data root, and which reader understands it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from xeval.digests import file_digest, text_digest
from xeval.errors import DataError, UsageError
from xeval.examples import Example
from xeval.languages import language as known_language

Reader = Callable[[Sequence[Path], str], Sequence[Example]]


@dataclass(frozen=True)
class FileSource:
    """Files below a data root.

    Attributes:
        patterns: paths relative to the root, tried in order, the first that matches counts; ``{lang}``,
            ``{iso3}`` and ``{split}`` are filled in; ``*`` and ``?`` may match several files, which are read
            together in sorted order.
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
                pattern.format(lang="", iso3="", split="")
            except (KeyError, IndexError, ValueError):
                raise UsageError(
                    f"The pattern {pattern!r} may hold {{lang}}, {{iso3}} and {{split}}, nothing else."
                ) from None

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The files of a split, sorted.

        Raises:
            DataError: there are none; the message names every pattern that was tried.
        """
        if root is None:
            raise DataError(f"No data root is given, but {self.patterns[0]} is read from one; name it.")
        known = known_language(language)
        split = self.split_names.get(split, split)
        if not re.fullmatch(r"[\w.-]+", split) or split.startswith("."):
            raise UsageError(f"{split!r} is no name of a split.")
        tried = [p.format(lang=known.code, iso3=known.iso3, split=split) for p in self.patterns]
        for pattern in tried:
            if found := sorted(path for path in root.glob(pattern) if path.is_file()):
                return tuple(found)
        raise DataError(f"No {split} data for {known.name} below {root}; tried {', '.join(tried)}.")

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of the files' names and contents, and of what is taken from them."""
        parts = [(path.name, file_digest(path)) for path in self.files(root, language, split)]
        return text_digest(language, split, *(text for part in parts for text in part))

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The examples of a split."""
        return list(self.reader(self.files(root, language, split), language))
