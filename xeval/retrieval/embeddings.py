"""Embeddings as a search sees them: checked, and normalised or shifted block by block, never as a whole."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from xeval.errors import DataError

Vectors = NDArray[np.floating[Any]]
Rows = slice | NDArray[np.int64]
Role = Literal["source", "target"]
Transform = Literal["unit", "distance"]
CHUNK_ROWS = 1024
# Between these lengths a row and its scale to length 1 are ordinary numbers of float32, in which products are made.
SHORTEST = 2.0**-100
# Up to these no product overflows; ``distance`` squares lengths, and 1 / (1 + squared distance) stays above 0.
LONGEST: dict[Transform, float] = {"unit": 2.0**100, "distance": 2.0**60}
# What is left of a row without its side's mean is rounding, not a direction, from this share of the mean's length down.
CENTRED_AWAY = 2.0**-40
# A component of a converted row is off by a few roundings of float32 (2^-24 each) of the terms it is made from.
CONVERSION = 2.0**-22


class EmbeddingMatrix:
    """Rows v of a collection such that one inner product per pair orders what is searched.

    With r = e - before for an embedding e, ``unit`` has v = r / |r| - after (a row of zeros stays zero) and the
    product v.w; ``distance`` has v = r and the product -|v - w|^2 / 2, by the columns -|v|^2 / 2 and 1.

    Attributes:
        length: of every row as the product takes it, an upper bound.
        error: length of the difference between that row and the true one, an upper bound.

    Raises:
        DataError: a row cannot be searched (:func:`require_searchable`).
    """

    def __init__(
        self,
        role: Role,
        vectors: Vectors,
        transform: Transform,
        before: NDArray[np.float64] | None = None,
        after: NDArray[np.float64] | None = None,
    ) -> None:
        self.role, self.vectors, self.transform = role, vectors, transform
        self.before, self.after = before, after
        self.scale = np.ones(len(vectors))
        self.length = np.empty(len(vectors))
        for rows in self.chunks():
            raw = self._raw(rows)
            lengths = row_lengths(raw)
            if before is not None and transform == "unit":
                away = lengths <= CENTRED_AWAY * float(np.linalg.norm(before))
                lengths[away] = 0
                raw[away] = 0
            require_searchable(role, rows.start, partial(np.asarray, raw), lengths, transform)
            if transform == "unit":
                self.scale[rows] = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
            if transform == "unit" and after is None:
                self.length[rows] = np.where(lengths > 0, 1 + CONVERSION, 0.0)
            else:
                self.length[rows] = row_lengths(self.converted(rows).astype(np.float64))
        terms = self.length.copy()
        if before is not None:
            terms += np.linalg.norm(before) * self.scale
        if after is not None:
            terms += np.linalg.norm(after)
        self.error = CONVERSION * terms

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def width(self) -> int:
        """Components of an embedding."""
        return int(self.vectors.shape[1])

    def chunks(self, size: int = CHUNK_ROWS) -> list[slice]:
        """The rows in pieces of ``size``."""
        return [slice(first, min(first + size, len(self))) for first in range(0, len(self), size)]

    def exact(self, rows: Rows) -> NDArray[np.float64]:
        """v in float64 [rows, width]."""
        values = self._raw(rows)
        if self.transform == "unit":
            values *= self.scale[rows, None]
        if self.after is not None:
            values -= self.after
        return values

    def converted(self, rows: Rows) -> NDArray[np.float32]:
        """The rows as the product takes them, contiguous in float32: v, and the columns that ``distance`` needs."""
        values = self.vectors[rows].astype(np.float32, order="C")
        if self.before is not None:
            values -= self.before.astype(np.float32)
        if self.transform == "unit":
            values *= self.scale[rows, None].astype(np.float32)
        if self.after is not None:
            values -= self.after.astype(np.float32)
        if self.transform == "distance":
            half = np.square(values, dtype=np.float64).sum(1, keepdims=True) / -2
            columns = [half, np.ones_like(half)]
            values = np.hstack(
                [values, *(columns if self.role == "source" else columns[::-1])], dtype=np.float32
            )
        return values

    def similarities(
        self, rows: NDArray[np.int64], other: "EmbeddingMatrix", columns: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Similarity of each pair of a row and a row of the other side, summed in float64 and rounded to float32."""
        worth = np.empty(len(rows), dtype=np.float32)
        for first in range(0, len(rows), max(1, (1 << 20) // self.width)):
            part = slice(first, first + max(1, (1 << 20) // self.width))
            row, column = rows[part], columns[part]
            if self.transform == "distance":
                difference = self.exact(row) - other.exact(column)
                worth[part] = 1 / (1 + np.square(difference, out=difference).sum(1))
            elif self.after is None and other.after is None:
                products = self._raw(row)
                products *= other._raw(column)
                worth[part] = products.sum(1) * (self.scale[row] * other.scale[column])
            else:
                worth[part] = (self.exact(row) * other.exact(column)).sum(1)
        return worth

    def mean(self) -> NDArray[np.float64]:
        """Mean of the rows v [width]."""
        total = np.zeros(self.width)
        for rows in self.chunks():
            total += self.exact(rows).sum(0)
        return total / len(self)

    def _raw(self, rows: Rows) -> NDArray[np.float64]:
        values = self.vectors[rows].astype(np.float64, order="C")
        if self.before is not None:
            values -= self.before
        return values


def require_searchable(
    role: Role,
    first: int,
    rows: Callable[[], Vectors],
    lengths: NDArray[np.float64],
    transform: Transform,
) -> None:
    """Raise a DataError that names the first of some rows, numbered from ``first`` on, which cannot be searched.

    Args:
        rows: gives the rows; asked only when one of them looks wrong.
        lengths: of the rows, as float64 sums their squares: these may have overflowed, or vanished.
    """
    wrong = ~(lengths <= LONGEST[transform])
    if transform == "unit":
        wrong |= lengths < SHORTEST
        if (lengths == 0).any():
            wrong &= (lengths > 0) | (np.asarray(rows()) != 0).any(1)  # rows of zeros can be searched
    if not wrong.any():
        return
    row = int(np.flatnonzero(wrong)[0])
    name = f"row {first + row} (counted from 0) of the {role} embeddings"
    values = np.asarray(rows()[row], np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{name} is not finite; embed that sentence again.")
    largest = float(np.abs(values).max())
    length = largest * float(np.linalg.norm(values / largest))
    shortest = SHORTEST if transform == "unit" else 0
    raise DataError(
        f"{name} has length {length:.1e}, and lengths from {shortest:.0e} to {LONGEST[transform]:.0e} can be searched; "
        "scale the embeddings, or embed that sentence again."
    )


def side_mean(role: Role, vectors: Vectors, transform: Transform) -> NDArray[np.float64]:
    """Mean row [width]; raises DataError as :func:`require_searchable` does."""
    total = np.zeros(vectors.shape[1])
    for first in range(0, len(vectors), CHUNK_ROWS):
        rows = np.asarray(vectors[first : first + CHUNK_ROWS], dtype=np.float64)
        require_searchable(role, first, partial(np.asarray, rows), row_lengths(rows), transform)
        total += rows.sum(0)
    return total / len(vectors)


def without_direction(role: Role, vectors: Vectors, centred: bool) -> NDArray[np.int64]:
    """Rows that are all zeros and, where they are ``centred`` by the mean of the others, those that equal it."""
    chunks = [slice(first, first + CHUNK_ROWS) for first in range(0, len(vectors), CHUNK_ROWS)]
    empty = np.concatenate([~np.asarray(vectors[rows]).any(1) for rows in chunks])
    if centred and not empty.all():
        mean = side_mean(role, chosen(vectors, np.flatnonzero(~empty)), "unit")
        left = [row_lengths(np.asarray(vectors[rows], np.float64) - mean) for rows in chunks]
        empty |= np.concatenate(left) <= CENTRED_AWAY * float(np.linalg.norm(mean))
    return np.flatnonzero(empty)


def chosen(vectors: Vectors, rows: NDArray[np.int64]) -> Vectors:
    """Rows in ascending order as a collection, read where they lie; ``vectors`` itself where these are all."""
    return vectors if len(rows) == len(vectors) else cast(Vectors, _Chosen(vectors, rows))


class _Chosen:
    """What a search asks of a matrix: its shape, its type, and rows by slice or number."""

    ndim = 2

    def __init__(self, vectors: Vectors, rows: NDArray[np.int64]) -> None:
        self.vectors, self.rows = vectors, rows
        self.dtype, self.shape = vectors.dtype, (len(rows), vectors.shape[1])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Rows) -> Vectors:
        return self.vectors[self.rows[rows]]


def row_lengths(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of every row; inf or 0 where the squares overflow or vanish."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return lengths
