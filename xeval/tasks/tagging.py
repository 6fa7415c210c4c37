"""One tag a word. Sentences beyond the length limit are cut into windows of whole words; no word is dropped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xeval.encoder.batches import Sequences
from xeval.encoder.tokens import Ids, TextEncoder, marks_inner_words
from xeval.errors import UsageError, XevalError
from xeval.examples import TaggedSentence
from xeval.metrics import chunk_f1_legacy, tag_accuracy
from xeval.tasks.base import (
    IGNORED_LABEL,
    Changes,
    Encoded,
    Kind,
    Predictions,
    Scoring,
    Settings,
    foreign_labels,
)

if TYPE_CHECKING:
    import torch

    from xeval.checkpoints import Checkpoint
    from xeval.encoder.loop import Batch, Reduced


LABEL_PIECES = ("first", "first_nonempty", "last")


@dataclass(frozen=True)
class Window:
    """Words from ``first_word`` on; ``positions`` are the token numbers of their labelled pieces."""

    first_word: int
    positions: tuple[int, ...]


@dataclass(frozen=True)
class TaggingSettings(Settings):
    """``label_piece`` is one of ``LABEL_PIECES``; ``words`` says of some tokenizers how words are cut."""

    label_piece: str = "first"
    words: str | None = None


class Tagging(Kind[TaggedSentence]):
    """One piece of every word carries its tag; the setting ``label_piece`` says which.

    ``first`` is XTREME's. With XLM-R's vocabulary the first piece of a word is often the bare boundary mark "▁",
    which is the same for all words: what the word is comes to it through attention only. Measured on UD test
    files, that is so for 94 % of the words in Japanese (GSD), 87 % in Chinese (GSDSimp) and 43 % in Thai (PUD);
    in 14 other languages for 5 to 33 %, most of it punctuation (0 to 19 % without). ``first_nonempty`` is the
    first other piece, ``last`` the last one. Training and evaluation have to use the same.

    A word without any piece is scored as the unknown token, as in XTREME. A word with more pieces than a window
    has room is cut to that room, where XTREME puts the unknown token.
    """

    name = "tagging"
    auto_class = "AutoModelForTokenClassification"
    head_suffix = "ForTokenClassification"
    defaults: ClassVar[Settings] = TaggingSettings()

    def resolve(
        self, changes: Changes, checkpoint: "Checkpoint", overrides: Changes = MappingProxyType({})
    ) -> TaggingSettings:
        """Labels are read where training put them, or the scores of Chinese, Japanese and Thai are of nothing."""
        settings: TaggingSettings = super().resolve(changes, checkpoint, overrides)
        trained = {} if checkpoint.lineage is None else checkpoint.lineage.recipe
        if piece := trained.get("label_piece"):
            if changes.get("label_piece", piece) != piece:
                raise UsageError(
                    f"--label-piece {changes['label_piece']}: {checkpoint.name} was trained with {piece}."
                )
            settings = replace(settings, label_piece=piece)
        return replace(
            settings, words="as in running text" if marks_inner_words(checkpoint.tokenizer_folder) else None
        )

    def encode(
        self, examples: Sequence[TaggedSentence], encoder: TextEncoder, settings: TaggingSettings
    ) -> Encoded:
        room = settings.max_length - encoder.template.single_overhead
        if room < 1:
            raise UsageError(f"--max-length {settings.max_length} leaves no room for a word; raise it.")
        if settings.label_piece not in LABEL_PIECES:
            raise UsageError(
                f"label_piece is {settings.label_piece!r}; it must be one of {', '.join(LABEL_PIECES)}."
            )
        shift = len(encoder.template.prefix)
        ids: list[Ids] = []
        types: list[Ids] = []
        owner: list[int] = []
        windows: list[Window] = []
        for row, words in enumerate(encoder.word_pieces([e.words for e in examples])):
            for first, last in window_words([min(len(pieces), room) for pieces in words], room):
                kept = [pieces[:room] for pieces in words[first:last]]
                starts = shift + np.cumsum([0, *(len(pieces) for pieces in kept[:-1])])
                labelled = [
                    int(start) + labelled_piece(pieces, settings.label_piece, encoder.boundary_ids)
                    for start, pieces in zip(starts, kept, strict=True)
                ]
                sequence, segment = encoder.single(np.concatenate(kept), settings.max_length)
                ids.append(sequence)
                types.append(segment)
                owner.append(row)
                windows.append(Window(first, tuple(labelled)))
        sequences = Sequences(ids, types if encoder.uses_types else None)
        return Encoded(sequences, np.asarray(owner, np.int64), windows)

    def reduce(self, model: Any, batch: "Batch", settings: TaggingSettings) -> "dict[str, torch.Tensor]":
        from xeval.encoder.loop import FINITE, finite_rows

        logits = model(**batch.inputs()).logits
        finite = finite_rows(logits, mask=batch.attention_mask)
        return {"tag_by_token": logits.argmax(-1).short(), FINITE: finite}

    def predict(
        self, examples: Sequence[TaggedSentence], encoded: Encoded, reduced: "Reduced", scoring: Scoring
    ) -> Predictions:
        tags: list[list[str]] = [[] for _ in examples]
        for row, window in enumerate(encoded.detail):
            numbers = reduced["tag_by_token"][row, list(window.positions)]
            tags[encoded.example[row]].extend(scoring.labels[number] for number in numbers)
        gold = [list(e.tags) for e in examples]
        if [len(sentence) for sentence in tags] != [len(sentence) for sentence in gold]:
            raise XevalError("tagging: a word was lost between encoding and scoring; please report this.")
        return Predictions(
            [" ".join(sentence) for sentence in tags],
            {"tag_accuracy": tag_accuracy(gold, tags), "chunk_f1_legacy": chunk_f1_legacy(gold, tags)},
            remarks=foreign_labels([tag for sentence in tags for tag in sentence], scoring, "words"),
        )

    def targets(
        self, examples: Sequence[TaggedSentence], encoded: Encoded, labels: tuple[str, ...]
    ) -> dict[str, list[Any]]:
        rows = []
        number_of = {label: number for number, label in enumerate(labels)}
        for row, window in enumerate(encoded.detail):
            numbers = np.full(len(encoded.sequences.ids[row]), IGNORED_LABEL)
            tags = examples[encoded.example[row]].tags[window.first_word :][: len(window.positions)]
            numbers[list(window.positions)] = [number_of[tag] for tag in tags]
            rows.append(numbers.tolist())
        return {"labels": rows}

    def answers(self, text: str) -> Sequence[str]:
        return text.split()

    def chance(self, examples: Sequence[TaggedSentence]) -> float | None:
        tags = np.asarray([tag for e in examples for tag in e.tags])
        return float(np.unique(tags, return_counts=True)[1].max() / len(tags))


def labelled_piece(pieces: Ids, rule: str, boundary_ids: frozenset[int]) -> int:
    """Number of the piece of a word that carries its tag; ``rule`` is one of ``LABEL_PIECES``."""
    if rule == "last":
        return len(pieces) - 1
    if rule == "first_nonempty":
        return next((number for number, piece in enumerate(pieces) if int(piece) not in boundary_ids), 0)
    return 0


def window_words(lengths: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Cut words of the given piece counts into consecutive (first, last) runs of at most ``room`` pieces."""
    runs, first, used = [], 0, 0
    for word, length in enumerate(lengths):
        if used and used + length > room:
            runs.append((first, word))
            first, used = word, 0
        used += length
    if used:
        runs.append((first, len(lengths)))
    return runs


TAGGING = Tagging()
