"""Each branch of the decision rule, and whole studies with a known truth."""

import json
import math

import numpy as np
import pytest
from support import synthetic

from xeval.analysis import analyse
from xeval.analysis.estimate.arrays import Estimates
from xeval.analysis.estimate.variance import Estimate
from xeval.analysis.report.check_tables import tests as table_of_tests
from xeval.analysis.report.tables import summary
from xeval.analysis.verdict import CONFOUNDS, Setting, judge, within
from xeval.errors import DataError, UsageError

MARGINS = {"points": 1.0, "logit": 0.05}
SETTING = Setting(benchmarks=2, languages=5, multi_hop_sets=1, baseline_runs=(9, 9), condition_runs=(3, 5))


def estimate(value, se, estimable=True):
    return Estimate(value, se**2 / 2, se**2 / 2, 20.0, 200.0, 0.95, estimable, 200)


def both(points, logit, estimable=True):
    return Estimates(estimate(*points, estimable), estimate(*logit, estimable))


GAIN, HARM, UNKNOWN = ((3, 0.5), (0.3, 0.05)), ((-3, 0.5), (-0.3, 0.05)), ((0.2, 1), (0.02, 0.1))
EFFECTS = {"gain": GAIN, "harm": HARM, "not shown": UNKNOWN}
LOWER, HIGHER = ((-6, 1), (-0.6, 0.1)), ((6, 1), (0.6, 0.1))
EQUAL, EQUAL_BUT_LOWER, EQUAL_BUT_HIGHER = (
    ((0.1, 0.3), (0.01, 0.01)),
    ((-0.5, 0.2), (-0.02, 0.005)),
    ((0.5, 0.2), (0.02, 0.005)),
)


def verdict(points, logit, multi_hop=GAIN, classification=GAIN, **options):
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
def test_every_branch_of_the_difference(points, logit, outcome):
    assert verdict(points, logit).outcome == outcome


# What is shown of C, of the gain on classification, of that on multi-hop targets -> outcome, words of the headline.
CLAIMS = {
    ("lower", "gain", "gain"): ("diminishes", "The gain is smaller on multi-hop targets"),
    ("lower", "gain", "not shown"): ("diminishes", "The gain is smaller on multi-hop targets"),
    ("lower", "gain", "harm"): ("diminishes", "The gain reverses on multi-hop targets"),
    ("lower", "harm", "gain"): ("no gain shown", "No claim"),
    ("lower", "harm", "not shown"): ("no gain shown", "No claim"),
    ("lower", "harm", "harm"): (
        "harmed more",
        "Multi-hop targets are harmed more than classification targets",
    ),
    ("lower", "not shown", "gain"): ("no gain shown", "No claim"),
    ("lower", "not shown", "not shown"): ("no gain shown", "No claim"),
    ("lower", "not shown", "harm"): (
        "harmed more",
        "Multi-hop targets are harmed, classification targets less, if at all",
    ),
    ("higher", "gain", "gain"): ("larger", "The gain is larger on multi-hop targets"),
    ("higher", "gain", "not shown"): ("no gain shown", "No claim"),
    ("higher", "gain", "harm"): ("no gain shown", "No claim"),
    ("higher", "harm", "gain"): ("larger", "Multi-hop targets gain and classification targets are harmed"),
    ("higher", "harm", "not shown"): (
        "harmed less",
        "Classification targets are harmed, multi-hop targets less, if at all",
    ),
    ("higher", "harm", "harm"): (
        "harmed less",
        "Multi-hop targets are harmed less than classification targets",
    ),
    ("higher", "not shown", "gain"): ("larger", "The gain is larger on multi-hop targets"),
    ("higher", "not shown", "not shown"): ("no gain shown", "No claim"),
    ("higher", "not shown", "harm"): ("no gain shown", "No claim"),
    **{("not shown", c, m): ("inconclusive", "Inconclusive") for c in EFFECTS for m in EFFECTS},
    **{
        ("equal", c, m): ("equivalent", "The effects are equivalent within the margin")
        for c in EFFECTS
        for m in EFFECTS
    },
    ("equal", "gain", "gain"): ("equivalent", "The gains are equivalent within the margin"),
    ("equal", "harm", "harm"): ("harmed equally", "harmed equally within the margin"),
    **{
        (f"equal, {way}", c, m): (
            "equivalent",
            f"The effect is {way} on multi-hop targets, but within the margin",
        )
        for way in ("lower", "higher")
        for c in EFFECTS
        for m in EFFECTS
    },
    ("equal, lower", "gain", "gain"): (
        "equivalent",
        "The gain is smaller on multi-hop targets, but within the margin",
    ),
    ("equal, higher", "gain", "gain"): (
        "equivalent",
        "The gain is larger on multi-hop targets, but within the margin",
    ),
    ("equal, lower", "harm", "harm"): (
        "harmed equally",
        "harmed more than classification targets, but within the margin",
    ),
    ("equal, higher", "harm", "harm"): (
        "harmed equally",
        "harmed less than classification targets, but within the margin",
    ),
}
CONTRASTS = {
    "lower": LOWER, "higher": HIGHER, "not shown": ((-1, 1), (-0.1, 0.1)), "equal": EQUAL,
    "equal, lower": EQUAL_BUT_LOWER, "equal, higher": EQUAL_BUT_HIGHER,
}  # fmt: skip


