"""How much reasoning across sentences an ordinary question needs: the same items, one sentence at a time.

Two measures per item, kept beside the predictions:

- Model-free: the rank of the answer's sentence among the context's sentences by unigram overlap with the question,
  and its coverage. Rank 1 is where Sugawara et al. 2018 (D18-1453) look for the answers of easy questions.
- Of a model: what it answers when it reads every sentence alone and its most confident answer counts, and how good
  the best of its answers is, after Min et al. 2019 (P19-1416). The score of the same checkpoint on the full
  context minus these is what reading sentences together gains.

``NAME-depth`` is that diagnostic of the question-answering task NAME; :func:`compare` joins the two.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xeval.encoder.tokens import TextEncoder
from xeval.errors import StoreError, UsageError, did_you_mean
from xeval.examples import Question
from xeval.metrics import qa_metrics
from xeval.metrics.answers import MIXED
from xeval.store import Store, UnitRecord, read_scores, read_table
from xeval.tasks.base import Encoded, Predictions, Scoring, Task
from xeval.tasks.span_qa import SpanQA, SpanQASettings, best_spans

if TYPE_CHECKING:
    import pandas as pd

    from xeval.encoder.loop import Reduced

SUFFIX = "-depth"
METRIC = "f1_mixed"  # the one rule for all languages

# A full stop needs white space behind it; danda and the marks of East and Southeast Asia need none.
_SENTENCE_END = re.compile(r"(?:[.!?…؟۔]+[\"'”’»)\]]*(?=\s)|[।॥]+[\"'”’»)\]]*|[。！？｡។။]+[」』”’）\"]*|\n)")
_NO_END = re.compile(
    r"(?:^|[\s(\"“.])(?:\w|\d{1,2}|mr|mrs|ms|dr|st|jr|sr|prof|vs|bzw|ca|nr)\.$", re.IGNORECASE
)
# Thai and Lao separate sentences as they separate clauses: by a space. Spaces beside digits and Latin words
# separate neither.
_THAI_SPACE = re.compile(r"(?<=[\u0e01-\u0eff]) +(?=[\u0e01-\u0eff])")
_THAI_LENGTH = 160  # characters; the sentences of XQuAD-R's Thai contexts have a median of 176


@dataclass(frozen=True)
class _SentenceReading:
    """The detail of :class:`SingleSentenceQA`: a question per sentence, the windows of all of them, and how many
    sentences each example has.
    """

    questions: list[Question]
    encoded: Encoded
    counts: list[int]


class SingleSentenceQA(SpanQA):
    """Every sentence of the context is read alone; the span with the highest sum of logits is the prediction.

    Columns stored of every item:
        overlap_rank: 1 + number of sentences that share more distinct tokens with the question than the answer's
            sentence does, so that the best ones of a tie are first together; None without a gold answer.
        coverage: share of the question's distinct tokens in the context that the answer's sentence holds; None
            where the context holds none of them.
        sentences: number of sentences in the context.
        best_sentence_f1: F1 (``f1_mixed``) of the best answer among those of the single sentences.

    The answer's sentence is the one that holds most of it. Of several gold answers the one counts whose sentence
    ranks first.
    """

    name = "single_sentence_qa"

    def encode(self, examples: Sequence[Question], encoder: TextEncoder, settings: SpanQASettings) -> Encoded:
        questions: list[Question] = []
        counts: list[int] = []
        for example in examples:
            spans = sentence_spans(example.context)
            questions += [replace(example, context=example.context[begin:end]) for begin, end in spans]
            counts.append(len(spans))
        encoded = super().encode(questions, encoder, settings)
        owner = np.repeat(np.arange(len(examples)), counts)[encoded.example]
        return Encoded(encoded.sequences, owner, _SentenceReading(questions, encoded, counts))

    def predict(
        self, examples: Sequence[Question], encoded: Encoded, reduced: "Reduced", scoring: Scoring
    ) -> Predictions:
        reading: _SentenceReading = encoded.detail
        answers, scores = best_spans(reading.questions, reading.encoded, reduced)
        golds = [tuple(answer.text for answer in example.answers) for example in examples]
        starts = np.concatenate([[0], np.cumsum(reading.counts)])
        bounds = list(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True))
        texts = [answers[begin + int(np.argmax(scores[begin:end]))] for begin, end in bounds]
        repeated = [gold for gold, count in zip(golds, reading.counts, strict=True) for _ in range(count)]
        alone, _ = qa_metrics[METRIC](answers, repeated, scoring.language)
        overlaps = [answer_overlap(example) for example in examples]
        return Predictions(
            texts,
            {name: qa_metrics[name](texts, golds, scoring.language) for name in scoring.task.metrics},
            {
                "overlap_rank": [overlap.rank for overlap in overlaps],
                "coverage": [overlap.coverage for overlap in overlaps],
                "sentences": reading.counts,
                "best_sentence_f1": [float(alone[begin:end].max()) for begin, end in bounds],
            },
        )


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) characters of the sentences of a text in any script; at least one, without outer white space.

    Sentence marks end a sentence, except full stops after initials, numbers of at most two digits and some
    abbreviations, or before a small letter. Thai and Lao have no marks: there a space between two letters ends
    a piece of at least 160 characters. Of XQuAD's 1,190 answers 1,184 to 1,189 lie within one sentence, in Thai
    1,164 (with XQuAD-R's sentences: 1,170 to 1,188).
    """
    spans = []
    begin = 0
    for end in _cuts(text):
        sentence = text[begin:end]
        if stripped := sentence.strip():
            first = begin + sentence.index(stripped)
            spans.append((first, first + len(stripped)))
        begin = end
    return spans or [(0, len(text))]


