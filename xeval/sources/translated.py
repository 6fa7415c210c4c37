"""Training data in several languages at once: English and machine translations of it."""

from dataclasses import dataclass
from pathlib import Path

from xeval.digests import text_digest
from xeval.examples import Example
from xeval.sources.base import MissingDataError, NotDownloadedError, Source


@dataclass(frozen=True)
class EnglishBeside:
    """A layout whose English data lie elsewhere than the other languages'."""

    english: Source
    translated: Source

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The files of the source that has the language."""
        return self._of(language).files(root, language, split)

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """The digest of the source that has the language."""
        return self._of(language).digest(root, language, split)

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The examples of the source that has the language."""
        return self._of(language).load(root, language, split)

    def _of(self, language: str) -> Source:
        return self.english if language == "en" else self.translated


@dataclass(frozen=True)
class InLanguage:
    """A source read in one language, whatever language is asked for."""

    source: Source
    language: str

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The files of the language."""
        return self.source.files(root, self.language, split)

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """The digest of the language's data."""
        return self.source.digest(root, self.language, split)

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The examples in the language."""
        return self.source.load(root, self.language, split)


@dataclass(frozen=True)
class TranslatedSource:
    """One training set in several languages, read whole whatever language is asked for; dev data stay as they are.

    Items that are translations of each other have one id, so what is chosen by ids is chosen with its
    translations. Ids are parallel within one layout only, therefore all languages are read from the same one.

    Attributes:
        layouts: sources of all languages; the first that has every one of them counts.
        languages: what is trained on, in this order.
        dev: where dev data are read from, which are not translated.
    """

    layouts: tuple[Source, ...]
    languages: tuple[str, ...]
    dev: Source

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The files of all languages, each once.

        Raises:
            MissingDataError: no layout has all languages; the message names what was tried of the first lacking one.
            NotDownloadedError: so, and the hub is switched off.
        """
        if split != "train":
            return self.dev.files(root, language, split)
        return self._layout(root, split)[1]

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of the languages' digests, in their order."""
        if split != "train":
            return self.dev.digest(root, language, split)
        layout = self._layout(root, split)[0]
        return text_digest(*(layout.digest(root, code, split) for code in self.languages))

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The examples of all languages, one language after the other."""
        if split != "train":
            return self.dev.load(root, language, split)
        layout = self._layout(root, split)[0]
        return [example for code in self.languages for example in layout.load(root, code, split)]

    def _layout(self, root: Path | None, split: str) -> tuple[Source, tuple[Path, ...]]:
        missing: list[MissingDataError] = []
        offline: list[NotDownloadedError] = []
        for layout in self.layouts:
            try:
                paths = [path for code in self.languages for path in layout.files(root, code, split)]
            except MissingDataError as error:
                missing.append(error)
            except NotDownloadedError as error:
                offline.append(error)
            else:
                return layout, tuple(dict.fromkeys(paths))
        if offline:
            raise offline[0]
        tried = dict.fromkeys(pattern for error in missing for pattern in error.tried)
        raise MissingDataError(missing[0].language, split, missing[0].root, tuple(tried))