def test_the_table_of_claims_has_every_combination():
    assert set(CLAIMS) == {(c, a, b) for c in CONTRASTS for a in EFFECTS for b in EFFECTS}


@pytest.mark.parametrize("case", CLAIMS, ids="; ".join)
def test_a_claim_says_no_more_than_is_shown_of_the_difference_and_of_both_gains(case):
    contrast, classification, multi_hop = case
    found = verdict(*CONTRASTS[contrast], EFFECTS[multi_hop], EFFECTS[classification])
    outcome, words = CLAIMS[case]
    assert found.outcome == outcome
    assert words in found.headline
    assert (found.classification, found.multi_hop) == (classification, multi_hop)
    text = " ".join((found.headline, *found.sentences))
    # The words of a gain that shrinks need a gain; the words of harm need a harm.
    assert classification == "gain" or not any(
        word in found.headline for word in ("smaller", "diminish", "vanish", "reverse")
    )
    assert "harm" in (classification, multi_hop) or "are harmed" not in text
    assert found.reverses == ("reverses" in found.headline)
    assert found.reverses <= (classification == "gain" and multi_hop == "harm")
    assert found.crossover == ({classification, multi_hop} == {"gain", "harm"})
    assert found.crossover == ("no change of scale can remove" in text)
    assert found.equivalent == contrast.startswith("equal")
    shown = {
        "gain": "a gain is shown",
        "harm": "a harm is shown",
        "not shown": "neither a gain nor a harm is shown",
    }
    assert f"On both scales, {shown[classification]} (" in found.sentences[1]
    assert f"on classification and {shown[multi_hop]} (" in found.sentences[1]


def test_a_gain_on_one_scale_only_is_no_gain():
    for gain in (((3, 0.5), (0.03, 0.05)), ((0.3, 0.5), (0.3, 0.05)), ((3, 0.5), (-0.3, 0.05))):
        assert verdict(*LOWER, UNKNOWN, gain).outcome == "no gain shown"
        assert verdict(*HIGHER, gain, UNKNOWN).outcome == "no gain shown"
    for harm in (((-3, 0.5), (-0.03, 0.05)), ((-0.3, 0.5), (-0.3, 0.05))):
        assert verdict(*LOWER, harm, UNKNOWN).outcome == "no gain shown"
        assert not verdict(*LOWER, harm, GAIN).reverses


