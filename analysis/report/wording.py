"""Numbers and phrases of the report: every sentence that several figures, tables or renderers need stands here once."""

import re
from collections.abc import Iterable, Sequence

from xeval.analysis.estimate.arrays import Estimates, Target
from xeval.analysis.estimate.estimands import KEY
from xeval.analysis.estimate.variance import Estimate, Scale
from xeval.analysis.result import Analysis
from xeval.conditions import BASELINE, MEAN

MINUS = "−"
SHOWN, NOT_TESTED = "•", "°"
UNITS: dict[Scale, str] = {"points": "points", "logit": "log-odds"}
DIGITS: dict[Scale, int] = {"points": 2, "logit": 3}
CELL_MARKS = (
    f"{SHOWN}: shown by the Benjamini–Hochberg method within condition and target, on both scales, after all families "
    f"before it; {NOT_TESTED}: would be, but a family before it is not shown, so that single cells are not tested."
)
READING = (
    "A gain is the score of a condition minus the score of the baseline, on the same target and language, "
    "averaged over runs.",
    "Thick bars and thin bars answer different questions: new test items for these very runs, and new runs "
    "on new items.",
    "Intervals are t intervals with a two-way (seed × item cluster) variance in closed form and "
    "Satterthwaite's degrees of freedom; a baseline that several gains share enters once, and targets that "
    "share runs or clusters are combined before squaring.",
    "Log-odds are log((num + ½) / (den − num + ½)) of each language's total; for F1 this is a convention "
    "that stabilises the variance, not a log odds ratio.",
    "The language of training is reported apart: what happens there is no transfer.",
)
NO_ITEMS = (
    "Aggregate scores only: no interval here covers new test items, so nothing is said about multi-hop targets against "
    "classification beyond these very numbers."
)


def number(value: float, digits: int) -> str:
    """A signed number with a true minus sign; a rounded zero has no sign."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)


def bounds(low: float, high: float, digits: int) -> str:
    """``[−0.30, 2.70]``."""
    return f"[{', '.join(number(end, digits).lstrip('+') for end in (low, high))}]"


def with_interval(estimate: Estimate, digits: int) -> str:
    """``+1.20 [−0.30, 2.70]``; marked with a star where it covers new items only."""
    ends = estimate.interval() if estimate.seeds_estimable else estimate.items_interval()
    return (
        f"{number(estimate.value, digits)} {bounds(*ends, digits)}{'' if estimate.seeds_estimable else '*'}"
    )


def interval(both: Estimates, scale: Scale) -> str:
    """The same on one of the two scales of the verdict."""
    return with_interval(both[scale], DIGITS[scale])


def p_value(value: float) -> str:
    """Three decimals, or that it is smaller."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def percent(analysis: Analysis) -> str:
    """``95 %``: the confidence of the intervals."""
    return f"{100 * analysis.method.confidence:g} %"


def level(analysis: Analysis) -> str:
    """``95 % CI``."""
    return f"{percent(analysis)} CI"


def condition_name(name: str) -> str:
    """A condition as tables name it."""
    return "mean of single tasks" if name == MEAN else name


def seed_name(seed: int) -> str:
    """A run's seed; that of a fixed checkpoint is negative."""
    return "given" if seed < 0 else str(seed)


def items_only(marked: bool) -> str:
    """What the star behind an interval means, where there is one."""
    return " * One run of a trained condition: the interval covers new items only." if marked else ""


def collapsed_sentence(analysis: Analysis) -> str:
    """How many runs learnt nothing, and whether the outcome changes without them; empty where none did."""
    found = analysis.collapse
    if found is None:
        return ""
    total = sum(len(seeds) for target in analysis.targets.values() for seeds in target.seeds.values())
    counted = f"{len(found.runs)} of {total} runs" if total > 1 else "the only run"
    return f"Collapsed: {counted} learnt nothing (see the table of collapsed runs). {found.sentence}"


def retention(analysis: Analysis) -> str | None:
    """One sentence on G(MH) / G(CLS), where the denominator is shown to be above 0."""
    key = analysis.contrasts.get(KEY.name)
    kept = key.retention.get("points") if key else None
    if kept is None:
        return None
    value, low, high = kept
    return (
        f"Retention G(multi-hop QA) / G(classification) in points: {number(value, 2).lstrip('+')} (Fieller "
        f"{level(analysis)} {number(low, 2).lstrip('+')} to {number(high, 2).lstrip('+')}); shown because "
        "G(classification) is above 0 by its interval."
    )


def bayes_factors(analysis: Analysis) -> str | None:
    """One sentence with the curve of Bayes factors."""
    found = analysis.robustness.evidence
    if found is None:
        return None
    curve = "; ".join(f"{factor:.2g} at τ = {tau:g}" for tau, factor in found.factors.items())
    verdict = "" if found.informative else " None passes 3 either way: not informative."
    return (
        "Bayes factors for C = 0 against a true C drawn from a normal distribution around 0 with standard deviation τ "
        f"points (normal approximation; above 1 speaks for 0): {curve}.{verdict}"
    )


