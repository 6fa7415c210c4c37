"""A half-done search in a file, which names the search it belongs to and the digest of its content."""

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeval.digests import text_digest
from xeval.errors import DataError, UsageError, XevalError
from xeval.files import write_whole
from xeval.retrieval.candidates import Candidates, Way
from xeval.retrieval.embeddings import CHUNK_ROWS

Content = dict[str, NDArray[Any]]


class SearchCheckpoint:
    """The candidates so far.

    Args:
        identity: of the search: its embeddings and settings.
        seconds: least time between two writes.
    """

    def __init__(self, path: Path, identity: str, seconds: float) -> None:
        self.path, self.identity, self.seconds = path, identity, seconds
        self.written = time.perf_counter()

    def load(self, tables: Mapping[Way, Candidates], restart: Callable[[str], None] | None) -> int:
        """Fill in what was found and return how much is done; 0 where there is no file.

        Raises:
            UsageError, DataError: the file is of another search, or damaged, and there is no ``restart``, which is
                told so before the search begins again.
        """
        if not self.path.exists():
            return 0
        try:
            content = self._read()
        except (DataError, UsageError) as error:
            if restart is None:
                raise
            restart(f"{str(error).partition(';')[0]}; the search starts again.")
            self.path.unlink(missing_ok=True)
            return 0
        for way, table in tables.items():
            table.values[:] = content[f"{way}.values"]
            table.columns[:] = content[f"{way}.columns"]
        return int(content["done"])

    def save(self, tables: Mapping[Way, Candidates], done: int, *, at_once: bool) -> None:
        """Write in one step, unless the last time was just now and ``at_once`` is not set.

        Raises:
            XevalError: the file cannot be written.
        """
        if not at_once and time.perf_counter() - self.written < self.seconds:
            return
        content: Content = {"done": np.asarray(done), "identity": np.asarray(self.identity)}
        for way, table in tables.items():
            content |= {f"{way}.values": table.values, f"{way}.columns": table.columns}
        content["digest"] = np.asarray(_content_digest(content))
        try:
            write_whole(self.path, lambda stream: np.savez(stream, allow_pickle=False, **content))
        except OSError as error:
            raise XevalError(
                f"{self.path}: cannot be written ({error.strerror}); what was searched before is kept: free space, and "
                "give the same command again."
            ) from error
        self.written = time.perf_counter()

    def _read(self) -> Content:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
        except Exception as error:  # a damaged archive raises nearly anything
            raise DataError(f"{self.path} is not a readable checkpoint of a search; delete it.") from error
        if str(content.pop("digest", "")) != _content_digest(content):
            raise DataError(f"{self.path} is damaged; delete it to search from the beginning.")
        if str(content["identity"]) != self.identity:
            raise UsageError(f"{self.path} belongs to a search of other embeddings or settings; delete it.")
        return content


def array_digest(vectors: NDArray[Any]) -> str:
    """Digest of a matrix's type, shape and content, read in blocks."""
    state = hashlib.blake2b(f"{vectors.dtype} {vectors.shape}".encode(), digest_size=16)
    for first in range(0, len(vectors), CHUNK_ROWS):
        state.update(np.ascontiguousarray(vectors[first : first + CHUNK_ROWS]).data)
    return state.hexdigest()


def _content_digest(content: Content) -> str:
    return text_digest(*(f"{name} {array_digest(np.atleast_1d(content[name]))}" for name in sorted(content)))
