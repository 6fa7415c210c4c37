"""Two checkpoints or conditions against each other: per task and language, paired by item.

Every difference is B minus A, in points, seeds averaged first. Where a side has a single run, the interval covers new
items only, for these very checkpoints. p-values are corrected over a task's languages (Holm 1979); the mean over
the languages other than that of training stands alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from xeval.analysis.estimate.arrays import Cell, Study, build
from xeval.analysis.estimate.variance import Estimate, Method
from xeval.analysis.frame.tidy import check, check_columns, main_rows
from xeval.analysis.tests.multiplicity import adjust, count_false
from xeval.analysis.tests.paired import mcnemar
from xeval.conditions import BASELINE, DIAGNOSTIC
from xeval.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Difference:
    """B minus A in one language, or on the mean over languages.

    Attributes:
        lang: empty for the mean over the languages other than that of training.
        a, b: scores in points.
        estimate: of the difference; over items only where a side has a single run.
        p_value: two-sided; exact McNemar where ``exact``, else from the t interval.
        p_corrected: Holm, over the task's languages; the mean's is its own p.
        significant: ``p_corrected`` is at most 1 - confidence.
        discordant: numbers of items that only A and that only B has right, mean over pairs of runs; None where
            items are not simply right or wrong.
        detectable: true difference that is found with 80 % power at the level of the correction's first step.
    """

    lang: str
    a: float
    b: float
    estimate: Estimate
    p_value: float
    p_corrected: float
    significant: bool
    exact: bool
    discordant: tuple[float, float] | None
    detectable: float

    def to_dict(self) -> dict[str, Any]:
        only_a, only_b = self.discordant or (None, None)
        return {
            "lang": self.lang or None,
            "a": self.a,
            "b": self.b,
            "difference": self.estimate.value,
            "low": self.estimate.low,
            "high": self.estimate.high,
            "p_value": self.p_value,
            "p_corrected": self.p_corrected,
            "test": "exact McNemar" if self.exact else "t",
            "significant": self.significant,
            "detectable_80": self.detectable,
            "only_a_right": only_a,
            "only_b_right": only_b,
            "clusters": self.estimate.clusters,
        }


@dataclass(frozen=True)
class TaskComparison:
    """One task.

    Attributes:
        runs: number of runs of A and of B.
        items_only: the intervals speak of these checkpoints, not of new training seeds.
        languages: a difference each, that of training included.
        mean: over ``transfer`` languages, all but that of training; None where there are fewer than two.
        a_better, b_better: A, and B, is better in at least so many of the ``transfer`` languages (Bonferroni partial
            conjunction, half the level for either direction).
    """

    task: str
    metric: str
    runs: tuple[int, int]
    items_only: bool
    languages: tuple[Difference, ...]
    mean: Difference | None
    transfer: int
    a_better: int
    b_better: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "metric": self.metric,
            "runs_a": self.runs[0],
            "runs_b": self.runs[1],
            "items_only": self.items_only,
            "languages": [difference.to_dict() for difference in self.languages],
            "mean": self.mean.to_dict() if self.mean else None,
            "transfer_languages": self.transfer,
            "a_better_in_at_least": self.a_better,
            "b_better_in_at_least": self.b_better,
        }


@dataclass(frozen=True, repr=False)
class Comparison:
    """All tasks that A and B share; ``notes`` name what only one of them has."""

    a: str
    b: str
    confidence: float
    tasks: tuple[TaskComparison, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "a": self.a,
            "b": self.b,
            "unit": "points, b - a",
            "confidence": self.confidence,
            "tasks": [task.to_dict() for task in self.tasks],
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return f"<{self.b} against {self.a}: {len(self.tasks)} tasks>"

    def to_frame(self) -> pd.DataFrame:
        """A row per task and language, and one for the mean over transfer languages; points, b - a."""
        rows = [
            {"task": task.task, **difference.to_dict()}
            for task in self.tasks
            for difference in (*task.languages, *([task.mean] if task.mean else []))
        ]
        return pd.DataFrame(rows)


def compare(
    frame: pd.DataFrame, a: str, b: str, *, task: str = "", source: str = "en", confidence: float = 0.95
) -> Comparison:
    """B against A, each a condition or the name of a checkpoint.

    Args:
        frame: tidy scores (see :mod:`.frame.tidy`), not yet checked; a column ``name`` names the checkpoints.
        task: only this one; empty: all that both have.
        source: language of training; reported apart from the mean.

    Raises:
        UsageError: a name is unknown, both are the same weights, or nothing is shared.
        DataError: the scores cannot be compared, such as different items; the message names the first.
    """
    check_columns(frame)
    method = Method(confidence)
    if (left_out := frame["group"] == DIAGNOSTIC).any():
        frame = frame[~left_out]
    known = sorted(map(str, frame["target"].dropna().unique()))
    if task and task not in known:
        raise UsageError(
            f"no scores of task {task!r}{did_you_mean(task, known)}; there are {', '.join(known)}."
        )
    sides = _sides(frame, a, b)
    label_a, label_b = _labels(frame, sides, a, b)
    spoken = [
        frame.loc[side, ["target", "lang"]]
        .drop_duplicates()
        .groupby("target", observed=True)["lang"]
        .agg(set)
        .to_dict()
        for side in sides
    ]
    if "main" in frame.columns and frame["main"].dtype == bool:
        # No other metric is compared. Marks of other types are read, and checked, with the rows.
        sides = (sides[0] & frame["main"], sides[1] & frame["main"])
    tasks, notes = [], []
    for target in [task] if task else known:
        of_a, of_b = (languages.get(target, set()) for languages in spoken)
        for name, alone in ((a, of_a - of_b), (b, of_b - of_a)):
            if alone:
                notes.append(f"{target}: only {name} has {', '.join(sorted(alone))}.")
        if of_a & of_b:
            here = (frame["target"] == target) & frame["lang"].isin(of_a & of_b)
            rows = _chosen(frame, here & sides[0], here & sides[1], label_a, label_b)
            tasks.append(_compare_task(rows, label_a, label_b, source, method))
            del rows
    if not tasks:
        raise UsageError(
            f"{a!r} and {b!r} share no language of {f'task {task!r}' if task else 'any task'}; evaluate both on "
            "the same."
        )
    return Comparison(a, b, confidence, tuple(tasks), tuple(notes))


def _chosen(
    frame: pd.DataFrame, of_a: "pd.Series[bool]", of_b: "pd.Series[bool]", a: str, b: str
) -> pd.DataFrame:
    """The rows of both sides, each side under one condition's name."""
    rows = frame[of_a | of_b]
    codes = of_b[of_a | of_b].to_numpy().astype(np.int8)
    return rows.assign(condition=pd.Categorical.from_codes(codes, pd.Index([a, b])))


