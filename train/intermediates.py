"""English training data: how any set is looked up, read and cut, and sets from files of the user's own."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from xeval.conditions import BASELINE, MIXED, mixed_sets, training_sets
from xeval.digests import text_digest, value_digest
from xeval.errors import DataError, UsageError, did_you_mean
from xeval.examples import Example, TaggedSentence, TextPair
from xeval.sources import MissingDataError, Source
from xeval.sources.multihop import HeldOutSource
from xeval.sources.translated import InLanguage, TranslatedSource
from xeval.tasks import all_training_sets
from xeval.tasks.base import TrainingSet
from xeval.tasks.catalogue.intermediate import INTERMEDIATES, distinct_languages
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
    codes = distinct_languages(name, languages or found)
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
