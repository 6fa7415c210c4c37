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

Since schema version 2 a seal stands between the pages of a file and its Parquet footer, where readers of Parquet see
nothing: a mark, a digest of all that comes after the digest (the footer with the record), a digest of all that comes
before the seal (the rows), and the place of the record in the footer. Whoever reads the record checks the first digest,
whoever reads the rows both, before any byte is decoded. Files of schema version 1 are read unchecked.
"""

import hashlib
import math
import os
import shutil
import struct
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from xeval.choice import choose
from xeval.conditions import Run, run_of
from xeval.errors import Remark, StoreError, UsageError, did_you_mean
from xeval.files import is_regular, locked, real_folders, unfinished, write_whole

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

METADATA_KEY = b"xeval"
SCHEMA_VERSION = 2
SEALED_SINCE = 2  # the schema version from which on a file without a seal is damaged
SEAL = struct.Struct(
    "<16s16s16sQQ"
)  # mark, digest of what follows it, digest of the rows, record's place, its length
MARK = b"xeval\0sealed\xd7\x1a\xc3\x9e"
DIGEST_BYTES = 16
END_BYTES = 1 << 14  # what is read of a file for its record, which is mostly enough
FOOTER_END = 8  # of a Parquet file: the footer's length in 4 bytes, and its mark
PARQUET = b"PAR1"
# What decoding damaged bytes raises: Arrow's own errors are among OSError, ValueError, TypeError and KeyError.
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    RuntimeError,
    NotImplementedError,
    MemoryError,
)
SMALL = 1000  # rows of a file that is written to be read fast
ITEM_COLUMNS = ("item_id", "cluster_id", "hops")
ITEM_COVARIATES = ("category", "overlap_rank")  # what the hop regression can take beside the hops


class UnitRecord(BaseModel):
    """What a unit's file says of itself, beside its rows.

    ``metrics`` are the task's, the main one among them, and what its kind adds (``accuracy@7``: at layer 7);
    ``metric_versions`` and ``signatures`` are of the task's metrics, and empty in older files. ``constant`` is the one
    prediction that every item got although their gold answers differ, as of a collapsed checkpoint; None where
    predictions differ, and in older files. ``at_chance`` says that in the language of training the main metric is not
    above chance. ``remarks`` are to be read with the scores. ``changed`` are the settings
    that are not the task's own for this checkpoint (None in older files). ``items`` and ``sums`` (of every metric's num
    and den over the items) are what :meth:`Store.write` finds in the rows; older files have none.
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
    at_chance: bool = False
    remarks: list[str] = Field(default_factory=list)
    changed: dict[str, Any] | None = None
    items: int | None = None
    sums: dict[str, tuple[float, float]] = Field(default_factory=dict)

    @property
    def run(self) -> Run:
        """Condition, seed and what else the checkpoint's lineage says of the run."""
        return run_of(self.lineage, self.checkpoint)

    @property
    def checked(self) -> bool:
        """Whether the file carries digests, so that damage to it is noticed."""
        return self.schema_version >= SEALED_SINCE


