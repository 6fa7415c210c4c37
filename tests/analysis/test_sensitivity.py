"""Variants of C are those of whole analyses of changed data; controls find nothing where nothing is."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from support import synthetic

from xeval.analysis import analyse
from xeval.analysis.checks.controls import (
    _splits,
    baseline_control,
    baseline_slope,
    split_seed_slope,
)
from xeval.analysis.checks.sensitivity import (
    contrast_weights,
    leave_one_out,
    other_scales,
    specification_curve,
)
from xeval.analysis.estimate.arrays import build
from xeval.analysis.frame.same_source import NEARLY, OWN, same_source
from xeval.analysis.frame.tidy import check
from xeval.tasks import all_tasks, all_training_sets
from xeval.tasks.catalogue.intermediate import INTERMEDIATES

SCALES = ("points", "logit")


def tasks(gains, seed_sd=1.0):
    """Targets with known sources and different languages."""
    return [
        synthetic.Task("xnli", "classification", 65, gains, ("en", "de", "sw", "hi"), seed_sd=seed_sd),
        synthetic.Task("pawsx", "classification", 70, gains, ("en", "de", "fr"), seed_sd=seed_sd),
        synthetic.Task("chains", "multi-hop QA", 55, gains, ("en", "de", "sw", "fr"), seed_sd=seed_sd),
    ]


@pytest.fixture(scope="module")
def frame():
    gains = {"mnli": 3.0, "squad": 2.0}
    counts = {"none": 4, "mnli": 4, "squad": 4}
    return synthetic.frame(tasks(gains), np.random.default_rng(0), counts).assign(chance=0.3)


@pytest.fixture(scope="module")
def checked(frame):
    return check(frame)


@pytest.fixture(scope="module")
def study(checked):
    return build(checked)


def same(found, expected):
    for scale in SCALES:
        assert found[scale].value == pytest.approx(expected[scale].value)
        assert found[scale].interval() == pytest.approx(expected[scale].interval())


def contrast_of(frame, **options):
    return analyse(frame, **options).contrasts["C"]


def test_the_plain_contrast_is_that_of_the_analysis(frame, study):
    same(study.estimates(contrast_weights(study)), contrast_of(frame))


def test_leaving_one_out_is_analysing_without_it(frame, study):
    found = {(one.kind, one.name): one for one in leave_one_out(study)}
    assert set(found) == {
        ("target", "xnli"), ("target", "pawsx"), ("language", "de"), ("language", "sw"), ("language", "fr"),
        ("condition", "mnli"), ("condition", "squad"),
    }  # fmt: skip
    for kind, name in (("target", "xnli"), ("language", "de"), ("condition", "mnli")):
        column = "lang" if kind == "language" else kind
        same(found[kind, name], contrast_of(frame[frame[column] != name]))


def test_same_source_pairs_are_dropped_for_their_condition_only(frame, study):
    """MNLI is XNLI's training set, so C(mnli) compares with PAWS-X alone; SQuAD keeps both."""
    weights = contrast_weights(study)
    level = {(c, t): sum(w for (a, b, _), w in weights.items() if (a, b) == (c, t)) for c, t, _ in weights}
    assert level["mnli", "pawsx"] == pytest.approx(-1 / 2)
    assert ("mnli", "xnli") not in level
    # Two languages of XNLI and two of PAWS-X are shared with the multi-hop target.
    assert level["squad", "xnli"] == level["squad", "pawsx"] == pytest.approx(-1 / 4)
    assert level["none", "chains"] == pytest.approx(-1.0)
    alone = build(check(frame[frame["target"] != "pawsx"]))
    without_squad = frame[(frame["target"] != "pawsx") & (frame["condition"] != "mnli")]
    same(alone.estimates(contrast_weights(alone)), contrast_of(without_squad))
    everything = contrast_weights(study, keep_same_source=True)
    assert everything["mnli", "xnli", "sw"] == everything["squad", "xnli", "sw"]


def test_the_contrast_names_what_it_leaves_out(frame):
    analysis = analyse(frame)
    key = analysis.contrasts["C"]
    assert key.dropped == (("mnli", "xnli"),)
    assert key.conditions == ("mnli", "squad")
    assert analysis.to_dict()["contrasts"]["C"]["dropped"] == [["mnli", "xnli"]]
    assert any("mnli on xnli (the target's own English training set)" in note for note in analysis.notes)
    alone = analyse(frame[frame["target"] != "pawsx"])
    assert alone.contrasts["C"].conditions == ("squad",)
    assert set(alone.contrasts["C"].by_condition) == {"squad"}
    assert any(note.endswith("left for mnli; C is over squad.") for note in alone.notes)


