"""Scores of submission files: XTREME's own numbers, float for float, and honest ones where those are flawed.

The published numbers follow google-research/xtreme (evaluate.py, third_party/evaluate_squad.py and
evaluate_mlqa.py, with seqeval 0.0.12) in value and in the order of float operations. What those scripts pass over
in silence gives the same number here, and a warning. Where they stop, or would score placeholders, a
:class:`~xeval.errors.DataError` says why.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xeval.errors import DataError
from xeval.interop.submission import files
from xeval.interop.submission.files import counted
from xeval.interop.submission.layout import Form, SubmissionTask
from xeval.metrics import METRICS
from xeval.metrics.tags import chunk_precision_legacy, chunk_recall_legacy, legacy_chunks

# From this many labels on, a single one for all of them is a placeholder, not an accident.
FEWEST_LABELS_TO_JUDGE = 10


@dataclass(frozen=True)
class FileScore:
    """Scores of one language, in percent, by metric, and what is odd about its files."""

    published: dict[str, float]
    honest: dict[str, float]
    oddities: tuple[str, ...]


def score_file(task: SubmissionTask, language: str, predictions: Path, labels: Path) -> FileScore:
    """Score a language's file of predictions against its file of labels.

    Raises:
        DataError: a file is missing or cannot be read as the task's format, the two do not belong together, or the
            labels are placeholders.
    """
    for path in (predictions, labels):
        if not path.is_file():
            raise DataError(f"{path}: no such file, but {task.name} in {language!r} needs it.")
    score = _SCORERS[task.form](task, language, predictions, labels)
    if task.form != "answers":  # JSON with a byte order mark is refused as such
        marks = [path for path in (predictions, labels) if files.has_byte_order_mark(path)]
        odd = tuple(
            f"{path.name} begins with a byte order mark, so its first line is wrong" for path in marks
        )
        return FileScore(score.published, score.honest, score.oddities + odd)
    return score


def _score_labels(task: SubmissionTask, language: str, predictions: Path, labels: Path) -> FileScore:
    del language
    read: Callable[[Path], Sequence[Any]] = files.read_choices if task.form == "choices" else files.read_lines
    gold, predicted = read(labels), read(predictions)
    if not gold:
        raise DataError(f"{labels}: holds no label.")
    _require_equal_length(gold, predicted, labels, predictions, "labels")
    _refuse_placeholders(gold, labels)
    right = sum(int(p == g) for p, g in zip(predicted, gold, strict=True))
    known = [*task.vocabulary, *(g for g in gold if g not in task.vocabulary)]
    return FileScore(
        {"accuracy": float(right) / len(predicted) * 100},
        {},
        (
            *counted(predicted.count(""), "blank line counts as a label", "blank lines count as labels"),
            *(_strange([p for p in predicted if p != "" and p not in known]) if task.vocabulary else []),
        ),
    )


def _score_tags(task: SubmissionTask, language: str, predictions: Path, labels: Path) -> FileScore:
    del language
    gold, predicted = files.read_tags(labels), files.read_tags(predictions)
    gold_tags = [tag for sentence in gold for tag in sentence]
    if not gold_tags:
        raise DataError(f"{labels}: holds no tag.")
    if set(gold_tags) == {"O"}:
        raise DataError(f"{labels}: every tag is 'O', which is a placeholder; use a file with the true tags.")
    _refuse_placeholders(gold_tags, labels)
    _require_equal_length(gold, predicted, labels, predictions, "sentences")
    right, found, true = _chunks(gold, predicted)
    precision = right / found if found > 0 else 0.0
    recall = right / true if true > 0 else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
    shifted = sum(len(g) != len(p) for g, p in zip(gold, predicted, strict=True))
    honest = {} if shifted else _totals(task.honest, len(gold_tags), gold, predicted)
    known = {*task.vocabulary, *gold_tags}
    return FileScore(
        {"f1": f1 * 100, "precision": precision * 100, "recall": recall * 100},
        honest,
        (
            *counted(
                shifted,
                "sentence has another number of tags than its labels, which shifts all that follow",
                "sentences have another number of tags than their labels, which shifts all that follow",
            ),
            *counted(
                sum(not sentence for sentence in predicted),
                "sentence has no tags (blank lines follow each other)",
                "sentences have no tags (blank lines follow each other)",
            ),
            *_strange([tag for sentence in predicted for tag in sentence if tag not in known]),
        ),
    )


def _chunks(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> tuple[int, int, int]:
    """Right, predicted and gold chunks of a file, with its sentences joined by an O, as seqeval does.

    Joining matters only where a sentence has another number of tags than its labels. Everywhere else the chunks
    are counted by sentence, which is faster.
    """
    if list(map(len, gold)) == list(map(len, predicted)):
        right, found = chunk_precision_legacy(gold, predicted)
        wanted = chunk_recall_legacy(gold, predicted)[1]
        return int(right.sum()), int(found.sum()), int(wanted.sum())
    true, guessed = (
        legacy_chunks([tag for sentence in sentences for tag in (*sentence, "O")])
        for sentences in (gold, predicted)
    )
    return len(true & guessed), len(guessed), len(true)


def _score_pairs(task: SubmissionTask, language: str, predictions: Path, labels: Path) -> FileScore:
    del task, language
    gold_lines, predicted_lines = files.read_pairs(labels), files.read_pairs(predictions)
    gold, predicted = set(gold_lines), set(predicted_lines)
    if not any(len(pair) == 2 for pair in gold):
        raise DataError(f"{labels}: holds no pair of ids split by a tab.")
    right = len(gold & predicted)
    precision = recall = f1 = 0.0
    if right > 0:
        precision, recall = right / len(predicted), right / len(gold)
        f1 = 2 * precision * recall / (precision + recall)
    return FileScore(
        {"f1": f1 * 100, "precision": precision * 100, "recall": recall * 100},
        {},
        (
            *([] if predicted else ["there is no pair in it"]),
            *counted(
                len(predicted_lines) - len(predicted),
                "line repeats another one and counts once",
                "lines repeat other ones and count once",
            ),
            *counted(
                sum(len(pair) != 2 for pair in predicted),
                "line is no pair of ids split by a tab",
                "lines are no pairs of ids split by a tab",
            ),
        ),
    )


def _score_answers(task: SubmissionTask, language: str, predictions: Path, labels: Path) -> FileScore:
    questions = files.read_gold_questions(labels)
    if not questions:
        raise DataError(f"{labels}: holds no question.")
    if not any(text.strip() for question in questions for text in question.answers):
        raise DataError(
            f"{labels}: every answer is blank, which is a placeholder; use a file with the true answers."
        )
    answers, repeated = files.read_answers(predictions)
    answered = [question for question in questions if question.question_id in answers]
    for question in answered:
        if not isinstance(answers[question.question_id], str):
            raise DataError(f"{predictions}: the answer of question {question.question_id} is no text.")
        if not question.answers:
            raise DataError(f"{labels}: question {question.question_id} has no gold answer to compare with.")
    arguments = ([answers[q.question_id] for q in answered], [q.answers for q in answered], language)
    published = {
        name: _total(METRICS[metric](*arguments)[0].tolist(), len(questions))
        for name, metric in task.metrics.items()
    }
    ids = {question.question_id for question in questions}
    return FileScore(
        published,
        _totals(task.honest, len(questions), *arguments),
        (
            *counted(
                len(questions) - len(answered),
                "question has no answer and scores 0",
                "questions have no answer and score 0",
            ),
            *counted(
                len(answers.keys() - ids),
                "answer belongs to no question and is ignored",
                "answers belong to no question and are ignored",
            ),
            *counted(
                repeated,
                "answer repeats an id, the last one counts",
                "answers repeat an id, the last one counts",
            ),
            *counted(
                len(questions) - len(ids),
                "question repeats an id of the labels and counts again",
                "questions repeat an id of the labels and count again",
            ),
        ),
    )


def _total(scores: Sequence[float], items: int) -> float:
    """Percentage: added up one after the other, as the published scripts do, for equal floats."""
    total = 0.0
    for score in scores:
        total += score
    return 100.0 * total / items


def _totals(metrics: Sequence[str], items: int, *arguments: Any) -> dict[str, float]:
    """Percentages of ``items`` for metrics of this package; items that are left out count as 0."""
    return {name: _total(METRICS[name](*arguments)[0].tolist(), items) for name in metrics}


def _require_equal_length(
    gold: Sequence[Any], predicted: Sequence[Any], labels: Path, predictions: Path, what: str
) -> None:
    if len(gold) != len(predicted):
        raise DataError(
            f"{predictions}: its number of {what} is {len(predicted)}, that of {labels} is {len(gold)}; both files "
            "have to hold the same items."
        )


def _refuse_placeholders(gold: Sequence[Any], labels: Path) -> None:
    if len(gold) >= FEWEST_LABELS_TO_JUDGE and all(label == gold[0] for label in gold):
        raise DataError(
            f"{labels}: all {len(gold)} labels are {gold[0]!r}, which is a placeholder; use a file with the true "
            "labels."
        )


def _strange(labels: Sequence[Any]) -> Sequence[str]:
    if not labels:
        return []
    example = f"such as {str(labels[0])!r}"
    return counted(
        len(labels),
        f"prediction is no label of the task, {example}",
        f"predictions are no labels of the task, {example}",
    )


_SCORERS: dict[Form, Callable[[SubmissionTask, str, Path, Path], FileScore]] = {
    "labels": _score_labels,
    "choices": _score_labels,
    "tags": _score_tags,
    "pairs": _score_pairs,
    "answers": _score_answers,
}
