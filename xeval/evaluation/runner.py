"""Plan units, run them, resume. A unit is (checkpoint, task, language); its fingerprint decides what is left to do."""

import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from xeval.checkpoints import Checkpoint, Discovery
from xeval.console.display import Steps
from xeval.digests import value_digest
from xeval.encoder.tokens import marks_inner_words
from xeval.errors import CheckpointError, DataError, UsageError, XevalError, did_you_mean
from xeval.examples import Example
from xeval.failures import contained
from xeval.metrics import METRICS
from xeval.metrics.chance import above_chance
from xeval.sources.published import row_problem
from xeval.store import Store, UnitRecord
from xeval.tasks import Task, all_training_sets, is_built_in
from xeval.tasks.base import Encoded, Kind, Predictions, Settings, match_labels
from xeval.tasks.embedding import Embedding, describe_recipe
from xeval.tasks.mining import Mining, Work
from xeval.tasks.user_file import RowFile
from xeval.versions import versions

if TYPE_CHECKING:
    from xeval.encoder.batches import Sequences
    from xeval.encoder.loop import Loop, Reduced

Status = Literal["done", "copy", "todo"]
CACHED_TOKENS = 40_000_000
LARGE_UNIT = 50_000  # sequences; a unit as large says how far it is, where there is no live display
WAIT_SECONDS = 0.2
NAMES_SHOWN = 10  # of what has one and the same reason; --json lists them all
TRAINING_LANGUAGE = "en"
FEWEST_CONSTANT = 8  # items; of fewer a sound model may well answer all alike
GPU_DRIVERS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True)
class RunOptions:
    """What a run may change.

    Attributes:
        data: root of the published data sets; None leaves the built-in ones.
        settings: changes to the tasks' settings (max_length, layer, ...); kinds take what they know.
        limit: only the first items of every unit; such results are kept apart from full ones.
        device: ``cpu``, ``cuda``, ``cuda:1``; empty takes a GPU where there is one.
        dtype: ``float32`` or ``bfloat16``; empty takes bfloat16 on a GPU and float32 on a CPU.
        token_budget: padded tokens per batch; 0 takes the device's default. It changes no score.
    """

    data: Path | None = None
    settings: Mapping[str, int | str] = field(default_factory=dict)
    limit: int | None = None
    device: str = ""
    dtype: str = ""
    token_budget: int = 0

    def resolve(self) -> tuple[str, str]:
        """Names of the device and the dtype of the run.

        PyTorch is asked only where a GPU can be: a plan on a machine without one needs no slow import.
        """
        if self.dtype not in ("", "float32", "bfloat16"):
            raise UsageError(f"--dtype {self.dtype}: use float32 or bfloat16.")
        if not re.fullmatch(r"|cpu|cuda(:\d+)?", self.device):
            raise UsageError(f"--device {self.device}: no such device; use cpu, cuda or cuda:N.")
        if self.device == "cpu" or not any(Path(path).exists() for path in GPU_DRIVERS):
            if self.device.startswith("cuda"):
                raise UsageError(f"--device {self.device}: this machine has no usable GPU.")
            return "cpu", self.dtype or "float32"
        import torch

        from xeval.encoder.loop import best_device, default_dtype

        device = torch.device(self.device) if self.device else best_device()
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise UsageError(f"--device {self.device}: this machine has no such GPU.")
        return str(device), self.dtype or str(default_dtype(device)).removeprefix("torch.")


@dataclass(frozen=True)
class Unit:
    """One piece of evaluation. ``inputs`` is what the fingerprint is the digest of."""

    checkpoint: Checkpoint
    task: Task
    language: str
    settings: Settings
    inputs: Mapping[str, Any]
    fingerprint: str
    identity: str
    status: Status

    @property
    def name(self) -> str:
        """For people: checkpoint, task and language."""
        return f"{self.checkpoint.name} · {self.task.name} · {self.language}"


@dataclass(frozen=True)
class Problem:
    """Something that could not be planned or run: what, why, and whether it makes the run fail.

    ``remark`` marks what was run and is to be read with the scores, ``skipped`` what is left out for a
    reason that a lineage card, another task, the folder's layout or data that are not there give.
    """

    subject: str
    reason: str
    fatal: bool = True
    remark: bool = False
    skipped: bool = False


