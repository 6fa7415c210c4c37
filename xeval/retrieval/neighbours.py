"""Nearest neighbours in both directions: exact whatever finds the candidates, or approximate with a measured recall.

FAISS or the one-pass search gives every query a few more candidates than are asked for, by products in float32. What
these are worth is computed again in float64, and a bound of the product's rounding tells whether a row that is no
candidate could belong among the k best. Queries for which it could are compared with every row, keeping everything
within the bound. Therefore an exact search depends neither on what found the candidates, nor on blocks, threads or
the device: neighbours are ordered by the float64 similarity rounded to float32, equal ones by row number.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from xeval.digests import text_digest
from xeval.errors import UsageError, XevalError
from xeval.retrieval.candidates import Candidates, Step, Way, describe, fill_by_faiss
from xeval.retrieval.checkpoint import SearchCheckpoint, array_digest
from xeval.retrieval.embeddings import EmbeddingMatrix, Role, Transform, Vectors, side_mean
from xeval.retrieval.recipes import Centring, Similarity

if TYPE_CHECKING:
    import torch

Progress = Callable[[float, float], None]
Index = Literal["auto", "flat", "one-pass", "ivf", "hnsw"]
COSINE_RESOLUTION = 2.0**-23  # embeddings are computed in float32 at best
EFFORT = 64
RECALL_QUERIES = 1000
# Operations of one product from which the one-pass search, which needs one instead of two, saves more time than the
# import of PyTorch takes: tests/bench/RESULTS.md.
ONE_PASS_OPERATIONS = 2e11


@dataclass(frozen=True)
class Neighbours:
    """``rows`` [queries, k] of the index, nearest first, and their ``similarities`` [queries, k]."""

    rows: NDArray[np.int64]
    similarities: NDArray[np.float32]


@dataclass(frozen=True)
class BothWays:
    """Neighbours of every source row among the targets, and of every target row among the sources.

    Attributes:
        repeated: rows of both sides that had to be compared with every row, because of ties within the bound.
        index: what found the candidates, in words.
        recall: share of the exact k nearest rows that were found, measured on up to 1,000 queries of each side; 1 of an
            exact search.
        resolution: similarities up to this one are not told from 0.
    """

    forward: Neighbours
    backward: Neighbours
    repeated: int
    index: str
    recall: float = 1.0
    resolution: float = 0.0


def search(
    source: Vectors,
    target: Vectors,
    k: int,
    *,
    similarity: Similarity = "cosine",
    centring: Centring = "none",
    index: Index = "auto",
    effort: int = EFFORT,
    device: str | None = None,
    memory: int = 1 << 28,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    restart: Callable[[str], None] | None = None,
) -> BothWays:
    """The k most similar rows of the other side for every row of ``source`` [n, width] and ``target`` [m, width].

    Args:
        source, target: float16, float32 or float64, in memory or memory-mapped; they are read in blocks.
        k: neighbours a row; a side with fewer rows gives all of them.
        index: ``flat`` (FAISS) and ``one-pass`` are exact and give the same; ``auto`` takes the one that is faster.
            ``ivf`` and ``hnsw`` (FAISS) miss some neighbours, and measure how many.
        effort: of ``ivf`` and ``hnsw``: lists probed a query, or length of the queue.
        device: a torch device for ``one-pass``; None takes the GPU where there is one.
        memory: bytes for blocks, beside the embeddings, about 12 (k + 4) bytes a row, and but for ``one-pass`` a copy
            in float32 of one side.
        progress: called with the share that is done (0 to 1) and the seconds left, which are nan in the first call
            of a search that goes on from a checkpoint.
        checkpoint: file from which an interrupted search of the same embeddings goes on, and from which a finished
            one is answered at once. Whoever names it deletes it once the result is safe.
        checkpoint_seconds: least time between two writes of it; the last block is always written.
        restart: told in one sentence why a checkpoint cannot be gone on with, which is then begun again; None raises.

    Raises:
        UsageError: k, the shapes or the index do not fit, or the checkpoint is of another search.
        XevalError: the checkpoint cannot be written.
        DataError: an embedding is not finite, too long or too short (``embeddings.py`` has the bounds; rows of zeros
            are as similar as 0 to all), or the checkpoint is damaged.
    """
    check(source, target, k, similarity, centring, index)
    operations = 2.0 * len(source) * len(target) * source.shape[1]
    method = faster_index(operations, centring, device) if index == "auto" else index
    tables = _tables(source, target, k, similarity, centring)
    saved = None
    if checkpoint is not None:
        settings = (str(k), similarity, centring, method, *([str(effort)] if _misses_some(method) else []))
        identity = text_digest("search 2", array_digest(source), array_digest(target), *settings)
        saved = SearchCheckpoint(checkpoint, identity, checkpoint_seconds)
    begun = 0 if saved is None else saved.load(tables, restart)
    total = len(source) + len(target)
    if method == "one-pass":
        from xeval.retrieval.one_pass import fill_by_one_pass

        if centring != "mean_difference":  # one sweep over the source rows serves both directions
            total = len(source)
        described, steps = "one-pass", fill_by_one_pass(tables, begun, device_for(device), memory)
    else:
        described = describe(method, effort, len(target), k)
        steps = fill_by_faiss(tables, begun, method, effort, memory)
    _run(steps, tables, begun, total, progress, saved)
    approximate = _misses_some(method)
    forward, repeated = settle(tables["forward"], k, approximate, memory)
    backward, more = settle(tables["backward"], k, approximate, memory)
    recall = 1.0
    if approximate:
        recall = measured_recall(tables, {"forward": forward, "backward": backward}, memory)
    resolution = COSINE_RESOLUTION if similarity == "cosine" else 0.0
    return BothWays(forward, backward, repeated + more, described, recall, resolution)


def check(
    source: Vectors, target: Vectors, k: int, similarity: str, centring: str, index: str = "auto"
) -> None:
    """Raise a UsageError for what :func:`search` cannot be asked for."""
    if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1]:
        raise UsageError(
            f"source {source.shape} and target {target.shape} must be two matrices of equal width; "
            "embed both with the same checkpoint and layer."
        )
    if not len(source) or not len(target):
        raise UsageError("there is nothing to search: one side has no rows.")
    for vectors in (source, target):
        if vectors.dtype.kind != "f" or vectors.dtype.itemsize > 8:
            raise UsageError(f"embeddings are of type {vectors.dtype}; use float32, float16 or float64.")
    if k < 1:
        raise UsageError(f"k is {k}; it must be at least 1.")
    for what, value, known in (
        ("similarity", similarity, get_args(Similarity)),
        ("centring", centring, get_args(Centring)),
        ("index", index, get_args(Index)),
    ):
        if value not in known:
            raise UsageError(f"unknown {what} {value!r}; use {', '.join(known)}.")
    if similarity == "euclidean" and centring == "mean_difference":
        raise UsageError("euclidean similarity goes with no centring or language_mean only.")
    if similarity == "euclidean" and _misses_some(index):
        raise UsageError(f"the index {index} is for cosine similarity; use flat or one-pass for euclidean.")


def faster_index(operations: float, centring: str, device: str | None) -> Literal["flat", "one-pass"]:
    """The exact index that is expected to end sooner, for so many operations of one product.

    Where ``mean_difference`` shifts the queries, both need two products, and only a GPU makes the one pass faster.
    """
    if operations < ONE_PASS_OPERATIONS:
        return "flat"
    return "one-pass" if centring != "mean_difference" or device_for(device).type != "cpu" else "flat"


def device_for(name: str | None) -> "torch.device":
    """The device of that name; of None the GPU where there is one."""
    import torch

    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def _misses_some(index: str) -> bool:
    return index in ("ivf", "hnsw")


def _tables(
    source: Vectors, target: Vectors, k: int, similarity: Similarity, centring: Centring
) -> dict[Way, Candidates]:
    """The empty tables of both directions."""
    transform: Transform = "unit" if similarity == "cosine" else "distance"
    centred = centring == "language_mean"
    sides: tuple[tuple[Role, Vectors], ...] = (("source", source), ("target", target))
    sources, targets = (
        EmbeddingMatrix(role, vectors, transform, side_mean(role, vectors, transform) if centred else None)
        for role, vectors in sides
    )
    asking = sources, targets
    if centring == "mean_difference":
        difference = sources.mean() - targets.mean()
        asking = (
            EmbeddingMatrix("source", source, transform, after=difference),
            EmbeddingMatrix("target", target, transform, after=-difference),
        )
    return {
        "forward": Candidates.empty(asking[0], targets, k),
        "backward": Candidates.empty(asking[1], sources, k),
    }


def _run(
    steps: Iterator[Step],
    tables: Mapping[Way, Candidates],
    begun: int,
    total: int,
    progress: Progress | None,
    saved: SearchCheckpoint | None,
) -> None:
    """Take the steps from the ``begun`` of ``total`` queries on; report and save what is done."""
    if begun and progress is not None:
        progress(begun / total, 0.0 if begun == total else math.nan)
    started = time.perf_counter()
    for step in steps:
        if progress is not None:
            left = (time.perf_counter() - started) / (step.done - begun) * (total - step.done)
            progress(step.done / total, left)
        if saved is not None and step.whole:
            saved.save(tables, int(step.done), at_once=step.done == total)


def settle(found: Candidates, k: int, approximate: bool, memory: int) -> tuple[Neighbours, int]:
    """The k best in float64 of every query, and how many queries had to be compared with every row.

    Args:
        approximate: only the candidates count, unless a query has fewer than k of them.
    """
    queries, index = found.queries, found.index
    k = min(k, len(index))
    best = Neighbours(np.full((len(queries), k), -1), np.full((len(queries), k), np.nan, np.float32))
    unsure = np.zeros(len(queries), dtype=bool)
    for chunk in queries.chunks():
        values, columns = found.values[chunk], found.columns[chunk]
        if approximate:
            wanted = columns >= 0
            unsure[chunk] = ~wanted[:, k - 1]
        else:
            lower, bound = _bounds(values[:, k - 1], queries, index, chunk)
            wanted = values + bound[:, None] >= lower[:, None]
            if values.shape[1] < len(index):
                unsure[chunk] = wanted[:, -1]
        wanted &= ~unsure[chunk, None]
        row, slot = wanted.nonzero()
        _keep_best(best, chunk.start + row, columns[row, slot], queries, index)
    again = np.flatnonzero(unsure)
    _compare_with_all(best, again, queries, index, memory)
    wrong = (best.rows < 0).any(1) | ~np.isfinite(best.similarities).all(1)
    if wrong.any():
        raise XevalError(
            f"row {int(np.flatnonzero(wrong)[0])} of the {queries.role} embeddings got no {k} neighbours, because the "
            "device gave products that are not finite; search again with --device cpu."
        )
    return best, len(again)


def measured_recall(
    tables: Mapping[Way, Candidates], found: Mapping[Way, Neighbours], memory: int, seed: int = 0
) -> float:
    """Share of the exact nearest rows that were found, over a sample of queries of both sides.

    By similarity, so that a row equal to a true neighbour counts as that neighbour.
    """
    shares = []
    for way, table in tables.items():
        drawn = np.random.default_rng(seed).permutation(len(table.queries))[:RECALL_QUERIES]
        nearest = Neighbours(found[way].rows.copy(), found[way].similarities.copy())
        _compare_with_all(nearest, np.sort(drawn), table.queries, table.index, memory)
        shares.append(found[way].similarities[drawn] >= nearest.similarities[drawn, -1:])
    return float(np.concatenate(shares, axis=None).mean())


def _compare_with_all(
    best: Neighbours,
    chosen: NDArray[np.int64],
    queries: EmbeddingMatrix,
    index: EmbeddingMatrix,
    memory: int,
) -> None:
    """Write the k best rows of the whole index, for some queries, into the result."""
    k = best.rows.shape[1]
    at_once = max(16, memory // (8 * len(index)))
    for first in range(0, len(chosen), at_once):
        rows = chosen[first : first + at_once]
        asked = queries.converted(rows)
        product = np.empty((len(rows), len(index)), np.float32)
        for part in index.chunks():
            np.matmul(asked, index.converted(part).T, out=product[:, part])
        kth = np.partition(product, len(index) - k, axis=1)[:, len(index) - k]
        lower, bound = _bounds(kth, queries, index, rows)
        least = np.nextafter((lower - bound).astype(np.float32), np.float32(-np.inf))
        near = product >= least[:, None]
        for some in _parts(near.sum(1), memory // 64):
            row, column = near[some].nonzero()
            _keep_best(best, rows[some][row], column, queries, index)


def _bounds(
    kth: NDArray[np.float32],
    queries: EmbeddingMatrix,
    index: EmbeddingMatrix,
    rows: slice | NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For every query: what its k-th best true value is at least, and how far any true value may exceed a product.

    With a' and b' that stand for a and b, |a'.b' - a.b| <= |a' - a| |b'| + |a| |b' - b|. A sum of ``width`` products in
    float32 is off by at most width * 2^-24 times the product of the rows' lengths, in whatever order (Higham 2002,
    section 3.1). The last term makes values count as ties that float32 cannot tell apart.
    """
    longest, worst = float(index.length.max()), float(index.error.max())
    bound = queries.error[rows] * (longest + worst) + queries.length[rows] * worst
    bound += (queries.width + 4) * 2.0**-24 * queries.length[rows] * longest
    exact = kth.astype(np.float64)
    bound += 2.0**-23 * (1 + 2 * np.abs(exact))
    return exact - bound, bound


def _parts(counts: NDArray[np.int64], most: int) -> Iterator[slice]:
    """Slices of rows whose counts add up to ``most`` at the most, or of a single row."""
    first = 0
    while first < len(counts):
        size = max(1, int(np.searchsorted(counts[first:].cumsum(), most, side="right")))
        yield slice(first, first + size)
        first += size


def _keep_best(
    best: Neighbours,
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    queries: EmbeddingMatrix,
    index: EmbeddingMatrix,
) -> None:
    """Write the best of the candidate pairs, at least k of every query that occurs, into the result."""
    worth = queries.similarities(row, index, column)
    order = np.lexsort((column, -worth, row))
    row, column, worth = row[order], column[order], worth[order]
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]]) if len(row) else np.empty(0, dtype=np.int64)
    kept = starts[:, None] + np.arange(best.rows.shape[1])
    best.rows[row[starts]] = column[kept]
    best.similarities[row[starts]] = worth[kept]