@dataclass(frozen=True)
class DamagedUnit:
    """A file or folder of a store that cannot be read, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Current:
    """The units of a store that count, one for each checkpoint, task and language.

    ``remarks`` say where others could have been meant, and where a checkpoint has changed since.
    """

    units: tuple[tuple[Path, UnitRecord], ...]
    damaged: tuple[DamagedUnit, ...]
    remarks: tuple[str, ...]


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
        """Files by fingerprint and identity, as their names say; :meth:`sound` says which of them can be used."""
        return _by_fingerprint(_unit_files(self.root / _folder(limit), []))

    def finished_at(self, folder: Path, fingerprint: str) -> dict[str, Path]:
        """As :meth:`finished` for one fingerprint, looked up now in the folder of its task and language; sound ones."""
        return self.sound(_by_fingerprint(folder.glob(f"{fingerprint}-*.parquet")).get(fingerprint, {}))

    def sound(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """Those of a unit's files by identity that are as they were written, rows included.

        Of a file without digests only its two ends and its record can be checked.
        """
        return {identity: path for identity, path in files.items() if _is_sound(path)}

    def read(self, path: Path) -> tuple[UnitRecord, dict[str, list[Any]]]:
        """A unit's record and its rows by column.

        Raises:
            StoreError: the file is damaged, gone or cannot be read.
        """
        unit = _open(path, rows=True)
        return _record(unit), _rows(unit).to_pydict()

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
        path = self.root / "locks" / f"{fingerprint}.lock"
        with ExitStack() as stack:
            try:
                mine = stack.enter_context(locked(path))
            except OSError as error:
                raise StoreError(
                    f"{path}: the lock cannot be taken ({error.strerror or error}); let its owner make it writable "
                    "for you, or delete it while nothing runs."
                ) from error
            yield mine

    def work(self, fingerprint: str) -> Path:
        """A folder for a claimed unit's intermediate files, from which an interrupted evaluation goes on."""
        folder = self.root / "work" / fingerprint
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in unfinished(folder):
                leftover.unlink()
        except OSError as error:
            raise StoreError(
                f"{folder}: cannot be made ({error.strerror}); free space or choose another --store."
            ) from error
        return folder

    def at_work(self) -> frozenset[str]:
        """Fingerprints of the units that have such a folder."""
        try:
            return frozenset(folder.name for folder in (self.root / "work").iterdir())
        except OSError:
            return frozenset()

    def end_work(self, fingerprint: str) -> None:
        """Remove a unit's folder of intermediate files; only once the unit is written, so that no work is lost."""
        shutil.rmtree(self.root / "work" / fingerprint, ignore_errors=True)

    def write(self, record: UnitRecord, rows: dict[str, list[Any]]) -> Path:
        """Write a unit in one step: temporary file, flush to disk, rename.

        Raises:
            StoreError: the disk is full or the store cannot be written; nothing half-written stays behind.
        """
        path = self.unit_path(record.task, record.language, record.fingerprint, record.identity, record.limit)
        try:
            sums = {
                name: _sums(path, name, rows[f"{name}.num"], rows[f"{name}.den"]) for name in record.metrics
            }
            found = {"schema_version": SCHEMA_VERSION, "items": len(rows["item_id"]), "sums": sums}
            parts = _seal(record.model_copy(update=found), rows)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path}: the results cannot be stored ({_first_line(error)}).") from error
        try:
            write_whole(path, lambda stream: stream.writelines(parts))
        except OSError as error:
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
        good: list[tuple[Path, UnitRecord]] = []
        damaged: list[DamagedUnit] = []
        for path in sorted(_unit_files(self.root / _folder(limit), damaged)):
            try:
                good.append((path, read_record(path)))
            except StoreError as error:
                damaged.append(DamagedUnit(path, str(error)))
        return good, damaged

    def no_results(self, limit: int | None = None) -> StoreError:
        """The error of a store without results under ``limit``; names those it has under others."""
        held = sorted(
            int(number)
            for folder in self.root.glob("limited-*")
            if (number := folder.name.removeprefix("limited-")).isdecimal() and any(_unit_files(folder, []))
        )
        others = [f"with --limit {number}" for number in held if number != limit]
        if limit is not None and any(_unit_files(self.root / _folder(None), [])):
            others.insert(0, "without --limit")
        what = "results" if limit is None else f"results with --limit {limit}"
        advice = f"it holds some {' and '.join(others)}" if others else "fill it with `xeval run`"
        return StoreError(f"{self.root}: the store holds no {what} yet; {advice}.")

    def current(
        self,
        limit: int | None = None,
        settings: Mapping[str, str] | None = None,
        *,
        task: str = "",
        sweeps: bool = False,
    ) -> Current:
        """The units that stand for their checkpoint, task and language (see :mod:`xeval.choice`), each checkpoint under
        a name of its own; the others are kept on disk and not counted twice.

        Args:
            settings: what the units' settings are to be, where several are stored.
            task: only the units of this task.
            sweeps: only units with scores of every layer.

        Raises:
            UsageError: no unit has such settings, is of this task or has every layer.
        """
        good, damaged = self.records(limit)
        tasks = sorted({record.task for _, record in good})
        if task and good and task not in tasks:
            raise UsageError(
                f"the store has no task {task!r}{did_you_mean(task, tasks)}; it has {', '.join(tasks)}."
            )
        good = [entry for entry in good if task in ("", entry[1].task)]
        if sweeps:
            good = [entry for entry in good if f"{entry[1].main_metric}@0" in entry[1].metrics]
            if not good:
                of_task = f" of {task}" if task else ""
                raise UsageError(f"the store has no layer sweep{of_task}; run with --layers all.")
        units, remarks = choose(good, settings)
        unchecked = sum(not record.checked for _, record in units)
        if unchecked:
            remarks.append(
                f"{unchecked} of {len(units)} results were stored without digests by an older xeval: damage to these "
                "files would not be noticed."
            )
        return Current(tuple(units), tuple(damaged), tuple(remarks))

    def require(
        self, limit: int | None = None, settings: Mapping[str, str] | None = None
    ) -> tuple[tuple[Path, UnitRecord], ...]:
        """The current units, all of them readable; remarks on them are given as warnings (:class:`Remark`).

        Raises:
            StoreError: there is no store, it holds no unit, or a unit's file is damaged.
            UsageError: no unit has such settings.
        """
        found = self.current(limit, settings)
        if found.damaged:
            more = f" ({len(found.damaged)} damaged files)" if len(found.damaged) > 1 else ""
            raise StoreError(found.damaged[0].reason + more)
        if not found.units:
            raise self.no_results(limit)
        for remark in found.remarks:
            warnings.warn(remark, Remark, stacklevel=2)
        return found.units


