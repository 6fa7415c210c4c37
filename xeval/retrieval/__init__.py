"""Nearest neighbours by cosine with FAISS."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Neighbours:
    """``rows`` [queries, k] of the index, nearest first, and their cosine ``similarities`` [queries, k]."""

    rows: NDArray[np.int64]
    similarities: NDArray[np.float32]


def nearest(queries: NDArray[np.float32], index: NDArray[np.float32], k: int = 1) -> Neighbours:
    """Exact k nearest rows of ``index`` [n, width] for each of ``queries`` [m, width] by cosine similarity."""
    import faiss

    searcher = faiss.IndexFlatIP(index.shape[1])
    searcher.add(_unit(index))
    similarities, rows = searcher.search(_unit(queries), k)
    return Neighbours(rows, similarities)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(norms, np.float32(1e-12)), dtype=np.float32)
