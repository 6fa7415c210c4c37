"""English data of intermediate tasks that no target trains on. The targets' own sets serve as intermediates too."""

from xeval.errors import UsageError, did_you_mean
from xeval.sources import FileSource
from xeval.sources.choice import read_commonsenseqa, read_cosmosqa, read_hellaswag
from xeval.sources.classification import read_conjnli
from xeval.sources.questions import read_squad
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
            source=FileSource(("commonsenseqa/{split}_rand_split.jsonl",), read_commonsenseqa),
            licence="MIT",
            citation="Talmor et al. 2019, N19-1421",
        ),
        TrainingSet(
            name="cosmosqa",
            kind=CHOICE,
            source=FileSource(("cosmosqa/{split}.csv",), read_cosmosqa, {"dev": "valid"}),
            licence="CC BY 4.0",
            citation="Huang et al. 2019, D19-1243",
        ),
        TrainingSet(
            name="hellaswag",
            kind=CHOICE,
            source=FileSource(("hellaswag/hellaswag_{split}.jsonl",), read_hellaswag, {"dev": "val"}),
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
            source=FileSource(("squad/{split}-v2.0.json", "SQuAD/{split}-v2.0.json"), read_squad),
            licence="CC BY-SA 4.0",
            citation="Rajpurkar et al. 2018, P18-2124",
        ),
    )
}


def training_set(name: str) -> TrainingSet:
    """The intermediate or target training set of that name; raises UsageError with the nearest name."""
    known = all_training_sets() | INTERMEDIATES
    if name not in known:
        raise UsageError(f"unknown training set {name!r}{did_you_mean(name, known)}.")
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
