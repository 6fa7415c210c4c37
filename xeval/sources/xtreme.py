"""XTREME's data sets in the layouts that all of them share: the hub's Parquet files, and XTREME's own folders.

``XTREME_SOURCES[name]`` holds the sources of a task or an English training set besides its authors' files, which
a declaration puts first: ``FirstOf((FileSource(...), *XTREME_SOURCES["xnli"]))``. Hub sources come before the
folders that XTREME's ``scripts/download_data.sh`` makes, because that script blanks the test labels.

Revisions are commits that several public repositories pin for the same data set. ``cambridgeltl/xcopa`` and
``unimelb-nlp/wikiann`` are pinned nowhere that we know of, so they are ``main``; ``allenai/cosmos_qa`` has
Parquet files on the hub's own conversion branch only, of which the revision is a commit.

Where the hub's copy of XTREME, ``google/xtreme``, differs from what XTREME's script makes:

- PAWS-X and XNLI were read as spreadsheets, so quotation marks are lost and some PAWS-X rows too; the sets' own
  homes are read first.
- Languages of udpos were matched within names: ``German`` holds Swiss German, ``Greek`` Ancient Greek,
  ``French``, ``Russian`` and ``Chinese`` older stages of theirs. Words are syntactic ones, not fused.
- bucc18 has the aligned pairs without the sentences among which they have to be found, so it is no BUCC.
- Extra languages of XTREME-R are in none of its configurations.
"""

from collections.abc import Mapping
from functools import partial

from xeval.sources.base import Source
from xeval.sources.bitext import read_tatoeba, read_tatoeba_parquet
from xeval.sources.choice import read_commonsenseqa, read_cosmosqa, read_hellaswag, read_xcopa
from xeval.sources.classification import (
    NLI_LABELS,
    PARAPHRASE_LABELS,
    read_anli,
    read_mnli,
    read_pawsx,
    read_pawsx_parquet_of_xtreme,
    read_qqp,
    read_snli,
    read_translated_mnli,
    read_xnli,
    read_xnli_parquet,
    read_xnli_parquet_of_xtreme,
    read_xtreme_translations,
)
from xeval.sources.files import FileSource, Reader
from xeval.sources.hub import HubSource
from xeval.sources.parquet import ParquetTags
from xeval.sources.questions import read_squad, read_translated_squad, read_tydiqa, read_xquad
from xeval.sources.tagging import UPOS, read_word_tags
from xeval.sources.translated import EnglishBeside

REVISIONS = {
    "google/xtreme": "ec5f1f46e9af79639a90684a7a70a956c4998f04",
    "facebook/xnli": "b8dd5d7af51114dbda02c0e3f6133f332186418e",
    "google-research-datasets/paws-x": "4cd8187c404bda33cb1f62b49b001115862acf37",
    "google/xquad": "51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
    "nyu-mll/multi_nli": "da70db2af9d09693783c3320c4249840212ee221",
    "rajpurkar/squad": "7b6d24c440a36b6815f21b70d25016731768db1f",
    "rajpurkar/squad_v2": "3ffb306f725f7d2ce8394bc1873b24868140c412",
    "aps/super_glue": "3de24cf8022e94f4ee4b9d55a6f539891524d646",
    "tau/commonsense_qa": "94630fe30dad47192a8546eb75f094926d47e155",
    "Rowan/hellaswag": "218ec52e09a7e7462a5400043bb9a69a41d06b76",
    "allenai/cosmos_qa": "ed50fe83db62b355759053b1cd5eef344ee371e0",
    "stanfordnlp/snli": "cdb5c3d5eed6ead6e5a341c8e56e669bb666725b",
    "facebook/anli": "8e4813d81f46d313dac7892e1c28076917cfcdf9",
    "nyu-mll/glue": "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
    "cambridgeltl/xcopa": "main",
    "unimelb-nlp/wikiann": "main",
}
NER_CLASSES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
_ONLY_VALIDATION = {"dev": "validation", "test": "validation"}
_read_ner = ParquetTags("tokens", "ner_tags", NER_CLASSES)
_read_pos = ParquetTags("tokens", "pos_tags", UPOS, removed=" \u200c")


