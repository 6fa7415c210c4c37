"""Readers of extractive question answering in SQuAD's JSON: SQuAD, XQuAD, MLQA, TyDiQA-GoldP."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from xeval.errors import DataError
from xeval.examples import Answer, Question
from xeval.languages import language as known_language
from xeval.sources.text import checked


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


def read_squad(paths: Sequence[Path], language: str) -> list[Question]:
    """SQuAD v1.1 and v2.0, MLQA: the cluster is the paragraph, by its place in the file and the language."""
    return checked(_questions(paths, f"{language}-"), paths)


def read_xquad(paths: Sequence[Path], language: str) -> list[Question]:
    """XQuAD: paragraphs stand in the same place in all languages, so clusters are the same in all of them."""
    del language
    return checked(_questions(paths, ""), paths)


def read_tydiqa(paths: Sequence[Path], language: str) -> list[Question]:
    """TyDiQA-GoldP v1.1: one file for all languages, whose question ids begin with the language's name."""
    name = known_language(language).name.lower()
    questions = [q for q in _questions(paths, "") if q.item_id.startswith(f"{name}-")]
    return checked(questions, paths)


def _questions(paths: Sequence[Path], cluster_prefix: str) -> list[Question]:
    questions = []
    misaligned: list[str] = []
    article_number = 0
    for path in paths:
        for article in _parse(path).data:
            for paragraph_number, paragraph in enumerate(article.paragraphs):
                cluster = f"{cluster_prefix}{article_number}-{paragraph_number}"
                for qa in paragraph.qas:
                    for answer in qa.answers:
                        if not answer.text.strip():
                            raise DataError(
                                f"{path}: the answer of question {qa.id} is blank (XTREME's download script "
                                "blanks the test sets); put the data set's original file in its place."
                            )
                        if not _is_aligned(paragraph.context, answer):
                            misaligned.append(qa.id)
                    answers = tuple(Answer(a.text, a.answer_start) for a in qa.answers)
                    questions.append(Question(qa.id, cluster, qa.question, paragraph.context, answers))
            article_number += 1
    if misaligned:
        raise DataError(
            f"{' + '.join(map(str, paths))}: {len(misaligned)} answers do not stand where 'answer_start' "
            f"says, the first one at question {misaligned[0]}; offsets have to count characters, not bytes."
        )
    return questions


def _is_aligned(context: str, answer: _Answer) -> bool:
    return answer.answer_start >= 0 and context.startswith(answer.text, answer.answer_start)


def _parse(path: Path) -> _File:
    try:
        return _File.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: no SQuAD JSON{f' at {place}' if place else ''} ({first['msg']}).") from None
