"""What a search will take, from a measured matrix product."""

from dataclasses import dataclass
from typing import Literal

from xeval.retrieval.recipes import Centring

# Seconds of the product alone / seconds of the whole search.
EFFICIENCY = {"float32": 0.77, "bfloat16": 0.5}


@dataclass(frozen=True)
class Cost:
    """Operations of the matrix products (2 a multiplication), peak bytes beside the embeddings, seconds."""

    operations: float
    bytes: float
    seconds: float
    precision: str

    def __str__(self) -> str:
        from xeval.console.display import duration

        return (
            f"search {self.operations:.1e} operations in {self.precision}, about {duration(self.seconds)}; memory "
            f"{self.bytes / 1e9:.1f} GB beside the embeddings"
        )


def cost(
    source_rows: int,
    target_rows: int,
    width: int,
    k: int = 4,
    *,
    centring: Centring = "none",
    memory: int = 1 << 28,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    device: str | None = None,
) -> Cost:
    """Expected cost of ``search`` in both directions on this machine; measures its products for a moment.

    The seconds are those of the product divided by the share of them that a whole search reaches, as
    ``tests/bench/retrieval.py`` measured it for 20,000 rows of width 768.
    """
    from xeval.retrieval.engine import faster_precision, matrix_rate

    products = 2 if centring == "mean_difference" else 1  # one for each direction, or one for both
    operations = 2.0 * source_rows * target_rows * width * products
    chosen = faster_precision(operations, width, device) if precision == "auto" else precision
    kept = (source_rows + target_rows) * (k + 20) * 16.0
    seconds = operations / (matrix_rate(width, chosen, device) * EFFICIENCY[chosen])
    return Cost(operations, kept + memory, seconds, chosen)