def read_record(path: Path) -> UnitRecord:
    """A unit's record, without its rows.

    Raises:
        StoreError: the file is damaged, gone or cannot be read.
    """
    return _record(_open(path, rows=False))


def read_table(path: Path, columns: Sequence[str] | None = None, optional: Sequence[str] = ()) -> "pa.Table":
    """The rows of a unit, or only some of their columns, with the ``optional`` ones that it has.

    Raises:
        StoreError: the file is damaged, gone or cannot be read, or lacks a column.
    """
    unit = _open(path, rows=True)
    if not unit.record:
        _record(unit)  # a file that has lost its seal is not read as one that never had any
    return _rows(unit, columns, optional)


def read_sums(path: Path, record: UnitRecord) -> tuple[int, dict[str, tuple[float, float]]]:
    """The number of a unit's items, and of every metric the sums of num and den over them.

    They stand in the record, and only of a file of schema version 1 are the rows read.

    Raises:
        StoreError: as :func:`read_table`.
    """
    if record.checked and record.items is not None:
        return record.items, record.sums
    rows = read_table(path)
    try:
        sums = {
            name: _sums(path, name, *(rows[f"{name}.{part}"].to_pylist() for part in ("num", "den")))
            for name in record.metrics
        }
    except UNREADABLE as error:
        raise _damaged(path, _first_line(error)) from error
    return rows.num_rows, sums


def read_scores(
    root: Path,
    limit: int | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    main_only: bool = False,
) -> "pd.DataFrame":
    """Tidy scores of a store: one row per (unit, item, metric).

    Columns: condition, target, group, seed, lang, item_id, cluster_id, hops, metric, num, den, main, chance,
    phase, training, parent and checkpoint (content digests), name, unit, constant (whether all items of the unit got
    one prediction although their gold answers differ), collapsed (why the checkpoint's training taught nothing; empty
    where its card does not say so), limit (the number of first items that were evaluated; empty for all). A checkpoint
    without a lineage card has its name as condition. Where units hold them: category and overlap_rank of the items.

    Args:
        limit: the results on the first ``limit`` items instead of the full ones.
        settings: what the units' settings are to be, where several are stored: ``{"layer": "7"}``.
        main_only: only the rows of each task's main metric.

    Raises:
        StoreError: there is no store, it holds no unit, or a unit's file is damaged.
        UsageError: no unit has such settings.
    """
    return _tidy(Store(root).require(limit, settings), main_only=main_only)


