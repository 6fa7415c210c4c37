"""The store: one Parquet file per unit, written under a temporary name and renamed. Nothing else is true.

    STORE/units/<task>/<language>/<fingerprint>-<identity>.parquet         full results
    STORE/limited-<n>/<task>/<language>/<fingerprint>-<identity>.parquet   results on the first n items, apart
    STORE/locks/<fingerprint>.lock                                         who computes what now
    STORE/work/<fingerprint>/                                              what a long unit goes on from, then deleted

The fingerprint is the digest of everything that can change a number; the identity is that of the checkpoint's name
and lineage card, so that a card written later, or a copy under another name, gets its own file without new work.

A unit's file holds one row per item (item_id, cluster_id, hops, category, prediction, what else its kind stores,
and ``<metric>.num``, ``<metric>.den``); its metadata holds everything else that is known of it
(:class:`UnitRecord`). Tables are derived.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xeval.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

METADATA_KEY = b"xeval"
SCHEMA_VERSION = 1
ITEM_COVARIATES = ("category", "overlap_rank")  # what the hop regression can take beside the hops
NO_SEED = -1


class UnitRecord(BaseModel):
    """What a unit's file says of itself, beside its rows.

    ``metrics`` are the task's, the main one among them, and what its kind adds (``accuracy@7``: at layer 7);
    ``metric_versions`` and ``signatures`` are of the task's metrics, and empty in older files. ``constant`` is the one
    prediction that every item got although their gold answers differ, as of a collapsed checkpoint; None where
    predictions differ, and in older files. ``remarks`` are to be read with the scores.
    """

    model_config = ConfigDict(extra="ignore")
    schema_version: int = SCHEMA_VERSION
    fingerprint: str
    identity: str
    task: str
    task_version: int
    kind: str
    group: str
    language: str
    main_metric: str
    metrics: list[str]
    metric_versions: dict[str, int] = Field(default_factory=dict)
    signatures: dict[str, str] = Field(default_factory=dict)
    chance: float | None = None
    limit: int | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    checkpoint: str
    checkpoint_digest: str
    checkpoint_path: str
    lineage: dict[str, Any] | None = None
    data_digest: str
    software: dict[str, str] = Field(default_factory=dict)
    device: str = ""
    dtype: str = ""
    seconds: float = 0.0
    tokens: int = 0
    finished: str = ""
    constant: str | None = None
    remarks: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class DamagedUnit:
    """A unit's file that cannot be read, and why."""

    path: Path
    reason: str


class Store:
    """A directory of unit files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def unit_path(
        self, task: str, language: str, fingerprint: str, identity: str, limit: int | None = None
    ) -> Path:
        """Where a unit's file lies."""
        return self.root / _folder(limit) / task / language / f"{fingerprint}-{identity}.parquet"

    def finished(self, limit: int | None = None) -> dict[str, dict[str, Path]]:
        """Files by fingerprint and identity, of the units whose file begins and ends as a Parquet file does."""
        return _by_fingerprint(_unit_files(self.root / _folder(limit)))

    def finished_at(self, folder: Path, fingerprint: str) -> dict[str, Path]:
        """As :meth:`finished` for one fingerprint, looked up now in the folder of its task and language."""
        return _by_fingerprint(folder.glob(f"{fingerprint}-*.parquet")).get(fingerprint, {})

    def read(self, path: Path) -> tuple[UnitRecord, dict[str, list[Any]]]:
        """A unit's record and its rows by column."""
        return _read_record(path), read_table(path).to_pydict()

    def prepare(self) -> None:
        """Create the store, or raise a :class:`StoreError` when it cannot be written."""
        try:
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise StoreError(
                f"{self.root}: the store cannot be written ({error.strerror}); "
                "choose another one with --store, or make it writable."
            ) from error

    @contextmanager
    def claim(self, fingerprint: str) -> Iterator[bool]:
        """Hold a unit while it is computed; gives False when another process holds it.

        The operating system frees the lock when the holder dies, however it dies.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.root / "locks" / f"{fingerprint}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    @contextmanager
    def work(self, fingerprint: str) -> Iterator[Path]:
        """A folder for a claimed unit's intermediate files; stays when the unit fails, to go on from it."""
        folder = self.root / "work" / fingerprint
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{folder}: cannot be made ({error.strerror}); free space or choose another --store."
            ) from error
        yield folder
        shutil.rmtree(folder)

    def write(self, record: UnitRecord, rows: dict[str, list[Any]]) -> Path:
        """Write a unit in one step: temporary file, flush to disk, rename.

        Raises:
            StoreError: the disk is full or the store cannot be written; nothing half-written stays behind.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table(rows).replace_schema_metadata({METADATA_KEY: record.model_dump_json().encode()})
        path = self.unit_path(record.task, record.language, record.fingerprint, record.identity, record.limit)
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
            temporary = Path(name)
            with os.fdopen(handle, "wb") as file:
                pq.write_table(table, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except OSError as error:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            raise StoreError(
                f"{path}: cannot be written ({error.strerror or error}); free space or choose another --store, "
                "then run again: finished units are kept."
            ) from error
        return path

    def records(self, limit: int | None = None) -> tuple[list[tuple[Path, UnitRecord]], list[DamagedUnit]]:
        """The records of all readable units, and the files that are damaged."""
        if not self.root.is_dir():
            raise StoreError(
                f"{self.root}: no such store; make one with `xeval run CHECKPOINTS --store DIR`."
            )
        good, damaged = [], []
        for path in sorted(_unit_files(self.root / _folder(limit))):
            try:
                good.append((path, _read_record(path)))
            except StoreError as error:
                damaged.append(DamagedUnit(path, str(error)))
        return good, damaged

    def no_results(self, limit: int | None = None) -> StoreError:
        """The error of a store without results under ``limit``; names those it has under others."""
        held = sorted(
            int(number)
            for folder in self.root.glob("limited-*")
            if (number := folder.name.removeprefix("limited-")).isdecimal() and any(_unit_files(folder))
        )
        others = [f"with --limit {number}" for number in held if number != limit]
        if limit is not None and any(_unit_files(self.root / _folder(None))):
            others.insert(0, "without --limit")
        what = "results" if limit is None else f"results with --limit {limit}"
        advice = f"it holds some {' and '.join(others)}" if others else "fill it with `xeval run`"
        return StoreError(f"{self.root}: the store holds no {what} yet; {advice}.")

    def current(self, limit: int | None = None) -> tuple[list[tuple[Path, UnitRecord]], list[DamagedUnit]]:
        """As :meth:`records`, but only the newest unit per (checkpoint path, task, language).

        A checkpoint that was retrained at the same path, or a run with other settings, leaves older units
        behind; they are kept on disk and not counted twice.
        """
        good, damaged = self.records(limit)
        newest: dict[tuple[str, str, str], tuple[Path, UnitRecord]] = {}
        for path, record in good:
            key = (record.checkpoint_path, record.task, record.language)
            if key not in newest or record.finished > newest[key][1].finished:
                newest[key] = (path, record)
        return sorted(newest.values(), key=lambda entry: entry[0]), damaged


def read_table(path: Path) -> "pa.Table":
    """The rows of a unit."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path}: damaged ({_first_line(error)}); delete it and run again.") from error


