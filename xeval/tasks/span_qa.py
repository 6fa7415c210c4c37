"""Extractive question answering over windows of the context, after the SQuAD v1.1 procedure that XTREME uses.

A context longer than the limit is read in windows that start every ``stride`` tokens. A start token counts only in
the window where it has the most context on its shorter side; of the best ``n_best`` starts and ends the pair with
the highest sum of logits wins, over all windows, with at most ``answer_length`` tokens.

Where this differs from the scripts that XTREME calls:
- The ``n_best`` are taken among the tokens that may start or end an answer; the scripts take them among all
  tokens, padding included, and drop the others, so that a weak model may be left without any.
- The answer is cut out of the context by character offsets, in every language. The scripts align it with whole
  words again, which ruins Chinese (F1 about 18) and must be switched off there; elsewhere it widens spans that
  end within a word.
- A context without any candidate gives the empty text (the scripts write the word "empty").
"No answer" is never predicted, as XTREME never asks for it: a question without gold answers counts as wrong,
unless the prediction has no tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xeval.encoder.batches import Sequences
from xeval.encoder.tokens import Ids, TextEncoder
from xeval.errors import UsageError
from xeval.examples import Question
from xeval.metrics import qa_metrics
from xeval.tasks.base import Encoded, Kind, Predictions, Scoring, Settings

if TYPE_CHECKING:
    import torch

    from xeval.encoder.loop import Batch, Reduced


@dataclass(frozen=True)
class ContextWindow:
    """Character offsets [tokens, 2] of a window's context tokens; the first of them is token ``shift``."""

    shift: int
    offsets: Ids


@dataclass(frozen=True)
class SpanQASettings(Settings):
    """In tokens, but for ``n_best``, the number of starts and of ends that are combined."""

    max_length: int = 384
    stride: int = 128
    question_length: int = 64
    answer_length: int = 30
    n_best: int = 20


