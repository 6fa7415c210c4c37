"""English training data: the sets of intermediate tasks, and how any set is looked up, read and cut.

The targets' own sets are declared beside the tasks; they serve as intermediates too: mnli and squad (v1.1), and
hotpotqa-en, 2wikimultihopqa-en and musique-en, with the passages in full or, named ``-supporting-en``, those with
the facts only. The tasks of Phang et al. 2020 are anli-plus, mnli, qqp, squad-v2, squad, hellaswag, ccg, cosmosqa and
commonsenseqa; fields and label sets are those of their code, jiant daa5a25.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from xeval.conditions import BASELINE, MIXED, mixed_sets, training_sets
from xeval.digests import text_digest, value_digest
from xeval.errors import DataError, UsageError, did_you_mean
from xeval.examples import Example, TaggedSentence, TextPair
from xeval.languages import language as known_language
from xeval.sources import FileSource, FirstOf, JoinedSource, MissingDataError, Source
from xeval.sources.choice import read_commonsenseqa, read_cosmosqa, read_hellaswag
from xeval.sources.classification import (
    DUPLICATE_CLASSES,
    read_anli,
    read_conjnli,
    read_qqp,
    read_snli,
)
from xeval.sources.multihop import HeldOutSource
from xeval.sources.questions import read_qed, read_squad
from xeval.sources.tagging import CcgbankSource, read_supertags
from xeval.sources.translated import InLanguage, TranslatedSource
from xeval.sources.xtreme import INTERMEDIATE_SOURCES, translations
from xeval.tasks import all_training_sets
from xeval.tasks.base import TrainingSet
from xeval.tasks.catalogue.classification import MNLI, NLI_LABELS, PAWSX_ENGLISH
from xeval.tasks.catalogue.single_hop_qa import SQUAD
from xeval.tasks.choice import CHOICE
from xeval.tasks.classification import CLASSIFICATION
from xeval.tasks.span_qa import SPAN_QA
from xeval.tasks.tagging import TAGGING
from xeval.tasks.user_file import ENDINGS, RowFile, task_from_file
from xeval.train.lines import MLM

OWN_KINDS = ("classification", "choice", "tagging", "span_qa")
"""What the rows of a training file of one's own may be."""

DEV_METRICS: Mapping[str, tuple[str, ...]] = {"ccg": ("tag_accuracy",)}
"""By set, what its best step is chosen by where it is not what the kind's is: supertags are no chunks."""

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
    codes = _distinct_languages(name, languages)
    source = TranslatedSource(translations(of, _TRANSLATED[of].source), codes, _TRANSLATED[of].source)
    return replace(_TRANSLATED[of], name=name, source=source)


def _distinct_languages(name: str, languages: tuple[str, ...]) -> tuple[str, ...]:
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


def own_training_set(
    name: str, file: Path, kind: str, *, dev: Path | None = None, languages: tuple[str, ...] = ()
) -> TrainingSet:
    """A training set from a file of rows, in the form of ``xeval.tasks.user_file``; labels are those that occur.

    Rows of several languages are trained on together: English and machine translations of it, say. Rows with one
    ``id`` are translations of each other, and a cut by ``train_size`` keeps them together.

    Args:
        name: what conditions call it.
        file: JSON lines, CSV, TSV or Parquet.
        kind: one of ``OWN_KINDS``.
        dev: rows to choose a step by. Without it a twentieth of the clusters of ``file`` is held out. Dev data are
            read in English where they have it, else in their first language.
        languages: those that are trained on; all by default.

    Raises:
        UsageError: the name, the kind, a file's ending or name, or a language is not usable.
        DataError: a row is not, or too few rows are left for training or dev.
    """
    if not re.fullmatch(r"\w[\w.-]*", name) or name == BASELINE or name in known_sets():
        raise UsageError(
            f"{name!r} cannot be the name of a training set of your own: letters, digits, '.', '-' and '_' make a "
            "name, and it must not be that of a known set."
        )
    if kind not in OWN_KINDS:
        raise UsageError(f"{name}: the kind {kind!r} is not one of {', '.join(OWN_KINDS)}.")
    rows, labels = _own_rows(name, file, kind)
    found = tuple(sorted(rows.examples, key=lambda code: (code != "en", code)))
    codes = _distinct_languages(name, languages or found)
    if absent := [code for code in codes if code not in found]:
        raise UsageError(f"{name}: {file} has no row in {absent[0]!r}; it has {', '.join(found)}.")
    train: Source = HeldOutSource(rows)
    dev_source, dev_languages = train, codes
    if dev is not None:
        train = rows
        dev_source, dev_labels = _own_rows(name, dev, kind)
        dev_languages = tuple(sorted(dev_source.examples))
        labels |= dev_labels
    dev_language = "en" if "en" in dev_languages else dev_languages[0]
    source = TranslatedSource((train,), codes, InLanguage(dev_source, dev_language))
    for split in ("train", "dev"):
        try:
            source.load(None, "en", split)
        except DataError as error:
            raise DataError(f"{name}: too few rows for {split} data; name a dev file. ({error})") from error
    kinds = {each.name: each for each in (CLASSIFICATION, CHOICE, TAGGING, SPAN_QA)}
    return TrainingSet(name, kinds[kind], source, tuple(sorted(labels)))


