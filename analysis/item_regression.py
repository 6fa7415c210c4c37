"""Item-level models: hops among the items of multi-hop sets, and correctness on condition, type and hops.

Both resample item clusters only: they speak of these very checkpoints, for new items, not of new training seeds.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.estimands import single_conditions
from analysis.mixed_fit import TTest
from analysis.scores import BASELINE, MULTI_HOP_CLASSIFICATION, MULTI_HOP_QA, main_rows
from analysis.variance import Floats
from xeval.errors import DataError

MULTI_HOP = (MULTI_HOP_CLASSIFICATION, MULTI_HOP_QA)
CONDITIONAL = "conditional on these models"
EXTREME = 15.0
"""Linear predictors beyond this (odds of three million) mean that a group of items is always right or wrong."""


@dataclass(frozen=True)
class ItemModel:
    """Logistic regression with item clusters; coefficients are marginal log odds ratios.

    Attributes:
        coefficients: every column; ``tests`` the two that the model is for, averaged over conditions.
        rows: rows after summing within cluster and cell.
    """

    coefficients: Mapping[str, TTest]
    tests: Mapping[str, TTest]
    clusters: int
    rows: int
    notes: tuple[str, ...]
    label: str = CONDITIONAL

    def to_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "coefficients": {name: test.to_dict() for name, test in self.coefficients.items()},
            "tests": {name: test.to_dict() for name, test in self.tests.items()},
            "clusters": self.clusters,
            "rows": self.rows,
            "notes": list(self.notes),
        }


def item_model(frame: pd.DataFrame, *, source: str = "en") -> ItemModel:
    """``correct ~ condition x multi-hop + condition x hops + target + language``, robust to item clusters.

    A binomial GLM with cluster-robust covariance; its estimates are those of the independence GEE (Liang & Zeger
    1986), its covariance is multiplied by G / (G - 1) * (n - 1) / (n - p). Hops count beyond two, in multi-hop
    targets; items of unknown depth are left out of no fit but stay at two. t tests on clusters - 1 df.

    Args:
        frame: checked tidy scores (see :func:`analysis.scores.check`).

    Raises:
        DataError: no condition, no multi-hop target, or a group of items that is always right or wrong.
    """
    rows = _transfer_rows(frame, source)
    groups = {"multi": rows["group"].isin(MULTI_HOP)}
    if not groups["multi"].any() or groups["multi"].all():
        raise DataError("condition x multi-hop needs targets of both kinds, multi-hop and other.")
    depth = np.where(groups["multi"] & (rows["hops"] > 2), rows["hops"] - 2, 0)
    cell = ["condition", "target", "lang", "cluster_id", "multi", "depth"]
    rows = rows.assign(multi=groups["multi"], depth=depth)
    rows = rows.groupby(cell, observed=True, sort=True)[["num", "den"]].sum().reset_index()
    rows = rows[rows["den"] > 0]
    conditions = sorted(set(rows["condition"].astype(str)) - {BASELINE})
    columns: dict[str, Floats] = {"intercept": np.ones(len(rows))}
    for name in ("target", "lang"):
        labels = rows[name].astype(str).to_numpy()
        columns |= {f"{name} {one}": (labels == one).astype(float) for one in sorted(set(labels))[1:]}
    multi, depths = rows["multi"].to_numpy(dtype=float), rows["depth"].to_numpy(dtype=float)
    columns["hops"] = depths
    own = rows["condition"].astype(str).to_numpy()
    for name in conditions:
        on = (own == name).astype(float)
        columns |= {name: on, f"{name} × multi-hop": on * multi, f"{name} × hops": on * depths}
    kept, notes = _independent(columns)
    fit = _clustered_binomial(rows, kept)
    clusters = int(rows["cluster_id"].nunique())
    beta, covariance = np.asarray(fit.params), np.asarray(fit.cov_params())
    names = list(kept)

    def test(name: str, weights: Mapping[str, float]) -> TTest:
        d = np.array([weights.get(one, 0.0) for one in names])
        return TTest(name, float(d @ beta), float(np.sqrt(d @ covariance @ d)), float(clusters - 1))

    tests = {}
    for kind in ("multi-hop", "hops"):
        members = [f"{name} × {kind}" for name in conditions if f"{name} × {kind}" in kept]
        if members:
            label = f"gain × {kind}"
            tests[label] = test(label, dict.fromkeys(members, 1.0 / len(members)))
    return ItemModel(
        {name: test(name, {name: 1.0}) for name in names}, tests, clusters, len(rows), tuple(notes)
    )


def _transfer_rows(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    rows = main_rows(frame)
    rows = rows[rows["lang"].astype(str) != source]
    conditions = single_conditions(sorted(set(rows["condition"].astype(str)) - {BASELINE}))
    if not conditions:
        raise DataError("only the baseline has scores in a transfer language; there is no gain to model.")
    kept: pd.DataFrame = rows[rows["condition"].astype(str).isin([BASELINE, *conditions])]
    return kept


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


def _clustered_binomial(rows: pd.DataFrame, columns: Mapping[str, Floats]) -> Any:
    import warnings

    from statsmodels.api import GLM, families

    share = (rows["num"] / rows["den"]).to_numpy(dtype=float)
    codes = pd.factorize(rows["cluster_id"].astype(str), sort=True)[0]
    model = GLM(
        share, np.column_stack(list(columns.values())), family=families.Binomial(),
        var_weights=rows["den"].to_numpy(dtype=float),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # perfect separation is refused below, in words
        fit = model.fit(cov_type="cluster", cov_kwds={"groups": codes})
    if not fit.converged or float(np.abs(fit.fittedvalues - 0.5).max()) > 0.5 - np.exp(-EXTREME):
        raise DataError(
            "the item model does not converge: some condition, target or language is always right or always "
            "wrong; leave it out."
        )
    return fit


@dataclass(frozen=True)
class HopRegression:
    """Gain per item on its number of hops, among multi-hop items only; ``per_hop`` is in points.

    ``by_hops``: hops -> (items, mean gain).
    """

    per_hop: TTest
    by_hops: Mapping[int, tuple[int, float]]
    items: int
    clusters: int
    label: str = CONDITIONAL

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"per_hop": self.per_hop.to_dict()}


def hop_regression(frame: pd.DataFrame, *, source: str = "en") -> HopRegression:
    """Per-item gain (mean over seeds, languages and conditions) on the hop count, within each multi-hop target.

    Least squares with target intercepts, covariance robust to item clusters with the usual small-sample factor,
    t on clusters - 1 degrees of freedom. The least confounded evidence on hops, and observational all the same.

    Raises:
        DataError: no multi-hop target, or its items all have the same number of hops.
    """
    from statsmodels.api import OLS

    rows = _transfer_rows(frame, source)
    rows = rows[rows["group"].isin(MULTI_HOP) & (rows["hops"] > 0) & (rows["den"] > 0)]
    varies = rows.groupby("target", observed=True)["hops"].nunique()
    rows = rows[rows["target"].isin(varies[varies > 1].index)]
    if rows.empty:
        raise DataError(
            "no multi-hop target has items with different numbers of hops; a regression on hops needs them."
        )
    rows = rows.assign(
        share=100.0 * rows["num"] / rows["den"], treated=rows["condition"].astype(str) != BASELINE
    )
    item = ["target", "item_id", "cluster_id", "hops"]
    # Seeds first, then conditions, so that a condition with more runs does not weigh more.
    cells = rows.groupby([*item, "lang", "treated", "condition"], observed=True)["share"].mean()
    sides = cells.groupby([*item, "lang", "treated"], observed=True).mean().unstack("treated")
    gains = (sides[True] - sides[False]).groupby(item, observed=True).mean().reset_index(name="gain")
    labels = gains["target"].astype(str).to_numpy()
    X = np.column_stack(
        [*[(labels == one).astype(float) for one in sorted(set(labels))], gains["hops"].to_numpy(dtype=float)]
    )
    codes = pd.factorize(gains["cluster_id"].astype(str), sort=True)[0]
    clusters = int(codes.max()) + 1
    fit = OLS(gains["gain"].to_numpy(), X).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
    by_hops = {hops: gains.loc[gains["hops"] == hops, "gain"] for hops in sorted(set(gains["hops"].tolist()))}
    return HopRegression(
        per_hop=TTest("points per hop", float(fit.params[-1]), float(fit.bse[-1]), float(clusters - 1)),
        by_hops={int(hops): (len(own), float(own.mean())) for hops, own in by_hops.items()},
        items=len(gains),
        clusters=clusters,
    )
