"""Readers of multi-hop question answering: bAbI and its translations, HotpotQA and its kin, MuSiQue, Mintaka, JEMHopQA.

Every item says how many facts it combines (``hops``) and what its data set calls it (``category``).

Two devices are shared by the readers of extractive questions. A context begins with the two words for yes and
no where the data set has such answers, so that a span can choose them. An answer is located where it is first
mentioned in a supporting fact, else anywhere in the context; one that stands nowhere keeps its text, by which it
is scored, and gets the offset ``NOWHERE``, at which no token begins; ``keep_unlocated=False`` leaves such items
out, for training.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from xeval.digests import text_digest
from xeval.errors import DataError
from xeval.examples import Answer, Example, MultipleChoice, Question
from xeval.sources.base import MissingDataError, Source
from xeval.sources.parquet import parquet_rows
from xeval.sources.text import checked, csv_rows, json_rows, numbered_lines, text_of, validated_json

NOWHERE = -1
YES_NO = ("yes", "no")
HELD_OUT_SHARE = 20

# Bathroom, bedroom, garden, hallway, kitchen, office: the answers of bAbI's qa1 to qa4.
BABI_ROOMS = {
    "ar": ("حمام", "غرفة نوم", "حديقة", "المدخل", "مطبخ", "مكتب"),
    "de": ("Badezimmer", "Schlafzimmer", "Garten", "Flur", "Küche", "Büro"),
    "en": ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office"),
    "es": ("baño", "dormitorio", "jardín", "pasillo", "cocina", "oficina"),
    "vi": ("phòng tắm", "phòng ngủ", "vườn", "hành lang", "phòng bếp", "văn phòng"),
    "zh": ("浴室", "卧室", "花园", "门厅", "厨房", "办公室"),
}
BABI_HOPS = {"qa1": 1, "qa2": 2, "qa3": 3, "qa4": 1}
# The Chinese file gives Mary, Sandra and John several names each, often inside one story.
_BABI_NAMES = {
    "zh": {"丽华": "梨花", "丽花": "梨花", "梅英": "美英", "健": "简", "坚": "简", "吉安": "简"},
}

HOTPOT_HOPS = {"bridge": 2, "comparison": 2, "compositional": 2, "inference": 2, "bridge_comparison": 4}

MINTAKA_HOPS = {"generic": 1, "multihop": 2, "intersection": 2, "difference": 2}
MINTAKA_CHOICES = 4
_MINTAKA_YES_NO = {
    "ar": ("نعم", "لا"),
    "de": ("ja", "nein"),
    "en": YES_NO,
    "es": ("sí", "no"),
    "fr": ("oui", "non"),
    "hi": ("हाँ", "नहीं"),
    "it": ("sì", "no"),
    "ja": ("はい", "いいえ"),
    "pt": ("sim", "não"),
}
MINTAKA_LANGUAGES = tuple(_MINTAKA_YES_NO)

JEMHOPQA_YES_NO = ("YES", "NO")
JEMHOPQA_LINES = 10

ModelT = TypeVar("ModelT", bound=BaseModel)
_Answer = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


@dataclass(frozen=True)
class HeldOutSource:
    """Training data that give up a twentieth of their clusters as ``dev``.

    For sets whose published dev data are what a task is tested on, so that no step is chosen by them.
    """

    whole: Source

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """The training files, for both splits."""
        if split not in ("train", "dev"):
            raise MissingDataError(language, split, root or Path(), ("train and dev only",))
        return self.whole.files(root, language, "train")

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of the split's name and of the training data."""
        return text_digest(split, str(HELD_OUT_SHARE), self.whole.digest(root, language, "train"))

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The examples whose clusters belong to the split."""
        paths = self.files(root, language, split)
        examples = self.whole.load(root, language, "train")
        return checked([e for e in examples if _is_held_out(e.cluster_id) == (split == "dev")], paths)


def _is_held_out(cluster: str) -> bool:
    return int(text_digest("held out", cluster), 16) % HELD_OUT_SHARE == 0


# bAbI.


def read_translated_babi(paths: Sequence[Path], language: str, kind: str) -> list[MultipleChoice]:
    """MLRBench's translated bAbI (csv: passage, question, question_type, target): one type, qa1 to qa4.

    The choices are the six rooms, in the same order in all languages. Choosing replaces extraction because
    translators used several words for a room: the answer stands verbatim in the passage in English but only in
    two thirds of the Arabic passages. Rows are parallel, so items are numbered by type.

    The Chinese file calls one person by several names (in 33, 87 and 99 of 100 passages of qa1, qa2 and qa3;
    the name in the question is absent from 59 passages of qa1); here everybody keeps one name.
    """
    rooms = _by_language(BABI_ROOMS, language, "bAbI's rooms")
    names = _BABI_NAMES.get(language, {})
    examples: list[MultipleChoice] = []
    for path in paths:
        for line, row in csv_rows(path, ("passage", "question", "question_type", "target")):
            if row["question_type"] != kind:
                continue
            target = text_of(row, "target", path, line)
            if target not in rooms:
                raise DataError(f"{path}, line {line}: {target!r} is none of the rooms {', '.join(rooms)}.")
            context = f"{text_of(row, 'passage', path, line)} {text_of(row, 'question', path, line)}"
            for variant, name in names.items():
                context = context.replace(variant, name)
            item = f"{kind}-{len(examples) + 1}"
            examples.append(
                MultipleChoice(item, item, context, rooms, rooms.index(target), BABI_HOPS[kind], kind)
            )
    return checked(examples, paths)


def read_babi_stories(paths: Sequence[Path], language: str) -> list[MultipleChoice]:
    """The original bAbI v1.2 files of qa1 to qa4, whose names begin with the type, as items like the translated ones.

    A line is a number and a statement, or a number, a question, its answer and the numbers of its supporting
    statements with tabs between; number 1 begins a story. The context is every statement of the story so far, and
    then the question; hops are the supporting statements, the cluster is the story.
    """
    rooms = _by_language(BABI_ROOMS, language, "bAbI's rooms")
    examples = []
    for path in paths:
        kind, story, statements = path.name.split("_")[0], 0, list[str]()
        for line, text in numbered_lines(path):
            number, _, rest = text.strip().partition(" ")
            if not number.isdigit() or not rest:
                raise DataError(f"{path}, line {line}: a bAbI line is a number and a statement or question.")
            if number == "1":
                story, statements = story + 1, []
            question, *marks = (cell.strip() for cell in rest.split("\t"))
            if not marks:
                statements.append(question)
                continue
            if len(marks) != 2 or marks[0] not in rooms or not marks[1]:
                raise DataError(
                    f"{path}, line {line}: a question is followed by one of {', '.join(rooms)} and by the "
                    "numbers of its supporting statements, with tabs between."
                )
            context = " ".join([*statements, question])
            examples.append(
                MultipleChoice(
                    item_id=f"{kind}-line-{line}",
                    cluster_id=f"{kind}-story-{story}",
                    context=context,
                    choices=rooms,
                    label=rooms.index(marks[0]),
                    hops=len(marks[1].split()),
                    category=kind,
                )
            )
    return checked(examples, paths)


# HotpotQA, 2WikiMultihopQA, XHotpotQA, MuSiQue.


def _rows_of_columns(value: object) -> object:
    """A struct of lists, which Parquet makes of HotpotQA's pairs, as a list of pairs; anything else as it is."""
    if isinstance(value, dict) and len(value) == 2 and "title" in value:
        (second,) = (column for name, column in value.items() if name != "title")
        return list(zip(value["title"], second, strict=True))
    return value