def test_harm_on_both_sides_is_not_a_gain_that_reverses():
    """G(CLS) -5 and G(MH) -10, then -5 and 0."""
    harm = ((-5, 0.5), (-0.4, 0.05))
    worse = verdict((-5, 1), (-0.4, 0.1), ((-10, 0.5), (-0.8, 0.05)), harm)
    assert worse.headline == "Multi-hop targets are harmed more than classification targets, on both scales"
    assert (
        "was −10.00 points on multi-hop and −5.00 on classification targets: 5.00 points lower"
        in worse.sentences[0]
    )
    spared = verdict((5, 1), (0.4, 0.1), ((0, 0.5), (0, 0.05)), harm)
    assert (
        spared.headline
        == "Classification targets are harmed, multi-hop targets less, if at all, on both scales"
    )


def test_a_gain_vanishes_only_where_there_is_one_on_classification():
    nothing = ((0.1, 0.2), (0.01, 0.01))
    vanished = verdict((-3, 1), (-0.3, 0.1), nothing)
    assert vanished.vanishes
    assert vanished.headline == "The gain vanishes on multi-hop targets, on both scales"
    assert "lies within ±1 points and ±0.05 log-odds of 0" in " ".join(vanished.sentences)
    assert not verdict((-3, 1), (-0.3, 0.1), ((0.1, 0.2), (0.01, 0.1))).vanishes
    for classification in (UNKNOWN, HARM):
        found = verdict((-3, 1), (-0.3, 0.1), nothing, classification)
        assert found.outcome == "no gain shown"
        assert not found.vanishes
    small_harm = verdict((-3, 1), (-0.3, 0.1), ((-0.3, 0.1), (-0.03, 0.01)))
    assert (small_harm.vanishes, small_harm.reverses, small_harm.crossover) == (True, False, True)


def test_equivalence_comes_before_both_directions():
    lower, higher = verdict(*EQUAL_BUT_LOWER), verdict(*EQUAL_BUT_HIGHER)
    assert lower.outcome == higher.outcome == "equivalent"
    assert lower.equivalent is higher.equivalent is True
    assert (lower.direction, higher.direction) == ("lower", "higher")
    assert lower.headline.replace("smaller", "larger") == higher.headline
    assert "though it is shown not to be 0" in " ".join(lower.sentences)


@pytest.mark.parametrize("reason", [{"unlearnt": ["chains"]}, {"copied": ["chains"]}])
@pytest.mark.parametrize("contrast", [EQUAL, LOWER, HIGHER])
def test_nothing_is_called_equivalent_or_different_where_a_target_is_not_learnt_or_copied(reason, contrast):
    found = verdict(*contrast, HARM, GAIN, **reason)
    assert found.outcome == {"unlearnt": "at chance", "copied": "copied runs"}[next(iter(reason))]
    assert (found.equivalent, found.equivalence, found.direction) == (None, {}, "not shown")
    assert [found.reverses, found.vanishes, found.crossover] == [False] * 3
    text = " ".join(found.sentences)
    assert "chains" in found.sentences[0]
    assert not any(word in text for word in ("is shown", "lies within", "was detected", "change of scale"))


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
    assert (
        "+3.00 points on multi-hop and +3.00 on classification targets: 1.00 points lower on multi-hop"
        in text
    )
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
    return [analyse(study(rng, *args, **options)).verdict.outcome for _ in range(studies)]


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
    low, high = analysis.contrasts["C"].points.interval()
    assert low < -2.0 < high
    assert analysis.notes == ()


def test_without_multi_hop_targets_there_are_gains_and_a_reason():
    frame = synthetic.study(np.random.default_rng(10))
    analysis = analyse(frame[frame["group"] == "retrieval"])
    assert analysis.verdict.outcome == "no contrast"
    assert "no multi-hop QA and no classification target" in analysis.verdict.sentences[0]
    assert {gain.subject for gain in analysis.gains.tasks} == {"sentences"}
    assert all(gain.points.seeds_estimable for gain in analysis.gains.tasks)
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
    gains = {gain.subject: gain.points for gain in analyse(frame).gains.tasks if gain.condition == "mnli"}
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
    assert learnt.verdict.outcome == "harmed more"
    chance = frame["target"].map(lambda name: 0.9 if name == "chains" else 0.2)
    floor = analyse(frame.assign(chance=chance))
    assert floor.verdict.outcome == "at chance"
    assert not floor.verdict.reverses
    assert "above chance on chains in the transfer languages, so" in floor.verdict.sentences[0]
    assert floor.contrasts["C"] == learnt.contrasts["C"]
    assert floor.unlearnt == ("chains",)