def _tidy(units: Sequence[tuple[Path, UnitRecord]], *, main_only: bool = False) -> "pd.DataFrame":
    """The rows of all units, in the order of :data:`.frame.tidy.KEY`, so that no one sorts them again.

    Texts are categories: a store has a dozen names and may have millions of rows. Items that several units share, as
    runs on one task and language do, are kept and coded once.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    items: list[pa.Table] = []
    of_task: dict[tuple[str, str], list[tuple[int, pa.Table]]] = {}
    parts: list[tuple[dict[str, Any], int, Any, Any]] = []  # facts, place of the items, num, den
    end = 0
    for path, record in units:
        metrics = [record.main_metric] if main_only else record.metrics
        wanted = [f"{metric}.{part}" for metric in metrics for part in ("num", "den")]
        rows = read_table(path, [*ITEM_COLUMNS, *wanted], optional=ITEM_COVARIATES)
        own = rows.drop_columns(wanted)
        known = of_task.setdefault((record.task, record.language), [])
        start = next((start for start, table in known if table.equals(own)), end)
        if start == end:
            known.append((start, own))
            items.append(own)
            end += own.num_rows
        facts = _facts(record)
        for metric in metrics:
            found = {"metric": metric, "main": metric == record.main_metric, **facts}
            num, den = (rows[f"{metric}.{part}"].to_numpy() for part in ("num", "den"))
            parts.append((found, start, num, den))
    parts.sort(key=lambda part: [part[0][name] for name in ("target", "metric", "condition", "seed", "lang")])
    whole = pa.concat_tables(items, promote_options="permissive")
    columns: dict[str, Any] = {}
    for name in whole.column_names:
        columns[name] = _column(whole[name], columns.get("item_id"))
    names = np.asarray(columns["item_id"].codes)
    order = np.empty(len(names), np.int32)
    at = 0
    for table in items:
        order[at : at + len(table)] = np.argsort(names[at : at + len(table)], kind="stable") + at
        at += len(table)
    del whole, items, of_task, known, own, rows
    starts = [start for _, start, *_ in parts]
    sums = {"num": [num for *_, num, _ in parts], "den": [den for *_, den in parts]}
    places = [order[start : start + len(num)] for start, num in zip(starts, sums["num"], strict=True)]
    all_facts = [facts for facts, *_ in parts]
    parts.clear()
    of_part = np.repeat(np.arange(len(all_facts), dtype=np.int32), [len(place) for place in places])
    at_item = np.concatenate(places)
    for name, values in list(columns.items()):
        columns[name] = values.take(at_item)
    del at_item
    for name, values in pd.DataFrame(all_facts).items():
        few = values if values.dtype.kind in "bif" else values.astype("category")
        columns[str(name)] = few.array.take(of_part)
        if name == "main":
            for part in ("num", "den"):
                columns[part] = np.concatenate(
                    [
                        pieces[place - start]
                        for start, pieces, place in zip(starts, sums[part], places, strict=True)
                    ]
                )
                sums[part].clear()
    pa.default_memory_pool().release_unused()
    return pd.DataFrame(columns, copy=False)


def _column(values: "pa.ChunkedArray", like: Any = None) -> Any:
    """Numbers as they are, texts as categories in their order, those of ``like`` where they are the same."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return pd.Series(values.to_numpy()).array
    found = values.cast(pa.large_string()).combine_chunks().dictionary_encode()
    order = pc.sort_indices(found.dictionary)
    place = np.empty(len(order) + 1, np.int32)
    place[order.to_numpy()], place[-1] = (
        np.arange(len(order)),
        -1,
    )  # the last is that of a text that is not there
    codes = place[found.indices.fill_null(-1).to_numpy()]
    names = pd.Index(found.dictionary.take(order).to_pandas())
    if like is not None and len(names) == len(like.categories) and (names == like.categories).all():
        return pd.Categorical.from_codes(
            codes, dtype=like.dtype
        )  # pandas keeps a table of all texts for each
    return pd.Categorical.from_codes(codes, names)


def _facts(record: UnitRecord) -> dict[str, Any]:
    """What all rows of a unit have in common."""
    run = record.run
    return {
        "condition": run.condition,
        "target": record.task,
        "group": record.group,
        "seed": run.seed,
        "lang": record.language,
        "chance": float("nan") if record.chance is None else record.chance,
        "phase": run.phase,
        "training": run.training,
        "parent": run.parent,
        "checkpoint": record.checkpoint_digest,
        "name": record.checkpoint,
        "unit": record.fingerprint,
        "constant": record.constant is not None,
        "collapsed": run.collapsed,
        "limit": float("nan") if record.limit is None else float(record.limit),
    }


def _folder(limit: int | None) -> str:
    return "units" if limit is None else f"limited-{limit}"


def _unit_files(folder: Path, unreadable: list[DamagedUnit]) -> Iterator[Path]:
    """Whatever is called as a unit's file is; tells of folders that cannot be listed."""

    def tell(where: Path, error: OSError) -> None:
        if where != folder or not isinstance(error, FileNotFoundError):
            reason = f"{where}: cannot be read ({error.strerror or error}); make it readable or move it away."
            unreadable.append(DamagedUnit(where, reason))

    def enter(child: Path) -> bool:
        return child.suffix != ".parquet"

    for directory, names in real_folders(folder, enter, tell):
        for name in names:
            if name.endswith(".parquet") and not name.startswith("."):
                yield directory / name


def _by_fingerprint(paths: Iterable[Path]) -> dict[str, dict[str, Path]]:
    found: dict[str, dict[str, Path]] = {}
    for path in paths:
        fingerprint, _, identity = path.stem.partition("-")
        found.setdefault(fingerprint, {})[identity] = path
    return found


def _is_sound(path: Path) -> bool:
    try:
        unit = _open(path, rows=True)
        if not unit.record:
            _record(unit)
    except StoreError:
        return False
    return unit.content.startswith(PARQUET) and unit.content.endswith(PARQUET)


@dataclass(frozen=True)
class _UnitFile:
    """What was read of a unit's file, compared with its digests: its record (empty without a seal) and its bytes."""

    path: Path
    record: bytes
    content: bytes


