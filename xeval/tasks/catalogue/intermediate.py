"""The sets of intermediate tasks.

The targets' own sets are declared beside the tasks; they serve as intermediates too: mnli and squad (v1.1), and
hotpotqa-en, 2wikimultihopqa-en and musique-en, with the passages in full or, named ``-supporting-en``, those with
the facts only. The tasks of Phang et al. 2020 are anli-plus, mnli, qqp, squad-v2, squad, hellaswag, ccg, cosmosqa and
commonsenseqa; fields and label sets are those of their code, jiant daa5a25.
"""

from dataclasses import replace
from functools import partial

from xeval.errors import UsageError, did_you_mean
from xeval.languages import language as known_language
from xeval.sources import FileSource, FirstOf, JoinedSource, Source
from xeval.sources.choice import read_commonsenseqa, read_cosmosqa, read_hellaswag
from xeval.sources.classification import (
    DUPLICATE_CLASSES,
    read_anli,
    read_conjnli,
    read_qqp,
    read_snli,
)
from xeval.sources.questions import read_qed, read_squad
from xeval.sources.tagging import CcgbankSource, read_supertags
from xeval.sources.translated import TranslatedSource
from xeval.sources.xtreme import INTERMEDIATE_SOURCES, translations
from xeval.tasks.base import TrainingSet
from xeval.tasks.catalogue.classification import MNLI, NLI_LABELS, PAWSX_ENGLISH
from xeval.tasks.catalogue.single_hop_qa import SQUAD
from xeval.tasks.choice import CHOICE
from xeval.tasks.classification import CLASSIFICATION
from xeval.tasks.span_qa import SPAN_QA
from xeval.tasks.tagging import TAGGING

_ANLI_ROUNDS = ("r1", "r2", "r3")
_SNLI_SOURCE = FirstOf(
    (
        FileSource(
            tuple(
                f"{folder}/snli_1.0_{{split}}.{ending}"
                for folder in ("snli_1.0", "snli/snli_1.0", "snli")
                for ending in ("jsonl", "txt")
            ),
            read_snli,
        ),
        *INTERMEDIATE_SOURCES["snli"],
    )
)


def _anli_source(round_name: str) -> FirstOf:
    folders = (f"{parent}anli_v{version}" for version in ("1.0", "0.1") for parent in ("", "anli/"))
    files = FileSource(
        tuple(f"{folder}/{round_name.upper()}/{{split}}.jsonl" for folder in folders),
        partial(read_anli, round_name=round_name),
    )
    return FirstOf((files, *INTERMEDIATE_SOURCES[f"anli-{round_name}"]))


def _nli(name: str, source: Source, licence: str, citation: str) -> TrainingSet:
    return TrainingSet(name, CLASSIFICATION, source, NLI_LABELS, licence, citation)


def translated_training_set(name: str, of: str, languages: tuple[str, ...]) -> TrainingSet:
    """A training set in several languages: published machine translations of ``of``, and English where it is named.

    Dev data are the set's English ones. Pairs of PAWS-X that have no translation, and questions of SQuAD whose
    answer was not found in the translated passage, are left out in that language.

    Args:
        of: mnli (XNLI-MT, or XTREME's own translations), pawsx-en or squad (those of MLQA or of XTREME).
        languages: codes; what is trained on, all with equal shares.

    Raises:
        UsageError: no translations of the set are known, or a language is unknown or stands twice.
    """
    if of not in _TRANSLATED:
        near = did_you_mean(of, _TRANSLATED) or "."
        raise UsageError(
            f"{name}: no published translations of {of!r} are known, only of {', '.join(_TRANSLATED)}{near}"
        )
    codes = distinct_languages(name, languages)
    source = TranslatedSource(translations(of, _TRANSLATED[of].source), codes, _TRANSLATED[of].source)
    return replace(_TRANSLATED[of], name=name, source=source)


def distinct_languages(name: str, languages: tuple[str, ...]) -> tuple[str, ...]:
    """The languages' codes; a UsageError where there are none, or one stands twice."""
    codes = tuple(known_language(code).code for code in languages)
    if not codes or len(set(codes)) < len(codes):
        raise UsageError(f"{name}: languages must name at least one language, and each of them once.")
    return codes


_TRANSLATED = {each.name: each for each in (MNLI, PAWSX_ENGLISH, SQUAD)}