@pytest.mark.parametrize("reason", ["not learnt", "copied"])
def test_neither_table_nor_json_calls_what_was_not_learnt_or_is_copied_equivalent(reason) -> None:
    frame = synthetic.study(np.random.default_rng(16), cluster_sd=3.0)
    chains = frame["target"] == "chains"
    if reason == "not learnt":
        frame = frame.assign(chance=frame["target"].map({"chains": 0.9}))
    else:
        copy = frame.groupby(["target", "lang", "item_id"])["num"].transform("first")
        frame = frame.assign(num=frame["num"].mask(chains, copy))
    found = analyse(frame, margin_points=90.0, margin_logit=9.0)
    assert found.verdict.outcome == {"not learnt": "at chance", "copied": "copied runs"}[reason]
    rows = {row[0]: row[-1] for row in summary(found).rows}
    assert rows["C"] == rows["C_QA"] == rows["G(multi-hop QA)"] == "–"
    assert rows["G(classification)"] == rows["G(single-hop QA)"] == rows["C − C_QA"] == "yes"
    numbers = found.to_dict()
    assert numbers["contrasts"]["C"]["in_margin"] is numbers["verdict"]["equivalent"] is None
    assert numbers["contrasts"]["C − C_QA"]["in_margin"] is True
    assert {gain["in_margin"] for gain in numbers["group_gains"] if gain["group"] == "multi-hop QA"} == {None}
    assert {row[-1] for row in table_of_tests(found).rows} <= {"–", "closed"}


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
        outcomes.append(analyse(rows).verdict.outcome)
    assert outcomes.count("at chance") >= 18


@pytest.mark.parametrize("chance", [1 / 3, 0.333])
def test_an_answer_that_never_changes_is_at_chance(chance) -> None:
    frame = synthetic.study(np.random.default_rng(15)).assign(num=1 / 3, chance=chance)
    assert analyse(frame).verdict.outcome == "at chance"


def test_copies_of_a_run_are_named() -> None:
    frame = synthetic.study(np.random.default_rng(16))
    cell = ["condition", "target", "lang", "item_id"]
    copied = frame.assign(num=frame.groupby(cell)["num"].transform("first"))
    notes = [note for note in analyse(copied).notes if "copies of one run" in note]
    # The baseline of retrieval is one checkpoint.
    assert len(notes) == 1
    assert "chains (mnli, none, squad); pairs (mnli, none, squad); sentences (mnli, squad); spans" in notes[0]
    assert not any("copies" in note for note in analyse(frame).notes)
    constant = analyse(frame.assign(num=1.0))
    assert not any("copies" in note for note in constant.notes)


def test_scores_without_the_language_of_training_say_so() -> None:
    frame = synthetic.study(np.random.default_rng(17))
    upper = analyse(frame.assign(lang=frame["lang"].str.upper()))
    assert (
        "the language of training, en, so that every language counts as one of transfer: DE, EN"
        in upper.notes[0]
    )
    assert not any("language of training" in note for note in analyse(frame).notes)


def test_what_is_left_out_as_incomplete_is_named() -> None:
    frame = synthetic.study(np.random.default_rng(18))
    lost = (frame["target"] == "chains") & (frame["condition"] == "mnli") & (frame["seed"] == 1)
    partial = frame[~(lost & (frame["lang"] == "de"))]
    with pytest.raises(DataError, match="language 'de' is missing"):
        analyse(partial)
    found = analyse(partial, incomplete="drop")
    assert found.notes[0].endswith("are left out: chains, mnli seed 1.")
    assert found.targets["chains"].seeds["mnli"] == (0, 2)
    text = analyse(partial.astype(str), incomplete="drop")
    assert text.notes[0] == found.notes[0]
