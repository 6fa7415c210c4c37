"""Collections of sentences with translations hidden in them: BUCC 2018, and a set of its shape from parallel data.

BUCC's own files are ``de-en.sample.de``, ``de-en.sample.en`` (``id TAB sentence``) and ``de-en.sample.gold`` (``id TAB
id``), and the same with ``training``. BUCC's test gold was never published: as in XTREME, its sample is the dev
split, on which thresholds are chosen, and its training data are the test split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from xeval.digests import text_digest
from xeval.errors import DataError
from xeval.examples import Example, Translation
from xeval.languages import language as known_language
from xeval.sources.base import HUB, MissingDataError, Source, no_data_root
from xeval.sources.files import files_digest
from xeval.sources.text import numbered_lines

SPLITS = ("dev", "test")


@dataclass(frozen=True)
class Sentences:
    """One side of a collection: ids and stripped texts; texts may repeat, ids do not."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Collection:
    """A foreign (``source``) and an English (``target``) side, and the ids of the pairs among them (``gold``)."""

    source: Sentences
    target: Sentences
    gold: frozenset[tuple[str, str]]

    def first(self, count: int | None) -> "Collection":
        """The first ``count`` sentences of both sides and the pairs among them; all where it is None."""
        if count is None:
            return self
        source, target = (
            Sentences(side.ids[:count], side.texts[:count]) for side in (self.source, self.target)
        )
        sources, targets = set(source.ids), set(target.ids)
        kept = frozenset(pair for pair in self.gold if pair[0] in sources and pair[1] in targets)
        return Collection(source, target, kept)


@runtime_checkable
class CollectionSource(Source, Protocol):
    """A source whose examples are the pairs, and that also gives the collections that they hide in.

    ``files`` and ``digest`` are those of both splits, whichever is asked for: scoring test needs dev's threshold.
    """

    def collection(self, root: Path | None, language: str, split: str) -> Collection:
        """All sentences and pairs of a split (dev or test)."""

    def sizes(self, root: Path | None, language: str, split: str) -> tuple[int, int]:
        """Numbers of foreign and English sentences."""