def _sides(frame: pd.DataFrame, a: str, b: str) -> "tuple[pd.Series[bool], pd.Series[bool]]":
    """Which rows are of A and which of B, which share no weights."""
    if a == b:
        raise UsageError(f"both sides are {a!r}; name two different conditions or checkpoints.")
    first, second = _rows_of(frame, a), _rows_of(frame, b)
    if (first & second).any():
        raise UsageError(f"{a!r} and {b!r} share a run; name two conditions, or two checkpoints.")
    if "checkpoint" in frame.columns:
        digests = [set(frame.loc[rows, "checkpoint"].dropna().unique()) - {""} for rows in (first, second)]
        if digests[0] & digests[1]:
            raise UsageError(f"{a!r} and {b!r} hold the same weights; there is nothing to compare.")
    return first, second


def _rows_of(frame: pd.DataFrame, name: str) -> "pd.Series[bool]":
    by_condition = frame["condition"] == name
    by_name = frame["name"] == name if "name" in frame.columns else by_condition
    if by_condition.any() and by_name.any() and (by_condition != by_name).any():
        raise UsageError(
            f"{name!r} is a condition and the name of a checkpoint that is not the whole of it; rename the latter."
        )
    rows = by_condition | by_name
    if not rows.any():
        conditions = sorted(map(str, frame["condition"].dropna().unique()))
        names = sorted(map(str, frame["name"].dropna().unique())) if "name" in frame.columns else []
        raise UsageError(
            f"{name!r} is no condition and no checkpoint{did_you_mean(name, [*conditions, *names])}; there are the "
            f"conditions {', '.join(conditions)}" + (f" and {len(names)} checkpoints." if names else ".")
        )
    return rows


def _labels(
    frame: pd.DataFrame, sides: "tuple[pd.Series[bool], pd.Series[bool]]", a: str, b: str
) -> tuple[str, str]:
    """Conditions to compare by; the side that alone is a baseline stays one: it may be given and not a draw."""
    baseline_a, baseline_b = (bool((frame.loc[side, "condition"] == BASELINE).all()) for side in sides)
    if baseline_a == baseline_b:
        return a, b
    return (BASELINE, b) if baseline_a else (a, BASELINE)