def _cuts(text: str) -> Iterator[int]:
    begin = 0
    for end in (*(mark.end() for mark in _SENTENCE_END.finditer(text) if _ends(text, mark)), len(text)):
        for space in _THAI_SPACE.finditer(text, begin, end):
            if space.start() - begin >= _THAI_LENGTH and end - space.end() >= _THAI_LENGTH // 2:
                begin = space.start()
                yield begin
        begin = end
        yield end


def _ends(text: str, mark: re.Match[str]) -> bool:
    """Whether a sentence mark ends a sentence."""
    if not mark.group().startswith("."):
        return True
    before = text[max(0, mark.start() - 8) : mark.start() + 1]
    return not text[mark.end() :].lstrip()[:1].islower() and _NO_END.search(before) is None


@dataclass(frozen=True)
class Overlap:
    """Rank and coverage of an answer's sentence; see :class:`SingleSentenceQA`."""

    rank: int | None
    coverage: float | None


def answer_overlap(question: Question) -> Overlap:
    """Overlap of the question with the answer's sentence among all; tokens are words, or characters in scripts
    without spaces.
    """
    spans = sentence_spans(question.context)
    texts = [question.question, *(question.context[begin:end] for begin, end in spans)]
    asked, *sentences = MIXED.tokens(texts, "en")  # one rule for all languages
    shared = [set(asked).intersection(sentence) for sentence in sentences]
    found = set().union(*shared)
    candidates = []
    for answer in question.answers:
        finish = answer.start + len(answer.text)
        parts = [min(finish, end) - max(answer.start, begin) for begin, end in spans]
        home = len(shared[int(np.argmax(parts))])
        candidates.append(
            (1 + sum(len(other) > home for other in shared), home / len(found) if found else None)
        )
    return (
        Overlap(*min(candidates, key=lambda candidate: candidate[0])) if candidates else Overlap(None, None)
    )


SINGLE_SENTENCE_QA = SingleSentenceQA()


def by_sentence(original: Task) -> Task:
    """The diagnostic ``NAME-depth`` of a task: the same in all but how its contexts are read.

    Raises:
        UsageError: the task does not extract answers from a context.
    """
    if type(original.kind) is not SpanQA:
        raise UsageError(
            f"{original.name}{SUFFIX}: {original.name} does not extract answers from a context, so it cannot be "
            "read by the sentence."
        )
    return replace(original, name=original.name + SUFFIX, kind=SINGLE_SENTENCE_QA, group="diagnostic")


@dataclass(frozen=True)
class Part:
    """Mean F1 (``f1_mixed``, 0 to 1) of some items of a checkpoint in a language.

    Attributes:
        full: with the full context.
        single: of the most confident single sentence.
        best: of the best single sentence.
        solvable: share of items that a single sentence answers: ``best`` is above 0 and not below ``full``.
    """

    items: int
    full: float
    single: float
    best: float
    solvable: float


@dataclass(frozen=True)
class Depth:
    """A checkpoint's results in a language, on all items, on easy ones and on hard ones (None: there are none).

    Easy: the answer's sentence has overlap rank 1. Hard: another one shares more tokens with the question.
    """

    checkpoint: str
    task: str
    language: str
    whole: Part
    easy: Part | None
    hard: Part | None


