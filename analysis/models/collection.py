"""The regressions beside the verdict, as tables that a report prints: fitted, or why not.

Each table stands on its own: what was fitted in words, coefficients with t intervals, diagnostics as sentences. A fit
that is singular or did not converge, or whose design is too small, is said so and not used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from xeval.analysis.estimate.arrays import Study
from xeval.analysis.estimate.selection import languages_of, select
from xeval.analysis.estimate.variance import SCALES, Scale
from xeval.analysis.models.cells import Regression, Tasks, cell_model
from xeval.analysis.models.diagnostics import Diagnostics
from xeval.analysis.models.fit import TTest
from xeval.analysis.models.items import hop_regression, item_model
from xeval.analysis.models.items_mixed import item_mixed
from xeval.analysis.models.languages import covariate, transfer_regression
from xeval.analysis.models.meta_regression import task_gain_regression
from xeval.analysis.tests.multiplicity import adjust
from xeval.conditions import BASELINE
from xeval.errors import DataError, UsageError

COVARIATES = ("syntactic", "log_size")
"""Fixed before any result was seen; the others of :mod:`.models.languages` correlate with these."""
UNITS = {"points": "points", "logit": "log-odds"}


@dataclass(frozen=True)
class Term:
    """A coefficient, or a combination of coefficients, with its t interval and two-sided p."""

    name: str
    estimate: float
    low: float
    high: float
    se: float
    df: float
    p: float


@dataclass(frozen=True)
class RegressionTable:
    """One regression.

    Attributes:
        title: short; ``what``: the model and what its tests generalise to, in a sentence or two.
        rows: coefficients that may be used; empty where nothing was fitted.
        diagnostics: facts on the fit, each a short sentence.
        notes: what was left out and why; why there is no fit, or why it must not be used.
        used: whether the rows may be quoted.
    """

    title: str
    what: str
    rows: tuple[Term, ...]
    diagnostics: tuple[str, ...]
    notes: tuple[str, ...]
    used: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def regressions(frame: pd.DataFrame, study: Study) -> tuple[RegressionTable, ...]:
    """Gains of cells, of tasks, of languages, and items: every model, fitted or with the reason why not.

    Args:
        frame: checked tidy scores; ``study`` is built from them.
    """
    # Sums in matrix products depend on the number of threads in their last digits, and optima with them.
    with threadpool_limits(limits=1, user_api="blas"):
        tables = [_cells(study, tasks, scale) for tasks in TASKS for scale in SCALES]
        tables += [_tasks(study, scale) for scale in SCALES]
        items = (_items, _items_and_runs, _hops)
        tables += [_languages(study), *(table(frame, study.source) for table in items)]
    return tuple(tables)


def _row(test: TTest, name: str = "") -> Term:
    low, high = test.interval
    return Term(name or test.name, test.value, low, high, test.se, test.df, test.p_value)


def _unfitted(title: str, what: str, why: Exception | str) -> RegressionTable:
    return RegressionTable(title, what, (), (), (f"Not fitted: {why}",), used=False)


TASKS: tuple[Tasks, ...] = ("random", "fixed")
GENERALISES = {"random": "other tasks of these types", "fixed": "these very tasks"}


def _cells(study: Study, tasks: Tasks, scale: Scale) -> RegressionTable:
    """The cell model of the gains of every run."""
    title = f"Gains of all cells, for {GENERALISES[tasks]}, in {UNITS[scale]}"
    what = (
        "Linear mixed model (REML) of the gain of every run over a baseline run, per target and language: "
        f"{'group of tasks' if tasks == 'random' else 'task'}, baseline from other baseline runs, covariates of the "
        "language (per standard deviation), and one source of training data are fixed; "
        f"{'tasks, ' if tasks == 'random' else ''}conditions, languages, their combinations with the task, runs and "
        "baseline runs are random."
    )
    pairs = select(study)
    groups = list({pair.target: pair.group for pair in pairs}.values())
    if tasks == "random" and len(groups) == len(set(groups)):
        return _unfitted(title, what, "there is one task per group, so nothing is known of other tasks.")
    names, notes = _known_covariates(languages_of(pairs))
    same_source = [(pair.condition, pair.target) for pair in pairs if pair.same_source]
    try:
        fit = cell_model(study, scale, tasks=tasks, covariate_names=names, same_source=same_source)
    except (DataError, UsageError) as error:
        return _unfitted(title, what, error)
    usable = {**fit.contrasts, **fit.coefficients}
    reasons: dict[str, list[str]] = {}
    for name, why in fit.unusable.items():
        usable.pop(name)
        reasons.setdefault(why, []).append(name)
    if not fit.components:
        usable = {}
    notes += [f"Not used, as {why}: {', '.join(names_of)}." for why, names_of in reasons.items()]
    return RegressionTable(
        title,
        what,
        tuple(_row(test, name.replace("_", " ")) for name, test in usable.items()),
        _described(fit.diagnostics, fit),
        (*notes, *fit.notes),
        used=bool(usable),
    )


def _known_covariates(languages: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The covariates, if enough languages have them: more by 3 than there are covariates."""
    known = [lang for lang in languages if all(lang in covariate(name) for name in COVARIATES)]
    if len(known) >= len(COVARIATES) + 3:
        return COVARIATES, []
    return (), [
        f"{len(known)} transfer languages have known covariates; with fewer than {len(COVARIATES) + 3} the model "
        "has none."
    ]