class SpanQA(Kind[Question]):
    """The marks of a sequence are four token numbers: first and one-past-last context token, and of starts."""

    name = "span_qa"
    auto_class = "AutoModelForQuestionAnswering"
    head_suffix = "ForQuestionAnswering"
    defaults: ClassVar[Settings] = SpanQASettings()

    def encode(self, examples: Sequence[Question], encoder: TextEncoder, settings: SpanQASettings) -> Encoded:
        limit, stride = settings.max_length, settings.stride
        pieces = encoder.pieces(text for e in examples for text in (e.question, e.context))
        ids: list[Ids] = []
        types: list[Ids] = []
        owner: list[int] = []
        marks: list[tuple[int, int, int, int]] = []
        windows: list[ContextWindow] = []
        for row, example in enumerate(examples):
            question = pieces[example.question].ids[: settings.question_length]
            context = pieces[example.context]
            room = limit - encoder.template.pair_overhead - len(question)
            if room < 1:
                raise UsageError(f"--max-length {limit} leaves no room for the context; raise it.")
            shift = len(encoder.template.prefix) + len(question) + len(encoder.template.middle)
            for start, end, first, last in context_windows(len(context.ids), room, stride):
                sequence, segment = encoder.pair(question, context.ids[start:end], limit)
                ids.append(sequence)
                types.append(segment)
                owner.append(row)
                marks.append((shift, shift + end - start, shift + first - start, shift + last - start))
                windows.append(ContextWindow(shift, context.offsets[start:end]))
        sequences = Sequences(ids, types if encoder.uses_types else None, np.asarray(marks).reshape(-1, 4))
        return Encoded(sequences, np.asarray(owner, np.int64), windows)

    def reduce(self, model: Any, batch: "Batch", settings: SpanQASettings) -> "dict[str, torch.Tensor]":
        import torch

        from xeval.encoder.loop import FINITE, finite_rows

        assert batch.marks is not None
        output = model(**batch.inputs())
        position = torch.arange(batch.input_ids.shape[1], device=batch.input_ids.device)
        first, last, start_first, start_last = (batch.marks[:, i : i + 1] for i in range(4))
        never = float("-inf")
        may_start = (position >= start_first) & (position < start_last)
        may_end = (position >= first) & (position < last)
        n_best = min(settings.n_best, batch.input_ids.shape[1])
        starts = output.start_logits.float().masked_fill(~may_start, never).topk(n_best)
        ends = output.end_logits.float().masked_fill(~may_end, never).topk(n_best)
        span = ends.indices.unsqueeze(1) - starts.indices.unsqueeze(2)
        total = starts.values.unsqueeze(2) + ends.values.unsqueeze(1)
        total = total.masked_fill((span < 0) | (span >= settings.answer_length), never)
        score, flat = total.flatten(1).max(1)
        return {
            "score": score,
            "start": starts.indices.gather(1, (flat // n_best).unsqueeze(1)).squeeze(1),
            "end": ends.indices.gather(1, (flat % n_best).unsqueeze(1)).squeeze(1),
            FINITE: finite_rows(output.start_logits, output.end_logits, mask=batch.attention_mask),
        }

    def predict(
        self, examples: Sequence[Question], encoded: Encoded, reduced: "Reduced", scoring: Scoring
    ) -> Predictions:
        texts, _ = best_spans(examples, encoded, reduced)
        metrics = {
            name: qa_metrics[name](
                texts, [tuple(a.text for a in e.answers) for e in examples], scoring.language
            )
            for name in scoring.task.metrics
        }
        return Predictions(texts, metrics)

    def targets(
        self, examples: Sequence[Question], encoded: Encoded, labels: tuple[str, ...]
    ) -> dict[str, list[Any]]:
        starts, ends = [], []
        for owner, window in zip(encoded.example, encoded.detail, strict=True):
            span = answer_tokens(examples[owner], window.offsets)
            # A window without the answer is trained to point at its first token, as in SQuAD v2.0.
            starts.append(0 if span is None else window.shift + span[0])
            ends.append(0 if span is None else window.shift + span[1])
        return {"start_positions": starts, "end_positions": ends}


def best_spans(
    questions: Sequence[Question], encoded: Encoded, reduced: "Reduced"
) -> tuple[list[str], NDArray[np.float64]]:
    """The best span of every question as text, and its sum of logits; empty and -inf where there is none."""
    best: list[int | None] = [None] * len(questions)
    for row, owner in enumerate(encoded.example):
        score, known = reduced["score"][row], best[owner]
        if np.isfinite(score) and (known is None or score > reduced["score"][known]):
            best[owner] = row
    texts, scores = [], np.full(len(questions), -np.inf)
    for number, (question, winner) in enumerate(zip(questions, best, strict=True)):
        if winner is None:
            texts.append("")
            continue
        window: ContextWindow = encoded.detail[winner]
        begin = window.offsets[reduced["start"][winner] - window.shift, 0]
        finish = window.offsets[reduced["end"][winner] - window.shift, 1]
        texts.append(question.context[begin:finish].strip())
        scores[number] = reduced["score"][winner]
    return texts, scores


def context_windows(length: int, room: int, stride: int) -> list[tuple[int, int, int, int]]:
    """Windows (start, end) over ``length`` tokens and, for each, the (first, last) run of tokens it may start
    an answer at: those that have at least as much context here as in any other window.

    The context of a token in a window is min(left, right) + 0.01 x window length, and the first of equals wins.
    """
    if stride < 1:
        raise UsageError(f"--stride {stride}: must be at least 1 token.")
    bounds, start = [], 0
    while True:
        end = min(start + room, length)
        bounds.append((start, end))
        if end == length:
            break
        start += min(end - start, stride)
    best = np.full((len(bounds), length), -1.0)
    for row, (start, end) in enumerate(bounds):
        inside = np.arange(start, end)
        best[row, start:end] = np.minimum(inside - start, end - 1 - inside) + 0.01 * (end - start)
    winner: NDArray[np.int64] = best.argmax(0) if length else np.zeros(0, np.int64)
    windows = []
    for row, (start, end) in enumerate(bounds):
        owned = np.flatnonzero(winner == row)
        first, last = (int(owned[0]), int(owned[-1]) + 1) if len(owned) else (start, start)
        windows.append((start, end, first, last))
    return windows


def answer_tokens(example: Question, offsets: Ids) -> tuple[int, int] | None:
    """First and last token of the first gold answer among tokens with ``offsets``; None if not all inside."""
    if not example.answers:
        return None
    answer = example.answers[0]
    begin, finish = answer.start, answer.start + len(answer.text)
    covering = np.flatnonzero((offsets[:, 1] > begin) & (offsets[:, 0] < finish))
    if len(covering) == 0 or offsets[covering[0], 0] > begin or offsets[covering[-1], 1] < finish:
        return None
    return int(covering[0]), int(covering[-1])


SPAN_QA = SpanQA()
