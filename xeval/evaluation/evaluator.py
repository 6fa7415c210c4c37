"""Evaluates the units of one checkpoint."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xeval.checkpoints import Checkpoint
from xeval.digests import value_digest
from xeval.errors import CheckpointError, DataError, XevalError
from xeval.evaluation.options import RunOptions
from xeval.evaluation.plan import Problem, Unit, changed_settings
from xeval.evaluation.progress import RunProgress
from xeval.examples import Example
from xeval.metrics import METRICS
from xeval.metrics.chance import above_chance
from xeval.sources.published import row_problem
from xeval.store import Store, UnitRecord
from xeval.tasks.base import Encoded, Kind, Predictions
from xeval.versions import versions

if TYPE_CHECKING:
    from xeval.encoder.loop import Loop
    from xeval.encoder.tokens import TextEncoder

CACHED_TOKENS = 40_000_000
TRAINING_LANGUAGE = "en"
FEWEST_CONSTANT = 8  # items; of fewer a sound model may well answer all alike


class SharedData:
    """Examples and token sequences, made once per process and shared by all checkpoints."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        import torch

        device, dtype = options.resolve()
        self.device = torch.device(device)
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.remarks: list[Problem] = []
        self._examples: dict[tuple[str, str], list[Example]] = {}
        self._encoded: OrderedDict[str, tuple[int, Encoded]] = OrderedDict()

    def examples(self, unit: Unit) -> list[Example]:
        key = (unit.task.name, unit.language)
        if key not in self._examples:
            examples = unit.task.source.load(self.options.data, unit.language, unit.task.split)
            self.require_same_data(unit)
            differs = row_problem(unit.task.name, unit.task.split, unit.language, len(examples))
            if differs is not None:
                self.remarks.append(
                    Problem(f"{unit.task.name} · {unit.language}", differs, fatal=False, remark=True)
                )
            self._examples[key] = examples[: self.options.limit]
        return self._examples[key]

    def require_same_data(self, unit: Unit) -> None:
        """Raise a :class:`DataError` when the data are no longer those that the unit was planned with."""
        now = unit.task.source.digest(self.options.data, unit.language, unit.task.split)
        if now != unit.inputs["data"]:
            raise DataError(
                f"{unit.task.name} · {unit.language}: the data changed during the run; give the command again."
            )

    def encoded(self, unit: Unit, encoder: "TextEncoder") -> Encoded:
        """Token sequences, made once per tokenizer, task, language and settings; the oldest make room for new ones.

        The task counts, not the files alone: several tasks read the same files in different ways.
        """
        key = value_digest(
            {
                "tokenizer": unit.checkpoint.tokenizer_digest,
                "task": unit.task.name,
                "language": unit.language,
                "data": unit.inputs["data"],
                "settings": unit.settings.stored(),
                "limit": self.options.limit,
            }
        )
        if key not in self._encoded:
            encoded = unit.task.kind.encode(self.examples(unit), encoder, unit.settings)
            self._encoded[key] = (int(encoded.sequences.lengths.sum()), encoded)
            while len(self._encoded) > 1 and sum(n for n, _ in self._encoded.values()) > CACHED_TOKENS:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(key)
        return self._encoded[key][1]


class UnitUnderWay:
    """The :class:`xeval.tasks.base.UnitContext` of a unit."""

    def __init__(self, unit: Unit, evaluator: "Evaluator") -> None:
        self.unit, self.evaluator = unit, evaluator
        self.name, self.task, self.language = unit.name, unit.task, unit.language
        self.settings, self.checkpoint = unit.settings, evaluator.checkpoint
        self.data, self.limit = evaluator.options.data, evaluator.options.limit
        self.device = str(evaluator.shared.device)
        self.encoder, self.loop = evaluator.encoder, evaluator.loop()

    @property
    def examples(self) -> list[Example]:
        return self.evaluator.shared.examples(self.unit)

    @property
    def encoded(self) -> Encoded:
        return self.evaluator.shared.encoded(self.unit, self.encoder)

    @property
    def model(self) -> Any:
        return self.evaluator.model(self.unit)

    @property
    def known(self) -> dict[bytes, dict[str, Any]]:
        return self.evaluator.known(self.unit)

    @property
    def folder(self) -> Path:
        return self.evaluator.store.work(self.unit.fingerprint)

    def started(self, items: int) -> None:
        self.evaluator.progress.started(self.unit, items)

    def advanced(self, items: int) -> None:
        self.evaluator.progress.advanced(items)

    def remark(self, text: str) -> None:
        self.evaluator.shared.remarks.append(Problem(self.name, text, fatal=False, remark=True))


