"""Exact nearest neighbours in both directions from one blocked matrix product.

Every similarity is computed once, in blocks that fit the cache, in float32 or bfloat16. Each row of either side
keeps the best few columns it has seen, which is more than the k that are asked for. What they are worth is then
computed again in float64, and a bound of the product's rounding tells whether a row that was not kept could
belong among the k best. Rows for which it could are searched again, keeping everything within the bound.
Therefore the result does not depend on block sizes, on the precision of the product, on threads or on the device:
neighbours are ordered by the float64 similarity rounded to float32, equal ones by row number.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from xeval.digests import text_digest
from xeval.errors import DataError, UsageError, XevalError
from xeval.files import write_whole
from xeval.retrieval.neighbours import Neighbours
from xeval.retrieval.recipes import Centring, Similarity
from xeval.retrieval.rows import CHUNK_ROWS, Transform, Vectors, side_mean
from xeval.retrieval.sides import Side

Precision = Literal["auto", "float32", "bfloat16"]
Progress = Callable[[float, float], None]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Columns kept beyond k. In bfloat16, similarities that are 0.002 apart may change places; among 10,000 planted rows
# of width 768 (cosines 0.5 with a spread of 0.02) 20 were enough for all but 0.1 % of them, 12 for 94 %.
SLACK = {torch.float32: 4, torch.bfloat16: 20}
GROUP = 16  # entries of a block that share one test against the threshold
COSINE_RESOLUTION = 2.0**-23  # embeddings are computed in float32 at best
FEW_OPERATIONS = 1e12  # below this the longer lists of bfloat16 cost as much as its faster product saves


@dataclass(frozen=True)
class BothWays:
    """Neighbours of every source row among the targets, and of every target row among the sources.

    Attributes:
        repeated: rows of both sides that had to be searched again because of ties within the rounding bound.
        precision: of the matrix product.
        resolution: similarities up to this one are not told from 0.
    """

    forward: Neighbours
    backward: Neighbours
    repeated: int
    precision: str
    resolution: float = 0.0


@dataclass(frozen=True)
class Blocks:
    """Rows of the source that are converted at once (``strip``), and rows x columns of one product."""

    strip: int
    rows: int
    columns: int


def search(
    source: Vectors,
    target: Vectors,
    k: int,
    *,
    similarity: Similarity = "cosine",
    centring: Centring = "none",
    precision: Precision = "auto",
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
        centring: ``mean_difference`` needs one product per direction, so twice the time.
        precision: of the matrix product, never of the result; ``auto`` measures which is faster here.
        device: a torch device; None takes the GPU where there is one.
        memory: bytes for blocks on the device, beside the embeddings and about 16 (k + 20) bytes a row.
        progress: called with the share that is done (0 to 1) and the seconds left, which are nan in the first call
            of a search that goes on from a checkpoint.
        checkpoint: file from which an interrupted search of the same embeddings goes on, and from which a finished
            one is answered without another sweep. Whoever names it deletes it once the result is safe; with
            ``mean_difference`` a second one stands beside it, with ``.backward`` after its name.
        checkpoint_seconds: least time between two writes of it; the last block is always written.
        restart: told in one sentence why a checkpoint cannot be gone on with, which is then begun again; None raises.

    Raises:
        UsageError: k, the shapes or the precision do not fit, or the checkpoint is of another search.
        XevalError: the checkpoint cannot be written.
        DataError: an embedding is not finite, too long or too short (``rows.py`` has the bounds; rows of zeros are
            as similar as 0 to all), or the checkpoint is damaged.
    """
    check(source, target, k, similarity, centring, precision)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    with torch.inference_mode(), _full_precision():
        passes = _sides(source, target, similarity, centring, where)
        states: list[_Checkpoint | None] = [None] * len(passes)
        if checkpoint is not None:
            identity = text_digest("search 1", _digest(source), _digest(target), str(k), similarity, centring)
            paths = [checkpoint, checkpoint.with_name(f"{checkpoint.name}.backward")][: len(passes)]
            states = [_Checkpoint(path, f"{identity} {path.suffix}", checkpoint_seconds) for path in paths]
            for state in states:
                if state is not None and restart is not None:
                    state.begin_again_if_unusable(restart)
        found: dict[str, Neighbours] = {}
        repeated = 0
        for number, (ways, one, other) in enumerate(passes):
            saved = states[number]
            chosen = _precision(precision, similarity, one, other, saved)
            if chosen == "bfloat16":
                _centre(one, other)
            kept = _Pass(one, other, k, ways, DTYPES[chosen], memory)
            kept.run(_part(progress, number, len(passes)), saved)
            for way in ways:
                queries, index = (one, other) if way == "forward" else (other, one)
                neighbours, again = kept.settle(way, queries, index, memory)
                found[way] = neighbours
                repeated += again
    resolution = COSINE_RESOLUTION if similarity == "cosine" else 0.0
    return BothWays(found["forward"], found["backward"], repeated, chosen, resolution)