def control(analysis: Analysis) -> str | None:
    """The A/A control in words."""
    found = analysis.robustness.control
    if found is None:
        return None
    text = (
        f"The {found.runs} baseline runs were split in two halves in {found.splits} ways and one half compared with "
        f"the other as if it were a condition, with nothing to find. Of the {found.cells} pairs of target and language "
        f"in each split, {100 * found.significant:.1f} % had p below {found.alpha:g} (unpaired two-way t test in "
        f"points; about {100 * found.alpha:g} % should, fewer where runs hardly differ)."
    )
    if found.covered is not None:
        low, high = min(found.contrasts), max(found.contrasts)
        text += (
            f" C between the halves ran from {number(low, 2)} to {number(high, 2)} points, and "
            f"{100 * found.covered:.0f} % of its intervals held 0. The splits share runs, so these shares are rough."
        )
    return text


def slope(analysis: Analysis) -> str | None:
    """Gain against baseline in words."""
    found = analysis.robustness.slope
    if found is None:
        return None
    return (
        f"Per point of baseline the gain changes by {number(found.slope, 3)} points ({level(analysis)} "
        f"{bounds(found.low, found.high, 3)}; {len(found.points)} pairs of target and language, mean of the "
        "single intermediate tasks). Baseline runs are split: one half gives the baseline, the other the gain, over "
        f"all splits. With the same runs on both axes the slope would be {number(found.coupled, 3)}, biased downwards. "
        "The interval is over new seeds and items for these targets; targets with low baselines differ in other ways "
        "too, so the slope is no effect of difficulty."
    )


def replicates(analysis: Analysis) -> str:
    """How many bootstrap replicates there are."""
    found = analysis.robustness.bootstrap
    return f"{found['points'].count:,}" if found else "no"


def condition_slugs(conditions: Sequence[str]) -> dict[str, str]:
    """Condition -> letters, digits and hyphens, different for each: a part of its files' names."""
    found: dict[str, str] = {}
    for name in conditions:
        slug = re.sub(r"[^A-Za-z0-9]+", "-", name)[:80].strip("-").lower() or "condition"
        taken = sum(other == slug or other.startswith(f"{slug}--") for other in found.values())
        found[name] = f"{slug}--{taken + 1}" if taken else slug
    return found


def sample(analysis: Analysis, targets: Iterable[str] | None = None) -> str:
    """Targets, items, clusters, languages and runs of some targets, or of all."""
    chosen = [analysis.targets[name] for name in targets] if targets else list(analysis.targets.values())
    languages = {lang for target in chosen for lang in target.languages} - {analysis.source}
    items = [count for target in chosen for count in target.items.values()]
    clusters = [count for target in chosen for count in target.clusters.values()]
    return (
        f"{count(len(chosen), 'target')}, {spread(items)} items ({spread(clusters)} clusters) per target and language, "
        f"{count(len(languages), 'transfer language')}, {runs(chosen)}."
    )


def smoke(analysis: Analysis) -> str:
    """That a test run on the first items is shown; empty where everything was evaluated."""
    listed: dict[str, list[str]] = {}
    for name, limit in analysis.limits.items():
        counted = max(analysis.targets[name].items.values()) if name in analysis.targets else limit
        whole = analysis.totals.get(name)
        if whole is None or whole > counted:
            of = f" of {whole:,}" if whole else ""
            listed.setdefault(f"the first {min(limit, counted):,}{of} items", []).append(name)
    if not listed:
        return ""
    several = sum(map(len, listed.values())) < len(analysis.targets) or len(listed) > 1
    what = "; ".join(f"{items} ({', '.join(names)})" if several else items for items, names in listed.items())
    return f"Smoke run (--limit): {what} of each language, not the test set."


def size_of_contrast(analysis: Analysis) -> str:
    """What C stands on; empty where there is no C."""
    key = analysis.contrasts.get(KEY.name)
    if key is None:
        return ""
    used = [analysis.targets[name] for name in key.targets]
    dropped = set(key.dropped)
    condition = [
        len(target.seeds[name])
        for target in used
        for name in key.conditions
        if (name, target.name) not in dropped
    ]
    baseline = [len(target.seeds[BASELINE]) for target in used]
    return (
        f"C: {count(len(used), 'target')}, {count(len(key.languages), 'shared language')}, "
        f"{count(len(key.conditions), 'condition')}, {spread(baseline)} baseline and {spread(condition)} condition "
        f"runs per target, {key.points.clusters:,} item clusters."
    )


def runs(targets: Iterable[Target]) -> str:
    """``4 baseline and 3 condition runs per target``."""
    listed = list(targets)
    baseline = [len(target.seeds[BASELINE]) for target in listed]
    others = [len(seeds) for target in listed for name, seeds in target.seeds.items() if name != BASELINE]
    return f"{spread(baseline)} baseline and {spread(others or [0])} condition runs per target"


def spread(values: list[int]) -> str:
    """``3`` or ``3–5``."""
    return f"{min(values):,}" if min(values) == max(values) else f"{min(values):,}–{max(values):,}"


def count(size: int, noun: str) -> str:
    """``1 language``, ``2 languages``."""
    return f"{size:,} {noun}{'' if size == 1 else 's'}"
