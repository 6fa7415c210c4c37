"""What is shown beside every fitted model, so that a reader can see whether to believe it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xeval.analysis.estimate.arrays import Study
from xeval.analysis.estimate.variance import Floats
from xeval.analysis.models.fit import MixedFit
from xeval.analysis.models.reml import MixedModel
from xeval.conditions import BASELINE


@dataclass(frozen=True)
class Diagnostics:
    """Numbers on the design, the optimum and the residuals.

    Attributes:
        missing_cells: combinations of condition, target and language that were expected and are absent.
        condition_number: of the design matrix with columns of length 1; ``vif``: variance inflation per column.
        deviances: -2 log likelihood from each start; ``gradient``: largest one left at the optimum.
        residual_qq: correlation of the ordered residuals with normal quantiles (1 is normal); ``effects_qq`` per term.
        spread_trend: rank correlation of the absolute residual with the baseline (0: constant spread).
        residual_sd_by_type: residual standard deviation per group of tasks.
        seed_sd: target -> standard deviation of the runs' mean scores, in points, pooled over conditions.
        seed_correlation: of baseline and condition runs with one seed number; None without common seeds.
    """

    rows: int
    levels: Mapping[str, int]
    missing_cells: int
    rank: int
    condition_number: float
    vif: Mapping[str, float]
    deviances: tuple[float, ...]
    gradient: float
    residual_qq: float
    effects_qq: Mapping[str, float]
    spread_trend: float
    residual_sd_by_type: Mapping[str, float]
    seed_sd: Mapping[str, float]
    seed_correlation: float | None


def diagnose(
    model: MixedModel, fits: Sequence[MixedFit], study: Study, groups: Sequence[str], baseline: Floats
) -> Diagnostics:
    """Diagnostics of the first fit; the gradient is the largest of all fits."""
    from scipy.stats import spearmanr

    fit = fits[0]
    X = model.fixed / np.sqrt((model.fixed**2).sum(axis=0))
    trend = float(spearmanr(np.abs(fit.residuals), baseline).statistic) if np.ptp(baseline) > 0 else 0.0
    labels = np.array(groups)
    return Diagnostics(
        rows=fit.rows,
        levels=dict(fit.levels),
        missing_cells=_missing(study),
        rank=int(np.linalg.matrix_rank(model.fixed)),
        condition_number=float(np.linalg.cond(X)),
        vif=variance_inflation(model.fixed, model.names),
        deviances=fit.starts,
        gradient=max(each.gradient for each in fits),
        residual_qq=normal_correlation(fit.residuals),
        effects_qq={
            name: normal_correlation(effects)
            for name, effects in fit.effects.items()
            if len(effects) > 2 and name not in fit.singular
        },
        spread_trend=trend,
        residual_sd_by_type={
            str(name): float(fit.residuals[labels == name].std()) for name in sorted(set(groups))
        },
        seed_sd=_seed_sd(study),
        seed_correlation=_seed_correlation(study),
    )


def variance_inflation(X: Floats, names: Sequence[str]) -> dict[str, float]:
    """1 / (1 - R^2) of each column on the others; columns that only mark groups of rows are left out.

    A column's R^2 is centred where the others can produce a constant.
    """
    found = {}
    for place, name in enumerate(names):
        column, others = X[:, place], np.delete(X, place, axis=1)
        if len(set(column.tolist())) < 3 or others.shape[1] == 0:
            continue
        residual = column - others @ np.linalg.lstsq(others, column, rcond=None)[0]
        found[name] = float(((column - column.mean()) ** 2).sum() / max(float(residual @ residual), 1e-300))
    return found


def normal_correlation(values: Floats) -> float:
    """Correlation of ordered values with normal quantiles at (i - 3/8) / (n + 1/4) (Blom 1958)."""
    from scipy.special import ndtri

    ordered = np.sort(values)
    if np.ptp(ordered) == 0.0:
        return 0.0
    quantiles = ndtri((np.arange(1, ordered.size + 1) - 0.375) / (ordered.size + 0.25))
    return float(np.corrcoef(ordered, quantiles)[0, 1])


def _missing(study: Study) -> int:
    expected = sum(len(target.languages) for target in study.targets.values()) * (1 + len(study.conditions))
    return expected - len(study.blocks)


def _run_means(study: Study) -> dict[tuple[str, str], dict[int, float]]:
    """(condition, target) -> seed -> mean score over transfer languages, in points."""
    means: dict[tuple[str, str], dict[int, float]] = {}
    for name, target in study.targets.items():
        languages = study.transfer_languages(name)
        for condition, seeds in target.seeds.items():
            blocks = [study.blocks[condition, name, lang] for lang in languages]
            if blocks and len(seeds) > 1:
                scores = 100.0 * np.mean([block.scores for block in blocks], axis=0)
                means[condition, name] = dict(zip(seeds, scores.tolist(), strict=True))
    return means


def _seed_sd(study: Study) -> dict[str, float]:
    squares: dict[str, list[float]] = {}
    for (_, target), runs in _run_means(study).items():
        squares.setdefault(target, []).append(float(np.var(list(runs.values()), ddof=1)))
    return {target: float(np.sqrt(np.mean(values))) for target, values in squares.items()}


def _seed_correlation(study: Study) -> float | None:
    means = _run_means(study)
    left: list[float] = []
    right: list[float] = []
    for (condition, target), runs in means.items():
        base = means.get((BASELINE, target), {})
        common = sorted(set(runs) & set(base))
        if condition == BASELINE or len(common) < 2:
            continue
        for side, values in ((left, base), (right, runs)):
            runs_shared = np.array([values[seed] for seed in common])
            side += (runs_shared - runs_shared.mean()).tolist()
    if not left or np.ptp(left) == 0.0 or np.ptp(right) == 0.0:
        return None
    return float(np.corrcoef(left, right)[0, 1])
