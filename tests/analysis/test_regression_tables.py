"""The regressions of a whole study as tables: what is fitted, what is refused, and that a reader is told why."""

import json

import numpy as np
import pandas as pd
import pytest
from support import synthetic

from xeval.analysis import analyse
from xeval.analysis.estimate.arrays import build
from xeval.analysis.frame.tidy import check
from xeval.analysis.models.cells import cell_model
from xeval.analysis.models.collection import RegressionTable, regressions
from xeval.analysis.models.items import item_model
from xeval.analysis.models.items_mixed import item_mixed
from xeval.analysis.models.meta_regression import task_gain_regression
from xeval.errors import DataError

KEY = "multi-hop QA − classification"
LANGS = ("en", "de", "fr", "hi", "sw", "zh", "ru")
COUNT = 10


def large(seed: int = 0, contrast: float = -12.0) -> pd.DataFrame:
    """Two classification, two single-hop and two multi-hop tasks of two to four hops, in six transfer languages."""
    gains = {"mnli": 4.0, "squad": 2.0}
    lower = {name: gain + contrast for name, gain in gains.items()}
    kinds = ("classification", "single-hop QA", "multi-hop QA")
    tasks = [
        synthetic.Task(
            f"{kind.split()[0]}-{number}", kind, 70 - 6 * place - 8 * number,
            {name: gain + 9 * number for name, gain in (lower if kind == "multi-hop QA" else gains).items()},
            LANGS, clusters=30, cluster_size=2, seed_sd=4.0,
        )
        for place, kind in enumerate(kinds) for number in range(2)
    ]  # fmt: skip
    rows = synthetic.frame(tasks, np.random.default_rng(seed), {"none": 4, "mnli": 2, "squad": 2})
    number = rows["item_id"].str[-5:].astype(int)
    return rows.assign(hops=np.where(rows["group"] == "multi-hop QA", 2 + number % 3, 1))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return check(large())


@pytest.fixture(scope="module")
def tables(frame) -> dict[str, RegressionTable]:
    found = regressions(frame, build(frame))
    assert len(found) == len({one.title for one in found}) == COUNT
    return {one.title: one for one in found}


def table(tables: dict[str, RegressionTable], start: str, end: str = "") -> RegressionTable:
    (found,) = (one for title, one in tables.items() if title.startswith(start) and title.endswith(end))
    return found


def test_every_table_says_what_it_is_and_shows_its_diagnostics(tables):
    for one in tables.values():
        assert one.used, one.title
        assert one.what.endswith(".")
        assert one.rows
        assert all(line.endswith(".") for line in (*one.diagnostics, *one.notes))
        assert one.diagnostics
        for row in one.rows:
            assert row.low < row.estimate < row.high
            assert row.se > 0
            assert row.df >= 1
            assert 0 <= row.p <= 1
            assert (row.p < 0.05) == (row.low > 0 or row.high < 0)
        json.dumps(one.to_dict(), allow_nan=False)


def test_the_tables_hold_the_fits(frame, tables):
    study = build(frame)
    rows = {row.name: row for row in table(tables, "Gains of all cells, for these", "points").rows}
    fit = cell_model(study, "points", tasks="fixed")
    assert rows[KEY].estimate == pytest.approx(fit.contrasts[KEY].value, abs=1e-6)
    assert rows[KEY].p == pytest.approx(fit.contrasts[KEY].p_value, abs=1e-6)
    rows = {row.name: row for row in table(tables, "Meta-regression", "log-odds").rows}
    assert rows[KEY].estimate == pytest.approx(task_gain_regression(study, "logit")[1][KEY].value, abs=1e-6)
    assert rows["gain, classification"].estimate > 0
    languages = table(tables, "Gains on covariates")
    assert len(languages.rows) == 12  # six tasks, two covariates
    *by_task, together = languages.diagnostics
    assert all("predicted from the others" in line for line in by_task)
    least = min(row.p for row in languages.rows)
    assert f"Holm's method: {min(1.0, 12 * least):.3g} " in together


def test_items_with_and_without_random_effects_agree(frame, tables):
    """The clustered model's errors lack the runs, the mixed model's odds are for one item: larger in both."""
    plain = {row.name: row for row in table(tables, "Items: correctness").rows}
    mixed = {row.name: row for row in table(tables, "Items and runs").rows}
    assert set(plain) == set(mixed) == {"gain × multi-hop", "gain × hops"}
    for name, row in plain.items():
        assert mixed[name].estimate == pytest.approx(row.estimate, rel=0.25, abs=0.5 * row.se)
    assert mixed["gain × multi-hop"].se > plain["gain × multi-hop"].se
    assert mixed["gain × multi-hop"].df == 48 - 18  # runs - (target, condition) cells
    found = item_mixed(frame)
    assert found.fit.levels == {"item cluster": 180, "run": 48}
    assert found.fit.converged
    assert item_model(frame).tests["gain × hops"].value == plain["gain × hops"].estimate


