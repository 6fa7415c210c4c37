"""What a task is: one frozen declaration, evaluated by its kind."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from xeval.conditions import Group
from xeval.encoder.batches import Sequences
from xeval.encoder.tokens import TextEncoder
from xeval.errors import UsageError
from xeval.examples import Example
from xeval.sources import Source

if TYPE_CHECKING:
    import torch

    from xeval.checkpoints import Checkpoint
    from xeval.encoder.loop import Batch, Reduced

Settings = dict[str, int | str]
ExampleT = TypeVar("ExampleT", bound=Example)
IGNORED_LABEL = -100


@dataclass(frozen=True)
class Encoded:
    """Token sequences of a list of examples and how they belong together.

    Attributes:
        sequences: what goes through the encoder.
        example: the example's row for every sequence, ascending.
        detail: what the kind needs to read predictions back (word positions, character offsets).
    """

    sequences: Sequences
    example: NDArray[np.int64]
    detail: Any = None


@dataclass(frozen=True)
class Predictions:
    """One entry per example: the prediction as text, and every metric as (num, den) vectors.

    Attributes:
        columns: whatever else is to be stored of every item, by column name.
        remarks: sentences to be read with the scores; they are stored in the unit's record.
    """

    texts: list[str]
    metrics: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    remarks: Sequence[str] = ()


class Kind(ABC, Generic[ExampleT]):
    """How one kind of task is encoded, run, scored and trained; training and evaluation share ``encode``."""

    name: ClassVar[str]
    auto_class: ClassVar[str]
    head_suffix: ClassVar[str]
    defaults: ClassVar[Settings]
    remembers: ClassVar[bool] = False  # keep what was reduced per distinct sequence from unit to unit

    @abstractmethod
    def encode(self, examples: Sequence[ExampleT], encoder: TextEncoder, settings: Settings) -> Encoded:
        """Token sequences for the examples."""

    @abstractmethod
    def reduce(self, model: Any, batch: "Batch", settings: Settings) -> "dict[str, torch.Tensor]":
        """One forward pass, reduced on the device to small tensors with one row per sequence."""

    @abstractmethod
    def predict(
        self,
        examples: Sequence[ExampleT],
        encoded: Encoded,
        reduced: "Reduced",
        labels: tuple[str, ...],
        task: "Task",
        language: str,
    ) -> Predictions:
        """Predictions and metrics; ``labels`` are the task's label names in the order of the head's numbers."""

    @abstractmethod
    def targets(
        self, examples: Sequence[ExampleT], encoded: Encoded, labels: tuple[str, ...]
    ) -> dict[str, list[Any]]:
        """Training targets: for each keyword of the model's forward one entry per training row."""

    def training_rows(self, encoded: Encoded) -> list[list[int]]:
        """The sequences of every training row (one each, unless sequences compete with one another)."""
        return [[row] for row in range(len(encoded.sequences))]

    def chance(self, examples: Sequence[ExampleT]) -> float | None:
        """Score of the best constant answer, or of a blind choice (0 to 1); None where there is none."""
        del examples
        return None

    def answers(self, text: str) -> Sequence[str]:
        """The single answers in an item's prediction as text: one, but for kinds that give an item several."""
        return (text,)

    def head_problem(self, checkpoint: "Checkpoint", labels: tuple[str, ...]) -> str | None:
        """Why the checkpoint's head cannot do the task, as half a sentence; None when it can."""
        if not checkpoint.architecture.endswith(self.head_suffix):
            return (
                f"its head is {checkpoint.architecture or 'unnamed'}, {self.name} needs *{self.head_suffix}"
            )
        if not labels:
            return None
        if len(checkpoint.label_names) == 1 or checkpoint.config.get("problem_type") == "regression":
            return "its head was trained for regression (one number, no choice among labels)"
        try:
            match_labels(labels, checkpoint.label_names)
        except UsageError as error:
            return str(error)
        return None

    def head_remarks(self, checkpoint: "Checkpoint", labels: tuple[str, ...]) -> list[str]:
        """What is to be read with the scores because of how the checkpoint's head was trained."""
        if labels and checkpoint.config.get("problem_type") == "multi_label_classification":
            return [
                "the head was trained to say yes or no to every label; the label with the highest output counts, even "
                "where none or several got a yes."
            ]
        return []


