"""Two systems side by side: against outside implementations, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, ttest_rel
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from support import synthetic

from xeval.analysis import analyse
from xeval.analysis.compare import compare
from xeval.errors import DataError, UsageError

LANGUAGES = ("ar", "de", "en", "sw")


def frame(rng, runs=3, clusters=60, size=3, gain=8.0, **changes: object) -> pd.DataFrame:
    tasks = [
        synthetic.Task("pairs", "classification", 60, {"mnli": gain}, LANGUAGES, clusters, size),
        synthetic.Task("chains", "multi-hop QA", 50, {"mnli": gain}, LANGUAGES[:3], clusters, size),
    ]
    made = synthetic.frame(tasks, rng, {"none": runs, "mnli": runs}, cluster_sd=10.0)
    run = made["condition"] + "-" + made["target"] + "-" + made["seed"].astype(str)
    return made.assign(name=run, checkpoint="digest of " + run, **changes)


@pytest.fixture(scope="module")
def several() -> pd.DataFrame:
    return frame(np.random.default_rng(0))


@pytest.fixture(scope="module")
def single() -> pd.DataFrame:
    return frame(np.random.default_rng(1), runs=1, clusters=150, size=1)


def test_conditions_with_several_runs_have_the_two_way_intervals_of_the_analysis(several):
    found = {task.task: task for task in compare(several, "none", "mnli").tasks}
    analysis = analyse(several)
    for cell in analysis.gains.cells:
        (one,) = (d for d in found[cell.subject].languages if d.lang == cell.lang)
        assert one.estimate == cell.points
        assert one.p_value == cell.points.p_value
        assert one.b - one.a == pytest.approx(one.estimate.value)
    for gain in analysis.gains.tasks:
        assert found[gain.subject].mean.estimate.interval() == pytest.approx(gain.points.interval())
    assert not found["pairs"].items_only
    assert found["pairs"].runs == (3, 3)
    assert not any(one.exact for one in found["pairs"].languages)


def test_the_other_way_round_flips_the_signs(several):
    for one, other in zip(
        compare(several, "none", "mnli").tasks, compare(several, "mnli", "none").tasks, strict=True
    ):
        assert (one.a_better, one.b_better) == (other.b_better, other.a_better)
        for left, right in zip((*one.languages, one.mean), (*other.languages, other.mean), strict=True):
            assert left.estimate.value == pytest.approx(-right.estimate.value)
            assert left.p_corrected == pytest.approx(right.p_corrected)
            assert (left.a, left.b) == pytest.approx((right.b, right.a))
            assert left.discordant is None or left.discordant == pytest.approx(right.discordant[::-1])


def test_single_runs_on_single_items_agree_with_outside_tests(single):
    """The t interval is that of paired items; p is exact McNemar, corrected by Holm over the task's languages."""
    for task in compare(single, "none", "mnli").tasks:
        assert task.items_only
        p_values = []
        for one in task.languages:
            cells = single[(single["target"] == task.task) & (single["lang"] == one.lang)]
            a, b = (cells.loc[cells["condition"] == name, "num"].to_numpy() for name in ("none", "mnli"))
            only_a, only_b = int((a > b).sum()), int((b > a).sum())
            assert one.exact
            assert one.discordant == (only_a, only_b)
            outside = mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue
            assert one.p_value == pytest.approx(outside)
            low, high = ttest_rel(100 * b, 100 * a).confidence_interval(0.95)
            assert one.estimate.interval() == pytest.approx((low, high))
            p_values.append(outside)
        assert [one.p_corrected for one in task.languages] == pytest.approx(
            multipletests(p_values, method="holm")[1]
        )
        means = single[(single["target"] == task.task) & (single["lang"] != "en")]
        means = means.pivot_table(index="item_id", columns="condition", values="num")
        outside = ttest_rel(100 * means["mnli"], 100 * means["none"])
        assert task.mean.p_value == task.mean.p_corrected == pytest.approx(outside.pvalue)
        assert not task.mean.exact


