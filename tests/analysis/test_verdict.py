"""Each branch of the decision rule, and whole studies with a known truth."""

import json
import math

import numpy as np
import pytest
import synthetic

from analysis import analyse
from analysis.study import Both
from analysis.variance import Estimate
from analysis.verdict import CONFOUNDS, Setting, judge, within
from xeval.errors import DataError, UsageError

MARGINS = {"points": 1.0, "logit": 0.05}
SETTING = Setting(benchmarks=2, languages=5, multi_hop_sets=1, baseline_runs=(9, 9), condition_runs=(3, 5))


def estimate(value, se, estimable=True):
    return Estimate(value, se**2 / 2, se**2 / 2, 20.0, 200.0, 0.95, estimable, 200)


def both(points, logit, estimable=True):
    return Both(estimate(*points, estimable), estimate(*logit, estimable))


def verdict(points, logit, multi_hop=((1, 1), (0.1, 0.1)), classification=((3, 0.5), (0.3, 0.05)), **options):
    contrast = both(points, logit, options.pop("estimable", True))
    return judge(contrast, both(*multi_hop), both(*classification), SETTING, MARGINS, **options)


@pytest.mark.parametrize(
    ("points", "logit", "outcome"),
    [
        ((-3, 1), (-0.3, 0.1), "diminishes"),
        ((3, 1), (0.3, 0.1), "larger"),
        ((0.1, 0.3), (0.01, 0.01), "equivalent"),
        ((0.1, 0.3), (0.01, 0.1), "inconclusive"),
        ((-3, 1), (-0.1, 0.1), "scale-dependent"),
        ((-1, 1), (-0.3, 0.1), "scale-dependent"),
        ((-3, 1), (0.3, 0.1), "scale-dependent"),
        ((3, 1), (0.1, 0.1), "scale-dependent"),
        ((-1, 1), (-0.1, 0.1), "inconclusive"),
        ((-1, 1), (0.1, 0.1), "inconclusive"),
    ],
)
def test_every_branch(points, logit, outcome):
    assert verdict(points, logit).outcome == outcome


def test_reverses_vanishes_and_crossover():
    reversed_ = verdict((-6, 1), (-0.6, 0.1), multi_hop=((-3, 0.5), (-0.3, 0.05)))
    assert reversed_.reverses
    assert reversed_.crossover
    assert "reverses" in reversed_.headline
    vanished = verdict((-3, 1), (-0.3, 0.1), multi_hop=((0.1, 0.2), (0.01, 0.01)))
    assert vanished.vanishes
    assert not vanished.reverses
    assert "vanishes" in vanished.headline
    small = verdict((-3, 1), (-0.3, 0.1), multi_hop=((0.1, 0.2), (0.01, 0.1)))
    assert not small.vanishes


def test_a_margin_must_hold_on_both_scales():
    assert within(both((0, 0.3), (0, 0.01)), MARGINS)
    assert not within(both((0, 0.3), (0, 0.1)), MARGINS)
    assert not within(both((0, 0.7), (0, 0.01)), MARGINS)


def test_one_run_per_side_never_becomes_a_claim():
    found = verdict((-30, 1), (-3, 0.1), estimable=False)
    assert found.outcome == "one run per side"
    assert [found.reverses, found.vanishes, found.crossover] == [False] * 3
    assert "items only" in found.sentences[0]


def test_sentences_quote_the_numbers_and_the_limits():
    found = verdict((-1, 1), (-0.1, 0.1), remaining=both((-0.4, 1), (0, 0.1)))
    text = " ".join(found.sentences)
    assert "2 benchmarks and 5 shared languages, with 9 baseline and 3–5 intermediate runs" in text
    assert "1.00 points lower on multi-hop" in text
    assert "−3.09 to +1.09 points" in text
    assert f"could detect {found.detectable['points']:.2f} points" in text
    assert (
        "Against single-hop span QA, which shares the answer format, the difference is −0.40 points" in text
    )
    assert "not new tasks: with 1 multi-hop set nothing is claimed" in text
    assert found.confounds == CONFOUNDS
    assert json.loads(json.dumps(found.to_dict()))["outcome"] == "inconclusive"


