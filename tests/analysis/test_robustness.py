"""What stands beside the verdict: bootstrap of C, simultaneous intervals, and parts that the data do not allow."""

import numpy as np
import pandas as pd
import pytest
from support import synthetic

from xeval.analysis import analyse
from xeval.analysis.checks.robustness import REPLICATES, ROOT_SEED, Missing, resample
from xeval.analysis.checks.sensitivity import contrast_weights
from xeval.analysis.estimate.arrays import build
from xeval.analysis.estimate.bootstrap import intervals, replicates
from xeval.analysis.estimate.estimands import condition_contrasts
from xeval.analysis.estimate.variance import Estimate
from xeval.analysis.frame.tidy import check
from xeval.analysis.tests.families import families
from xeval.analysis.tests.multiplicity import simultaneous

SCALES = ("points", "logit")


def estimate(value, se, df=1e6):
    return Estimate(value, se**2, 0.0, df, df, 0.95, True, 200)


@pytest.fixture(scope="module")
def frame():
    return synthetic.study(np.random.default_rng(0), contrast=-2.0)


@pytest.fixture(scope="module")
def analysis(frame):
    return analyse(frame)


def test_the_bootstrap_is_that_of_the_contrast(frame, analysis):
    """C is the mean of the C(k), so their joint replicates give those of C."""
    study = build(check(frame))
    for scale in SCALES:
        weights = {"C": contrast_weights(study)}
        alone = intervals(study, weights, replicates(study, weights, REPLICATES, ROOT_SEED, scale), scale)[
            "C"
        ]
        found = analysis.robustness.bootstrap[scale]
        assert (found.low, found.high, found.se) == pytest.approx((alone.low, alone.high, alone.se), rel=1e-9)
        assert found.value == pytest.approx(analysis.contrasts["C"][scale].value)
        assert found.low < found.value < found.high
    assert analysis.to_dict()["bootstrap"]["points"]["count"] == REPLICATES


def test_one_interval_is_its_own_and_several_are_wider_but_not_wider_than_bonferroni():
    rng = np.random.default_rng(1)
    common = rng.normal(size=(4000, 1))
    draws = np.sqrt(0.7) * common + np.sqrt(0.3) * rng.normal(size=(4000, 5))
    one = estimate(1.0, 2.0)
    assert simultaneous([one]) == simultaneous([one], draws[:, :1]) == (one.interval(),)
    joint = simultaneous([one] * 5, draws)
    bonferroni = simultaneous([one] * 5)
    assert bonferroni[0] == one.interval(0.99)
    for (low, high), (lowest, highest) in zip(joint, bonferroni, strict=True):
        assert lowest < low < one.low
        assert one.high < high < highest
    # Copies of one estimate need no correction: only the replicates' own noise widens them.
    copies = simultaneous([one] * 5, np.repeat(draws[:, :1], 5, axis=1))
    assert copies[0] == pytest.approx(one.interval(), rel=0.01)


def test_simultaneous_intervals_hold_at_once_and_single_ones_do_not():
    """400 families of 6 with correlation 0.5, known errors: at least 0.95 - 3 standard errors (0.011) hold at once."""
    rng = np.random.default_rng(2)
    root = np.linalg.cholesky(0.5 * np.eye(6) + 0.5)
    draws = rng.normal(size=(2000, 6)) @ root.T
    together, alone = 0, 0
    for _ in range(400):
        estimates = [estimate(float(value), 1.0) for value in root @ rng.normal(size=6)]
        together += all(low <= 0.0 <= high for low, high in simultaneous(estimates, draws))
        alone += all(one.low <= 0.0 <= one.high for one in estimates)
    assert 0.917 <= together / 400 <= 0.983
    assert alone / 400 < 0.9


def test_bands_and_tests_of_the_conditions_use_joint_replicates(frame, analysis):
    found = analysis.robustness
    assert found.joint
    assert [one.condition for one in found.bands] == ["mnli", "squad"]
    for band in found.bands:
        for scale in SCALES:
            one = analysis.contrasts["C"].by_condition[band.condition][scale]
            low, high = band.intervals[scale]
            assert low < one.low < one.high < high
    study = build(check(frame))
    drawn = {
        scale: replicates(study, condition_contrasts(study), REPLICATES, ROOT_SEED, scale) for scale in SCALES
    }
    again = families(analysis.contrasts, analysis.gains, 0.95, drawn)
    assert analysis.families.to_dict() == again.to_dict()
    assert analysis.families.families[2].method == "minP"


def test_runs_with_different_seeds_fall_back_on_holm(frame):
    """Runs of one intermediate checkpoint that differ between targets cannot be drawn together."""
    less = frame[(frame["target"] != "chains") | (frame["condition"] != "mnli") | (frame["seed"] < 2)]
    analysis = analyse(less, incomplete="drop")
    assert isinstance(resample(build(check(less, incomplete="drop"))), Missing)
    assert analysis.robustness.bootstrap is None
    assert not analysis.robustness.joint
    assert len(analysis.robustness.bands) == 2
    assert analysis.families.families[2].method == "holm"
    (note,) = [note for note in analysis.notes if note.startswith("No bootstrap of C")]
    assert "Holm's method" in note
    assert "complete the runs" in note


def test_one_run_per_side_has_neither_bands_nor_evidence():
    analysis = analyse(synthetic.study(np.random.default_rng(2), seeds={"none": 1, "mnli": 1}))
    found = analysis.robustness
    assert found.bands is found.evidence is found.control is found.slope is None
    assert not found.bootstrap["points"].seeds_estimable
    for start in ("A trained condition", "No Bayes factor", "No check of the baseline", "No slope"):
        assert sum(note.startswith(start) for note in analysis.notes) == 1


def test_systems_that_are_all_equal_show_nothing(frame):
    base = frame[(frame["condition"] == "none") & (frame["seed"] == 0) & (frame["group"] != "retrieval")]
    copies = [
        base.assign(condition=name, seed=seed) for name in ("none", "mnli", "squad") for seed in range(4)
    ]
    analysis = analyse(pd.concat(copies, ignore_index=True))
    assert analysis.robustness.bootstrap["points"].p_value == 1.0
    assert not any(one.significant for one in analysis.robustness.specifications.specifications)
    assert analysis.robustness.control.significant == 0.0
    for band in analysis.robustness.bands:
        assert band.intervals["points"][0] <= 0.0 <= band.intervals["points"][1]