class _HotpotQuestion(BaseModel):
    id: str = Field(validation_alias=AliasChoices("_id", "id"))
    question: str
    answer: _Answer
    type: str
    supporting_facts: Annotated[list[tuple[str, int]], BeforeValidator(_rows_of_columns)]
    context: Annotated[list[tuple[str, list[str]]], BeforeValidator(_rows_of_columns)]


class _XHotpotParagraph(BaseModel):
    source_title: str
    source_sentences: list[str]


class _XHotpotFact(BaseModel):
    source_title: str
    sentence: int = Field(validation_alias=AliasChoices("sentence_id", "sentence_index"))


class _XHotpotQuestion(BaseModel):
    id: str
    source_id: str
    question: str
    question_language: str
    source_answer: _Answer
    question_type: str
    candidates: list[_XHotpotParagraph]
    supporting_facts: list[_XHotpotFact]
    status: str


class _MusiqueParagraph(BaseModel):
    title: str
    paragraph_text: str
    is_supporting: bool


class _MusiqueStep(BaseModel):
    id: int | str


class _MusiqueQuestion(BaseModel):
    id: str = Field(pattern=r"^[2-4]hop\d?__")
    question: str
    answer: _Answer
    answer_aliases: list[str] = []
    answerable: bool = True
    paragraphs: list[_MusiqueParagraph]
    question_decomposition: list[_MusiqueStep] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A title, sentence, paragraph or line of a context, and whether the answer rests on it."""

    text: str
    supporting: bool


def read_hotpotqa(
    paths: Sequence[Path], language: str, *, supporting_only: bool = False, keep_unlocated: bool = True
) -> list[Question]:
    """HotpotQA and 2WikiMultihopQA: a JSON list of questions, or HotpotQA's Parquet with the same fields.

    The context is the paragraphs in their order, each its title and sentences; ``supporting_only`` leaves out
    those without a supporting fact.
    """
    examples = []
    for path in paths:
        for row in _parse(path, _HotpotQuestion):
            pieces = _paragraph_pieces(row.context, set(row.supporting_facts), supporting_only)
            hops = _hotpot_hops(row.type, path, row.id)
            examples.append(
                _extractive(row.id, row.id, row.question, pieces, [row.answer], hops, row.type, YES_NO)
            )
    return checked(_kept(examples, keep_unlocated), paths)


def read_xhotpotqa(paths: Sequence[Path], language: str, *, supporting_only: bool = False) -> list[Question]:
    """XHotpotQA's Parquet (V1.1 audited, V2 audited RC1): translated questions over HotpotQA's English evidence.

    Published paragraphs are translated too, each into a language of its own drawn from 24: the translated answer
    stands in its paragraph only where the two languages happen to be one. So that a span can be the answer, the
    context is the paragraphs' English source and the gold answer the English one. A question has one language:
    items are not parallel. Rows that the publishers quarantined are left out.
    """
    examples = []
    for path in paths:
        for row in _parse(path, _XHotpotQuestion):
            if row.question_language != language or row.status == "quarantined":
                continue
            paragraphs = [(p.source_title, p.source_sentences) for p in row.candidates]
            facts = {(fact.source_title, fact.sentence) for fact in row.supporting_facts}
            pieces = _paragraph_pieces(paragraphs, facts, supporting_only)
            hops = _hotpot_hops(row.question_type, path, row.id)
            examples.append(
                _extractive(
                    row.id,
                    row.source_id,
                    row.question,
                    pieces,
                    [row.source_answer],
                    hops,
                    row.question_type,
                    YES_NO,
                )
            )
    return checked(examples, paths)


def read_musique(
    paths: Sequence[Path], language: str, *, supporting_only: bool = False, keep_unlocated: bool = True
) -> list[Question]:
    """MuSiQue, JSON lines as published or a JSON list: its answerable questions.

    Hops and category are the beginning of the id (2hop, 3hop1, 3hop2, 4hop1...). Questions are composed of
    single-hop ones, and those that end in the same one share their answer: they are one cluster.
    """
    examples = []
    for path in paths:
        for row in _parse(path, _MusiqueQuestion):
            if not row.answerable:
                continue
            pieces = [
                _Piece(f"{p.title} {p.paragraph_text}", p.is_supporting)
                for p in row.paragraphs
                if p.is_supporting or not supporting_only
            ]
            category = row.id.partition("__")[0]
            cluster = str(row.question_decomposition[-1].id)
            golds = [row.answer, *row.answer_aliases]
            examples.append(
                _extractive(row.id, cluster, row.question, pieces, golds, int(category[0]), category)
            )
    return checked(_kept(examples, keep_unlocated), paths)


def _extractive(
    item_id: str,
    cluster_id: str,
    question: str,
    pieces: Sequence[_Piece],
    golds: Sequence[str],
    hops: int,
    category: str,
    yes_no: tuple[str, str] | None = None,
) -> Question:
    """A question over ``pieces`` joined by spaces, after the two words of ``yes_no``; located answers come first."""
    pieces = [_Piece(" ".join(yes_no), False), *pieces] if yes_no else list(pieces)
    context = " ".join(piece.text for piece in pieces)
    answers = []
    for gold in dict.fromkeys(gold for gold in golds if gold.strip()):
        if yes_no and gold.casefold() in (yes_no[0].casefold(), yes_no[1].casefold()):
            start = context.casefold().index(gold.casefold())
            answers.append(Answer(context[start : start + len(gold)], start))
        else:
            answers.append(Answer(gold, _locate(gold, pieces)))
    answers.sort(key=lambda answer: answer.start == NOWHERE)
    return Question(item_id, cluster_id, question, context, tuple(answers), hops, category)


def _locate(answer: str, pieces: Sequence[_Piece]) -> int:
    """Where the answer begins in the joined pieces: whole words before parts of words, supporting pieces first."""
    whole = re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)")
    for pattern in (whole, re.compile(re.escape(answer))):
        for needs_support in (True, False):
            start = 0
            for piece in pieces:
                if (piece.supporting or not needs_support) and (found := pattern.search(piece.text)):
                    return start + found.start()
                start += len(piece.text) + 1
    return NOWHERE


def _paragraph_pieces(
    paragraphs: Iterable[tuple[str, list[str]]], facts: set[tuple[str, int]], supporting_only: bool
) -> list[_Piece]:
    """Titles and sentences; a supporting fact is the (title, number) of a sentence and supports its title too."""
    titles = {title for title, _ in facts}
    pieces = []
    for title, sentences in paragraphs:
        if supporting_only and title not in titles:
            continue
        pieces.append(_Piece(title.strip(), title in titles))
        pieces += [_Piece(s.strip(), (title, n) in facts) for n, s in enumerate(sentences) if s.strip()]
    return pieces


def _hotpot_hops(kind: str, path: Path, item: str) -> int:
    if hops := HOTPOT_HOPS.get(kind.replace("-", "_")):
        return hops
    raise DataError(f"{path}: the type of question {item} is {kind!r}, not one of {', '.join(HOTPOT_HOPS)}.")


def _kept(examples: list[Question], keep_unlocated: bool) -> list[Question]:
    return [e for e in examples if keep_unlocated or e.answers[0].start != NOWHERE]


# Mintaka.


class _MintakaEntity(BaseModel):
    label: dict[str, str | None] | None


class _MintakaAnswer(BaseModel):
    type: str = Field(validation_alias="answerType")
    values: list[_MintakaEntity | bool | int | float | str] | None = Field(validation_alias="answer")


class _MintakaQuestion(BaseModel):
    id: str
    question: str
    translations: dict[str, str]
    answer: _MintakaAnswer
    category: str
    complexity: str = Field(validation_alias="complexityType")

    def texts(self) -> tuple[str, ...]:
        """The answer in every language; empty where there is no single one that has a name in all of them."""
        if self.answer.values is None or len(self.answer.values) != 1:
            return ()
        value = self.answer.values[0]
        if isinstance(value, _MintakaEntity):
            names = tuple(((value.label or {}).get(code) or "").strip() for code in MINTAKA_LANGUAGES)
            return names if all(names) else ()
        if isinstance(value, bool):
            return tuple(_MINTAKA_YES_NO[code][not value] for code in MINTAKA_LANGUAGES)
        return (str(value),) * len(MINTAKA_LANGUAGES)


def read_mintaka(paths: Sequence[Path], language: str, kinds: Sequence[str]) -> list[MultipleChoice]:
    """Mintaka's questions of some complexity types, as a choice of the answer among those of other questions.

    Mintaka is closed-book: there is no passage. The wrong choices are three answers of the same answer type and,
    where it offers three, of the same topic (movies, sports...); they and their order are drawn by the item's id
    and are the same in all languages, so items are parallel. A boolean answer is chosen from yes and no. Left out
    in all languages: questions without exactly one answer, and answers without a name in one of the languages.

    ``kinds`` are among ``MINTAKA_HOPS``: multihop, intersection and difference join two facts. Comparisons are
    not among them, because the right choice would be the only one that the question names, nor are superlatives,
    ordinals and counts, which range over sets of unknown size.
    """
    rows = [row for path in paths for row in _parse(path, _MintakaQuestion)]
    answers = {row.id: texts for row in rows if (texts := row.texts())}
    by_type: dict[str, _AnswerPool] = {}
    by_topic: dict[tuple[str, str], _AnswerPool] = {}
    for row in sorted((row for row in rows if row.id in answers), key=lambda row: row.id):
        by_type.setdefault(row.answer.type, _AnswerPool()).add(answers[row.id])
        by_topic.setdefault((row.answer.type, row.category), _AnswerPool()).add(answers[row.id])
    yes_no = _by_language(_MINTAKA_YES_NO, language, "Mintaka's answers")
    place = MINTAKA_LANGUAGES.index(language)
    examples = []
    for row in rows:
        if row.complexity not in kinds or row.id not in answers:
            continue
        right = answers[row.id]
        if right[place] in yes_no:
            choices = list(yes_no)
        else:
            pools = (by_topic[row.answer.type, row.category], by_type[row.answer.type])
            wrong = next((found for pool in pools if (found := pool.others(right, row.id))), None)
            if wrong is None:
                raise DataError(
                    f"{' + '.join(map(str, paths))}: fewer than {MINTAKA_CHOICES} different answers of type "
                    f"{row.answer.type}, which question {row.id} needs; use the whole published file."
                )
            drawn = sorted((right, *wrong), key=lambda texts: text_digest(row.id, *texts))
            choices = [texts[place] for texts in drawn]
        question = row.question if language == "en" else row.translations[language]
        label = choices.index(right[place])
        hops = MINTAKA_HOPS[row.complexity]
        examples.append(MultipleChoice(row.id, row.id, question, tuple(choices), label, hops, row.complexity))
    return checked(examples, paths)


class _AnswerPool:
    """Answers of which no two have the same name in any language."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, ...]] = []
        self.names: set[tuple[int, str]] = set()

    def add(self, answer: tuple[str, ...]) -> None:
        names = set(enumerate(answer))
        if self.names.isdisjoint(names):
            self.answers.append(answer)
            self.names |= names

    def others(self, right: tuple[str, ...], key: str) -> list[tuple[str, ...]]:
        """Three answers that share no name with ``right``, fixed by ``key``; none where there are too few."""
        # In each language at most one answer has the name of the right one, so this many hold three others.
        size = min(len(self.answers), MINTAKA_CHOICES - 1 + len(right))
        places: dict[int, None] = {}
        attempt = 0
        while len(places) < size:
            places[int(text_digest(key, str(attempt)), 16) % len(self.answers)] = None
            attempt += 1
        drawn = [self.answers[place] for place in places]
        wrong = [answer for answer in drawn if set(enumerate(right)).isdisjoint(enumerate(answer))]
        return wrong[: MINTAKA_CHOICES - 1] if len(wrong) >= MINTAKA_CHOICES - 1 else []