INTERMEDIATES = {
    training_set.name: training_set
    for training_set in (
        _nli("snli", _SNLI_SOURCE, "CC BY-SA 4.0", "Bowman et al. 2015, D15-1075"),
        *(
            _nli(
                f"anli-{round_name}",
                _anli_source(round_name),
                "CC BY-NC 4.0",
                "Nie et al. 2020, 2020.acl-main.441",
            )
            for round_name in _ANLI_ROUNDS
        ),
        # One head for all five. Every example is drawn equally often, which is proportional sampling of the sets.
        _nli(
            "anli-plus",
            JoinedSource((_SNLI_SOURCE, MNLI.source, *map(_anli_source, _ANLI_ROUNDS))),
            "SNLI CC BY-SA 4.0, ANLI CC BY-NC 4.0, MultiNLI see its paper",
            "Phang et al. 2020, 2020.aacl-main.56",
        ),
        TrainingSet(
            name="qqp",
            kind=CLASSIFICATION,
            labels=DUPLICATE_CLASSES,
            source=FirstOf(
                (
                    FileSource(("QQP/{split}.tsv", "glue_data/QQP/{split}.tsv", "qqp/{split}.tsv"), read_qqp),
                    *INTERMEDIATE_SOURCES["qqp"],
                )
            ),
            licence="Quora's terms of service",
            citation="Iyer et al. 2017, First Quora Dataset Release; Wang et al. 2019, GLUE",
        ),
        # 1,363 categories in the whole of CCGbank; a set declares those of its train and dev data (with_labels).
        TrainingSet(
            name="ccg",
            kind=TAGGING,
            source=FirstOf(
                (
                    FileSource(("CCG/ccg.{split}", "ccg/ccg.{split}"), read_supertags),
                    CcgbankSource(("ccgbank_1_1/data/AUTO", "ccg/ccgbank_1_1/data/AUTO")),
                )
            ),
            licence="LDC",
            citation="Hockenmaier and Steedman 2007, J07-3004",
        ),
        TrainingSet(
            name="qed",
            kind=SPAN_QA,
            source=FileSource(("qed/qed-{split}.jsonlines",), read_qed),
            licence="CC BY-SA 3.0 (Wikipedia)",
            citation="Lamm et al. 2021, 2021.tacl-1.48",
        ),
        TrainingSet(
            name="commonsenseqa",
            kind=CHOICE,
            source=FirstOf(
                (
                    FileSource(("commonsenseqa/{split}_rand_split.jsonl",), read_commonsenseqa),
                    *INTERMEDIATE_SOURCES["commonsenseqa"],
                )
            ),
            licence="MIT",
            citation="Talmor et al. 2019, N19-1421",
        ),
        TrainingSet(
            name="cosmosqa",
            kind=CHOICE,
            source=FirstOf(
                (
                    FileSource(("cosmosqa/{split}.csv",), read_cosmosqa, {"dev": "valid"}),
                    *INTERMEDIATE_SOURCES["cosmosqa"],
                )
            ),
            licence="CC BY 4.0",
            citation="Huang et al. 2019, D19-1243",
        ),
        TrainingSet(
            name="hellaswag",
            kind=CHOICE,
            source=FirstOf(
                (
                    FileSource(
                        ("hellaswag/hellaswag_{split}.jsonl", "hellaswag/hellaswag_{split}*.jsonl"),
                        read_hellaswag,
                        {"dev": "val"},
                    ),
                    *INTERMEDIATE_SOURCES["hellaswag"],
                )
            ),
            licence="MIT",
            citation="Zellers et al. 2019, P19-1472",
        ),
        TrainingSet(
            name="conjnli",
            kind=CLASSIFICATION,
            labels=NLI_LABELS,
            source=FileSource(("conjnli/conj_{split}.tsv", "conjnli/adversarial_{split}*.tsv"), read_conjnli),
            licence="MIT",
            citation="Saha et al. 2020, 2020.emnlp-main.661",
        ),
        TrainingSet(
            name="squad-v2",
            kind=SPAN_QA,
            source=FirstOf(
                (
                    FileSource(("squad/{split}-v2.0.json", "SQuAD/{split}-v2.0.json"), read_squad),
                    *INTERMEDIATE_SOURCES["squad-v2"],
                )
            ),
            licence="CC BY-SA 4.0",
            citation="Rajpurkar et al. 2018, P18-2124",
        ),
        translated_training_set("mnli-translated", "mnli", ("en", "de", "ru", "sw")),
        translated_training_set("pawsx-translated", "pawsx-en", ("en", "de", "es", "fr", "ja", "ko", "zh")),
        translated_training_set("squad-translated", "squad", ("en", "ar", "de", "es", "hi", "vi", "zh")),
    )
}
