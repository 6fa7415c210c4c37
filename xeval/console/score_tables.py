"""Score tables derived from a store, for the console and as JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from xeval.console.display import sparkline, table
from xeval.errors import StoreError
from xeval.store import Store, UnitRecord, read_sums, read_table
from xeval.tasks.embedding import describe_recipe

if TYPE_CHECKING:
    from xeval.analysis.estimate.variance import Estimate

UNKNOWN = "±  ? "  # as wide as half an interval below 100 points
SUSPECT = "†"  # stands at a score that is not one of a model that learnt the task


@dataclass(frozen=True)
class UnitScore:
    """A unit's metrics on the 0-1 scale; NaN where there was nothing to score (its den sums to 0)."""

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

    @property
    def suspect(self) -> str:
        """Why the score is not one of a model that learnt the task; empty where nothing speaks against it."""
        if self.record.constant is not None:
            return f"gives all items one answer ({self.record.constant!r})"
        if collapsed := (self.record.lineage or {}).get("collapsed"):
            return f"collapsed in training: {collapsed}"
        return "not above chance in English" if self.record.at_chance else ""


@dataclass(frozen=True)
class Summary:
    """Scores of a store's current units, the damaged files among them, and what is to be read with the scores."""

    units: tuple[UnitScore, ...]
    damaged: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    limit: int | None = None

    def to_json(self, *, intervals: bool = False) -> dict[str, Any]:
        """What :func:`render` draws.

        ``scores`` is ``{checkpoint: {task: {language: {metric: value}}}}``, everything between 0 and 1, None where
        there was nothing to score; beside the metrics stand chance, items, settings, signatures, remarks, the
        checkpoint's ``path`` and ``weights``, ``constant`` (the one answer that all items got, else None),
        ``at_chance`` (whether it is English and not above chance), ``collapsed`` (why the checkpoint's training taught
        nothing, else None) and ``checked`` (whether the file has digests). ``limit`` is the number of first items that
        were evaluated, None for all; ``unchecked`` counts files without digests.
        """
        tree: dict[str, Any] = {}
        for unit in self.units:
            record = unit.record
            languages = tree.setdefault(record.checkpoint, {}).setdefault(record.task, {})
            languages[record.language] = {
                **{name: None if math.isnan(score) else score for name, score in unit.scores.items()},
                "chance": record.chance,
                "items": unit.items,
                "settings": record.settings,
                "signatures": record.signatures,
                "remarks": record.remarks,
                "path": record.checkpoint_path,
                "weights": record.checkpoint_digest,
                "constant": record.constant,
                "at_chance": record.at_chance,
                "collapsed": (record.lineage or {}).get("collapsed"),
                "checked": record.checked,
            }
            if intervals:
                found = over_items([unit])
                low, high = found.items_interval() if found else (None, None)
                languages[record.language]["interval"] = [
                    None if end is None else end / 100 for end in (low, high)
                ]
        return {
            "scores": tree,
            "limit": self.limit,
            "unchecked": sum(not unit.record.checked for unit in self.units),
            "remarks": list(self.remarks),
            "damaged": list(self.damaged),
        }


def summarise(
    root: Path,
    limit: int | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    task: str = "",
    layers: bool = False,
) -> Summary:
    """Score the current units of a store.

    Args:
        settings: what the units' settings are to be, where several are stored.
        task: only the units of this task.
        layers: only layer sweeps.

    Raises:
        StoreError: the store holds no unit.
        UsageError: it holds no unit of this task, with such settings, or no sweep.
    """
    store = Store(root)
    found = store.current(limit, settings, task=task, sweeps=layers)
    reasons = [unit.reason for unit in found.damaged]
    units = []
    for path, record in found.units:
        try:
            units.append(_score(path, record))
        except StoreError as error:
            reasons.append(str(error))
    if not units and not reasons:
        raise store.no_results(limit)
    return Summary(tuple(units), tuple(reasons), found.remarks, limit)


def over_items(units: Sequence[UnitScore]) -> "Estimate | None":
    """The mean of the units' main metrics in points, with its uncertainty over new items for these very checkpoints.

    Items of one cluster count as one, within a unit and across languages. None where a unit has a single cluster or
    no score.
    """
    import numpy as np

    from xeval.analysis.estimate.variance import Term, estimate, make_block, strata_of

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