def study(rng, base, gain, contrast, seed_sd=0.5, **options):
    """One classification and one multi-hop target, two languages."""
    tasks = [
        synthetic.Task(
            "pairs", "classification", base[0], {"mnli": gain}, ("de", "sw"), 60, 3, seed_sd=seed_sd
        ),
        synthetic.Task(
            "chains", "multi-hop QA", base[1], {"mnli": gain + contrast}, ("de", "sw"), 60, 3, seed_sd=seed_sd
        ),
    ]
    return synthetic.frame(tasks, rng, {"none": 4, "mnli": 4}, cluster_sd=3.0, **options)


def outcomes(studies, *args, **options):
    rng = np.random.default_rng(8)
    return [analyse(study(rng, *args, **options), models=False).verdict.outcome for _ in range(studies)]


def test_no_difference_is_rarely_called_one():
    """C = 0 on both scales: a claim in at most 5 % of studies, plus three Monte-Carlo errors."""
    found = outcomes(50, (60, 60), 4.0, 0.0, shared_seed_sd=2.0)
    claims = sum(outcome in ("diminishes", "larger") for outcome in found)
    assert claims <= 50 * (0.05 + 3 * math.sqrt(0.05 * 0.95 / 50))


def test_a_large_difference_is_found_on_both_scales():
    assert outcomes(20, (60, 55), 14.0, -14.0).count("diminishes") >= 16


def test_equal_points_near_the_ceiling_depend_on_the_scale():
    """+9 points from 86 and from 50: equal in points, 1.13 against 0.36 in log-odds."""
    assert outcomes(20, (86, 50), 9.0, 0.0).count("scale-dependent") >= 16


def test_whole_study_on_the_default_synthetic_data():
    analysis = analyse(synthetic.study(np.random.default_rng(9), contrast=-2.0))
    low, high = analysis.contrasts["C"].mean.points.interval()
    assert low < -2.0 < high
    assert analysis.notes == ()


def test_without_multi_hop_targets_there_are_gains_and_a_reason():
    frame = synthetic.study(np.random.default_rng(10))
    analysis = analyse(frame[frame["group"] == "retrieval"])
    assert analysis.verdict.outcome == "no contrast"
    assert "no multi-hop QA and no classification target" in analysis.verdict.sentences[0]
    assert {gain.subject for gain in analysis.tasks} == {"sentences"}
    assert all(gain.both.points.seeds_estimable for gain in analysis.tasks)
    hops = analyse(frame[frame["group"].isin(["single-hop QA", "multi-hop QA"])])
    assert "no classification target" in hops.verdict.sentences[0]
    assert set(hops.contrasts) == {"C_QA"}


def test_one_seed_per_side_is_said_plainly():
    analysis = analyse(synthetic.study(np.random.default_rng(11), seeds={"none": 1, "mnli": 1}))
    assert analysis.verdict.outcome == "one run per side"
    assert (
        "pairs: one run of mnli, none; its intervals cover new items only, not new seeds." in analysis.notes
    )


def test_an_unknown_training_seed_is_one_run_and_not_a_given_checkpoint():
    frame = synthetic.study(np.random.default_rng(12), seeds={"none": 1, "mnli": 1}).assign(seed=-1)
    gains = {gain.subject: gain.both.points for gain in analyse(frame).tasks if gain.condition == "mnli"}
    assert not any(gain.seeds_estimable for gain in gains.values())


def test_wrong_use_is_refused():
    frame = synthetic.study(np.random.default_rng(13), seeds={"none": 1, "mnli": 1})
    with pytest.raises(UsageError, match="margin"):
        analyse(frame, margin_points=0)
    with pytest.raises(UsageError, match="confidence"):
        analyse(frame, confidence=95)
    with pytest.raises(DataError, match="only the baseline"):
        analyse(frame[frame["condition"] == "none"])


