"""Which training set every step draws from."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xeval.train.recipes import Hyperparameters, mixture_weights


def mixture(
    hyper: Hyperparameters,
    rows: Sequence[int],
    steps: int,
    seed: int,
    *,
    mlm_rows: int = 0,
    rows_per_batch: Sequence[float] | None = None,
) -> NDArray[np.int64]:
    """The number of the set that every step draws from; masked language modelling is the last."""
    shares = mixture_shares(hyper, rows, mlm_rows, rows_per_batch)
    return np.random.default_rng(seed).choice(len(shares), size=steps, p=shares)


def mixture_shares(
    hyper: Hyperparameters,
    rows: Sequence[int],
    mlm_rows: int = 0,
    rows_per_batch: Sequence[float] | None = None,
) -> NDArray[np.float64]:
    """The share of the steps of every set, masked language modelling last.

    Proportional to the rows n, to ``min(n, cap)``, or to ``min(n, cap) ** (1 / T)``: examples-proportional and
    temperature-scaled mixing of T5 (Raffel et al. 2020, arXiv 1910.10683, 3.5.2), which are the proportional
    and the temperature sampler of jiant. mBERT's smoothing exponent S is 1 / T.

    Args:
        rows_per_batch: mean of every set and of the lines for masked language modelling, where
            ``batch_tokens`` cuts the batches: sets of long rows then take more steps for the same rows.
    """
    weights: NDArray[np.float64] = np.asarray(mixture_weights(hyper, rows, mlm_rows), np.float64)
    if hyper.mixture_temperature is not None:
        weights = weights ** (1 / hyper.mixture_temperature)
    if rows_per_batch is not None:
        weights = weights / np.asarray(rows_per_batch[: len(weights)])
    shares: NDArray[np.float64] = weights / weights.sum()
    if mlm_rows and hyper.mlm_share is not None:
        shares = np.append(shares * (1 - hyper.mlm_share), hyper.mlm_share)
    return shares
