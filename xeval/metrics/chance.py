"""Whether a score is above what guessing gives."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95


def above_chance(
    num: NDArray[np.float64], den: NDArray[np.float64], clusters: ArrayLike, chance: float
) -> bool:
    """Whether the lower end of the one-sided 95 % t interval of sum(num) / sum(den) over clusters exceeds ``chance``.

    A system that guesses passes in one of twenty cases. The variance is that of a ratio over clusters (Cochran 1977,
    Sampling Techniques, section 6.4, with n / (n - 1)), on n - 1 degrees of freedom.

    Args:
        num, den: [items] each.
        clusters: [items], the cluster that each item belongs to.
        chance: from 0 to 1.
    """
    from scipy.stats import t

    _, codes = np.unique(np.asarray(clusters, str), return_inverse=True)
    sums = np.stack([np.bincount(codes, weights=part) for part in (num, den)])
    n, total = sums.shape[1], sums[1].sum()
    if n < 2 or total == 0:
        return False
    ratio = sums[0].sum() / total
    error = np.sqrt(n / (n - 1) * np.square(sums[0] - ratio * sums[1]).sum()) / total
    return bool(ratio - t.ppf(LEVEL, n - 1) * error > chance)
