"""Candidates of both directions from one blocked matrix product, where FAISS makes one for each; on a GPU too.

Every product is computed once, in blocks that fit the cache. Each row of either side keeps the best few columns it
has seen. Neither side is held in memory as a whole.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from xeval.retrieval.candidates import Candidates, Step, Way
from xeval.retrieval.embeddings import EmbeddingMatrix

GROUP = 16  # entries of a block that share one test against the threshold


@dataclass(frozen=True)
class Blocks:
    """Rows that are converted at once (``strip``), and rows x columns of one product."""

    strip: int
    rows: int
    columns: int


def fill_by_one_pass(
    tables: Mapping[Way, Candidates], begun: int, device: torch.device, memory: int
) -> Iterator[Step]:
    """Fill the tables from row ``begun`` on, counted over the sweeps: one for both, or one each if rows are shifted.

    Args:
        memory: bytes for blocks on the device.
    """
    forward, backward = tables["forward"], tables["backward"]
    shared = forward.queries is backward.index and forward.index is backward.queries
    before = 0
    with torch.inference_mode(), _full_precision():
        for by_row, by_column in [(forward, backward)] if shared else [(forward, None), (backward, None)]:
            rows = len(by_row.queries)
            if before + rows > begun:
                for step in _sweep(by_row, by_column, max(0, begun - before), device, memory):
                    yield Step(before + step.done, step.whole)
            before += rows


def blocks_for(device: torch.device, width: int, memory: int) -> Blocks:
    """Blocks of 2 Mi entries stay in a CPU's cache; a GPU wants them larger. ``memory`` makes both smaller."""
    entries, strip = (1 << 28, 1 << 16) if device.type == "cuda" else (1 << 21, 1 << 12)
    entries = max(2 * GROUP * GROUP, min(entries, memory // 16))
    rows = max(GROUP, int((entries / 2) ** 0.5) // GROUP * GROUP)
    strip = max(rows, min(strip, memory // (16 * width)) // rows * rows)
    return Blocks(strip, rows, 2 * rows)


def multiply(rows: torch.Tensor, columns: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
    """``rows`` [n, width] times ``columns`` [m, width] transposed, written into ``buffer``."""
    block = buffer[: len(rows) * len(columns)].view(len(rows), len(columns))
    if rows.device.type == "cpu" and torch.get_num_threads() == 1:
        # On AMD, NumPy's BLAS is faster than torch's on one thread. On several its threads and torch's wait for
        # each other by spinning, which halves the speed of a search.
        np.matmul(rows.numpy(), columns.numpy().T, out=block.numpy())
    else:
        torch.mm(rows, columns.T, out=block)
    return block


def _sweep(
    by_row: Candidates, by_column: Candidates | None, begun: int, device: torch.device, memory: int
) -> Iterator[Step]:
    rows, columns = by_row.queries, by_row.index
    best = [_Best(table, device) for table in (by_row, by_column) if table is not None]
    blocks = blocks_for(device, rows.width, memory)
    buffer = torch.empty(blocks.rows * blocks.columns, device=device)
    for first in range(begun, len(rows), blocks.strip):
        strip = _padded(rows, first, blocks.strip, device)
        for column in range(0, len(columns), blocks.columns):
            until = min(column + blocks.columns, len(columns))
            across = _padded(columns, column, blocks.columns, device)
            for offset in range(0, len(strip), blocks.rows):
                block = multiply(strip[offset : offset + blocks.rows], across, buffer)
                block[:, until - column :] = -torch.inf
                block[max(0, len(rows) - first - offset) :] = -torch.inf
                _absorb(best, block, first + offset, column)
            yield Step(min(first + len(strip) * until / len(columns), len(rows)), False)
        for kept in best:
            kept.store()
        yield Step(min(first + blocks.strip, len(rows)), True)


def _absorb(best: "list[_Best]", block: torch.Tensor, first_row: int, first_column: int) -> None:
    rows, columns = block.shape
    real = min(rows, len(best[0].values) - first_row)
    number = torch.arange(columns, device=block.device) + first_column
    seen = block.view(rows, GROUP, -1)[:real]
    best[0].absorb(first_row, seen, seen.amax(1), number.view(GROUP, -1))
    if len(best) > 1:
        real = min(columns, len(best[1].values) - first_column)
        number = torch.arange(rows, device=block.device) + first_row
        across = block.view(GROUP, -1, columns)
        # The maxima first, then turned: reducing a turned view runs over memory the wrong way.
        highest = across.amax(0).T[:real].contiguous()
        best[1].absorb(first_column, across.permute(2, 0, 1)[:real], highest, number.view(GROUP, -1))


class _Best:
    """The table of one direction on the device: on a CPU the table itself."""

    def __init__(self, table: Candidates, device: torch.device) -> None:
        self.table = table
        self.values = torch.from_numpy(table.values).to(device)
        self.columns = torch.from_numpy(table.columns).to(device)

    def store(self) -> None:
        """Write what was found into the table."""
        if self.values.device.type != "cpu":
            self.table.values[:] = self.values.cpu().numpy()
            self.table.columns[:] = self.columns.cpu().numpy()

    def absorb(self, first: int, block: torch.Tensor, highest: torch.Tensor, column: torch.Tensor) -> None:
        """Take in a block seen as [rows, GROUP, groups], with the maxima of its groups [rows, groups].

        ``column`` [GROUP, groups] numbers the entries.

        A row looks at a group only when the group's maximum beats the worst value that the row has kept. A row
        that has kept nothing yet takes as its threshold the width-th best maximum, which so many entries reach.
        """
        rows, _, groups = block.shape
        width = self.values.shape[1]
        threshold = self.values[first : first + rows, -1]
        empty = threshold == -torch.inf
        if groups >= width and bool(empty.any()):
            reached = highest.topk(width, dim=1).values[:, -1]
            below = torch.nextafter(reached, torch.full_like(reached, -torch.inf))
            threshold = torch.where(empty, below, threshold)
        hit_row, hit_group = (highest > threshold[:, None]).nonzero(as_tuple=True)
        if len(hit_row):
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
        pool = torch.full(shape, -torch.inf, device=rows.device)
        numbers = torch.full(shape, -1, dtype=torch.int64, device=rows.device)
        pool[:, :width], numbers[:, :width] = self.values[changed], self.columns[changed]
        pool[group, width + place], numbers[group, width + place] = values, columns
        best = pool.topk(width, dim=1)
        self.values[changed] = best.values
        self.columns[changed] = numbers.gather(1, best.indices)


def _padded(matrix: EmbeddingMatrix, first: int, count: int, device: torch.device) -> torch.Tensor:
    """Rows for a product on the device, with rows of zeros up to a multiple of the group."""
    part = slice(first, min(first + count, len(matrix)))
    values = torch.from_numpy(matrix.converted(part)).to(device)
    missing = -len(values) % GROUP
    return torch.nn.functional.pad(values, (0, 0, 0, missing)) if missing else values


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products without the shortcuts that a process may have switched on: TF32, or bfloat16 on a CPU."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