def _compare_task(rows: pd.DataFrame, a: str, b: str, source: str, method: Method) -> TaskComparison:
    rows = check(rows, baseline=a)
    discordant = _discordant(rows, a, b)
    study = build(rows, source=source, method=method)
    del rows
    (target,) = study.targets.values()
    languages, transfer = target.languages, study.transfer_languages(target.name)
    runs = len(target.seeds[a]), len(target.seeds[b])
    alpha = 1.0 - study.method.confidence
    estimates = [_estimate(study, a, b, [lang]) for lang in languages]
    exact = [
        runs == (1, 1) and lang in discordant and target.items[lang] == target.clusters[lang]
        for lang in languages
    ]
    p_values = [
        mcnemar(study, _weights(study, a, b, [lang])) if by_items else estimate.p_value
        for lang, estimate, by_items in zip(languages, estimates, exact, strict=True)
    ]
    corrected = adjust(p_values, "holm").tolist()

    def difference(
        averaged: Sequence[str],
        estimate: Estimate,
        p_value: float,
        p_corrected: float,
        by_items: bool,
        tests: int,
    ) -> Difference:
        a_score, b_score = (
            100.0 * sum(study.blocks[side, target.name, lang].score for lang in averaged) / len(averaged)
            for side in (a, b)
        )
        lang = averaged[0] if len(averaged) == 1 else ""
        return Difference(
            lang=lang,
            a=a_score,
            b=b_score,
            estimate=estimate,
            p_value=p_value,
            p_corrected=p_corrected,
            significant=p_corrected <= alpha,
            exact=by_items,
            discordant=discordant.get(lang),
            detectable=replace(estimate, confidence=1.0 - alpha / tests).detectable(),
        )

    found = tuple(
        difference([lang], estimate, p_value, p_corrected, by_items, len(languages))
        for lang, estimate, p_value, p_corrected, by_items in zip(
            languages, estimates, p_values, corrected, exact, strict=True
        )
    )
    mean = None
    if len(transfer) > 1:
        over_all = _estimate(study, a, b, transfer)
        mean = difference(transfer, over_all, over_all.p_value, over_all.p_value, False, 1)
    abroad = [difference_there for difference_there in found if difference_there.lang in transfer]
    return TaskComparison(
        task=target.name,
        metric=target.metric,
        runs=runs,
        items_only=not found[0].estimate.seeds_estimable,
        languages=found,
        mean=mean,
        transfer=len(transfer),
        a_better=_better(abroad, -1.0, alpha),
        b_better=_better(abroad, 1.0, alpha),
    )


def _weights(study: Study, a: str, b: str, languages: Sequence[str]) -> dict[Cell, float]:
    (target,) = study.targets
    share = 1.0 / len(languages)
    return {(side, target, lang): sign * share for lang in languages for side, sign in ((a, -1.0), (b, 1.0))}


def _estimate(study: Study, a: str, b: str, languages: Sequence[str]) -> Estimate:
    """The difference in points; without any part of the seeds where they cannot be told from one run."""
    found = study.estimate(_weights(study, a, b, languages), "points")
    return found if found.seeds_estimable else replace(found, variance_seeds=0.0, df=found.df_items)


def _better(found: Sequence[Difference], sign: float, alpha: float) -> int:
    """In how many languages at least the difference has this sign."""
    if not found:
        return 0
    halves = [(difference.p_value / 2.0, sign * difference.estimate.value > 0.0) for difference in found]
    return count_false([half if agrees else 1.0 - half for half, agrees in halves], alpha / 2.0)


def _discordant(rows: pd.DataFrame, a: str, b: str) -> dict[str, tuple[float, float]]:
    """For each language where items are right or wrong: how many only A, and only B, has right."""
    rows = main_rows(rows)
    if not (rows["num"].isin((0.0, 1.0)) & (rows["den"] == 1.0)).all():
        return {}
    right = rows.groupby(["condition", "lang", "item_id"], observed=True)["num"].mean()
    first, second = right[a], right[b]
    only_a = (first * (1.0 - second)).groupby("lang", observed=True).sum()
    only_b = (second * (1.0 - first)).groupby("lang", observed=True).sum()
    return {str(lang): (float(only_a[lang]), float(only_b[lang])) for lang in only_a.index}
