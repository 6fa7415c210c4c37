"""Read-only SQL over a store, by DuckDB in memory: nothing can be written, and no other file can be read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xeval.errors import UsageError, require_package
from xeval.interop.writers.units import chosen_units
from xeval.metrics import corpus_score
from xeval.store import ITEM_COLUMNS, UnitRecord, read_sums, read_table

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 500_000


@dataclass(frozen=True)
class Answer:
    """The result of a query."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def to_json(self) -> list[dict[str, Any]]:
        """A row an object."""
        return [dict(zip(self.columns, map(_plain, row), strict=True)) for row in self.rows]


def query(
    root: Path, statement: str, limit: int | None = None, settings: Mapping[str, str] | None = None
) -> Answer:
    """Run one SELECT over a store's current units.

    The table ``scores`` has the columns of :func:`xeval.store.read_scores`, ``category`` and ``prediction``, a row per
    unit, item and metric; ``units`` has a row per unit with its main score and what its record says (settings,
    lineage and software as JSON).

    Raises:
        UsageError: DuckDB is not installed, or the statement is not one readable query.
        StoreError: the store is missing, empty or damaged.
    """
    require_package("duckdb", "SQL")
    import duckdb

    units = chosen_units(root, limit, settings=settings)
    with duckdb.connect(":memory:") as connection:
        try:
            statements = connection.extract_statements(statement)
        except duckdb.Error as error:
            raise UsageError(f"the SQL cannot be read: {_one_line(error)}") from error
        allowed = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
        if len(statements) != 1 or statements[0].type not in allowed:
            raise UsageError(
                "give one SELECT; a store is only read, and SQL here takes one statement at a time."
            )
        tables = [("units", _units(units))]
        if re.search(r"\bscores\b", statement, re.IGNORECASE):  # all items of a store may be many
            tables.append(("facts", _facts(units)))
        for name, rows in chain(tables, _items(units) if len(tables) > 1 else ()):
            connection.register("arriving", rows)
            connection.execute(f"CREATE TABLE IF NOT EXISTS {name} AS SELECT * FROM arriving LIMIT 0")
            connection.execute(f"INSERT INTO {name} SELECT * FROM arriving")
            connection.unregister("arriving")
        if len(tables) > 1:
            connection.execute(
                "CREATE VIEW scores AS SELECT * EXCLUDE (place) FROM facts JOIN items USING (place)"
            )
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            found = connection.execute(statement)
            columns = tuple(str(column[0]) for column in found.description or ())
            return Answer(columns, tuple(found.fetchall()))
        except duckdb.CatalogException as error:
            raise UsageError(
                f"the SQL cannot be run: {_one_line(error)} The tables are scores and units."
            ) from error
        except duckdb.Error as error:
            raise UsageError(f"the SQL cannot be run: {_one_line(error)}") from error


def _units(units: Sequence[tuple[Path, UnitRecord]]) -> "pa.Table":
    """A row per unit."""
    import json

    import pyarrow as pa

    rows = []
    for path, record in units:
        lineage = record.lineage or {}
        items, sums = read_sums(path, record)
        rows.append(
            {
                **_named(record),
                "metric": record.main_metric,
                "score": _plain(corpus_score(*sums[record.main_metric])),
                "items": items,
                "kind": record.kind,
                "task_version": record.task_version,
                "signature": record.signatures.get(record.main_metric, ""),
                "checkpoint_path": record.checkpoint_path,
                "data_digest": record.data_digest,
                "device": record.device,
                "dtype": record.dtype,
                "seconds": record.seconds,
                "tokens": record.tokens,
                "finished": record.finished,
                "settings": json.dumps(record.settings, ensure_ascii=False, sort_keys=True),
                "lineage": json.dumps(lineage, ensure_ascii=False, sort_keys=True),
                "software": json.dumps(record.software, ensure_ascii=False, sort_keys=True),
                "file": str(path),
            }
        )
    return pa.Table.from_pylist(rows)


def _facts(units: Sequence[tuple[Path, UnitRecord]]) -> "pa.Table":
    """What all items of a unit and metric have in common, with the place by which they refer to it."""
    import pyarrow as pa

    kinds = {name: kind for name, (_, kind) in _typed(units[0][1]).items()}
    rows = [
        {**_named(record), "metric": metric, "main": metric == record.main_metric}
        for _, record in units
        for metric in record.metrics
    ]
    found = pa.Table.from_pylist(
        rows, pa.schema([*kinds.items(), ("metric", pa.string()), ("main", pa.bool_())])
    )
    return found.append_column("place", pa.array(range(len(rows)), pa.int32()))


def _items(units: Sequence[tuple[Path, UnitRecord]]) -> Iterator[tuple[str, "pa.Table"]]:
    """A row per unit, item and metric, some at a time."""
    import pyarrow as pa

    parts: list[pa.Table] = []
    place = held = 0
    for path, record in units:
        sums = [f"{metric}.{part}" for metric in record.metrics for part in ("num", "den")]
        rows = read_table(path, [*ITEM_COLUMNS, "prediction", *sums], optional=["category"])
        columns: dict[str, Any] = {}
        for name in (*ITEM_COLUMNS, "category", "prediction"):
            kept = rows[name] if name in rows.column_names else pa.nulls(rows.num_rows, pa.string())
            columns[name] = kept.cast(pa.int64() if name == "hops" else pa.string())
        for metric in record.metrics:
            columns["place"] = pa.repeat(pa.scalar(place, pa.int32()), rows.num_rows)
            for part in ("num", "den"):
                columns[part] = rows[f"{metric}.{part}"].cast(pa.float64())
            parts.append(pa.table(columns))
            place, held = place + 1, held + rows.num_rows
        if held > ROWS_AT_ONCE:
            yield "items", pa.concat_tables(parts)
            parts, held = [], 0
    if parts:
        yield "items", pa.concat_tables(parts)


def _named(record: UnitRecord) -> dict[str, Any]:
    return {name: value for name, (value, _) in _typed(record).items()}


def _typed(record: UnitRecord) -> "dict[str, tuple[Any, pa.DataType]]":
    """What identifies a unit, under the names of the tidy scores."""
    import pyarrow as pa

    run, text = record.run, pa.string()
    return {
        "condition": (run.condition, text),
        "target": (record.task, text),
        "group": (record.group, text),
        "seed": (run.seed, pa.int64()),
        "lang": (record.language, text),
        "chance": (record.chance, pa.float64()),
        "phase": (run.phase, text),
        "training": (run.training, text),
        "parent": (run.parent, text),
        "checkpoint": (record.checkpoint_digest, text),
        "name": (record.checkpoint, text),
        "unit": (record.fingerprint, text),
        "constant": (record.constant is not None, pa.bool_()),
        "collapsed": (run.collapsed, text),
        "limit": (record.limit, pa.int64()),
    }


def _plain(value: Any) -> Any:
    """A value that JSON knows; no number is written as null."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _one_line(error: BaseException) -> str:
    """What is wrong, without the caret that points into the text and without guesses at system tables."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("LINE ", "^"))]
    text = re.sub(r"\s*Did you mean .*", "", " ".join(kept[:2]))
    return text.rstrip(".!") + "."
