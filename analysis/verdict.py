"""From the key contrast to a verdict in words: what may be claimed, what may not, and what could have been seen.

"Diminishes" needs the upper bound of C below 0 in points *and* in log-odds (an intersection-union test, so the level
is not split): an interaction that is not a crossover can be removed by a monotone change of scale (Loftus 1978).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from analysis.study import Both
from analysis.variance import SCALES

Outcome = Literal[
    "diminishes",
    "larger",
    "equivalent",
    "scale-dependent",
    "inconclusive",
    "one run per side",
    "at chance",
    "no contrast",
]

HEADLINES: Mapping[Outcome, str] = {
    "diminishes": "The gain is smaller on multi-hop targets, on both scales",
    "larger": "The gain is larger on multi-hop targets, on both scales",
    "equivalent": "The gains are equivalent within the margin, on both scales",
    "scale-dependent": "Scale-dependent: no claim",
    "inconclusive": "Inconclusive",
    "one run per side": "No verdict: a trained condition has a single run",
    "at chance": "No verdict: a compared target stays at chance in the transfer languages",
    "no contrast": "No verdict: gains only",
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


@dataclass(frozen=True)
class Verdict:
    """The verdict.

    Attributes:
        outcome: which branch of the decision rule holds; ``headline`` says it in words.
        reverses: the gain on multi-hop targets is shown to be negative.
        vanishes: the gain on multi-hop targets is shown to lie inside the margin.
        crossover: gain on classification shown above 0 and on multi-hop shown below 0: no change of scale removes it.
        sentences: the claim, its interval and its limits; ready to be quoted.
        detectable: scale -> smallest C found with 80 % power.
        equivalence: scale -> 90 % interval of C, to be compared with ``margins``.
    """

    outcome: Outcome
    headline: str
    reverses: bool
    vanishes: bool
    crossover: bool
    sentences: tuple[str, ...]
    detectable: Mapping[str, float]
    equivalence: Mapping[str, tuple[float, float]]
    margins: Mapping[str, float]
    confounds: tuple[str, ...] = CONFOUNDS

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def no_contrast(reason: str, margins: Mapping[str, float]) -> Verdict:
    """The verdict of a study that has no key contrast."""
    return Verdict("no contrast", HEADLINES["no contrast"], False, False, False, (reason,), {}, {}, margins)


def judge(
    contrast: Both,
    multi_hop: Both,
    classification: Both,
    setting: Setting,
    margins: Mapping[str, float],
    remaining: Both | None = None,
) -> Verdict:
    """The decision rule on C and its two parts.

    Args:
        contrast: C; ``multi_hop`` and ``classification`` are the gains it is the difference of.
        margins: scale -> half-width of the region that counts as no difference.
        remaining: C_QA, the difference to single-hop QA, where there is one.
    """
    outcome = decide(contrast, margins)
    claims = outcome not in ("one run per side", "no contrast")
    reverses = claims and all(multi_hop.on(scale).high < 0.0 for scale in SCALES)
    vanishes = claims and within(multi_hop, margins)
    crossover = reverses and all(classification.on(scale).low > 0.0 for scale in SCALES)
    headline = HEADLINES[outcome]
    if outcome == "diminishes" and reverses:
        headline = "The gain reverses on multi-hop targets, on both scales"
    elif outcome == "diminishes" and vanishes:
        headline = "The gain vanishes on multi-hop targets, on both scales"
    detectable: dict[str, float] = {scale: contrast.on(scale).detectable() for scale in SCALES}
    return Verdict(
        outcome=outcome,
        headline=headline,
        reverses=reverses,
        vanishes=vanishes,
        crossover=crossover,
        sentences=_sentences(outcome, contrast, crossover, setting, margins, detectable, remaining),
        detectable=detectable,
        equivalence={scale: contrast.on(scale).interval(equivalence_level(contrast)) for scale in SCALES},
        margins=dict(margins),
    )


def at_chance(verdict: Verdict, targets: Sequence[str]) -> Verdict:
    """The verdict without its claims: under no condition do the models score above chance on ``targets``.

    Below chance a difference tells how long was trained, or how answers fail, not what transfers.
    """
    names = ", ".join(targets)
    return replace(
        verdict,
        outcome="at chance",
        headline=HEADLINES["at chance"],
        reverses=False,
        vanishes=False,
        crossover=False,
        sentences=(
            f"Under no condition do the models score above chance on {names} in the transfer languages, so a gain "
            "there is no gain in the task, and the numbers below are no answer to the question; train longer, or a "
            "larger encoder.",
            *verdict.sentences,
        ),
    )


def decide(contrast: Both, margins: Mapping[str, float]) -> Outcome:
    """Which branch holds. Differing signs count as scale-dependent only where at least one scale is significant."""
    estimates = [contrast.on(scale) for scale in SCALES]
    if not all(estimate.seeds_estimable for estimate in estimates):
        return "one run per side"
    below = [estimate.high < 0.0 for estimate in estimates]
    above = [estimate.low > 0.0 for estimate in estimates]
    if all(below):
        return "diminishes"
    if within(contrast, margins):
        return "equivalent"
    if all(above):
        return "larger"
    if any(below) or any(above):
        return "scale-dependent"
    return "inconclusive"


def equivalence_level(estimates: Both) -> float:
    """Level of the interval of two one-sided tests: 0.90 for a confidence of 0.95."""
    return 1.0 - 2.0 * (1.0 - estimates.points.confidence)


def within(estimates: Both, margins: Mapping[str, float]) -> bool:
    """Two one-sided tests: the 90 % interval lies inside the margin on both scales (Schuirmann 1987)."""
    intervals = {scale: estimates.on(scale).interval(equivalence_level(estimates)) for scale in SCALES}
    return all(-margins[scale] < low and high < margins[scale] for scale, (low, high) in intervals.items())


def _sentences(
    outcome: Outcome,
    contrast: Both,
    crossover: bool,
    setting: Setting,
    margins: Mapping[str, float],
    detectable: Mapping[str, float],
    remaining: Both | None,
) -> tuple[str, ...]:
    points, logit = contrast.points, contrast.logit
    level = f"{100 * points.confidence:g} % CI"
    one_run = outcome == "one run per side"
    if one_run:
        shown = (points.value, *points.items_interval()), (logit.value, *logit.items_interval())
        level += " over items only"
    else:
        shown = (points.value, points.low, points.high), (logit.value, logit.low, logit.high)
    (a, low, high), (b, logit_low, logit_high) = shown
    direction = "lower" if a < 0 else "higher"
    runs = "run" if setting.condition_runs == (1, 1) else "runs"
    sentences = [
        f"On these {setting.benchmarks} benchmarks and {_count(setting.languages, 'shared language')}, with "
        f"{_range(setting.baseline_runs)} baseline and {_range(setting.condition_runs)} intermediate {runs} "
        f"per task, the mean gain was {abs(a):.2f} points {direction} on multi-hop than on classification "
        f"targets ({level} of the difference {_signed(low)} to {_signed(high)} points; log-odds "
        f"{_signed(b, 3)}, {_signed(logit_low, 3)} to {_signed(logit_high, 3)})."
    ]
    if one_run:
        sentences.append(
            "With a single run of a trained condition the variation between training seeds cannot be "
            "estimated: the interval speaks of these very checkpoints, not of the training; train more "
            "seeds before claiming anything."
        )
        return tuple(sentences)
    if outcome == "scale-dependent":
        sentences.append(
            "The two scales do not agree, so the answer depends on how a gain is measured; neither may be "
            "quoted alone."
        )
    if outcome == "equivalent":
        sentences.append(
            f"The difference lies within ±{margins['points']:g} points and ±{margins['logit']:g} log-odds on "
            "both scales."
        )
    if outcome == "inconclusive":
        sentences.append(
            f"No difference was detected; the study could detect {detectable['points']:.2f} points "
            f"({detectable['logit']:.3f} log-odds) with 80 % power, so smaller differences are not ruled out."
        )
    if crossover:
        sentences.append(
            "The gain is shown to be positive on classification and negative on multi-hop targets; no "
            "change of scale can remove this pattern."
        )
    if remaining is not None:
        sentences.append(
            "Against single-hop span QA, which shares the answer format, the difference is "
            f"{_signed(remaining.points.value)} points ({level} {_signed(remaining.points.low)} to "
            f"{_signed(remaining.points.high)}); the rest cannot be told apart from format, metric or "
            "training set."
        )
    sentences.append(
        "The interval reflects new seeds and new test items, not new tasks: with "
        f"{_count(setting.multi_hop_sets, 'multi-hop set')} nothing is claimed of multi-hop tasks in general."
    )
    return tuple(sentences)


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _range(sizes: tuple[int, int]) -> str:
    return str(sizes[0]) if sizes[0] == sizes[1] else f"{sizes[0]}–{sizes[1]}"
