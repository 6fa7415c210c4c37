"""The other rungs of the regression ladder: scores instead of gains, meta-regression of task gains, task means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xeval.analysis.estimate.estimands import task_gain
from xeval.analysis.estimate.variance import Floats, Scale, transform
from xeval.analysis.frame.arrays import Cell, Study
from xeval.analysis.models.cells import CONTRASTS, estimable
from xeval.analysis.models.diagnostics import Diagnostics, diagnose
from xeval.analysis.models.fit import MixedFit, RandomTerm, TTest, random_term
from xeval.analysis.models.reml import MixedModel, mixed_model
from xeval.conditions import BASELINE, GROUPS, single_conditions
from xeval.errors import DataError

SMALLEST_EIGENVALUE = 1e-10
"""Of a correlation matrix: below this, rounding decides what its inverse is."""
SMALLEST_SPREAD = 1e-9
"""Of gains, in points or log-odds: below this they agree but for rounding."""


@dataclass(frozen=True)
class ScoreModel:
    """Contrasts of gains from a model of the scores themselves; see :func:`score_model`."""

    scale: Scale
    contrasts: Mapping[str, TTest]
    unusable: Mapping[str, str]
    model: MixedModel
    fit: MixedFit
    weights: Mapping[str, Mapping[str, float]]
    diagnostics: Diagnostics
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "contrasts": {name: test.to_dict() for name, test in self.contrasts.items()},
            "unusable": dict(self.unusable),
            "fit": self.fit.to_dict(),
            "diagnostics": self.diagnostics.to_dict(),
            "notes": list(self.notes),
        }


def score_model(study: Study, scale: Scale) -> ScoreModel:
    """Scores of all runs, baseline included, on (target, language) cells and a gain per group.

    Nothing is subtracted, so a shared baseline needs no random terms of its own. The gain varies at random between
    tasks, conditions, languages, and their combinations with the task; every run has an effect.

    Raises:
        DataError: the design is too small.
    """
    value, condition, target, group, lang, run, treated = [], [], [], [], [], [], []
    chosen = (BASELINE, *single_conditions(study.conditions))
    for (name, task, language), block in sorted(study.blocks.items()):
        if name not in chosen or language == study.source:
            continue
        for seed, score in zip(block.seeds, block.scores, strict=True):
            value.append(transform(float(score), block.denominator, scale)[0])
            condition.append(name)
            target.append(task)
            group.append(study.targets[task].group)
            lang.append(language)
            run.append((task, name, seed))
            treated.append(float(name != BASELINE))
    if not any(treated):
        raise DataError("no condition has scores in a transfer language; there is no gain to model.")
    on = np.array(treated)
    cells = sorted(set(zip(target, lang, strict=True)))
    place = {cell: number for number, cell in enumerate(cells)}
    fixed = np.zeros((on.size, len(cells)))
    fixed[np.arange(on.size), [place[cell] for cell in zip(target, lang, strict=True)]] = 1.0
    groups = [name for name in GROUPS if name in set(group)]
    gains = [on * np.array([float(one == name) for one in group]) for name in groups]
    names = [f"{task}, {language}" for task, language in cells] + groups
    fixed = np.column_stack([fixed, *gains])
    labels: dict[str, list[Any]] = {
        "task": target,
        "condition": condition,
        "language": lang,
        "task:condition": list(zip(target, condition, strict=True)),
        "task:language": list(zip(target, lang, strict=True)),
    }
    notes: list[str] = []
    terms = [random_term(name, own, on[:, None]) for name, own in labels.items()]
    terms = estimable([*terms, random_term("run", run)], fixed, notes)
    model = mixed_model(np.array(value), fixed, names, terms)
    fit = model.fit()
    weights = {
        name: {above: 1.0, below: -1.0}
        for name, (above, below) in CONTRASTS.items()
        if above in groups and below in groups
    }
    df = len(set(target)) - len(groups)
    unusable = {}
    for name in weights:
        if not fit.converged:
            unusable[name] = "the fit did not converge"
        elif df <= 0:
            unusable[name] = "no degrees of freedom: there is one task per type"
        elif "task" in fit.singular or "task" not in fit.components:
            unusable[name] = "no variance between tasks was found, so nothing is known of other tasks"
    return ScoreModel(
        scale=scale,
        contrasts={name: fit.test(name, one, float(max(df, 1))) for name, one in weights.items()},
        unusable=unusable,
        model=model,
        fit=fit,
        weights=weights,
        diagnostics=diagnose(model, [fit], study, group, fit.fitted),
        notes=(*notes, *fit.problems),
    )


@dataclass(frozen=True)
class MetaRegression:
    """Random-effects meta-regression.

    Attributes:
        beta: fixed effects; ``covariance`` is Knapp-Hartung's, ``factor`` times the model's.
        heterogeneity: random term -> variance between units beyond their sampling error.
        df: of the t tests.
    """

    names: tuple[str, ...]
    beta: Floats
    covariance: Floats
    factor: float
    heterogeneity: Mapping[str, float]
    df: float
    fit: MixedFit

    def test(self, name: str, weights: Mapping[str, float]) -> TTest:
        direction = np.array([weights.get(one, 0.0) for one in self.names])
        variance = float(direction @ self.covariance @ direction)
        return TTest(name, float(direction @ self.beta), float(np.sqrt(max(0.0, variance))), self.df)

    def to_dict(self) -> dict[str, Any]:
        return {
            "coefficients": {name: self.test(name, {name: 1.0}).to_dict() for name in self.names},
            "factor": self.factor,
            "heterogeneity": dict(self.heterogeneity),
            "df": self.df,
            "converged": self.fit.converged,
            "singular": list(self.fit.singular),
        }


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
        M += same * (term.columns @ fit.components[term.name] @ term.columns.T)
    error = effects - fixed @ fit.beta
    factor = float(error @ np.linalg.solve(M, error)) / (n - p)
    return MetaRegression(
        names=tuple(names),
        beta=fit.beta,
        covariance=factor * fit.covariance,
        factor=factor,
        heterogeneity={term.name: fit.variance(term.name) for term in random},
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
            items[number, block.clusters] += gradient * block.influence.mean(axis=0)
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
                own = block.influence[row] - block.influence.mean(axis=0)
                residual[number, block.clusters] += factor * np.sqrt(size / (size - 1.0)) * own
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
    conditions = single_conditions(study.conditions)
    pairs = [
        (condition, name)
        for name in study.targets
        if study.transfer_languages(name)
        for condition in conditions
        if condition in study.targets[name].seeds
    ]
    targets = [name for _, name in pairs]
    groups = [name for name in GROUPS if any(study.targets[target].group == name for target in targets)]
    df = len(set(targets)) - len(groups)
    if df < 1:
        raise DataError(
            f"{len(set(targets))} tasks in {len(groups)} groups: with one task per group nothing is known of "
            "other tasks; use the design-based contrast."
        )
    estimands = [task_gain((condition,), name, study.transfer_languages(name)) for condition, name in pairs]
    values = np.array([study.estimate(one, scale).value for one in estimands])
    fixed = np.array([[float(study.targets[t].group == name) for name in groups] for t in targets])
    terms = [random_term("task", targets)]
    if len(pairs) > len(set(targets)):
        terms.append(random_term("gain", range(len(pairs))))
    sampling = sampling_covariance(study, estimands, scale)
    meta = meta_regression(values, sampling, fixed, groups, terms, float(df))
    if meta.fit.converged and meta.fit.singular == ("gain",):
        meta = meta_regression(values, sampling, fixed, groups, terms[:1], float(df))
    contrasts = {
        name: meta.test(name, {above: 1.0, below: -1.0})
        for name, (above, below) in CONTRASTS.items()
        if above in groups and below in groups
    }
    return meta, contrasts


def task_mean_test(study: Study, scale: Scale) -> dict[str, TTest]:
    """Contrasts of groups from one mean gain per task, with the pooled variance between tasks of a group.

    Raises:
        DataError: there are no more tasks than groups, or the tasks of a group agree exactly.
    """
    means: dict[str, list[float]] = {}
    for name, target in study.targets.items():
        languages = study.transfer_languages(name)
        own = single_conditions(study.conditions_of([name]))
        if languages and own:
            gain = study.estimate(task_gain(own, name, languages), scale).value
            means.setdefault(target.group, []).append(gain)
    df = sum(len(values) - 1 for values in means.values())
    if df < 1:
        raise DataError("no group has two tasks, so the variance between tasks is unknown.")
    pooled = sum(float(np.sum((np.array(one) - np.mean(one)) ** 2)) for one in means.values()) / df
    if pooled <= SMALLEST_SPREAD**2:
        raise DataError("the tasks of every group have the same gain, so there is no error to estimate.")
    return {
        name: TTest(
            name,
            float(np.mean(means[above]) - np.mean(means[below])),
            float(np.sqrt(pooled * (1 / len(means[above]) + 1 / len(means[below])))),
            float(df),
        )
        for name, (above, below) in CONTRASTS.items()
        if above in means and below in means
    }
