"""What the analysis refuses to read, and how it says so."""

import numpy as np
import pandas as pd
import pytest
from support import synthetic

from xeval.analysis.frame.tidy import check, load, main_rows
from xeval.errors import DataError, UsageError, XevalError


@pytest.fixture(scope="module")
def good() -> pd.DataFrame:
    tasks = [
        synthetic.Task("pairs", "classification", 60, {"mnli": 3.0}, clusters=6),
        synthetic.Task("chains", "multi-hop QA", 50, {"mnli": 1.0}, clusters=5),
    ]
    return synthetic.frame(tasks, np.random.default_rng(0), {"none": 2, "mnli": 2})


def cell(frame, **values) -> pd.Series:
    chosen = pd.Series(True, index=frame.index)
    for name, value in values.items():
        chosen &= frame[name] == value
    return chosen


def test_a_good_frame_keeps_its_rows_in_canonical_order(good):
    checked = check(good)
    assert len(checked) == len(good)
    assert checked["num"].sum() == good["num"].sum()
    pd.testing.assert_frame_equal(checked, check(good.sample(frac=1, random_state=1)))
    assert check(good.assign(num=good["num"].astype(str)))["num"].equals(checked["num"])


def test_what_is_known_of_items_is_kept_and_may_be_empty(good):
    known = good.assign(category=None, length="12.5", overlap=np.nan, overlap_rank=3)
    known.loc[3, "category"] = "bridge"
    known.loc[5, "length"] = ""
    checked = check(known)
    assert set(checked["category"]) == {"", "bridge"}
    assert checked["length"].isna().sum() == 1
    assert checked["length"].max() == 12.5
    assert checked["overlap"].isna().all()
    assert (checked["overlap_rank"] == 3).all()
    assert not {"category", "length"} & set(check(good).columns)


