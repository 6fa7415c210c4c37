"""Item-level models: hops among the items of multi-hop sets, and correctness on condition, type and hops.

Both resample item clusters only: they speak of these very checkpoints, for new items, not of new training seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import pandas as pd

from xeval.analysis.estimate.selection import transfer_rows
from xeval.analysis.estimate.variance import Floats
from xeval.analysis.frame.tidy import ITEM_NUMBERS
from xeval.analysis.models.cells import MOST_SPLITS, split_of
from xeval.analysis.models.fit import Coefficients, TTest
from xeval.conditions import BASELINE, MULTI_HOP
from xeval.errors import DataError

SMALLEST_ERROR = 1e-6
MOST_ROWS = 3_000_000
EXTREME = 15.0
"""Linear predictors beyond this (odds of three million) mean that a group of items is always right or wrong."""


@dataclass(frozen=True)
class ItemModel:
    """Logistic regression with item clusters; coefficients are marginal log odds ratios.

    Attributes:
        tests: the two combinations of coefficients that the model is for, averaged over conditions.
        rows: rows after summing within cluster and cell.
    """

    coefficients: Coefficients
    tests: Mapping[str, TTest]
    clusters: int
    rows: int
    notes: tuple[str, ...]


def item_model(frame: pd.DataFrame, *, source: str = "en") -> ItemModel:
    """``correct ~ condition x multi-hop + condition x hops + target + language``, robust to item clusters.

    A binomial GLM with cluster-robust covariance; its estimates are those of the independence GEE (Liang & Zeger
    1986), its covariance is multiplied by G / (G - 1) * (n - 1) / (n - p). Hops count beyond two, in multi-hop
    targets; items of unknown depth are left out of no fit but stay at two. t tests on clusters - 1 df.

    Args:
        frame: checked tidy scores (see :func:`.frame.tidy.check`).

    Raises:
        DataError: no condition, no multi-hop target, or a group of items that is always right or wrong.
    """
    rows, patterns, columns, notes = item_rows(frame, source)
    design = np.column_stack(list(columns.values()))
    fit = _binomial(patterns, design)
    names = tuple(columns)
    clusters = int(rows["cluster"].max()) + 1
    if clusters < 2 or len(rows) <= len(names):
        raise DataError(f"{clusters} item clusters are too few for a model with {len(names)} coefficients.")
    covariance = _clustered(rows, design, np.asarray(fit.fittedvalues))
    coefficients = Coefficients(names, np.asarray(fit.params), covariance)
    tests = {
        name: coefficients.test(name, weights, float(clusters - 1))
        for name, weights in interactions(names, conditions_of(patterns)).items()
    }
    if any(tested.se < SMALLEST_ERROR for tested in tests.values()):
        raise DataError("the systems agree on every item, so there is no error of the gains to estimate.")
    return ItemModel(coefficients, tests, clusters, len(rows), tuple(notes))


def interactions(names: Sequence[str], conditions: Sequence[str]) -> dict[str, dict[str, float]]:
    """``gain x multi-hop`` and ``gain x hops``: weights of the mean over conditions, where the columns exist."""
    found = {}
    for kind in ("multi-hop", "hops"):
        members = [f"{name} × {kind}" for name in conditions if f"{name} × {kind}" in names]
        if members:
            found[f"gain × {kind}"] = dict.fromkeys(members, 1.0 / len(members))
    return found


def conditions_of(patterns: pd.DataFrame) -> list[str]:
    """The conditions among the cells, without the baseline, sorted."""
    return sorted(set(patterns["condition"].astype(str)) - {BASELINE})


PATTERN = ["condition", "target", "lang", "multi", "depth"]


def item_rows(
    frame: pd.DataFrame, source: str, by: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Floats], list[str]]:
    """Sums of each cluster and cell, the cells, the design of the cells, and what was left out of it.

    All items of a (condition, target, language, depth) have the same columns, so that the fit needs one row for
    each of these; ``pattern`` in the rows is its place. ``by`` keeps the rows of further columns apart.
    """
    rows = _transfer_rows(frame, source)
    multi = rows["group"].isin(MULTI_HOP)
    if not multi.any() or multi.all():
        raise DataError("condition x multi-hop needs targets of both kinds, multi-hop and other.")
    depth = np.where(multi & (rows["hops"] > 2), rows["hops"] - 2, 0)
    rows = rows.assign(multi=multi, depth=depth)
    rows = rows.groupby([*PATTERN, "cluster_id", *by], observed=True, sort=True)[["num", "den"]].sum()
    rows = rows[rows["den"] > 0].reset_index()
    cell = rows.groupby(PATTERN, observed=True, sort=True)
    patterns = cell[["num", "den"]].sum().reset_index()
    rows["pattern"] = cell.ngroup().to_numpy()
    rows["cluster"] = pd.factorize(rows["cluster_id"], sort=True)[0]
    columns: dict[str, Floats] = {"intercept": np.ones(len(patterns))}
    for name in ("target", "lang"):
        labels = patterns[name].astype(str).to_numpy()
        columns |= {f"{name} {label}": (labels == label).astype(float) for label in sorted(set(labels))[1:]}
    on_multi, depths = patterns["multi"].to_numpy(dtype=float), patterns["depth"].to_numpy(dtype=float)
    columns["hops"] = depths
    condition = patterns["condition"].astype(str).to_numpy()
    for name in conditions_of(patterns):
        on = (condition == name).astype(float)
        columns |= {name: on, f"{name} × multi-hop": on * on_multi, f"{name} × hops": on * depths}
    kept, notes = _independent(columns)
    return rows, patterns, kept, notes


def _transfer_rows(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    if (size := int(frame["main"].sum())) > MOST_ROWS:
        raise DataError(
            f"{size:,} scored items are more than the {MOST_ROWS:,} up to which models of items are fitted; the closed "
            "form, which takes all of them, stands alone."
        )
    return transfer_rows(frame, source)


def _independent(columns: Mapping[str, Floats]) -> tuple[dict[str, Floats], list[str]]:
    """The columns that are no combination of earlier ones, and a sentence for each of the others."""
    kept: dict[str, Floats] = {}
    notes = []
    basis = np.zeros((next(iter(columns.values())).size, 0))
    for name, column in columns.items():
        left = column - basis @ (basis.T @ column)
        left = left - basis @ (basis.T @ left)
        size = float(np.sqrt(left @ left))
        if size <= 1e-8 * max(float(np.sqrt(column @ column)), 1e-300):
            notes.append(f"{name} cannot be told apart from the other terms here and is left out.")
        else:
            kept[name] = column
            basis = np.column_stack([basis, left / size])
    return kept, notes


def _binomial(patterns: pd.DataFrame, design: Floats) -> Any:
    import warnings

    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    share, weight = patterns["num"] / patterns["den"], patterns["den"]
    model = GLM(share.to_numpy(), design, family=Binomial(), var_weights=weight.to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # perfect separation is refused below, in words
        fit = model.fit()
    if not fit.converged or float(np.abs(fit.fittedvalues - 0.5).max()) > 0.5 - np.exp(-EXTREME):
        raise DataError(
            "the item model does not converge: some condition, target or language is always right or always "
            "wrong; leave it out."
        )
    return fit


def _clustered(rows: pd.DataFrame, design: Floats, fitted: Floats) -> Floats:
    """The sandwich over clusters: scores of a cluster are its residuals, cell by cell, times the design."""
    from scipy.sparse import csr_array

    place, cluster = rows["pattern"].to_numpy(), rows["cluster"].to_numpy()
    den = rows["den"].to_numpy(dtype=float)
    residuals = csr_array((rows["num"].to_numpy(dtype=float) - den * fitted[place], (cluster, place)))
    scores = residuals @ design
    weight = np.bincount(place, weights=den) * fitted * (1.0 - fitted)
    bread = np.linalg.inv(design.T @ (weight[:, None] * design))
    (count, columns), n = scores.shape, len(rows)
    factor = count / (count - 1.0) * (n - 1.0) / (n - columns)
    return np.asarray(factor * bread @ (scores.T @ scores) @ bread)


@dataclass(frozen=True)
class HopRegression:
    """Gain per item on its number of hops, among multi-hop items only; ``per_hop`` is in points.

    Attributes:
        by_hops: hops -> (items, mean gain).
        covariates: other coefficients: points per standard deviation, or against the first category of a target.
        plain: ``per_hop`` without any covariate.
        equal_difficulty: ``per_hop`` with the item's baseline score from other baseline runs than those that the gain
            is over, beside the covariates; None where a baseline cannot be split. The score's noise leaves part of
            the effect of difficulty with the hops.
        notes: covariates that were left out, and why.
    """

    per_hop: TTest
    by_hops: Mapping[int, tuple[int, float]]
    items: int
    clusters: int
    covariates: Mapping[str, TTest]
    plain: TTest
    equal_difficulty: TTest | None
    notes: tuple[str, ...]


def hop_regression(frame: pd.DataFrame, *, source: str = "en") -> HopRegression:
    """Per-item gain (mean over seeds, languages and conditions) on the hop count, within each multi-hop target.

    Least squares with target intercepts, covariance robust to item clusters with the usual small-sample factor,
    t on clusters - 1 degrees of freedom. Beside the hops stand the item's covariates where the scores have them for
    every item: numbers (see :data:`.frame.tidy.ITEM_NUMBERS`), and the categories of a target unless they are its
    hop counts under other names. The least confounded evidence on hops, and observational all the same.

    Raises:
        DataError: no multi-hop target, its items all have the same number of hops, or there are too few of them.
    """
    gains, baselines = _item_gains(frame, source)
    if float(np.ptp(gains["gain"])) < SMALLEST_ERROR:
        raise DataError("the gain is the same on every multi-hop item, so there is no error to estimate.")
    labels = gains["target"].astype(str).to_numpy()
    columns = {f"target {target}": (labels == target).astype(float) for target in sorted(set(labels))}
    columns["hops"] = gains["hops"].to_numpy(dtype=float)
    added, notes = _item_covariates(gains)
    full, lost = _independent(columns | added)
    clusters = int(gains["cluster_id"].nunique())
    if clusters <= len(full):
        raise DataError(
            f"{clusters} item clusters are too few for a regression with {len(full)} coefficients."
        )
    fitted, plain = _least_squares(gains, full), _least_squares(gains, columns)
    if min(fitted["hops"].se, plain["hops"].se) < SMALLEST_ERROR:
        raise DataError("the gain is the same on all items of equal hops, so there is no error to estimate.")
    by_hops = {hops: gains.loc[gains["hops"] == hops, "gain"] for hops in sorted(set(gains["hops"].tolist()))}
    return HopRegression(
        per_hop=fitted["hops"],
        by_hops={int(hops): (len(listed), float(listed.mean())) for hops, listed in by_hops.items()},
        items=len(gains),
        clusters=clusters,
        covariates={name: test for name, test in fitted.items() if name in added},
        plain=plain["hops"],
        equal_difficulty=_at_equal_difficulty(gains, baselines, full),
        notes=(*notes, *lost),
    )


def _item_gains(frame: pd.DataFrame, source: str) -> tuple[pd.DataFrame, dict[str, Floats]]:
    """One row per multi-hop item: target, item_id, cluster_id, hops, gain in points, and its covariates.

    Beside them, for every target, the scores of its items (in the order of the rows) under each baseline run.
    """
    rows = _transfer_rows(frame, source)
    rows = rows[rows["group"].isin(MULTI_HOP) & (rows["hops"] > 0) & (rows["den"] > 0)]
    varies = rows.groupby("target", observed=True)["hops"].nunique()
    rows = rows[rows["target"].isin(varies[varies > 1].index)]
    if rows.empty:
        raise DataError(
            "no multi-hop target has items with different numbers of hops; a regression on hops needs them."
        )
    rows = rows.assign(share=100.0 * rows["num"] / rows["den"], treated=rows["condition"] != BASELINE)
    item = ["target", "item_id", "cluster_id", "hops"]
    # Seeds first, then conditions, so that a condition with more runs does not weigh more.
    cells = rows.groupby([*item, "lang", "treated", "condition"], observed=True)["share"].mean()
    sides = cells.groupby([*item, "lang", "treated"], observed=True).mean().unstack("treated")
    found: pd.DataFrame = (sides[True] - sides[False]).groupby(item, observed=True).mean().to_frame("gain")
    by_item = rows.groupby(item, observed=True)
    for name in ITEM_NUMBERS:
        if name in rows.columns:
            found[name] = by_item[name].mean()
    if "category" in rows.columns:
        found["category"] = by_item["category"].first().astype(str)
    found = found.reset_index()
    runs = (
        rows[~rows["treated"]].groupby(["target", "item_id", "lang", "seed"], observed=True)["share"].mean()
    )
    by_run = runs.groupby(["target", "item_id", "seed"], observed=True).mean()
    baselines = {
        str(target): by_run.loc[target].unstack("seed").loc[rows_of["item_id"]].to_numpy(dtype=float)
        for target, rows_of in found.groupby("target", observed=True)
    }
    return found, baselines


def _at_equal_difficulty(
    gains: pd.DataFrame, baselines: Mapping[str, Floats], columns: Mapping[str, Floats]
) -> TTest | None:
    """The coefficient of hops beside the baseline score of held-out runs, mean over splits of the baseline's runs.

    The noise of a run that is on both sides would enter both with opposite signs. Variances are averaged too, which
    overstates that of the mean.
    """
    most = max(scores.shape[1] for scores in baselines.values())
    if min(scores.shape[1] for scores in baselines.values()) < 2 or any(
        np.isnan(scores).any() for scores in baselines.values()
    ):
        return None
    found = []
    for number in range(min(MOST_SPLITS, comb(most, most // 2))):
        moved, difficulty = np.zeros((2, len(gains)))
        for target, scores in baselines.items():
            first, second = (list(part) for part in split_of(scores.shape[1], number))
            place = (gains["target"] == target).to_numpy()
            difficulty[place] = scores[:, first].mean(axis=1)
            moved[place] = scores.mean(axis=1) - scores[:, second].mean(axis=1)
        kept, lost = _independent({**columns, "difficulty": difficulty})
        if lost or len(kept) >= gains["cluster_id"].nunique():
            return None
        found.append(_least_squares(gains.assign(gain=gains["gain"] + moved), kept)["hops"])
    se = float(np.sqrt(np.mean([test.se**2 for test in found])))
    if se < SMALLEST_ERROR:
        return None
    return TTest("hops", float(np.mean([test.value for test in found])), se, found[0].df)


def _item_covariates(gains: pd.DataFrame) -> tuple[dict[str, Floats], list[str]]:
    """Columns beside the hops, and a sentence for each covariate that cannot be one."""
    columns: dict[str, Floats] = {}
    notes = []
    for name in ITEM_NUMBERS:
        if name not in gains.columns:
            continue
        values, shown = gains[name].to_numpy(dtype=float), name.replace("_", " ")
        if (unknown := int(np.isnan(values).sum())) or np.ptp(values) <= 1e-9 * np.abs(values).max():
            why = f"unknown for {unknown} of {len(gains)} items" if unknown else "the same for every item"
            notes.append(f"The {shown} is {why} and is left out.")
        else:
            columns[f"{shown} (SD)"] = (values - values.mean()) / values.std(ddof=1)
    if "category" not in gains.columns:
        return columns, notes
    for target, rows in gains.groupby("target", observed=True):
        names = sorted(set(rows["category"]))
        if len(names) < 2:
            continue
        # Where every category has one hop count, hops have no effect of their own beside the categories.
        if rows.groupby("category", observed=True)["hops"].nunique().max() == 1:
            notes.append(f"The categories of {target} are its hop counts, so they are left out.")
            continue
        for name in names[1:]:
            mark = (gains["target"] == target) & (gains["category"] == name)
            columns[f"{target}: {name or 'no category'}"] = mark.to_numpy(dtype=float)
    return columns, notes


def _least_squares(gains: pd.DataFrame, columns: Mapping[str, Floats]) -> dict[str, TTest]:
    from statsmodels.regression.linear_model import OLS

    codes = pd.factorize(gains["cluster_id"].astype(str), sort=True)[0]
    fit = OLS(gains["gain"].to_numpy(), np.column_stack(list(columns.values()))).fit(
        cov_type="cluster", cov_kwds={"groups": codes}, use_t=True
    )
    named = zip(columns, fit.params, fit.bse, strict=True)
    return {name: TTest(name, float(value), float(se), float(codes.max())) for name, value, se in named}