def test_nothing_is_claimed_of_targets_that_no_condition_learns() -> None:
    frame = synthetic.study(np.random.default_rng(5), contrast=-20.0)
    learnt = analyse(frame.assign(chance=0.2))
    assert learnt.verdict.outcome == "diminishes"
    chance = frame["target"].map(lambda name: 0.9 if name == "chains" else 0.2)
    floor = analyse(frame.assign(chance=chance))
    assert floor.verdict.outcome == "at chance"
    assert not floor.verdict.reverses
    assert "above chance on chains in the transfer languages, so" in floor.verdict.sentences[0]
    assert floor.contrasts["C"] == learnt.contrasts["C"]


def test_systems_that_guess_are_not_above_chance() -> None:
    """One of four systems that guess nearly always scores above chance by luck; classification truly gains."""
    gains = dict.fromkeys(("a", "b", "c"), 25.0)
    tasks = [
        synthetic.Task("pairs", "classification", 55, gains, seed_sd=0.5),
        synthetic.Task("chains", "multi-hop QA", 25, seed_sd=0.0),
    ]
    seeds = {"none": 3, "a": 3, "b": 3, "c": 3}
    outcomes = []
    for number in range(20):
        rows = synthetic.frame(tasks, np.random.default_rng((14, number)), seeds, cluster_sd=0.0)
        rows = rows.assign(chance=rows["target"].map({"pairs": 0.5, "chains": 0.25}))
        outcomes.append(analyse(rows, models=False).verdict.outcome)
    assert outcomes.count("at chance") >= 18


@pytest.mark.parametrize("chance", [1 / 3, 0.333])
def test_an_answer_that_never_changes_is_at_chance(chance) -> None:
    frame = synthetic.study(np.random.default_rng(15)).assign(num=1 / 3, chance=chance)
    assert analyse(frame, models=False).verdict.outcome == "at chance"


def test_copies_of_a_run_are_named() -> None:
    frame = synthetic.study(np.random.default_rng(16))
    cell = ["condition", "target", "lang", "item_id"]
    copied = frame.assign(num=frame.groupby(cell)["num"].transform("first"))
    notes = [note for note in analyse(copied, models=False).notes if "copies of one run" in note]
    # The baseline of retrieval is one checkpoint.
    assert len(notes) == 1
    assert "chains (mnli, none, squad); pairs (mnli, none, squad); sentences (mnli, squad); spans" in notes[0]
    assert not any("copies" in note for note in analyse(frame, models=False).notes)
    constant = analyse(frame.assign(num=1.0), models=False)
    assert not any("copies" in note for note in constant.notes)


def test_scores_without_the_language_of_training_say_so() -> None:
    frame = synthetic.study(np.random.default_rng(17))
    upper = analyse(frame.assign(lang=frame["lang"].str.upper()), models=False)
    assert (
        "the language of training, en, so that every language counts as one of transfer: DE, EN"
        in upper.notes[0]
    )
    assert not any("language of training" in note for note in analyse(frame, models=False).notes)


def test_what_is_left_out_as_incomplete_is_named() -> None:
    frame = synthetic.study(np.random.default_rng(18))
    lost = (frame["target"] == "chains") & (frame["condition"] == "mnli") & (frame["seed"] == 1)
    partial = frame[~(lost & (frame["lang"] == "de"))]
    with pytest.raises(DataError, match="language 'de' is missing"):
        analyse(partial, models=False)
    found = analyse(partial, incomplete="drop", models=False)
    assert found.notes[0].endswith("are left out: chains, mnli seed 1.")
    assert found.targets["chains"].seeds["mnli"] == (0, 2)
    text = analyse(partial.astype(str), incomplete="drop", models=False)
    assert text.notes[0] == found.notes[0]
