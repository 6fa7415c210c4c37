"""The Django catalogue: the binary format, and what becomes of the installed package's messages."""

import gettext
import struct
from pathlib import Path

import pytest

from xeval.errors import DataError
from xeval.examples import Translation
from xeval.sources.django import DjangoSource, read_catalogue

LANGUAGES = (
    "af ar bg bn de el es et eu fa fi fr he hi hu id it ja ka kk ko ml mr nl pt ru sw ta te th tr ur vi zh"
)


def compiled(messages: dict[str, str], order: str) -> bytes:
    """A gettext catalogue without a hash table."""
    texts = [[text.encode() for text in side] for side in (messages, messages.values())]
    start = 28 + 16 * len(messages)
    tables, body = b"", b""
    for side in texts:
        for text in side:
            tables += struct.pack(f"{order}2I", len(text), start + len(body))
            body += text + b"\0"
    header = (0x950412DE, 0, len(messages), 28, 28 + 8 * len(messages), 0, 0)
    return struct.pack(f"{order}7I", *header) + tables + body


MESSAGES = {
    "": "Content-Type: text/plain; charset=UTF-8\n",
    "Yes": "Ja",
    "verb\4Open": " Öffnen",
    "a\0b": "c\0d",
}


@pytest.mark.parametrize("order", ["<", ">"])
def test_catalogues_of_both_byte_orders(tmp_path: Path, order: str) -> None:
    path = tmp_path / "x.mo"
    path.write_bytes(compiled(MESSAGES, order))
    assert list(read_catalogue(path)) == [("Yes", "Ja"), ("Open", "Öffnen")]
    with path.open("rb") as file:
        assert gettext.GNUTranslations(file).gettext("Yes") == "Ja"


@pytest.mark.parametrize("content", [b"", b"\0" * 40, compiled(MESSAGES, "<")[:40]])
def test_damaged_catalogue_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.mo"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.mo: .*catalogue"):
        list(read_catalogue(path))


@pytest.mark.parametrize("language", LANGUAGES.split())
def test_sentences_of_every_language(language: str) -> None:
    pairs = [e for e in DjangoSource().load(None, language, "test") if isinstance(e, Translation)]
    assert 20 <= len(pairs) <= 300
    assert (
        len({p.source for p in pairs})
        == len({p.target for p in pairs})
        == len({p.item_id for p in pairs})
        == len(pairs)
    )
    for pair in pairs:
        assert pair.source != pair.target
        assert len(pair.target.split()) >= 4
        assert not any(sign in pair.source + pair.target for sign in ("%(", "%s", "{", "<"))


def test_a_known_sentence_and_parallel_ids() -> None:
    by_language = {
        language: {e.item_id: e for e in DjangoSource().load(None, language, "test")}
        for language in ("de", "fr")
    }
    shared = set(by_language["de"]) & set(by_language["fr"])
    assert len(shared) > 90
    german = {e.target: e.source for e in by_language["de"].values() if isinstance(e, Translation)}
    assert german["Enter a valid email address."] == "Bitte gültige E-Mail-Adresse eingeben."
    for item in shared:
        one, other = by_language["de"][item], by_language["fr"][item]
        assert isinstance(one, Translation)
        assert isinstance(other, Translation)
        assert one.target == other.target


def test_digest_is_stable_and_differs_by_language() -> None:
    source = DjangoSource()
    assert (
        source.digest(None, "de", "test")
        == source.digest(None, "de", "test")
        != source.digest(None, "fr", "test")
    )


def test_languages_without_translations_are_refused() -> None:
    with pytest.raises(DataError, match="has no Yoruba translations"):
        DjangoSource().load(None, "yo", "test")
    with pytest.raises(DataError, match="no translated sentence in English"):
        DjangoSource().load(None, "en", "test")