# JEMHopQA.


class _JemhopqaQuestion(BaseModel):
    id: str = Field(validation_alias="qid")
    question: str
    answer: _Answer
    type: str
    derivations: list[tuple[str, str, list[str]]] = Field(min_length=1, max_length=JEMHOPQA_LINES)


@dataclass(frozen=True, slots=True)
class _Fact:
    subject: str
    relation: str
    objects: tuple[str, ...]

    @property
    def line(self) -> str:
        return f"{self.subject}の{self.relation}は{'、'.join(self.objects)}。"


def read_jemhopqa(paths: Sequence[Path], language: str) -> list[Question]:
    """JEMHopQA (JSON): Japanese questions over given facts, ten lines each.

    The data set has no passages but names the facts that lead to each answer. They are written as lines
    ("subject の relation は object。") and mixed with facts of other items about other subjects, those whose
    relation has most characters in common with one of the item's own first, in an order fixed by the item's id.
    So this measures combining given facts, not finding them, and for many items less than that: of the 47
    compositional dev items, 10 have a line of another subject with the very relation that is asked for, and in
    the others that relation alone tells the last fact. Hops are the item's own facts (2 to 4).

    In v1.2 one answer of 120 dev items (and 11 of 1059 of train, mostly differences of two dates) stands in no
    line; such an item stays and is scored by its text.
    """
    rows = [row for path in paths for row in _parse(path, _JemhopqaQuestion)]
    facts_of = {row.id: [_Fact(s, r, tuple(o)) for s, r, o in row.derivations] for row in rows}
    every = list(dict.fromkeys(fact for facts in facts_of.values() for fact in facts))
    examples = []
    for row in rows:
        others = _similar_facts(facts_of[row.id], every, row.id)[: JEMHOPQA_LINES - len(facts_of[row.id])]
        lines = {fact.line: False for fact in others} | {fact.line: True for fact in facts_of[row.id]}
        if len(lines) < JEMHOPQA_LINES:
            raise DataError(
                f"{' + '.join(map(str, paths))}: too few facts to give question {row.id} {JEMHOPQA_LINES} lines; "
                "use the whole published file."
            )
        pieces = [_Piece(line, lines[line]) for line in sorted(lines, key=lambda x: text_digest(row.id, x))]
        hops = len(row.derivations)
        examples.append(
            _extractive(row.id, row.id, row.question, pieces, [row.answer], hops, row.type, JEMHOPQA_YES_NO)
        )
    return checked(examples, paths)


