"""Accuracy."""

from collections.abc import Hashable, Sequence
from operator import eq
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xeval.errors import UsageError

Items: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]


def require_equal_length(first: Sequence[object], second: Sequence[object], what: str) -> None:
    """Refuse to score lists that do not belong together."""
    if len(first) != len(second):
        raise UsageError(f"Cannot score {len(second)} predicted {what} against {len(first)} gold {what}.")


def corpus_score(num: ArrayLike, den: ArrayLike) -> float:
    """sum(num) / sum(den), a metric's score over items; NaN where no item has anything to score."""
    total = float(np.sum(den))
    return float(np.sum(num) / total) if total else float("nan")


def accuracy(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> Items:
    """Per item (1 if equal else 0, 1); for retrieval, gold and predicted are the neighbours."""
    require_equal_length(gold, predicted, "labels")
    return np.fromiter(map(eq, gold, predicted), np.float64, len(gold)), np.ones(len(gold))