def _described(of: Diagnostics, fit: Regression) -> tuple[str, ...]:
    levels = ", ".join(f"{name} {of.levels[name]}" for name in fit.components)
    variances = {**fit.components, "residual": fit.residual}
    total = sum(variances.values())
    spread = [f"{name} {np.sqrt(value):.3g} ({value / total:.0%})" for name, value in variances.items()]
    lines = [
        f"{of.rows} gains; levels: {levels}; {of.missing_cells} cells missing.",
        f"Standard deviations (share of variance): {', '.join(spread)}.",
        f"Design: rank {of.rank}, condition number {of.condition_number:.3g}"
        + (f"; variance inflation {_listed(of.vif)}." if of.vif else "."),
        f"-2 log likelihood from {len(of.deviances)} starts: "
        f"{', '.join(f'{value:.4f}' for value in of.deviances)}; largest gradient {of.gradient:.1g}; "
        f"{len(fit.fits)} splits of the baseline runs; {'converged' if fit.converged else 'not converged'}.",
        f"Residuals: correlation with normal quantiles {of.residual_qq:.3f}, of their size with the baseline "
        f"{of.spread_trend:+.2f}; standard deviation {_listed(of.residual_sd_by_type)}.",
    ]
    if of.effects_qq:
        lines.append(f"Random effects: correlation with normal quantiles {_listed(of.effects_qq)}.")
    if of.seed_sd:
        correlation = "unknown" if of.seed_correlation is None else f"{of.seed_correlation:+.2f}"
        lines.append(
            f"Standard deviation between runs, points: {_listed(of.seed_sd)}; correlation of baseline and condition "
            f"runs of one seed number: {correlation}."
        )
    return tuple(lines)


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in values.items())


def _tasks(study: Study, scale: Scale) -> RegressionTable:
    """Meta-regression of the task gains."""
    title = f"Meta-regression of task gains, in {UNITS[scale]}"
    what = (
        "Random-effects meta-regression (REML, Knapp-Hartung t) of the gain of every condition on every task on its "
        "group, with the known covariance of these gains: items, runs and the shared baseline. For other tasks of "
        "these types."
    )
    try:
        meta, contrasts = task_gain_regression(study, scale)
    except (DataError, UsageError) as error:
        return _unfitted(title, what, error)
    notes: list[str] = []
    if not meta.fit.converged:
        notes += meta.fit.problems
    elif "task" in meta.fit.singular:
        notes.append(
            "Not used: no variance between tasks was found, so the fit is singular and nothing is known of other "
            "tasks."
        )
    elif meta.factor == 0.0:
        notes.append("Not used: the gains agree exactly with the model, so there is no standard error.")
    means = {name: meta.test(name, {name: 1.0}, meta.df) for name in meta.names}
    tests = {} if notes else {**{f"gain, {name}": test for name, test in means.items()}, **contrasts}
    starts = ", ".join(f"{value:.4f}" for value in meta.fit.starts)
    diagnostics = (
        f"{meta.fit.rows} gains of {meta.fit.levels['task']} tasks in {len(meta.names)} groups.",
        "Standard deviation beyond sampling error: "
        + _listed({name: float(np.sqrt(value)) for name, value in meta.heterogeneity.items()})
        + f"; Knapp-Hartung factor {meta.factor:.3g}.",
        f"-2 log likelihood from {len(meta.fit.starts)} starts: {starts}; largest gradient "
        f"{meta.fit.gradient:.1g}; {'converged' if meta.fit.converged else 'not converged'}.",
    )
    rows = tuple(_row(test, name) for name, test in tests.items())
    return RegressionTable(title, what, rows, diagnostics, tuple(notes), used=bool(rows))


