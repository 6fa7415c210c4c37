"""Gains and contrasts: their definitions by hand, invariances, and which runs count as one draw."""

import numpy as np
import pandas as pd
import pytest
from support import synthetic

from xeval.analysis import analyse
from xeval.analysis.estimate import estimands
from xeval.analysis.estimate.arrays import build
from xeval.analysis.estimate.selection import common_conditions, languages_of, select
from xeval.analysis.frame.tidy import check


def logit(num, den):
    return np.log((num + 0.5) / (den - num + 0.5))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return synthetic.study(np.random.default_rng(0), contrast=-2.0)


@pytest.fixture(scope="module")
def analysis(frame):
    return analyse(frame)


def means(frame, scale):
    """phi(mean over seeds) per condition, target, language, straight from the definition."""
    runs = (
        frame.groupby(["condition", "target", "lang", "seed"])[["num", "den"]]
        .sum()
        .groupby(level=[0, 1, 2])
        .mean()
    )
    return 100 * runs["num"] / runs["den"] if scale == "points" else logit(runs["num"], runs["den"])


@pytest.mark.parametrize("scale", ["points", "logit"])
def test_gains_and_contrasts_follow_their_definitions(frame, analysis, scale):
    level = means(frame, scale)
    gain = {
        (condition, target, lang): value - level["none", target, lang]
        for (condition, target, lang), value in level.items()
        if condition != "none"
    }
    for cell in analysis.gains.cells:
        assert cell[scale].value == pytest.approx(gain[cell.condition, cell.subject, cell.lang])
    spans = np.mean([gain["mnli", "spans", lang] for lang in ("de", "sw", "hi")])
    found = {(one.condition, one.subject): one[scale].value for one in analysis.gains.tasks}
    assert found["mnli", "spans"] == pytest.approx(spans)

    def shared(target):
        return np.mean([gain[c, target, lang] for c in ("mnli", "squad") for lang in ("de", "sw")])

    contrast = {name: one[scale].value for name, one in analysis.contrasts.items()}
    assert contrast["C"] == pytest.approx(shared("chains") - shared("pairs"))
    assert contrast["C_QA"] == pytest.approx(shared("chains") - shared("spans"))
    assert contrast["C"] == pytest.approx(contrast["C_QA"] + contrast["C − C_QA"])
    key = analysis.contrasts["C"]
    assert key[scale].value == pytest.approx(
        key.parts["multi-hop QA"][scale].value - key.parts["classification"][scale].value
    )
    assert np.mean([one[scale].value for one in key.by_condition.values()]) == pytest.approx(contrast["C"])


def test_english_is_no_transfer_language(analysis):
    assert analysis.contrasts["C"].languages == ("de", "sw")
    assert any(cell.lang == "en" for cell in analysis.gains.cells)


def test_mixtures_are_reported_apart():
    frame = synthetic.study(
        np.random.default_rng(1), seeds={"none": 2, "mnli": 2, "squad": 2, "mnli+squad": 2}
    )
    analysis = analyse(frame)
    assert analysis.averaged == ("mnli", "squad")
    key = analysis.contrasts["C"]
    assert set(key.by_condition) == {"mnli", "squad", "mnli+squad"}
    singles = [key.by_condition[name].points.value for name in ("mnli", "squad")]
    assert key.points.value == pytest.approx(np.mean(singles))


def test_languages_are_matched_pair_by_pair():
    gains = {"mnli": 2.0}
    tasks = [
        synthetic.Task("wide", "classification", 60, gains, ("en", "de", "sw", "hi"), 10),
        synthetic.Task("narrow", "classification", 60, gains, ("en", "fr", "sw"), 10),
        synthetic.Task("far", "classification", 60, gains, ("en", "fr"), 10),
        synthetic.Task("chains", "multi-hop QA", 60, gains, ("en", "sw", "hi"), 10),
    ]
    study = build(check(synthetic.frame(tasks, np.random.default_rng(2), {"none": 2, "mnli": 2})))
    matched = estimands.match(study, ["mnli"], ["multi-hop QA", "classification"])
    assert matched.unmatched == (("chains", "far"),)
    assert matched.targets == ("chains", "narrow", "wide")
    weights = matched.contrast(estimands.KEY.signs)
    expected = {("wide", "hi"): -0.25, ("wide", "sw"): -0.25, ("narrow", "sw"): -0.5, ("chains", "sw"): 0.75,
                ("chains", "hi"): 0.25}  # fmt: skip
    found = {
        (target, lang): weight for (condition, target, lang), weight in weights.items() if condition == "mnli"
    }
    assert found == pytest.approx(expected)
    assert (
        analyse(synthetic.frame(tasks[2:], np.random.default_rng(2), {"none": 2, "mnli": 2})).contrasts == {}
    )


