"""Score tables derived from a store, for the console and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from xeval.display import sparkline, table
from xeval.errors import StoreError, UsageError, did_you_mean
from xeval.store import Store, UnitRecord, read_sums, read_table
from xeval.tasks.embedding import describe_recipe

if TYPE_CHECKING:
    from analysis.variance import Estimate

UNKNOWN = "±  ? "  # as wide as half an interval below 100 points


@dataclass(frozen=True)
class UnitScore:
    """A unit's metrics on the 0-1 scale."""

    record: UnitRecord
    path: Path
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

    def to_json(self, *, intervals: bool = False) -> dict[str, Any]:
        """``{checkpoint: {task: {language: {metric: value}}}}`` and what is damaged; everything between 0 and 1."""
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
            if intervals:
                found = over_items([unit])
                low, high = found.items_interval() if found else (None, None)
                languages[unit.record.language]["interval"] = [
                    None if end is None else end / 100 for end in (low, high)
                ]
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
        raise Store(root).no_results(limit)
    return Summary(tuple(units), tuple(reasons))


def over_items(units: Sequence[UnitScore]) -> "Estimate | None":
    """The mean of the units' main metrics in points, with its uncertainty over new items for these very checkpoints.

    Items of one cluster count as one, within a unit and across languages. None where a unit has a single cluster or
    no score.
    """
    import numpy as np

    from analysis.variance import Term, estimate, make_block, strata_of

    tables = [(unit.record.main_metric, read_table(unit.path)) for unit in units]
    sizes = [rows.num_rows for _, rows in tables]
    names = np.concatenate([np.asarray(rows["cluster_id"].to_pylist(), str) for _, rows in tables])
    _, codes = np.unique(names, return_inverse=True)
    blocks = []
    for number, (metric, rows) in enumerate(tables):
        start = sum(sizes[:number])
        own, columns = np.unique(codes[start : start + sizes[number]], return_inverse=True)
        num, den = (
            np.bincount(columns, weights=rows[f"{metric}.{part}"].to_numpy()).astype(np.float64)[None, :]
            for part in ("num", "den")
        )
        if own.size < 2 or den.sum() == 0:
            return None
        blocks.append(make_block(num, den, own, (0,), 0, deterministic=True))
    terms = [Term(1 / len(blocks), block) for block in blocks]
    return estimate(terms, "points", strata_of(blocks, int(codes.max()) + 1))


def render(summary: Summary, task: str = "", *, intervals: bool = False) -> Table:
    """Checkpoints by tasks (mean over languages), or for one task by languages; percentages.

    What there is more of goes downwards. With ``intervals`` half the 95 % interval over new items stands beside.
    """
    names = list(dict.fromkeys(unit.record.task for unit in summary.units))
    if task and task not in names:
        raise UsageError(
            f"the store has no task {task!r}{did_you_mean(task, names)}; it has {', '.join(names)}."
        )
    cells: dict[str, dict[str, list[UnitScore]]] = {}
    for unit in sorted(summary.units, key=lambda unit: unit.record.checkpoint):
        if task in ("", unit.record.task):
            column = unit.record.language if task else unit.record.task
            cells.setdefault(unit.record.checkpoint, {}).setdefault(column, []).append(unit)
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    rows = [[name, *(_mean(row.get(column), intervals) for column in columns)] for name, row in cells.items()]
    chances = {column: [u for row in cells.values() for u in row.get(column, [])] for column in columns}
    rows.append(["chance", *(_chance(chances[column], intervals) for column in columns)])
    metrics = dict.fromkeys(u.record.main_metric for u in summary.units if task in ("", u.record.task))
    what = f"{task}: {', '.join(metrics)}, %" if task else "main metric, mean over languages, %"
    if len(columns) > len(rows):
        header = ["language" if task else "task", *(row[0] for row in rows)]
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
    for unit in sorted(summary.units, key=lambda unit: unit.record.checkpoint):
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
    items, sums = read_sums(path, record)
    scores = {metric: num / den if den else float("nan") for metric, (num, den) in sums.items()}
    return UnitScore(record, path, items, scores)


def _mean(units: list[UnitScore] | None, intervals: bool) -> str:
    if not units:
        return ""
    mean = f"{100 * sum(unit.main for unit in units) / len(units):.1f}"
    if not intervals:
        return mean
    found = over_items(units)
    if found is None:
        return f"{mean} {UNKNOWN}"
    low, high = found.items_interval()
    return f"{mean} ±{(high - low) / 2:<{len(UNKNOWN) - 1}.1f}"


def _chance(units: list[UnitScore], intervals: bool) -> str:
    known = [unit.record.chance for unit in units if unit.record.chance is not None]
    mean = f"{100 * sum(known) / len(known):.1f}" if known else "-"
    return f"{mean} {'':{len(UNKNOWN)}}" if intervals else mean
