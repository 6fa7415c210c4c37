"""Batches by token budget: sorted by length, so that a batch of short sentences is large and padding small."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xeval.encoder.tokens import Ids

Sharing = Literal["any", "equal lengths", "none"]
"""Which sequences may be in one batch: shorter ones are padded, none is, or each is alone."""
DEFAULT_TOKEN_BUDGET = {"cpu": 2048, "cuda": 65536}


@dataclass(frozen=True)
class Sequences:
    """Token sequences and what the reduction on the device needs to know of each.

    Attributes:
        ids: one int32 array per sequence, special tokens included.
        types: segment numbers of the same lengths; None where the model takes none.
        marks: small integers per sequence [sequences, marks], meaning defined by the task kind.
    """

    ids: list[Ids]
    types: list[Ids] | None = None
    marks: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens per sequence."""
        return np.fromiter((len(ids) for ids in self.ids), np.int64, len(self.ids))

    def distinct(self) -> tuple[list[bytes], NDArray[np.int64], NDArray[np.int64]]:
        """Keys and rows of the first occurrences, and for every sequence its number among them."""
        seen: dict[bytes, int] = {}
        first: list[int] = []
        inverse = np.empty(len(self.ids), np.int64)
        for row, ids in enumerate(self.ids):
            key = ids.tobytes()
            if self.types is not None:
                key += b"|" + self.types[row].tobytes()
            if self.marks is not None:
                key += b"|" + self.marks[row].tobytes()
            if key not in seen:
                seen[key] = len(first)
                first.append(row)
            inverse[row] = seen[key]
        return list(seen), np.asarray(first, np.int64), inverse


def by_token_budget(
    lengths: NDArray[np.int64],
    rows: Sequence[int] | NDArray[np.int64],
    budget: int,
    sharing: Sharing = "any",
) -> Iterator[NDArray[np.int64]]:
    """Cut ``rows``, sorted longest first, into batches of at most ``budget`` padded tokens (at least one row).

    The longest come first, so that memory runs out in the first batch or never.
    """
    rows = np.asarray(rows, np.int64)
    order = rows[np.argsort(-lengths[rows], kind="stable")]
    start = 0
    while start < len(order):
        length = lengths[order[start]]
        count = 1 if sharing == "none" else max(1, budget // max(1, int(length)))
        if sharing == "equal lengths":
            count = min(count, int((lengths[order[start : start + count]] == length).sum()))
        yield order[start : start + count]
        start += count
