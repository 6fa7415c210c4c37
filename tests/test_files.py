"""Files appear whole or not at all, locks are shared, and every real folder is walked once."""

import os
import stat
from pathlib import Path
from typing import IO

import pytest

from xeval.files import is_regular, locked, matching, real_folders, write_text, write_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_text(path, "old")

    def fails(stream: object) -> None:
        stream.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_whole(path, fails)
    assert path.read_text() == "old"
    assert [child.name for child in path.parent.iterdir()] == ["file.json"]


def test_files_and_locks_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        write_text(tmp_path / "file", "text")
        with locked(tmp_path / "lock") as mine:
            assert mine
            modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "lock")]
    finally:
        os.umask(before)
    assert modes == [0o664, 0o664]


def test_what_a_killed_writer_left_is_removed_by_the_next_one_and_a_living_one_is_left_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "unit.parquet"
    left, another = tmp_path / ".unit.parquet.abc.partial", tmp_path / ".unit.parquets.abc.partial"
    for file in (left, another):
        file.touch()

    def write(stream: IO[bytes]) -> None:
        stream.write(b"first")
        write_text(path, "second")  # another process meanwhile
        assert len(list(tmp_path.glob(".unit.parquet.*"))) == 1

    write_whole(path, write)
    assert path.read_bytes() == b"first"
    assert {file.name for file in tmp_path.iterdir()} == {path.name, another.name}


def test_a_held_lock_is_said_at_once(tmp_path: Path) -> None:
    with locked(tmp_path / "lock") as first, locked(tmp_path / "lock") as second:
        assert first
        assert not second
    with locked(tmp_path / "lock") as again:
        assert again


def test_each_real_folder_is_walked_once_however_linked(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    for number in range(5):
        (tmp_path / f"link{number}").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "inner" / "up").symlink_to(tmp_path)
    (tmp_path / "real" / "self").symlink_to(tmp_path / "real")
    (tmp_path / "left").symlink_to(tmp_path / "right")  # a circle of links that leads to no folder
    (tmp_path / "right").symlink_to(tmp_path / "left")
    walked = [folder for folder, _ in real_folders(tmp_path, lambda _: True, lambda *_: None)]
    assert len(walked) == 3
    assert len({folder.resolve() for folder in walked}) == 3


def test_a_locked_folder_is_told_and_the_others_are_walked(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    told: list[Path] = []
    # A folder that vanishes between listing and reading stands for one that may not be read: root reads everything.
    walk = real_folders(tmp_path, lambda _: True, lambda folder, _: told.append(folder))
    next(walk)
    (tmp_path / "a").rmdir()
    assert [folder.name for folder, _ in walk] == ["b"]
    assert told == [tmp_path / "a"]


def test_a_fifo_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    assert [is_regular(tmp_path / name) for name in ("pipe", "file", "none")] == [False, True, False]


def test_a_pattern_finds_files_and_tells_what_it_cannot_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("de/a.tsv", "de/b.tsv", "fr/a.tsv", "de/c.json", "a.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "de/d.tsv").mkdir()

    def found(pattern: str) -> list[str]:
        return [path.relative_to(tmp_path).as_posix() for path in matching(tmp_path, pattern)]

    assert found("d*/?.tsv") == ["de/a.tsv", "de/b.tsv"]
    assert found("de/c.json") == ["de/c.json"]
    assert found("de/none/*") == found("a.tsv/*") == found("none") == []
    stat = Path.stat

    def locked_out(self: Path, **options: bool) -> os.stat_result:
        if "fr" in self.parts:
            raise PermissionError(13, "Permission denied", str(self))
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", locked_out)
    with pytest.raises(PermissionError):
        found("*/a.tsv")