def _languages(study: Study) -> RegressionTable:
    """Gains by language on typology and size, task by task."""
    title = "Gains on covariates of the language, task by task, in points"
    what = (
        "Per task, the mean gain of the single conditions in each language on its syntactic distance to English and "
        "the logarithm of its pre-training text (per standard deviation), by least squares over languages, as in "
        "Lauscher et al. (2020); the rows' p values are not adjusted for their number."
    )
    rows: list[Term] = []
    diagnostics, notes = [], []
    pairs = select(study)
    for target in study.targets:
        members = [pair for pair in pairs if pair.target == target]
        gains = {
            lang: float(np.mean([_gain(study, pair.condition, target, lang) for pair in members]))
            for lang in languages_of(members)
        }
        try:
            fit = transfer_regression(gains, COVARIATES)
        except (DataError, UsageError) as error:
            notes.append(f"{target}, not fitted: {error}")
            continue
        df = float(len(fit.languages) - len(fit.coefficients))
        rows += [
            _row(
                TTest(
                    f"{target}: {name.replace('_', ' ')}",
                    fit.coefficients[name],
                    fit.standard_errors[name],
                    df,
                )
            )
            for name in COVARIATES
        ]
        alone = ", ".join(
            f"{name.replace('_', ' ')} {value:+.2f}" for name, value in fit.correlations.items()
        )
        diagnostics.append(
            f"{target}: {len(fit.languages)} languages, R squared {fit.r_squared:.2f}; mean absolute error of each "
            f"language predicted from the others {fit.error:.2f} points, by their mean alone "
            f"{fit.error_of_mean:.2f}; correlation of the gain with {alone}."
        )
        notes += [f"{target}: {note}" for note in fit.notes]
    if rows:
        adjusted = adjust([row.p for row in rows], "holm")
        least = int(np.argmin(adjusted))
        diagnostics.append(
            f"Smallest p of these {len(rows)} coefficients by Holm's method: {adjusted[least]:.3g} "
            f"({rows[least].name})."
        )
    return RegressionTable(title, what, tuple(rows), tuple(diagnostics), tuple(notes), used=bool(rows))


def _gain(study: Study, condition: str, target: str, lang: str) -> float:
    return 100.0 * (study.blocks[condition, target, lang].score - study.blocks[BASELINE, target, lang].score)


def _items(frame: pd.DataFrame, source: str) -> RegressionTable:
    """Correctness of items."""
    title = "Items: correctness on condition, multi-hop target and hops, in log-odds"
    what = (
        "Binomial regression of the items' scores on target, language, hops beyond two and condition, with standard "
        "errors clustered by item; rows are means over conditions. Marginal log odds ratios, for new items under "
        "these very models, not for new seeds."
    )
    try:
        fit = item_model(frame, source=source)
    except (DataError, UsageError) as error:
        return _unfitted(title, what, error)
    diagnostics = (
        f"{fit.rows} sums of items in {fit.clusters} clusters; {len(fit.coefficients.names)} coefficients.",
    )
    rows = tuple(_row(test) for test in fit.tests.values())
    return RegressionTable(title, what, rows, diagnostics, fit.notes, used=bool(rows))


def _items_and_runs(frame: pd.DataFrame, source: str) -> RegressionTable:
    """The cross-check of the items' model with random items and runs."""
    title = "Items and runs: the same with random effects, in log-odds"
    what = (
        "Binomial mixed model (Laplace's approximation) with the same columns and random intercepts of item clusters "
        "and runs; rows are means over conditions. Log odds ratios for one item and one run, for new items and new "
        "seeds."
    )
    try:
        found = item_mixed(frame, source=source)
    except (DataError, UsageError) as error:
        return _unfitted(title, what, error)
    fit, notes = found.fit, list(found.notes)
    if not fit.converged:
        notes.append(f"Not used: the fit did not converge (largest gradient {fit.gradient:.2g}).")
    if fit.singular:
        notes.append(
            f"Not used: no variance was found for {', '.join(fit.singular)}, so the fit is singular."
        )
    usable = fit.converged and not fit.singular
    levels = ", ".join(f"{name} {count}" for name, count in fit.levels.items())
    diagnostics = (
        f"{fit.rows} sums of items by run; levels: {levels}; {len(fit.names)} coefficients.",
        f"Standard deviations, log-odds: {_listed(fit.deviations)}.",
        f"-2 log likelihood {fit.deviance:.4f}; largest gradient {fit.gradient:.1g}; "
        f"{'converged' if fit.converged else 'not converged'}.",
    )
    rows = tuple(_row(test) for test in found.tests.values()) if usable else ()
    return RegressionTable(title, what, rows, diagnostics, tuple(notes), used=bool(rows))


def _hops(frame: pd.DataFrame, source: str) -> RegressionTable:
    """Gain per item on its hops, within multi-hop targets."""
    title = "Items of multi-hop targets: gain on the number of hops, in points"
    what = (
        "Least squares of each item's gain (mean over runs, languages and conditions) on its hop count, within "
        "target, beside what else is known of the item; standard errors clustered by item. For new items under these "
        "very models, and observational."
    )
    try:
        fit = hop_regression(frame, source=source)
    except (DataError, UsageError) as error:
        return _unfitted(title, what, error)
    rows = [_row(fit.per_hop, "one hop more")]
    if fit.covariates:
        rows.append(_row(fit.plain, "one hop more, without covariates"))
    if fit.equal_difficulty:
        rows.append(_row(fit.equal_difficulty, "one hop more, at equal baseline score in other runs"))
    rows += [_row(test) for test in fit.covariates.values()]
    means = "; ".join(f"{hops}: {mean:+.2f} ({items} items)" for hops, (items, mean) in fit.by_hops.items())
    diagnostics = (f"{fit.items} items in {fit.clusters} clusters.", f"Mean gain by hops: {means}.")
    return RegressionTable(title, what, tuple(rows), diagnostics, fit.notes, used=True)