@dataclass(frozen=True)
class BuccSource:
    """Files in BUCC's format.

    Attributes:
        layouts: pairs of a path's beginning relative to the data root, with ``{lang}`` and ``{split}``, and what
            the splits are called there; the first that has files counts. The path goes on with ``.<lang>``,
            ``.en`` and ``.gold``.
    """

    layouts: tuple[tuple[str, Mapping[str, str]], ...] = field(
        default=(
            ("bucc2018/{lang}-en/{lang}-en.{split}", {"dev": "sample", "test": "training"}),
            ("bucc2018/{lang}-en.{split}", {"dev": "sample", "test": "training"}),
            ("bucc2018/{lang}-en.{split}", {"dev": "dev", "test": "test"}),
        )
    )

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The six files of both splits: foreign, English and gold of dev, then of test.

        Raises:
            MissingDataError: no layout has any.
            DataError: no data root is given, or some of the six are missing.
        """
        if root is None:
            raise no_data_root("bucc2018/")
        code = known_language(language).code
        tried = []
        for pattern, names in self.layouts:
            stems = [pattern.format(lang=code, split=names[part]) for part in SPLITS]
            tried += [f"{stem}.*" for stem in stems]
            paths = [root / f"{stem}.{side}" for stem in stems for side in (code, "en", "gold")]
            if root == HUB or not any(path.is_file() for path in paths):
                continue
            if missing := [path for path in paths if not path.is_file()]:
                raise DataError(
                    f"{missing[0]}: missing; XTREME's download script deletes the test gold, so put BUCC's own "
                    "files (sample-gold and training-gold archives) there."
                )
            return tuple(paths)
        raise MissingDataError(known_language(language).name, split, root, () if root == HUB else tried)

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of the six files' names and contents."""
        return files_digest(self.files(root, language, split), language, split)

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The pairs."""
        return pairs_of(self.collection(root, language, split))

    def collection(self, root: Path | None, language: str, split: str) -> Collection:
        """All sentences and pairs of a split."""
        return read_bucc(self._of_split(root, language, split))

    def sizes(self, root: Path | None, language: str, split: str) -> tuple[int, int]:
        """Numbers of foreign and English sentences."""
        foreign, english, _ = self._of_split(root, language, split)
        return sum(1 for _ in numbered_lines(foreign)), sum(1 for _ in numbered_lines(english))

    def _of_split(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        first = 3 * SPLITS.index(split)
        return self.files(root, language, split)[first : first + 3]


def read_bucc(paths: Sequence[Path]) -> Collection:
    """The files of one split: foreign, English, gold.

    Raises:
        DataError: a line is no id and sentence, an id repeats, or a pair names an unknown id.
    """
    foreign, english, gold = paths
    source, target = _sentences(foreign), _sentences(english)
    sources, targets = set(source.ids), set(target.ids)
    pairs = set()
    for number, line in numbered_lines(gold):
        ids = line.strip().split("\t")
        if len(ids) != 2 or ids[0] not in sources or ids[1] not in targets:
            raise DataError(
                f"{gold}, line {number}: not an id of {foreign.name} and one of {english.name}, split by a tab."
            )
        pairs.add((ids[0], ids[1]))
    if not pairs:
        raise DataError(f"{gold}: holds no pair.")
    return Collection(source, target, frozenset(pairs))


def _sentences(path: Path) -> Sentences:
    ids, texts = [], []
    for number, line in numbered_lines(path):
        name, tab, text = line.partition("\t")
        if not tab or not name.strip() or not text.strip():
            raise DataError(f"{path}, line {number}: not an id and a sentence, split by a tab.")
        ids.append(name.strip())
        texts.append(text.strip())
    if len(set(ids)) < len(ids):
        repeated = next(name for name in ids if ids.count(name) > 1)
        raise DataError(f"{path}: the id {repeated!r} occurs twice; ids must be unique.")
    return Sentences(tuple(ids), tuple(texts))


def pairs_of(collection: Collection) -> list[Example]:
    """The pairs as translations, in the order of the foreign side; ids are those of the foreign sentences."""
    source = dict(zip(collection.source.ids, collection.source.texts, strict=True))
    target = dict(zip(collection.target.ids, collection.target.texts, strict=True))
    order = {name: number for number, name in enumerate(source)}
    pairs = sorted(collection.gold, key=lambda pair: (order[pair[0]], pair[1]))
    return [Translation(f"{a}:{b}", a, source[a], target[b]) for a, b in pairs]


@dataclass(frozen=True)
class PlantedSource:
    """Pairs of a parallel data set, hidden among distractors that it gives too.

    An item's digest decides: a quarter is the dev split, the rest test; of either, half are planted and of half the
    foreign side alone is there. English distractors are sentences of the other languages' pairs that are the
    translation of no foreign sentence here. Sentences that repeat on their side are left out.

    Attributes:
        parallel: gives the pairs (:class:`Translation`).
        languages: whose English sides are distractors; those without data are passed over.
        distractors: how many of them a split has at most, in the order of their digests; None takes all.
    """

    parallel: Source
    languages: tuple[str, ...]
    distractors: int | None = None

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The files of the language, then of the others."""
        return tuple(
            path for code in self._read(root, language) for path in self.parallel.files(root, code, split)
        )

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of what is read and of how much of it is taken."""
        codes = self._read(root, language)
        read = [text for code in codes for text in (code, self.parallel.digest(root, code, split))]
        return text_digest("planted 1", language, split, str(self.distractors), *read)

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The planted pairs."""
        return pairs_of(self.collection(root, language, split))

    def sizes(self, root: Path | None, language: str, split: str) -> tuple[int, int]:
        """Numbers of foreign and English sentences."""
        made = self.collection(root, language, split)
        return len(made.source.ids), len(made.target.ids)

    def collection(self, root: Path | None, language: str, split: str) -> Collection:
        """All sentences and pairs of a split, in an order that tells nothing."""
        pairs: dict[str, str] = {}
        seen: set[str] = set()
        for pair in self._pairs(root, language):
            if pair.source not in pairs and pair.target not in seen:
                pairs[pair.source] = pair.target
                seen.add(pair.target)
        source: dict[str, str] = {}
        target: dict[str, str] = {}
        gold = set()
        for foreign, english in pairs.items():
            if _split_of(english) != split:
                continue
            source[_name(language, foreign)] = foreign
            if _draw(english, "planted") % 2:
                target[_name("en", english)] = english
                gold.add((_name(language, foreign), _name("en", english)))
        others = {
            pair.target: _draw(pair.target, "order")
            for code in self._read(root, language)[1:]
            for pair in self._pairs(root, code)
            if _split_of(pair.target) == split and pair.target not in seen
        }
        for english in sorted(others, key=lambda text: others[text])[: self.distractors]:
            target[_name("en", english)] = english
        if not gold:
            raise DataError(
                f"{known_language(language).name} has too few pairs to plant; leave the language out."
            )
        return Collection(_sorted_side(source), _sorted_side(target), frozenset(gold))

    def _read(self, root: Path | None, language: str) -> list[str]:
        """The language itself, which has to be there, and the others that are."""
        self.parallel.files(root, language, "test")
        found = [language]
        for code in self.languages:
            try:
                if code != language and self.distractors != 0:
                    self.parallel.files(root, code, "test")
                    found.append(code)
            except MissingDataError:
                continue
        return found

    def _pairs(self, root: Path | None, language: str) -> list[Translation]:
        return [e for e in self.parallel.load(root, language, "test") if isinstance(e, Translation)]


def _draw(text: str, purpose: str) -> int:
    """A number that a text and a purpose decide, as good as drawn."""
    return int(text_digest(purpose, text)[:12], 16)


def _split_of(english: str) -> str:
    return "dev" if _draw(english, "split") % 4 == 0 else "test"


def _name(language: str, text: str) -> str:
    return f"{language}-{text_digest(text)[:12]}"


def _sorted_side(sentences: Mapping[str, str]) -> Sentences:
    """Sorted by id, which is a digest."""
    ids = tuple(sorted(sentences))
    return Sentences(ids, tuple(sentences[name] for name in ids))