def numbers(analysis):
    return analysis.to_dict()


def test_order_of_rows_changes_nothing(frame, analysis):
    assert numbers(analyse(frame.sample(frac=1, random_state=3))) == numbers(analysis)


def test_names_of_seeds_items_and_languages_change_nothing(frame, analysis):
    renamed = frame.assign(
        seed=frame["seed"].map(lambda seed: seed if seed < 0 else 10 - seed),
        lang=frame["lang"].map({"en": "en", "de": "zz", "sw": "aa", "hi": "mm"}),
        item_id=frame["item_id"].str[::-1],
        cluster_id=frame["cluster_id"].str[::-1],
    )
    other, key = analyse(renamed).contrasts["C"], analysis.contrasts["C"]
    for scale in ("points", "logit"):
        assert other[scale].value == pytest.approx(key[scale].value, rel=1e-9)
        assert other[scale].interval() == pytest.approx(key[scale].interval(), rel=1e-9)


def test_splitting_a_cluster_into_rows_changes_nothing(frame, analysis):
    """Items only matter through their clusters' sums: one row per cluster gives the same intervals."""
    key = ["condition", "target", "group", "seed", "lang", "cluster_id", "hops", "metric"]
    merged = frame.groupby(key, as_index=False)[["num", "den"]].sum()
    merged["item_id"] = merged["cluster_id"]
    other = analyse(merged).contrasts["C"]
    assert other.points.interval() == pytest.approx(analysis.contrasts["C"].points.interval())
    assert other.logit.interval() == pytest.approx(analysis.contrasts["C"].logit.interval())


def test_swapping_condition_and_baseline_flips_the_sign():
    frame = synthetic.study(np.random.default_rng(4), seeds={"none": 3, "mnli": 3})
    frame = frame[frame["group"] != "retrieval"]
    # A parent per target: otherwise only the intermediate condition's runs are taken to be shared by the targets.
    frame = frame.assign(parent=frame["condition"] + frame["target"] + frame["seed"].astype(str))
    swapped = frame.assign(condition=frame["condition"].map({"none": "mnli", "mnli": "none"}))
    one, other = (analyse(given).contrasts["C"] for given in (frame, swapped))
    for scale in ("points", "logit"):
        low, high = one[scale].interval()
        assert other[scale].value == pytest.approx(-one[scale].value)
        assert other[scale].interval() == pytest.approx((-high, -low))


def test_an_equal_gain_everywhere_leaves_the_contrast_in_points():
    """Every item of the condition has partial credit; adding a constant to it moves gains, not C."""
    frame = synthetic.study(np.random.default_rng(5), seeds={"none": 3, "mnli": 3})
    frame["num"] *= 0.5
    lifted = frame.assign(num=frame["num"] + np.where(frame["condition"] == "mnli", 0.2, 0.0))
    one, other = analyse(frame), analyse(lifted)
    assert other.contrasts["C"].points.interval() == pytest.approx(one.contrasts["C"].points.interval())
    assert other.gains.tasks[0].points.value == pytest.approx(one.gains.tasks[0].points.value + 20)


def test_a_constant_system_has_no_gain(frame):
    copy = frame[(frame["condition"] == "none") & (frame["group"] != "retrieval")].assign(condition="copy")
    gains = analyse(pd.concat([copy, copy.assign(condition="none")], ignore_index=True)).gains.tasks
    assert all(abs(gain.points.value) < 1e-9 for gain in gains)


def populations(frame):
    study = build(check(frame))
    return {(c, t): study.blocks[c, t, "de"].population for c, t, lang in study.blocks if lang == "de"}


def test_which_runs_are_one_draw(frame):
    plain = populations(frame)
    assert plain["mnli", "pairs"] == plain["mnli", "chains"] == plain["mnli", "sentences"]
    assert plain["mnli", "pairs"] != plain["squad", "pairs"]
    assert plain["none", "pairs"] != plain["none", "chains"]
    run = frame["condition"] + frame["seed"].astype(str)
    lineage = frame.assign(
        parent=run + frame["target"].where(frame["target"] != "chains", "pairs"),
        checkpoint=run + frame["target"],
    )
    known = populations(lineage)
    assert known["mnli", "pairs"] == known["mnli", "chains"]
    assert known["mnli", "pairs"] != known["mnli", "spans"]
    assert known["none", "pairs"] != known["none", "chains"]
    one_checkpoint = populations(frame.assign(checkpoint=run))
    assert one_checkpoint["none", "pairs"] == one_checkpoint["none", "chains"]