def _similar_facts(facts: Sequence[_Fact], every: Sequence[_Fact], key: str) -> list[_Fact]:
    """Facts about other subjects, those with the most similar relation first, equals in an order fixed by ``key``."""
    entities = {fact.subject for fact in facts} | {name for fact in facts for name in fact.objects}
    relations = [set(fact.relation) for fact in facts]

    def rank(fact: _Fact) -> tuple[float, str]:
        letters = set(fact.relation)
        shared = max(len(letters & relation) / len(letters | relation) for relation in relations)
        return -shared, text_digest(key, fact.line)

    return sorted((fact for fact in every if fact.subject not in entities), key=rank)


# Files and languages.


def _by_language(values: Mapping[str, tuple[str, ...]], language: str, what: str) -> tuple[str, ...]:
    if language in values:
        return values[language]
    raise DataError(f"{what} are known in {' '.join(values)}, not in {language!r}; leave that language out.")


def _parse(path: Path, model: type[ModelT]) -> list[ModelT]:
    """The rows of a JSON list, of JSON lines or of a Parquet file, by the file's ending.

    Raises:
        DataError: the file cannot be read as that, or a row lacks something.
    """
    adapter = TypeAdapter(list[model])  # type: ignore[valid-type]
    try:
        if path.suffix == ".jsonl":
            return adapter.validate_python([row for _, row in json_rows(path)])
        if path.suffix == ".parquet":
            return adapter.validate_python([row for _, row in parquet_rows(path, tuple(model.model_fields))])
        return validated_json(path, adapter.validate_json)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"{path}: not the published layout{f', at {place}' if place else ''} ({first['msg']}); "
            "a test file without answers cannot be scored."
        ) from None