def test_only_pairs_of_one_source_give_no_verdict_but_a_specification_curve(frame):
    alone = analyse(frame[(frame["target"] != "pawsx") & (frame["condition"] != "squad")])
    assert alone.contrasts == {}
    assert alone.verdict.outcome == "no contrast"
    assert alone.verdict.sentences[0].startswith(
        "Of mnli on xnli the condition holds (nearly) the target's own"
    )
    found = alone.robustness.specifications
    assert {one.choices["same source"] for one in found.specifications} == {"kept"}
    assert not any(one.primary for one in found.specifications)
    assert alone.robustness.bootstrap is alone.robustness.bands is alone.robustness.evidence is None


def test_every_task_and_set_of_the_same_source_table_is_declared():
    declared = {name: task.training for name, task in all_tasks().items() if task.training is not None}
    assert {name: OWN.get(name) for name in declared} == declared
    known = set(all_training_sets()) | set(INTERMEDIATES) | {"anli-plus", "anli+"}
    assert {name for near in NEARLY.values() for name in near} <= known
    assert set(NEARLY) <= set(OWN.values())


@pytest.mark.parametrize(
    ("condition", "target", "is_same"),
    [
        ("mnli", "xnli", True),
        ("squad+mnli", "xnli", True),
        ("anli+", "xnli", True),
        ("squad-v2", "mlqa", True),
        ("squad", "tydiqa", False),
        ("hotpotqa-en", "hotpotqa-supporting", True),
        ("xhops-lookup", "xhops-question-2", False),
        ("xhops-small-lookup", "xhops-small-question-2", False),
        ("xhops-question-1hop", "xhops-question-3", True),
        ("xhops-question", "xhops-question-2", True),
        ("xhops-question", "xhops-claim-2", False),
        ("xhops-lookup>xhops-question-1hop", "xhops-question-2", True),
        ("xhops-small-choice-1hop", "xhops-choice-3", True),
        ("mnli", "a-task-of-ones-own", False),
    ],
)
def test_same_source(condition, target, is_same):
    assert bool(same_source(condition, target)) is is_same


def test_other_scales_are_functions_of_the_same_shares(frame, study):
    """By hand from each cell's share (num + 1/2) / (den + 1); the last scale is the points over 1 - chance."""
    found = {one.scale: one.estimate for one in other_scales(study)}
    weights = {cell: weight for cell, weight in contrast_weights(study).items() if weight}
    share = {cell: (study.blocks[cell].score * 120 + 0.5) / 121 for cell in weights}
    expected = {
        "probit": sum(weight * norm.ppf(share[cell]) for cell, weight in weights.items()),
        "log error": sum(-weight * np.log(1 - share[cell]) for cell, weight in weights.items()),
        "above chance": study.estimate(weights, "points").value / 0.7,
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value)
    plain = study.estimate(weights, "points")
    assert found["above chance"].interval() == pytest.approx([end / 0.7 for end in plain.interval()])
    assert found["probit"].df == pytest.approx(plain.df, rel=0.1)
    shown = analyse(frame).to_dict()["other_scales"]
    assert [one["scale"] for one in shown] == list(expected)
    unknown = build(check(frame.drop(columns="chance")))
    assert [one.scale for one in other_scales(unknown)] == ["probit", "log error"]


def test_specifications_are_whole_analyses(frame, checked, study):
    found = specification_curve(checked, study)
    assert found.varied == ("scale", "languages", "same source", "seeds", "targets")
    primary = {one.choices["scale"]: one.estimate for one in found.specifications if one.primary}
    assert set(primary) == set(SCALES)
    for scale in SCALES:
        assert primary[scale].interval() == pytest.approx(contrast_of(frame)[scale].interval())
        values = [one.estimate.value for one in found.at(scale)]
        assert values == sorted(values)
        # 2 language rules x 2 same-source rules x 2 pairings; without xnli: 2 language rules (the same-source
        # rule has no pair left); without pawsx: 2 x 2.
        assert found.counts(scale)["all"] == 8 + 2 + 4

    def one(**choices):
        default = {"scale": "points", "languages": "common", "same source": "dropped", "seeds": "unpaired"}
        wanted = default | {"runs": "all", "metric": "main", "targets": "all"} | choices
        (match,) = [one.estimate for one in found.specifications if dict(one.choices) == wanted]
        return match

    assert one(seeds="paired").interval() == pytest.approx(contrast_of(frame, paired=True).points.interval())
    assert one(targets="without xnli").interval() == pytest.approx(
        contrast_of(frame[frame["target"] != "xnli"]).points.interval()
    )
    gains = {gain.subject: gain.points for gain in analyse(frame).gains.groups if gain.condition == "mean"}
    assert one(**{"languages": "all", "same source": "kept"}).value == pytest.approx(
        gains["multi-hop QA"].value - gains["classification"].value
    )