def _hub(
    repository: str, folder: str, reader: Reader, split_names: Mapping[str, str] | None = None
) -> HubSource:
    """Parquet files called after the split in a folder of a repository."""
    patterns = (f"{folder}/{{split}}-*.parquet",)
    names = {"dev": "validation"} if split_names is None else split_names
    return HubSource(repository, REVISIONS[repository], patterns, reader, names)


def _xtreme(folder: str, reader: Reader, split_names: Mapping[str, str] | None = None) -> HubSource:
    return _hub("google/xtreme", folder, reader, split_names)


_PAWSX_HOME = _hub("google-research-datasets/paws-x", "{lang}", read_pawsx)
_PAWSX: tuple[Source, ...] = (
    _PAWSX_HOME,
    _xtreme("PAWS-X.{lang}", read_pawsx_parquet_of_xtreme),
    FileSource(("pawsx/{split}-{lang}.tsv",), read_pawsx),
)
_PANX: tuple[Source, ...] = (
    _xtreme("PAN-X.{lang}", _read_ner),
    _hub("unimelb-nlp/wikiann", "{lang}", _read_ner),
    FileSource(("panx/{split}-{lang}.tsv",), read_word_tags),
)
_UDPOS_FUSED: tuple[Source, ...] = (FileSource(("udpos/{split}-{lang}.tsv",), read_word_tags),)
_UDPOS_WORDS: tuple[Source, ...] = (_xtreme("udpos.{name}", _read_pos),)
_SQUAD: tuple[Source, ...] = (
    _hub("rajpurkar/squad", "plain_text", read_squad),
    _xtreme("SQuAD", read_squad),
    FileSource(("squad/{split}-v1.1.json",), read_squad),
)
_TYDIQA_HUB = _xtreme("tydiqa", read_tydiqa, _ONLY_VALIDATION)

XTREME_SOURCES: dict[str, tuple[Source, ...]] = {
    "xnli": (
        _hub("facebook/xnli", "{lang}", read_xnli_parquet),
        _xtreme("XNLI", read_xnli_parquet_of_xtreme),
        FileSource(("xnli/{split}-{lang}.tsv",), read_xnli),
    ),
    "mnli": (
        _hub("nyu-mll/multi_nli", "data", read_mnli, {"dev": "validation_matched"}),
        FileSource(("xnli/{split}-{lang}.tsv",), read_mnli),
    ),
    "pawsx": _PAWSX,
    "pawsx-en": _PAWSX,
    "panx": _PANX,
    "panx-en": _PANX,
    "udpos": _UDPOS_FUSED,
    "udpos-en": _UDPOS_FUSED,
    "udpos-words": _UDPOS_WORDS,
    "udpos-words-en": _UDPOS_WORDS,
    "xquad": (
        _hub("google/xquad", "xquad.{lang}", read_xquad, _ONLY_VALIDATION),
        _xtreme("XQuAD.{lang}", read_xquad, _ONLY_VALIDATION),
        FileSource(("xquad/xquad.{lang}.json",), read_xquad),
    ),
    "squad": _SQUAD,
    "mlqa": (
        _xtreme("MLQA.{lang}.{lang}", read_squad),
        FileSource(("mlqa/MLQA_V1/{split}/{split}-context-{lang}-question-{lang}.json",), read_squad),
    ),
    "tydiqa": (
        _TYDIQA_HUB,
        FileSource(
            ("tydiqa/tydiqa-goldp-v1.1-{split}/tydiqa.goldp.{lang}.{split}.json",),
            read_tydiqa,
            {"test": "dev"},
        ),
    ),
    # The script blanks the dev files, which are XTREME's test set: there is no English dev set in its folder.
    "tydiqa-en": (
        _TYDIQA_HUB,
        FileSource(("tydiqa/tydiqa-goldp-v1.1-train/tydiqa-goldp-v1.1-{split}.json",), read_tydiqa),
    ),
    "tatoeba": (
        _xtreme("tatoeba.{iso3}", read_tatoeba_parquet, _ONLY_VALIDATION),
        FileSource(("tatoeba/{lang}-en.*",), read_tatoeba),
    ),
    "xcopa": (
        _hub("cambridgeltl/xcopa", "{lang}", read_xcopa),
        FileSource(("xcopa/{split}-{lang}.jsonl",), read_xcopa, {"dev": "val"}),
    ),
    "copa": (
        _hub("aps/super_glue", "copa", read_xcopa),
        FileSource(("xcopa/{split}-{lang}.jsonl",), read_xcopa, {"dev": "val"}),
    ),
}
"""By task or English training set: where its data lie besides the authors' own files."""


