"""Readers of multiple choice: XCOPA and COPA, CommonsenseQA, Cosmos QA, HellaSwag."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from xeval.errors import DataError
from xeval.examples import MultipleChoice
from xeval.sources.parquet import parquet_rows
from xeval.sources.text import checked, csv_rows, json_rows, label_of, text_of

COPA_QUESTIONS = {"cause": "What was the cause?", "effect": "What happened as a result?"}


def read_xcopa(paths: Sequence[Path], language: str) -> list[MultipleChoice]:
    """XCOPA ``test.et.jsonl`` and COPA in the same form, or as Parquet: premise, choice1, choice2, question,
    label, idx.

    The kind of question follows the premise in English, in all languages, as in jiant. Items are parallel by
    ``idx``. The published files mark 250 of 500 Thai test items (all as "effect"), 51 Turkish, 37 Swahili, 4
    Indonesian and 4 Italian ones with another kind than the rest; they are taken as they are, so a model
    reads the wrong question there.
    """
    examples = []
    columns = ("premise", "choice1", "choice2", "question", "label", "idx")
    for path in paths:
        for line, row in _json_or_parquet(path, columns):
            kind = label_of(row, "question", COPA_QUESTIONS, path, line)
            item = text_of(row, "idx", path, line)
            choices = tuple(text_of(row, name, path, line) for name in ("choice1", "choice2"))
            context = f"{text_of(row, 'premise', path, line)} {kind}"
            examples.append(MultipleChoice(item, item, context, choices, _choice(row, 2, path, line)))
    return checked(examples, paths)


def read_commonsenseqa(paths: Sequence[Path], language: str) -> list[MultipleChoice]:
    """CommonsenseQA jsonl, v1.0 with three and v1.11 with five choices, or v1.11 as Parquet; the context is the
    question.
    """
    examples = []
    for path in paths:
        for line, row in _json_or_parquet(path, ("id", "question", "choices", "answerKey")):
            item, question = text_of(row, "id", path, line), row.get("question")
            if path.suffix == ".parquet":
                found = row["choices"]
                if not isinstance(found, dict) or len(found["label"]) != len(found["text"]):
                    raise DataError(f"{path}, row {line}: 'choices' needs a 'text' for every 'label'.")
                lettered = zip(found["label"], found["text"], strict=True)
                question = {
                    "stem": question,
                    "choices": [{"label": letter, "text": text} for letter, text in lettered],
                }
            if not isinstance(question, dict) or not isinstance(question.get("choices"), list):
                raise DataError(f"{path}, line {line}: 'question' needs a 'stem' and a list of 'choices'.")
            choices = tuple(text_of(choice, "text", path, line) for choice in question["choices"])
            letters = {text_of(c, "label", path, line): str(n) for n, c in enumerate(question["choices"])}
            label = int(label_of(row, "answerKey", letters, path, line))
            stem = text_of(question, "stem", path, line)
            examples.append(MultipleChoice(item, item, stem, choices, label))
    return checked(examples, paths)


def read_cosmosqa(paths: Sequence[Path], language: str) -> list[MultipleChoice]:
    """Cosmos QA ``valid.csv``, ``train.csv`` or the same as Parquet: four answers; the cluster is the passage."""
    examples = []
    clusters: dict[str, str] = {}
    answers = ("answer0", "answer1", "answer2", "answer3")
    columns = ("id", "context", "question", *answers, "label")
    for path in paths:
        rows = parquet_rows(path, columns) if path.suffix == ".parquet" else csv_rows(path, columns)
        for line, row in rows:
            item, passage = text_of(row, "id", path, line), text_of(row, "context", path, line)
            context = f"{passage} {text_of(row, 'question', path, line)}"
            choices = tuple(text_of(row, name, path, line) for name in answers)
            cluster = clusters.setdefault(passage, item)
            examples.append(MultipleChoice(item, cluster, context, choices, _choice(row, 4, path, line)))
    return checked(examples, paths)


def read_hellaswag(paths: Sequence[Path], language: str) -> list[MultipleChoice]:
    """HellaSwag jsonl as published (ind, ctx_a, ctx_b, endings, label) or as Parquet; or with one text, ``context``.

    As in jiant the context is ``ctx_a``, and the beginning of the last sentence, ``ctx_b``, stands before every
    ending; it is empty for half of the items. The cluster is ``source_id``, the video or article that several items
    are cut from.
    """
    examples = []
    columns = ("ind", "ctx_a", "ctx_b", "endings", "label", "source_id")
    for path in paths:
        for line, row in _json_or_parquet(path, columns):
            item = str(row.get("ind", line))
            whole = next((name for name in ("context", "ctx") if name in row and "ctx_a" not in row), "ctx_a")
            context, opening = text_of(row, whole, path, line), str(row.get("ctx_b") or "").strip()
            endings = row.get("endings")
            if not isinstance(endings, list) or not all(isinstance(e, str) and e.strip() for e in endings):
                raise DataError(f"{path}, line {line}: 'endings' is no list of texts.")
            label = _choice(row, len(endings), path, line)
            cluster = str(row.get("source_id", item))
            choices = tuple(f"{opening} {ending.strip()}".strip() for ending in endings)
            examples.append(MultipleChoice(item, cluster, context, choices, label))
    return checked(examples, paths)


def _json_or_parquet(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    return parquet_rows(path, columns) if path.suffix == ".parquet" else json_rows(path)


def _choice(row: Mapping[str, Any], choices: int, path: Path, line: int) -> int:
    numbers = [str(number) for number in range(choices)]
    return int(label_of(row, "label", dict(zip(numbers, numbers, strict=True)), path, line))