def problem_lines(problems: Sequence[Problem]) -> Iterator[tuple[bool, str]]:
    """Problems as lines, those of one reason in one: whether it is a failure, and the text. Failures come first."""
    subjects: dict[tuple[str, str], list[str]] = {}
    for problem in sorted(problems, key=lambda problem: (not problem.fatal, problem.remark)):
        lead = "" if problem.fatal else "note" if problem.remark else "left out"
        subjects.setdefault((lead, problem.reason), []).append(problem.subject)
    for (lead, reason), names in subjects.items():
        distinct = list(dict.fromkeys(names))
        listed = ", ".join(distinct[:NAMES_SHOWN])
        if more := len(distinct) - NAMES_SHOWN:
            listed += f" and {more} more" if more > 0 else ""
        parts = [part for part in (lead, "" if listed in reason else listed, reason) if part]
        yield not lead, ": ".join(parts)


@dataclass(frozen=True)
class Plan:
    """The units of a run, in the order they are run, and what is not among them."""

    units: tuple[Unit, ...]
    problems: tuple[Problem, ...]

    def count(self, status: Status) -> int:
        """Number of units with a status."""
        return sum(unit.status == status for unit in self.units)

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for can be run."""
        return not any(problem.fatal for problem in self.problems)


class Watcher(Protocol):
    """Is told how a run goes on."""

    def started(self, unit: Unit, items: int) -> None: ...
    def advanced(self, items: int) -> None: ...
    def finished(self, unit: Unit, record: UnitRecord, score: float) -> None: ...
    def failed(self, unit: Unit, reason: str) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    done: int
    reused: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not any(problem.fatal for problem in self.problems)


def suited_tasks(checkpoint: Checkpoint, tasks: Iterable[Task]) -> tuple[list[Task], dict[str, str]]:
    """Tasks that a checkpoint can do, and for the others the reason why it cannot.

    A lineage card decides by its phase and its training set; without one the head and its label names do.
    """
    suited, reasons = [], {}
    for task in tasks:
        try:
            reason = _elsewhere(checkpoint, task) or task.kind.head_problem(checkpoint, task.labels)
        except XevalError as error:
            reason = str(error)
        if reason is None:
            suited.append(task)
        else:
            reasons[task.name] = reason
    return suited, reasons


def _elsewhere(checkpoint: Checkpoint, task: Task) -> str | None:
    """Why a checkpoint is not meant for a task, by its card or its phase."""
    lineage = checkpoint.lineage
    if task.training is not None:
        if lineage is not None and lineage.target != task.training:
            trained = lineage.target or f"no target task ({lineage.phase} phase)"
            unknown = lineage.target is not None and lineage.target not in all_training_sets()
            hint = did_you_mean(lineage.target or "", all_training_sets()) if unknown else ""
            return f"its card says that it is trained on {trained}{hint}, the task needs {task.training}"
    elif not task.kind.head_suffix and lineage is not None and lineage.phase == "target":
        return "retrieval runs on base and intermediate checkpoints"
    return None


def plan(
    checkpoints: Sequence[Checkpoint] | Discovery,
    tasks: Sequence[Task],
    store: Store,
    options: RunOptions,
    *,
    languages: Sequence[str] | None = None,
    named: bool = True,
) -> Plan:
    """Which units there are, which of them the store holds, and which checkpoints are left out, and why.

    Args:
        checkpoints: to evaluate, or what a folder holds; its folders that are left out or cannot be read are told then.
        languages: restricts every task to these; None takes all of a task's languages.
        named: the user named the tasks, so that a task that fits no checkpoint or lacks its data, and a checkpoint that
            can do none of them, are failures.
    """
    _, dtype = options.resolve()
    problems: list[Problem] = []
    if isinstance(checkpoints, Discovery):
        problems += [Problem(name, reason) for name, reason in checkpoints.unreadable.items()]
        problems += [
            Problem(name, reason, fatal=False, skipped=True) for name, reason in checkpoints.left_out.items()
        ]
        checkpoints = checkpoints.checkpoints
    digests = _data_digests(tasks, store, options, languages, named, problems)
    finished = store.finished(options.limit)
    units: list[Unit] = []
    reasons: dict[str, dict[str, str]] = {}
    for checkpoint in checkpoints:

        def tell(reason: str, subject: str = checkpoint.name) -> None:
            problems.append(Problem(subject, reason))

        with contained(store.root, checkpoint.name, tell):
            checkpoint.check()
            suited, reasons[checkpoint.name] = suited_tasks(checkpoint, tasks)
            if not suited:
                continue
            checkpoint.require_own_card()
            identity = checkpoint.identity
            for task in suited:
                try:
                    settings = _settings(task, options, checkpoint)
                except XevalError as error:
                    problems.append(Problem(f"{checkpoint.name} · {task.name}", str(error)))
                    continue
                for language in _languages_of(task, languages):
                    if (task.name, language) not in digests:
                        continue
                    inputs = {
                        "checkpoint": checkpoint.digest,
                        "task": task.name,
                        "task_version": task.version,
                        "metrics": list(task.metrics),
                        "metric_versions": {name: METRICS[name].version for name in task.metrics},
                        "language": language,
                        "data": digests[task.name, language],
                        "settings": settings,
                        "dtype": dtype,
                        "limit": options.limit,
                        # Units of such tasks stored before may hold the predictions of another task on the same files.
                        **({} if is_built_in(task) or isinstance(task.source, RowFile) else {"reading": 2}),
                    }
                    if (
                        checkpoint.architecture.endswith("ForSequenceClassification")
                        and not checkpoint.padding_agrees
                    ):
                        inputs["padding"] = 2  # scores stored before depended on the batch
                    fingerprint = value_digest(inputs)
                    held = store.sound(finished.get(fingerprint, {}))
                    status: Status = "done" if identity in held else "copy" if held else "todo"
                    units.append(
                        Unit(checkpoint, task, language, settings, inputs, fingerprint, identity, status)
                    )
    problems += _left_out(checkpoints, tasks, reasons, named)
    return Plan(tuple(units), tuple(problems))


def _data_digests(
    tasks: Sequence[Task],
    store: Store,
    options: RunOptions,
    languages: Sequence[str] | None,
    named: bool,
    problems: list[Problem],
) -> dict[tuple[str, str], str]:
    """Digests of the data of every task and language that has some; adds to ``problems`` what is missing."""
    digests: dict[tuple[str, str], str] = {}
    for task in tasks:
        missing: dict[str, str] = {}
        for language in _languages_of(task, languages):
            with contained(store.root, f"{task.name} {language}", partial(missing.__setitem__, language)):
                digests[task.name, language] = task.source.digest(options.data, language, task.split)
        if missing:
            first = next(iter(missing.values()))
            more = f" (no data in {len(missing)} languages: {' '.join(missing)})" if len(missing) > 1 else ""
            # Data for some of a task's languages are enough, unless the user asked for just these languages.
            unmet = languages is not None or len(missing) == len(task.languages)
            fatal = named and unmet
            problems.append(Problem(task.name, first + more, fatal=fatal, skipped=not fatal))
    return digests


def _left_out(
    checkpoints: Sequence[Checkpoint],
    tasks: Sequence[Task],
    reasons: Mapping[str, Mapping[str, str]],
    named: bool,
) -> Iterator[Problem]:
    """The checkpoints that are sound and cannot do a task, with the reason.

    One that can do none of the named tasks fails the run, unless its card says that it is made for something else: so
    the whole grid of a study can be evaluated on one task.
    """
    for checkpoint in checkpoints:
        why = reasons.get(checkpoint.name, {})
        able = len(why) < len(tasks)
        if not why or (able and not named):
            continue
        fatal = named and not able and not _made_for_other(checkpoint, tasks)
        for reason in dict.fromkeys(why.values()):
            names = ", ".join(name for name, given in why.items() if given == reason)
            yield Problem(checkpoint.name, f"cannot do {names}: {reason}", fatal=fatal, skipped=not fatal)
    if named:
        for task in tasks:
            if all(task.name in why for why in reasons.values()):
                example = next((why[task.name] for why in reasons.values()), "no usable checkpoint")
                yield Problem(task.name, f"no checkpoint can do {task.name} (for example: {example}).")


def _made_for_other(checkpoint: Checkpoint, tasks: Sequence[Task]) -> bool:
    """Whether a checkpoint is of another phase, or by its card trained on a set that none of the tasks needs.

    Without a card a plain encoder waits for a target phase. A card written by hand may misspell the set, so only the
    name of a known one tells; training writes no wrong one.
    """
    lineage = checkpoint.lineage
    if lineage is None:
        return "For" not in checkpoint.architecture
    if lineage.phase != "target":
        return True
    known = lineage.target in all_training_sets() or bool(lineage.data)
    return known and lineage.target not in {task.training for task in tasks}


def mining_work(planned: Plan, options: RunOptions) -> list[tuple[Unit, Work]]:
    """What the mining units that are left to compute will take, estimated one by one."""
    return [
        (
            unit,
            unit.task.kind.plan_work(
                unit.checkpoint, unit.task, options.data, unit.language, unit.settings, options.limit
            ),
        )
        for unit in planned.units
        if unit.status == "todo" and isinstance(unit.task.kind, Mining)
    ]


Stored = Mapping[tuple[str, str, str], UnitRecord]
"""Records by task, language and checkpoint name."""


def stored(store: Store, limit: int | None) -> Stored:
    """The records that :func:`explain` compares with, read once."""
    good, _ = store.records(limit) if store.root.is_dir() else ([], [])
    return {(record.task, record.language, record.checkpoint): record for _, record in good}


def explain(unit: Unit, known: Stored) -> str:
    """Why a unit is to be computed: the inputs in which it differs from a stored one of the same names."""
    if unit.status != "todo":
        return "stored" if unit.status == "done" else "stored under another name; will be copied"
    record = known.get((unit.task.name, unit.language, unit.checkpoint.name))
    if record is None:
        return "never computed for this checkpoint name, task and language, or the stored file is damaged"
    then = {
        "checkpoint": record.checkpoint_digest,
        "task_version": record.task_version,
        "metrics": list(record.metric_versions) or record.metrics,
        "metric_versions": record.metric_versions,
        "data": record.data_digest,
        "settings": record.settings,
        "dtype": record.dtype,
    }
    words = {
        "checkpoint": "weights, tokenizer or config",
        "data": "the data files",
        "metric_versions": "the definition of a metric",
    }
    changed = [words.get(key, key) for key, value in then.items() if unit.inputs[key] != value]
    return "changed since: " + ", ".join(changed) if changed else "the stored file is damaged"


def run(to_run: Plan, store: Store, options: RunOptions, watcher: Watcher) -> Outcome:
    """Compute what is left of a plan. Whatever goes wrong in a unit or a checkpoint ends that one only."""
    store.prepare()
    problems = list(to_run.problems)
    waiting = [unit for unit in to_run.units if unit.status != "done"]
    done, reused = 0, len(to_run.units) - len(waiting)
    for fingerprint in store.at_work() & {unit.fingerprint for unit in to_run.units if unit.status == "done"}:
        store.end_work(fingerprint)  # a process died between writing the unit and ending its work
    if not waiting:
        return Outcome(0, reused, tuple(problems))
    shared = _Shared(options)
    for group in _by_checkpoint(waiting):
        with _Evaluator(group[0].checkpoint, options, shared, watcher, store) as evaluator:
            left = group
            while left:
                held_elsewhere = []
                for unit in left:
                    state, reason = _run_unit(unit, store, evaluator, watcher)
                    if state == "held":
                        held_elsewhere.append(unit)
                    elif state == "failed":
                        problems.append(Problem(unit.name, reason))
                    done += state == "done"
                    reused += state == "found"
                left = held_elsewhere
                if left:  # another process computes these: wait for its result, or take over when it dies
                    time.sleep(WAIT_SECONDS)
    problems.extend(shared.remarks)
    return Outcome(done, reused, tuple(problems))


def _run_unit(
    unit: Unit, store: Store, evaluator: "_Evaluator", watcher: Watcher
) -> tuple[Literal["done", "found", "held", "failed"], str]:
    """Compute a unit, or find that another process has, holds it, or that it fails, then with the reason."""
    reasons: list[str] = []
    with contained(store.root, unit.name, reasons.append), store.claim(unit.fingerprint) as mine:
        if not mine:
            return "held", ""
        folder = store.unit_path(
            unit.task.name, unit.language, unit.fingerprint, unit.identity, unit.inputs["limit"]
        ).parent
        held = store.finished_at(folder, unit.fingerprint)
        if unit.identity in held:
            record, rows = store.read(held[unit.identity])
            watcher.finished(unit, record, _ratio(rows, record.main_metric))
            return "found", ""
        if held:
            record, rows = store.read(next(iter(held.values())))
            record = record.model_copy(update=_identity_fields(unit))
        else:
            record, rows = evaluator.evaluate(unit)
        store.write(record, rows)
        store.end_work(unit.fingerprint)
        evaluator.shared.remarks += _remarks(unit, record)
        watcher.finished(unit, record, _ratio(rows, record.main_metric))
        return "done", ""
    watcher.failed(unit, reasons[0])
    return "failed", reasons[0]


def _remarks(unit: Unit, record: UnitRecord) -> list[Problem]:
    """What is to be read with a unit's scores."""
    told = list(record.remarks)
    if record.constant is not None:
        told.append(f"collapsed: all items got the one answer {record.constant!r}, its score says nothing.")
    elif trained := (record.lineage or {}).get("collapsed"):
        told.append(f"collapsed in training: {trained}")
    elif record.at_chance:
        told.append(
            "not above chance in English: the head may have learnt nothing (one-sided 95 % interval)."
        )
    return [Problem(unit.name, text, fatal=False, remark=True) for text in told]


