"""What a task is: one frozen declaration, evaluated by its kind."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from xeval.conditions import Group
from xeval.encoder.batches import Sequences
from xeval.encoder.tokens import TextEncoder
from xeval.errors import UsageError, did_you_mean
from xeval.examples import Example
from xeval.sources import Source

if TYPE_CHECKING:
    import torch

    from xeval.checkpoints import Checkpoint
    from xeval.encoder.loop import Batch, Loop, Reduced
    from xeval.tasks.mining import Work

Changes = Mapping[str, int | str]
"""Settings that differ from the defaults, by name."""
ExampleT = TypeVar("ExampleT", bound=Example)
IGNORED_LABEL = -100
_NO_CHANGES: Changes = MappingProxyType({})


@dataclass(frozen=True)
class Settings:
    """The settings of a kind that can change a number; kinds with more of them extend it.

    A field whose default is None is no choice: the kind finds it in the checkpoint, and while it is None it is neither
    stored nor part of a fingerprint.
    """

    max_length: int = 256

    def changed(self, changes: Changes) -> Self:
        """With those of the changes that this kind has a choice of."""
        choices = {field.name for field in fields(self) if field.default is not None}
        chosen: dict[str, Any] = {name: value for name, value in changes.items() if name in choices}
        return replace(self, **chosen)

    def stored(self) -> dict[str, int | str]:
        """As a unit keeps them and as its fingerprint counts them."""
        return {name: value for name, value in vars(self).items() if value is not None}


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
class Scoring:
    """What predictions are scored as.

    Attributes:
        labels: the task's label names in the order of the head's numbers; empty where the kind has none.
        settings: of the kind.
    """

    task: "Task"
    language: str
    labels: tuple[str, ...]
    settings: Any


class TextContext(Protocol):
    """What embedding texts takes from a run: settings of the kind's class, and a model that ``prepare`` has made."""

    name: str
    settings: Any
    encoder: TextEncoder
    loop: "Loop"

    @property
    def model(self) -> Any: ...
    def remark(self, text: str) -> None:
        """Something to be read with the results."""


class UnitContext(TextContext, Protocol):
    """A unit under way: what its kind takes from the run, made when it is first asked for.

    Attributes:
        data: root of the data; ``limit``: only the first items of them.
        known: what was reduced of distinct sequences before, by the same kind and settings.
        folder: for half-done work; it is removed when the unit is stored.
        started, advanced: are told how many sequences are to come, and how many more are done; the loop tells its own.
    """

    task: "Task"
    language: str
    data: Path | None
    limit: int | None
    checkpoint: "Checkpoint"
    device: str

    @property
    def examples(self) -> Sequence[Any]: ...
    @property
    def encoded(self) -> Encoded: ...
    @property
    def known(self) -> "dict[bytes, dict[str, Any]]": ...
    @property
    def folder(self) -> Path: ...
    def started(self, items: int) -> None: ...
    def advanced(self, items: int) -> None: ...


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

    def resolve(self, changes: Changes, checkpoint: "Checkpoint", overrides: Changes = _NO_CHANGES) -> Any:
        """The settings of a unit: the defaults, a task's overrides, what a run changes, what a checkpoint says.

        Raises:
            UsageError: a change does not fit the checkpoint.
        """
        return self.defaults.changed({**overrides, **changes})

    @abstractmethod
    def encode(self, examples: Sequence[ExampleT], encoder: TextEncoder, settings: Any) -> Encoded:
        """Token sequences for the examples."""

    @abstractmethod
    def reduce(self, model: Any, batch: "Batch", settings: Any) -> "dict[str, torch.Tensor]":
        """One forward pass, reduced on the device to small tensors with one row per sequence."""

    @abstractmethod
    def predict(
        self, examples: Sequence[ExampleT], encoded: Encoded, reduced: "Reduced", scoring: Scoring
    ) -> Predictions:
        """Predictions and metrics."""

    def evaluate(self, unit: UnitContext) -> Predictions:
        """Encode, run and score a unit."""
        from xeval.encoder.fit import fit

        encoded, model, settings = unit.encoded, unit.model, unit.settings
        fitted = fit(
            unit.loop, model, encoded.sequences, lambda batch: self.reduce(model, batch, settings), unit.name
        )
        unit.started(len(encoded.sequences))
        reduced = unit.loop.run(
            fitted.sequences, fitted.reduce, unit.known if self.remembers(settings) else None
        )
        needed = unit.task.labels
        labels = match_labels(needed, unit.checkpoint.label_names) if needed else ()
        scoring = Scoring(unit.task, unit.language, labels, settings)
        predictions = self.predict(unit.examples, encoded, reduced, scoring)
        of_head = self.head_remarks(unit.checkpoint, needed)
        return replace(predictions, remarks=(*fitted.remarks, *of_head, *predictions.remarks))

    def estimate(
        self,
        checkpoint: "Checkpoint",
        task: "Task",
        root: Path | None,
        language: str,
        settings: Any,
        limit: int | None,
    ) -> "Work | None":
        """What a unit takes beside the encoder's passes; None of kinds that take no more."""
        return None

    def model_key(self, settings: Any) -> tuple[str, ...]:
        """Units with equal keys share a loaded model."""
        return (self.auto_class,)

    def prepare(self, model: Any, checkpoint: "Checkpoint", settings: Any) -> Any:
        """Make a loaded model give what ``reduce`` needs."""
        return model

    def remembers(self, settings: Any) -> bool:
        """Whether to keep what was reduced of every distinct sequence from unit to unit."""
        return False

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
    overrides: Changes = field(default_factory=dict)
    parallel: bool = False
    split: str = "test"
    version: int = 1
    licence: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        known = self.kind.defaults.stored()
        if unknown := next((name for name in self.overrides if name not in known), None):
            raise UsageError(
                f"{self.name}: overrides name {unknown!r}{did_you_mean(unknown, known)}; {self.kind.name} has "
                f"{', '.join(known)}."
            )


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


def foreign_labels(predicted: Sequence[str], scoring: Scoring, what: str) -> list[str]:
    """What to say of a head that has labels which the task lacks: a class of its own, another tag scheme, MISC.

    Args:
        what: what got a label each: items or words.
    """
    foreign = [label for label in scoring.labels if label not in scoring.task.labels]
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
