"""A task of one's own from one file of rows: JSON lines, CSV, TSV or Parquet.

Every row has ``lang`` (a language code) and may have ``id`` (rows of several languages that are translations of each
other have the same one; else the language and a running number), ``cluster`` (rows that belong together, such as
the questions on a passage; else the id, or that of the first question on the same context), ``hops`` (a number)
and ``category`` (any word). Further columns are ignored. By kind there are:

    classification  first, second (optional), label
    choice          context, choices (list of texts), label (row of the right one, from 0)
    tagging         words, tags (lists of equal length)
    span_qa         question, context, answers (texts, which are looked up in the context, or {text, start} with start
                    counted in characters; an empty list where there is no answer)
    retrieval       source, target (its English translation)

In CSV and TSV a list is written in JSON. TSV may be quoted, as data-frame libraries and spreadsheets write it, or not;
a file that can be read both ways is refused. Labels are those that occur, sorted; a checkpoint's head is matched by
its label names.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from xeval.conditions import Group
from xeval.digests import text_digest
from xeval.errors import DataError, UsageError, did_you_mean
from xeval.examples import (
    Answer,
    Example,
    MultipleChoice,
    Question,
    TaggedSentence,
    TextPair,
    Translation,
)
from xeval.languages import language as known_language
from xeval.sources.files import data_digest
from xeval.sources.parquet import parquet_rows
from xeval.sources.quoted import is_quoted, own_tsv_rows
from xeval.sources.text import checked, csv_rows, json_rows, parse_json
from xeval.tasks.base import LABEL_SYNONYMS, Kind, Task
from xeval.tasks.choice import CHOICE
from xeval.tasks.classification import CLASSIFICATION
from xeval.tasks.retrieval import RETRIEVAL
from xeval.tasks.span_qa import SPAN_QA
from xeval.tasks.tagging import TAGGING

LARGEST_HOPS = 2**31 - 1  # what the store's column holds
ENDINGS = (".jsonl", ".csv", ".tsv", ".parquet")


def _from_json(value: object) -> object:
    """A list in a cell of CSV or TSV is JSON; what is wrong with it is a ValueError, which pydantic reports."""
    try:
        return parse_json(value, "the cell") if isinstance(value, str) else value
    except DataError as error:
        raise ValueError(str(error).rstrip(".")) from None


Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
TextList = Annotated[list[Words], BeforeValidator(_from_json), Field(min_length=1)]


class _Row(BaseModel, ABC):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    lang: str
    id: str = ""
    cluster: str = ""
    hops: Annotated[NonNegativeInt, Field(le=LARGEST_HOPS)] = 0
    category: str = ""

    def together(self) -> str:
        """What rows of one cluster share, where the file names no cluster; empty: each is one."""
        return ""

    @abstractmethod
    def example(self, item: str, cluster: str) -> Example:
        """The row as a task's example."""


class _Classification(_Row):
    first: Words
    second: Words | None = None
    label: Words

    def example(self, item: str, cluster: str) -> Example:
        label = LABEL_SYNONYMS.get(self.label.lower(), self.label)
        return TextPair(item, cluster, self.first, self.second, label, self.hops, self.category)


class _Choice(_Row):
    context: Words
    choices: TextList
    label: NonNegativeInt

    @model_validator(mode="after")
    def _label_is_a_row(self) -> "_Choice":
        if self.label >= len(self.choices):
            raise ValueError(f"label is {self.label}, but there are {len(self.choices)} choices, from 0")
        return self

    def example(self, item: str, cluster: str) -> Example:
        choices = tuple(self.choices)
        return MultipleChoice(item, cluster, self.context, choices, self.label, self.hops, self.category)


class _Tagging(_Row):
    words: TextList
    tags: TextList

    @model_validator(mode="after")
    def _one_tag_a_word(self) -> "_Tagging":
        if len(self.words) != len(self.tags):
            raise ValueError(f"{len(self.words)} words but {len(self.tags)} tags")
        return self

    def example(self, item: str, cluster: str) -> Example:
        return TaggedSentence(item, cluster, tuple(self.words), tuple(self.tags), self.hops, self.category)


class _Answer(BaseModel):
    text: Annotated[str, StringConstraints(min_length=1)]
    start: NonNegativeInt = Field(validation_alias=AliasChoices("start", "answer_start"))


class _SpanQA(_Row):
    question: Words
    context: Annotated[str, StringConstraints(min_length=1)]  # as it is: answers count its characters
    answers: Annotated[list[_Answer | str], BeforeValidator(_from_json)]

    @model_validator(mode="after")
    def _answers_stand_in_the_context(self) -> "_SpanQA":
        for answer in self.answers:
            if isinstance(answer, str):
                if not answer.strip() or answer not in self.context:
                    raise ValueError(f"the answer {answer!r} is not in the context")
            elif not self.context.startswith(answer.text, answer.start):
                raise ValueError(f"the answer {answer.text!r} does not stand at character {answer.start}")
        return self

    def together(self) -> str:
        return self.context

    def example(self, item: str, cluster: str) -> Example:
        answers = tuple(
            Answer(answer, self.context.index(answer))
            if isinstance(answer, str)
            else Answer(answer.text, answer.start)
            for answer in self.answers
        )
        return Question(item, cluster, self.question, self.context, answers, self.hops, self.category)


class _Retrieval(_Row):
    source: Words
    target: Words

    def example(self, item: str, cluster: str) -> Example:
        return Translation(item, cluster, self.source, self.target, self.hops, self.category)


