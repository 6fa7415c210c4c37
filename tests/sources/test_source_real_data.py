"""The readers on the published files: row counts, and facts that the data sets promise."""

from pathlib import Path

import pytest

from xeval.examples import MultipleChoice, Question
from xeval.languages import XTREME_LANGUAGES
from xeval.sources import FileSource
from xeval.sources.bitext import read_tatoeba
from xeval.sources.choice import read_commonsenseqa, read_cosmosqa, read_hellaswag, read_xcopa
from xeval.sources.classification import read_conjnli, read_pawsx
from xeval.sources.questions import read_squad, read_xquad
from xeval.sources.tagging import read_conllu, read_universal_ner

pytestmark = pytest.mark.real_data

TATOEBA = FileSource(("tatoeba/tatoeba.{iso3}-eng.*",), read_tatoeba)
XQUAD = FileSource(("xquad/xquad.{lang}.json",), read_xquad)
XCOPA = FileSource(("xcopa/{lang}/{split}.{lang}.jsonl",), read_xcopa, {"dev": "val"})
PAWSX = FileSource(("pawsx/{lang}/{split}_2k.tsv",), read_pawsx)
UDPOS = FileSource(("udpos/UD_*/{lang}_*-ud-{split}.conllu",), read_conllu)
UNER = FileSource(("uner/UNER_*/{lang}_*-ud-{split}.iob2",), read_universal_ner)

XQUAD_LANGUAGES = ["ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"]
XCOPA_LANGUAGES = ["et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh"]
TATOEBA_LANGUAGES = [code for code in XTREME_LANGUAGES if code not in ("en", "ms", "my", "yo")]
TATOEBA_SMALL = {"jv": 205, "te": 234, "ta": 307, "sw": 390, "th": 548, "kk": 575, "ml": 687, "ka": 746}
UDPOS_ROWS = {
    **dict.fromkeys(["ar", "hi", "id", "ko", "ru", "tr"], 1000),
    **{"de": 977, "en": 2077, "fi": 1555, "mr": 47, "ta": 534, "te": 146, "vi": 800, "yo": 317, "zh": 500},
}
UNER_ROWS = {
    **dict.fromkeys(["de", "ru", "sv"], 1000),
    **{"da": 565, "en": 2077, "pt": 1167, "sr": 520, "tl": 128, "zh": 500},
}


def counts(source: FileSource, root: Path, languages: list[str], split: str = "test") -> dict[str, int]:
    return {language: len(source.load(root, language, split)) for language in languages}


def test_tatoeba(real_data: Path) -> None:
    expected = {language: TATOEBA_SMALL.get(language, 1000) for language in TATOEBA_LANGUAGES}
    assert counts(TATOEBA, real_data, TATOEBA_LANGUAGES) == expected


def test_xquad_is_parallel(real_data: Path) -> None:
    places = []
    for language in XQUAD_LANGUAGES:
        questions = [q for q in XQUAD.load(real_data, language, "test") if isinstance(q, Question)]
        assert all(q.answers for q in questions)
        places.append([(q.item_id, q.cluster_id) for q in questions])
    assert len(places[0]) == 1190
    assert len({cluster for _, cluster in places[0]}) == 240
    assert all(place == places[0] for place in places)


def test_xcopa_labels_are_parallel_and_thai_question_kinds_are_not(real_data: Path) -> None:
    assert counts(XCOPA, real_data, XCOPA_LANGUAGES, "dev") == dict.fromkeys(XCOPA_LANGUAGES, 100)
    tests = {
        language: [e for e in XCOPA.load(real_data, language, "test") if isinstance(e, MultipleChoice)]
        for language in XCOPA_LANGUAGES
    }
    labels = {language: [(e.item_id, e.label) for e in examples] for language, examples in tests.items()}
    assert all(len(rows) == 500 and rows == labels["et"] for rows in labels.values())
    causes = {language: sum("cause" in e.context for e in examples) for language, examples in tests.items()}
    assert (causes["et"], causes["th"]) == (250, 0)


def test_pawsx(real_data: Path) -> None:
    assert [len(PAWSX.load(real_data, "de", split)) for split in ("dev", "test")] == [2000, 2000]
    path = real_data / "pawsx/de/dev_2k.tsv"
    assert len(read_pawsx([path], "de", keep_untranslated=False)) == 1932


def test_universal_dependencies(real_data: Path) -> None:
    assert counts(UDPOS, real_data, list(UDPOS_ROWS)) == UDPOS_ROWS
    assert len(UDPOS.load(real_data, "en", "dev")) == 2001
    quarter = real_data / "udpos/UD_English-EWT/en_ewt-ud-train.quarter.conllu"
    assert len(read_conllu([quarter], "en")) == 3142


def test_parallel_treebanks_have_the_same_items_and_clusters(real_data: Path) -> None:
    items = [
        {(e.item_id, e.cluster_id) for e in UDPOS.load(real_data, language, "test")}
        for language in ["ar", "hi", "id", "ko", "ru", "tr"]
    ]
    assert all(found == items[0] for found in items)
    assert len({cluster for _, cluster in items[0]}) == 397


def test_universal_ner(real_data: Path) -> None:
    assert counts(UNER, real_data, list(UNER_ROWS)) == UNER_ROWS
    assert len(UNER.load(real_data, "en", "dev")) == 2001


def test_english_training_data(real_data: Path) -> None:
    found = {
        "csqa train": len(read_commonsenseqa([real_data / "commonsenseqa/train_rand_split.jsonl"], "en")),
        "csqa dev": len(read_commonsenseqa([real_data / "commonsenseqa/dev_rand_split.jsonl"], "en")),
        "cosmos": len(read_cosmosqa([real_data / "cosmosqa/valid.csv"], "en")),
        "hellaswag": len(read_hellaswag([real_data / "hellaswag/hellaswag_val_500_en.jsonl"], "en")),
        "conjnli train": len(read_conjnli([real_data / "conjnli/adversarial_train_first5000.tsv"], "en")),
        "conjnli dev": len(read_conjnli([real_data / "conjnli/conj_dev.tsv"], "en")),
        "squad": len(read_squad([real_data / "squad/small.no_xquad_overlap.json"], "en")),
    }
    assert found == {
        "csqa train": 7610, "csqa dev": 950, "cosmos": 2985, "hellaswag": 500,
        "conjnli train": 5000, "conjnli dev": 623, "squad": 567,
    }  # fmt: skip