def matrix_rate(width: int, precision: Literal["float32", "bfloat16"], device: str | None = None) -> float:
    """Operations per second of one block's matrix product here, the median of five (2 a multiplication)."""
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    blocks = _blocks(where, width, 1 << 28)
    with torch.inference_mode(), _full_precision():
        one = torch.ones(blocks.rows, width, device=where, dtype=DTYPES[precision])
        other = torch.ones(blocks.columns, width, device=where, dtype=DTYPES[precision])
        buffer = torch.empty(blocks.rows * blocks.columns, device=where, dtype=DTYPES[precision])
        times = []
        for _ in range(6):
            started = time.perf_counter()
            _product(one, other, buffer)
            if where.type == "cuda":
                torch.cuda.synchronize(where)
            times.append(time.perf_counter() - started)
    return 2.0 * blocks.rows * blocks.columns * width / sorted(times[1:])[2]


def faster_precision(operations: float, width: int, device: str | None) -> Literal["float32", "bfloat16"]:
    """The precision in which a search of so many operations is expected to end sooner here."""
    if operations < FEW_OPERATIONS:
        return "float32"
    fast = matrix_rate(width, "bfloat16", device) > 1.5 * matrix_rate(width, "float32", device)
    return "bfloat16" if fast else "float32"


class _Best:
    """The best ``width`` columns so far of every row: values in the product's dtype, and column numbers."""

    def __init__(self, rows: int, width: int, dtype: torch.dtype, device: torch.device) -> None:
        self.values = torch.full((rows, width), -torch.inf, dtype=dtype, device=device)
        self.columns = torch.full((rows, width), -1, dtype=torch.int32, device=device)

    def absorb(self, first: int, block: torch.Tensor, highest: torch.Tensor, column: torch.Tensor) -> None:
        """Take in a block seen as [rows, GROUP, groups], with the maxima of its groups [rows, groups].

        ``column`` [GROUP, groups] numbers the entries.

        A row looks at a group only when the group's maximum beats the worst value that the row has kept. A row
        that has kept nothing yet takes as its threshold the width-th best maximum, which so many entries reach.
        """
        rows, _, groups = block.shape
        mine = slice(first, first + rows)
        width = self.values.shape[1]
        threshold = self.values[mine, -1]
        empty = threshold == -torch.inf
        if groups >= width and bool(empty.any()):
            reached = highest.topk(width, dim=1).values[:, -1]
            threshold = torch.where(
                empty, torch.nextafter(reached, -torch.inf * torch.ones_like(reached)), threshold
            )
        hit_row, hit_group = (highest > threshold[:, None]).nonzero(as_tuple=True)
        if not len(hit_row):
            return
        entries = block[hit_row, :, hit_group]
        hit, slot = (entries > threshold[hit_row, None]).nonzero(as_tuple=True)
        self._merge(first + hit_row[hit], column[slot, hit_group[hit]], entries[hit, slot])

    def _merge(self, rows: torch.Tensor, columns: torch.Tensor, values: torch.Tensor) -> None:
        """Insert entries, sorted by row."""
        changed, counts = torch.unique_consecutive(rows, return_counts=True)
        group = torch.arange(len(changed), device=rows.device).repeat_interleave(counts)
        place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[group]
        width = self.values.shape[1]
        shape = (len(changed), width + int(counts.max()))
        pool = torch.full(shape, -torch.inf, dtype=values.dtype, device=rows.device)
        numbers = torch.full(shape, -1, dtype=torch.int32, device=rows.device)
        pool[:, :width], numbers[:, :width] = self.values[changed], self.columns[changed]
        pool[group, width + place], numbers[group, width + place] = values, columns
        best = pool.topk(width, dim=1)
        self.values[changed] = best.values
        self.columns[changed] = numbers.gather(1, best.indices)