def test_other_metrics_and_diverged_runs(frame):
    second = frame[frame["target"] == "chains"].assign(metric="exact", main=False)
    second["num"] *= np.arange(len(second)) % 2
    odd = frame[frame["target"] == "xnli"].assign(metric="loss", main=False)
    odd["num"] += 5.0
    both = pd.concat([frame.assign(main=True), second, odd], ignore_index=True)
    broken = (both["target"] == "chains") & (both["condition"] == "mnli") & (both["seed"] == 2)
    both.loc[broken, "num"] *= 0.3
    checked = check(both)
    found = specification_curve(checked, build(checked))
    assert {"runs", "metric"} <= set(found.varied)
    chosen = {
        (one.choices["runs"], one.choices["metric"]): one.estimate
        for one in found.at("points")
        if [one.choices[name] for name in ("languages", "same source", "seeds", "targets")]
        == ["common", "dropped", "unpaired", "all"]
    }
    label = "exact, accuracy"  # "loss" is no proportion, so XNLI keeps its accuracy
    assert set(chosen) == {
        ("all", "main"), ("without diverged", "main"), ("all", label), ("without diverged", label)
    }  # fmt: skip
    swapped = both[both["metric"] != "loss"]
    swapped = swapped.assign(main=(swapped["metric"] == "exact") | (swapped["target"] != "chains"))
    assert chosen["all", label].interval() == pytest.approx(contrast_of(swapped).points.interval())
    kept = contrast_of(both[~broken], incomplete="drop").points
    assert chosen["without diverged", "main"].interval() == pytest.approx(kept.interval())
    # Unbalanced runs cannot be paired.
    assert {one.choices["runs"] for one in found.specifications if one.choices["seeds"] == "paired"} == {
        "all"
    }


def test_seeds_that_one_target_lacks(frame):
    less = frame[(frame["target"] != "xnli") | (frame["condition"] != "none") | (frame["seed"] < 3)]
    checked = check(less, incomplete="drop")
    found = specification_curve(checked, build(checked))
    (one,) = [
        one.estimate
        for one in found.at("points")
        if list(one.choices.values())[1:] == ["common", "dropped", "unpaired", "seeds of every target", "main", "all"]
    ]  # fmt: skip
    balanced = frame[(frame["condition"] != "none") | (frame["seed"] < 3)]
    assert one.interval() == pytest.approx(contrast_of(balanced).points.interval())


def test_the_order_of_rows_changes_nothing(frame, checked, study):
    mixed = check(frame.sample(frac=1, random_state=0))
    other = specification_curve(mixed, build(mixed))
    assert other.to_dict() == specification_curve(checked, study).to_dict()


def test_without_a_contrast_there_is_nothing_to_vary(frame):
    alone = check(frame[frame["group"] == "classification"])
    study = build(alone)
    assert specification_curve(alone, study).specifications == ()
    assert specification_curve(alone, study).to_dict()["varied"] == []
    assert leave_one_out(study) == ()


def test_a_single_run_is_never_significant(frame):
    one_run = check(frame[frame["seed"] == 0])
    found = specification_curve(one_run, build(one_run))
    assert not any(one.significant for one in found.specifications)


# --- controls ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("runs", "splits"), [(4, 3), (5, 10), (9, 126), (10, 126), (11, 200), (12, 200)])
def test_splits_are_all_or_so_many_different_ones(runs, splits):
    found = _splits(runs, 200, 0)
    assert len(found) == len(set(found)) == splits
    assert found == _splits(runs, 200, 0)
    if runs % 2 == 0:
        assert all(split[0] == 0 for split in found)


def test_the_control_compares_halves_of_the_baseline(frame):
    control = baseline_control(build(check(frame[frame["condition"] != "mnli"])))
    assert (control.runs, control.splits, control.cells) == (4, 3, 8)
    base = frame[frame["condition"] == "none"]
    halves = pd.concat(
        [
            base[base["seed"] < 2].assign(condition="half"),
            base[base["seed"] >= 2],
        ]
    )
    expected = analyse(halves)
    assert control.contrasts[0] == pytest.approx(expected.contrasts["C"].points.value)
    first = [gain.points.p_value < 0.05 for gain in expected.gains.cells if gain.lang != "en"]
    assert len(first) == control.cells
    assert 0.0 <= control.significant <= 1.0


def test_no_control_with_three_baseline_seeds(frame):
    few = frame[(frame["condition"] != "none") | (frame["seed"] < 3)]
    assert baseline_control(build(check(few))) is None


