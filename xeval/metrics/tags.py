"""Metrics of tagged sentences: token accuracy, and the chunk scores that XTREME publishes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from operator import eq

import numpy as np
from numpy.typing import NDArray

from xeval.errors import UsageError
from xeval.metrics.labels import Items, require_equal_length

Sentences = Sequence[Sequence[str]]


def tag_accuracy(gold: Sentences, predicted: Sentences) -> Items:
    """Per sentence (right tags, tags)."""
    lengths = _common_lengths(gold, predicted)
    equal = map(eq, chain.from_iterable(gold), chain.from_iterable(predicted))
    right = np.fromiter(equal, np.bool_, int(lengths.sum()))
    return _by_sentence(right, np.repeat(np.arange(len(lengths)), lengths), lengths), lengths.astype(float)


def chunk_f1_legacy(gold: Sentences, predicted: Sentences) -> Items:
    """Per sentence (2 tp, 2 tp + fp + fn) over chunks; the ratio of the sums is the corpus F1.

    This is seqeval 0.0.12, which XTREME's published ``panx`` and ``udpos`` scores agree with. For POS tags it
    is a chunk score: the first letter of a tag acts as its IOB prefix, neighbouring equal tags are fused to
    one chunk unless they begin with S (SCONJ, SYM) or E. seqeval 1.x gives other numbers for POS, because it
    drops that letter. Sentences cannot share a chunk: seqeval joins them with an O in between.
    """
    right, found, wanted = _chunk_counts(gold, predicted)
    return 2 * right, found + wanted


def chunk_precision_legacy(gold: Sentences, predicted: Sentences) -> Items:
    """Per sentence (tp, predicted chunks); chunks as in ``chunk_f1_legacy``."""
    right, found, _ = _chunk_counts(gold, predicted)
    return right, found


def chunk_recall_legacy(gold: Sentences, predicted: Sentences) -> Items:
    """Per sentence (tp, gold chunks); chunks as in ``chunk_f1_legacy``."""
    right, _, wanted = _chunk_counts(gold, predicted)
    return right, wanted


def legacy_chunks(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Chunks (type, first word, last word) of a sentence by the rules of seqeval 0.0.12.

    The type is what follows the last hyphen of a tag, the whole tag where there is none.
    """
    chunks = _find_chunks([tags], np.asarray([len(tags)]))
    return {
        (tags[last].rpartition("-")[2], int(chunks.first[last]), last)
        for last in np.flatnonzero(chunks.ends).tolist()
    }


@dataclass(frozen=True)
class _Chunks:
    """For the words of all sentences, one O after each: is it a chunk's last word, and if so of which chunk."""

    ends: NDArray[np.bool_]
    first: NDArray[np.int64]
    kind: NDArray[np.int64]
    sentence: NDArray[np.int64]


def _find_chunks(sentences: Sentences, lengths: NDArray[np.int64]) -> _Chunks:
    number_of: defaultdict[str, int] = defaultdict(count(1).__next__, {"O": 0})
    tags = np.fromiter(map(number_of.__getitem__, chain.from_iterable(sentences)), np.int64, lengths.sum())
    if "" in number_of:
        word = next(list(tags).index("") for tags in sentences if "" in tags)
        raise UsageError(f"The tag of word {word + 1} is empty; every word needs a tag.")
    sentence = np.repeat(np.arange(len(lengths)), lengths + 1)
    is_word = np.ones(len(sentence), np.bool_)
    is_word[np.cumsum(lengths + 1) - 1] = False
    now = np.zeros(len(sentence), np.int64)
    now[is_word] = tags
    before = np.roll(now, 1)  # the last one is an O

    def begins(letters: str) -> NDArray[np.bool_]:
        return np.asarray([tag[0] in letters for tag in number_of])

    kinds: defaultdict[str, int] = defaultdict(count().__next__)
    kind = np.asarray([kinds[tag.rpartition("-")[2]] for tag in number_of])[now]
    changed = kind != np.roll(kind, 1)
    ended = begins("ES")[before] | begins("BI")[before] & begins("BSO")[now] | ~begins("O.")[before] & changed
    starts = begins("BS")[now] | begins("ESO")[before] & begins("EI")[now] | ~begins("O.")[now] & changed
    starts[np.cumsum(lengths + 1) - (lengths + 1)] = True  # no chunk begins in an earlier sentence
    first = np.maximum.accumulate(np.where(starts, np.arange(len(starts)), 0))
    return _Chunks(np.roll(ended, -1), first, kind, sentence)


def _chunk_counts(
    gold: Sentences, predicted: Sentences
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Right, predicted and gold chunks of every sentence."""
    lengths = _common_lengths(gold, predicted)
    chunks = _find_chunks([*gold, *predicted], np.tile(lengths, 2))
    wanted, found = np.split(chunks.ends, 2)
    first, kind = chunks.first.reshape(2, -1), chunks.kind.reshape(2, -1)
    right = wanted & found & (first[0] == first[1] - len(wanted)) & (kind[0] == kind[1])
    sentence = chunks.sentence[: len(wanted)]
    return (
        _by_sentence(right, sentence, lengths),
        _by_sentence(found, sentence, lengths),
        _by_sentence(wanted, sentence, lengths),
    )


def _by_sentence(
    marks: NDArray[np.bool_], sentence: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    return np.bincount(sentence[marks], minlength=len(lengths)).astype(np.float64)


def _common_lengths(gold: Sentences, predicted: Sentences) -> NDArray[np.int64]:
    """Words of every sentence, which have to be as many gold as predicted."""
    require_equal_length(gold, predicted, "sentences")
    lengths, others = (np.fromiter(map(len, tags), np.int64, len(tags)) for tags in (gold, predicted))
    for number in np.flatnonzero(lengths != others)[:1]:
        raise UsageError(
            f"Sentence {number + 1} has {lengths[number]} gold tags but {others[number]} predicted tags."
        )
    return lengths