class _Pass:
    """One sweep over all blocks, and the best columns that it leaves for one or both directions."""

    def __init__(
        self, one: Side, other: Side, k: int, ways: tuple[str, ...], dtype: torch.dtype, memory: int
    ) -> None:
        self.one, self.other, self.k, self.dtype = one, other, k, dtype
        self.best: dict[str, _Best] = {}
        for way in ways:
            queries, index = (one, other) if way == "forward" else (other, one)
            width = min(k + SLACK[dtype], len(index))
            self.best[way] = _Best(len(queries), width, dtype, one.device)
        self.blocks = _blocks(one.device, one.width, memory)

    def run(self, progress: Progress | None, saved: "_Checkpoint | None") -> None:
        """Sweep, from where the checkpoint left off."""
        begun = saved.load(self.best) if saved is not None else 0
        if begun and progress is not None:
            progress(begun / len(self.one), 0.0 if begun == len(self.one) else math.nan)
        started = time.perf_counter()
        blocks, rows, columns = self.blocks, len(self.one), len(self.other)
        buffer = torch.empty(blocks.rows * blocks.columns, dtype=self.dtype, device=self.one.device)
        for first in range(begun, rows, blocks.strip):
            strip = _padded(self.one.converted(slice(first, min(first + blocks.strip, rows)), self.dtype))
            for column in range(0, columns, blocks.columns):
                until = min(column + blocks.columns, columns)
                other = _padded(self.other.converted(slice(column, until), self.dtype))
                for offset in range(0, len(strip), blocks.rows):
                    block = _product(strip[offset : offset + blocks.rows], other, buffer)
                    block[:, until - column :] = -torch.inf
                    block[max(0, rows - first - offset) :] = -torch.inf
                    self._absorb(block, first + offset, column)
                if progress is not None:
                    inside = len(strip) * (until / columns)
                    swept = min(first + inside, rows) - begun
                    left = (time.perf_counter() - started) / swept * (rows - begun - swept)
                    progress((begun + swept) / rows, left)
            if saved is not None:
                done = min(first + blocks.strip, rows)
                saved.save(self.best, done, at_once=done == rows)

    def _absorb(self, block: torch.Tensor, first_row: int, first_column: int) -> None:
        rows, columns = block.shape
        if "forward" in self.best:
            best = self.best["forward"]
            real = min(rows, len(self.one) - first_row)
            number = torch.arange(columns, device=block.device, dtype=torch.int32) + first_column
            seen = block.view(rows, GROUP, -1)[:real]
            best.absorb(first_row, seen, seen.amax(1), number.view(GROUP, -1))
        if "backward" in self.best:
            best = self.best["backward"]
            real = min(columns, len(self.other) - first_column)
            number = torch.arange(rows, device=block.device, dtype=torch.int32) + first_row
            across = block.view(GROUP, -1, columns)
            # The maxima first, then turned: reducing a turned view runs over memory the wrong way.
            highest = across.amax(0).T[:real].contiguous()
            best.absorb(first_column, across.permute(2, 0, 1)[:real], highest, number.view(GROUP, -1))

    def settle(self, way: str, queries: Side, index: Side, memory: int) -> tuple[Neighbours, int]:
        """The k best in float64 of every query, and how many queries had to be searched again."""
        best, k = self.best[way], min(self.k, len(index))
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        similarities = np.full((len(queries), k), np.nan, dtype=np.float32)
        unsure = np.zeros(len(queries), dtype=bool)
        for chunk in queries.chunks():
            values, columns = best.values[chunk].float().cpu(), best.columns[chunk].cpu().long()
            lower, bound = _bounds(values, k, queries, index, chunk, self.dtype)
            wanted = values.double() + _half_step(values, self.dtype) + bound[:, None] >= lower[:, None]
            if values.shape[1] < len(index):
                unsure[chunk] = wanted[:, -1].numpy()
                wanted &= ~wanted[:, -1:]
            row, slot = (found.numpy() for found in wanted.nonzero(as_tuple=True))
            _keep_best(chunk.start + row, columns.numpy()[row, slot], queries, index, rows, similarities)
        again = np.flatnonzero(unsure)
        at_once = max(GROUP, memory // (8 * len(index)))
        for first in range(0, len(again), at_once):
            chosen = again[first : first + at_once]
            product = _rows_product(queries, index, chosen, self.blocks.columns)
            top = product.topk(k, dim=1).values.cpu()
            lower, bound = _bounds(top, k, queries, index, chosen, torch.float32)
            near = product >= _below(lower - bound).to(product.device)[:, None]
            for part in _parts(near.sum(1).cpu().numpy(), memory // 64):
                row, column = (found.cpu().numpy() for found in near[part].nonzero(as_tuple=True))
                _keep_best(chosen[part][row], column, queries, index, rows, similarities)
        if (rows < 0).any() or not np.isfinite(similarities).all():
            row = int(np.flatnonzero((rows < 0).any(1) | ~np.isfinite(similarities).all(1))[0])
            raise XevalError(
                f"row {row} of the {queries.role} embeddings got no {k} neighbours, because {queries.device} gave "
                "products that are not finite; search again with --device cpu."
            )
        return Neighbours(rows, similarities), len(again)


def check(
    source: Vectors, target: Vectors, k: int, similarity: str, centring: str, precision: str = "auto"
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
        ("similarity", similarity, ("cosine", "euclidean")),
        ("centring", centring, ("none", "language_mean", "mean_difference")),
        ("precision", precision, ("auto", *DTYPES)),
    ):
        if value not in known:
            raise UsageError(f"unknown {what} {value!r}; use {', '.join(known)}.")
    if similarity == "euclidean" and (precision == "bfloat16" or centring == "mean_difference"):
        raise UsageError("euclidean similarity goes with float32 and with no centring or language_mean only.")


def _sides(
    source: Vectors, target: Vectors, similarity: Similarity, centring: Centring, device: torch.device
) -> list[tuple[tuple[str, ...], Side, Side]]:
    """The sweeps to make: the directions of each and its two sides."""
    transform: Transform = "unit" if similarity == "cosine" else "distance"
    first = second = None
    if centring == "language_mean":
        first, second = side_mean("source", source, transform), side_mean("target", target, transform)
    one = Side("source", source, transform, device, first)
    other = Side("target", target, transform, device, second)
    if centring != "mean_difference":
        return [(("forward", "backward"), one, other)]
    difference = _unit_mean(one) - _unit_mean(other)
    moved_source = Side("source", source, "unit", device, after=difference)
    moved_target = Side("target", target, "unit", device, after=-difference)
    return [(("forward",), moved_source, other), (("backward",), one, moved_target)]


def _unit_mean(side: Side) -> NDArray[np.float64]:
    total = np.zeros(side.width)
    for rows in side.chunks():
        total += side.exact(rows).sum(0).cpu().numpy()
    return total / len(side)


def _centre(one: Side, other: Side) -> None:
    """Choose what products in bfloat16 leave out: the common mean, and about the similarity of near neighbours."""
    centre = (_unit_mean(one) + _unit_mean(other)) / 2
    some = np.linspace(0, len(one) - 1, min(len(one), 256)).astype(np.int64)
    others = np.linspace(0, len(other) - 1, min(len(other), CHUNK_ROWS)).astype(np.int64)
    highest = (one.exact(some) @ other.exact(others).T).amax(1)
    for side in (one, other):
        side.centre_for_bfloat16(centre, float(highest.median()))


def _blocks(device: torch.device, width: int, memory: int) -> Blocks:
    """Blocks of 2 Mi entries stay in a CPU's cache; a GPU wants them larger. ``memory`` makes both smaller."""
    entries, strip = (1 << 28, 1 << 16) if device.type == "cuda" else (1 << 21, 1 << 12)
    entries = max(2 * GROUP * GROUP, min(entries, memory // 16))
    rows = max(GROUP, int((entries / 2) ** 0.5) // GROUP * GROUP)
    strip = max(rows, min(strip, memory // (16 * width)) // rows * rows)
    return Blocks(strip, rows, 2 * rows)


def _product(one: torch.Tensor, other: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
    """``one`` [rows, width] times ``other`` [columns, width] transposed, written into ``buffer``."""
    block = buffer[: len(one) * len(other)].view(len(one), len(other))
    if one.device.type == "cpu" and one.dtype == torch.float32 and torch.get_num_threads() == 1:
        # On AMD, NumPy's BLAS is faster than torch's on one thread. On several its threads and torch's wait for
        # each other by spinning, which halves the speed of a search.
        np.matmul(one.numpy(), other.numpy().T, out=block.numpy())
    else:
        torch.mm(one, other.T, out=block)
    return block


def _rows_product(queries: Side, index: Side, rows: NDArray[np.int64], columns: int) -> torch.Tensor:
    """Inner products in float32 of some queries with the whole index."""
    asked = queries.converted(rows, torch.float32)
    product = torch.empty(len(rows), len(index), device=queries.device)
    buffer = torch.empty(len(rows) * columns, device=queries.device)
    for first in range(0, len(index), columns):
        part = index.converted(slice(first, min(first + columns, len(index))), torch.float32)
        product[:, first : first + len(part)] = _product(asked, part, buffer)
    return product


def _padded(values: torch.Tensor) -> torch.Tensor:
    """Rows of zeros appended, to a multiple of the group."""
    missing = -len(values) % GROUP
    return torch.nn.functional.pad(values, (0, 0, 0, missing)) if missing else values


def _bounds(
    values: torch.Tensor,
    k: int,
    queries: Side,
    index: Side,
    rows: slice | NDArray[np.int64],
    dtype: torch.dtype,
) -> tuple[torch.Tensor, torch.Tensor]:
    """For every query: what its k-th best true value is at least, and how far any true value may exceed a kept one.

    With bodies a' and b' that stand for a and b, |a'.b' - a.b| <= |a' - a| |b'| + |a| |b' - b|. A sum of ``width``
    products in float32 is off by at most width * 2^-24 times the product of the rows' lengths (Higham 2002,
    section 3.1); matrix units that sum bfloat16 products truncate, for which four times as much is allowed. The
    last term makes values count as ties that float32 cannot tell apart.
    """
    summation = (queries.width + 4) * (2.0**-24 if dtype == torch.float32 else 2.0**-22)
    asked, other = queries.roundings[dtype], index.roundings[dtype]
    longest, worst = float(other.length.max()), float(other.error.max())
    bound = asked.error[rows] * (longest + worst) + asked.length[rows] * worst
    bound += asked.residual[rows] + float(other.residual.max())
    bound += summation * asked.total[rows] * float(other.total.max())
    kth = values[:, k - 1].double()
    bounds = torch.from_numpy(bound) + 2.0**-23 * (1 + 2 * (kth.abs() + abs(index.offset)))
    return kth - _half_step(values[:, k - 1], dtype) - bounds, bounds


def _below(values: torch.Tensor) -> torch.Tensor:
    """The float32 numbers just below float64 ones."""
    single = values.float()
    return torch.nextafter(single, torch.full_like(single, -torch.inf))


def _parts(counts: NDArray[np.int64], most: int) -> Iterator[slice]:
    """Slices of rows whose counts add up to ``most`` at the most, or of a single row."""
    first = 0
    while first < len(counts):
        size = max(1, int(np.searchsorted(counts[first:].cumsum(), most, side="right")))
        yield slice(first, first + size)
        first += size


def _half_step(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """How far rounding to the product's dtype may have moved a value: half of bfloat16's spacing there."""
    if dtype == torch.float32:
        return torch.zeros_like(values, dtype=torch.float64)
    _, exponent = torch.frexp(values)
    return torch.ldexp(torch.ones_like(values), exponent - 9).double()


def _keep_best(
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    queries: Side,
    index: Side,
    rows: NDArray[np.int64],
    similarities: NDArray[np.float32],
) -> None:
    """Write the best of the candidate pairs, at least k of every query that occurs, into the result."""
    k = rows.shape[1]
    worth = _similarities(row, column, queries, index)
    order = np.lexsort((column, -worth, row))
    row, column, worth = row[order], column[order], worth[order]
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]]) if len(row) else np.empty(0, dtype=np.int64)
    chosen = starts[:, None] + np.arange(k)
    rows[row[starts]] = column[chosen]
    similarities[row[starts]] = worth[chosen]


def _similarities(
    row: NDArray[np.int64], column: NDArray[np.int64], queries: Side, index: Side
) -> NDArray[np.float32]:
    """Similarity of each pair, summed in float64 and rounded to float32."""
    worth = np.empty(len(row), dtype=np.float32)
    step = max(1, (1 << 20) // queries.width)
    for first in range(0, len(row), step):
        part = slice(first, first + step)
        if queries.transform == "distance":
            value = 1 / (1 + queries.exact(row[part]).sub_(index.exact(column[part])).square_().sum(1))
        else:
            value = queries.products(row[part], index, column[part])
        worth[part] = value.float().cpu().numpy()
    return worth


def _precision(
    wanted: Precision, similarity: Similarity, one: Side, other: Side, saved: "_Checkpoint | None"
) -> Literal["float32", "bfloat16"]:
    """The product's precision: as asked, as an interrupted search began, or the faster one."""
    if wanted != "auto":
        return wanted
    if similarity == "euclidean":  # the squared lengths need float32
        return "float32"
    if saved is not None and (begun := saved.precision()) is not None:
        return begun
    return faster_precision(2.0 * len(one) * len(other) * one.width, one.width, str(one.device))


def _part(progress: Progress | None, number: int, count: int) -> Progress | None:
    """The progress of one of several equal parts as progress of the whole."""
    if progress is None or count == 1:
        return progress

    def report(share: float, seconds: float) -> None:
        whole = seconds / (1 - share) if share < 1 else 0.0
        progress((number + share) / count, seconds + whole * (count - number - 1))

    return report


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products without the shortcuts that a process may have switched on: TF32, or bfloat16 on a CPU."""
    precision = torch.get_float32_matmul_precision()
    reduced = torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = reduced


def _digest(vectors: NDArray[Any]) -> str:
    state = hashlib.blake2b(f"{vectors.dtype} {vectors.shape}".encode(), digest_size=16)
    for first in range(0, len(vectors), CHUNK_ROWS):
        state.update(np.ascontiguousarray(vectors[first : first + CHUNK_ROWS]).data)
    return state.hexdigest()


class _Checkpoint:
    """The best columns so far in a file that names the search they belong to and the digest of its content."""

    def __init__(self, path: Path, identity: str, seconds: float) -> None:
        self.path, self.identity, self.seconds = path, identity, seconds
        self.written = time.perf_counter()

    def begin_again_if_unusable(self, tell: Callable[[str], None]) -> None:
        """Remove a file that cannot be gone on with, and say why."""
        try:
            if self.path.exists():
                self._read()
        except (DataError, UsageError) as error:
            tell(f"{str(error).partition(';')[0]}; the search starts again.")
            self.path.unlink(missing_ok=True)

    def precision(self) -> Literal["float32", "bfloat16"] | None:
        """The precision with which the search began; None when it has not."""
        if not self.path.exists():
            return None
        return "bfloat16" if str(self._read()["precision"]) == "bfloat16" else "float32"

    def load(self, best: dict[str, _Best]) -> int:
        """Fill in what was kept; returns the source rows that are done."""
        if not self.path.exists():
            return 0
        content = self._read()
        for way, kept in best.items():
            values = torch.from_numpy(content[f"{way}.values"])
            if values.shape != kept.values.shape or str(content["precision"]) != _name(kept):
                raise UsageError(
                    f"{self.path} was begun with another precision; use that, or delete the file."
                )
            kept.values.copy_(values)
            kept.columns.copy_(torch.from_numpy(content[f"{way}.columns"]))
        return int(content["done"])

    def save(self, best: dict[str, _Best], done: int, *, at_once: bool) -> None:
        """Write under a temporary name and rename, unless the last time was just now and ``at_once`` is not set."""
        if not at_once and time.perf_counter() - self.written < self.seconds:
            return
        content: dict[str, NDArray[Any]] = {"done": np.asarray(done)}
        for way, kept in best.items():
            content[f"{way}.values"] = kept.values.float().cpu().numpy()
            content[f"{way}.columns"] = kept.columns.cpu().numpy()
            content["precision"] = np.asarray(_name(kept))
        content["identity"] = np.asarray(self.identity)
        content["digest"] = np.asarray(_content_digest(content))
        try:
            write_whole(self.path, lambda stream: np.savez(stream, allow_pickle=False, **content))
        except OSError as error:
            raise XevalError(
                f"{self.path}: cannot be written ({error.strerror}); what was searched before is kept: free space, and "
                "give the same command again."
            ) from error
        self.written = time.perf_counter()

    def _read(self) -> dict[str, NDArray[Any]]:
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


def _name(best: _Best) -> str:
    return "bfloat16" if best.values.dtype == torch.bfloat16 else "float32"


def _content_digest(content: dict[str, NDArray[Any]]) -> str:
    return text_digest(*(f"{name} {_digest(np.atleast_1d(content[name]))}" for name in sorted(content)))