def _anli(round_name: str) -> tuple[Source, ...]:
    reader = partial(read_anli, round_name=round_name)
    revision = REVISIONS["facebook/anli"]
    return (
        HubSource("facebook/anli", revision, (f"plain_text/{{split}}_{round_name}-*.parquet",), reader, {}),
    )


INTERMEDIATE_SOURCES: dict[str, tuple[Source, ...]] = {
    "snli": (_hub("stanfordnlp/snli", "plain_text", read_snli),),
    "anli-r1": _anli("r1"),
    "anli-r2": _anli("r2"),
    "anli-r3": _anli("r3"),
    "qqp": (_hub("nyu-mll/glue", "qqp", read_qqp),),
    "commonsenseqa": (_hub("tau/commonsense_qa", "data", read_commonsenseqa),),
    "cosmosqa": (
        HubSource(
            "allenai/cosmos_qa",
            REVISIONS["allenai/cosmos_qa"],
            ("default/{split}/*.parquet",),
            read_cosmosqa,
        ),
    ),
    "hellaswag": (_hub("Rowan/hellaswag", "data", read_hellaswag),),
    "squad-v2": (_hub("rajpurkar/squad_v2", "squad_v2", read_squad),),
}
"""By English intermediate set: its home on the hub."""


def _of_xtreme(task: str, reader: Reader) -> EnglishBeside:
    """The pairs of XTREME's translations, whose files hold the English beside the translated ones."""
    folders = (f"xtreme_translations/{task}/translate-train", f"{task}/translate-train")
    return EnglishBeside(
        FileSource(tuple(f"{folder}/en-*-translated.tsv" for folder in folders), reader),
        FileSource(tuple(f"{folder}/en-{{lang}}-translated.tsv" for folder in folders), reader),
    )


_read_translated_pawsx = partial(read_pawsx, keep_untranslated=False)
_SQUAD_OF_MLQA = FileSource(
    ("mlqa-translate-train/{lang}_squad-translate-train-{split}-v1.1.json",), read_translated_squad
)
_SQUAD_OF_XTREME = FileSource(
    tuple(
        f"{folder}/translate-{{split}}/squad.translate.{{split}}.en-{{lang}}.json"
        for folder in ("xtreme_translations/SQuAD", "SQuAD")
    ),
    read_translated_squad,
)


def translations(name: str, english: Source) -> tuple[Source, ...]:
    """Where published machine translations of a training set lie: sources of English and of the other languages.

    Args:
        name: mnli, pawsx-en or squad.
        english: the set's own source, where a layout has no English of its own.
    """
    match name:
        case "mnli":
            return (
                FileSource(("XNLI-MT-1.0/multinli/multinli.{split}.{lang}.tsv",), read_translated_mnli),
                _hub("facebook/xnli", "{lang}", read_translated_mnli),
                _of_xtreme("XNLI", partial(read_xtreme_translations, labels=NLI_LABELS)),
            )
        case "pawsx-en":
            translated = FileSource(
                ("x-final/{lang}/{split}.tsv", "pawsx/{lang}/{split}.tsv"),
                _read_translated_pawsx,
                {"train": "translated_train"},
            )
            prepared = FileSource(
                ("x-final/{lang}/{split}.tsv", "pawsx/{lang}/{split}.tsv"), _read_translated_pawsx
            )
            return (
                EnglishBeside(prepared, translated),
                _hub("google-research-datasets/paws-x", "{lang}", _read_translated_pawsx),
                _of_xtreme("PAWSX", partial(read_xtreme_translations, labels=PARAPHRASE_LABELS)),
            )
        case "squad":
            return tuple(EnglishBeside(english, files) for files in (_SQUAD_OF_MLQA, _SQUAD_OF_XTREME))
        case _:
            raise ValueError(f"no machine translations of {name} are published")
