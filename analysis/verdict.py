"""From the key contrast to a verdict in words: what may be claimed, what may not, and what could have been seen.

A difference between gains is shown where C lies on one side of 0 in points *and* in log-odds (an intersection-union
test, so the level is not split): an interaction that is not a crossover can be removed by a monotone change of scale
(Loftus 1978). What it is a difference of is a question of its own: "the gain diminishes" also needs a gain on
classification, shown in the same way, and a harm is called a harm. Equivalence comes before both directions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import Any, Literal

from xeval.analysis.estimate import estimands
from xeval.analysis.estimate.arrays import Estimates, Study
from xeval.analysis.estimate.estimands import Contrast, match
from xeval.analysis.estimate.selection import above_chance, common_conditions, select
from xeval.analysis.estimate.variance import SCALES, Scale
from xeval.conditions import BASELINE, CLASSIFICATION, MULTI_HOP_QA, single_conditions

Outcome = Literal[
    "diminishes",
    "larger",
    "harmed more",
    "harmed less",
    "harmed equally",
    "equivalent",
    "no gain shown",
    "scale-dependent",
    "inconclusive",
    "one run per side",
    "at chance",
    "copied runs",
    "no contrast",
]
Effect = Literal["gain", "harm", "not shown"]
"""What is shown of a gain, on both scales."""
Direction = Literal["lower", "higher", "not shown"]
"""What is shown of C, on both scales: the gain on multi-hop targets is lower or higher than on classification."""
NO_CLAIM: tuple[Outcome, ...] = ("one run per side", "at chance", "copied runs", "no contrast")

HEADLINES: Mapping[Outcome, str] = {
    "diminishes": "The gain is smaller on multi-hop targets, on both scales",
    "larger": "The gain is larger on multi-hop targets, on both scales",
    "harmed more": "Multi-hop targets are harmed more than classification targets, on both scales",
    "harmed less": "Multi-hop targets are harmed less than classification targets, on both scales",
    "harmed equally": "Multi-hop and classification targets are harmed equally within the margin, on both scales",
    "equivalent": "The gains are equivalent within the margin, on both scales",
    "no gain shown": "No claim: a difference is shown, but not the gain or the harm that it would be a difference of",
    "scale-dependent": "Scale-dependent: no claim",
    "inconclusive": "Inconclusive",
    "one run per side": "No verdict: a trained condition has a single run",
    "at chance": "No verdict: a compared target stays at chance in the transfer languages",
    "copied runs": "No verdict: runs of a compared target are copies of one another",
    "no contrast": "No verdict: gains only",
}

OUTCOMES: Mapping[tuple[Direction, Effect, Effect], Outcome] = {
    ("lower", "gain", "gain"): "diminishes",
    ("lower", "gain", "not shown"): "diminishes",
    ("lower", "gain", "harm"): "diminishes",
    ("lower", "not shown", "harm"): "harmed more",
    ("lower", "harm", "harm"): "harmed more",
    ("higher", "gain", "gain"): "larger",
    ("higher", "not shown", "gain"): "larger",
    ("higher", "harm", "gain"): "larger",
    ("higher", "harm", "not shown"): "harmed less",
    ("higher", "harm", "harm"): "harmed less",
}
"""What a shown difference is called by what is shown on classification and on multi-hop targets; else no claim."""

WORDS: Mapping[Effect, str] = {
    "gain": "a gain is shown",
    "harm": "a harm is shown",
    "not shown": "neither a gain nor a harm is shown",
}

CONFOUNDS = (
    "Task type and dataset are the same thing where a type has a single dataset.",
    "Translation quality of the multi-hop set.",
    "Input length and truncation.",
    "Size of the target's English training set.",
    "Answer format and metric.",
    "Chance level.",
    "Overlap of the sources of intermediate and target tasks.",
    "One pretrained checkpoint: nothing here speaks of other pretraining runs.",
    "The language sets of the tasks differ; contrasts use the shared languages only.",
)


@dataclass(frozen=True)
class Setting:
    """What the verdict's sentences name.

    Attributes:
        benchmarks, languages: how many enter the key contrast.
        multi_hop_sets: how many multi-hop QA tasks enter.
        baseline_runs, condition_runs: smallest and largest number of runs per task on either side.
    """

    benchmarks: int
    languages: int
    multi_hop_sets: int
    baseline_runs: tuple[int, int]
    condition_runs: tuple[int, int]


@dataclass(frozen=True, repr=False)
class Verdict:
    """The verdict.

    Attributes:
        outcome: which branch of the decision rule holds; ``headline`` says it in words.
        direction: what is shown of C; ``classification`` and ``multi_hop`` are what is shown of its parts.
        reverses: a gain on classification and a harm on multi-hop targets are shown, the harm beyond the margin.
        vanishes: a gain on classification is shown, and that the one on multi-hop targets lies inside the margin.
        crossover: a gain on one side and a harm on the other are shown: no change of scale removes it.
        equivalent: whether C is shown to lie inside the margin; None where the runs allow no answer.
        sentences: the claim, its interval and its limits; ready to be quoted.
        detectable: scale -> smallest C found with 80 % power.
        equivalence: scale -> 90 % interval of C, to be compared with ``margins``; empty where ``equivalent`` is None.
    """

    outcome: Outcome
    headline: str
    direction: Direction
    classification: Effect
    multi_hop: Effect
    reverses: bool
    vanishes: bool
    crossover: bool
    equivalent: bool | None
    sentences: tuple[str, ...]
    detectable: Mapping[str, float]
    equivalence: Mapping[str, tuple[float, float]]
    margins: Mapping[str, float]
    confounds: tuple[str, ...] = CONFOUNDS

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __repr__(self) -> str:
        return f"<verdict: {self.headline}>"

    def __str__(self) -> str:
        return "\n".join((self.headline, *self.sentences))

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.sentences)
        return f"<p><strong>{escape(self.headline)}</strong></p><ul>{lines}</ul>"


def no_contrast(reason: str, margins: Mapping[str, float]) -> Verdict:
    """The verdict of a study that has no key contrast."""
    return Verdict(
        outcome="no contrast",
        headline=HEADLINES["no contrast"],
        direction="not shown",
        classification="not shown",
        multi_hop="not shown",
        reverses=False,
        vanishes=False,
        crossover=False,
        equivalent=None,
        sentences=(reason,),
        detectable={},
        equivalence={},
        margins=margins,
    )


def judge(
    contrast: Estimates,
    multi_hop: Estimates,
    classification: Estimates,
    setting: Setting,
    margins: Mapping[str, float],
    remaining: Estimates | None = None,
    *,
    unlearnt: Sequence[str] = (),
    copied: Sequence[str] = (),
) -> Verdict:
    """The decision rule on C and its two parts.

    Args:
        contrast: C; ``multi_hop`` and ``classification`` are the gains it is the difference of.
        margins: scale -> half-width of the region that counts as no difference.
        remaining: C_QA, the difference to single-hop QA, where there is one.
        unlearnt: compared targets on which the models score above chance under no condition: a difference there tells
            how long was trained, or how answers fail, not what transfers.
        copied: compared targets with runs that are copies of one another: their intervals are too short.
    """
    outcome = decide(contrast, multi_hop, classification, margins)
    if outcome != "one run per side" and copied:
        outcome = "copied runs"
    if unlearnt:
        outcome = "at chance"
    claims = outcome not in NO_CLAIM
    direction: Direction = _direction(contrast) if claims else "not shown"
    on_classification, on_multi_hop = (
        _effect(gain) if claims else "not shown" for gain in (classification, multi_hop)
    )
    crossover = {on_classification, on_multi_hop} == {"gain", "harm"}
    vanishes = outcome == "diminishes" and within(multi_hop, margins)
    detectable: dict[str, float] = {scale: contrast[scale].detectable() for scale in SCALES}
    verdict = Verdict(
        outcome=outcome,
        headline="",
        direction=direction,
        classification=on_classification,
        multi_hop=on_multi_hop,
        reverses=outcome == "diminishes" and on_multi_hop == "harm" and not vanishes,
        vanishes=vanishes,
        crossover=crossover,
        equivalent=within(contrast, margins) if claims else None,
        sentences=(),
        detectable=detectable,
        equivalence={scale: contrast[scale].interval(equivalence_level(contrast)) for scale in SCALES}
        if claims
        else {},
        margins=dict(margins),
    )
    return replace(
        verdict,
        headline=_headline(verdict),
        sentences=(
            *_no_answer(unlearnt, copied),
            _estimates(contrast, multi_hop, classification, setting),
            *_limits(verdict, multi_hop, classification),
            *_scope(verdict, contrast, setting, remaining),
        ),
    )


def judge_study(
    study: Study,
    contrasts: Mapping[str, Contrast],
    margins: Mapping[str, float],
    copies: Mapping[str, Sequence[str]],
) -> Verdict:
    key = contrasts.get(estimands.KEY.name)
    if key is None:
        return no_contrast(_why_no_contrast(study), margins)
    used = [study.targets[name] for name in key.targets]
    baseline = [len(target.seeds[BASELINE]) for target in used]
    condition = [
        len(target.seeds[name])
        for target in used
        for name in key.conditions
        if (name, target.name) not in key.dropped
    ]
    setting = Setting(
        benchmarks=len(used),
        languages=len(key.languages),
        multi_hop_sets=sum(target.group == MULTI_HOP_QA for target in used),
        baseline_runs=(min(baseline), max(baseline)),
        condition_runs=(min(condition), max(condition)),
    )
    bridge = contrasts.get(estimands.SAME_FORMAT.name)
    return judge(
        key,
        key.parts[MULTI_HOP_QA],
        key.parts[CLASSIFICATION],
        setting,
        margins,
        bridge,
        unlearnt=[
            name for name in key.targets if not above_chance(study, name, key.conditions, key.languages)
        ],
        copied=[name for name in key.targets if name in copies],
    )


def decide(
    contrast: Estimates, multi_hop: Estimates, classification: Estimates, margins: Mapping[str, float]
) -> Outcome:
    """Which branch holds. Differing signs count as scale-dependent only where at least one scale is significant."""
    estimates = (*contrast, *multi_hop, *classification)
    if not all(estimate.seeds_estimable for estimate in estimates):
        return "one run per side"
    effects = _effect(classification), _effect(multi_hop)
    if within(contrast, margins):
        return "harmed equally" if effects == ("harm", "harm") else "equivalent"
    direction = _direction(contrast)
    if direction != "not shown":
        return OUTCOMES.get((direction, *effects), "no gain shown")
    if any(estimate.high < 0.0 or estimate.low > 0.0 for estimate in contrast):
        return "scale-dependent"
    return "inconclusive"


def _direction(contrast: Estimates) -> Direction:
    effect = _effect(contrast)
    return "higher" if effect == "gain" else "lower" if effect == "harm" else "not shown"


def _effect(gain: Estimates) -> Effect:
    """On which side of 0 the interval lies, on both scales."""
    if all(estimate.low > 0.0 for estimate in gain):
        return "gain"
    if all(estimate.high < 0.0 for estimate in gain):
        return "harm"
    return "not shown"


def equivalence_level(estimates: Estimates) -> float:
    """Level of the interval of two one-sided tests: 0.90 for a confidence of 0.95."""
    return 1.0 - 2.0 * (1.0 - estimates.points.confidence)


def within(estimates: Estimates, margins: Mapping[str, float]) -> bool:
    """Two one-sided tests: the 90 % interval lies inside the margin on both scales (Schuirmann 1987)."""
    intervals = {scale: estimates[scale].interval(equivalence_level(estimates)) for scale in SCALES}
    return all(-margins[scale] < low and high < margins[scale] for scale, (low, high) in intervals.items())


def _why_no_contrast(study: Study) -> str:
    lacking = [group for group in (MULTI_HOP_QA, CLASSIFICATION) if not study.in_group(group)]
    if lacking:
        return (
            f"The scores hold no {' and no '.join(lacking)} target in a language other than {study.source}, "
            "so the gains below stand alone and nothing is said about multi-hop targets against "
            "classification."
        )
    groups = tuple(estimands.KEY.signs)
    conditions = common_conditions(study, groups)
    if match(study, single_conditions(conditions), groups, keep_same_source=True):
        kept_out = ", ".join(
            f"{condition} on {pair.target}"
            for condition in conditions
            for pair in select(study, groups=groups, conditions=(condition,))
            if pair.same_source
        )
        return (
            f"Of {kept_out} the condition holds (nearly) the target's own English training data, so "
            "their gain is no transfer from another task, and without them no multi-hop QA target is left to compare "
            "with a classification target; the gains below stand alone."
        )
    return (
        "No multi-hop QA target shares a transfer language and a condition with a classification target, so "
        "the two cannot be compared; the gains below stand alone."
    )


def _headline(verdict: Verdict) -> str:
    effects = (verdict.classification, verdict.multi_hop)
    if verdict.outcome == "diminishes" and verdict.vanishes:
        return "The gain vanishes on multi-hop targets, on both scales"
    if verdict.outcome == "diminishes" and verdict.reverses:
        return "The gain reverses on multi-hop targets, on both scales"
    if verdict.outcome == "larger" and verdict.classification == "harm":
        return "Multi-hop targets gain and classification targets are harmed, on both scales"
    if verdict.outcome == "harmed more" and verdict.classification != "harm":
        return "Multi-hop targets are harmed, classification targets less, if at all, on both scales"
    if verdict.outcome == "harmed less" and verdict.multi_hop != "harm":
        return "Classification targets are harmed, multi-hop targets less, if at all, on both scales"
    if verdict.outcome == "harmed equally" and verdict.direction != "not shown":
        more = "more" if verdict.direction == "lower" else "less"
        return f"Multi-hop targets are harmed {more} than classification targets, but within the margin, on both scales"
    if verdict.outcome == "equivalent":
        gains = effects == ("gain", "gain")
        if verdict.direction == "not shown":
            return (
                HEADLINES["equivalent"]
                if gains
                else "The effects are equivalent within the margin, on both scales"
            )
        words = {"lower": "smaller", "higher": "larger"} if gains else {"lower": "lower", "higher": "higher"}
        noun = "gain" if gains else "effect"
        return f"The {noun} is {words[verdict.direction]} on multi-hop targets, but within the margin, on both scales"
    return HEADLINES[verdict.outcome]


def _no_answer(unlearnt: Sequence[str], copied: Sequence[str]) -> list[str]:
    """Why the numbers are no answer to the question."""
    sentences = []
    if unlearnt:
        sentences.append(
            f"Under no condition do the models score above chance on {', '.join(unlearnt)} in the transfer languages, "
            "so a gain there is no gain in the task, and the numbers below are no answer to the question; train "
            "longer, or a larger encoder."
        )
    if copied:
        sentences.append(
            f"Several runs score the same on every item of {', '.join(copied)}: unless training gave the same model "
            "again, they are copies of one run, the intervals below are too short, and nothing is claimed; give every "
            "run once."
        )
    return sentences


def _estimates(contrast: Estimates, multi_hop: Estimates, classification: Estimates, setting: Setting) -> str:
    """The estimates with the interval of their difference."""
    low, high = _shown(contrast, "points")
    logit_low, logit_high = _shown(contrast, "logit")
    difference = contrast.points.value
    runs = "run" if setting.condition_runs == (1, 1) else "runs"
    return (
        f"On these {setting.benchmarks} benchmarks and {_count(setting.languages, 'shared language')}, with "
        f"{_range(setting.baseline_runs)} baseline and {_range(setting.condition_runs)} intermediate {runs} "
        f"per task, the mean gain over the baseline was {_signed(multi_hop.points.value)} points on multi-hop and "
        f"{_signed(classification.points.value)} on classification targets: {abs(difference):.2f} points "
        f"{'lower' if difference < 0 else 'higher'} on multi-hop ({_level(contrast)} of the difference "
        f"{_signed(low)} to {_signed(high)} points; log-odds {_signed(contrast.logit.value, 3)}, "
        f"{_signed(logit_low, 3)} to {_signed(logit_high, 3)})."
    )


def _limits(verdict: Verdict, multi_hop: Estimates, classification: Estimates) -> list[str]:
    """What the outcome rests on, and what it leaves open."""
    if verdict.outcome == "one run per side":
        return [
            "With a single run of a trained condition the variation between training seeds cannot be "
            "estimated: the interval speaks of these very checkpoints, not of the training; train more "
            "seeds before claiming anything."
        ]
    if verdict.outcome in NO_CLAIM:
        return []
    margins, detectable = verdict.margins, verdict.detectable
    parts = ((classification, verdict.classification), (multi_hop, verdict.multi_hop))
    on_classification, on_multi_hop = (
        f"{WORDS[effect]} ({_signed(gain.points.low)} to {_signed(gain.points.high)} points; log-odds "
        f"{_signed(gain.logit.low, 3)} to {_signed(gain.logit.high, 3)})"
        for gain, effect in parts
    )
    sentences = [
        f"On both scales, {on_classification} on classification and {on_multi_hop} on multi-hop targets."
    ]
    if verdict.outcome == "no gain shown":
        sentences.append(
            "The difference is shown on both scales, but not the gain that would be larger or the harm that would be "
            "worse, so it is not said whether a gain shrinks or a harm grows."
        )
    if verdict.outcome == "scale-dependent":
        sentences.append(
            "The two scales do not agree, so the answer depends on how a gain is measured; neither may be "
            "quoted alone."
        )
    if verdict.equivalent:
        sentences.append(
            f"The difference lies within ±{margins['points']:g} points and ±{margins['logit']:g} log-odds on "
            "both scales" + ("." if verdict.direction == "not shown" else ", though it is shown not to be 0.")
        )
    if verdict.vanishes:
        sentences.append(
            f"The gain on multi-hop targets lies within ±{margins['points']:g} points and ±{margins['logit']:g} "
            "log-odds of 0."
        )
    if verdict.outcome == "inconclusive":
        sentences.append(
            f"No difference was detected; the study could detect {detectable['points']:.2f} points "
            f"({detectable['logit']:.3f} log-odds) with 80 % power, so smaller differences are not ruled out."
        )
    if verdict.crossover:
        gain, harm = (
            ("classification", "multi-hop")
            if verdict.multi_hop == "harm"
            else ("multi-hop", "classification")
        )
        sentences.append(
            f"The gain is shown to be positive on {gain} and negative on {harm} targets; no change of scale can remove "
            "this pattern."
        )
    return sentences


def _scope(verdict: Verdict, contrast: Estimates, setting: Setting, remaining: Estimates | None) -> list[str]:
    """What the interval speaks of."""
    if verdict.outcome == "one run per side":
        return []
    sentences = []
    if remaining is not None:
        low, high = _shown(remaining, "points")
        sentences.append(
            "Against single-hop span QA, which shares the answer format, the difference is "
            f"{_signed(remaining.points.value)} points ({_level(contrast)} {_signed(low)} to "
            f"{_signed(high)}); the rest cannot be told apart from format, metric or training set."
        )
    sentences.append(
        "The interval reflects new seeds and new test items, not new tasks: with "
        f"{_count(setting.multi_hop_sets, 'multi-hop set')} nothing is claimed of multi-hop tasks in general."
    )
    return sentences


def _shown(estimates: Estimates, scale: Scale) -> tuple[float, float]:
    """The interval that may be quoted: over items only where a trained condition has one run."""
    estimate = estimates[scale]
    return estimate.interval() if estimate.seeds_estimable else estimate.items_interval()


def _level(estimates: Estimates) -> str:
    items_only = "" if estimates.points.seeds_estimable else " over items only"
    return f"{100 * estimates.points.confidence:g} % CI{items_only}"


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _range(sizes: tuple[int, int]) -> str:
    return str(sizes[0]) if sizes[0] == sizes[1] else f"{sizes[0]}–{sizes[1]}"
