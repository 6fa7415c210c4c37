"""Readers of extractive question answering: SQuAD, XQuAD, MLQA, TyDiQA-GoldP (JSON or Parquet), and QED.

White space around questions, passages and answers is cut, as in the hub's files, and offsets follow. A passage
is a run of questions with one and the same text: Parquet files know no paragraphs, and files prepared by XTREME
repeat the paragraph for every question.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from xeval.errors import DataError
from xeval.examples import Answer, Question
from xeval.languages import language as known_language
from xeval.sources.parquet import parquet_rows
from xeval.sources.text import checked, json_rows, text_of, validated_json


class _Answer(BaseModel):
    text: str
    answer_start: int


class _Question(BaseModel):
    id: str
    question: str
    answers: list[_Answer]


class _Paragraph(BaseModel):
    context: str
    qas: list[_Question]


class _Article(BaseModel):
    paragraphs: list[_Paragraph]


class _File(BaseModel):
    data: list[_Article]


class _QedSpan(BaseModel):
    start: int
    string: str = Field(min_length=1)


class _QedAnnotation(BaseModel):
    explanation_type: str


class _QedQuestion(BaseModel):
    example_id: int
    question_text: str
    paragraph_text: str
    original_nq_answers: list[list[_QedSpan]] = Field(min_length=1)
    annotation: _QedAnnotation


@dataclass(frozen=True)
class _Row:
    """A question as a file has it."""

    path: Path
    item: str
    question: str
    context: str
    answers: tuple[tuple[str, int], ...]


def read_squad(paths: Sequence[Path], language: str) -> list[Question]:
    """SQuAD v1.1 and v2.0, MLQA: the cluster is the passage, by its place in the file and the language."""
    return checked(_questions(_rows(paths), f"{language}-"), paths)


def read_xquad(paths: Sequence[Path], language: str) -> list[Question]:
    """XQuAD: passages stand in the same place in all languages, so clusters are the same in all of them."""
    return checked(_questions(_rows(paths), ""), paths)


def read_tydiqa(paths: Sequence[Path], language: str) -> list[Question]:
    """TyDiQA-GoldP v1.1: one file for all languages, whose question ids begin with the language's name."""
    prefix = f"{known_language(language).name.lower()}-"
    return checked(
        _questions((row for row in _rows(paths) if row.item.startswith(prefix)), f"{language}-"), paths
    )


def read_translated_squad(paths: Sequence[Path], language: str) -> list[Question]:
    """SQuAD v1.1 translated by machine, in its own JSON: MLQA's or XTREME's ``translate-train``.

    Ids are SQuAD's. The translated answer was looked up in the translated passage; where it was not found
    (XTREME marks that with a negative offset) the question is left out, as it cannot be trained on.
    """
    found = [
        _Row(row.path, row.item, row.question, row.context, aligned)
        for row in _rows(paths)
        if (aligned := tuple(a for a in row.answers if a[0].strip() and _stands_at(row.context, *a)))
    ]
    return checked(_questions(found, f"{language}-"), paths)


def read_qed(paths: Sequence[Path], language: str) -> list[Question]:
    """QED ``qed-dev.jsonlines``: questions of Natural Questions, the paragraph, and the annotators' short answers.

    The task is span extraction; the explanations are not used, but ``explanation_type`` (single_sentence,
    multi_sentence, none) is the category. An answer of several spans, a list, is used only where there is no
    other (92 of 1,355 dev questions), and then each span is an answer. The cluster is the paragraph.

    Raises:
        DataError: a row of another form, or a span that does not stand where it says.
    """
    examples: list[Question] = []
    clusters: dict[str, str] = {}
    for path in paths:
        for line, cells in json_rows(path):
            try:
                row = _QedQuestion.model_validate(cells)
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                place = ".".join(str(part) for part in first["loc"])
                raise DataError(
                    f"{path}, line {line}: no question of QED at {place} ({first['msg']})."
                ) from None
            whole = [spans for spans in row.original_nq_answers if len(spans) == 1] or row.original_nq_answers
            answers = {(span.string, span.start): None for spans in whole for span in spans}
            if lost := next((a for a in answers if not _stands_at(row.paragraph_text, *a)), None):
                raise DataError(f"{path}, line {line}: the answer {lost[0]!r} does not stand at {lost[1]}.")
            item = str(row.example_id)
            examples.append(
                Question(
                    item,
                    clusters.setdefault(row.paragraph_text, item),
                    row.question_text.strip(),
                    row.paragraph_text,
                    tuple(Answer(*answer) for answer in answers),
                    category=row.annotation.explanation_type,
                )
            )
    return checked(examples, paths)


def _stands_at(context: str, text: str, start: int) -> bool:
    return start >= 0 and context.startswith(text, start)


def _questions(rows: Iterable[_Row], cluster_prefix: str) -> list[Question]:
    questions: list[Question] = []
    misaligned: list[_Row] = []
    passage = 0
    for row in rows:
        context = row.context.strip()
        cut = len(row.context) - len(row.context.lstrip())
        answers = []
        for text, start in row.answers:
            if not text.strip():
                raise DataError(
                    f"{row.path}: the answer of question {row.item} is blank (XTREME's download script "
                    "blanks the test sets); put the data set's original file in its place."
                )
            if not _stands_at(row.context, text, start):
                misaligned.append(row)
            shift = len(text) - len(text.lstrip()) - cut
            answers.append(Answer(text.strip(), start + shift))
        passage += not questions or questions[-1].context != context
        cluster = f"{cluster_prefix}{passage}"
        questions.append(Question(row.item, cluster, row.question.strip(), context, tuple(answers)))
    if misaligned:
        raise DataError(
            f"{misaligned[0].path}: {len(misaligned)} answers do not stand where 'answer_start' says, the first "
            f"one at question {misaligned[0].item}; offsets have to count characters, not bytes."
        )
    return questions


def _rows(paths: Sequence[Path]) -> Iterator[_Row]:
    for path in paths:
        if path.suffix == ".parquet":
            for number, row in parquet_rows(path, ("id", "question", "context", "answers")):
                item, question = text_of(row, "id", path, number), text_of(row, "question", path, number)
                context, found = row["context"] or "", row["answers"]
                if not isinstance(found, dict) or not {"text", "answer_start"} <= found.keys():
                    raise DataError(f"{path}, row {number}: 'answers' needs 'text' and 'answer_start'.")
                if len(found["text"]) != len(found["answer_start"]):
                    raise DataError(f"{path}, row {number}: not as many 'text' as 'answer_start'.")
                answers = zip(found["text"], found["answer_start"], strict=True)
                yield _Row(path, item, question, context, tuple(answers))
            continue
        for article in _parse(path).data:
            for paragraph in article.paragraphs:
                for qa in paragraph.qas:
                    spans = tuple((answer.text, answer.answer_start) for answer in qa.answers)
                    yield _Row(path, qa.id, qa.question, paragraph.context, spans)


def _parse(path: Path) -> _File:
    try:
        return validated_json(path, _File.model_validate_json)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: no SQuAD JSON{f' at {place}' if place else ''} ({first['msg']}).") from None
