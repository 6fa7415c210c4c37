"""Computes what is left of a plan, and resumes: nothing is computed twice, by however many processes."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xeval.evaluation.evaluator import Evaluator, SharedData, identity_fields
from xeval.evaluation.options import RunOptions
from xeval.evaluation.plan import Plan, Problem, Unit
from xeval.evaluation.progress import RunProgress
from xeval.failures import contained
from xeval.store import Store, UnitRecord

WAIT_SECONDS = 0.2


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


def run_units(planned: Plan, store: Store, options: RunOptions, progress: RunProgress) -> Outcome:
    """Compute what is left of a plan. Whatever goes wrong in a unit or a checkpoint ends that one only."""
    store.prepare()
    problems = list(planned.problems)
    waiting = [unit for unit in planned.units if unit.status != "done"]
    done, reused = 0, len(planned.units) - len(waiting)
    for fingerprint in store.at_work() & {
        unit.fingerprint for unit in planned.units if unit.status == "done"
    }:
        store.end_work(fingerprint)  # a process died between writing the unit and ending its work
    if not waiting:
        return Outcome(0, reused, tuple(problems))
    shared = SharedData(options)
    for group in _by_checkpoint(waiting):
        with Evaluator(group[0].checkpoint, options, shared, progress, store) as evaluator:
            left = group
            while left:
                held_elsewhere = []
                for unit in left:
                    state, reason = _run_unit(unit, store, evaluator, progress)
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
    unit: Unit, store: Store, evaluator: Evaluator, progress: RunProgress
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
            progress.finished(unit, record, _ratio(rows, record.main_metric))
            return "found", ""
        if held:
            record, rows = store.read(next(iter(held.values())))
            record = record.model_copy(update=identity_fields(unit))
        else:
            record, rows = evaluator.evaluate(unit)
        store.write(record, rows)
        store.end_work(unit.fingerprint)
        evaluator.shared.remarks += _remarks(unit, record)
        progress.finished(unit, record, _ratio(rows, record.main_metric))
        return "done", ""
    progress.failed(unit, reasons[0])
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


def _by_checkpoint(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    """Units of one checkpoint together, and in it those that share a loaded model."""
    groups: dict[Path, list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.checkpoint.path, []).append(unit)
    for group in groups.values():
        yield sorted(group, key=lambda unit: unit.task.kind.model_key(unit.settings))


def _ratio(rows: Mapping[str, list[Any]], metric: str) -> float:
    total = sum(rows[f"{metric}.den"])
    return float(sum(rows[f"{metric}.num"]) / total) if total else float("nan")
