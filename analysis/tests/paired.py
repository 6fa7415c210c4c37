"""The exact test of two runs on the same independent items."""

import numpy as np

from xeval.analysis.estimate.arrays import Study, Weights
from xeval.errors import UsageError


def mcnemar(study: Study, weights: Weights) -> float:
    """The two-sided p of the exact McNemar test (1947) of two runs on independent items that are right or wrong.

    Raises:
        UsageError: it would not hold its level: several languages, runs per condition, or items per cluster.
    """
    used = {cell: weight for cell, weight in weights.items() if weight}
    instead = "use the two-way interval (Study.estimate), which takes whole clusters."
    if sorted(used.values()) != [-1.0, 1.0]:
        raise UsageError(
            f"McNemar's test compares two runs, but the estimand weighs {len(used)} cells; {instead}"
        )
    (_, *first_place), (_, *second_place) = used
    if first_place != second_place:
        raise UsageError(f"McNemar's test compares two runs on one target and language; {instead}")
    first, second = (study.blocks[cell] for cell in sorted(used, key=lambda cell: -used[cell]))
    where = f"target {first_place[0]!r}, language {first_place[1]!r}"
    if max(len(first.seeds), len(second.seeds)) > 1:
        raise UsageError(f"{where}: McNemar's test takes one run per condition, not several seeds; {instead}")
    if not all(
        (block.den == 1.0).all() and np.isin(block.num, (0.0, 1.0)).all() for block in (first, second)
    ):
        raise UsageError(
            f"{where}: McNemar's test takes independent items that are right or wrong, but here are clusters of "
            f"several items or graded scores; {instead}"
        )
    from scipy.stats import binomtest

    only_first = int((first.num > second.num).sum())
    discordant = int((first.num != second.num).sum())
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