class _Shared:
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

    def encoded(self, unit: Unit, evaluator: "_Evaluator") -> Encoded:
        """Token sequences, made once per tokenizer, task, language and settings; the oldest make room for new ones.

        The task counts, not the files alone: several tasks read the same files in different ways.
        """
        key = value_digest(
            {
                "tokenizer": unit.checkpoint.tokenizer_digest,
                "task": unit.task.name,
                "language": unit.language,
                "data": unit.inputs["data"],
                "settings": unit.settings,
                "limit": self.options.limit,
            }
        )
        if key not in self._encoded:
            encoded = unit.task.kind.encode(self.examples(unit), evaluator.encoder, unit.settings)
            self._encoded[key] = (int(encoded.sequences.lengths.sum()), encoded)
            while len(self._encoded) > 1 and sum(n for n, _ in self._encoded.values()) > CACHED_TOKENS:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(key)
        return self._encoded[key][1]


class _Evaluator:
    """One checkpoint, loaded when the first unit needs it and freed at the end."""

    def __init__(
        self, checkpoint: Checkpoint, options: RunOptions, shared: _Shared, watcher: Watcher, store: Store
    ) -> None:
        self.checkpoint, self.options, self.shared, self.watcher = checkpoint, options, shared, watcher
        self.store = store
        self._models: dict[tuple[int | str | None, ...], Any] = {}
        self._known: dict[str, dict[bytes, dict[str, Any]]] = {}
        self._encoder: Any = None

    def __enter__(self) -> "_Evaluator":
        return self

    def __exit__(self, *_: object) -> None:
        self._models.clear()
        if self.shared.device.type == "cuda":
            import torch

            torch.cuda.empty_cache()

    @property
    def encoder(self) -> Any:
        """The checkpoint's tokenizer."""
        if self._encoder is None:
            from xeval.encoder.tokens import TextEncoder

            self._encoder = TextEncoder(self.checkpoint.load_tokenizer())
        return self._encoder

    def model(self, unit: Unit) -> Any:
        """The model with the head that the unit's kind needs, cut at the layer that is asked for."""
        kind, settings = unit.task.kind, unit.settings
        key = (kind.auto_class, *(settings.get(name) for name in ("layer", "layers", "pooling", "modules")))
        if key not in self._models:
            self._models.clear()  # one model in memory at a time
            before = self.checkpoint.stamps()
            model = self.checkpoint.load(kind.auto_class, self.shared.dtype)
            self.checkpoint.require_unchanged(unit.inputs["checkpoint"])
            if self.checkpoint.stamps() != before:
                raise CheckpointError(
                    f"{self.checkpoint.path}: was written to while it was loaded; give the command again."
                )
            if isinstance(kind, Embedding):
                model = kind.prepare(model, self.checkpoint, settings)
            self._models[key] = model.to(self.shared.device)
        return self._models[key]

    def loop(self) -> "Loop":
        """A forward loop that reports its progress."""
        from xeval.encoder.loop import Loop

        return Loop(
            self.shared.device, self.encoder.pad_id, self.options.token_budget, progress=self.watcher.advanced
        )

    def evaluate(self, unit: Unit) -> tuple[UnitRecord, dict[str, list[Any]]]:
        """Compute a unit: its record and its rows."""
        started = time.perf_counter()
        kind, task = unit.task.kind, unit.task
        examples = self.shared.examples(unit)
        if not examples:
            raise DataError(f"{task.name} · {unit.language}: the data hold no item.")
        loop = self.loop()
        predictions = (
            self._mine(unit, kind, loop) if isinstance(kind, Mining) else self._predict(unit, examples, loop)
        )
        rows: dict[str, list[Any]] = {
            "item_id": [example.item_id for example in examples],
            "cluster_id": [example.cluster_id for example in examples],
            "hops": [example.hops for example in examples],
            "category": [example.category for example in examples],
            "prediction": predictions.texts,
            **{name: list(values) for name, values in predictions.columns.items()},
        }
        metrics = [*task.metrics, *(name for name in predictions.metrics if name not in task.metrics)]
        for name in metrics:
            num, den = predictions.metrics[name]
            if not (np.isfinite(num).all() and np.isfinite(den).all()):
                raise XevalError(f"{unit.name}: {name} is not finite; the checkpoint's weights are damaged.")
            rows[f"{name}.num"], rows[f"{name}.den"] = num.tolist(), den.tolist()
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
            settings=unit.settings,
            checkpoint_digest=unit.inputs["checkpoint"],
            data_digest=unit.inputs["data"],
            software=software(),
            device=str(self.shared.device),
            dtype=unit.inputs["dtype"],
            seconds=time.perf_counter() - started,
            tokens=loop.tokens,
            remarks=list(predictions.remarks),
            constant=_constant(predictions, kind, task.metrics[0]),
            at_chance=_at_chance(unit, examples, predictions, chance),
            changed=_changed(unit),
            **_identity_fields(unit),
        )
        return record, rows

    def _predict(self, unit: Unit, examples: list[Example], loop: "Loop") -> Predictions:
        from xeval.encoder.fit import fit

        kind, task = unit.task.kind, unit.task
        encoded, model = self.shared.encoded(unit, self), self.model(unit)
        fitted = fit(
            loop,
            model,
            encoded.sequences,
            lambda batch: kind.reduce(model, batch, unit.settings),
            unit.name,
        )
        self.watcher.started(unit, len(encoded.sequences))
        # Every layer of every sentence of a whole benchmark would take gigabytes.
        remembers = kind.remembers and unit.settings.get("layers") != "all"
        memory = value_digest({"kind": kind.name, **unit.settings})
        known = self._known.setdefault(memory, {}) if remembers else None
        reduced: Reduced = loop.run(fitted.sequences, fitted.reduce, known)
        labels = match_labels(task.labels, self.checkpoint.label_names) if task.labels else ()
        predictions = kind.predict(examples, encoded, reduced, labels, task, unit.language)
        of_head = kind.head_remarks(self.checkpoint, task.labels)
        return replace(predictions, remarks=(*fitted.remarks, *of_head, *predictions.remarks))

    def _mine(self, unit: Unit, kind: Mining, loop: "Loop") -> Predictions:
        """Embed both splits into files below the store, block by block, and mine them."""
        from xeval.encoder.fit import fit
        from xeval.encoder.pooling import embed_to_file, embedding_width, embeddings

        model, data = self.model(unit), self.options.data
        sentences = kind.sentences(unit.task, data, unit.language, self.options.limit)
        searched = max(
            1, sentences // 20
        )  # of the progress, for the search; the encoder takes most of the time
        self.watcher.started(unit, sentences + searched)
        shown = 0

        def sequences(texts: Sequence[str]) -> "Sequences":
            made = kind.sequences(texts, self.encoder, unit.settings)
            return fit(
                loop, model, made, lambda batch: {"embedding": embeddings(model, batch)}, unit.name
            ).sequences

        def embed(texts: Sequence[str], path: Path) -> Any:
            return embed_to_file(texts, path, embedding_width(model), sequences, loop, model, tell)

        def tell(text: str) -> None:
            self.shared.remarks.append(Problem(unit.name, text, fatal=False, remark=True))

        def progress(share: float, left: float) -> None:
            del left  # the watcher judges it from the whole
            nonlocal shown
            now = int(share * searched)
            self.watcher.advanced(now - shown)
            shown = now

        return kind.evaluate(
            unit.task,
            data,
            unit.language,
            unit.settings,
            self.options.limit,
            embed,
            self.store.work(unit.fingerprint),
            progress,
            str(self.shared.device),
            tell,
        )


