"""Joint adjustment, published counts, and which families open."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import synthetic

from xeval.analysis import analyse
from xeval.analysis.estimate.arrays import Estimates, build
from xeval.analysis.estimate.bootstrap import replicates
from xeval.analysis.estimate.estimands import condition_contrasts
from xeval.analysis.estimate.variance import Estimate
from xeval.analysis.frame.tidy import check
from xeval.analysis.tests.families import Families, families, p_on_both_scales
from xeval.analysis.tests.multiplicity import adjust, adjust_jointly, count_false, partial_conjunction
from xeval.errors import UsageError

# The worked example of the README of rtmdrr/replicability-analysis-NLP (Dror et al. 2017), level 0.05.
DROR = (0.168, 0.297, 0.357, 0.019, 0.218, 0.001)
PS = st.lists(st.floats(0.0, 1.0, allow_subnormal=False), min_size=1, max_size=12)


def test_counts_of_the_published_example():
    assert count_false(DROR) == 1
    assert np.flatnonzero(adjust(DROR, "holm") <= 0.05).tolist() == [5]


@given(PS)
@settings(max_examples=20, deadline=None)
def test_the_bonferroni_count_is_the_number_of_holm_rejections(p_values):
    np.testing.assert_allclose(partial_conjunction(p_values), np.sort(adjust(p_values, "holm")), atol=1e-300)
    assert count_false(p_values) == (adjust(p_values, "holm") <= 0.05).sum()


@pytest.mark.parametrize("wrong", [[0.1, float("nan")], [1.2], [-0.1], [[0.1]]])
def test_wrong_p_values_are_refused(wrong):
    with pytest.raises(UsageError, match="p-value"):
        adjust(wrong, "holm")
    with pytest.raises(UsageError, match="p-value"):
        partial_conjunction(wrong)


def test_no_hypothesis_is_no_rejection():
    assert adjust([], "fdr_bh").size == 0
    assert count_false([]) == 0


def test_joint_adjustment_between_one_test_and_bonferroni():
    """Equal columns are one test; independent ones are Sidak's 1 - (1 - p)^m; never below the raw p."""
    rng = np.random.default_rng(0)
    p, signs = np.full(4, 0.02), np.ones(4)
    one = rng.standard_normal((20_000, 1))
    assert adjust_jointly(p, signs, np.repeat(one, 4, axis=1)) == pytest.approx([0.02] * 4, abs=0.003)
    apart = adjust_jointly(p, signs, rng.standard_normal((20_000, 4)))
    assert apart == pytest.approx([1 - 0.98**4] * 4, abs=0.006)
    # The scale of the replicates carries no information, and the order of the tests does not matter.
    drawn = rng.standard_normal((500, 3)) + one[:500]
    mixed = np.array([0.001, 0.2, 0.04])
    found = adjust_jointly(mixed, np.array([1.0, -1.0, 1.0]), drawn)
    np.testing.assert_array_equal(found, adjust_jointly(mixed, np.array([1.0, -1.0, 1.0]), 5 * drawn - 3))
    np.testing.assert_array_equal(
        found[::-1], adjust_jointly(mixed[::-1], np.array([1.0, -1.0, 1.0]), drawn[:, ::-1])
    )
    assert (found >= mixed).all()
    with pytest.raises(UsageError, match="rows of 3"):
        adjust_jointly(mixed, np.ones(3), drawn[:, :2])


def estimate(value, se, estimable=True):
    return Estimate(value, se**2 / 2, se**2 / 2, 20.0, 200.0, 0.95, estimable, 200)


def test_both_scales_must_agree():
    both = Estimates(estimate(2.0, 1.0), estimate(0.3, 0.1))
    assert p_on_both_scales(both) == both.points.p_value > both.logit.p_value
    assert p_on_both_scales(Estimates(estimate(-2.0, 0.1), estimate(0.3, 0.1))) == 1.0
    assert p_on_both_scales(Estimates(estimate(9.0, 0.1, False), estimate(0.9, 0.01, False))) == 1.0


@pytest.fixture(scope="module")
def frame():
    """A C far below 0, gains that differ by group, enough runs to see them."""
    tasks = [
        synthetic.Task("pairs", "classification", 50, {"mnli": 12.0, "squad": 12.0}, ("en", "de", "sw"), 120),
        synthetic.Task("spans", "single-hop QA", 50, {"mnli": 6.0, "squad": 6.0}, ("en", "de", "sw"), 120),
        synthetic.Task("chains", "multi-hop QA", 50, {"mnli": -9.0, "squad": -9.0}, ("en", "de", "sw"), 120),
    ]
    counts = {"none": 6, "mnli": 5, "squad": 5}
    return synthetic.frame(tasks, np.random.default_rng(1), counts, cluster_sd=3.0)


