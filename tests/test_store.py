"""Unit files: written whole or not at all, damaged ones named, old ones readable."""

import os
import stat
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xeval.errors import StoreError
from xeval.store import METADATA_KEY, Store, UnitRecord, read_record, read_scores, read_sums, read_table


def record(**changes: object) -> UnitRecord:
    values: dict[str, object] = {
        "fingerprint": "f" * 32,
        "identity": "12345678",
        "task": "xnli",
        "task_version": 1,
        "kind": "classification",
        "group": "classification",
        "language": "de",
        "main_metric": "accuracy",
        "metrics": ["accuracy"],
        "chance": 1 / 3,
        "checkpoint": "a",
        "checkpoint_digest": "d",
        "checkpoint_path": "a",
        "data_digest": "e",
        "lineage": {"phase": "target", "condition": "squad", "seed": 2, "target": "mnli", "parent": "p"},
        "finished": "2026-01-01T00:00:00+00:00",
    }
    return UnitRecord.model_validate(values | changes)


ROWS: dict[str, list[object]] = {
    "item_id": ["1", "2", "3"],
    "cluster_id": ["1", "1", "2"],
    "hops": [0, 0, 0],
    "prediction": ["x", "y", "z"],
    "accuracy.num": [1.0, 0.0, 1.0],
    "accuracy.den": [1.0, 1.0, 1.0],
}


def unsealed(store: Store, old: UnitRecord) -> Path:
    """A unit's file without digests, as they were written before schema version 2."""
    path = store.unit_path(old.task, old.language, old.fingerprint, old.identity)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {METADATA_KEY: old.model_dump_json(exclude={"items", "sums"}).encode()}
    pq.write_table(pa.table(ROWS).replace_schema_metadata(metadata), path, compression="zstd")
    return path


def test_a_unit_reads_back_as_tidy_scores(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    path = store.write(record(), ROWS)
    assert store.finished() == {"f" * 32: {"12345678": path}}
    assert store.read(path) == (record(items=3, sums={"accuracy": (2.0, 3.0)}), ROWS)
    assert read_table(path, ["hops"]).column_names == ["hops"]
    assert pd.read_parquet(path)["prediction"].tolist() == [
        "x",
        "y",
        "z",
    ]  # the seal is in no other reader's way
    frame = read_scores(tmp_path)
    assert frame["num"].tolist() == [1.0, 0.0, 1.0]
    assert frame.iloc[0][["condition", "target", "seed", "lang", "parent", "phase"]].tolist() == [
        "squad",
        "xnli",
        2,
        "de",
        "p",
        "target",
    ]


def test_only_the_newest_unit_of_a_path_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(record(), ROWS)
    store.write(
        record(fingerprint="e" * 32, finished="2026-02-01T00:00:00+00:00", checkpoint_digest="new"), ROWS
    )
    assert set(read_scores(tmp_path)["checkpoint"]) == {"new"}
    assert len(store.records()[0]) == 2


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "foreign", "metadata"])
def test_damaged_files_are_named_and_the_others_are_read(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    good = store.write(record(), ROWS)
    bad = store.unit_path("xnli", "fr", "b" * 32, "12345678")
    bad.parent.mkdir(parents=True)
    content = good.read_bytes()
    if damage == "foreign":
        pq.write_table(pa.table({"a": [1]}), bad)
    elif damage == "metadata":
        pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({METADATA_KEY: b"{}"}), bad)
    else:
        bad.write_bytes({"truncated": content[:-30], "empty": b"", "text": b"hello"}[damage])
    records, damaged = store.records()
    assert [path for path, _ in records] == [good]
    assert [unit.path for unit in damaged] == [bad]
    assert "delete it and run again" in damaged[0].reason
    assert "\n" not in damaged[0].reason
    with pytest.raises(StoreError, match="damaged"):
        read_scores(tmp_path)


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_whichever_bit_of_a_unit_is_flipped_it_is_noticed_before_a_byte_is_decoded(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.write(record(), ROWS)
    whole, known = path.read_bytes(), read_record(path)
    bits = [*range(0, 8 * len(whole), 97), *range(8 * (len(whole) - 8), 8 * len(whole))]
    for bit in bits:
        flip(path, bit)
        with pytest.raises(StoreError, match="damaged") as raised:
            store.read(path)
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)
        assert store.sound({"12345678": path}) == {}
        assert store.finished_at(path.parent, "f" * 32) == {}
        try:
            assert read_record(path) == known  # of which the scores are made; its digest is another
        except StoreError as error:
            assert "damaged" in str(error)  # noqa: PT017
        flip(path, bit)
    assert store.sound({"12345678": path}) == {"12345678": path}


@pytest.mark.parametrize("mark", [b"xeval\0sealed", b"PAR1"])
def test_a_file_that_lost_its_seal_or_was_written_by_another_program_is_damaged(
    tmp_path: Path, mark: bytes
) -> None:
    path = Store(tmp_path).write(record(), ROWS)
    content = path.read_bytes()
    cut = content.index(mark, 4)
    path.write_bytes(content[:cut] + bytes(len(mark)) + content[cut + len(mark) :])
    with pytest.raises(StoreError, match="damaged"):
        read_table(path)
    Store(tmp_path).write(record(), ROWS)
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(StoreError, match="its digests are missing"):
        read_table(path)


