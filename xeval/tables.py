"""Score tables derived from a store, for the console and as JSON."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from xeval.display import sparkline, table
from xeval.errors import StoreError, UsageError, did_you_mean
from xeval.store import Store, UnitRecord, read_table
from xeval.tasks.embedding import describe_recipe


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

    @property
    def by_layer(self) -> dict[int, float]:
        """The main metric of every layer; empty without a sweep."""
        start = f"{self.record.main_metric}@"
        return {int(name.removeprefix(start)): v for name, v in self.scores.items() if name.startswith(start)}


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
                "settings": unit.record.settings,
                "signatures": unit.record.signatures,
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
    if task and len(columns) > len(rows):  # what there is more of goes downwards, so that a line fits
        header = ["language", *(row[0] for row in rows)]
        return table(
            what, header, [list(line) for line in zip(columns, *(r[1:] for r in rows), strict=True)], right=1
        )
    return table(what, ["checkpoint", *columns], rows, right=1)


def signatures(summary: Summary, task: str = "") -> list[str]:
    """What has to be equal for the printed scores to be comparable: for each task its main metric's signature, and
    for retrieval the recipe; a task whose units differ has several lines."""
    lines: dict[str, None] = {}
    for record in (unit.record for unit in summary.units if task in ("", unit.record.task)):
        if signature := record.signatures.get(record.main_metric):
            recipe = describe_recipe(record.settings)
            lines[f"{record.task}: {signature}" + (f" [{recipe}]" if recipe else "")] = None
    return list(lines)


def render_layers(summary: Summary, task: str = "") -> Table:
    """A curve per checkpoint, task and language of a layer sweep: from layer 0 on, lowest to highest of the row."""
    rows = []
    for unit in summary.units:
        if not unit.by_layer or task not in ("", unit.record.task):
            continue
        values = [unit.by_layer[layer] for layer in sorted(unit.by_layer)]
        best = max(unit.by_layer, key=lambda layer: unit.by_layer[layer])
        own = int(unit.record.settings["layer"])
        rows.append(
            [
                unit.record.checkpoint,
                unit.record.task,
                unit.record.language,
                sparkline(values),
                f"{best}: {100 * unit.by_layer[best]:.1f}",
                f"{own}: {100 * unit.main:.1f}",
            ]
        )
    if not rows:
        raise UsageError(
            "the store has no layer sweep" + (f" of {task}" if task else "") + "; run with --layers all."
        )
    columns = ["checkpoint", "task", "language", "layers from 0", "best layer", "layer of the score"]
    return table("main metric by layer, %", columns, rows, right=4)


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
