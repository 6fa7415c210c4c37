"""Files as everything here writes, locks and lists them: one definition of each.

- A file appears whole or not at all: written under a temporary name, flushed to the disk, renamed, and its folder
  flushed too, so that a power cut after the rename does not undo it.
- A lock is an operating-system lock on a file that every user whom the umask lets may take.
- A walk below a folder sees every real folder once, however linked, and says what it could not read.
"""

import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, Any

PARTIAL = ".partial"


def umask_mode() -> int:
    """Permissions of a new file under the process's umask (mkstemp would make it private)."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the file system lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems refuse; the rename itself has been made
    finally:
        os.close(handle)


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, flushing the entry of every new one to the disk."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def publish(finished: Path, out: Path) -> None:
    """Give a finished folder its final name, in one step, with everything in it on the disk before.

    Files become readable by whoever the umask lets read: safetensors writes such as only their owner can read, which
    hides a checkpoint from colleagues.
    """
    for folder, _, names in os.walk(finished):
        for name in names:
            path = Path(folder, name)
            path.chmod(umask_mode())
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        sync_folder(Path(folder))
    finished.rename(out)
    sync_folder(out.parent)


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file in one step: ``write`` gets a binary stream, and ``path`` appears when all of it is on the disk.

    Raises:
        OSError: the disk is full or the folder cannot be written; nothing half-written stays behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = _temporary(path)
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(umask_mode())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _temporary(path: Path) -> tuple[int, Path]:
    """A new file beside ``path``, locked while it is open; what dead writers of ``path`` have left is removed."""
    prefix = f".{path.name[:80]}."
    while True:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=PARTIAL, dir=path.parent)
        held = _lock(handle)
        if held is None:  # a file system without locks: nobody can tell who is dead
            return handle, Path(name)
        if held and os.fstat(handle).st_nlink:  # else another writer has taken it for a dead one's
            break
        os.close(handle)
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.name.endswith(PARTIAL) and entry.path != name:
                _remove_if_left(entry.path)
    return handle, Path(name)


def _lock(handle: int) -> bool | None:
    """Lock an open file: whether it could be had; None where the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_if_left(path: str) -> None:
    """Remove a temporary file that no living process has open for writing."""
    handle = os.open(path, os.O_RDWR)
    try:
        if _lock(handle):
            Path(path).unlink()
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """As :func:`write_whole`, for text in UTF-8."""
    write_whole(path, lambda stream: stream.write(text.encode("utf-8")))


def unfinished(folder: Path, name: str = "") -> list[Path]:
    """What processes that died left of writing a file of that name, or any file, in ``folder``.

    Only for those who hold the lock under which such files are written: a living process has them too.
    """
    written = re.compile(re.escape(name[:80]) + r"\.\w{8}" if name else r".*")
    found = (path for path in folder.glob(f".*{PARTIAL}") if path.is_file())
    return [path for path in found if written.fullmatch(path.name[1 : -len(PARTIAL)])]


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a lock for the block; gives False at once when another process holds it.

    The operating system frees the lock when its holder dies, however it dies. The lock file's mode follows the umask,
    so that colleagues who share a folder can take it too.

    Raises:
        OSError: the lock file cannot be made or opened.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0, mode=umask_mode())
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def is_regular(path: Path) -> bool:
    """Whether a path is a regular file, so that reading it cannot block as a FIFO's would; False where nothing is."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def matching(root: Path, pattern: str) -> list[Path]:
    """The files below ``root`` that a pattern of names with ``*`` and ``?`` leads to, sorted.

    ``Path.glob`` passes over a folder that cannot be read, so that other files are taken in its place.

    Raises:
        OSError: something on the way is there and cannot be looked at.
    """
    found = [root]
    for part in PurePosixPath(pattern).parts:
        if any(sign in part for sign in "*?["):
            folders = [path for path in found if stat.S_ISDIR(_mode(path))]
            found = [path for folder in folders for path in folder.iterdir() if fnmatchcase(path.name, part)]
        else:
            found = [path / part for path in found]
    return sorted(path for path in found if stat.S_ISREG(_mode(path)))


def _mode(path: Path) -> int:
    """Type and permissions of what a path leads to; 0 where that is nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def real_folders(
    root: Path, enter: Callable[[Path], bool], unreadable: Callable[[Path, OSError], None]
) -> Iterator[tuple[Path, list[str]]]:
    """Every real folder at or below ``root`` once, however linked, with the names of what is in it.

    A folder that several names lead to is given under the shortest of them in order of depth, then of name. Links that
    lead back up end there.

    Args:
        enter: says whether a folder is looked into.
        unreadable: is told of a folder that cannot be listed.
    """
    seen: set[tuple[int, int]] = set()
    level = [root]
    while level:
        below: list[Path] = []
        for folder in level:
            try:
                status = folder.stat()
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
                children = [entry for entry in found if Path(entry).is_dir()]
            except OSError as error:
                unreadable(folder, error)
                continue
            yield folder, [entry.name for entry in found]
            below += [child for entry in children if enter(child := folder / entry.name)]
        level = below


@contextmanager
def presence_is_told(folder: Path) -> Iterator[None]:
    """While this lasts, ``os.path`` raises where it cannot tell whether a file of the folder exists.

    Libraries ask it whether a file is there, and it says no on a failing disk: transformers then goes on with another
    vocabulary, and every score is wrong.
    """
    below, usual = os.fspath(folder), {name: getattr(os.path, name) for name in ("exists", "isfile", "isdir")}

    def telling(name: str, wanted: Callable[[int], bool]) -> Callable[[Any], bool]:
        def test(path: Any) -> bool:
            if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(below):
                return bool(usual[name](path))
            try:
                return wanted(os.stat(path).st_mode)  # noqa: PTH116  (pathlib asks the same function)
            except (FileNotFoundError, NotADirectoryError):
                return False

        return test

    try:
        os.path.exists = telling("exists", bool)  # type: ignore[assignment]
        os.path.isfile = telling("isfile", stat.S_ISREG)  # type: ignore[assignment]
        os.path.isdir = telling("isdir", stat.S_ISDIR)  # type: ignore[assignment]
        yield
    finally:
        for name, function in usual.items():
            setattr(os.path, name, function)
