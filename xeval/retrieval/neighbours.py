"""Nearest neighbours with FAISS: the exact search is the reference, the approximate ones report their recall."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xeval.errors import UsageError
from xeval.retrieval.rows import CHUNK_ROWS, Role, Vectors, require_searchable, row_lengths


@dataclass(frozen=True)
class Neighbours:
    """``rows`` [queries, k] of the index, nearest first, and their ``similarities`` [queries, k]."""

    rows: NDArray[np.int64]
    similarities: NDArray[np.float32]


@dataclass(frozen=True)
class Approximate:
    """Neighbours of an index that may miss some.

    Attributes:
        recall: share of the exact k nearest rows that were found, measured on ``sample`` queries.
    """

    neighbours: Neighbours
    method: str
    recall: float
    sample: int

    def __str__(self) -> str:
        k = self.neighbours.rows.shape[1]
        return f"{self.method}: recall@{k} {self.recall:.2%}, measured on {self.sample} queries"


def nearest(queries: Vectors, index: Vectors, k: int = 1) -> Neighbours:
    """Exact k nearest rows of ``index`` [n, width] for each of ``queries`` [m, width] by cosine similarity.

    Which of several equally similar rows comes first is FAISS's own choice; ``xeval.retrieval.search`` fixes it.

    Raises:
        UsageError: k exceeds the index.
        DataError: as ``search``.
    """
    _require_rows(k, index)
    return _exact(_unit("source", queries), _unit("target", index), k)


def approximate(
    queries: Vectors,
    index: Vectors,
    k: int,
    method: Literal["ivf", "hnsw"] = "hnsw",
    effort: int = 64,
    sample: int = 1000,
    seed: int = 0,
) -> Approximate:
    """About the k nearest rows by cosine, and the recall that a sample of exact searches measured.

    Args:
        method: ``ivf`` = inverted lists around 4 * sqrt(n) centres; ``hnsw`` = small-world graph, 32 links a row.
        effort: lists probed a query (ivf), or length of the graph search's queue (hnsw).
        sample: queries, drawn with ``seed``, whose exact neighbours are computed for the recall.

    Raises:
        UsageError: the method is unknown, or k exceeds the index.
        DataError: as ``search``.
    """
    import faiss

    _require_rows(k, index)
    stored, asked = _unit("target", index), _unit("source", queries)
    width = stored.shape[1]
    searcher: Any
    if method == "ivf":
        lists = max(1, min(round(4 * len(stored) ** 0.5), len(stored) // 40))
        searcher = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
        searcher.cp.seed = seed + 1
        searcher.train(stored)
        searcher.nprobe = min(effort, lists)
        name = f"IVF, {searcher.nprobe} of {lists} lists"
    elif method == "hnsw":
        searcher = faiss.IndexHNSWFlat(width, 32, faiss.METRIC_INNER_PRODUCT)
        searcher.hnsw.efSearch = max(effort, k)
        name = f"HNSW, 32 links, queue of {searcher.hnsw.efSearch}"
    else:
        raise UsageError(f"unknown approximate search {method!r}; use ivf or hnsw.")
    searcher.add(stored)
    similarities, rows = searcher.search(asked, k)
    short = (rows < 0).any(1)  # the lists or the queue held fewer than k rows
    if short.any():
        whole = _exact(asked[short], stored, k)
        rows[short], similarities[short] = whole.rows, whole.similarities
    drawn = np.random.default_rng(seed).permutation(len(asked))[:sample]
    true_similarities = _exact(asked[drawn], stored, k).similarities
    # By similarity, so that a row equal to a true neighbour counts as that neighbour.
    found = similarities[drawn] >= true_similarities[:, -1:] - np.float32(1e-6)
    return Approximate(Neighbours(rows, similarities), name, float(found.mean()), len(drawn))


def _exact(asked: NDArray[np.float32], stored: NDArray[np.float32], k: int) -> Neighbours:
    import faiss

    searcher = faiss.IndexFlatIP(stored.shape[1])
    searcher.add(stored)
    similarities, rows = searcher.search(asked, k)
    return Neighbours(rows, similarities)


def _require_rows(k: int, index: Vectors) -> None:
    if not 1 <= k <= len(index):
        raise UsageError(
            f"k = {k} neighbours cannot be had from {len(index)} rows; choose 1 to {len(index)}."
        )


def _unit(role: Role, vectors: Vectors) -> NDArray[np.float32]:
    unit = np.empty(vectors.shape, dtype=np.float32)
    for first in range(0, len(vectors), CHUNK_ROWS):
        rows = np.asarray(vectors[first : first + CHUNK_ROWS], dtype=np.float64)
        lengths = row_lengths(rows)
        require_searchable(role, first, partial(np.asarray, rows), lengths, "unit")
        unit[first : first + len(rows)] = rows / np.where(lengths > 0, lengths, 1)[:, None]
    return unit