def render(summary: Summary, *, by_language: bool = False, intervals: bool = False) -> Table:
    """Checkpoints by tasks (mean over languages), or for one task by languages; percentages.

    What there is more of goes downwards. With ``intervals`` half the 95 % interval over new items stands beside.
    """
    cells: dict[str, dict[str, list[UnitScore]]] = {}
    for unit in sorted(summary.units, key=lambda unit: unit.record.checkpoint):
        column = unit.record.language if by_language else unit.record.task
        cells.setdefault(unit.record.checkpoint, {}).setdefault(column, []).append(unit)
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    rows = [[name, *(_mean(row.get(column), intervals) for column in columns)] for name, row in cells.items()]
    chances = {column: [u for row in cells.values() for u in row.get(column, [])] for column in columns}
    rows.append(["chance", *(_chance(chances[column], intervals) for column in columns)])
    metrics = ", ".join(dict.fromkeys(unit.record.main_metric for unit in summary.units))
    tasks = ", ".join(dict.fromkeys(unit.record.task for unit in summary.units))
    what = f"{tasks}: {metrics}, %" if by_language else "main metric, mean over languages, %"
    what += _first_items(summary)
    if len(columns) > len(rows):
        header = ["language" if by_language else "task", *(row[0] for row in rows)]
        return table(
            what, header, [list(line) for line in zip(columns, *(r[1:] for r in rows), strict=True)], right=1
        )
    return table(what, ["checkpoint", *columns], rows, right=1)


def footnotes(summary: Summary, *, intervals: bool = False) -> list[str]:
    """What stands below a table: its signs; what has to be equal for its scores to be comparable (for each task its
    main metric's signature, and for retrieval the recipe; a task whose units differ has several lines); remarks."""
    lines: dict[str, None] = {}
    if intervals:
        lines["±: half the 95 % interval over new items; of new training seeds it says nothing"] = None
    undefined: dict[str, list[str]] = {}
    suspects: dict[tuple[str, str], dict[str, list[str]]] = {}
    for unit in summary.units:
        record = unit.record
        if math.isnan(unit.main):
            undefined.setdefault(f"{record.checkpoint} · {record.task}", []).append(record.language)
        if unit.suspect:
            places = suspects.setdefault((record.checkpoint, unit.suspect), {})
            places.setdefault(record.task, []).append(record.language)
    for where, languages in undefined.items():
        lines[f"{where}: nothing to score in {' '.join(languages)}; means are over the other languages"] = (
            None
        )
    for (name, why), tasks in suspects.items():
        where = ", ".join(f"{task} ({' '.join(languages)})" for task, languages in tasks.items())
        lines[f"{SUSPECT} {name} {why}: {where}"] = None
    for record in (unit.record for unit in summary.units):
        if signature := record.signatures.get(record.main_metric):
            recipe = describe_recipe(record.settings)
            lines[f"{record.task}: {signature}" + (f" [{recipe}]" if recipe else "")] = None
    remarks: dict[tuple[str, str], list[str]] = {}
    for record in (unit.record for unit in summary.units):
        for remark in record.remarks:
            remarks.setdefault((f"{record.checkpoint} · {record.task}", remark), []).append(record.language)
    for (where, remark), languages in remarks.items():
        lines[f"{where} ({' '.join(languages)}): {remark}"] = None
    return list(lines)


def render_layers(summary: Summary) -> Table:
    """A curve per checkpoint, task and language of a layer sweep: from layer 0 on, lowest to highest of the row."""
    rows = []
    for unit in sorted(summary.units, key=lambda unit: unit.record.checkpoint):
        values = {layer: unit.by_layer[layer] for layer in sorted(unit.by_layer)}
        best = max(values, key=lambda layer: values[layer])
        own = int(unit.record.settings["layer"])
        rows.append(
            [
                unit.record.checkpoint,
                unit.record.task,
                unit.record.language,
                sparkline(list(values.values())),
                f"{best}: {100 * values[best]:.1f}",
                f"{own}: {100 * unit.main:.1f}{_mark([unit])}",
            ]
        )
    columns = ["checkpoint", "task", "language", "layers from 0", "best layer", "layer of the score"]
    return table("main metric by layer, %" + _first_items(summary), columns, rows, right=4)


def _first_items(summary: Summary) -> str:
    """Of a smoke run, what its scores are of."""
    return "" if summary.limit is None else f", of the first {summary.limit:,} items only (--limit)"


def _mark(units: Sequence[UnitScore]) -> str:
    return SUSPECT if any(unit.suspect for unit in units) else ""


def _score(path: Path, record: UnitRecord) -> UnitScore:
    items, sums = read_sums(path, record)
    scores = {metric: num / den if den else math.nan for metric, (num, den) in sums.items()}
    return UnitScore(record, path, items, scores)


def _mean(units: list[UnitScore] | None, intervals: bool) -> str:
    """The mean over the languages that have something to score."""
    if not units:
        return ""
    defined = [unit for unit in units if not math.isnan(unit.main)]
    if not defined:
        return f"- {'':{len(UNKNOWN)}}" if intervals else "-"
    mean = f"{100 * sum(unit.main for unit in defined) / len(defined):.1f}{_mark(units)}"
    if not intervals:
        return mean
    found = over_items(defined)
    if found is None:
        return f"{mean} {UNKNOWN}"
    low, high = found.items_interval()
    return f"{mean} ±{(high - low) / 2:<{len(UNKNOWN) - 1}.1f}"


def _chance(units: list[UnitScore], intervals: bool) -> str:
    known = [unit.record.chance for unit in units if unit.record.chance is not None]
    mean = f"{100 * sum(known) / len(known):.1f}" if known else "-"
    return f"{mean} {'':{len(UNKNOWN)}}" if intervals else mean
