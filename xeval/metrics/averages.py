"""Averages as XTREME's evaluate.py prints them: over languages, tasks and groups of tasks."""

from collections.abc import Mapping
from dataclasses import dataclass

from xeval.errors import UsageError

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]  # task -> language -> metric -> score

XTREME_GROUPS: dict[str, tuple[str, ...]] = {
    "classification": ("pawsx", "xnli"),
    "tagging": ("udpos", "panx"),
    "qa": ("xquad", "mlqa", "tydiqa"),
    "retrieval": ("bucc2018", "tatoeba"),
}


@dataclass(frozen=True)
class Averages:
    """Unweighted means, in the unit of the scores they were made from.

    Attributes:
        means: task -> metric -> mean over the task's languages, English included.
        tasks: task -> the one number that stands for it (see ``task_score``).
        groups: group -> mean over its tasks; only groups whose tasks are all there.
        overall: mean over the nine tasks, not over the four groups; None unless all nine are there. (XTREME
            adds them up in no fixed order, so that its last digit varies.)
    """

    means: dict[str, dict[str, float]]
    tasks: dict[str, float]
    groups: dict[str, float]
    overall: float | None


def averages(scores: Scores) -> Averages:
    """All averages of ``{task: {language: {metric: score}}}`` with XTREME's names of tasks and metrics.

    Sums run in the order of the input, so that scores in XTREME's own order of languages give its very floats.
    Other tasks (XCOPA) get means and a task score, and belong to no group.

    Raises:
        UsageError: a task has no language, its languages have different metrics, or none that XTREME ranks by.
    """
    means = {task: language_means(task, by_language) for task, by_language in scores.items()}
    tasks = {task: task_score(task, by_metric) for task, by_metric in means.items()}
    groups = {
        group: _mean([tasks[task] for task in members])
        for group, members in XTREME_GROUPS.items()
        if all(task in tasks for task in members)
    }
    everything = [task for members in XTREME_GROUPS.values() for task in members]
    complete = all(task in tasks for task in everything)
    return Averages(means, tasks, groups, _mean([tasks[task] for task in everything]) if complete else None)


def language_means(task: str, by_language: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Mean of every metric over the languages given."""
    if not by_language:
        raise UsageError(f"{task} has no scores to average; leave it out or score at least one language.")
    first, *others = by_language
    metrics = list(by_language[first])
    for language in others:
        if set(by_language[language]) != set(metrics):
            raise UsageError(
                f"{task} cannot be averaged: {language} has the metrics {', '.join(by_language[language])}, "
                f"{first} has {', '.join(metrics)}; score all languages alike."
            )
    return {metric: _mean([values[metric] for values in by_language.values()]) for metric in metrics}


def task_score(task: str, by_metric: Mapping[str, float]) -> float:
    """Question answering: the mean of exact match and F1; other tasks: F1, or else accuracy."""
    if "exact_match" in by_metric and "f1" in by_metric:
        return (by_metric["exact_match"] + by_metric["f1"]) / 2
    for metric in ("f1", "accuracy"):
        if metric in by_metric:
            return by_metric[metric]
    raise UsageError(
        f"{task} has the metrics {', '.join(by_metric) or '(none)'}; a task score needs f1 or accuracy."
    )


def _mean(values: list[float]) -> float:
    return float(sum(values) / len(values))
