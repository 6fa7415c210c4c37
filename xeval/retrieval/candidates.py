"""Candidates for the nearest neighbours: by FAISS in float32, a few more of every query than are asked for."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xeval.retrieval.embeddings import EmbeddingMatrix

Way = Literal["forward", "backward"]
Method = Literal["flat", "ivf", "hnsw"]
SLACK = 4  # candidates beyond k
QUERIES_AT_ONCE = 4096  # as many as FAISS multiplies at once
LINKS = 32  # of a row in a small-world graph


class Step(NamedTuple):
    """How many queries are done, in parts too, and whether the tables hold the state after just these."""

    done: float
    whole: bool


@dataclass(frozen=True)
class Candidates:
    """The best rows of an index for every query, in the order of a product in float32.

    Attributes:
        values, columns: products and row numbers [queries, at most k + SLACK], falling; -inf and -1 where none was
            found.
    """

    queries: EmbeddingMatrix
    index: EmbeddingMatrix
    values: NDArray[np.float32]
    columns: NDArray[np.int64]

    @classmethod
    def empty(cls, queries: EmbeddingMatrix, index: EmbeddingMatrix, k: int) -> "Candidates":
        """A table to be filled."""
        shape = len(queries), min(k + SLACK, len(index))
        return cls(queries, index, np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64))


def fill_by_faiss(
    tables: Mapping[Way, Candidates], begun: int, method: Method, effort: int, memory: int, seed: int = 0
) -> Iterator[Step]:
    """Fill the tables one after the other, from query ``begun`` on, counted over both.

    ``flat`` compares every query with every row; ``ivf`` = inverted lists around 4 * sqrt(n) centres; ``hnsw`` =
    small-world graph. A graph that several threads build may differ from time to time.

    Args:
        effort: lists probed a query (ivf), or length of the graph search's queue (hnsw).
        memory: bytes for the queries that are asked at once.
    """
    before = 0
    for table in tables.values():
        at_once = max(16, min(QUERIES_AT_ONCE, memory // (8 * table.queries.width)))
        waiting = [part for part in table.queries.chunks(at_once) if before + part.stop > begun]
        for done in _fill(table, waiting, method, effort, seed):
            yield Step(before + done, True)
        before += len(table.queries)


def _fill(
    table: Candidates, waiting: Sequence[slice], method: Method, effort: int, seed: int
) -> Iterator[int]:
    searcher: Any = _index(table, method, effort, seed) if waiting else None
    for part in waiting:
        values, columns = searcher.search(table.queries.converted(part), table.values.shape[1])
        table.values[part] = np.where(columns < 0, -np.inf, values)
        table.columns[part] = columns
        yield part.stop


def describe(method: Method, effort: int, rows: int, k: int) -> str:
    """The index in words, for so many rows."""
    if method == "ivf":
        return f"ivf, {min(effort, _lists(rows))} of {_lists(rows)} lists"
    return "flat" if method == "flat" else f"hnsw, {LINKS} links, queue of {max(effort, k + SLACK)}"


def _index(table: Candidates, method: Method, effort: int, seed: int) -> Any:
    import faiss

    # Rows of ``distance`` are wider than the embeddings, by the columns of the squared lengths.
    width = table.index.converted(slice(0, 1)).shape[1]
    searcher: Any
    if method == "ivf":
        lists = _lists(len(table.index))
        searcher = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
        searcher.cp.seed, searcher.cp.min_points_per_centroid = seed + 1, 1
        searcher.nprobe = min(effort, lists)
        searcher.train(table.index.converted(slice(0, len(table.index))))
    elif method == "hnsw":
        searcher = faiss.IndexHNSWFlat(width, LINKS, faiss.METRIC_INNER_PRODUCT)
        searcher.hnsw.efSearch = max(effort, table.values.shape[1])
    else:
        searcher = faiss.IndexFlatIP(width)
    for part in table.index.chunks(QUERIES_AT_ONCE):
        searcher.add(table.index.converted(part))
    return searcher


def _lists(rows: int) -> int:
    return max(1, min(round(4 * math.sqrt(rows)), rows // 40))
