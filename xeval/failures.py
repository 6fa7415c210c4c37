"""The one rule for whatever goes wrong in a checkpoint, a unit, a node or a file: it ends that one, in one sentence.

An error that nobody foresaw is such a failure too. Its traceback goes to a log file, which the sentence names.
"""

import errno
import os
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xeval.digests import text_digest
from xeval.errors import XevalError
from xeval.files import write_whole

LOGS = "errors"
"""Folder of the log files, below the folder that a command writes to."""
LONGEST = 300  # characters of another library's message
LONGEST_NAME = 120  # of a log file; file systems take 255 bytes
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")  # as libraries written in Rust name it


def is_failure(error: BaseException) -> bool:
    """Whether an exception is something that went wrong, rather than a request to end.

    A panic of a library written in Rust (pyo3's ``PanicException``) is no ``Exception`` in Python, but a failure.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def explained(error: BaseException, folder: Path, name: str) -> str:
    """What went wrong, as one sentence without the name of what it went wrong with.

    Args:
        error: what was caught; see :func:`is_failure`.
        folder: what the command writes to; a traceback goes to ``<folder>/errors/<name>.log``, replacing an older one.
        name: of the checkpoint, unit, node or file, as people know it.
    """
    if isinstance(error, XevalError):
        return str(error)
    if (number := _system_error(error)) is not None:
        path = error.filename if isinstance(error, OSError) and error.filename is not None else None
        what = os.strerror(number)
        if number in (errno.ENOSPC, errno.EDQUOT):
            what += " (the disk or the quota is full)"
        if path is not None:
            return f"{os.fsdecode(path)}: {what}; put it right and give the same command again."
        return f"{what}; put it right and give the same command again{_logged(error, folder, name)}."
    message = _one_line(error)
    if isinstance(error, MemoryError):
        return f"needs more memory than there is{_logged(error, folder, name)}."
    if isinstance(error, RecursionError):
        return f"is nested too deep to be read{_logged(error, folder, name)}."
    kind = type(error).__name__
    return f"unexpected {kind}{': ' + message if message else ''}{_logged(error, folder, name)}."


@contextmanager
def contained(folder: Path, name: str, tell: Callable[[str], object]) -> Iterator[None]:
    """Run the block; when it fails, ``tell`` gets the sentence of :func:`explained` and what follows goes on.

    Ctrl-C, SIGTERM and ``sys.exit`` pass through.
    """
    try:
        yield
    except BaseException as error:
        if not is_failure(error):
            raise
        tell(explained(error, folder, name))


@contextmanager
def as_one_sentence(folder: Path, name: str) -> Iterator[None]:
    """Run the block; what nobody foresaw becomes an :class:`XevalError` with the sentence of :func:`explained`."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, XevalError) or not is_failure(error):
            raise
        raise XevalError(f"{name}: {explained(error, folder, name)}") from error


def _system_error(error: BaseException) -> int | None:
    """Number of the operating system's error that an exception passes on; None where it passes on none."""
    if isinstance(error, OSError):
        return error.errno
    found = _SYSTEM_ERROR.search(str(error))
    return int(found[1]) if found else None


def log_file(folder: Path, name: str) -> Path:
    """Where :func:`explained` writes what went wrong with the thing of that name."""
    safe = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.")[:LONGEST_NAME] or "error"
    if safe != name:  # names that differ in other signs only get files of their own
        safe = f"{safe}-{text_digest(name)[:8]}"
    return folder / LOGS / f"{safe}.log"


def _logged(error: BaseException, folder: Path, name: str) -> str:
    """Write the traceback; gives where it is, as the end of a sentence."""
    path = log_file(folder, name)
    try:
        text = "".join(traceback.format_exception(error))
        write_whole(path, lambda stream: stream.write(text.encode("utf-8", "backslashreplace")))
    except (OSError, MemoryError, RecursionError):
        return f" (where: {_place(error)}; its log file cannot be written)"
    return f"; the traceback is in {path}"


def _place(error: BaseException) -> str:
    """File and line that raised an error."""
    last = traceback.extract_tb(error.__traceback__, limit=-1)
    return f"{Path(last[0].filename).name}:{last[0].lineno}" if last else "unknown"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
