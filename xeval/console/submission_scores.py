"""Scores of a submission as tables for people."""

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

from rich.table import Table

from xeval.console.display import table
from xeval.interop.submission.layout import SUBMISSION_TASKS

if TYPE_CHECKING:
    from xeval.interop.submission import SubmissionScores

_RANKED = ("exact_match", "f1", "accuracy")  # the metrics that make a task's score


def language_table(scored: "SubmissionScores") -> Table:
    """Languages by tasks, and the means; of question answering exact match and F1."""
    languages = sorted({code for by_language in scored.scores.values() for code in by_language})
    rows = [
        [code, *(_cell(by_language.get(code, {})) for by_language in scored.scores.values())]
        for code in languages
    ]
    rows.append(["mean", *(_cell(scored.averages.means.get(name, {})) for name in scored.scores)])
    ranked = {name: "/".join(_ranked(SUBMISSION_TASKS[name].metrics)) for name in scored.scores}
    heads = [f"{name} {metrics.replace('exact_match', 'em')}" for name, metrics in ranked.items()]
    return table("XTREME's metrics, %", ["language", *heads], rows, right=1)


def averages_table(scored: "SubmissionScores") -> Table:
    """Tasks by means of all metrics, XTREME's and then the honest ones; groups and the overall score."""
    names = [name for name in scored.scores if name in scored.averages.tasks]
    published = list(dict.fromkeys(metric for name in names for metric in SUBMISSION_TASKS[name].metrics))
    honest = list(dict.fromkeys(metric for name in names for metric in scored.honest_means.get(name, {})))
    rows = []
    for name in names:
        means = {**scored.averages.means[name], **scored.honest_means.get(name, {})}
        cells = [f"{means[metric]:.1f}" if metric in means else "" for metric in (*published, *honest)]
        score = f"{scored.averages.tasks[name]:.1f}"
        rows.append([name, *cells[: len(published)], score, *cells[len(published) :]])
    overall = scored.averages.overall
    for name, mean in [
        *scored.averages.groups.items(),
        *([] if overall is None else [("all tasks", overall)]),
    ]:
        blank = [""] * len(published)
        rows.append([f"= {name}", *blank, f"{mean:.1f}", *[""] * len(honest)])
    heads = [*published, "score", *(f"honest: {metric}" for metric in honest)]
    return table("means over languages, %", ["task", *heads], rows, right=1)


def _ranked(metrics: Container[str]) -> list[str]:
    return [metric for metric in _RANKED if metric in metrics]


def _cell(scores: Mapping[str, float]) -> str:
    return "/".join(f"{scores[metric]:.1f}" for metric in _ranked(scores))
