"""A file of embeddings that grows block by block; what an earlier run left of it is checked before it is used."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xeval.digests import text_digest
from xeval.errors import XevalError
from xeval.files import write_text


class EmbeddingFile:
    """A ``.npy`` file of float32 rows [texts, width], and beside it, in ``<name>.done``, which blocks of it are whole.

    The state names the texts by their digest and every block by the digest of its bytes, so that neither the rows of
    other texts nor a file that was cut or altered is taken for what it is not. Blocks are written by ordinary writes:
    a full disk is then an error, where a write into a mapped file would kill the process.

    Attributes:
        done: rows that are whole.
    """

    def __init__(
        self, path: Path, texts: Sequence[str], width: int, tell: Callable[[str], None] | None = None
    ) -> None:
        self.path, self.state = path, path.with_suffix(".done")
        self.shape = (len(texts), width)
        self.texts = text_digest(*texts)
        header = BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": self.shape}
        )
        self.header = header.getvalue()
        self.blocks: list[tuple[int, str]] = []  # rows and digest
        problem = self._resume()
        if problem and tell is not None:
            again = (
                f"sentences from number {self.done + 1} on are embedded again"
                if self.done
                else "it starts again"
            )
            tell(f"{path}: {problem}; {again}.")

    @property
    def done(self) -> int:
        return sum(rows for rows, _ in self.blocks)

    def append(self, rows: NDArray[np.float32]) -> None:
        """Write the rows that come next, to the disk, and then that they are whole.

        Raises:
            XevalError: the disk is full or the folder cannot be written; the blocks before stay.
        """
        if rows.shape[1] != self.shape[1]:
            raise XevalError(f"embeddings have {rows.shape[1]} numbers, and {self.shape[1]} were expected.")
        content = np.ascontiguousarray(rows, dtype="<f4").data.cast("B")
        blocks = [*self.blocks, (len(rows), _digest(content))]
        try:
            with self.path.open("r+b" if self.path.exists() else "w+b") as file:
                file.write(self.header)
                file.seek(self._size(self.done))
                file.write(content)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
            write_text(
                self.state, json.dumps({"texts": self.texts, "width": self.shape[1], "blocks": blocks})
            )
        except OSError as error:
            raise XevalError(
                f"{self.path}: cannot be written ({error.strerror}); what was embedded before is kept: free space, and "
                "give the same command again."
            ) from error
        self.blocks = blocks

    def rows(self) -> NDArray[np.float32]:
        """All rows, mapped for reading: they take no memory of their own."""
        mapped: NDArray[np.float32] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return mapped

    def _size(self, rows: int) -> int:
        return len(self.header) + 4 * rows * self.shape[1]

    def _resume(self) -> str:
        """Take over the blocks that are whole; gives what is wrong with the others, or nothing."""
        if not self.state.exists():
            return ""
        try:
            state = json.loads(self.state.read_bytes())
            if (state["texts"], state["width"]) != (self.texts, self.shape[1]):
                return "was begun for other sentences"
            blocks = [(int(rows), str(digest)) for rows, digest in state["blocks"]]
        except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return "what an interrupted run noted of it is damaged"
        if any(rows < 1 for rows, _ in blocks) or sum(rows for rows, _ in blocks) > self.shape[0]:
            return "what an interrupted run noted of it is damaged"
        try:
            with self.path.open("rb") as file:
                if file.read(len(self.header)) != self.header:
                    return "is no file of these embeddings"
                for rows, digest in blocks:
                    if _digest(file.read(4 * rows * self.shape[1])) != digest:
                        return "is damaged or was cut"
                    self.blocks.append((rows, digest))
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        return ""


def _digest(content: bytes | memoryview) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