@dataclass(frozen=True)
class _Form:
    """What a row of a kind looks like, and what a task of it declares unless told otherwise."""

    row: type[_Row]
    kind: Kind[Any]
    group: Group
    metrics: tuple[str, ...]


_FORMS = {
    "classification": _Form(_Classification, CLASSIFICATION, "classification", ("accuracy",)),
    "choice": _Form(_Choice, CHOICE, "classification", ("accuracy",)),
    "tagging": _Form(_Tagging, TAGGING, "structured", ("tag_accuracy", "chunk_f1_legacy")),
    "span_qa": _Form(_SpanQA, SPAN_QA, "single-hop QA", ("f1_mixed", "em_mixed", "squad_f1", "squad_em")),
    "retrieval": _Form(_Retrieval, RETRIEVAL, "retrieval", ("accuracy",)),
}


@dataclass(frozen=True)
class RowFile:
    """The examples of one file of rows, by language; the only split there is."""

    path: Path
    content: str
    examples: Mapping[str, tuple[Example, ...]]

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of the file as it was read, and of the language."""
        return text_digest(language, self.content)

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The examples of a language, in the order of the file."""
        return list(self.examples[language])


def task_from_file(path: Path, kind: str, group: str = "", trained_on: str = "") -> Task:
    """A task named after the file, in the languages that it holds.

    Args:
        kind: classification, choice, tagging, span_qa or retrieval.
        group: what the analysis contrasts; empty takes that of the kind.
        trained_on: name of the English training set of the checkpoints that can do the task, as their cards say;
            empty: any whose head fits.

    Raises:
        UsageError: the kind, the group, the file's ending or its name is not usable.
        DataError: a row is not; the message names file and line.
    """
    if kind not in _FORMS:
        raise UsageError(f"--kind {kind or '(none)'}: say what the rows of {path} are: {', '.join(_FORMS)}.")
    if group and group not in get_args(Group):
        raise UsageError(f"--group {group}: no such group{did_you_mean(group, get_args(Group))}.")
    if path.suffix not in ENDINGS or not path.is_file():
        raise UsageError(f"--task-file {path}: no such file that ends in {', '.join(ENDINGS)}.")
    if not re.fullmatch(r"\w[\w.-]*", path.stem):
        raise UsageError(
            f"--task-file {path}: the task is named after the file; use letters, digits, '.', '-' and '_' only."
        )
    form = _FORMS[kind]
    content = data_digest(path)
    examples = _read(path, form.row)
    if data_digest(path) != content:
        raise DataError(f"{path}: changed while it was read; start again.")
    metrics, labels = form.metrics, _labels(examples)
    chunks = kind == "tagging" and all(re.match(r"O$|[BIES]-.", tag) for tag in labels)
    if chunks:
        metrics = ("chunk_f1_legacy", "tag_accuracy")  # chunks are what such tags stand for
    return Task(
        name=path.stem,
        kind=form.kind,
        group=group or form.group,  # type: ignore[arg-type]  # checked above
        languages=tuple(sorted(examples)),
        metrics=metrics,
        source=RowFile(path, _as_read(path, content), examples),
        training=trained_on or None,
        labels=labels,
        # The best constant answer has no chunk. Version 1 gave the share of the most frequent tag beside chunk F1.
        chance=0.0 if kind == "span_qa" or chunks else "data",
        version=2 if chunks else 1,
    )


def _as_read(path: Path, content: str) -> str:
    """The content's digest, and another one for quoted TSV, whose marks were once read as text."""
    return text_digest("unquoted", content) if path.suffix == ".tsv" and is_quoted(path) else content


def _read(path: Path, row_type: type[_Row]) -> dict[str, tuple[Example, ...]]:
    by_language: dict[str, list[Example]] = {}
    clusters: dict[tuple[str, str], str] = {}
    for line, raw in _raw_rows(path):
        try:
            row = row_type.model_validate({name: v for name, v in raw.items() if not _missing(v)})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = f"{first['loc'][0]}: " if first["loc"] else ""
            raise DataError(
                f"{path}, line {line}: {place}{first['msg'].removeprefix('Value error, ')}."
            ) from None
        try:
            code = known_language(row.lang).code
        except UsageError as error:
            raise DataError(f"{path}, line {line}: {error}") from None
        examples = by_language.setdefault(code, [])
        item = row.id or f"{code}-{len(examples) + 1}"
        cluster = row.cluster or clusters.setdefault((code, row.together() or item), item)
        examples.append(row.example(item, cluster))
    if not by_language:
        raise DataError(f"{path}: holds no row.")
    return {code: tuple(checked(examples, [path])) for code, examples in by_language.items()}


def _missing(value: object) -> bool:
    """Empty cells; data frames also write NaN for a text that is not there."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _raw_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers (of Parquet, row numbers from 1) and rows by column name."""
    match path.suffix:
        case ".jsonl":
            yield from json_rows(path)
        case ".csv":
            yield from csv_rows(path, ("lang",))
        case ".tsv":
            yield from own_tsv_rows(path, ("lang",))
        case _:
            yield from parquet_rows(path)


def _labels(examples: Mapping[str, tuple[Example, ...]]) -> tuple[str, ...]:
    """The label names that occur, sorted; none for kinds without."""
    return tuple(
        sorted({label for part in examples.values() for example in part for label in example.labels()})
    )