def software() -> dict[str, str]:
    """Versions that a result was computed with."""
    return versions("torch", "transformers", "tokenizers", "faiss-cpu", "numpy")


def _settings(task: Task, options: RunOptions, checkpoint: Checkpoint) -> Settings:
    """The task's settings with the run's changes; where they start from a recipe, written out."""
    if isinstance(task.kind, Embedding):
        return task.kind.resolve({**task.overrides, **options.settings}, checkpoint)
    settings = task.settings(options.settings)
    # Labels are read where training put them, or the scores of Chinese, Japanese and Thai are of nothing.
    trained = {} if checkpoint.lineage is None else checkpoint.lineage.recipe
    if "label_piece" in settings and (piece := trained.get("label_piece")):
        if options.settings.get("label_piece", piece) != piece:
            raise UsageError(
                f"--label-piece {options.settings['label_piece']}: {checkpoint.name} was trained with {piece}."
            )
        settings["label_piece"] = piece
    if "label_piece" in settings and marks_inner_words(checkpoint.tokenizer_folder):
        settings["words"] = "as in running text"
    return settings


def _changed(unit: Unit) -> dict[str, Any]:
    """The unit's settings that the run's options made other than they would be without any."""
    own = _settings(unit.task, RunOptions(), unit.checkpoint)
    return {name: value for name, value in unit.settings.items() if own.get(name) != value}


