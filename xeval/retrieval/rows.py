"""Rows of embeddings before they are searched: which can be, which have no direction, and some rows as a collection."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from xeval.errors import DataError

Vectors = NDArray[np.floating[Any]]
Role = Literal["source", "target"]
Transform = Literal["unit", "distance"]
CHUNK_ROWS = 1024
# Between these lengths a row and its scale to length 1 are ordinary numbers of float32, in which products are made.
SHORTEST = 2.0**-100
# Up to these no product overflows; ``distance`` squares lengths, and 1 / (1 + squared distance) stays above 0.
LONGEST: dict[Transform, float] = {"unit": 2.0**100, "distance": 2.0**60}
# What is left of a row without its side's mean is rounding, not a direction, from this share of the mean's length down.
CENTRED_AWAY = 2.0**-40


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

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Vectors:
        return self.vectors[self.rows[rows]]


def row_lengths(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of every row; inf or 0 where the squares overflow or vanish."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return lengths