@dataclass(frozen=True)
class TrainingSet:
    """English training data of a task kind: a target's own, or an intermediate task's."""

    name: str
    kind: Kind[Any]
    source: Source
    labels: tuple[str, ...] = ()
    licence: str = ""
    citation: str = ""


@dataclass(frozen=True)
class Task:
    """A target task.

    Attributes:
        metrics: names in ``xeval.metrics``; the first one represents the task.
        training: name of the English training set of the target phase; None where none is needed.
        labels: label names in the task's own order; a checkpoint's head may number them differently.
        chance: score of guessing, 0 to 1; ``data`` computes it from the items (most frequent label, one in all).
        overrides: settings that differ from the kind's defaults.
        parallel: items with one id are translations of each other.
    """

    name: str
    kind: Kind[Any]
    group: Group
    languages: tuple[str, ...]
    metrics: tuple[str, ...]
    source: Source
    training: str | None
    labels: tuple[str, ...] = ()
    chance: float | Literal["data"] | None = None
    overrides: Mapping[str, int | str] = field(default_factory=dict)
    parallel: bool = False
    split: str = "test"
    version: int = 1
    licence: str = ""
    citation: str = ""

    def settings(self, changes: Mapping[str, int | str] | None = None) -> Settings:
        """The kind's defaults, the task's own overrides, then those of ``changes`` that the kind knows."""
        settings = {**self.kind.defaults, **self.overrides}
        settings.update({k: v for k, v in (changes or {}).items() if k in settings})
        return settings


# Other names under which label sets are published; the canonical name is the one our readers give.
LABEL_SYNONYMS = {
    "entail": "entailment",
    "contradict": "contradiction",
    "not_paraphrase": "different",
    "not paraphrase": "different",
    "non-paraphrase": "different",
}


def match_labels(task_labels: tuple[str, ...], head_labels: tuple[str, ...]) -> tuple[str, ...]:
    """The task's label names in the order of the head's numbers; extra head labels keep their own name.

    Raises:
        UsageError: the head's names do not tell which number is which label.
    """
    canonical = [LABEL_SYNONYMS.get(name.strip().lower(), name.strip().lower()) for name in head_labels]
    by_lower = {label.lower(): label for label in task_labels}
    names = tuple(by_lower.get(name, original) for name, original in zip(canonical, head_labels, strict=True))
    missing = [label for label in task_labels if label not in names]
    if missing or len(set(names)) != len(names):
        raise UsageError(
            f"its head names its labels {', '.join(head_labels) or 'not at all'}, the task needs "
            f"{', '.join(task_labels)}; set id2label in config.json to the names in the order of training"
        )
    return names


def foreign_labels(predicted: Sequence[str], labels: Sequence[str], task: Task, what: str) -> list[str]:
    """What to say of a head that has labels which the task lacks: a class of its own, another tag scheme, MISC.

    Args:
        labels: the head's label names.
        what: what got a label each: items or words.
    """
    foreign = [label for label in labels if label not in task.labels]
    if not foreign:
        return []
    names = ", ".join(foreign[:6]) + (f" and {len(foreign) - 6} more" if len(foreign) > 6 else "")
    known = set(foreign)
    count = sum(label in known for label in predicted)
    return [
        f"the head has labels that the task lacks ({names}): {count:,} of {len(predicted):,} {what} got one, and none "
        "of them is right."
    ]


def most_frequent_share(values: Sequence[object]) -> float:
    """Share of the most frequent value."""
    _, counts = np.unique(np.asarray([str(value) for value in values]), return_counts=True)
    return float(counts.max() / counts.sum())
