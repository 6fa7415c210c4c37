"""Reading submission files as XTREME's evaluate.py does, line by line, with errors that name the file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xeval.errors import DataError


@dataclass(frozen=True)
class GoldQuestion:
    """A question's id and its gold answers."""

    question_id: str
    answers: tuple[str, ...]


def read_lines(path: Path) -> list[str]:
    """Stripped lines; any of the three line ends ends a line, and blank lines count."""
    return [line.strip() for line in _lines(path)]


def read_tags(path: Path) -> list[list[str]]:
    """Sentences of tags. Every blank line ends a sentence, so that runs of them make sentences without tags."""
    sentences: list[list[str]] = []
    sentence: list[str] = []
    for line in read_lines(path):
        if line:
            sentence.append(line)
        else:
            sentences.append(sentence)
            sentence = []
    return [*sentences, sentence] if sentence else sentences


def read_choices(path: Path) -> list[Any]:
    """The ``label`` of the object in every line."""
    labels = []
    for number, line in enumerate(_lines(path), 1):
        try:
            labels.append(json.loads(line)["label"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DataError(
                f"{path}, line {number}: a JSON object with a 'label' is needed, such as {{\"label\": 0}}."
            ) from None
    return labels


def read_pairs(path: Path) -> list[tuple[str, ...]]:
    """The ids in every line, split at tabs."""
    return [tuple(line.split("\t")) for line in read_lines(path)]


def read_answers(path: Path) -> tuple[dict[str, Any], int]:
    """Answers by question id, and how many ids are given again; the last one of equal ids counts."""
    repeated = 0

    def last_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        found = dict(pairs)
        repeated += len(pairs) - len(found)
        return found

    content = _json(path, last_wins)
    if isinstance(content, dict) and "data" in content:
        content = content["data"]
    if not isinstance(content, dict):
        raise DataError(f"{path}: a JSON object of answers by question id is needed.")
    return content, repeated


def read_gold_questions(path: Path) -> list[GoldQuestion]:
    """The questions of a file in SQuAD's JSON, in its order."""
    content = _json(path)
    questions = []
    try:
        for article in content["data"] if isinstance(content, dict) else content:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    answers = tuple(answer["text"] for answer in question["answers"])
                    questions.append(GoldQuestion(question["id"], answers))
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: no SQuAD JSON with data, paragraphs, qas, id, answers and text ({error})."
        ) from None
    for question in questions:
        if not all(isinstance(text, str) for text in (question.question_id, *question.answers)):
            raise DataError(f"{path}: the id or an answer of question {question.question_id} is no text.")
    return questions


def has_byte_order_mark(path: Path) -> bool:
    """Whether a mark that is no part of the text stands before the first line."""
    with path.open("rb") as file:
        return file.read(3) == b"\xef\xbb\xbf"


def counted(number: int, one: str, many: str) -> Sequence[str]:
    """``3 many`` as a list of one phrase, nothing for 0: for sentences that name what was found."""
    return [] if number == 0 else [f"{number} {one if number == 1 else many}"]


def _lines(path: Path) -> list[str]:
    lines = _text(path).split("\n")
    return lines if lines[-1] else lines[:-1]  # what follows the last line end is no line


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text at byte {error.start}; convert the file to UTF-8.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None


def _json(path: Path, pairs_hook: Any = None) -> Any:
    try:
        return json.loads(_text(path), object_pairs_hook=pairs_hook)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}).") from None