def null_shares(studies, seed, seed_sd=1.0):
    """Shares of significant cells: gains of studies without any effect, and their A/A controls."""
    rng = np.random.default_rng(seed)
    cells, controls, covered = [], [], []
    for _ in range(studies):
        frame = synthetic.frame(tasks({}, seed_sd), rng, {"none": 6, "mnli": 3}, cluster_sd=5.0)
        checked = check(frame)
        study = build(checked)
        for condition, target, lang in study.blocks:
            if condition != "none" and lang != "en":
                weights = {(condition, target, lang): 1.0, ("none", target, lang): -1.0}
                cells.append(study.estimate(weights, "points").p_value < 0.05)
        control = baseline_control(study)
        controls.append(control.significant)
        covered.append(control.covered)
    return np.mean(cells), np.mean(controls), np.mean(covered)


def test_studies_without_effect_have_few_significant_cells():
    """Near 5 %, rather below: seed parts are clipped at 0. 6 studies of 8 cells, which share runs and items."""
    cells, controls, covered = null_shares(6, 1)
    assert cells < 0.17
    assert controls < 0.12
    assert covered > 0.8


@pytest.mark.slow
@pytest.mark.parametrize(("seed_sd", "low", "high"), [(1.0, 0.005, 0.05), (4.0, 0.015, 0.075)])
def test_about_one_cell_in_twenty_is_significant_in_studies_without_effect(seed_sd, low, high):
    """Fewer than 5 % where items are nearly all the noise, as seed parts are clipped at 0; more where seeds count."""
    cells, controls, covered = null_shares(120, 2, seed_sd)
    print(f"run SD {seed_sd}: cells {cells:.4f}, A/A cells {controls:.4f}, A/A C covered {covered:.4f}")
    assert low < cells < high
    assert low < controls < high
    assert 0.92 < covered < 0.995


def test_split_seeds_remove_the_coupling_of_gain_and_baseline():
    """No true slope: noise 1 and baselines 22.04 (variances) give -1/23.04 = -0.0434; split seeds give 0."""
    rng = np.random.default_rng(3)
    cells, runs = 200_000, 4
    true = rng.normal(0.0, np.sqrt(22.04), cells)
    baseline = true[:, None] + rng.normal(0.0, np.sqrt(runs), (cells, runs))  # the mean of 4 has variance 1
    after = true + rng.normal(0.0, 1.0, cells)
    mean = baseline.mean(axis=1)
    coupled = np.polyfit(mean, after - mean, 1)[0]
    assert coupled == pytest.approx(-0.0434, abs=0.002)
    assert split_seed_slope(baseline, after) == pytest.approx(0.0, abs=0.002)


def test_slope_of_a_study(frame, study):
    found = baseline_slope(study)
    assert [point[:2] for point in found.points] == [
        ("chains", "de"), ("chains", "fr"), ("chains", "sw"), ("pawsx", "de"), ("pawsx", "fr"),
        ("xnli", "de"), ("xnli", "hi"), ("xnli", "sw"),
    ]  # fmt: skip
    scores = {(one.condition, one.target, one.lang): one.score for one in analyse(frame).scores}
    target, lang, baseline, gain = found.points[0]
    assert baseline == pytest.approx(scores["none", target, lang])
    after = np.mean([scores[condition, target, lang] for condition in ("mnli", "squad")])
    assert gain == pytest.approx(after - baseline)
    assert found.low < found.slope < found.high
    x, y = np.array([point[2:] for point in found.points]).T
    assert found.coupled == pytest.approx(np.polyfit(x, y, 1)[0])


def test_no_slope_from_one_baseline_run_or_two_points(frame):
    assert baseline_slope(build(check(frame[frame["seed"] == 0]))) is None
    two = frame[(frame["target"] == "pawsx") & frame["lang"].isin(["en", "de", "fr"])]
    assert baseline_slope(build(check(two))) is None
    flat = frame.assign(num=1.0)
    assert baseline_slope(build(check(flat))) is None


def slope_coverage(studies, seed):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(studies):
        slope = baseline_slope(build(check(synthetic.frame(tasks({}), rng, {"none": 4, "mnli": 3}))))
        found.append((slope.low < 0.0 < slope.high, slope.slope, slope.coupled))
    return np.mean(found, axis=0)


@pytest.mark.slow
def test_the_slope_interval_covers_a_slope_of_zero():
    covered, slope, coupled = slope_coverage(300, 4)
    print(f"covered {covered:.4f}, slope {slope:+.4f}, coupled {coupled:+.4f}")
    assert covered > 0.92
    assert coupled < slope