def compare(root: Path, task: str = "", limit: int | None = None) -> tuple[list[Depth], list[str]]:
    """Full context against single sentences, for every checkpoint and language that a store holds both of.

    Returns:
        the results, and what is lacking for more, a sentence each.

    Raises:
        StoreError: there is nothing to compare.
        UsageError: the store holds no such task read by the sentence.
    """
    units = _units(root, limit)
    deep = {key: unit for key, unit in units.items() if unit[1].kind == SingleSentenceQA.name}
    names = list(dict.fromkeys(record.task.removesuffix(SUFFIX) for _, record in deep.values()))
    if task and task not in names and names:
        raise UsageError(
            f"{root}: holds no {task}{SUFFIX}{did_you_mean(task, names)}; it has {', '.join(names)}."
        )
    results, lacking = [], []
    for (checkpoint, name, language), (path, record) in deep.items():
        original = name.removesuffix(SUFFIX)
        if task not in ("", original):
            continue
        full = units.get((checkpoint, original, language))
        label = f"{record.checkpoint} · {original} · {language}"
        if full is None:
            lacking.append(f"{label}: not in the store; run the task {original} too.")
        elif (full[1].checkpoint_digest, full[1].data_digest) != (
            record.checkpoint_digest,
            record.data_digest,
        ):
            lacking.append(f"{label}: other weights or data than those of {name}; run both tasks again.")
        else:
            results.append(
                _depth(record, original, read_table(full[0]).to_pydict(), read_table(path).to_pydict())
            )
    if not results and not lacking:
        raise StoreError(f"{root}: holds no results by the sentence; run a task such as xquad{SUFFIX}.")
    return results, lacking


def split_by_depth(
    root: Path, limit: int | None = None, *, hard_as_multi_hop: bool = False
) -> "pd.DataFrame":
    """Tidy scores of a store as :func:`xeval.store.read_scores` gives them, with every task that was also read by
    the sentence split in two targets, ``NAME-easy`` and ``NAME-hard``, by overlap rank.

    The rank belongs to the item in its language, not to a checkpoint, so one checkpoint's results by the sentence
    are enough to split all, and all checkpoints are split alike. Items without a gold answer are left out.

    Args:
        hard_as_multi_hop: put the hard items in the group multi-hop QA, so that an analysis contrasts them with
            the easy ones, which keep their group.

    Raises:
        StoreError: no task was read by the sentence, or one not in all languages or not on the same data.
    """
    frame = read_scores(root, limit)
    units = _units(root, limit)
    ranks: dict[tuple[str, str, str], dict[str, int | None]] = {}
    for path, record in units.values():
        if record.kind == SingleSentenceQA.name:
            key = (record.task.removesuffix(SUFFIX), record.language, record.data_digest)
            if key not in ranks:
                columns = read_table(path).select(["item_id", "overlap_rank"]).to_pydict()
                ranks[key] = dict(zip(columns["item_id"], columns["overlap_rank"], strict=True))
    names = {name for name, _, _ in ranks}
    if not names:
        raise StoreError(f"{root}: holds no results by the sentence; run a task such as xquad{SUFFIX}.")
    parts = [frame[~frame["target"].isin(names | {name + SUFFIX for name in names})]]
    for _, record in units.values():
        if record.task not in names:
            continue
        rank = ranks.get((record.task, record.language, record.data_digest))
        if rank is None:
            raise StoreError(
                f"{root}: {record.task} · {record.language} was not read by the sentence on the same data; run "
                f"{record.task}{SUFFIX} in that language (one checkpoint is enough)."
            )
        rows = frame[(frame["unit"] == record.fingerprint) & (frame["name"] == record.checkpoint)]
        place = rows["item_id"].astype(str).map(rank)
        hard = rows[place > 1].assign(target=f"{record.task}-hard")
        parts.append(rows[place == 1].assign(target=f"{record.task}-easy"))
        parts.append(hard.assign(group="multi-hop QA") if hard_as_multi_hop else hard)
    import pandas as pd

    return pd.concat(parts, ignore_index=True)


def _units(root: Path, limit: int | None) -> dict[tuple[str, str, str], tuple[Path, UnitRecord]]:
    """The current units by checkpoint path, task and language."""
    entries = Store(root).require(limit)
    return {(r.checkpoint_path, r.task, r.language): (path, r) for path, r in entries}


def _depth(
    record: UnitRecord, task: str, full: Mapping[str, list[Any]], deep: Mapping[str, list[Any]]
) -> Depth:
    assert full["item_id"] == deep["item_id"], "equal data digests give equal items"
    ranks = np.asarray([np.nan if rank is None else rank for rank in deep["overlap_rank"]], np.float64)
    scores = np.asarray([full[f"{METRIC}.num"], deep[f"{METRIC}.num"], deep["best_sentence_f1"]], np.float64)
    whole = _part(scores, np.ones(len(ranks), np.bool_))
    assert whole is not None
    return Depth(
        record.checkpoint, task, record.language, whole, _part(scores, ranks == 1), _part(scores, ranks > 1)
    )


def _part(scores: NDArray[np.float64], chosen: NDArray[np.bool_]) -> Part | None:
    if not chosen.any():
        return None
    full, single, best = scores[:, chosen]
    solvable = (best > 0) & (best >= full)
    return Part(
        int(chosen.sum()),
        float(full.mean()),
        float(single.mean()),
        float(best.mean()),
        float(solvable.mean()),
    )
