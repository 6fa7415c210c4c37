"""One tag a word. Sentences beyond the length limit are cut into windows of whole words; no word is dropped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xeval.encoder.batches import Sequences
from xeval.encoder.tokens import Ids, TextEncoder
from xeval.errors import XevalError
from xeval.examples import TaggedSentence
from xeval.metrics import chunk_f1_legacy, tag_accuracy
from xeval.sources import FileSource
from xeval.sources.tagging import UPOS, read_conllu
from xeval.tasks.base import IGNORED_LABEL, Encoded, Kind, Predictions, Settings, Task, TrainingSet

if TYPE_CHECKING:
    import torch

    from xeval.encoder.loop import Batch, Reduced


@dataclass(frozen=True)
class Window:
    """Words from ``first_word`` on; ``positions`` are the token numbers of their first pieces."""

    first_word: int
    positions: tuple[int, ...]


class Tagging(Kind[TaggedSentence]):
    """The first piece of a word carries its tag, as in XTREME."""

    name = "tagging"
    auto_class = "AutoModelForTokenClassification"
    head_suffix = "ForTokenClassification"
    defaults: ClassVar[Settings] = {"max_length": 256, "label_piece": "first"}

    def encode(self, examples: Sequence[TaggedSentence], encoder: TextEncoder, settings: Settings) -> Encoded:
        room = int(settings["max_length"]) - encoder.template.single_overhead
        shift = len(encoder.template.prefix)
        ids: list[Ids] = []
        types: list[Ids] = []
        owner: list[int] = []
        windows: list[Window] = []
        for row, words in enumerate(encoder.word_pieces([e.words for e in examples])):
            for first, last in window_words([min(len(pieces), room) for pieces in words], room):
                kept = [pieces[:room] for pieces in words[first:last]]
                starts = shift + np.cumsum([0, *(len(pieces) for pieces in kept[:-1])])
                sequence, segment = encoder.single(np.concatenate(kept), int(settings["max_length"]))
                ids.append(sequence)
                types.append(segment)
                owner.append(row)
                windows.append(Window(first, tuple(int(start) for start in starts)))
        sequences = Sequences(ids, types if encoder.uses_types else None)
        return Encoded(sequences, np.asarray(owner, np.int64), windows)

    def reduce(self, model: Any, batch: "Batch", settings: Settings) -> "dict[str, torch.Tensor]":
        del settings
        return {"tag_by_token": model(**batch.inputs()).logits.argmax(-1).short()}

    def predict(
        self,
        examples: Sequence[TaggedSentence],
        encoded: Encoded,
        reduced: "Reduced",
        labels: tuple[str, ...],
        task: Task,
        language: str,
    ) -> Predictions:
        del task, language
        tags: list[list[str]] = [[] for _ in examples]
        for row, window in enumerate(encoded.detail):
            numbers = reduced["tag_by_token"][row, list(window.positions)]
            tags[encoded.example[row]].extend(labels[number] for number in numbers)
        gold = [list(e.tags) for e in examples]
        if [len(sentence) for sentence in tags] != [len(sentence) for sentence in gold]:
            raise XevalError("tagging: a word was lost between encoding and scoring; please report this.")
        return Predictions(
            [" ".join(sentence) for sentence in tags],
            {"tag_accuracy": tag_accuracy(gold, tags), "chunk_f1_legacy": chunk_f1_legacy(gold, tags)},
        )

    def targets(
        self, examples: Sequence[TaggedSentence], encoded: Encoded, labels: tuple[str, ...]
    ) -> dict[str, list[Any]]:
        rows = []
        for row, window in enumerate(encoded.detail):
            numbers = np.full(len(encoded.sequences.ids[row]), IGNORED_LABEL)
            tags = examples[encoded.example[row]].tags[window.first_word :][: len(window.positions)]
            numbers[list(window.positions)] = [labels.index(tag) for tag in tags]
            rows.append(numbers.tolist())
        return {"labels": rows}

    def chance(self, examples: Sequence[TaggedSentence]) -> float | None:
        tags = np.asarray([tag for e in examples for tag in e.tags])
        return float(np.unique(tags, return_counts=True)[1].max() / len(tags))


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

_TREEBANKS = FileSource(
    (
        "udpos/UD_*/{lang}_*-ud-{split}.conllu",
        "UD_*/{lang}_*-ud-{split}.conllu",
        "udpos/UD_*/{lang}_*-ud-{split}.*.conllu",
    ),
    read_conllu,
)
UDPOS_ENGLISH = TrainingSet(
    name="udpos-en",
    kind=TAGGING,
    labels=UPOS,
    source=_TREEBANKS,
    licence="per treebank, mostly CC BY-SA",
    citation="Nivre et al. 2020, LREC",
)
UDPOS = Task(
    name="udpos",
    kind=TAGGING,
    group="structured",
    languages=tuple(
        "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh".split()
    ),
    metrics=("tag_accuracy", "chunk_f1_legacy"),
    source=_TREEBANKS,
    training="udpos-en",
    labels=UPOS,
    chance="data",
    licence="per treebank, mostly CC BY-SA",
    citation="Nivre et al. 2020, LREC",
)
