"""English training data: the sets of intermediate tasks, and how any set is looked up, read and cut.

The targets' own sets are declared beside the tasks; they serve as intermediates too.
"""

from pathlib import Path

from xeval.digests import text_digest, value_digest
from xeval.errors import DataError, UsageError, did_you_mean
from xeval.examples import Example, TaggedSentence, TextPair
from xeval.sources import FileSource, FirstOf, MissingDataError
from xeval.sources.choice import read_commonsenseqa, read_cosmosqa, read_hellaswag
from xeval.sources.classification import read_conjnli
from xeval.sources.questions import read_squad
from xeval.sources.xtreme import INTERMEDIATE_SOURCES
from xeval.tasks import all_training_sets
from xeval.tasks.base import TrainingSet
from xeval.tasks.choice import CHOICE
from xeval.tasks.classification import CLASSIFICATION, NLI_LABELS
from xeval.tasks.span_qa import SPAN_QA

NONE = "none"
"""The condition without an intermediate phase: the baseline."""

INTERMEDIATES = {
    training_set.name: training_set
    for training_set in (
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
    )
}


def training_set(name: str) -> TrainingSet:
    """The intermediate or target training set of that name; raises UsageError with the nearest name."""
    known = all_training_sets() | INTERMEDIATES
    if name not in known:
        raise UsageError(f"unknown training set {name!r}{did_you_mean(name, known) or '.'}")
    return known[name]


def condition_sets(condition: str) -> tuple[TrainingSet, ...]:
    """The sets that a condition mixes: names joined by ``+``; ``none`` has no set.

    Raises:
        UsageError: a name is unknown or stands twice.
    """
    if condition == NONE:
        return ()
    names = condition.split("+")
    if len(set(names)) < len(names):
        raise UsageError(f"condition {condition!r} names a set twice.")
    return tuple(training_set(name) for name in names)


def data_digest(training_set: TrainingSet, root: Path | None) -> str:
    """Digest of a set's training and dev data as they are on this disk, and of how they are declared."""
    splits = ["train", "dev"] if has_dev(training_set, root) else ["train"]
    return value_digest(
        {
            "name": training_set.name,
            "kind": training_set.kind.name,
            "labels": training_set.labels,
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
    """English examples; the first ``size`` of an order that depends on their ids alone, so that cuts nest.

    Raises:
        DataError: there are none, or one carries a label that the set does not declare.
    """
    examples: list[Example] = list(training_set.source.load(root, "en", split))
    if not examples:
        raise DataError(f"{training_set.name}: the {split} data hold no example.")
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
