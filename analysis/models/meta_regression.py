"""Random-effects meta-regression of task gains with the known covariance of their errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xeval.analysis.estimate.arrays import Cell, Study
from xeval.analysis.estimate.estimands import task_gain
from xeval.analysis.estimate.selection import select
from xeval.analysis.estimate.variance import Floats, Scale, transform
from xeval.analysis.models.cells import CONTRASTS
from xeval.analysis.models.fit import Coefficients, MixedFit, RandomTerm, TTest, random_term
from xeval.analysis.models.reml import mixed_model
from xeval.conditions import GROUPS
from xeval.errors import DataError

SMALLEST_EIGENVALUE = 1e-10
"""Of a correlation matrix: below this, rounding decides what its inverse is."""


@dataclass(frozen=True)
class MetaRegression(Coefficients):
    """Random-effects meta-regression.

    Attributes:
        beta: fixed effects; ``covariance`` is Knapp-Hartung's, ``factor`` times the model's.
        heterogeneity: random term -> variance between units beyond their sampling error.
        df: of the t tests.
    """

    factor: float
    heterogeneity: Mapping[str, float]
    df: float
    fit: MixedFit


def meta_regression(
    effects: Floats,
    covariance: Floats,
    fixed: Floats,
    names: Sequence[str],
    terms: Sequence[RandomTerm] = (),
    df: float | None = None,
) -> MetaRegression:
    """REML heterogeneity and Knapp-Hartung t tests for estimates with a known covariance matrix.

    The standard errors are scaled by ``(y - Xb)' M^-1 (y - Xb) / (n - p)``, M the covariance with heterogeneity
    (Knapp & Hartung 2003, Statistics in Medicine 22), without a lower limit.

    Args:
        effects: (n,) estimates; ``covariance`` (n, n) of their sampling errors.
        terms: groupings that differ beyond sampling error; each estimate for itself if none is given.
        df: degrees of freedom; n - p if None.

    Raises:
        DataError: the covariance is not positive definite, or there are too few estimates.
    """
    n, p = fixed.shape
    size = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    if float(np.linalg.eigvalsh(covariance / np.outer(size, size))[0]) < SMALLEST_EIGENVALUE:
        raise DataError(
            "the covariance of the estimates is not positive definite: some estimates never vary, or only together."
        )
    random = list(terms) or [random_term("estimate", range(n))]
    fit = mixed_model(effects, fixed, names, random, residual_covariance=covariance).fit()
    M = covariance.astype(np.float64).copy()
    for term in random:
        same = term.codes[:, None] == term.codes[None, :]
        M += same * fit.components[term.name]
    error = effects - fixed @ fit.beta
    factor = float(error @ np.linalg.solve(M, error)) / (n - p)
    return MetaRegression(
        names=tuple(names),
        beta=fit.beta,
        covariance=factor * fit.covariance,
        factor=factor,
        heterogeneity={term.name: fit.components[term.name] for term in random},
        df=float(n - p) if df is None else df,
        fit=fit,
    )


def sampling_covariance(study: Study, estimands: Sequence[Mapping[Cell, float]], scale: Scale) -> Floats:
    """(n, n) design-based covariance of estimands: items and seeds that they share are counted as shared.

    The matrix form of :func:`.estimate.variance.estimate`: sums of cross-products of the cluster influences, plus for
    each population of runs the cross-products between runs minus those of the residuals, without its negative
    eigenvalues.

    Raises:
        DataError: a trained condition has a single run.
    """
    count = len(estimands)
    items = np.zeros((count, study.cluster_count))
    populations: dict[int, list[tuple[int, float, Any]]] = {}
    for number, weights in enumerate(estimands):
        for cell, weight in sorted(weights.items()):
            block = study.blocks[cell]
            if weight == 0.0:
                continue
            if len(block.seeds) == 1 and not block.deterministic:
                raise DataError(
                    f"condition {cell[0]!r}, target {cell[1]!r}: a single run, so the variance between seeds is "
                    "unknown; train more seeds for a meta-regression."
                )
            slope = transform(block.score, block.denominator, scale)[1]
            gradient = weight * slope * np.sqrt(block.clusters.size / (block.clusters.size - 1.0))
            items[number, block.clusters] += gradient * block.mean_influence
            if len(block.seeds) > 1:
                populations.setdefault(block.population, []).append((number, weight * slope, block))
    total = items @ items.T
    for listed in populations.values():
        part = np.zeros((count, count))
        for seed in sorted({seed for *_, block in listed for seed in block.seeds}):
            scores = np.zeros(count)
            residual = np.zeros((count, study.cluster_count))
            for number, slope, block in listed:
                if seed not in block.seeds:
                    continue
                row, runs, size = block.seeds.index(seed), len(block.seeds), block.clusters.size
                factor = slope / np.sqrt(runs * (runs - 1.0))
                scores[number] += factor * (block.scores[row] - block.score)
                noise = block.influence[row] - block.mean_influence
                residual[number, block.clusters] += factor * np.sqrt(size / (size - 1.0)) * noise
            part += np.outer(scores, scores) - residual @ residual.T
        values, vectors = np.linalg.eigh(part)
        total += (vectors * np.maximum(values, 0.0)) @ vectors.T
    return np.asarray(total)


def task_gain_regression(study: Study, scale: Scale) -> tuple[MetaRegression, dict[str, TTest]]:
    """Task gains G(k,t) of the single conditions on their group, and the contrasts between groups.

    Heterogeneity between tasks (the unit of the generalisation: df is tasks - types) and, with several conditions,
    between the gains of a task, unless it is zero.

    Raises:
        DataError: there are no more tasks than groups, or a condition has a single run.
    """
    pairs = select(study)
    targets = [pair.target for pair in pairs]
    groups = [group for group in GROUPS if any(pair.group == group for pair in pairs)]
    df = len(set(targets)) - len(groups)
    if df < 1:
        raise DataError(
            f"{len(set(targets))} tasks in {len(groups)} groups: with one task per group nothing is known of "
            "other tasks; use the design-based contrast."
        )
    estimands = [task_gain((pair.condition,), pair.target, pair.languages) for pair in pairs]
    values = np.array([study.estimate(estimand, scale).value for estimand in estimands])
    fixed = np.array([[float(pair.group == group) for group in groups] for pair in pairs])
    terms = [random_term("task", targets)]
    if len(pairs) > len(set(targets)):
        terms.append(random_term("gain", range(len(pairs))))
    sampling = sampling_covariance(study, estimands, scale)
    meta = meta_regression(values, sampling, fixed, groups, terms, float(df))
    if meta.fit.converged and meta.fit.singular == ("gain",):
        meta = meta_regression(values, sampling, fixed, groups, terms[:1], float(df))
    contrasts = {
        name: meta.test(name, {above: 1.0, below: -1.0}, meta.df)
        for name, (above, below) in CONTRASTS.items()
        if above in groups and below in groups
    }
    return meta, contrasts