def test_several_seeds_from_one_intermediate_checkpoint_are_named(frame):
    analysis = analyse(frame.assign(parent=frame["condition"]))
    assert any(note.startswith("mnli: several seeds start from one") for note in analysis.notes)


def test_crossed_grid_has_joint_variances():
    """All four targets share clusters: the interaction's variance is that of the summed influences."""
    gains = {
        "classification": 4.0,
        "multi-hop classification": 3.0,
        "single-hop QA": 4.0,
        "multi-hop QA": 1.0,
    }
    frame = synthetic.crossed(np.random.default_rng(6), gains, {"none": 3, "mnli": 3})
    found = analyse(frame).contrasts
    points = {name: found[name].points for name in found}
    assert points["hops x format"].value == pytest.approx(
        points["hops in QA"].value - points["hops in classification"].value
    )
    assert points["C"].value == pytest.approx(points["hops"].value + points["format"].value)
    signs = frame["group"].map(
        {"multi-hop QA": 1, "single-hop QA": -1, "multi-hop classification": -1, "classification": 1}
    )
    signs *= frame["condition"].map({"mnli": 1, "none": -1})
    transfer = frame[frame["lang"] != "en"].assign(sign=signs)
    by_cluster = (
        transfer.groupby(["group", "condition", "lang", "sign", "cluster_id"])["num"].sum().reset_index()
    )
    per_cell = 120 * 3  # 120 items, 3 runs
    cluster_sums = (
        (by_cluster["num"] * by_cluster["sign"]).groupby(by_cluster["cluster_id"]).sum() / per_cell / 2 * 100
    )
    assert points["hops x format"].variance_items == pytest.approx(
        cluster_sums.var(ddof=1) * len(cluster_sums)
    )


def test_retention_is_shown_only_with_a_gain_to_divide_by():
    rng = np.random.default_rng(7)
    options = {"cluster_sd": 3.0}
    strong = [
        synthetic.Task("pairs", "classification", 60, {"mnli": 20.0}, ("de", "sw"), 150, 4),
        synthetic.Task("chains", "multi-hop QA", 50, {"mnli": 10.0}, ("de", "sw"), 150, 4),
    ]
    value, low, high = (
        analyse(synthetic.frame(strong, rng, {"none": 4, "mnli": 4}, **options))
        .contrasts["C"]
        .retention["points"]
    )
    assert low < value < high
    assert low < 0.5 < high
    weak = [
        synthetic.Task("pairs", "classification", 60, {}, ("de", "sw"), 20),
        synthetic.Task("chains", "multi-hop QA", 50, {}, ("de", "sw"), 20),
    ]
    assert (
        analyse(synthetic.frame(weak, rng, {"none": 4, "mnli": 4})).contrasts["C"].retention["points"] is None
    )
    one_run = synthetic.frame(strong, rng, {"none": 1, "mnli": 1}, **options)
    assert analyse(one_run).contrasts["C"].retention["points"] is None


def test_one_filter_says_what_a_model_is_of():
    """Targets with a transfer language, single conditions that they were evaluated on, and pairs of one source."""
    tasks = [
        synthetic.Task("xnli", "classification", 60, {"mnli": 3.0}, ("en", "de", "sw"), 8),
        synthetic.Task("boolq", "classification", 60, {"mnli": 3.0}, ("en",), 8),
        synthetic.Task("chains", "multi-hop QA", 60, {"mnli": 3.0}, ("en", "de", "hi"), 8),
    ]
    rows = synthetic.frame(
        tasks, np.random.default_rng(4), {"none": 2, "mnli": 2, "squad": 2, "mnli+squad": 2}
    )
    lost = (rows["target"] == "chains") & (rows["condition"] == "squad")
    study = build(check(rows[~lost], incomplete="drop"))
    pairs = select(study)
    assert [(pair.condition, pair.target) for pair in pairs] == [
        ("mnli", "chains"), ("mnli", "xnli"), ("squad", "xnli")
    ]  # fmt: skip
    assert [bool(pair.same_source) for pair in pairs] == [False, True, False]
    assert languages_of(pairs) == ("de", "hi", "sw")
    assert {pair.languages for pair in select(study, languages=("hi",))} == {("hi",)}
    groups = ("classification", "multi-hop QA")
    found = select(study, groups=groups, conditions=("mnli", "mnli+squad"), keep_same_source=False)
    assert [(pair.condition, pair.target) for pair in found] == [("mnli", "chains"), ("mnli+squad", "chains")]
    assert common_conditions(study, groups) == ("mnli", "mnli+squad")
    assert common_conditions(study, ("retrieval",)) == ()
