"""What a search will take, from a measured matrix product."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Cost:
    """Operations of the one matrix product (2 a multiplication), peak bytes beside the embeddings, seconds."""

    operations: float
    bytes: float
    seconds: float
    precision: str


def cost(
    source_rows: int,
    target_rows: int,
    width: int,
    k: int = 4,
    *,
    memory: int = 1 << 28,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    device: str | None = None,
) -> Cost:
    """Expected cost of ``search`` in both directions on this machine; measures its products for a moment.

    The seconds are those of the product and of reading every similarity once per direction, which was measured
    to take a tenth of a float32 product of width 768 (``tests/bench/retrieval.py``).
    """
    from xeval.retrieval.engine import matrix_rate

    rates: dict[Literal["float32", "bfloat16"], float] = {}
    if precision != "bfloat16":
        rates["float32"] = matrix_rate(width, "float32", device)
    if precision != "float32":
        rates["bfloat16"] = matrix_rate(width, "bfloat16", device)
    chosen = max(rates, key=lambda name: rates[name])
    entries = float(source_rows) * target_rows
    operations = 2.0 * entries * width
    kept = (source_rows + target_rows) * (k + 20) * 16.0
    return Cost(operations, kept + memory, operations / rates[chosen] + READING_SECONDS * entries, chosen)


READING_SECONDS = 0.0