def test_items_of_one_passage_and_graded_scores_are_not_counted_by_mcnemar(single):
    passages = frame(np.random.default_rng(2), runs=1)
    graded = single.assign(num=single["num"] * 0.5)
    for given, counted in ((passages, True), (graded, False)):
        for task in compare(given, "none", "mnli").tasks:
            assert task.items_only
            assert not any(one.exact for one in task.languages)
            assert all((one.discordant is not None) == counted for one in task.languages)


def test_discordant_items_of_several_runs_are_a_mean_over_pairs_of_runs(several):
    (task,) = compare(several, "none", "mnli", task="pairs").tasks
    (one,) = (d for d in task.languages if d.lang == "de")
    cells = several[(several["target"] == "pairs") & (several["lang"] == "de")]
    wide = cells.pivot_table(index="item_id", columns=["condition", "seed"], values="num")
    pairs = [(wide["none", a], wide["mnli", b]) for a in range(3) for b in range(3)]
    expected = np.mean([[(a > b).sum(), (b > a).sum()] for a, b in pairs], axis=0)
    assert one.discordant == pytest.approx(tuple(expected))


def test_the_detectable_difference_belongs_to_the_corrected_level(single):
    """It is found with 80 % power where all of a task's languages are tested, each at alpha / 4."""
    (task,) = compare(single, "none", "mnli", task="pairs").tasks
    one, rng = task.languages[0], np.random.default_rng(3)
    draws = one.detectable + one.estimate.se * rng.standard_normal(40000)
    errors = one.estimate.se * np.sqrt(rng.chisquare(one.estimate.df, 40000) / one.estimate.df)
    half = one.estimate.interval(1 - 0.05 / 4)[1] - one.estimate.value
    assert np.mean(draws > half * errors / one.estimate.se) == pytest.approx(0.8, abs=0.01)
    assert task.mean.detectable == pytest.approx(task.mean.estimate.detectable())


def test_count_of_languages():
    """Better by far in two of three languages, equal in the third."""
    rng = np.random.default_rng(4)
    made = frame(rng, runs=1, clusters=300, size=1, gain=0.0)
    made.loc[(made["condition"] == "mnli") & made["lang"].isin(["ar", "de"]), "num"] = 1.0
    for task in compare(made, "none", "mnli").tasks:
        assert (task.a_better, task.b_better) == (0, 2)
        assert task.transfer == (3 if task.task == "pairs" else 2)


def test_checkpoints_by_name(several):
    found = compare(several, "none-pairs-0", "mnli-pairs-2")
    (task,) = found.tasks
    assert (task.task, task.runs, task.items_only) == ("pairs", (1, 1), True)
    assert found.notes == ()
    mixed = compare(several, "none-pairs-0", "mnli", task="pairs").tasks[0]
    assert mixed.items_only
    assert mixed.runs == (1, 3)


def test_a_baseline_without_training_has_no_seeds_to_vary():
    gains = {"mnli": 3.0}
    task = synthetic.Task("sentences", "retrieval", 70, gains, ("de", "sw"), deterministic=("none",))
    made = synthetic.frame([task], np.random.default_rng(5), {"none": 1, "mnli": 3})
    (found,) = compare(made, "none", "mnli").tasks
    assert not found.items_only
    assert found.mean.estimate.variance_seeds > 0 or found.mean.estimate.df < found.mean.estimate.df_items
    (unknown,) = compare(made.assign(phase="target"), "none", "mnli").tasks
    assert unknown.items_only


def test_equal_systems_differ_by_at_most_the_binomial_bound(single):
    copied = single[single["condition"] == "none"]
    same = pd.concat([copied, copied.assign(condition="copy", name="copy", checkpoint="copy")])
    for task in compare(same, "none", "copy").tasks:
        for one in (*task.languages, task.mean):
            assert one.p_value == pytest.approx(1)
            assert not one.significant
            # 0 of 150 items differ: at most 1 - 0.025^(1/150) = 2.43 % do (Clopper & Pearson).
            assert one.estimate.interval() == pytest.approx((-2.429, 2.429), abs=1e-3)
            assert one.detectable > 2.4