def test_one_task_per_group_is_said_and_not_fitted():
    rows = check(synthetic.study(np.random.default_rng(1)))
    found = {one.title: one for one in regressions(rows, build(rows))}
    for start, end in (("Gains of all cells, for other", "points"), ("Meta-regression", "log-odds")):
        one = table(found, start, end)
        assert not one.used
        assert not one.rows
        assert "one task per group" in one.notes[0]
    assert table(found, "Gains of all cells, for these", "points").used
    assert any(
        "known covariates" in note for note in table(found, "Gains of all cells, for these", "points").notes
    )
    assert "at least 5" in table(found, "Gains on covariates").notes[0]
    assert "different numbers of hops" in table(found, "Items of multi-hop").notes[0]


def test_singular_fits_are_said_and_not_used():
    """Every run of a condition gives the same answers, so that runs do not vary."""
    rows = large(3)
    first = rows[rows["seed"] == 0]
    half = np.random.default_rng(4).random(len(first)) < 0.5
    shuffled = [
        first.assign(seed=seed, num=np.where(half == (seed % 2 == 0), first["num"], 1 - first["num"]))
        for seed in (0, 1)
    ]
    noisy = check(pd.concat(shuffled, ignore_index=True))
    found = {one.title: one for one in regressions(noisy, build(noisy))}
    cells = table(found, "Gains of all cells, for these", "points")
    assert any("No variance was found for" in note and "singular" in note for note in cells.notes)
    names = next(note for note in cells.notes if "No variance was found" in note)
    spread = next(line for line in cells.diagnostics if line.startswith("Standard deviations"))
    assert all(f"{name} " not in spread for name in names.split(" for ")[1].split(":")[0].split(", "))


def test_splits_of_the_baseline_that_allow_other_terms_are_left_out():
    """Two languages, tasks and conditions of few items: some baseline scores coincide in one split only."""
    tasks = [
        synthetic.Task(name, kind, 60, {"mnli": 4.0}, ("de", "sw"), 60, 3, seed_sd=0.5)
        for name, kind in (("pairs", "classification"), ("chains", "multi-hop QA"))
    ]
    rng = np.random.default_rng(8)
    for _ in range(12):
        rows = check(synthetic.frame(tasks, rng, {"none": 6, "mnli": 3}, cluster_sd=3.0))
        found = cell_model(build(rows), "points", tasks="fixed", covariate_names=())
        if any("splits of the baseline runs allow other terms" in note for note in found.notes):
            break
    else:
        pytest.fail("none of these studies has such a split")
    assert len(found.fits) < 6
    assert all(fit.names == found.fits[0].names for fit in found.fits)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.assign(num=1.0),
        lambda rows: rows.assign(num=0.0),
        lambda rows: rows[rows["seed"] == 0],
        lambda rows: rows[rows["group"] != "multi-hop QA"],
        lambda rows: rows[rows["lang"].isin(["en", "de"])],
        lambda rows: rows.assign(lang=rows["lang"].replace("de", "qx")),
        lambda rows: rows.assign(num=rows["num"] / 3),
    ],
)
def test_bad_studies_give_sentences_and_no_numbers_that_are_none(change):
    rows = check(change(large(5)))
    for one in regressions(rows, build(rows)):
        assert one.used == bool(one.rows)
        assert one.used or one.notes
        json.dumps(one.to_dict(), allow_nan=False)
        assert all(row.se > 1e-9 for row in one.rows)


def test_systems_that_agree_on_every_item_support_no_claim():
    rows = large(6)
    base = rows[(rows["condition"] == "none") & (rows["seed"] == 0)]
    same = [base.assign(seed=seed, condition=name) for seed in range(3) for name in ("none", "mnli")]
    equal = check(pd.concat(same, ignore_index=True))
    for one in regressions(equal, build(equal)):
        assert not one.used
        assert one.notes
    with pytest.raises(DataError, match="agree on every item"):
        item_model(equal)


def test_counts_only_and_sizes_that_are_too_large(frame, monkeypatch):
    graded = frame.assign(num=np.where(frame["target"] == "single-hop-0", frame["num"] * 0.7, frame["num"]))
    found = item_mixed(graded)
    assert "single-hop-0" in found.notes[0]
    assert found.fit.levels["run"] == 40
    monkeypatch.setattr("xeval.analysis.models.items_mixed.MOST_ROWS", 100)
    with pytest.raises(DataError, match="too many"):
        item_mixed(frame)


def test_models_are_fitted_once_and_only_on_request(monkeypatch):
    fitted = []
    monkeypatch.setattr(
        "xeval.analysis.models.collection.regressions", lambda *_: fitted.append(1) or ("table",)
    )
    found = analyse(synthetic.study(np.random.default_rng(2)))
    assert found.verdict.outcome
    assert found.families.families
    assert found.robustness.bootstrap
    assert fitted == []
    assert found.models is found.models
    assert fitted == [1]