def _own_rows(name: str, file: Path, kind: str) -> tuple[RowFile, set[str]]:
    """The rows of a file, and their labels."""
    if not file.is_file() or file.suffix not in ENDINGS or not re.fullmatch(r"\w[\w.-]*", file.stem):
        raise UsageError(
            f"{name}: {file} is no file that ends in {', '.join(ENDINGS)} and whose name has no other signs than "
            "letters, digits, '.', '-' and '_'."
        )
    task = task_from_file(file, kind)
    assert isinstance(task.source, RowFile)
    return task.source, set(task.labels)


def known_sets() -> dict[str, TrainingSet]:
    """Every declared training set: of targets and of intermediate tasks."""
    return all_training_sets() | INTERMEDIATES


def training_set(name: str, own: Mapping[str, TrainingSet] | None = None) -> TrainingSet:
    """The intermediate or target training set of that name, or one of ``own``; raises UsageError with the nearest."""
    known = known_sets() | dict(own or {})
    if name not in known:
        raise UsageError(f"unknown training set {name!r}{did_you_mean(name, known) or '.'}")
    return known[name]


def check_names(condition: str, target: str | None = None) -> None:
    """Refuse a condition, and the set of a target phase, that name sets which are not known.

    Raises:
        UsageError: with the nearest name.
    """
    known = known_sets()
    for name in target.split(MIXED) if target is not None else ():
        if name not in known:
            raise UsageError(f"unknown training set {name!r}{did_you_mean(name, known) or '.'}")
    if condition == BASELINE:
        return
    for name in training_sets(condition):
        if name not in known and name != MLM:
            near = did_you_mean(name, [*known, MLM, BASELINE]) or "."
            raise UsageError(f"condition {condition!r}: unknown training set {name!r}{near}")


def condition_sets(condition: str, own: Mapping[str, TrainingSet] | None = None) -> tuple[TrainingSet, ...]:
    """The sets that a condition's last stage mixes: names joined by ``+``; ``none`` has no set.

    Raises:
        UsageError: a name is unknown or stands twice.
    """
    if condition == BASELINE:
        return ()
    names = mixed_sets(condition)
    if len(set(names)) < len(names):
        raise UsageError(f"condition {condition!r} names a set twice.")
    return tuple(training_set(name, own) for name in names)


def with_labels(training_set: TrainingSet, root: Path | None) -> TrainingSet:
    """The set with label names: those that it declares, else those that occur in its train and dev data, sorted.

    Raises:
        DataError: there are no training data.
    """
    if training_set.labels or training_set.kind not in (CLASSIFICATION, TAGGING):
        return training_set
    splits = ["train", "dev"] if has_dev(training_set, root) else ["train"]
    found: set[str] = set()
    for split in splits:
        for example in training_set.source.load(root, "en", split):
            found.update(_labels(example))
    return replace(training_set, labels=tuple(sorted(found)))


def data_digest(training_set: TrainingSet, root: Path | None) -> str:
    """Digest of a set's training and dev data as they are on this disk, and of how they are declared."""
    splits = ["train", "dev"] if has_dev(training_set, root) else ["train"]
    return value_digest(
        {
            "name": training_set.name,
            "kind": training_set.kind.name,
            "labels": with_labels(training_set, root).labels,
            "splits": {split: training_set.source.digest(root, "en", split) for split in splits},
        }
    )


def has_dev(training_set: TrainingSet, root: Path | None) -> bool:
    """Whether there are English dev data; a source that is damaged or cannot be reached is an error."""
    try:
        training_set.source.files(root, "en", "dev")
    except MissingDataError:
        return False
    return True


def load_examples(
    training_set: TrainingSet, root: Path | None, split: str, size: int | None = None
) -> list[Example]:
    """Examples; with a size that many of them, so that sets can be made equally large.

    The first ``size`` are taken of an order that depends on the items' ids alone: no seed enters, a smaller cut is
    part of every larger one, and an id that stands for translations of one item comes with all of them (but for
    the last one of a cut, whose share may end among them). As such an order has nothing to do with the content, a cut
    is a simple random sample: labels, and the parts of a joined set, keep their shares but for chance (the share p of
    a label has the standard error sqrt(p (1 - p) / size)), and they are not balanced any further.

    Raises:
        DataError: there are none, or one carries a label that the set does not declare.
    """
    examples: list[Example] = list(training_set.source.load(root, "en", split))
    if not examples:
        raise DataError(f"{training_set.name}: the {split} data hold no example.")
    training_set = with_labels(training_set, root)
    known = set(training_set.labels)
    for example in examples:
        if unknown := next((label for label in _labels(example) if label not in known), None):
            raise DataError(
                f"{training_set.name}, {split}, {example.item_id}: label {unknown!r} is none of "
                f"{', '.join(training_set.labels)}; mend the data or the declaration of the set."
            )
    if size is None or size >= len(examples):
        return examples
    kept = sorted(range(len(examples)), key=lambda row: text_digest(examples[row].item_id))[:size]
    return [examples[row] for row in sorted(kept)]


def _labels(example: Example) -> tuple[str, ...]:
    match example:
        case TextPair():
            return (example.label,)
        case TaggedSentence():
            return example.tags
        case _:
            return ()