def read_scores(root: Path, limit: int | None = None) -> "pd.DataFrame":
    """Tidy scores of a store: one row per (unit, item, metric).

    Columns: condition, target, group, seed, lang, item_id, cluster_id, hops, metric, num, den, main, chance,
    phase, training, parent and checkpoint (content digests), name, unit. A checkpoint without a lineage card has its
    name as condition. Where units hold them: category and overlap_rank of the items.

    Raises:
        StoreError: there is no store, it holds no unit, or a unit's file is damaged.
    """
    import pandas as pd

    units, damaged = Store(root).current(limit)
    if damaged:
        raise StoreError(damaged[0].reason + (f" ({len(damaged)} damaged files)" if len(damaged) > 1 else ""))
    if not units:
        raise Store(root).no_results(limit)
    frames = [_tidy(path, record) for path, record in units]
    return pd.concat(frames, ignore_index=True)


def _tidy(path: Path, record: UnitRecord) -> "pd.DataFrame":
    import pandas as pd

    rows: pd.DataFrame = read_table(path).to_pandas()
    lineage = record.lineage or {}
    kept = ["item_id", "cluster_id", "hops", *(name for name in ITEM_COVARIATES if name in rows.columns)]
    parts = []
    for metric in record.metrics:
        part = rows[kept].copy()
        part["metric"], part["main"] = metric, metric == record.main_metric
        part["num"], part["den"] = rows[f"{metric}.num"], rows[f"{metric}.den"]
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    seed = lineage.get("seed")
    intermediate = lineage.get("phase") == "target" and lineage.get("condition", "none") != "none"
    constant: dict[str, Any] = {
        "condition": lineage.get("condition", record.checkpoint),
        "target": record.task,
        "group": record.group,
        "seed": NO_SEED if seed is None else seed,
        "lang": record.language,
        "chance": float("nan") if record.chance is None else record.chance,
        "phase": lineage.get("phase", ""),
        "training": lineage.get("target") or "",
        # Runs that start from one intermediate checkpoint share its luck; the base is the same for all.
        "parent": lineage.get("parent") or "" if intermediate else "",
        "checkpoint": record.checkpoint_digest,
        "name": record.checkpoint,
        "unit": record.fingerprint,
    }
    return frame.assign(**constant)


def _folder(limit: int | None) -> str:
    return "units" if limit is None else f"limited-{limit}"


def _unit_files(folder: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".parquet") and not name.startswith("."):
                yield Path(directory, name)


def _by_fingerprint(paths: Iterable[Path]) -> dict[str, dict[str, Path]]:
    """Whole files by fingerprint and identity."""
    found: dict[str, dict[str, Path]] = {}
    for path in paths:
        fingerprint, _, identity = path.stem.partition("-")
        if _ends_well(path):
            found.setdefault(fingerprint, {})[identity] = path
    return found


def _ends_well(path: Path) -> bool:
    """Whether the file begins and ends with Parquet's mark: a cheap check that finds truncation."""
    with path.open("rb") as file:
        head = file.read(4)
        size = file.seek(0, os.SEEK_END)
        if size < 12:
            return False
        file.seek(-4, os.SEEK_END)
        return head == file.read(4) == b"PAR1"


def _read_record(path: Path) -> UnitRecord:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
        record = UnitRecord.model_validate(json.loads(metadata[METADATA_KEY]))
    except (pa.ArrowException, OSError, KeyError, ValueError, ValidationError) as error:
        raise StoreError(f"{path}: damaged ({_first_line(error)}); delete it and run again.") from error
    if record.schema_version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: written by a newer xeval (schema {record.schema_version}); upgrade to read it."
        )
    return record


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
