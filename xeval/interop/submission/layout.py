"""The layout of XTREME submissions: ``<task>/test-<language>.<extension>``, one file of labels per language.

Languages, file formats and the tasks that XTREME-R adds are those of google-research/xtreme, evaluate.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from xeval.sources.tagging import NER_TYPES, UPOS

Form = Literal["labels", "choices", "tags", "pairs", "answers"]
_EXTENSIONS: Mapping[Form, str] = {
    "labels": "tsv",
    "choices": "jsonl",
    "tags": "tsv",
    "pairs": "tsv",
    "answers": "json",
}
_ACCURACY = {"accuracy": "accuracy"}
_CHUNKS = {"f1": "chunk_f1_legacy", "precision": "chunk_precision_legacy", "recall": "chunk_recall_legacy"}
_PAIRS = {"f1": "pair_f1", "precision": "pair_precision", "recall": "pair_recall"}
_SQUAD = {"exact_match": "squad_em", "f1": "squad_f1"}
_MLQA = {"exact_match": "mlqa_em", "f1": "mlqa_f1"}
_HONEST_ANSWERS = ("em_mixed", "f1_mixed")


@dataclass(frozen=True)
class SubmissionTask:
    """How a task is submitted.

    Attributes:
        form: ``labels`` are one a line; ``choices`` one object ``{"label": number}`` a line; ``tags`` one a line
            with a blank line between sentences; ``pairs`` of sentence ids one a line, split by a tab; ``answers``
            one JSON object of answers by question id.
        languages: XTREME's, in its order; none for a task that only XTREME-R has.
        added: the languages that XTREME-R adds.
        vocabulary: the labels or tags that a file can hold; empty where there is no fixed set of them.
        metrics: the names in ``xeval.metrics`` of XTREME's metrics, by XTREME's names.
        honest: names in ``xeval.metrics`` of what is scored beside a metric that is flawed for the task.
    """

    name: str
    form: Form
    languages: tuple[str, ...]
    added: tuple[str, ...] = ()
    vocabulary: tuple[str | int, ...] = ()
    metrics: Mapping[str, str] = field(default_factory=lambda: _ACCURACY)
    honest: tuple[str, ...] = ()

    @property
    def known_languages(self) -> tuple[str, ...]:
        """XTREME's languages and the added ones."""
        return self.languages + self.added

    @property
    def extension(self) -> str:
        """How the names of its files end, without a dot."""
        return _EXTENSIONS[self.form]

    def file_name(self, language: str) -> str:
        """Name of a language's file, predictions and labels alike."""
        return f"test-{language}.{self.extension}"


def _codes(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SUBMISSION_TASKS: dict[str, SubmissionTask] = {
    task.name: task
    for task in (
        SubmissionTask("pawsx", "labels", _codes("de en es fr ja ko zh"), vocabulary=("0", "1")),
        SubmissionTask(
            "xnli",
            "labels",
            _codes("ar bg de el en es fr hi ru sw th tr ur vi zh"),
            vocabulary=("entailment", "neutral", "contradiction"),
        ),
        SubmissionTask(
            "panx",
            "tags",
            _codes(
                "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw "
                "yo my zh kk tr et fi hu"
            ),
            _codes("qu pl uk az lt pa gu ro"),
            ("O", *(f"{position}-{kind}" for kind in NER_TYPES for position in "BI")),
            _CHUNKS,
        ),
        SubmissionTask(
            "udpos",
            "tags",
            _codes(
                "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh"
            ),
            _codes("lt pl uk wo ro"),
            UPOS,
            _CHUNKS,
            ("tag_accuracy",),
        ),
        SubmissionTask("bucc2018", "pairs", _codes("de fr ru zh"), metrics=_PAIRS),
        SubmissionTask(
            "tatoeba",
            "labels",
            _codes(
                "ar he vi id jv tl eu ml ta te af nl de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw zh kk "
                "tr et fi hu"
            ),
            _codes("az lt pl uk ro"),
        ),
        SubmissionTask(
            "xquad",
            "answers",
            _codes("en es de el ru tr ar vi th zh hi"),
            ("ro",),
            metrics=_SQUAD,
            honest=_HONEST_ANSWERS,
        ),
        SubmissionTask(
            "mlqa", "answers", _codes("en es de ar hi vi zh"), metrics=_MLQA, honest=_HONEST_ANSWERS
        ),
        SubmissionTask(
            "tydiqa", "answers", _codes("en ar bn fi id ko ru sw te"), metrics=_SQUAD, honest=_HONEST_ANSWERS
        ),
        SubmissionTask("xcopa", "choices", (), _codes("et ht id it qu sw ta th tr vi zh"), (0, 1)),
    )
}
OUT_OF_SCOPE = ("lareqa", "mewslix")  # XTREME-R's tasks whose metric is mAP@20