@pytest.fixture(scope="module")
def analysis(frame):
    return analyse(frame)


def families_of(analysis, replicates=None) -> Families:
    return families(analysis.contrasts, analysis.gains, analysis.method.confidence, replicates)


def test_families_of_a_clear_study_open_one_after_the_other(analysis):
    found = families_of(analysis)
    assert [one.name for one in found.families[:3]] == ["F0", "F1", "F2"]
    assert [one.parent for one in found.families[:4]] == ["", "F0", "F1", "F2"]
    assert all(one.opened for one in found.families)
    assert [one.name for one in found.families[1].hypotheses] == [
        "C_QA", "C − C_QA", "G(multi-hop QA)", "G(single-hop QA)", "G(classification)"
    ]  # fmt: skip
    assert [one.name for one in found.families[2].hypotheses] == ["C(mnli)", "C(squad)"]
    cells = next(one for one in found.families if one.name == "F3 mnli pairs")
    assert [one.name for one in cells.hypotheses] == ["de", "sw"]
    for one in found.families[1:3]:
        raw = [hypothesis.p for hypothesis in one.hypotheses]
        assert [hypothesis.adjusted for hypothesis in one.hypotheses] == pytest.approx(adjust(raw, "holm"))
    raw = [hypothesis.p for hypothesis in cells.hypotheses]
    assert [hypothesis.adjusted for hypothesis in cells.hypotheses] == pytest.approx(adjust(raw, "fdr_bh"))
    assert [hypothesis.strict for hypothesis in cells.hypotheses] == pytest.approx(adjust(raw, "fdr_by"))
    counts = {(one.condition, one.target): one for one in found.counts}
    assert (counts["mnli", "pairs"].higher, counts["mnli", "pairs"].lower) == (2, 0)
    assert (counts["mnli", "chains"].higher, counts["mnli", "chains"].lower) == (0, 2)
    assert counts["mnli", "pairs"].languages == 2


def test_a_family_stays_closed_behind_one_that_is_not_rejected(analysis):
    weak = replace(analysis.contrasts["C"], points=estimate(-0.1, 1.0), logit=estimate(-0.01, 0.1))
    found = families_of(replace(analysis, contrasts={**analysis.contrasts, "C": weak}))
    assert [one.opened for one in found.families] == [True] + [False] * (len(found.families) - 1)
    assert not any(hypothesis.rejected for one in found.families for hypothesis in one.hypotheses)
    assert all(hypothesis.adjusted < 0.05 for hypothesis in found.families[2].hypotheses)


def test_joint_replicates_adjust_the_contrasts_of_the_conditions(frame, analysis):
    study = build(check(frame))
    weights = condition_contrasts(study)
    assert list(weights) == ["mnli", "squad"]
    for name, one in weights.items():
        both = analysis.contrasts["C"].by_condition[name]
        assert study.estimates(one).points.value == pytest.approx(both.points.value)
    drawn = {scale: replicates(study, weights, 1000, 0, scale) for scale in ("points", "logit")}
    joint = families_of(analysis, drawn).families[2]
    assert joint.method == "minP"
    assert all(1 / 1001 <= one.adjusted <= 0.05 for one in joint.hypotheses)


def test_one_run_per_side_rejects_nothing():
    analysis = analyse(synthetic.study(np.random.default_rng(2), seeds={"none": 1, "mnli": 1}))
    found = families_of(analysis)
    tests = [one for one in found.families if not one.name.endswith("sentences")]
    assert all(hypothesis.p == 1.0 for one in tests for hypothesis in one.hypotheses)
    assert all(one.higher == one.lower == 0 for one in found.counts)


def test_without_a_contrast_the_gains_come_first(frame):
    found = families_of(analyse(frame[frame["group"] == "classification"]))
    assert [one.name for one in found.families[:2]] == ["F1", "F3 mnli pairs"]
    assert found.families[0].parent == ""
    assert found.families[0].opened


def test_systems_that_are_all_equal_reject_nothing(frame):
    base = frame[(frame["condition"] == "none") & (frame["seed"] == 0)]
    same = [
        base.assign(condition=condition, seed=seed) for condition in ("none", "mnli") for seed in range(3)
    ]
    import pandas as pd

    found = families_of(analyse(pd.concat(same, ignore_index=True)))
    assert all(hypothesis.p == 1.0 for one in found.families for hypothesis in one.hypotheses)
    assert all(one.higher == one.lower == 0 for one in found.counts)
