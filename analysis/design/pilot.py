"""Variance components of C from the runs of a pilot study, for :mod:`.design.power`."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.special import chdtri

from xeval.analysis.design.power import Side
from xeval.analysis.estimate.arrays import Study, Weights
from xeval.analysis.estimate.estimands import KEY, contrast, match
from xeval.conditions import BASELINE, CLASSIFICATION, MULTI_HOP_QA
from xeval.errors import DataError

GROUPS = (MULTI_HOP_QA, CLASSIFICATION)
UPPER = 0.8
"""Level of the upper limit of a run SD: a few runs tell little of it (Browne 1995 plans with such a limit)."""


@dataclass(frozen=True)
class Pilot:
    """Variance components of C as a pilot study shows them.

    Attributes:
        sides: multi-hop QA, then classification.
        df: degrees of freedom of each side's run variance.
        conditions: intermediate tasks that the pilot averages.
        targets, languages: what enters.
    """

    sides: tuple[Side, ...]
    df: tuple[int, ...]
    conditions: tuple[str, ...]
    targets: tuple[str, ...]
    languages: tuple[str, ...]

    def upper_sides(self) -> tuple[Side, ...]:
        """The sides with the 80 % upper limits of their run variances."""
        factors = [df / float(chdtri(df, UPPER)) for df in self.df]
        return tuple(
            replace(side, run_variance=side.run_variance * factor)
            for side, factor in zip(self.sides, factors, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def pilot(study: Study) -> Pilot:
    """Components of C from the runs of a (small) study.

    Run variances are pooled over baseline and conditions, as a pilot has few runs of each. Where the two sides share
    items, their item variances are scaled so that together they give the variance of the difference.

    Raises:
        DataError: the study has no C, or no condition with several runs.
    """
    found = contrast(study, KEY)
    matched = match(study, found.conditions, GROUPS) if found else None
    if found is None or matched is None:
        raise DataError(
            "the pilot has no multi-hop QA and classification target with a shared language and condition, so "
            "it says nothing of C; evaluate both, or plan without a pilot."
        )
    parts = [_side(study, matched.gains[group], len(found.conditions)) for group in GROUPS]
    joint = found.points.variance_items
    joint -= sum(share * side.residual_variance / side.clusters for side, _, share in parts)
    apart = sum(side.item_variance / side.clusters for side, _, _ in parts)
    factor = max(0.0, joint) / apart if apart > 0.0 else 1.0
    return Pilot(
        sides=tuple(replace(side, item_variance=side.item_variance * factor) for side, _, _ in parts),
        df=tuple(df for _, df, _ in parts),
        conditions=found.conditions,
        targets=found.targets,
        languages=found.languages,
    )


def _side(study: Study, gain: Weights, conditions: int) -> tuple[Side, int, float]:
    """One group's components, the degrees of freedom of its run variance, and h = 1/S0 + 1/(K S1).

    Every (condition, seed) counts as one run of all the group's tasks and languages.
    """
    used = {cell: weight for cell, weight in gain.items() if weight != 0.0}
    clusters = np.unique(np.concatenate([study.blocks[cell].clusters for cell in used]))
    squares, noise, df, share = 0.0, 0.0, 0, 0.0
    mean_influence = np.zeros(clusters.size)
    for condition in sorted({name for name, _, _ in used}):
        cells = [cell for cell in sorted(used) if cell[0] == condition]
        seeds = sorted(set.intersection(*(set(study.blocks[cell].seeds) for cell in cells)))
        # A condition's weights sum to 1/K, the baseline's to -1; both are brought to the size of one score.
        unit = 1.0 if condition == BASELINE else float(conditions)
        scores, influence = np.zeros(len(seeds)), np.zeros((len(seeds), clusters.size))
        for cell in cells:
            block = study.blocks[cell]
            rows = [block.seeds.index(seed) for seed in seeds]
            columns = np.searchsorted(clusters, block.clusters)
            scores += 100.0 * unit * used[cell] * block.scores[rows]
            influence[:, columns] += 100.0 * unit * used[cell] * block.influence[rows]
            mean_influence[columns] += 100.0 * used[cell] * block.mean_influence
        share += 1.0 / (unit**2 * max(1, len(seeds)))
        if len(seeds) > 1:
            squares += float(((scores - scores.mean()) ** 2).sum())
            noise += float(((influence - influence.mean(axis=0)) ** 2).sum())
            df += len(seeds) - 1
    if df == 0:
        raise DataError(
            "the pilot has a single run of every condition, so the variation between seeds is unknown; train at "
            "least two seeds of one, or plan without a pilot."
        )
    N = clusters.size
    per_cluster = N * N / (N - 1.0)  # from a variance of the mean, divided by N, to one divided by N - 1
    residual = noise / df * per_cluster
    items = float((mean_influence**2).sum()) * per_cluster
    side = Side(
        run_variance=max(0.0, squares / df - residual / N),
        item_variance=max(0.0, items - residual * share),
        residual_variance=residual,
        clusters=int(N),
    )
    return side, df, share