def test_what_only_one_side_has_is_named(several):
    rows = several[
        ~((several["condition"] == "mnli") & ((several["target"] == "chains") | (several["lang"] == "sw")))
    ]
    found = compare(rows, "none", "mnli")
    assert [task.task for task in found.tasks] == ["pairs"]
    assert found.notes == ("chains: only none has ar, de, en.", "pairs: only none has sw.")


def test_diagnostics_take_no_part(several):
    more = pd.concat([several, several.assign(target="pairs-depth", group="diagnostic")], ignore_index=True)
    assert compare(more, "none", "mnli") == compare(several, "none", "mnli")


@pytest.mark.parametrize(
    ("a", "b", "options", "sentence"),
    [
        ("none", "none", {}, "both sides are 'none'"),
        ("nnoe", "mnli", {}, "did you mean 'none'"),
        ("none", "mnli-pairs-9", {}, "did you mean 'mnli-pairs-"),
        ("none", "none-pairs-1", {}, "share a run"),
        ("none-pairs-0", "mnli-chains-0", {}, "share no language of any task"),
        ("none-pairs-0", "mnli-chains-0", {"task": "pairs"}, "share no language of task 'pairs'"),
        ("none", "mnli", {"task": "pair"}, "did you mean 'pairs'"),
        ("none", "mnli", {"confidence": 95}, "confidence"),
    ],
)
def test_wrong_use_is_one_sentence(several, a, b, options, sentence):
    with pytest.raises(UsageError, match=sentence) as refusal:
        compare(several, a, b, **options)
    assert "\n" not in str(refusal.value)


def test_the_same_weights_under_two_names_are_refused(several):
    copy = several[several["name"] == "none-pairs-0"].assign(condition="copy", name="copy")
    with pytest.raises(UsageError, match="hold the same weights"):
        compare(pd.concat([several, copy]), "none-pairs-0", "copy")


def test_a_name_that_means_two_things_is_refused(several):
    renamed = several.assign(name=several["name"].replace("mnli-pairs-0", "mnli"))
    with pytest.raises(UsageError, match="is a condition and the name of a checkpoint"):
        compare(renamed, "none", "mnli")


def test_scores_that_cannot_be_compared_are_refused_by_the_first_offence(several):
    gone = (several["name"] == "mnli-pairs-1") & (several["lang"] == "de")
    cases = {
        r"target 'pairs', language 'de'.* 'mnli' seed 1 lacks item 'pairs-00004'": several[
            ~(gone & (several["item_id"] == "pairs-00004"))
        ],
        "'pairs', condition 'mnli', seed 1: language 'de' is missing": several[~gone],
        "occurs more than once": pd.concat([several, several[gone].head(1)]),
        "num is empty or NaN": several.assign(num=several["num"].mask(gone)),
        "item_id is missing": several.assign(item_id=several["item_id"].mask(gone)),
        "lack the column 'den'": several.drop(columns="den"),
    }
    for sentence, rows in cases.items():
        with pytest.raises(DataError, match=sentence):
            compare(rows.reset_index(drop=True), "none", "mnli")


def test_everything_is_json(several):
    numbers = json.loads(json.dumps(compare(several, "none", "mnli").to_dict(), allow_nan=False))
    (pairs,) = (task for task in numbers["tasks"] if task["task"] == "pairs")
    assert pairs["mean"]["lang"] is None
    assert [one["lang"] for one in pairs["languages"]] == list(LANGUAGES)
    assert pairs["mean"]["detectable_80"] > 0


def test_mcnemar_is_the_binomial_test_of_discordant_items(single):
    """Hand calculation: p = P(Bin(n, 1/2) as far from n/2 as observed)."""
    (task,) = compare(single, "none", "mnli", task="chains").tasks
    for one in task.languages:
        only_a, only_b = one.discordant
        assert one.p_value == pytest.approx(binomtest(int(only_a), int(only_a + only_b)).pvalue)