def test_files_from_before_digests_are_read_and_told_from_checked_ones(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old = unsealed(store, record(schema_version=1))
    new = store.write(record(identity="new"), ROWS)
    assert [(path, unit.checked) for path, unit in store.records()[0]] == [(old, False), (new, True)]
    assert read_table(old).equals(read_table(new))
    assert (
        read_sums(old, read_record(old)) == read_sums(new, read_record(new)) == (3, {"accuracy": (2.0, 3.0)})
    )
    assert store.sound({"12345678": old}) == {"12345678": old}
    old.write_bytes(old.read_bytes()[:-1])
    assert store.sound({"12345678": old}) == {}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0, None, "x"])
def test_what_is_no_share_is_never_stored(tmp_path: Path, wrong: object) -> None:
    with pytest.raises(StoreError, match="stored"):
        Store(tmp_path).write(record(), {**ROWS, "accuracy.den": [1.0, wrong, 1.0]})
    with pytest.raises(StoreError, match="cannot be stored"):
        Store(tmp_path).write(record(), {**ROWS, "prediction": ["\ud800", "", ""]})
    assert list(tmp_path.rglob("*.parquet")) == []


def test_what_is_no_file_or_has_gone_is_named_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    good = store.write(record(), ROWS)
    (good.parent / "folder.parquet").mkdir()
    os.mkfifo(good.parent / "pipe.parquet")
    (good.parent / "link.parquet").symlink_to("nowhere")
    closed = tmp_path / "units" / "closed"
    closed.mkdir()
    listing = os.scandir

    def scandir(folder: Path) -> object:
        if Path(folder) == closed:
            raise PermissionError(13, "Permission denied", str(folder))
        return listing(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    records, damaged = store.records()
    assert [path for path, _ in records] == [good]
    assert {unit.path.name: unit.reason.partition(": ")[2] for unit in damaged} == {
        "closed": "cannot be read (Permission denied); make it readable or move it away.",
        "folder.parquet": "is not a file; move it out of the store.",
        "pipe.parquet": "is not a file; move it out of the store.",
        "link.parquet": "is not a file; move it out of the store.",
    }
    good.unlink()
    with pytest.raises(StoreError, match="has gone"):
        read_table(good)


def test_records_of_a_newer_schema_ask_for_an_upgrade_and_unknown_fields_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    monkeypatch.setattr("xeval.store.SCHEMA_VERSION", 99)
    store.write(record(), ROWS)
    unsealed(store, record(schema_version=99, identity="other"))  # whose digests may stand elsewhere
    monkeypatch.undo()
    assert ["upgrade" in unit.reason for unit in store.records()[1]] == [True, True]
    assert UnitRecord.model_validate(record().model_dump() | {"invented_later": 1}) == record()


def test_records_from_before_signatures_are_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.write(
        record(signatures={"accuracy": "accuracy|version:1"}, metric_versions={"accuracy": 1}), ROWS
    )
    assert store.read(path)[0].signatures == {"accuracy": "accuracy|version:1"}
    old = record().model_dump(exclude={"signatures", "metric_versions"})
    assert UnitRecord.model_validate(old).signatures == {}


def test_work_in_progress_stays_until_it_is_ended(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert not store.at_work()
    store.end_work("f")
    folder = store.work("f")
    (folder / "rows.npy").write_bytes(b"x")
    (folder / ".search.abcdefgh.partial").write_bytes(b"of a process that died")
    assert store.work("f") == folder
    assert [path.name for path in folder.iterdir()] == ["rows.npy"]
    assert store.at_work() == {"f"}
    store.end_work("f")
    assert not store.at_work()
    (tmp_path / "work/g").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        store.work("g")


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        Store(tmp_path).write(record(), ROWS)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_read_only_store_is_one_sentence_but_can_be_read(tmp_path: Path) -> None:
    Store(tmp_path).write(record(), ROWS)
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            Store(tmp_path).prepare()
        assert len(read_scores(tmp_path)) == 3
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_a_read_only_file_system_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, also for the superuser: the system itself refuses."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("xeval.store.tempfile.TemporaryFile", refuse)
    with pytest.raises(StoreError, match="Read-only file system"):
        Store(tmp_path).prepare()
    monkeypatch.setattr("xeval.files.tempfile.mkstemp", refuse)
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path).write(record(), ROWS)


def test_a_store_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path / "file" / "store").prepare()


@pytest.mark.parametrize("root", ["nowhere", "."])
def test_an_empty_or_missing_store_is_one_sentence(tmp_path: Path, root: str) -> None:
    with pytest.raises(StoreError, match="store"):
        read_scores(tmp_path / root)


def test_a_unit_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    with store.claim("a") as mine, store.claim("b") as other:
        assert mine
        assert other
        with Store(tmp_path).claim("a") as again:
            assert not again
    with store.claim("a") as mine:
        assert mine


def test_a_lock_that_cannot_be_taken_is_one_sentence(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    (tmp_path / "locks" / "a.lock").mkdir()
    with pytest.raises(StoreError, match="cannot be taken"), store.claim("a"):
        pass
    umask = os.umask(0o002)
    try:
        with store.claim("b"):
            assert stat.S_IMODE((tmp_path / "locks" / "b.lock").stat().st_mode) == 0o664
    finally:
        os.umask(umask)


def test_a_unit_that_was_copied_over_another_one_is_damaged_and_computed_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for unit in (record(), record(fingerprint="0" * 32)):
        store.write(unit, ROWS)
    one, other = sorted((tmp_path / "units/xnli/de").iterdir())
    other.write_bytes(one.read_bytes())
    assert store.finished_at(other.parent, "f" * 32) == {}
    assert store.finished_at(one.parent, "0" * 32) == {"12345678": one}
    for reads in (read_record, read_table, store.read):
        with pytest.raises(StoreError, match=f"{other.name}: damaged .it holds another unit"):
            reads(other)
