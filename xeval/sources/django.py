"""Parallel sentences that every installation has: the translation catalogue of the Django package (BSD).

An entry is taken if it
- is a plain message: no plural forms, and no placeholder, mark-up or entity on either side, because a copied
  ``%(name)s`` would give the translation away;
- has at least four words in English, and in the foreign language too where that puts spaces between words;
- is translated: the sides differ;
- is the first with its English and the first with its foreign sentence.
Item ids are digests of the English sentence, so that items are parallel across languages. The number of
sentences depends on the installed version of Django, as the content digest does.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from xeval.digests import text_digest
from xeval.errors import DataError
from xeval.examples import Example, TextPair, Translation
from xeval.languages import language as known_language

FEWEST_WORDS = 4
_LOCALES = {"zh": "zh_Hans"}
_SCRIPTS_WITHOUT_SPACES = {"Hans", "Jpan", "Thai", "Mymr"}
_NO_PLAIN_TEXT = re.compile(r"%(?:\(\w*\))?[-#0 +.\d]*[a-zA-Z%]|\{[^}]*\}|<[^>]*>|&#?\w+;")
_MAGIC = 0x950412DE


@dataclass(frozen=True)
class DjangoSource:
    """Pairs of an English sentence and its translation; there is one split, whatever its name."""

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The compiled catalogues of a language inside the installed package.

        Raises:
            DataError: Django is not installed, or has no catalogue of the language.
        """
        known = known_language(language)
        package = find_spec("django")
        if package is None or not package.submodule_search_locations:
            raise DataError(
                "These texts are Django's translations, and it is not installed; run `pip install django`."
            )
        base = Path(package.submodule_search_locations[0])
        locale = _LOCALES.get(known.code, known.code)
        found = [
            path
            for application in ("conf", "contrib/*")
            for path in sorted(base.glob(f"{application}/locale/{locale}/LC_MESSAGES/*.mo"))
        ]
        if not found:
            raise DataError(f"The installed Django has no {known.name} translations; leave the language out.")
        return tuple(found)

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of the sentence pairs."""
        pairs = self._pairs(root, language, split)
        return text_digest(language, *(sentence for pair in pairs.items() for sentence in pair))

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The sentence pairs."""
        examples: list[Example] = []
        for english, foreign in self._pairs(root, language, split).items():
            item = text_digest(english)[:12]
            examples.append(Translation(item, item, foreign, english))
        return examples

    def _pairs(self, root: Path | None, language: str, split: str) -> dict[str, str]:
        has_spaces = known_language(language).script not in _SCRIPTS_WITHOUT_SPACES
        pairs: dict[str, str] = {}
        seen: set[str] = set()
        for path in self.files(root, language, split):
            for english, foreign in read_catalogue(path):
                if english in pairs or foreign in seen or english == foreign:
                    continue
                if _NO_PLAIN_TEXT.search(english) or _NO_PLAIN_TEXT.search(foreign):
                    continue
                if len(english.split()) < FEWEST_WORDS or (
                    has_spaces and len(foreign.split()) < FEWEST_WORDS
                ):
                    continue
                pairs[english] = foreign
                seen.add(foreign)
        if not pairs:
            raise DataError(
                f"The installed Django has no translated sentence in {known_language(language).name}; "
                "leave the language out."
            )
        return pairs


@dataclass(frozen=True)
class DjangoTopicSource:
    """Which part of Django a message comes from: plain classification of short real texts, by human translators.

    Messages of one of ``TOPICS``' components only; placeholders and mark-up as in :class:`DjangoSource`. The
    English message decides the split (half train, a tenth dev, the rest test), so that no language leaks
    another's training items. English messages are those that de, es or fr translate.
    """

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The compiled catalogues that are read, sorted."""
        locales = _ENGLISH_SIDE if language == "en" else (language,)
        found = {path for locale in locales for path in DjangoSource().files(root, locale, split)}
        return tuple(sorted(path for path in found if _component(path) in TOPICS))

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of the labelled messages."""
        rows = self._rows(root, language, split)
        return text_digest(language, split, *(text for row in rows for text in row))

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The labelled messages."""
        examples: list[Example] = []
        for english, text, label in self._rows(root, language, split):
            item = text_digest(english)[:12]
            examples.append(TextPair(item, item, text, None, label))
        return examples

    def _rows(self, root: Path | None, language: str, split: str) -> list[tuple[str, str, str]]:
        """(English message, text, label), sorted by the English message's digest."""
        labels: dict[str, set[str]] = {}
        texts: dict[str, str] = {}
        for path in self.files(root, language, split):
            for english, foreign in read_catalogue(path):
                labels.setdefault(english, set()).add(TOPICS[_component(path)])
                texts.setdefault(english, english if language == "en" else foreign)
        rows: list[tuple[str, str, str]] = []
        for english, found in labels.items():
            text = texts[english]
            clean = not (_NO_PLAIN_TEXT.search(english) or _NO_PLAIN_TEXT.search(text))
            if len(found) == 1 and clean and text and (language == "en" or text != english):
                rows.append((english, text, next(iter(found))))
        chosen = [row for row in rows if _split_of(row[0]) == split]
        return sorted(chosen, key=lambda row: text_digest(row[0]))


TOPICS = {
    "conf": "core",
    "contrib/admin": "admin",
    "contrib/auth": "accounts",
    "contrib/admindocs": "documentation",
}
TOPIC_LABELS = tuple(TOPICS.values())
_ENGLISH_SIDE = ("de", "es", "fr")


def _component(path: Path) -> str:
    """``contrib/admin`` of ``.../django/contrib/admin/locale/de/LC_MESSAGES/django.mo``."""
    parts = path.parts[: path.parts.index("locale")]
    return "/".join(parts[len(parts) - parts[::-1].index("django") :])


def _split_of(message: str) -> str:
    tenth = int(text_digest(message)[:8], 16) % 10
    return "train" if tenth < 5 else "dev" if tenth == 5 else "test"


def read_catalogue(path: Path) -> Iterator[tuple[str, str]]:
    """(message, translation) of a compiled gettext catalogue, without header, contexts and plural messages.

    The standard library reads such files but can only look up messages that are known already; the format is
    described in GNU gettext's manual, "The Format of GNU MO Files".
    """
    content = path.read_bytes()
    try:
        order = "<" if struct.unpack_from("<I", content)[0] == _MAGIC else ">"
        magic, _, count, originals, translations = struct.unpack_from(f"{order}5I", content)
        if magic != _MAGIC:
            raise DataError(f"{path}: not a compiled gettext catalogue.")
        for row in range(count):
            texts = []
            for table in (originals, translations):
                length, start = struct.unpack_from(f"{order}2I", content, table + 8 * row)
                texts.append(content[start : start + length].decode("utf-8"))
            message, translation = texts
            if message and "\0" not in message:
                yield message.rpartition("\4")[2].strip(), translation.strip()
    except (struct.error, UnicodeDecodeError):
        raise DataError(f"{path}: damaged gettext catalogue; install Django again.") from None
