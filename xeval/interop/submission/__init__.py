"""Files of predictions in the layout of XTREME's submissions: scored without a model, and written from a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xeval.errors import DataError, UsageError, did_you_mean
from xeval.interop.submission.export import Exported, export_xtreme
from xeval.interop.submission.layout import OUT_OF_SCOPE, SUBMISSION_TASKS, SubmissionTask
from xeval.interop.submission.scoring import score_file
from xeval.languages import LANGUAGES, language
from xeval.metrics import METRICS
from xeval.metrics.averages import Averages, averages, language_means

__all__ = [
    "SUBMISSION_TASKS",
    "Exported",
    "Scores",
    "SubmissionScores",
    "SubmissionTask",
    "export_xtreme",
    "score_submission",
]

Scores = dict[str, dict[str, dict[str, float]]]  # task -> language -> metric -> percent


@dataclass(frozen=True)
class SubmissionScores:
    """Scores of a folder of predictions, in percent.

    Attributes:
        scores: XTREME's metrics under XTREME's names.
        honest: what is scored beside those of XTREME's metrics that are flawed, under its own names.
        averages: of ``scores``, over the benchmark's languages; groups and overall score only of tasks that have
            all of them.
        honest_means: of ``honest``, task -> metric -> mean over the same languages, where all of them have it.
        warnings: what is odd about the files, one sentence a file or task.
    """

    scores: Scores
    honest: Scores
    averages: Averages
    honest_means: dict[str, dict[str, float]]
    warnings: tuple[str, ...]

    def signatures(self) -> dict[str, dict[str, str]]:
        """What has to be equal for two scores to be comparable: task -> metric -> signature."""
        found = {}
        for name in self.scores:
            task = SUBMISSION_TASKS[name]
            names = {**task.metrics, **{metric: metric for metric in task.honest}}
            found[name] = {metric: _signature(own) for metric, own in names.items()}
        return found

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON; XTREME's numbers and the honest ones stand apart."""
        return {
            "scores": self.scores,
            "averages": vars(self.averages),
            "honest": self.honest,
            "honest_means": self.honest_means,
            "warnings": list(self.warnings),
            "signatures": self.signatures(),
        }


def score_submission(
    predictions: Path,
    labels: Path,
    *,
    tasks: Sequence[str] = (),
    languages: Sequence[str] = (),
    xtreme_r: bool = False,
) -> SubmissionScores:
    """Score every file of ``predictions`` that XTREME or XTREME-R knows against its file in ``labels``.

    Args:
        predictions, labels: folders that hold ``<task>/test-<language>.<extension>``.
        tasks, languages: score only these; all that are found when empty.
        xtreme_r: average over XTREME-R's tasks and languages instead of XTREME's.

    Raises:
        UsageError: an unknown task or language is asked for.
        DataError: a folder or file is missing, damaged, does not fit its labels, or the labels are placeholders.
    """
    chosen = [_known_task(name) for name in tasks]
    codes = [language(code).code for code in languages]
    for folder in (predictions, labels):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder of predictions or labels.")
    for task in chosen:
        for folder in (predictions, labels):
            if not (folder / task.name).is_dir():
                raise DataError(f"{folder / task.name}: no such folder, but --tasks names {task.name}.")
    warnings = [] if tasks else _unknown_folders(predictions)
    scores: Scores = {}
    honest: Scores = {}
    for task in SUBMISSION_TASKS.values():
        if (chosen and task not in chosen) or not (predictions / task.name).is_dir():
            continue
        if not (labels / task.name).is_dir():
            warnings.append(f"{labels}: has no folder {task.name}, so its predictions are not scored.")
            continue
        warnings += _unknown_files(predictions / task.name, task)
        for code in task.known_languages:
            answers = predictions / task.name / task.file_name(code)
            if (codes and code not in codes) or not answers.is_file():
                continue
            scored = score_file(task, code, answers, labels / task.name / task.file_name(code))
            scores.setdefault(task.name, {})[code] = scored.published
            if scored.honest:
                honest.setdefault(task.name, {})[code] = scored.honest
            if scored.oddities:
                warnings.append(f"{answers}: {'; '.join(scored.oddities)}.")
    if not scores:
        raise DataError(
            f"{predictions}: holds no predictions to score; they are looked for at "
            "<task>/test-<language>.<extension>, for example xnli/test-de.tsv and xquad/test-de.json."
        )
    averaged, complete, remarks = _to_average(scores, codes, xtreme_r)
    of_tasks, of_groups = averages(averaged), averages(complete)
    honest_means = {
        name: language_means(name, {code: honest[name][code] for code in averaged[name]})
        for name in averaged
        if name in honest and averaged[name].keys() <= honest[name].keys()
    }
    made = Averages(of_tasks.means, of_tasks.tasks, of_groups.groups, of_groups.overall)
    return SubmissionScores(scores, honest, made, honest_means, (*warnings, *remarks))


