"""Score tables derived from a store, for the console and as JSON."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from xeval.display import table
from xeval.errors import StoreError, UsageError, did_you_mean
from xeval.store import Store, UnitRecord, read_table


@dataclass(frozen=True)
class UnitScore:
    """A unit's metrics on the 0-1 scale."""

    record: UnitRecord
    items: int
    scores: dict[str, float]

    @property
    def main(self) -> float:
        """The metric that represents the task."""
        return self.scores[self.record.main_metric]


@dataclass(frozen=True)
class Summary:
    """Scores of a store's current units, and the damaged files among them."""

    units: tuple[UnitScore, ...]
    damaged: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """``{checkpoint: {task: {language: {metric: value}}}}`` and what is damaged."""
        tree: dict[str, Any] = {}
        for unit in self.units:
            languages = tree.setdefault(unit.record.checkpoint, {}).setdefault(unit.record.task, {})
            languages[unit.record.language] = {
                **unit.scores,
                "chance": unit.record.chance,
                "items": unit.items,
            }
        return {"scores": tree, "damaged": list(self.damaged)}


def summarise(root: Path, limit: int | None = None) -> Summary:
    """Score every current unit of a store; raises StoreError when it holds none."""
    entries, damaged = Store(root).current(limit)
    reasons = [unit.reason for unit in damaged]
    units = []
    for path, record in entries:
        try:
            units.append(_score(path, record))
        except StoreError as error:
            reasons.append(str(error))
    if not units and not reasons:
        raise StoreError(f"{root}: the store holds no results yet; fill it with `xeval run`.")
    return Summary(tuple(units), tuple(reasons))


def render(summary: Summary, task: str = "") -> Table:
    """Checkpoints by tasks (mean over languages), or for one task by languages; percentages."""
    names = list(dict.fromkeys(unit.record.task for unit in summary.units))
    if task and task not in names:
        raise UsageError(
            f"the store has no task {task!r}{did_you_mean(task, names)}; it has {', '.join(names)}."
        )
    cells: dict[str, dict[str, list[UnitScore]]] = {}
    for unit in summary.units:
        if task in ("", unit.record.task):
            column = unit.record.language if task else unit.record.task
            cells.setdefault(unit.record.checkpoint, {}).setdefault(column, []).append(unit)
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    rows = [[name, *(_mean(row.get(column)) for column in columns)] for name, row in cells.items()]
    chances = {column: [u for row in cells.values() for u in row.get(column, [])] for column in columns}
    rows.append(["chance", *(_chance(chances[column]) for column in columns)])
    metrics = dict.fromkeys(u.record.main_metric for u in summary.units if task in ("", u.record.task))
    what = f"{task}: {', '.join(metrics)}, %" if task else "main metric, mean over languages, %"
    return table(what, ["checkpoint", *columns], rows, right=1)


def _score(path: Path, record: UnitRecord) -> UnitScore:
    rows = read_table(path)
    scores = {}
    for metric in record.metrics:
        num, den = (sum(rows[f"{metric}.{part}"].to_pylist()) for part in ("num", "den"))
        scores[metric] = num / den if den else float("nan")
    return UnitScore(record, rows.num_rows, scores)


def _mean(units: list[UnitScore] | None) -> str:
    return "" if not units else f"{100 * sum(unit.main for unit in units) / len(units):.1f}"


def _chance(units: list[UnitScore]) -> str:
    known = [unit.record.chance for unit in units if unit.record.chance is not None]
    return f"{100 * sum(known) / len(known):.1f}" if known else "-"