def _identity_fields(unit: Unit) -> dict[str, Any]:
    lineage = unit.checkpoint.lineage
    return {
        "fingerprint": unit.fingerprint,
        "identity": unit.identity,
        "checkpoint": unit.checkpoint.name,
        "checkpoint_path": str(unit.checkpoint.path.resolve()),
        "lineage": None if lineage is None else lineage.model_dump(mode="json", exclude={"history"}),
        "finished": datetime.now(UTC).isoformat(),
    }


def _languages_of(task: Task, languages: Sequence[str] | None) -> list[str]:
    return [code for code in task.languages if languages is None or code in languages]


def _by_checkpoint(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    """Units of one checkpoint together, and in it those of one head together."""
    groups: dict[Path, list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.checkpoint.path, []).append(unit)
    for group in groups.values():
        yield sorted(group, key=lambda unit: (unit.task.kind.auto_class, str(unit.settings.get("layer"))))


def _ratio(rows: Mapping[str, list[Any]], metric: str) -> float:
    total = sum(rows[f"{metric}.den"])
    return float(sum(rows[f"{metric}.num"]) / total) if total else float("nan")


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


class StepWatcher:
    """Shows a run as steps, one a unit."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._items = self._seen = 0
        self._name = ""
        self._begun = 0.0
        self._recipes: set[tuple[str, str]] = set()
        steps.now("loading")

    def started(self, unit: Unit, items: int) -> None:
        """A unit of so many sequences is under way."""
        self._items, self._seen = max(1, items), 0
        self._name, self._begun = unit.name, time.monotonic()
        self._steps.now(unit.name)

    def advanced(self, items: int) -> None:
        """So many sequences of the unit are done."""
        tenth = 10 * self._seen // self._items
        self._seen += items
        self._steps.advance(items / self._items)
        done = f"{self._name}: {self._seen:,} of {self._items:,} sequences"
        rate = self._seen / max(time.monotonic() - self._begun, 1e-9)
        self._steps.now(f"{done}, {rate:,.0f} a second")
        if self._items >= LARGE_UNIT and 10 * self._seen // self._items > tenth:
            self._steps.say(done)

    def finished(self, unit: Unit, record: UnitRecord, score: float) -> None:
        """A unit is stored."""
        self._advance_to_end()
        chance = "" if record.chance is None else f" (chance {100 * record.chance:.1f})"
        recipe = describe_recipe(record.settings)
        how = f" [{recipe}]" if recipe and (unit.task.name, recipe) not in self._recipes else ""
        self._recipes.add((unit.task.name, recipe))
        collapsed = ", COLLAPSED" if record.constant is not None else ""
        shown = "-, nothing to score" if np.isnan(score) else f"{100 * score:.1f}"
        self._steps.finished(f"{unit.name}: {record.main_metric} {shown}{chance}{collapsed}{how}")

    def failed(self, unit: Unit, reason: str) -> None:
        """A unit failed."""
        self._advance_to_end()
        self._steps.failed(f"{unit.name}: FAILED: {reason.removeprefix(f'{unit.name}: ')}")

    def _advance_to_end(self) -> None:
        self._steps.advance(1 - self._seen / self._items if self._items else 1)
        self._items = self._seen = 0
