"""What a search will take, from a measured matrix product."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xeval.retrieval.candidates import SLACK
from xeval.retrieval.neighbours import device_for, faster_index
from xeval.retrieval.recipes import Centring

# Seconds of the products alone / seconds of the whole search, of 16,000 rows of width 768 by tests/bench/retrieval.py.
EFFICIENCY = {"flat": 0.69, "one-pass": 0.59}


@dataclass(frozen=True)
class Cost:
    """Operations of the matrix products (2 a multiplication), peak bytes beside the embeddings, seconds.

    ``index`` is the exact search that is expected to end sooner.
    """

    operations: float
    bytes: float
    seconds: float
    index: str


def cost(
    source_rows: int,
    target_rows: int,
    width: int,
    k: int = 4,
    *,
    centring: Centring = "none",
    index: Literal["auto", "flat", "one-pass"] = "auto",
    memory: int = 1 << 28,
    device: str | None = None,
) -> Cost:
    """Expected cost of an exact ``search`` in both directions on this machine; measures its products for a moment.

    The seconds are those of the products divided by the share of them that a whole search reaches.

    Args:
        index: an exact one; of the others nothing is known before they are built.
    """
    product = 2.0 * source_rows * target_rows * width
    chosen = faster_index(product, centring, device) if index == "auto" else index
    operations = product if chosen == "one-pass" and centring != "mean_difference" else 2 * product
    kept = (source_rows + target_rows) * (k + SLACK) * 12.0
    if chosen == "flat":
        kept += 4.0 * width * max(source_rows, target_rows)  # the side that FAISS holds
    seconds = operations / (matrix_rate(width, chosen, device) * EFFICIENCY[chosen])
    return Cost(operations, kept + memory, seconds, chosen)


def matrix_rate(width: int, index: str, device: str | None) -> float:
    """Operations per second of one block's matrix product here, the median of five (2 a multiplication)."""
    multiply = _product_by_torch(width, device) if index == "one-pass" else _product_by_numpy(width)
    times = []
    for _ in range(6):
        started = time.perf_counter()
        operations = multiply()
        times.append(time.perf_counter() - started)
    return operations / sorted(times[1:])[2]


def _product_by_numpy(width: int) -> Callable[[], float]:
    rows, columns = np.ones((1024, width), np.float32), np.ones((2048, width), np.float32)
    block = np.empty((1024, 2048), np.float32)

    def multiply() -> float:
        np.matmul(rows, columns.T, out=block)
        return 2.0 * block.size * width

    return multiply


def _product_by_torch(width: int, device: str | None) -> Callable[[], float]:
    import torch

    from xeval.retrieval import one_pass

    where = device_for(device)
    blocks = one_pass.blocks_for(where, width, 1 << 28)
    rows, columns = (torch.ones(count, width, device=where) for count in (blocks.rows, blocks.columns))
    buffer = torch.empty(blocks.rows * blocks.columns, device=where)

    def multiply() -> float:
        one_pass.multiply(rows, columns, buffer)
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        return 2.0 * len(buffer) * width

    return multiply
