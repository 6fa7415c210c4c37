"""Which units a run has. A unit is (checkpoint, task, language); its fingerprint decides what is left to do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from xeval.checkpoints import Checkpoint, Discovery
from xeval.digests import value_digest
from xeval.errors import XevalError, did_you_mean
from xeval.evaluation.options import RunOptions
from xeval.failures import contained
from xeval.metrics import METRICS
from xeval.store import Store, UnitRecord
from xeval.tasks import Task, all_training_sets, is_built_in
from xeval.tasks.base import Settings
from xeval.tasks.user_file import RowFile

if TYPE_CHECKING:
    from xeval.tasks.mining import Work

Status = Literal["done", "copy", "todo"]
NAMES_SHOWN = 10  # of what has one and the same reason; --json lists them all


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


def plan_units(
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
                    settings = task.kind.resolve(options.settings, checkpoint, task.overrides)
                except XevalError as error:
                    problems.append(Problem(f"{checkpoint.name} · {task.name}", str(error)))
                    continue
                for language in _languages_of(task, languages):
                    if data := digests.get((task.name, language)):
                        inputs = _inputs(
                            checkpoint, task, language, data, settings.stored(), dtype, options.limit
                        )
                        fingerprint = value_digest(inputs)
                        held = store.sound(finished.get(fingerprint, {}))
                        status: Status = "done" if identity in held else "copy" if held else "todo"
                        units.append(
                            Unit(checkpoint, task, language, settings, inputs, fingerprint, identity, status)
                        )
    problems += _left_out(checkpoints, tasks, reasons, named)
    return Plan(tuple(units), tuple(problems))


def _inputs(
    checkpoint: Checkpoint,
    task: Task,
    language: str,
    data: str,
    settings: Mapping[str, int | str],
    dtype: str,
    limit: int | None,
) -> dict[str, Any]:
    """Everything that can change a unit's rows."""
    inputs: dict[str, Any] = {
        "checkpoint": checkpoint.digest,
        "task": task.name,
        "task_version": task.version,
        "metrics": list(task.metrics),
        "metric_versions": {name: METRICS[name].version for name in task.metrics},
        "language": language,
        "data": data,
        "settings": settings,
        "dtype": dtype,
        "limit": limit,
    }
    if not (is_built_in(task) or isinstance(task.source, RowFile)):
        inputs["reading"] = (
            2  # stored before, they may hold the predictions of another task on the same files
        )
    if checkpoint.architecture.endswith("ForSequenceClassification") and not checkpoint.padding_agrees:
        inputs["padding"] = 2  # scores stored before depended on the batch
    return inputs


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


def estimated_work(planned: Plan, options: RunOptions) -> "list[tuple[Unit, Work]]":
    """The units left to compute that take more than the encoder's passes, and what they take."""
    estimates = []
    for unit in planned.units:
        if unit.status == "todo":
            where = options.data, unit.language, unit.settings, options.limit
            work = unit.task.kind.estimate(unit.checkpoint, unit.task, *where)
            if work is not None:
                estimates.append((unit, work))
    return estimates


def changed_settings(unit: Unit) -> dict[str, int | str]:
    """The unit's settings that the run's options made other than they would be without any."""
    unchanged = unit.task.kind.resolve({}, unit.checkpoint, unit.task.overrides).stored()
    return {name: value for name, value in unit.settings.stored().items() if unchanged.get(name) != value}


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


def _languages_of(task: Task, languages: Sequence[str] | None) -> list[str]:
    return [code for code in task.languages if languages is None or code in languages]