class Evaluator:
    """One checkpoint, loaded when the first unit needs it and freed at the end."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        options: RunOptions,
        shared: SharedData,
        progress: RunProgress,
        store: Store,
    ) -> None:
        self.checkpoint, self.options, self.shared, self.progress = checkpoint, options, shared, progress
        self.store = store
        self._models: dict[tuple[str, ...], Any] = {}
        self._known: dict[str, dict[bytes, dict[str, Any]]] = {}

    def __enter__(self) -> "Evaluator":
        return self

    def __exit__(self, *_: object) -> None:
        self._models.clear()
        if self.shared.device.type == "cuda":
            import torch

            torch.cuda.empty_cache()

    @cached_property
    def encoder(self) -> "TextEncoder":
        """The checkpoint's tokenizer."""
        from xeval.encoder.tokens import TextEncoder

        return TextEncoder(self.checkpoint.load_tokenizer())

    def model(self, unit: Unit) -> Any:
        """The model with the head that the unit's kind needs, cut at the layer that is asked for."""
        kind = unit.task.kind
        key = kind.model_key(unit.settings)
        if key not in self._models:
            self._models.clear()  # one model in memory at a time
            before = self.checkpoint.stamps()
            model = self.checkpoint.load(kind.auto_class, self.shared.dtype)
            self.checkpoint.require_unchanged(unit.inputs["checkpoint"])
            if self.checkpoint.stamps() != before:
                raise CheckpointError(
                    f"{self.checkpoint.path}: was written to while it was loaded; give the command again."
                )
            model = kind.prepare(model, self.checkpoint, unit.settings)
            self._models[key] = model.to(self.shared.device)
        return self._models[key]

    def loop(self) -> "Loop":
        """A forward loop that reports its progress."""
        from xeval.encoder.loop import Loop

        return Loop(
            self.shared.device,
            self.encoder.pad_id,
            self.options.token_budget,
            progress=self.progress.advanced,
        )

    def known(self, unit: Unit) -> dict[bytes, dict[str, Any]]:
        """What units of the same kind and settings have had reduced, by sequence."""
        key = value_digest({"kind": unit.task.kind.name, **unit.settings.stored()})
        return self._known.setdefault(key, {})

    def evaluate(self, unit: Unit) -> tuple[UnitRecord, dict[str, list[Any]]]:
        """Compute a unit: its record and its rows."""
        started = time.perf_counter()
        kind, task = unit.task.kind, unit.task
        examples = self.shared.examples(unit)
        if not examples:
            raise DataError(f"{task.name} · {unit.language}: the data hold no item.")
        underway = UnitUnderWay(unit, self)
        predictions = kind.evaluate(underway)
        metrics = [*task.metrics, *(name for name in predictions.metrics if name not in task.metrics)]
        rows = _rows(unit, examples, predictions, metrics)
        self.checkpoint.require_unchanged(unit.inputs["checkpoint"])
        self.shared.require_same_data(unit)
        chance = kind.chance(examples) if task.chance == "data" else task.chance
        record = UnitRecord(
            task=task.name,
            task_version=task.version,
            kind=kind.name,
            group=task.group,
            language=unit.language,
            main_metric=task.metrics[0],
            metrics=metrics,
            metric_versions=unit.inputs["metric_versions"],
            signatures={name: METRICS[name].signature() for name in task.metrics},
            chance=chance,
            limit=self.options.limit,
            settings=unit.settings.stored(),
            checkpoint_digest=unit.inputs["checkpoint"],
            data_digest=unit.inputs["data"],
            software=software(),
            device=str(self.shared.device),
            dtype=unit.inputs["dtype"],
            seconds=time.perf_counter() - started,
            tokens=underway.loop.tokens,
            remarks=list(predictions.remarks),
            constant=_constant(predictions, kind, task.metrics[0]),
            at_chance=_at_chance(unit, examples, predictions, chance),
            changed=changed_settings(unit),
            **identity_fields(unit),
        )
        return record, rows


def _rows(
    unit: Unit, examples: Sequence[Example], predictions: Predictions, metrics: Sequence[str]
) -> dict[str, list[Any]]:
    """The columns of a unit's file."""
    rows: dict[str, list[Any]] = {
        "item_id": [example.item_id for example in examples],
        "cluster_id": [example.cluster_id for example in examples],
        "hops": [example.hops for example in examples],
        "category": [example.category for example in examples],
        "prediction": predictions.texts,
        **{name: list(values) for name, values in predictions.columns.items()},
    }
    for name in metrics:
        num, den = predictions.metrics[name]
        if not (np.isfinite(num).all() and np.isfinite(den).all()):
            raise XevalError(f"{unit.name}: {name} is not finite; the checkpoint's weights are damaged.")
        rows[f"{name}.num"], rows[f"{name}.den"] = num.tolist(), den.tolist()
    return rows


def software() -> dict[str, str]:
    """Versions that a result was computed with."""
    return versions("torch", "transformers", "tokenizers", "faiss-cpu", "numpy")


def identity_fields(unit: Unit) -> dict[str, Any]:
    lineage = unit.checkpoint.lineage
    return {
        "fingerprint": unit.fingerprint,
        "identity": unit.identity,
        "checkpoint": unit.checkpoint.name,
        "checkpoint_path": str(unit.checkpoint.path.resolve()),
        "lineage": None if lineage is None else lineage.model_dump(mode="json", exclude={"history"}),
        "finished": datetime.now(UTC).isoformat(),
    }


def _constant(predictions: Predictions, kind: Kind[Any], metric: str) -> str | None:
    """The one answer that all items got although not all of them were right, as from a collapsed model; else None."""
    answers = {answer for text in predictions.texts for answer in kind.answers(text)}
    num, den = predictions.metrics[metric]
    right = float(num.sum()) == float(den.sum())
    return (
        answers.pop()
        if len(answers) == 1 and len(predictions.texts) >= FEWEST_CONSTANT and not right
        else None
    )


def _at_chance(
    unit: Unit, examples: Sequence[Example], predictions: Predictions, chance: float | None
) -> bool:
    """Whether a head is not above chance in English, the language of training, so that its transfer says little."""
    if unit.language != TRAINING_LANGUAGE or chance is None or len(examples) < FEWEST_CONSTANT:
        return False
    num, den = predictions.metrics[unit.task.metrics[0]]
    return not above_chance(num, den, [example.cluster_id for example in examples], chance)