BAD = {
    "length is 'long', not a number; leave unknown ones empty": lambda f: f.assign(length="long"),
    "lack the column 'den'": lambda f: f.drop(columns="den"),
    "have no rows": lambda f: f.iloc[:0],
    "occurs more than once": lambda f: pd.concat([f, f.iloc[[3]]]),
    "lacks item 'pairs-00003'": lambda f: f[
        ~cell(f, condition="mnli", seed=1, lang="sw", item_id="pairs-00003")
    ],
    "'chains', condition 'mnli', seed 0: language 'de' is missing": lambda f: f[
        ~cell(f, target="chains", condition="mnli", seed=0, lang="de")
    ],
    "'chains': condition 'mnli' seed 1 is missing": lambda f: f[
        ~cell(f, target="chains", condition="mnli", seed=1)
    ],
    "'chains': condition 'mnli' is missing": lambda f: f[~cell(f, target="chains", condition="mnli")],
    "'chains': has no baseline": lambda f: f[~cell(f, target="chains", condition="none")],
    "no baseline: no row has condition 'none'": lambda f: f[f["condition"] != "none"],
    "den is negative": lambda f: f.assign(den=f["den"].mask(f.index == 7, -1.0)),
    "num is negative": lambda f: f.assign(num=f["num"].mask(f.index == 7, -1.0)),
    "num is larger than den": lambda f: f.assign(num=f["num"].mask(f.index == 7, 1.5)),
    "num is 'many', not a number": lambda f: f.assign(num=f["num"].astype(object).mask(f.index == 7, "many")),
    "seed is not a whole number": lambda f: f.assign(seed=f["seed"] + 0.5),
    "seed is below -1": lambda f: f.assign(seed=f["seed"].mask(f["condition"] == "mnli", -2 - f["seed"])),
    "seed is beyond 2^53": lambda f: f.assign(seed=f["seed"] + 1e30),
    "hops is beyond 2^53": lambda f: f.assign(hops=1e30),
    "den is beyond 2^53": lambda f: f.assign(den=1e300),
    "a condition named 'mean' cannot be told from their mean": lambda f: f.replace(
        {"condition": {"mnli": "mean"}}
    ),
    "limit is not a whole number": lambda f: f.assign(limit=2.5),
    "has results on all items and on the first 60": lambda f: f.assign(
        limit=f["seed"].map({0: 60.0}).where(f["target"] == "pairs")
    ),
    "hops is negative": lambda f: f.assign(hops=f["hops"].mask(f.index == 7, -1)),
    "chance is 'half', not a number": lambda f: f.assign(chance="half"),
    "main is 'main'; give true or false": lambda f: f.assign(main="main"),
    "have two columns 'num'": lambda f: pd.concat([f, f[["num"]]], axis=1),
    "num is empty": lambda f: f.assign(num=f["num"].astype(str).mask(f.index == 7, "")),
    "num is empty or NaN": lambda f: f.assign(num=f["num"].mask(f.index == 7)),
    "num is inf, not a number": lambda f: f.assign(num=f["num"].mask(f.index == 7, np.inf)),
    "den is empty or NaN": lambda f: f.assign(den=f["den"].mask(f.index == 7)),
    "seed is empty or NaN; give every row a number, -1 for no training": lambda f: f.assign(
        seed=f["seed"].mask(f.index == 7)
    ),
    "lang is missing": lambda f: f.assign(lang=f["lang"].mask(f.index == 7)),
    "unknown group 'reading'": lambda f: f.assign(group=f["group"].replace("multi-hop QA", "reading")),
    "belongs to several groups": lambda f: f.assign(group=f["group"].mask(f.index == 7, "retrieval")),
    "belongs to several clusters": lambda f: f.assign(cluster_id=f["cluster_id"].mask(f.index == 7, "other")),
    "belongs to several numbers of hops": lambda f: f.assign(hops=f["hops"].mask(f.index == 7, 3)),
    "only one item cluster": lambda f: f.assign(cluster_id="one"),
    "den sums to 0": lambda f: f.assign(
        den=f["den"].mask(cell(f, target="pairs", condition="mnli", seed=0, lang="de"), 0.0),
        num=f["num"].mask(cell(f, target="pairs", condition="mnli", seed=0, lang="de"), 0.0),
    ),
    "chance is not between 0 and 1": lambda f: f.assign(chance=25.0),
    "has no main metric (accuracy)": lambda f: f.assign(main=False),
    "has several main metrics (accuracy, f1)": lambda f: pd.concat([f, f.assign(metric="f1")]).assign(
        main=True
    ),
    "seed -1 (no training) and with seed": lambda f: f.assign(seed=f["seed"] - 1),
    "already counts as another run": lambda f: f.assign(checkpoint=f["condition"] + f["target"]),
    "comes from several checkpoints": lambda f: f.assign(
        checkpoint=f["condition"] + f["target"] + f["seed"].astype(str) + f["lang"]
    ),
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_frames_are_refused_with_one_sentence(good, sentence):
    with pytest.raises(DataError) as refusal:
        check(BAD[sentence](good).reset_index(drop=True))
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_first_offending_cell_is_named(good):
    with pytest.raises(DataError) as refusal:
        check(good.assign(num=good["num"].mask(good.index == 7, 2.0)))
    row = good.iloc[7]
    for name in ("target", "condition", "lang", "item_id"):
        assert repr(row[name]) in str(refusal.value)


def as_pandas_writes(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The same rows in every type that pandas gives a column."""
    names = [*frame.select_dtypes(exclude="number").columns, "seed", "hops"]
    return {
        "nullable": frame.convert_dtypes(),
        "arrow": frame.convert_dtypes(dtype_backend="pyarrow"),
        "categories": frame.astype(dict.fromkeys([*names, "num", "chance"], "category")),
        "objects": frame.astype(object),
        "texts": frame.astype(object).where(frame.notna(), "").astype(str),
        "unused categories": pd.concat([frame, frame.iloc[:1].assign(target="other")])
        .astype({"target": "category"})
        .iloc[:-1],
    }


def test_every_type_that_pandas_writes_reads_as_the_same_scores(good, tmp_path):
    pairs = good["target"] == "pairs"
    frame = good.assign(
        hops=good["hops"].mask(pairs).astype("Int64"),
        chance=pd.Series(0.5, good.index).mask(~pairs).astype("Float64"),
        main=pd.array([True] * len(good), dtype="boolean"),
        category=good["lang"].where(pairs),
        length=good["hops"].mask(pairs).astype("Int64"),
        parent=good["condition"].where(~pairs),
    )
    frame = pd.concat([frame, frame.assign(metric="loose", main=None)], ignore_index=True)
    expected = check(frame)
    assert expected.groupby("target", observed=True)["hops"].unique().map(list).to_dict() == {
        "chains": [2],
        "pairs": [0],
    }
    assert set(expected.loc[expected["target"] == "pairs", "chance"]) == {0.5}
    assert set(expected.loc[expected["target"] == "pairs", "parent"]) == {""}
    assert set(main_rows(expected)["metric"]) == {"accuracy"}
    for name, typed in as_pandas_writes(frame).items():
        pd.testing.assert_frame_equal(check(typed), expected, obj=name)
        typed.to_csv(tmp_path / "scores.csv", index=False)
        pd.testing.assert_frame_equal(check(load(tmp_path / "scores.csv")), expected, obj=f"{name}, CSV")
        if name != "objects":
            typed.to_parquet(tmp_path / "scores.parquet")
            pd.testing.assert_frame_equal(check(load(tmp_path / "scores.parquet")), expected, obj=name)


def test_ids_of_several_types_are_one_item_where_they_read_the_same(good):
    numbers = good["item_id"].str[-5:].astype(int)
    mixed = numbers.astype(object).where(good["seed"] == 0, numbers.astype(str))
    pd.testing.assert_frame_equal(check(good.assign(item_id=mixed)), check(good.assign(item_id=numbers)))


def test_incomplete_runs_are_dropped_only_on_request(good):
    partial = good[~cell(good, target="chains", condition="mnli", seed=0, lang="de")]
    kept = check(partial, incomplete="drop")
    assert not cell(kept, target="chains", condition="mnli", seed=0).any()
    assert len(kept) == len(good) - cell(good, target="chains", condition="mnli", seed=0).sum()


def test_the_main_metric_represents_the_target(good):
    both = pd.concat([good.assign(main=True), good.assign(metric="loose", num=1.0, main=False)])
    assert set(main_rows(check(both))["metric"]) == {"accuracy"}
    pd.testing.assert_frame_equal(main_rows(check(both)), check(good), check_categorical=False)


def test_files_are_read_and_other_paths_refused(good, tmp_path):
    frame = good.replace({"lang": {"sw": "nan"}}).assign(chance=0.5, main=True)
    frame.to_csv(tmp_path / "scores.csv", index=False)
    frame.to_parquet(tmp_path / "scores.parquet")
    expected = check(frame)
    for name in ("scores.csv", "scores.parquet"):
        pd.testing.assert_frame_equal(check(load(tmp_path / name)), expected)
    assert {"nan", "none"} <= set(expected["lang"]) | set(expected["condition"])
    (tmp_path / "scores.txt").write_text("x")
    (tmp_path / "broken.parquet").write_text("x")
    for name, kind in (("scores.txt", UsageError), ("absent.csv", UsageError), ("broken.parquet", DataError)):
        with pytest.raises(kind, match=name):
            load(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(XevalError):
        load(tmp_path / "empty")


def test_diagnostics_take_no_part(good: pd.DataFrame) -> None:
    more = good[good["target"] == "pairs"].assign(target="pairs-depth", group="diagnostic")
    pd.testing.assert_frame_equal(check(pd.concat([good, more])), check(good))
