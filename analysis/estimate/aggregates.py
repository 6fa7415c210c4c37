"""Gains from scores without items: one number per run, target and language, as papers and other tools publish them.

Without items there is no interval over new test items, so nothing here leads to a verdict. Where both sides of a gain
have several runs, Welch's t interval says how far new runs of the same design would scatter on these very items.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from xeval.analysis.frame.same_source import same_source
from xeval.conditions import BASELINE, NO_SEED
from xeval.errors import DataError

Measure = Literal["points", "logit", "error_reduction"]
MEASURES: tuple[Measure, ...] = ("points", "logit", "error_reduction")
MEASURE_NAMES: Mapping[Measure, str] = {
    "points": "points",
    "logit": "log-odds",
    "error_reduction": "error reduction",
}


@dataclass(frozen=True)
class AggregateScore:
    """One number. ``score`` is in points; ``seed`` as in :mod:`.frame.tidy`; ``group`` is empty where unknown.

    ``proportion``: the metric lies between 0 and 100 with errors as its complement, so that log-odds and error
    reduction mean something (a correlation does not).
    """

    condition: str
    target: str
    group: str
    metric: str
    lang: str
    seed: int
    score: float
    proportion: bool = True


@dataclass(frozen=True)
class AggregateGain:
    """A gain over the baseline on one target, mean over the languages that both sides have.

    Attributes:
        baseline, score: means over runs and languages, in points.
        points: their difference; ``logit``: mean over languages of the difference in log-odds of the runs' mean;
            ``error_reduction``: the share of the baseline's errors that is gone. None where they do not exist.
        interval, df: Welch's t interval of ``points`` over runs and its degrees of freedom; None without two runs on
            either side (a fixed checkpoint, seed -1 of the baseline, does not vary).
        proportion: see :class:`AggregateScore`.
    """

    condition: str
    target: str
    group: str
    metric: str
    languages: tuple[str, ...]
    baseline_runs: int
    runs: int
    baseline: float
    score: float
    points: float
    logit: float | None
    error_reduction: float | None
    interval: tuple[float, float] | None
    df: float | None
    proportion: bool

    def __getitem__(self, measure: Measure) -> float | None:
        value: float | None = getattr(self, measure)
        return value


@dataclass(frozen=True)
class GroupDifference:
    """Mean gain of one group of targets minus that of another; a description of these targets, not a test of types.

    Attributes:
        without: target -> the difference when it is left out.
        spread, df: pooled standard deviation of the gains within the groups; None with one target in each.
        p_value: two-sided exact permutation test of the targets over the two groups; ``smallest``: the least p-value
            that so few targets can give.
    """

    plus: str
    minus: str
    measure: Measure
    plus_mean: float
    minus_mean: float
    value: float
    without: Mapping[str, float]
    spread: float | None
    df: int
    p_value: float
    smallest: float


def aggregate_gains(
    scores: Sequence[AggregateScore], *, source: str = "en", confidence: float = 0.95
) -> tuple[list[AggregateGain], list[str]]:
    """Gains of every condition over the baseline on every target, and what was left out.

    Languages other than ``source`` count; where a target has ``source`` alone, it has no transfer gain and is left
    out. A language that some run lacks is left out of the gain.

    Raises:
        DataError: no baseline, no condition beside it, or one number given twice.
    """
    cells = _cells(scores)
    conditions = sorted({score.condition for score in scores} - {BASELINE})
    if BASELINE not in {score.condition for score in scores}:
        raise DataError(
            f"no baseline: no run is mapped to the condition {BASELINE!r}; there are {', '.join(conditions)}."
        )
    if not conditions:
        raise DataError(
            f"only the baseline ({BASELINE!r}) has scores; add the results of at least one condition."
        )
    about = {(score.target, score.metric): score for score in scores}
    gains: list[AggregateGain] = []
    notes: list[str] = []
    for (target, metric), score in about.items():
        baseline = cells.get((BASELINE, target, metric))
        runs_of = {name: runs for name in conditions if (runs := cells.get((name, target, metric)))}
        if lacking := [name for name in (BASELINE, *conditions) if (name, target, metric) not in cells]:
            notes.append(f"{target} ({metric}): no result of {', '.join(lacking)}.")
        if baseline is None:
            continue
        for condition, after in runs_of.items():
            shared, dropped = _languages([*baseline.values(), *after.values()])
            transfer = tuple(lang for lang in shared if lang != source)
            if dropped:
                notes.append(
                    f"{target} ({metric}), {condition}: some run lacks {', '.join(dropped)}, left out of the gain."
                )
            if not transfer:
                notes.append(
                    f"{target} ({metric}), {condition}: no language other than {source}; no transfer gain."
                )
                continue
            gains.append(_gain(condition, score, transfer, baseline, after, confidence))
    return gains, notes


def difference(
    gains: Sequence[AggregateGain], plus: Sequence[str], minus: Sequence[str], measure: Measure = "points"
) -> GroupDifference | None:
    """Mean gain of the groups ``plus`` minus that of the groups ``minus``, for gains of one condition.

    Gains on the data that the condition was trained on (:mod:`.frame.same_source`) are left out. None where a
    side has no gain, the measure does not exist for one of them, or a metric is no proportion: its points are others.
    """
    used = [
        gain
        for gain in gains
        if gain.group in (*plus, *minus) and not same_source(gain.condition, gain.target)
    ]
    values = {gain.target: gain[measure] for gain in used}
    sides = (
        [gain.target for gain in used if gain.group in plus],
        [gain.target for gain in used if gain.group in minus],
    )
    if not all(sides) or any(value is None for value in values.values()):
        return None
    if not all(gain.proportion for gain in used):
        return None
    known = {target: float(value) for target, value in values.items() if value is not None}
    observed = _mean(known, sides[0]) - _mean(known, sides[1])
    without = {}
    for target in known:
        left = [[name for name in side if name != target] for side in sides]
        if all(left):
            without[target] = _mean(known, left[0]) - _mean(known, left[1])
    arrangements = []
    for chosen in itertools.combinations(known, len(sides[0])):
        rest = [target for target in known if target not in chosen]
        arrangements.append(_mean(known, chosen) - _mean(known, rest))
    reached = sum(abs(value) >= abs(observed) - 1e-9 for value in arrangements)
    extreme = max(abs(value) for value in arrangements)
    least = sum(abs(value) >= extreme - 1e-9 for value in arrangements)
    df = len(known) - 2
    squares = sum(((known[name] - _mean(known, side)) ** 2 for side in sides for name in side), 0.0)
    return GroupDifference(
        plus=" and ".join(plus),
        minus=" and ".join(minus),
        measure=measure,
        plus_mean=_mean(known, sides[0]),
        minus_mean=_mean(known, sides[1]),
        value=observed,
        without=without,
        spread=math.sqrt(squares / df) if df > 0 else None,
        df=df,
        p_value=reached / len(arrangements),
        smallest=least / len(arrangements),
    )


def log_odds(score: float) -> float | None:
    """Log-odds of a score in points; None at 0, at 100 and beyond."""
    return math.log(score / (100.0 - score)) if 0.0 < score < 100.0 else None


_Runs = dict[int, dict[str, float]]


def _cells(scores: Sequence[AggregateScore]) -> dict[tuple[str, str, str], _Runs]:
    """Condition, target, metric -> seed -> language -> points."""
    cells: defaultdict[tuple[str, str, str], _Runs] = defaultdict(dict)
    for score in scores:
        run = cells[score.condition, score.target, score.metric].setdefault(score.seed, {})
        if score.lang in run:
            raise DataError(
                f"target {score.target!r}, condition {score.condition!r}, seed {score.seed}, language "
                f"{score.lang!r}, metric {score.metric!r}: has two results; keep one, or give each run its own seed."
            )
        run[score.lang] = score.score
    return dict(cells)


def _languages(runs: Sequence[Mapping[str, float]]) -> tuple[list[str], list[str]]:
    """Languages that all runs have, and those that some run lacks."""
    everywhere = set.intersection(*(set(run) for run in runs))
    return sorted(everywhere), sorted(set().union(*runs) - everywhere)


def _gain(
    condition: str,
    about: AggregateScore,
    languages: tuple[str, ...],
    baseline: _Runs,
    trained: _Runs,
    confidence: float,
) -> AggregateGain:
    before, after = (
        np.array([[run[lang] for lang in languages] for _, run in sorted(runs.items())])
        for runs in (baseline, trained)
    )
    low, high = float(before.mean()), float(after.mean())
    interval = _welch(before.mean(axis=1), after.mean(axis=1), fixed_baseline=list(baseline) == [NO_SEED])
    bounds = None
    if interval is not None:
        from scipy import stats

        error, df = interval
        reach = float(stats.t.ppf(0.5 + confidence / 2, df)) * error
        bounds = (high - low - reach, high - low + reach)
    return AggregateGain(
        condition=condition,
        target=about.target,
        group=about.group,
        metric=about.metric,
        languages=languages,
        baseline_runs=len(before),
        runs=len(after),
        baseline=low,
        score=high,
        points=high - low,
        logit=_logit_gain(before.mean(axis=0), after.mean(axis=0)) if about.proportion else None,
        error_reduction=(high - low) / (100.0 - low) if about.proportion and low < 100.0 else None,
        interval=bounds,
        df=interval[1] if interval else None,
        proportion=about.proportion,
    )


def _welch(before: Any, after: Any, *, fixed_baseline: bool) -> tuple[float, float] | None:
    """Standard error of the difference of means and Satterthwaite's degrees of freedom."""
    if len(after) < 2 or (len(before) < 2 and not fixed_baseline):
        return None
    parts = [
        (float(values.var(ddof=1)) / len(values), len(values) - 1)
        for values in (before, after)
        if len(values) > 1
    ]
    variance = sum(part for part, _ in parts)
    if variance == 0.0:
        return 0.0, float(min(df for _, df in parts))
    return math.sqrt(variance), variance**2 / sum(part**2 / df for part, df in parts)


def _logit_gain(before: Any, after: Any) -> float | None:
    gains = [(low, high) for low, high in zip(map(log_odds, before), map(log_odds, after), strict=True)]
    if any(low is None or high is None for low, high in gains):
        return None
    return sum(high - low for low, high in gains if low is not None and high is not None) / len(gains)


def _mean(values: Mapping[str, float], names: Sequence[str]) -> float:
    return sum(values[name] for name in names) / len(names)
