"""The item model with random item clusters and runs: the cross-check of :func:`.models.items.item_model`.

Its coefficients are log odds ratios for one item and one run, hence farther from 0 than the marginal ones, and its
standard errors count new runs as well as new items.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xeval.analysis.models.fit import TTest, random_term
from xeval.analysis.models.items import conditions_of, interactions, item_rows
from xeval.analysis.models.laplace import BinomialMixedFit, binomial_mixed
from xeval.errors import DataError

MOST_ROWS = 20_000
MOST_LEVELS = 1_500


@dataclass(frozen=True)
class ItemMixed:
    """The fit, its ``tests`` averaged over conditions (t on runs - cells), and what was left out."""

    fit: BinomialMixedFit
    tests: Mapping[str, TTest]
    notes: tuple[str, ...]


def item_mixed(frame: pd.DataFrame, *, source: str = "en") -> ItemMixed:
    """``correct ~ condition x multi-hop + condition x hops + target + language + (1 | item cluster) + (1 | run)``.

    Laplace's approximation (see :mod:`.models.laplace`). Targets whose metric counts no right answers are left out.

    Args:
        frame: checked tidy scores (see :func:`.frame.tidy.check`).

    Raises:
        DataError: the design is too small or too large for it, not of both kinds, multi-hop and other, or no metric
            counts right answers.
    """
    counted, notes = _counted(frame)
    rows, patterns, columns, lost = item_rows(counted, source, by=("seed",))
    if len(rows) > MOST_ROWS:
        raise DataError(
            f"{len(rows):,} sums of items by run are too many; the mixed model is fitted up to {MOST_ROWS:,}, and the "
            "clustered model stands alone."
        )
    run = list(zip(rows["target"], rows["condition"], rows["seed"], strict=True))
    runs, cells = len(set(run)), len(patterns[["target", "condition"]].drop_duplicates())
    if runs <= cells:
        raise DataError(
            "every condition of every target has one run, so runs cannot be told from conditions."
        )
    terms = [random_term("item cluster", rows["cluster"].tolist()), random_term("run", run)]
    if min(term.levels for term in terms) > MOST_LEVELS:
        raise DataError(
            f"there are more than {MOST_LEVELS:,} item clusters and as many runs; fit fewer of them."
        )
    design = np.column_stack(list(columns.values()))[rows["pattern"].to_numpy()]
    fit = binomial_mixed(
        rows["num"].to_numpy(dtype=float), rows["den"].to_numpy(dtype=float), design, list(columns), terms
    )
    tests = {
        name: fit.test(name, weights, float(runs - cells))
        for name, weights in interactions(fit.names, conditions_of(patterns)).items()
    }
    return ItemMixed(fit, tests, (*notes, *lost))


def _counted(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows of targets with whole numbers of right answers, and a sentence on the others."""
    bad = frame["main"] & (
        (frame["num"] != np.rint(frame["num"]))
        | (frame["den"] != np.rint(frame["den"]))
        | (frame["num"] > frame["den"])
    )
    others = sorted(map(str, frame.loc[bad, "target"].unique()))
    if not others:
        return frame, []
    kept = frame[~frame["target"].isin(others)]
    if kept.empty:
        raise DataError("no target's metric counts right answers, so there is nothing to model as such.")
    return kept, [f"The metric counts no right answers, so left out: {', '.join(others)}."]