def _to_average(scores: Scores, chosen: Sequence[str], xtreme_r: bool) -> tuple[Scores, Scores, list[str]]:
    """Scores in the benchmark's languages, those of tasks that have all of them, and what is not so."""
    benchmark = "XTREME-R" if xtreme_r else "XTREME"
    averaged: Scores = {}
    complete: Scores = {}
    remarks = []
    for name, by_language in scores.items():
        wanted = _benchmark_languages(SUBMISSION_TASKS[name], xtreme_r)
        if not wanted:
            remarks.append(f"{name}: no task of {benchmark}; its average is over what was found.")
            averaged[name] = by_language
            continue
        if added := [code for code in by_language if code not in wanted]:
            remarks.append(
                f"{name}: XTREME-R's {' '.join(added)} left out of the average; --xtreme-r puts them in."
            )
        inside = {code: values for code, values in by_language.items() if code in wanted}
        missing = [code for code in wanted if code not in inside]
        if inside:
            averaged[name] = inside
        if not missing:
            complete[name] = inside
        elif unmet := [code for code in missing if not chosen or code in chosen]:
            remarks.append(
                f"{name}: no predictions in {' '.join(unmet)}; its average is over {len(inside)} of {benchmark}'s "
                f"{len(wanted)} languages."
            )
    return averaged, complete, remarks


def _benchmark_languages(task: SubmissionTask, xtreme_r: bool) -> tuple[str, ...]:
    """The languages that a benchmark averages over; none where the task is not its own."""
    if not xtreme_r:
        return task.languages
    return () if task.name in ("pawsx", "bucc2018") else task.known_languages


def _signature(metric: str) -> str:
    """A metric's signature for percentages, and for pairs whose threshold the submission does not tell."""
    return (
        METRICS[metric]
        .signature()
        .replace("range:0-1", "range:0-100")
        .replace("threshold:dev", "threshold:submitted")
    )


def _known_task(name: str) -> SubmissionTask:
    if name in OUT_OF_SCOPE:
        raise UsageError(_out_of_scope(name))
    if name not in SUBMISSION_TASKS:
        raise UsageError(
            f"unknown task {name!r}{did_you_mean(name, SUBMISSION_TASKS)}; the tasks of submissions are "
            f"{', '.join(SUBMISSION_TASKS)}."
        )
    return SUBMISSION_TASKS[name]


def _out_of_scope(name: str) -> str:
    return f"{name} is scored by mAP@20, which is out of scope here; use XTREME-R's own script for it."


def _unknown_folders(predictions: Path) -> list[str]:
    warnings = []
    for folder in sorted(predictions.iterdir()):
        name = folder.name
        if not folder.is_dir() or name.startswith(".") or name in SUBMISSION_TASKS:
            continue
        reason = f"not scored, no task of XTREME{did_you_mean(name, SUBMISSION_TASKS) or '.'}"
        warnings.append(f"{folder}: {_out_of_scope(name) if name in OUT_OF_SCOPE else reason}")
    return warnings


def _unknown_files(folder: Path, task: SubmissionTask) -> list[str]:
    known = {task.file_name(code): code for code in task.known_languages}
    warnings = []
    for path in sorted(folder.iterdir()):
        if path.name in known or path.name.startswith("."):
            continue
        code = path.stem.removeprefix("test-")
        if path.name == task.file_name(code) and code in LANGUAGES:
            reason = f"{task.name} has no {LANGUAGES[code].name} test set."
        else:
            reason = f"no file name of {task.name}{did_you_mean(path.name, known) or '.'}"
        warnings.append(f"{path}: not scored, {reason}")
    return warnings
