"""BUCC's files in its own layout and XTREME's, what is wrong with them, and pairs planted among distractors."""

from pathlib import Path

import pytest
from support.published import write_all

from xeval.errors import DataError
from xeval.examples import Translation
from xeval.sources import FileSource
from xeval.sources.base import HUB, MissingDataError
from xeval.sources.bitext import read_tatoeba
from xeval.sources.bucc import BuccSource, Collection, CollectionSource, PlantedSource, Sentences

FILES = {
    "de": "de-1\tEins.\nde-2\t Zwei. \nde-3\tEins.\n",
    "en": "en-1\tTwo.\nen-2\tOne.\n",
    "gold": "de-2\ten-1\nde-1\ten-2\n",
}
PARALLEL = FileSource(("tatoeba/tatoeba.{iso3}-eng.*",), read_tatoeba)


def write_bucc(root: Path, stems: tuple[str, str], files: dict[str, str] = FILES) -> Path:
    for stem in stems:
        for side, text in files.items():
            path = root / f"bucc2018/{stem}.{side}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    "stems",
    [
        ("de-en/de-en.sample", "de-en/de-en.training"),
        ("de-en.sample", "de-en.training"),
        ("de-en.dev", "de-en.test"),
    ],
)
def test_layouts(tmp_path: Path, stems: tuple[str, str]) -> None:
    source, root = BuccSource(), write_bucc(tmp_path, stems)
    (root / f"bucc2018/{stems[1]}.en").write_text("en-1\tTwo.\nen-2\tOne.\nen-3\tThree.\n")
    dev, test = (source.collection(root, "de", split) for split in ("dev", "test"))
    assert dev.source == Sentences(("de-1", "de-2", "de-3"), ("Eins.", "Zwei.", "Eins."))
    assert dev.gold == test.gold == {("de-1", "en-2"), ("de-2", "en-1")}
    assert test.target.ids == ("en-1", "en-2", "en-3")
    assert (source.sizes(root, "de", "dev"), source.sizes(root, "de", "test")) == ((3, 2), (3, 3))
    assert source.load(root, "de", "test") == [
        Translation("de-1:en-2", "de-1", "Eins.", "One."),
        Translation("de-2:en-1", "de-2", "Zwei.", "Two."),
    ]
    assert isinstance(source, CollectionSource)


def test_the_digest_is_of_both_splits(tmp_path: Path) -> None:
    source, root = BuccSource(), write_bucc(tmp_path, ("de-en.dev", "de-en.test"))
    before = source.digest(root, "de", "test")
    (root / "bucc2018/de-en.dev.gold").write_text("de-1\ten-2\n")
    assert source.digest(root, "de", "test") != before


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    source = BuccSource()
    for root in (tmp_path, HUB):
        with pytest.raises(MissingDataError, match="German"):
            source.files(root, "de", "test")
    with pytest.raises(DataError, match="No folder with the data is named"):
        source.files(None, "de", "test")
    root = write_bucc(tmp_path, ("de-en.dev", "de-en.test"))
    (root / "bucc2018/de-en.test.gold").unlink()  # as XTREME's script does
    with pytest.raises(DataError, match=r"de-en.test.gold: missing; XTREME's download script deletes"):
        source.files(root, "de", "test")


@pytest.mark.parametrize(
    ("side", "text", "problem"),
    [
        ("de", "de-1 Eins.\n", r"\.de, line 1: not an id and a sentence"),
        ("en", "en-1\tTwo.\nen-2\t \n", r"\.en, line 2: not an id"),
        ("de", "de-1\tEins.\nde-1\tZwei.\n", r"the id 'de-1' occurs twice"),
        ("gold", "de-1\ten-9\n", r"\.gold, line 1: not an id of"),
        ("gold", "", "holds no pair"),
    ],
)
def test_damage(tmp_path: Path, side: str, text: str, problem: str) -> None:
    root = write_bucc(tmp_path, ("de-en.dev", "de-en.test"), {**FILES, side: text})
    with pytest.raises(DataError, match=problem):
        BuccSource().collection(root, "de", "dev")


def test_the_first_sentences_keep_the_pairs_among_them() -> None:
    whole = Collection(
        Sentences(("a", "b", "c"), ("A", "B", "C")),
        Sentences(("x", "y"), ("X", "Y")),
        frozenset({("a", "x"), ("c", "y")}),
    )
    assert whole.first(2) == Collection(
        Sentences(("a", "b"), ("A", "B")), Sentences(("x", "y"), ("X", "Y")), frozenset({("a", "x")})
    )
    assert whole.first(None) is whole


def test_planted_pairs_among_distractors(tmp_path: Path) -> None:
    root = write_all(tmp_path, items=200)
    extra = tmp_path / "tatoeba"
    for side in ("fra", "eng"):
        lines = "".join(f"{side} sentence {n}\n" for n in range(100))
        (extra / f"tatoeba.fra-eng.{side}").write_text(lines)
    source = PlantedSource(PARALLEL, ("de", "fr", "sw", "zh"))
    truth = {(e.source, e.target) for e in PARALLEL.load(root, "de", "test") if isinstance(e, Translation)}
    seen: set[str] = set()
    for split, share in (("dev", 0.25), ("test", 0.75)):
        made = source.collection(root, "de", split)
        foreign, english = (dict(zip(s.ids, s.texts, strict=True)) for s in (made.source, made.target))
        gold = {(foreign[a], english[b]) for a, b in made.gold}
        assert gold < truth
        assert len(foreign) == pytest.approx(200 * share, abs=25)
        assert len(gold) == pytest.approx(100 * share, abs=20)
        # The translation of a foreign distractor is not there, and French's English sentences are.
        without = set(foreign.values()) - {one for one, _ in gold}
        assert not {b for a, b in truth if a in without} & set(english.values())
        others = {text for text in english.values() if text.startswith("eng sentence")}
        assert len(english) == len(gold) + len(others)
        assert len(others) == pytest.approx(100 * share, abs=20)
        assert not seen & set(foreign.values())
        seen |= set(foreign.values())
        assert source.sizes(root, "de", split) == (len(foreign), len(english))
        assert len(source.load(root, "de", split)) == len(gold)
        few = PlantedSource(PARALLEL, ("de", "fr", "sw", "zh"), distractors=7).collection(root, "de", split)
        assert (few.gold, len(few.target.ids)) == (made.gold, len(gold) + 7)
    assert seen == {one for one, _ in truth}
    alone = PlantedSource(PARALLEL, ("de", "fr"), distractors=0)
    assert alone.digest(root, "de", "test") != source.digest(root, "de", "test")
    assert isinstance(source, CollectionSource)
    with pytest.raises(MissingDataError):
        source.files(root, "sw", "test")