def _seal(record: UnitRecord, rows: dict[str, list[Any]]) -> tuple[bytes, bytes, bytes]:
    """The three parts of a unit's file: pages, seal, footer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = record.model_dump_json().encode()
    sink, table = pa.BufferOutputStream(), pa.table(rows)
    # What is worth its bytes in a large file takes more time to read than all the rows of a small one.
    small = table.num_rows <= SMALL
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        use_dictionary=not small,
        write_statistics=not small,
        store_schema=not small,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({METADATA_KEY.decode(): text.decode()})
    content = sink.getvalue().to_pybytes()
    cut = len(content) - FOOTER_END - int.from_bytes(content[-8:-4], "little")
    pages, footer = content[:cut], content[cut:]
    digested = SEAL.pack(b"", b"", _digest(pages), footer.index(text), len(text))[2 * DIGEST_BYTES :]
    return pages, MARK + _digest(digested + footer) + digested, footer


def _open(path: Path, *, rows: bool) -> _UnitFile:
    """Read a unit's file, all of it or what holds the record, and compare it with its digests."""
    try:
        if not is_regular(path) and os.path.lexists(path):
            raise StoreError(f"{path}: is not a file; move it out of the store.")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(0 if rows else max(0, size - END_BYTES))
            content = file.read()
            end = SEAL.size + FOOTER_END + int.from_bytes(content[-8:-4], "little")
            if len(content) < end <= size:
                file.seek(size - end)
                content = file.read()
            if content[-end:][:DIGEST_BYTES] != MARK and not rows:
                file.seek(0)
                content = file.read()
    except FileNotFoundError as error:
        raise StoreError(f"{path}: has gone since the store was listed; give the command again.") from error
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or _first_line(error)
        raise StoreError(f"{path}: cannot be read ({reason}); make it readable or move it away.") from error
    sealed = content[-end:]
    if len(sealed) < end or not sealed.startswith(MARK):
        if MARK in content:
            raise _damaged(path, "its last bytes are not those that were written")
        return _UnitFile(path, b"", content)
    _, digest, pages, start, length = SEAL.unpack_from(sealed)
    if digest != _digest(sealed[2 * DIGEST_BYTES :]):
        raise _damaged(path, "its record is not the one that was written")
    if rows and pages != _digest(memoryview(content)[:-end]):
        raise _damaged(path, "its rows are not those that were written")
    start += SEAL.size
    record = sealed[start : start + length]
    _check_name(path, record)
    return _UnitFile(path, record, content)


def _check_name(path: Path, record: bytes) -> None:
    """A file that was copied over another one is whole and yet the wrong one."""
    fingerprint, _, identity = path.stem.rpartition("-")
    if not all(f'"{part}"'.encode() in record for part in (fingerprint, identity)):
        raise _damaged(path, "it holds another unit than its name says")


def _record(unit: _UnitFile) -> UnitRecord:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        text = unit.record
        if not text:
            text = pq.read_schema(pa.BufferReader(unit.content)).metadata[METADATA_KEY]
        record = UnitRecord.model_validate_json(text)
    except UNREADABLE as error:
        raise _damaged(unit.path, _first_line(error)) from error
    if record.schema_version > SCHEMA_VERSION:
        raise StoreError(
            f"{unit.path}: written by a newer xeval (schema {record.schema_version}); upgrade to read it."
        )
    if record.checked and not unit.record:
        raise _damaged(unit.path, "its digests are missing, as after another program has written it")
    _check_name(unit.path, text)
    return record


def _rows(unit: _UnitFile, columns: Sequence[str] | None = None, optional: Sequence[str] = ()) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        wanted = None if columns is None else [*columns, *optional]
        table = pq.ParquetFile(pa.BufferReader(unit.content)).read(wanted, use_threads=False)
    except UNREADABLE as error:
        raise _damaged(unit.path, _first_line(error)) from error
    if lacking := set(columns or ()) - set(table.column_names):
        raise StoreError(
            f"{unit.path}: lacks the columns {', '.join(sorted(lacking))}; delete it and run again."
        )
    return table


def _sums(path: Path, metric: str, num: Sequence[float], den: Sequence[float]) -> tuple[float, float]:
    """Of a metric's num and den over the items, exact and so in any order the same."""
    totals = math.fsum(num), math.fsum(den)
    if not (all(map(math.isfinite, totals)) and min(den, default=0.0) >= 0.0):
        raise StoreError(
            f"{path}: {metric} is not finite or is a share of less than nothing; it is not stored."
        )
    return totals


def _digest(content: "bytes | memoryview") -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(f"{path}: damaged ({reason}); delete it and run again.")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
