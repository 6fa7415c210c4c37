"""Nearest neighbours with FAISS: the exact search is the reference, the approximate ones report their recall."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xeval.errors import UsageError

Vectors = NDArray[np.floating[Any]]


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
    """
    import faiss

    searcher = faiss.IndexFlatIP(index.shape[1])
    searcher.add(_unit(index))
    similarities, rows = searcher.search(_unit(queries), k)
    return Neighbours(rows, similarities)


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
    """
    import faiss

    if not 1 <= k <= len(index):
        raise UsageError(
            f"k = {k} neighbours cannot be had from {len(index)} rows; choose 1 to {len(index)}."
        )
    stored, asked = _unit(index), _unit(queries)
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
    drawn = np.random.default_rng(seed).permutation(len(asked))[:sample]
    exact = faiss.IndexFlatIP(width)
    exact.add(stored)
    true_similarities, _ = exact.search(asked[drawn], k)
    # By similarity, so that a row equal to a true neighbour counts as that neighbour.
    found = similarities[drawn] >= true_similarities[:, -1:] - np.float32(1e-6)
    return Approximate(Neighbours(rows, similarities), name, float(found.mean()), len(drawn))


def _unit(vectors: Vectors) -> NDArray[np.float32]:
    single = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(single, axis=1, keepdims=True)
    return np.ascontiguousarray(single / np.maximum(norms, np.float32(1e-12)))
